//! Values as the server prints them.
//!
//! Snapshots read what `SELECT` prints, and the stream prints what it decodes in the same way: here.
use std::fmt::Write;

use crate::mysql::binlog::{Column, Damage, Date, DateTime, Time, Value, mariadb};
use crate::mysql::{charset, json};

/// Appends a value as `SELECT` prints it: TIMESTAMP in UTC, bytes as `HEX` prints them, FLOAT with all its digits.
/// Nothing is appended for NULL and for columns that the image lacks.
///
/// # Errors
/// With JSON that is none, text that is none of its character set, labels that the log does not say, differences of JSON
/// ([`json::patched`] needs the value before), and compressed values of more than `inflated_max` bytes.
pub fn print(
    column: &Column,
    value: &Value<'_>,
    inflated_max: usize,
    target: &mut String,
) -> Result<(), Damage> {
    match value {
        Value::Absent | Value::Null => {}
        Value::Int(number) => integer(*number, target),
        Value::UInt(number) | Value::Bit(number) => natural(*number, target),
        Value::Float(number) => float(*number, target),
        Value::Double(number) => double(*number, target),
        Value::Decimal(number) => number.print(target),
        Value::Year(year) => {
            let mut text = Ascii::default();
            text.padded(u32::from(*year), 4);
            text.append(target);
        }
        Value::Date(value) => date(value, target),
        Value::Time(value) => time(value, target),
        Value::DateTime(value) => date_time(value, target),
        Value::Timestamp {
            seconds,
            micros,
            fraction,
        } => timestamp(*seconds, *micros, *fraction, target),
        Value::Text { bytes, collation } => charset::decode(*collation, bytes, target)?,
        Value::Bytes(bytes) | Value::Geometry(bytes) | Value::Vector(bytes) => hex(bytes, target),
        Value::Binary { bytes, length } => {
            hex(bytes, target);
            (bytes.len()..usize::from(*length)).for_each(|_| target.push_str("00"));
        }
        Value::Enum(number) => label(column, usize::from(*number), target)?,
        Value::Set(bits) => set(column, *bits, target)?,
        Value::Json(bytes) => json::text(bytes, target)?,
        Value::JsonDiff(_) => {
            return Err(Damage::Unsupported(
                "differences of JSON without the value before them",
            ));
        }
        Value::Compressed { bytes, collation } => {
            let bytes = mariadb::inflate(bytes, inflated_max)?;
            if *collation == crate::mysql::binlog::BINARY {
                hex(&bytes, target);
            } else {
                charset::decode(*collation, &bytes, target)?;
            }
        }
    }
    Ok(())
}

fn put(target: &mut String, arguments: std::fmt::Arguments<'_>) {
    target.write_fmt(arguments).expect("strings take everything");
}

/// Appends a whole number.
pub fn integer(number: i64, target: &mut String) {
    if number < 0 {
        target.push('-');
    }
    natural(number.unsigned_abs(), target);
}

/// Appends a whole number that is not below zero. Most values are numbers, and formatting them in the general way takes
/// several times as long.
pub fn natural(number: u64, target: &mut String) {
    let (mut digits, mut start, mut left) = ([0_u8; 20], 20, number);
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    target.push_str(std::str::from_utf8(&digits[start..]).expect("digits are text"));
}

