//! Values without schemas, as JSON converters read what Debezium's sources wrote: the column says what they mean.
use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use millstream_connect::record::Value;

use super::{Cell, Meaning, Unfit};
use crate::mysql::config::{BinaryMode, DecimalMode};
use crate::mysql::sink::column::Kind;

/// How texts were written that are no texts.
#[derive(Debug, Clone, Copy)]
pub(in crate::mysql::sink) struct Loose {
    pub decimals: DecimalMode,
    pub binary: BinaryMode,
}

impl Loose {
    /// A value for a column of a kind, whose meaning is `meaning` where it is a number or has parts. What has to be decoded is put into
    /// `decoded`.
    ///
    /// # Errors
    /// When it is not what the column's values look like.
    pub fn cell<'a>(
        self,
        (meaning, kind): (Meaning, &Kind),
        value: &'a Value,
        decoded: &'a mut Vec<u8>,
    ) -> Result<Cell<'a>, Unfit> {
        match (meaning, value) {
            (Meaning::Date | Meaning::Time(_) | Meaning::Local(_) | Meaning::Year, Value::String(text)) => {
                Ok(Cell::Text(text))
            }
            (Meaning::Bits, Value::String(text)) => {
                base64(text, decoded)?;
                Ok(Cell::Bits(decoded))
            }
            (Meaning::Bits, value) => Meaning::Plain.cell(value),
            (Meaning::Geometry, Value::Map(parts)) => {
                let part = |name: &str| {
                    let found = parts.iter().find(|(its, _)| its.as_str() == Some(name));
                    found.map(|(_, value)| value)
                };
                let Some(Value::String(wkb)) = part("wkb") else {
                    return Err(Unfit::new("a geometry has no wkb"));
                };
                let srid = match part("srid") {
                    Some(Value::Int64(srid)) => u32::try_from(*srid).unwrap_or(0),
                    _ => 0,
                };
                base64(wkb, decoded)?;
                Ok(Cell::Geometry { wkb: decoded, srid })
            }
            (Meaning::Plain, Value::String(text)) => match kind {
                Kind::Binary(_) if self.binary == BinaryMode::Bytes => {
                    base64(text, decoded)?;
                    Ok(Cell::Bytes(decoded))
                }
                Kind::Decimal { scale, .. } if self.decimals == DecimalMode::Precise => {
                    base64(text, decoded)?;
                    let unscaled = BigInt::from_signed_bytes_be(decoded);
                    Ok(Cell::Decimal(Cow::Owned(BigDecimal::new(
                        unscaled,
                        i64::from(*scale),
                    ))))
                }
                Kind::Decimal { .. } if !is_number(text) => Err(Unfit::new(
                    "it is a text that is no number; if the source writes decimals as bytes, set decimal.handling.mode=precise here, too",
                )),
                _ => Ok(Cell::Text(text)),
            },
            (meaning, value) => meaning.cell(value),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

fn base64(text: &str, decoded: &mut Vec<u8>) -> Result<(), Unfit> {
    decoded.clear();
    STANDARD
        .decode_vec(text, decoded)
        .map_err(|_| Unfit::new("it is a text where bytes are written as base64"))
}
