//! What DECIMAL becomes.
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bytestring::ByteString;
use millstream_connect::record::{Schema, SchemaKind, Value};

use crate::mysql::binlog::{Damage, Decimal};
use crate::mysql::config::DecimalMode;
use crate::mysql::record::declared::Declared;

/// The most digits that 128 bits hold, whatever they are.
const WORD_DIGITS_MAX: usize = 38;

/// How DECIMAL is told (`decimal.handling.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalForm {
    /// Exact, with so many digits behind the point.
    Precise(u8),
    /// The next DOUBLE.
    Double,
    /// As text, with so many digits behind the point.
    Text(u8),
}

/// Zero, with so many digits behind the point.
pub(super) fn zero(scale: u8) -> Value {
    exact(BigInt::ZERO, i64::from(scale))
}

/// An exact number, from all its digits and how many of them stand behind the point.
pub(super) fn exact(digits: impl Into<BigInt>, scale: i64) -> Value {
    Value::Decimal(Box::new(BigDecimal::new(digits.into(), scale)))
}

/// The digits of a short number without its point; nothing for others.
fn short(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (mut number, mut point) = (0_i64, false);
    for byte in digits {
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let any = digits.len() > usize::from(point);
    any.then_some(if negative { -number } else { number })
}

fn no_number() -> Damage {
    Damage::Text {
        what: "a decimal",
        charset: "digits",
    }
}

impl DecimalForm {
    pub(super) fn new(mode: DecimalMode, scale: u8) -> Self {
        match mode {
            DecimalMode::Precise => Self::Precise(scale),
            DecimalMode::Double => Self::Double,
            DecimalMode::String => Self::Text(scale),
        }
    }

    pub(super) fn schema(self, declared: &Declared) -> Schema {
        match self {
            Self::Precise(scale) => {
                let precision = declared.length.unwrap_or(10).to_string();
                Schema::decimal(i32::from(scale)).with_parameter("connect.decimal.precision", precision)
            }
            Self::Double => SchemaKind::Float64.into(),
            Self::Text(_) => SchemaKind::String.into(),
        }
    }

    pub(super) fn zero(self) -> Value {
        match self {
            Self::Precise(scale) => zero(scale),
            Self::Double => Value::Float64(0.0),
            Self::Text(scale) => {
                Value::from(BigDecimal::new(BigInt::ZERO, i64::from(scale)).to_plain_string())
            }
        }
    }

    /// A number of a log.
    pub(super) fn of_log(self, number: &Decimal<'_>) -> Result<Value, Damage> {
        if let (Self::Precise(_), Some(digits)) = (self, number.unscaled()) {
            return Ok(exact(digits, i64::from(number.scale())));
        }
        let mut text = String::with_capacity(WORD_DIGITS_MAX);
        number.print(&mut text);
        self.of_text(&text)
    }

    /// A number as the server prints it.
    pub(super) fn of_text(self, text: &str) -> Result<Value, Damage> {
        match self {
            Self::Precise(_) => {
                let scale = text.find('.').map_or(0, |point| text.len() - point - 1);
                if let Some(digits) = short(text) {
                    return Ok(exact(digits, scale as i64));
                }
                let digits = text.replace('.', "");
                match digits.len() <= WORD_DIGITS_MAX {
                    true => digits.parse::<i128>().ok().map(BigInt::from),
                    false => digits.parse::<BigInt>().ok(),
                }
                .map(|digits| exact(digits, scale as i64))
                .ok_or_else(no_number)
            }
            Self::Double => text.parse().map(Value::Float64).map_err(|_| no_number()),
            Self::Text(_) => Ok(Value::String(ByteString::from(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_what_long_ones_are() {
        for text in [
            "0",
            "-0.00",
            "12.50",
            "-7",
            ".5",
            "9223372036854775807",
            "-922337203685477580.7",
            "00012.3",
        ] {
            assert_eq!(short(text), text.replace('.', "").parse().ok(), "{text}");
            assert!(short(text).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "-.",
            "1.2.3",
            "1e3",
            "+1",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(short(text), None, "{text}");
        }
    }
}