/// Appends bytes as `HEX` prints them.
pub fn hex(bytes: &[u8], target: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    target.reserve(2 * bytes.len());
    for byte in bytes {
        target.push(char::from(DIGITS[usize::from(byte >> 4)]));
        target.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A short text of digits, appended in one piece.
#[derive(Default)]
pub(in crate::mysql) struct Ascii {
    bytes: [u8; 32],
    length: usize,
}

impl Ascii {
    pub(in crate::mysql) fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// A number's last digits, with zeros before them.
    pub(in crate::mysql) fn padded(&mut self, number: u32, width: usize) {
        let mut left = number;
        for digit in self.bytes[self.length..self.length + width].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.length += width;
    }

    pub(in crate::mysql) fn date(&mut self, date: &Date) {
        self.padded(u32::from(date.year), 4);
        self.push(b'-');
        self.padded(u32::from(date.month), 2);
        self.push(b'-');
        self.padded(u32::from(date.day), 2);
    }

    pub(in crate::mysql) fn clock(&mut self, minutes: u8, seconds: u8) {
        for part in [minutes, seconds] {
            self.push(b':');
            self.padded(u32::from(part), 2);
        }
    }

    pub(in crate::mysql) fn micros(&mut self, micros: u32, fraction: u8) {
        if fraction > 0 {
            let digits = usize::from(fraction.min(6));
            self.push(b'.');
            self.padded(micros / 10_u32.pow(6 - digits as u32), digits);
        }
    }

    pub(in crate::mysql) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("digits are text")
    }

    fn append(&self, target: &mut String) {
        target.push_str(self.as_str());
    }
}

/// Appends `2026-12-31`.
pub fn date(date: &Date, target: &mut String) {
    let mut text = Ascii::default();
    text.date(date);
    text.append(target);
}

/// Appends `-838:59:59.000000`.
pub fn time(time: &Time, target: &mut String) {
    let mut text = Ascii::default();
    if time.negative {
        text.push(b'-');
    }
    text.padded(u32::from(time.hours), if time.hours > 99 { 3 } else { 2 });
    text.clock(time.minutes, time.seconds);
    text.micros(time.micros, time.fraction);
    text.append(target);
}

/// Appends `2026-12-31 23:59:59.999999`.
pub fn date_time(value: &DateTime, target: &mut String) {
    let mut text = Ascii::default();
    text.date(&value.date);
    text.push(b' ');
    text.padded(u32::from(value.hour), 2);
    text.clock(value.minute, value.second);
    text.micros(value.micros, value.fraction);
    text.append(target);
}

/// Appends a TIMESTAMP in UTC; zero is the zero date.
fn timestamp(seconds: u32, micros: u32, fraction: u8, target: &mut String) {
    let mut value = DateTime {
        micros,
        fraction,
        ..DateTime::default()
    };
    if seconds > 0 || micros > 0 {
        let moment = jiff::Timestamp::from_second(i64::from(seconds))
            .expect("jiff knows the times until the year 9999");
        let civil = jiff::tz::Offset::UTC.to_datetime(moment);
        value.date = Date {
            year: civil.year() as u16,
            month: civil.month() as u8,
            day: civil.day() as u8,
        };
        (value.hour, value.minute, value.second) =
            (civil.hour() as u8, civil.minute() as u8, civil.second() as u8);
    }
    date_time(&value, target);
}

/// Exponents from which on numbers are written with one.
const PLAIN_DIGITS_MAX: i32 = 15;

/// Appends a DOUBLE as the server prints it: the fewest digits that say it, `1e16`, `0.001`, `1.5e-20`.
///
/// ```
/// use millstream_connectors::mysql::text::double;
///
/// let mut text = String::new();
/// double(1e15, &mut text);
/// assert_eq!(text, "1e15");
/// ```
pub fn double(number: f64, target: &mut String) {
    decimal_digits(format_args!("{number:e}"), target);
}

/// Appends a FLOAT in the same form. The server prints no more than six digits, which not all of them come back from.
pub fn float(number: f32, target: &mut String) {
    decimal_digits(format_args!("{number:e}"), target);
}

/// Appends a number that is given as `-1.25e-7`.
fn decimal_digits(scientific: std::fmt::Arguments<'_>, target: &mut String) {
    let start = target.len();
    put(target, scientific);
    let Some(split) = target[start..].find('e') else {
        return;
    };
    let exponent: i32 = target[start + split + 1..]
        .parse()
        .expect("exponents are numbers");
    let negative = target.as_bytes()[start] == b'-';
    let mut digits = [0_u8; 24];
    let mut count = 0;
    for digit in target.as_bytes()[start..start + split]
        .iter()
        .filter(|byte| byte.is_ascii_digit())
    {
        digits[count] = *digit;
        count += 1;
    }
    let digits = std::str::from_utf8(&digits[..count]).expect("digits are text");
    target.truncate(start);
    if negative {
        target.push('-');
    }
    // The digits before the point.
    let point = exponent + 1;
    if !(1 - PLAIN_DIGITS_MAX..=PLAIN_DIGITS_MAX).contains(&point) {
        let (first, rest) = digits.split_at(1);
        let separator = if rest.is_empty() { "" } else { "." };
        put(target, format_args!("{first}{separator}{rest}e{exponent}"));
    } else if point <= 0 {
        target.push_str("0.");
        (point..0).for_each(|_| target.push('0'));
        target.push_str(digits);
    } else if let Some((whole, rest)) = digits
        .split_at_checked(point as usize)
        .filter(|(_, rest)| !rest.is_empty())
    {
        put(target, format_args!("{whole}.{rest}"));
    } else {
        target.push_str(digits);
        (digits.len()..point as usize).for_each(|_| target.push('0'));
    }
}

/// The label of a number from 1; 0 is the empty text.
fn label(column: &Column, number: usize, target: &mut String) -> Result<(), Damage> {
    if number == 0 {
        return Ok(());
    }
    if column.labels.is_empty() {
        return Err(Damage::Unsupported(
            "labels of ENUM and SET are not in the log: SET GLOBAL binlog_row_metadata = FULL on the server",
        ));
    }
    let value = number as u64;
    let bytes = column.labels.get(number - 1);
    let bytes = bytes.ok_or(Damage::Invalid {
        what: "a label's number",
        value,
        rule: "more than there are",
    })?;
    charset::decode(column.collation, bytes, target)
}

fn set(column: &Column, bits: u64, target: &mut String) -> Result<(), Damage> {
    let start = target.len();
    for number in (1..=64).filter(|number| bits >> (number - 1) & 1 == 1) {
        if target.len() > start {
            target.push(',');
        }
        label(column, number, target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_the_server_prints_them() {
        for (number, printed) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (0.001, "0.001"),
            (1.25e-14, "0.0000000000000125"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
        ] {
            let mut text = String::new();
            double(number, &mut text);
            assert_eq!(text, printed);
        }
    }
}
