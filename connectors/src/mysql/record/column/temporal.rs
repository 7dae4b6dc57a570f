//! What DATE, TIME, DATETIME and TIMESTAMP become (`time.precision.mode`).
use bytestring::ByteString;
use millstream_connect::record::{Schema, SchemaKind, Value};

use crate::mysql::binlog::{Damage, Date, DateTime, Time};
use crate::mysql::config::TimeMode;
use crate::mysql::text::Ascii;

const DAY_SECONDS: i64 = 86_400;

fn logical(kind: SchemaKind, name: &'static str) -> Schema {
    Schema::from(kind).named(name).versioned(1)
}

/// How DATE is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayForm {
    adjust: bool,
    shape: DayShape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DayShape {
    Days,
    Connect,
    Iso,
}

/// How TIME is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockForm {
    Micros,
    Nanos,
    Connect,
    Iso,
}

/// How DATETIME is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MomentForm {
    adjust: bool,
    shape: MomentShape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MomentShape {
    Millis,
    Micros,
    Nanos,
    Connect,
    Iso,
}

/// Years of two digits are of 1970 to 2069 (`enable.time.adjuster`).
fn adjusted(date: Date, adjust: bool) -> Date {
    let year = match date.year {
        year @ 1..=69 if adjust => 2000 + year,
        year @ 70..=99 if adjust => 1900 + year,
        year => year,
    };
    Date { year, ..date }
}

/// Dates of which a part is zero: MySQL keeps them, and no calendar has them.
fn is_zero(date: &Date) -> bool {
    date.year == 0 || date.month == 0 || date.day == 0
}

/// Days since 1970.
fn days(date: &Date) -> Result<i64, Damage> {
    let leap =
        date.year.is_multiple_of(4) && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400));
    let length = match date.month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&date.day) {
        return Err(Damage::Invalid {
            what: "a date",
            value: u64::from(date.year) * 10_000 + u64::from(date.month) * 100 + u64::from(date.day),
            rule: "a day that its month has not",
        });
    }
    // Years begin in March, so that leap days end them; 400 of them have always the same days.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Ok(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The date of a day since 1970; the other way round.
fn date(days: i64) -> Date {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Date {
        year: (year_of_era + era * 400 + i64::from(month <= 2)) as u16,
        month: month as u8,
        day: (of_year - (153 * shifted + 2) / 5 + 1) as u8,
    }
}

fn short_text(text: &Ascii) -> Value {
    Value::String(ByteString::from(text.as_str()))
}

impl DayForm {
    pub(super) fn new(mode: TimeMode, adjust: bool) -> Self {
        let shape = match mode {
            TimeMode::Connect => DayShape::Connect,
            TimeMode::IsoString => DayShape::Iso,
            TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds | TimeMode::Nanoseconds => {
                DayShape::Days
            }
        };
        Self { adjust, shape }
    }

    pub(super) fn schema(self) -> Schema {
        match self.shape {
            DayShape::Days => logical(SchemaKind::Int32, "io.debezium.time.Date"),
            DayShape::Connect => Schema::date(),
            DayShape::Iso => logical(SchemaKind::String, "io.debezium.time.IsoDate"),
        }
    }

    pub(super) fn epoch(self) -> Value {
        match self.shape {
            DayShape::Days => Value::Int32(0),
            DayShape::Connect => Value::Date(0),
            DayShape::Iso => Value::String(ByteString::from_static("1970-01-01Z")),
        }
    }

    /// A date; nothing for one of which a part is zero.
    pub(super) fn value(self, date: Date) -> Result<Option<Value>, Damage> {
        if is_zero(&date) {
            return Ok(None);
        }
        let date = adjusted(date, self.adjust);
        let days = days(&date)? as i32;
        Ok(Some(match self.shape {
            DayShape::Days => Value::Int32(days),
            DayShape::Connect => Value::Date(days),
            DayShape::Iso => {
                let mut text = Ascii::default();
                text.date(&date);
                text.push(b'Z');
                short_text(&text)
            }
        }))
    }
}

