//! Values as Java's `toString` writes them, which is what Kafka's connector puts into lines.
//!
//! Only bytes differ: Java would write an address, so they are written as they are.
use std::io::Write;

use jiff::Timestamp;
use millstream_connect::record::{Struct, Value};

/// Writes a value behind what is in `out`.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    match value {
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => drop(write!(out, "{value}")),
        Value::Int8(value) => drop(write!(out, "{value}")),
        Value::Int16(value) => drop(write!(out, "{value}")),
        Value::Int32(value) => drop(write!(out, "{value}")),
        Value::Int64(value) => drop(write!(out, "{value}")),
        Value::Float32(value) => write_float(&format!("{value:e}"), out),
        Value::Float64(value) => write_float(&format!("{value:e}"), out),
        Value::Decimal(value) => write_decimal(value, out),
        Value::Date(days) => write_date(i64::from(*days) * 86_400_000, out),
        Value::Time(millis) => write_date(i64::from(*millis), out),
        Value::Timestamp(millis) => write_date(*millis, out),
        Value::Array(values) => write_list(values, out),
        Value::Map(entries) => write_map(entries, out),
        Value::Struct(fields) => write_struct(fields, out),
    }
}

/// Writes a value that is text or bytes, or none, and ends the line.
#[inline]
pub(super) fn write_line(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(value.unwrap_or(b"null"));
    out.push(b'\n');
}

fn write_list(values: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_value(value, out);
    }
    out.push(b']');
}

fn write_map(entries: &[(Value, Value)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_value(key, out);
        out.push(b'=');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Fields that are null are left out, as in `Struct.toString`.
fn write_struct(fields: &Struct, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Struct{");
    let names = fields.schema().fields().iter().map(|field| &field.name);
    let given = names.zip(fields.values()).filter(|(_, value)| !value.is_null());
    for (index, (name, value)) in given.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        write_value(value, out);
    }
    out.push(b'}');
}

/// `Double.toString`: plain from 10^-3 up to 10^7, otherwise with an exponent, and always with a digit behind the point.
fn write_float(scientific: &str, out: &mut Vec<u8>) {
    let (mantissa, exponent) = match scientific.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => {
            let name = match scientific {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                other => other,
            };
            return out.extend_from_slice(name.as_bytes());
        }
    };
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|letter| *letter != '.').collect();
    out.extend_from_slice(sign.as_bytes());
    if digits == "0" {
        return out.extend_from_slice(b"0.0");
    }
    let or_zero = |digits: &str| {
        if digits.is_empty() {
            "0".to_owned()
        } else {
            digits.to_owned()
        }
    };
    let text = match exponent {
        0..=6 => {
            let point = usize::try_from(exponent).expect("it is from 0 to 6") + 1;
            let padded = format!("{digits:0<point$}");
            format!("{}.{}", &padded[..point], or_zero(&padded[point..]))
        }
        -3..=-1 => {
            let zeros = usize::try_from(-exponent).expect("it is from 1 to 3") - 1;
            format!("0.{}{digits}", "0".repeat(zeros))
        }
        _ => format!("{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    };
    out.extend_from_slice(text.as_bytes());
}

/// `BigDecimal.toString`.
fn write_decimal(value: &bigdecimal::BigDecimal, out: &mut Vec<u8>) {
    let (unscaled, scale) = value.as_bigint_and_exponent();
    let text = unscaled.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", &*text), |rest| ("-", rest));
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let adjusted = (length - 1).saturating_sub(scale);
    let written = if scale == 0 {
        digits.to_owned()
    } else if scale > 0 && adjusted >= -6 {
        let scale = usize::try_from(scale).expect("it is positive and near the number of digits");
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let point = padded.len() - scale;
        format!("{}.{}", &padded[..point], &padded[point..])
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}E{adjusted:+}")
    };
    out.extend_from_slice(sign.as_bytes());
    out.extend_from_slice(written.as_bytes());
}

/// `java.util.Date.toString`, in UTC.
fn write_date(millis: i64, out: &mut Vec<u8>) {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => drop(write!(out, "{}", time.strftime("%a %b %d %H:%M:%S UTC %Y"))),
        Err(_) => drop(write!(out, "{millis}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bigdecimal::BigDecimal;
    use millstream_connect::record::{Field, Schema, SchemaKind};

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        write_value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// What Java 17 with Kafka Connect 4.2 printed for the same values.
    #[test]
    fn values_are_as_java_writes_them() {
        let doubles = "0.0 -0.0 1.0 1.5 100.0 1234567.0 9999999.0 1.0E7 1.23456789E7 0.001 1.0E-4 0.00123 1.0E21 \
                       1.0E-5 -2.5E-10 NaN Infinity -Infinity 1.7976931348623157E308 3.0E10 0.1 123.456";
        for expected in doubles.split_whitespace() {
            let number = expected.replace("Infinity", "inf").parse().unwrap();
            assert_eq!(text(&Value::Float64(number)), expected);
        }
        for expected in ["0.1", "1.0E10", "1.5", "1.6777216E7", "3.4028235E38", "0.003"] {
            assert_eq!(text(&Value::Float32(expected.parse().unwrap())), expected);
        }
        for (decimal, expected) in [
            ("1.50", "1.50"),
            ("-0.001", "-0.001"),
            ("0", "0"),
            ("0.00", "0.00"),
            ("1E+3", "1E+3"),
            ("1E-7", "1E-7"),
            ("0.000001", "0.000001"),
            (
                "123456789012345678901234567890.5",
                "123456789012345678901234567890.5",
            ),
            ("-12E+5", "-1.2E+6"),
            ("0E-8", "0E-8"),
            ("100", "100"),
        ] {
            let decimal: BigDecimal = decimal.parse().unwrap();
            assert_eq!(text(&Value::Decimal(Box::new(decimal))), expected);
        }
        assert_eq!(text(&Value::Timestamp(0)), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(
            text(&Value::Timestamp(1_700_000_000_123)),
            "Tue Nov 14 22:13:20 UTC 2023"
        );
        assert_eq!(text(&Value::Date(-5)), "Sat Dec 27 00:00:00 UTC 1969");
    }

    #[test]
    fn structs_are_as_java_writes_them() {
        let field = |name: &str, schema: Schema| Field {
            name: Arc::from(name),
            schema: Arc::new(schema),
        };
        let inner = Arc::new(
            Schema::try_struct(vec![field("x", Schema::from(SchemaKind::Int32).optional())]).unwrap(),
        );
        // What the fields are does not matter for this.
        let fields = ["a", "b", "c", "d", "p"].map(|name| field(name, SchemaKind::Int32.into()));
        let schema = Arc::new(Schema::try_struct(fields.to_vec()).unwrap());
        let map = [("k", 1), ("l", 2)].map(|(key, value)| (Value::from(key), Value::Int64(value)));
        let value = Value::Struct(Struct::new(
            schema,
            vec![
                Value::Int32(1),
                Value::Null,
                Value::Array(vec![Value::from("x"), Value::Null]),
                Value::Map(map.to_vec()),
                Value::Struct(Struct::empty(inner)),
            ],
        ));
        assert_eq!(text(&value), "Struct{a=1,c=[x, null],d={k=1, l=2},p=Struct{}}");
    }
}
