//! Defaults of schemas, from what the server says of a column's.
use bigdecimal::{BigDecimal, RoundingMode};
use bytestring::ByteString;
use millstream_connect::record::Value;

use super::kind::Kind;
use super::{log, number, text};
use crate::mysql::binlog::DateTime;
use crate::mysql::record::declared::Declared;
use crate::mysql::schema::Column;

/// The value of a column's default; nothing where there is none, or one that no value is known of.
pub(super) fn of(column: &Column, declared: &Declared, kind: &Kind) -> Option<Value> {
    let default = without_introducer(column.default.as_deref()?);
    let trimmed = default.trim();
    let number = match trimmed {
        _ if trimmed.eq_ignore_ascii_case("true") => "1",
        _ if trimmed.eq_ignore_ascii_case("false") => "0",
        _ => trimmed,
    };
    match kind {
        Kind::Int { into, .. } => whole(number).map(|number| into.value(number)),
        Kind::Unsigned => whole(number).map(|digits| number::exact(digits as u64, 0)),
        Kind::Float => number
            .parse()
            .ok()
            .map(|number: f64| Value::Float32(number as f32)),
        Kind::FloatAsDouble | Kind::Double => number.parse().ok().map(Value::Float64),
        Kind::Decimal(form) => {
            let scale = i64::from(declared.scale.unwrap_or(0));
            let number: BigDecimal = number.parse().ok()?;
            let number = number.with_scale_round(scale, RoundingMode::HalfUp);
            form.of_text(&number.to_plain_string()).ok()
        }
        Kind::Boolean => bits(number).map(|bits| Value::Boolean(bits != 0)),
        Kind::Bits(length) => bits(number).map(|bits| log::bit_bytes(bits, *length)),
        Kind::Year => number.parse().ok().map(Value::Int32),
        Kind::Date(_) | Kind::DateTime(_) | Kind::Timestamp(_) => moment(column, kind, trimmed),
        Kind::Time(form) => {
            let clock = trimmed.rsplit(' ').next().unwrap_or(trimmed);
            form.value(&text::time(clock.as_bytes())?).ok()
        }
        Kind::Text(_) | Kind::Enum(_) | Kind::Set(_) | Kind::Fixed(_) => {
            Some(Value::String(ByteString::from(default)))
        }
        Kind::Bytes { mode, fixed } => {
            let bytes = hexadecimal(default).unwrap_or_else(|| default.as_bytes().to_vec());
            Some(log::binary(&bytes, *mode, *fixed))
        }
        Kind::Json | Kind::Geometry | Kind::Point | Kind::Vector => None,
    }
}

/// `_utf8mb4'text'` is the text.
fn without_introducer(default: &str) -> &str {
    let inner = default
        .strip_prefix('_')
        .and_then(|rest| rest.split_once('\''))
        .filter(|(charset, _)| {
            !charset.is_empty() && charset.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
        .and_then(|(_, rest)| rest.strip_suffix('\''));
    inner.unwrap_or(default)
}

/// A whole number; one with digits behind the point is rounded, as Java rounds.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number as i64);
    }
    let number: f64 = text.parse().ok()?;
    Some((number + 0.5).floor() as i64)
}

/// `b'101'`, or the digits alone.
fn bits(text: &str) -> Option<u64> {
    let digits = text
        .strip_prefix("b'")
        .and_then(|digits| digits.strip_suffix('\''))
        .unwrap_or(text);
    u64::from_str_radix(digits, 2).ok()
}

/// `0x6162`, as servers show the defaults of bytes.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() % 2 == 0)?;
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The start of 1970 stands for what the clock says, and for dates that are none where there may be no null.
fn moment(column: &Column, kind: &Kind, text: &str) -> Option<Value> {
    let optional = column.log.nullable;
    let now = ["CURRENT_TIMESTAMP", "NOW(", "LOCALTIME"]
        .iter()
        .any(|word| starts_with(text, word));
    let day = text.get(..10).unwrap_or(text);
    let read = || {
        let moment = match text.len() {
            10 => text::date(day.as_bytes()).map(|date| DateTime {
                date,
                ..DateTime::default()
            }),
            _ => text::date_time(text.as_bytes()),
        }?;
        match kind {
            Kind::Date(form) => form.value(moment.date).ok().flatten(),
            Kind::DateTime(form) => form.value(&moment).ok().flatten(),
            Kind::Timestamp(fraction) => super::temporal::zoned(&moment, *fraction),
            _ => None,
        }
    };
    match kind {
        Kind::DateTime(form) if now => Some(form.epoch()),
        _ if now => (!optional).then(|| kind.fallback()),
        _ => read().or_else(|| (!optional).then(|| kind.fallback())),
    }
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}
