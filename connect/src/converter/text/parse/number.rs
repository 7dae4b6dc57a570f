//! Numbers in texts.
use std::sync::Arc;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

use super::plain;
use crate::record::{Datum, Schema, SchemaKind, Value};

/// How many digits a decimal may have.
const DIGITS_MAX: usize = 10_000;

/// The number that `token` is, if it is one: of the narrowest integer type if it is whole, then a float, a double, a decimal.
pub(super) fn parse(token: &str) -> Option<Datum> {
    let literal = Literal::read(token)?;
    if let Some(whole) = literal.whole() {
        let (kind, value) = if let Ok(number) = i8::try_from(whole) {
            (SchemaKind::Int8, Value::Int8(number))
        } else if let Ok(number) = i16::try_from(whole) {
            (SchemaKind::Int16, Value::Int16(number))
        } else if let Ok(number) = i32::try_from(whole) {
            (SchemaKind::Int32, Value::Int32(number))
        } else {
            (SchemaKind::Int64, Value::Int64(whole))
        };
        return Some(Datum::new(plain(kind), value));
    }
    let float: f32 = token.parse().ok()?;
    if float.is_finite() && literal.scale != 0 {
        return Some(Datum::new(plain(SchemaKind::Float32), Value::Float32(float)));
    }
    let double: f64 = token.parse().ok()?;
    if double.is_finite() && literal.scale != 0 {
        return Some(Datum::new(plain(SchemaKind::Float64), Value::Float64(double)));
    }
    let scale = i32::try_from(literal.scale).ok()?;
    let unscaled: BigInt = literal.digits.parse().ok()?;
    let unscaled = if literal.negative { -unscaled } else { unscaled };
    let decimal = BigDecimal::new(unscaled, scale.into());
    Some(Datum::new(
        Arc::new(Schema::decimal(scale)),
        Value::Decimal(Box::new(decimal)),
    ))
}

/// A number's digits, and how many of them are behind the point.
struct Literal {
    negative: bool,
    digits: String,
    scale: i64,
}

impl Literal {
    fn read(token: &str) -> Option<Self> {
        let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
            None => (unsigned, 0),
        };
        let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{before}{behind}");
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let scale = i64::try_from(behind.len()).ok()? - exponent;
        i32::try_from(scale).ok()?;
        let significant = digits.trim_start_matches('0');
        let digits = if significant.is_empty() { "0" } else { significant };
        Some(Self {
            negative: token.starts_with('-'),
            digits: digits.to_owned(),
            scale,
        })
    }

    /// The number, if it is whole and has at most 64 bits.
    fn whole(&self) -> Option<i64> {
        if self.digits == "0" {
            return Some(0);
        }
        let zeros = self.digits.len() - self.digits.trim_end_matches('0').len();
        let (zeros, digits) = (i64::try_from(zeros).ok()?, i64::try_from(self.digits.len()).ok()?);
        if zeros < self.scale || digits - self.scale > 19 {
            return None;
        }
        let kept = usize::try_from(digits - self.scale.max(0)).ok()?;
        let mut number: i128 = self.digits[..kept].parse().ok()?;
        for _ in self.scale..0 {
            number *= 10;
        }
        i64::try_from(if self.negative { -number } else { number }).ok()
    }
}
