//! Dates, times and instants.
use jiff::Timestamp;

use super::literal::{Literals, mismatch};
use super::moment::{self, Clock, Day, divided, fraction_digits};
use super::number::push_integer;
use super::{Cell, Unfit};
use crate::mysql::sink::column::Kind;

/// A value of a column of dates or times.
pub(super) fn write(
    literals: &Literals,
    cell: &Cell<'_>,
    kind: &Kind,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    match kind {
        Kind::Date => date(literals, cell, out),
        Kind::DateTime(digits) => {
            let (day, clock) = wall(literals, cell, true)?;
            date_time(literals, (day, clock), *digits, out)
        }
        Kind::Timestamp(digits) => {
            let (day, clock) = wall(literals, cell, false)?;
            if (day, clock) == (Day::after_epoch(0), MIDNIGHT) {
                // The epoch is no TIMESTAMP: for servers it is the date that is none, and for sources what stands for that.
                out.extend_from_slice(b"'0000-00-00 00:00:00'");
                return Ok(());
            }
            date_time(literals, (day, clock), *digits, out)
        }
        Kind::Time(digits) => time(literals, cell, *digits, out),
        _ => year(cell, out),
    }
}

const DAY_SECONDS: i64 = 86_400;

const MIDNIGHT: Clock = Clock {
    negative: false,
    seconds: 0,
    nanos: 0,
};

/// What a clock shows: in UTC, or for an instant where the sink's zone is, if `in_zone`.
fn wall(literals: &Literals, cell: &Cell<'_>, in_zone: bool) -> Result<(Day, Clock), Unfit> {
    match cell {
        Cell::Date(days) => Ok((Day::after_epoch(*days), MIDNIGHT)),
        Cell::Local(_, (seconds, nanos)) => Ok(divided(*seconds, *nanos)),
        Cell::Instant(_, (seconds, nanos)) if in_zone && literals.connect_in_zone => {
            shifted(literals, *seconds, *nanos)
        }
        Cell::Instant(_, (seconds, nanos)) => Ok(divided(*seconds, *nanos)),
        Cell::Text(text) | Cell::Exact(text) | Cell::LocalText(text) => {
            let written = moment::read(text).ok_or_else(unreadable)?;
            let day = written.day.ok_or_else(unreadable)?;
            let clock = written.clock.unwrap_or(MIDNIGHT);
            let local = matches!(cell, Cell::LocalText(_));
            match written.offset.filter(|_| !local && day.month > 0 && day.day > 0) {
                None => Ok((day, clock)),
                Some(offset) => {
                    let seconds = day.days() * DAY_SECONDS + clock.seconds as i64 - offset;
                    match in_zone {
                        true => shifted(literals, seconds, clock.nanos),
                        false => Ok(divided(seconds, clock.nanos)),
                    }
                }
            }
        }
        cell => Err(mismatch(cell)),
    }
}

fn unreadable() -> Unfit {
    Unfit::new("it is a text that is no date or time as ISO 8601 writes them")
}

fn shifted(literals: &Literals, seconds: i64, nanos: u32) -> Result<(Day, Clock), Unfit> {
    let instant = Timestamp::from_second(seconds).map_err(|_| beyond())?;
    let offset = literals.zone.to_offset(instant);
    Ok(divided(seconds + i64::from(offset.seconds()), nanos))
}

fn beyond() -> Unfit {
    Unfit::new("it is not in the years 0 to 9999")
}

/// Whether a column with so many digits of a fraction holds it.
fn check_fraction(literals: &Literals, nanos: u32, digits: u8) -> Result<(), Unfit> {
    let needed = fraction_digits(nanos);
    match needed > digits && !literals.rounding {
        true => Err(Unfit::new(format!(
            "it has {needed} digits of a second's fraction, and the column holds {digits}: give the column ({needed}), or set value.rounding=true",
        ))),
        false => Ok(()),
    }
}

fn date_time(
    literals: &Literals,
    (day, clock): (Day, Clock),
    digits: u8,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    if !day.is_writable() {
        return Err(beyond());
    }
    if clock.negative || clock.seconds >= 86_400 {
        return Err(Unfit::new("it is no time of a day"));
    }
    check_fraction(literals, clock.nanos, digits)?;
    out.push(b'\'');
    moment::push_both(out, day, clock);
    out.push(b'\'');
    Ok(())
}

fn date(literals: &Literals, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (day, clock) = wall(literals, cell, true)?;
    if !day.is_writable() {
        return Err(beyond());
    }
    if clock != MIDNIGHT && !literals.rounding {
        return Err(Unfit::new(
            "it has a time of day, and the column holds a date; with value.rounding=true the time is dropped",
        ));
    }
    out.push(b'\'');
    day.push(out);
    out.push(b'\'');
    Ok(())
}

fn time(literals: &Literals, cell: &Cell<'_>, digits: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let clock = match cell {
        Cell::Time(_, nanos) => Clock::of_nanos(*nanos),
        Cell::Text(text) | Cell::Exact(text) | Cell::LocalText(text) => {
            let written = moment::read(text).ok_or_else(unreadable)?;
            let clock = written.clock.filter(|_| written.day.is_none());
            let clock = clock.ok_or_else(|| Unfit::new("it is a text that is no time of day"))?;
            match written.offset.filter(|_| !matches!(cell, Cell::LocalText(_))) {
                None | Some(0) => clock,
                // As a clock in UTC shows it.
                Some(offset) => Clock {
                    seconds: (clock.seconds as i64 - offset)
                        .rem_euclid(DAY_SECONDS)
                        .unsigned_abs(),
                    ..clock
                },
            }
        }
        cell => return Err(mismatch(cell)),
    };
    if !clock.is_writable() {
        return Err(Unfit::new("it is not from -838:59:59 to 838:59:59"));
    }
    check_fraction(literals, clock.nanos, digits)?;
    out.push(b'\'');
    clock.push(out);
    out.push(b'\'');
    Ok(())
}

fn year(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let year = match cell {
        Cell::Year(year) | Cell::Integer(year) => *year,
        Cell::Text(text) | Cell::Exact(text) => text.trim().parse().map_err(|_| unreadable())?,
        cell => return Err(mismatch(cell)),
    };
    // Servers take numbers of two digits for years of 1970 to 2069.
    if year != 0 && !(1901..=2155).contains(&year) {
        return Err(Unfit::new("it is neither 0 nor a year from 1901 to 2155"));
    }
    push_integer(out, year.into());
    Ok(())
}

/// As a SELECT shows it.
pub(super) fn push_shown(cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    match cell {
        Cell::Date(days) => Day::after_epoch(*days).push(out),
        Cell::Time(_, nanos) => Clock::of_nanos(*nanos).push(out),
        Cell::Local(_, (seconds, nanos)) | Cell::Instant(_, (seconds, nanos)) => {
            let (day, clock) = divided(*seconds, *nanos);
            moment::push_both(out, day, clock);
        }
        cell => return Err(mismatch(cell)),
    }
    Ok(())
}