impl ClockForm {
    pub(super) fn new(mode: TimeMode) -> Self {
        match mode {
            TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds => Self::Micros,
            TimeMode::Nanoseconds => Self::Nanos,
            TimeMode::Connect => Self::Connect,
            TimeMode::IsoString => Self::Iso,
        }
    }

    pub(super) fn schema(self) -> Schema {
        match self {
            Self::Micros => logical(SchemaKind::Int64, "io.debezium.time.MicroTime"),
            Self::Nanos => logical(SchemaKind::Int64, "io.debezium.time.NanoTime"),
            Self::Connect => Schema::time(),
            Self::Iso => logical(SchemaKind::String, "io.debezium.time.IsoTime"),
        }
    }

    pub(super) fn midnight(self) -> Value {
        match self {
            Self::Micros | Self::Nanos => Value::Int64(0),
            Self::Connect => Value::Time(0),
            Self::Iso => Value::String(ByteString::from_static("00:00:00Z")),
        }
    }

    pub(super) fn value(self, time: &Time) -> Result<Value, Damage> {
        let micros = time.as_micros();
        Ok(match self {
            Self::Micros => Value::Int64(micros),
            Self::Nanos => Value::Int64(micros * 1000),
            Self::Connect => Value::Time((of_day(micros)? / 1000) as i32),
            Self::Iso => {
                let micros = of_day(micros)? % (DAY_SECONDS * 1_000_000);
                let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
                let mut text = Ascii::default();
                text.padded((seconds / 3600) as u32, 2);
                text.clock((seconds / 60 % 60) as u8, (seconds % 60) as u8);
                shortened(micros as u32, &mut text);
                text.push(b'Z');
                short_text(&text)
            }
        })
    }
}

/// A time that a day has, 24:00:00 among them.
fn of_day(micros: i64) -> Result<i64, Damage> {
    match (0..=DAY_SECONDS * 1_000_000).contains(&micros) {
        true => Ok(micros),
        false => Err(Damage::Unsupported(
            "a time below 00:00:00 or beyond 24:00:00, which time.precision.mode=connect and isostring cannot tell: set \
             adaptive_time_microseconds, microseconds or nanoseconds",
        )),
    }
}

/// Digits behind seconds, without the zeros at their end.
fn shortened(micros: u32, text: &mut Ascii) {
    if micros > 0 {
        let zeros = (1..6)
            .take_while(|zeros| micros.is_multiple_of(10_u32.pow(*zeros)))
            .count();
        text.micros(micros, 6 - zeros as u8);
    }
}

impl MomentForm {
    pub(super) fn new(mode: TimeMode, fraction: u8, adjust: bool) -> Self {
        let shape = match mode {
            TimeMode::AdaptiveTimeMicroseconds if fraction <= 3 => MomentShape::Millis,
            TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds => MomentShape::Micros,
            TimeMode::Nanoseconds => MomentShape::Nanos,
            TimeMode::Connect => MomentShape::Connect,
            TimeMode::IsoString => MomentShape::Iso,
        };
        Self { adjust, shape }
    }

    pub(super) fn schema(self) -> Schema {
        match self.shape {
            MomentShape::Millis => logical(SchemaKind::Int64, "io.debezium.time.Timestamp"),
            MomentShape::Micros => logical(SchemaKind::Int64, "io.debezium.time.MicroTimestamp"),
            MomentShape::Nanos => logical(SchemaKind::Int64, "io.debezium.time.NanoTimestamp"),
            MomentShape::Connect => Schema::timestamp(),
            MomentShape::Iso => logical(SchemaKind::String, "io.debezium.time.IsoTimestamp"),
        }
    }

