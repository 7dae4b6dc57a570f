//! Decimals, dates, times and timestamps: messages that are one value in Connect.
use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode};
use bytes::Bytes;

use super::wire::{Input, WireType, write_varint};
use crate::converter::problem::Problem;
use crate::converter::text::Day;
use crate::record::Value;

/// The seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// How many digits a decimal may be rounded from.
const DECIMAL_BYTES_MAX: usize = 64 << 10;

/// A message that stands for one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal,
    Date,
    Time,
    Timestamp,
}

impl Logical {
    /// By the full name of the message.
    pub(super) fn of_message(full: &str) -> Option<Self> {
        Some(match full {
            "confluent.type.Decimal" => Self::Decimal,
            "google.type.Date" => Self::Date,
            "google.type.TimeOfDay" => Self::Time,
            "google.protobuf.Timestamp" => Self::Timestamp,
            _ => return None,
        })
    }

    /// The value of the message that `input` is.
    pub(super) fn read(self, input: &mut Input<'_>) -> Result<Value, Problem> {
        let mut numbers = [0_i64; 5];
        let mut unscaled = Bytes::new();
        while !input.is_empty() {
            let (number, kind) = input.tag()?;
            match (self, number, kind) {
                (Self::Decimal, 1, WireType::Length) => unscaled = input.bytes()?,
                (_, 1..=4, WireType::Varint) => numbers[number as usize] = input.varint()? as i64,
                _ => input.skip(number, kind)?,
            }
        }
        // All but the seconds of a timestamp have 32 bits.
        let [_, first, second, third, fourth] = numbers;
        let int = |number: i64| i64::from(number as i32);
        match self {
            Self::Decimal => decimal(&unscaled, second as u32, third as i32),
            Self::Date => date(int(first), int(second), int(third)),
            Self::Time => time(int(first), int(second), int(third), int(fourth)),
            Self::Timestamp => timestamp(first, int(second)),
        }
    }

    /// The value of a message without fields, if there is one.
    pub(super) fn empty(self) -> Value {
        match self {
            Self::Decimal | Self::Date => Value::Null,
            Self::Time => Value::Time(0),
            Self::Timestamp => Value::Timestamp(0),
        }
    }

    /// Writes the fields of the message for `value`; `None` if it is of another type.
    pub(super) fn write(self, value: &Value, out: &mut Vec<u8>) -> Option<Result<(), Problem>> {
        Some(match (self, value) {
            (Self::Decimal, Value::Decimal(decimal)) => write_decimal(decimal, out),
            (Self::Date, Value::Date(days)) => {
                let Day { year, month, day } = Day::from_epoch((*days).into());
                // Years before 1 are counted from 1 again, backwards, as Java's calendars do.
                let year = if year > 0 { year } else { 1 - year };
                write_numbers(&[year, month, day], out);
                Ok(())
            }
            (Self::Time, Value::Time(ms)) => {
                if !(0..=86_400_000).contains(ms) {
                    return Some(Err(Problem::new(format!("{ms} ms are no time of a day"))));
                }
                let (seconds, ms) = (i64::from(ms / 1_000), i64::from(ms % 1_000));
                let hours = seconds / 3_600 % 24;
                write_numbers(&[hours, seconds / 60 % 60, seconds % 60, ms * 1_000_000], out);
                Ok(())
            }
            (Self::Timestamp, Value::Timestamp(ms)) => {
                let (seconds, ms_of_second) = (ms.div_euclid(1_000), ms.rem_euclid(1_000));
                if !SECONDS.contains(&seconds) {
                    let what = format!("the timestamp {ms} is not between the years 1 and 9999");
                    return Some(Err(Problem::new(what)));
                }
                write_numbers(&[seconds, ms_of_second * 1_000_000], out);
                Ok(())
            }
            _ => return None,
        })
    }
}

/// Writes fields with the numbers 1, 2, … that are not 0.
fn write_numbers(numbers: &[i64], out: &mut Vec<u8>) {
    for (number, value) in (1_u64..).zip(numbers) {
        if *value != 0 {
            write_varint(number << 3, out);
            write_varint(*value as u64, out);
        }
    }
}

fn write_decimal(decimal: &BigDecimal, out: &mut Vec<u8>) -> Result<(), Problem> {
    let (unscaled, scale) = decimal.as_bigint_and_scale();
    let scale =
        i32::try_from(scale).map_err(|_| Problem::new("a decimal has a scale of more than 32 bits"))?;
    let bytes = unscaled.to_signed_bytes_be();
    write_varint(1 << 3 | WireType::Length as u64, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
    // Zero has one digit.
    let digits = decimal.digits().max(1);
    write_varint(2 << 3, out);
    write_varint(digits, out);
    if scale != 0 {
        write_varint(3 << 3, out);
        write_varint(i64::from(scale) as u64, out);
    }
    Ok(())
}

fn decimal(unscaled: &[u8], precision: u32, scale: i32) -> Result<Value, Problem> {
    if unscaled.is_empty() {
        return Err(Problem::new("a decimal has no bytes"));
    }
    if unscaled.len() > DECIMAL_BYTES_MAX {
        return Err(Problem::new(format!(
            "a decimal has more than {DECIMAL_BYTES_MAX} bytes"
        )));
    }
    let mut decimal = BigDecimal::new(BigInt::from_signed_bytes_be(unscaled), scale.into());
    if let Some(precision) = std::num::NonZeroU64::new(precision.into())
        && might_exceed(unscaled.len(), precision.get())
        && decimal.digits() > precision.get()
    {
        decimal = decimal.with_precision_round(precision, RoundingMode::HalfUp);
    }
    Ok(Value::Decimal(Box::new(decimal)))
}

/// Whether so many bytes can have more digits than `precision`: a byte has up to 2.41.
fn might_exceed(bytes: usize, precision: u64) -> bool {
    bytes as u64 * 241 / 100 + 1 > precision
}

fn date(year: i64, month: i64, day: i64) -> Result<Value, Problem> {
    let given = Day { year, month, day };
    let days = given.to_epoch();
    // What is no day becomes another one.
    let is_day = year > 0 && Day::from_epoch(days) == given;
    match i32::try_from(days) {
        Ok(days) if is_day => Ok(Value::Date(days)),
        _ => Err(Problem::new(format!(
            "there is no day {day} of month {month} of the year {year}"
        ))),
    }
}

fn time(hours: i64, minutes: i64, seconds: i64, nanos: i64) -> Result<Value, Problem> {
    let limits = [(hours, 23), (minutes, 59), (seconds, 59), (nanos, 999_999_999)];
    if limits.iter().any(|(value, last)| !(0..=*last).contains(value)) {
        return Err(Problem::new(format!(
            "there is no time {hours}:{minutes}:{seconds} and {nanos} nanoseconds"
        )));
    }
    let ms = ((hours * 60 + minutes) * 60 + seconds) * 1_000 + nanos / 1_000_000;
    Ok(Value::Time(
        i32::try_from(ms).expect("a day has fewer milliseconds"),
    ))
}

fn timestamp(seconds: i64, nanos: i64) -> Result<Value, Problem> {
    if !SECONDS.contains(&seconds) || !(0..=999_999_999).contains(&nanos) {
        return Err(Problem::new(format!(
            "a timestamp of {seconds} seconds and {nanos} nanoseconds is not between the years 1 and 9999"
        )));
    }
    Ok(Value::Timestamp(seconds * 1_000 + nanos / 1_000_000))
}
