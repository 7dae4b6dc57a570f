//! DATE, TIME and DATETIME in the formats of MySQL 5.6 and later, and of those before.
use super::Damage;
use super::cursor::Cursor;

/// A day; month and day may be zero, and so may all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

/// A duration up to 838:59:59.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Time {
    /// Below zero; `-00:00:00.5` is, too.
    pub negative: bool,
    /// 0 to 838.
    pub hours: u16,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// 0 to 999,999.
    pub micros: u32,
    /// Digits that the column keeps behind seconds.
    pub fraction: u8,
}

/// A day and the time of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub micros: u32,
    /// Digits that the column keeps behind seconds.
    pub fraction: u8,
}

fn checked(what: &'static str, value: u64, max: u64, rule: &'static str) -> Result<u64, Damage> {
    if value > max {
        Err(Damage::Invalid { what, value, rule })
    } else {
        Ok(value)
    }
}

pub(super) fn fraction_bytes(fraction: u8) -> usize {
    usize::from(fraction).div_ceil(2)
}

/// Microseconds from the bytes behind seconds, which hold hundredths, ten-thousandths or millionths.
fn micros(value: u64, fraction: u8) -> Result<u32, Damage> {
    let unit = [1, 10_000, 10_000, 100, 100, 1, 1][usize::from(fraction)];
    let micros = checked(
        "a fraction of a second",
        value.saturating_mul(unit),
        999_999,
        "a second or more",
    )?;
    Ok(micros as u32)
}

impl Date {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        Self::from_bits(cursor.uint(3, "a date")?)
    }

    fn from_bits(value: u64) -> Result<Self, Damage> {
        let month = checked("the month of a date", value >> 5 & 15, 12, "more than 12")?;
        let year = checked("the year of a date", value >> 9, 9999, "more than 9999")?;
        Ok(Self {
            year: year as u16,
            month: month as u8,
            day: (value & 31) as u8,
        })
    }

    /// From a number like 20261231.
    fn from_decimal(value: u64) -> Result<Self, Damage> {
        let year = checked("the year of a date", value / 10_000, 9999, "more than 9999")?;
        let month = checked("the month of a date", value / 100 % 100, 12, "more than 12")?;
        let day = checked("the day of a date", value % 100, 31, "more than 31")?;
        Ok(Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
        })
    }

    /// Days since 1970-01-01; nothing where month or day are zero, or the day is none of that month.
    ///
    /// ```
    /// use millstream_connectors::mysql::binlog::Date;
    ///
    /// assert_eq!(Date { year: 1970, month: 2, day: 1 }.days(), Some(31));
    /// assert_eq!(Date { year: 0, month: 0, day: 0 }.days(), None);
    /// ```
    #[must_use]
    pub fn days(&self) -> Option<i32> {
        let date = jiff::civil::Date::new(self.year as i16, self.month as i8, self.day as i8).ok()?;
        let epoch = jiff::civil::Date::constant(1970, 1, 1);
        date.since(epoch).ok().map(|span| span.get_days())
    }
}

impl Time {
    pub(crate) fn read(cursor: &mut Cursor<'_>, fraction: u8) -> Result<Self, Damage> {
        let bytes = fraction_bytes(fraction);
        let packed = cursor.uint_be(3 + bytes, "a time")?;
        // Times below zero are the whole, with its fraction, below the middle.
        let middle = 0x80_0000_u64 << (8 * bytes);
        let (negative, value) = (packed < middle, packed.abs_diff(middle));
        let whole = value >> (8 * bytes);
        Self::from_parts(
            negative,
            whole,
            micros(value & ((1 << (8 * bytes)) - 1), fraction)?,
            fraction,
        )
    }

    fn from_parts(negative: bool, whole: u64, micros: u32, fraction: u8) -> Result<Self, Damage> {
        let hours = checked("the hours of a time", whole >> 12, 838, "more than 838")?;
        let minutes = checked("the minutes of a time", whole >> 6 & 63, 59, "more than 59")?;
        let seconds = checked("the seconds of a time", whole & 63, 59, "more than 59")?;
        let (minutes, seconds) = (minutes as u8, seconds as u8);
        Ok(Self {
            negative,
            hours: hours as u16,
            minutes,
            seconds,
            micros,
            fraction,
        })
    }