    pub(super) fn epoch(self) -> Value {
        match self.shape {
            MomentShape::Millis | MomentShape::Micros | MomentShape::Nanos => Value::Int64(0),
            MomentShape::Connect => Value::Timestamp(0),
            MomentShape::Iso => Value::String(ByteString::from_static("1970-01-01T00:00:00Z")),
        }
    }

    /// A day and its time; nothing where a part of the day is zero.
    pub(super) fn value(self, moment: &DateTime) -> Result<Option<Value>, Damage> {
        if is_zero(&moment.date) {
            return Ok(None);
        }
        let date = adjusted(moment.date, self.adjust);
        let clock = i64::from(moment.hour) * 3600 + i64::from(moment.minute) * 60 + i64::from(moment.second);
        let seconds = days(&date)? * DAY_SECONDS + clock;
        let micros = seconds * 1_000_000 + i64::from(moment.micros);
        Ok(Some(match self.shape {
            MomentShape::Millis => Value::Int64(micros.div_euclid(1000)),
            MomentShape::Micros => Value::Int64(micros),
            MomentShape::Nanos => {
                let nanos = micros.checked_mul(1000).ok_or(Damage::Unsupported(
                    "a time beyond those of the years 1677 to 2262, which time.precision.mode=nanoseconds cannot tell: set microseconds \
                     or isostring",
                ));
                Value::Int64(nanos?)
            }
            MomentShape::Connect => Value::Timestamp(micros.div_euclid(1000)),
            MomentShape::Iso => {
                let mut text = Ascii::default();
                text.date(&date);
                clock_of(moment, &mut text);
                shortened(moment.micros, &mut text);
                text.push(b'Z');
                short_text(&text)
            }
        }))
    }
}

fn clock_of(moment: &DateTime, text: &mut Ascii) {
    text.push(b'T');
    text.padded(u32::from(moment.hour), 2);
    text.clock(moment.minute, moment.second);
}

/// A TIMESTAMP of a log, in UTC.
pub(super) fn of_seconds(seconds: u32, micros: u32, fraction: u8) -> DateTime {
    if seconds == 0 && micros == 0 {
        return DateTime {
            fraction,
            ..DateTime::default()
        };
    }
    let (days, clock) = (i64::from(seconds) / DAY_SECONDS, i64::from(seconds) % DAY_SECONDS);
    DateTime {
        date: date(days),
        hour: (clock / 3600) as u8,
        minute: (clock / 60 % 60) as u8,
        second: (clock % 60) as u8,
        micros,
        fraction,
    }
}

