//! Cells of a `SELECT`, in a session with `SET NAMES utf8mb4` and `time_zone = '+00:00'`.
use bytestring::ByteString;
use millstream_connect::record::{SchemaRef, Value};

use super::kind::Kind;
use super::{log, number, temporal};
use crate::mysql::binlog::{Damage, Date, DateTime, Time};
use crate::mysql::charset;

/// A cell that is not what its column prints.
fn no(what: &'static str) -> Damage {
    Damage::Text {
        what,
        charset: "what the server prints of it",
    }
}

impl Kind {
    /// A cell that is not NULL; nothing for dates that are none.
    pub(super) fn of_text(&self, cell: &[u8], schema: &SchemaRef) -> Result<Option<Value>, Damage> {
        let text = || std::str::from_utf8(cell).map_err(|_| no("a cell"));
        Ok(Some(match self {
            Self::Int { into, .. } => into.value(integer(text()?)?),
            Self::Unsigned => number::exact(integer(text()?)? as u64, 0),
            Self::Float => Value::Float32(double(text()?)? as f32),
            // The float, as what it is next to.
            Self::FloatAsDouble => Value::Float64(f64::from(double(text()?)? as f32)),
            Self::Double => Value::Float64(double(text()?)?),
            Self::Decimal(form) => form.of_text(text()?)?,
            Self::Boolean => Value::Boolean(bits(cell)? & 1 == 1),
            Self::Bits(length) => log::bit_bytes(bits(cell)?, *length),
            Self::Year => Value::Int32(text()?.parse().map_err(|_| no("a year"))?),
            Self::Date(form) => return form.value(date(cell).ok_or_else(|| no("a date"))?),
            Self::Time(form) => form.value(&time(cell).ok_or_else(|| no("a time"))?)?,
            Self::DateTime(form) => return form.value(&date_time(cell).ok_or_else(|| no("a datetime"))?),
            Self::Timestamp(fraction) => {
                let moment = date_time(cell).ok_or_else(|| no("a timestamp"))?;
                return Ok(temporal::zoned(&moment, *fraction));
            }
            Self::Text(_) | Self::Enum(_) | Self::Set(_) | Self::Json | Self::Fixed(_) => {
                let text = charset::utf8(cell).ok_or_else(|| no("a cell"))?;
                Value::String(ByteString::from(&*text))
            }
            Self::Bytes { mode, fixed } => log::binary(cell, *mode, *fixed),
            Self::Geometry => log::geometry(cell, schema)?,
            Self::Point => log::point(cell, schema)?,
            Self::Vector => log::vector(cell)?,
        }))
    }
}

/// A whole number; those beyond 63 bits go on below zero.
fn integer(text: &str) -> Result<i64, Damage> {
    let number = text
        .parse::<i64>()
        .ok()
        .or_else(|| text.parse::<u64>().ok().map(|number| number as i64));
    number.ok_or_else(|| no("a whole number"))
}

fn double(text: &str) -> Result<f64, Damage> {
    text.parse().map_err(|_| no("a number"))
}

/// BIT comes as its bytes, the highest first.
fn bits(cell: &[u8]) -> Result<u64, Damage> {
    match cell.len() {
        0..=8 => Ok(cell.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))),
        _ => Err(no("a BIT")),
    }
}

/// A number of digits alone.
fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

/// A number of so many digits, no more than this.
fn part(text: &[u8], length: usize, most: u32) -> Option<u8> {
    let number = digits(text).filter(|number| text.len() == length && *number <= most)?;
    u8::try_from(number).ok()
}

/// `2026-12-31`.
pub(super) fn date(text: &[u8]) -> Option<Date> {
    let [year @ .., b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    Some(Date {
        year: u16::try_from(digits(year).filter(|_| year.len() == 4)?).ok()?,
        month: part(&[*m1, *m2], 2, 12)?,
        day: part(&[*d1, *d2], 2, 31)?,
    })
}

/// The microseconds and the digits of `59.25`, and the seconds.
fn seconds(text: &[u8]) -> Option<(u8, u32, u8)> {
    let (whole, fraction) = text.split_at_checked(2)?;
    let second = part(whole, 2, 59)?;
    let Some((b'.', fraction)) = fraction.split_first() else {
        return fraction.is_empty().then_some((second, 0, 0));
    };
    let count = fraction.len().min(7);
    let unit = 10_u32.checked_pow(6_u32.checked_sub(count as u32)?)?;
    Some((second, digits(fraction)? * unit, count as u8))
}

/// `-838:59:59.000000`.
pub(super) fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(3, |byte| *byte == b':');
    let hours = digits(parts.next()?).filter(|hours| *hours <= 838)?;
    let minutes = part(parts.next()?, 2, 59)?;
    let (seconds, micros, fraction) = seconds(parts.next()?)?;
    Some(Time {
        negative,
        hours: hours as u16,
        minutes,
        seconds,
        micros,
        fraction,
    })
}

/// `2026-12-31 23:59:59.999999`.
pub(super) fn date_time(text: &[u8]) -> Option<DateTime> {
    let (day, clock) = text.split_at_checked(10)?;
    let [b' ', h1, h2, b':', m1, m2, b':', rest @ ..] = clock else {
        return None;
    };
    let (second, micros, fraction) = seconds(rest)?;
    Some(DateTime {
        date: date(day)?,
        hour: part(&[*h1, *h2], 2, 23)?,
        minute: part(&[*m1, *m2], 2, 59)?,
        second,
        micros,
        fraction,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_does_not_print_is_refused() {
        for text in [
            "",
            "2026-1-01",
            "2026-13-01",
            "2026-01-32",
            "x026-01-01",
            "2026-01-01 ",
        ] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
        for text in [
            "2026-01-01",
            "2026-01-01 24:00:00",
            "2026-01-01 00:00:60",
            "2026-01-01 00:00:00.",
            "2026-01-01 00:00:00.1234567",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(date_time(text.as_bytes()), None, "{text}");
        }
        for text in ["", "1:2:3", "839:00:00", "00:60:00", "00:00:00.x", "--1:00:00"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
        assert!(integer("1.5").is_err() && bits(&[0; 9]).is_err());
    }

    #[test]
    fn what_the_server_prints_is_read() {
        let time = time(b"-838:59:58.25").unwrap();
        assert_eq!(
            (time.negative, time.hours, time.minutes, time.seconds),
            (true, 838, 59, 58)
        );
        assert_eq!((time.micros, time.fraction), (250_000, 2));
        let moment = date_time(b"2026-00-31 23:59:58.000001").unwrap();
        assert_eq!(
            (moment.date.year, moment.date.month, moment.date.day),
            (2026, 0, 31)
        );
        assert_eq!(
            (moment.hour, moment.minute, moment.second, moment.micros),
            (23, 59, 58, 1)
        );
        assert_eq!(integer("18446744073709551615"), Ok(-1));
        assert_eq!(integer("0042"), Ok(42));
        assert_eq!(bits(&[1, 2]), Ok(0x102));
    }
}