    /// The format before 5.6: a number like -8385959.
    pub(crate) fn read_old(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        let value = (cursor.uint(3, "a time")? as i32) << 8 >> 8;
        let number = u64::from(value.unsigned_abs());
        let minutes = checked("the minutes of a time", number / 100 % 100, 59, "more than 59")?;
        let seconds = checked("the seconds of a time", number % 100, 59, "more than 59")?;
        Self::from_parts(value < 0, (number / 10_000) << 12 | minutes << 6 | seconds, 0, 0)
    }

    /// The format within JSON: 24 bits of fraction below the rest.
    pub(crate) fn from_packed(packed: i64) -> Result<Self, Damage> {
        let value = packed.unsigned_abs();
        Self::from_parts(packed < 0, value >> 24, micros(value & 0xff_ffff, 6)?, 6)
    }

    /// Microseconds, below zero for negative times.
    #[must_use]
    pub fn as_micros(&self) -> i64 {
        let seconds = i64::from(self.hours) * 3600 + i64::from(self.minutes) * 60 + i64::from(self.seconds);
        let micros = seconds * 1_000_000 + i64::from(self.micros);
        if self.negative { -micros } else { micros }
    }
}

impl DateTime {
    pub(crate) fn read(cursor: &mut Cursor<'_>, fraction: u8) -> Result<Self, Damage> {
        let whole = cursor.uint_be(5, "a datetime")?;
        let micros = micros(
            cursor.uint_be(fraction_bytes(fraction), "the fraction of a datetime")?,
            fraction,
        )?;
        let sign = 0x80_0000_0000;
        if whole & sign == 0 {
            return Err(Damage::Invalid {
                what: "a datetime",
                value: whole,
                rule: "below zero",
            });
        }
        Self::from_bits(whole & !sign, micros, fraction)
    }

    fn from_bits(whole: u64, micros: u32, fraction: u8) -> Result<Self, Damage> {
        let hour = checked("the hour of a datetime", whole >> 12 & 31, 23, "more than 23")? as u8;
        let minute = checked("the minute of a datetime", whole >> 6 & 63, 59, "more than 59")? as u8;
        let second = checked("the second of a datetime", whole & 63, 59, "more than 59")? as u8;
        let months = whole >> 22;
        let date = Date::from_bits((months / 13) << 9 | (months % 13) << 5 | (whole >> 17 & 31))?;
        Ok(Self {
            date,
            hour,
            minute,
            second,
            micros,
            fraction,
        })
    }

    /// The format before 5.6: a number like 20261231235959.
    pub(crate) fn read_old(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        let number = cursor.u64("a datetime")?;
        let time = number % 1_000_000;
        let hour = checked("the hour of a datetime", time / 10_000, 23, "more than 23")? as u8;
        let minute = checked("the minute of a datetime", time / 100 % 100, 59, "more than 59")? as u8;
        let second = checked("the second of a datetime", time % 100, 59, "more than 59")? as u8;
        Ok(Self {
            date: Date::from_decimal(number / 1_000_000)?,
            hour,
            minute,
            second,
            micros: 0,
            fraction: 0,
        })
    }

    /// The format within JSON: 24 bits of fraction below the rest.
    pub(crate) fn from_packed(packed: i64) -> Result<Self, Damage> {
        let value = u64::try_from(packed).map_err(|_| Damage::Invalid {
            what: "a datetime",
            value: packed.unsigned_abs(),
            rule: "below zero",
        })?;
        Self::from_bits(value >> 24, micros(value & 0xff_ffff, 6)?, 6)
    }
}

/// Seconds since 1970 and microseconds of a TIMESTAMP.
pub(crate) fn read_timestamp(cursor: &mut Cursor<'_>, fraction: u8) -> Result<(u32, u32), Damage> {
    let seconds = u32::from_be_bytes(cursor.array("a timestamp")?);
    let micros = micros(
        cursor.uint_be(fraction_bytes(fraction), "the fraction of a timestamp")?,
        fraction,
    )?;
    Ok((seconds, micros))
}