/// What a TIMESTAMP becomes: `2026-02-28T12:34:56.120Z` with the column's digits; nothing for the zero date.
pub(super) fn zoned(moment: &DateTime, fraction: u8) -> Option<Value> {
    if is_zero(&moment.date) {
        return None;
    }
    let mut text = Ascii::default();
    text.date(&moment.date);
    clock_of(moment, &mut text);
    text.micros(moment.micros, fraction);
    text.push(b'Z');
    Some(short_text(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for day in (-719_162..2_932_897).step_by(37) {
            let it = date(day);
            assert_eq!(days(&it), Ok(day), "{it:?}");
            assert_eq!(it.days(), Some(day as i32), "{it:?}");
        }
        let day = |year, month, day| days(&Date { year, month, day });
        assert_eq!(day(2024, 2, 29), Ok(19_782));
        assert!(day(2026, 2, 29).is_err() && day(1900, 2, 29).is_err() && day(2026, 4, 31).is_err());
    }

    fn moment(date: (u16, u8, u8), micros: u32) -> DateTime {
        let (year, month, day) = date;
        DateTime {
            date: Date { year, month, day },
            hour: 12,
            minute: 34,
            second: 56,
            micros,
            fraction: 6,
        }
    }

    #[test]
    fn moments_are_told_in_every_mode() {
        let told = |mode, fraction, moment: &DateTime| MomentForm::new(mode, fraction, true).value(moment);
        let it = moment((1969, 12, 31), 999_999);
        let micros = -41_103_000_001;
        let some = |value| Ok(Some(value));
        assert_eq!(
            told(TimeMode::AdaptiveTimeMicroseconds, 6, &it),
            some(Value::Int64(micros))
        );
        // Milliseconds of times before 1970 are those that began, as Java's are.
        assert_eq!(
            told(TimeMode::AdaptiveTimeMicroseconds, 3, &it),
            some(Value::Int64(-41_103_001))
        );
        assert_eq!(
            told(TimeMode::Nanoseconds, 0, &it),
            some(Value::Int64(micros * 1000))
        );
        assert_eq!(
            told(TimeMode::Connect, 6, &it),
            some(Value::Timestamp(-41_103_001))
        );
        assert_eq!(
            told(TimeMode::IsoString, 6, &it),
            some(Value::from("1969-12-31T12:34:56.999999Z"))
        );
        let iso = |micros| told(TimeMode::IsoString, 6, &moment((2026, 1, 2), micros));
        assert_eq!(iso(120_000), some(Value::from("2026-01-02T12:34:56.12Z")));
        assert_eq!(iso(0), some(Value::from("2026-01-02T12:34:56Z")));
        let far = moment((2262, 4, 12), 0);
        assert!(told(TimeMode::Nanoseconds, 0, &far).is_err());
        assert_eq!(told(TimeMode::Nanoseconds, 0, &moment((2026, 0, 1), 0)), Ok(None));
        let of_two_digits =
            |year| MomentForm::new(TimeMode::IsoString, 0, true).value(&moment((year, 1, 2), 0));
        assert_eq!(of_two_digits(69), some(Value::from("2069-01-02T12:34:56Z")));
        assert_eq!(of_two_digits(70), some(Value::from("1970-01-02T12:34:56Z")));
    }

    #[test]
    fn times_are_told_in_every_mode() {
        let time = |negative, hours, micros| Time {
            negative,
            hours,
            minutes: 1,
            seconds: 2,
            micros,
            fraction: 6,
        };
        let told = |mode, time| ClockForm::new(mode).value(&time);
        assert_eq!(
            told(TimeMode::Microseconds, time(true, 838, 5)),
            Ok(Value::Int64(-3_016_862_000_005))
        );
        assert_eq!(
            told(TimeMode::Nanoseconds, time(false, 1, 5)),
            Ok(Value::Int64(3_662_000_005_000))
        );
        assert_eq!(
            told(TimeMode::Connect, time(false, 1, 5999)),
            Ok(Value::Time(3_662_005))
        );
        assert_eq!(
            told(TimeMode::IsoString, time(false, 1, 500)),
            Ok(Value::from("01:01:02.0005Z"))
        );
        for mode in [TimeMode::Connect, TimeMode::IsoString] {
            for time in [time(true, 1, 0), time(false, 24, 0)] {
                let error = told(mode, time).unwrap_err().to_string();
                assert!(error.contains("adaptive_time_microseconds"), "{error}");
            }
        }
        let end = Time {
            hours: 24,
            ..Time::default()
        };
        assert_eq!(told(TimeMode::Connect, end), Ok(Value::Time(86_400_000)));
        assert_eq!(told(TimeMode::IsoString, end), Ok(Value::from("00:00:00Z")));
    }

    #[test]
    fn timestamps_have_the_digits_of_their_column() {
        let told = |seconds, micros, fraction| zoned(&of_seconds(seconds, micros, fraction), fraction);
        assert_eq!(
            told(1_772_282_096, 120_000, 3),
            Some(Value::from("2026-02-28T12:34:56.120Z"))
        );
        assert_eq!(told(u32::MAX, 0, 0), Some(Value::from("2106-02-07T06:28:15Z")));
        assert_eq!(told(0, 0, 6), None);
    }
}
