//! Keys as somebody gives them.
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// The values as columns of one row of the first of `fields`; what does not fit is said.
pub(crate) fn columns(values: &[ScalarValue], fields: &[&Field]) -> Result<Vec<ArrayRef>, String> {
    if values.len() > fields.len() {
        return Err(format!("{} values, its key is {}", values.len(), names(fields)));
    }
    let columns = values.iter().zip(fields).map(|(value, field)| {
        let (name, wanted) = (field.name(), field.data_type());
        let unfit = || format!("{name} is of type {wanted}, not {value}");
        if value.data_type().is_floating() && wanted.is_integer() {
            return Err(unfit());
        }
        let cast = value.cast_to(wanted).map_err(|_| unfit())?;
        if cast.is_null() != value.is_null() || !is_same(value, &cast) {
            return Err(unfit());
        }
        cast.to_array().map_err(|_| unfit())
    });
    columns.collect()
}

/// Whether a decimal is the value that was given for it, and not one near it.
fn is_same(given: &ScalarValue, decimal: &ScalarValue) -> bool {
    if !is_decimal(&decimal.data_type()) || decimal.is_null() {
        return true;
    }
    if given.data_type().is_floating() {
        return decimal
            .cast_to(&given.data_type())
            .is_ok_and(|back| back == *given);
    }
    // More digits behind the point than a key has: what is rounded away then is noticed.
    let places = match decimal.data_type() {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => scale.saturating_add(20).clamp(0, 76),
        _ => 0,
    };
    let wide = DataType::Decimal256(76, places);
    match (given.cast_to(&wide), decimal.cast_to(&wide)) {
        (Ok(given), Ok(decimal)) => given == decimal,
        _ => false,
    }
}

pub(super) fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// A whole key.
pub(crate) fn key(values: &[ScalarValue], fields: &[&Field]) -> Result<Vec<ArrayRef>, String> {
    if values.len() != fields.len() {
        let count = values.len();
        return Err(format!("{count} values, its key is {}", names(fields)));
    }
    columns(values, fields)
}

fn names(fields: &[&Field]) -> String {
    let fields = fields.iter();
    let texts: Vec<String> = fields
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    texts.join(", ")
}

/// The values of literals.
pub(crate) fn literals(values: &[Expr]) -> Result<Vec<ScalarValue>, String> {
    let value = |value: &Expr| match value {
        Expr::Literal(value, _) => Ok(value.clone()),
        other => Err(format!("{other} is no value; give lit(…)")),
    };
    values.iter().map(value).collect()
}

/// The values of a JSON array. Numbers that are no integers of 64 bits stay text, as exact as they came.
pub(crate) fn from_json(text: &str) -> Result<Vec<ScalarValue>, String> {
    let parsed: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("{text} is no JSON: {error}; give a list like [\"a\",1]"))?;
    // One value may come without brackets.
    let values = match parsed {
        serde_json::Value::Array(values) => values,
        other => vec![other],
    };
    let mut texts = elements(text).into_iter();
    let value = |value: serde_json::Value| {
        let text = texts.next().unwrap_or_default();
        match value {
            serde_json::Value::Null => Ok(ScalarValue::Null),
            serde_json::Value::Bool(value) => Ok(ScalarValue::Boolean(Some(value))),
            serde_json::Value::String(value) => Ok(ScalarValue::Utf8(Some(value))),
            serde_json::Value::Number(value) => Ok(match (value.as_i64(), value.as_u64()) {
                (Some(value), _) => ScalarValue::Int64(Some(value)),
                (None, Some(value)) => ScalarValue::UInt64(Some(value)),
                (None, None) => ScalarValue::Utf8(Some(text.to_owned())),
            }),
            other => Err(format!("{other} is no value of a key")),
        }
    };
    values.into_iter().map(value).collect()
}

/// The elements of a JSON list as they stand in its text, which is well formed; of nested ones something.
fn elements(text: &str) -> Vec<&str> {
    let text = text.trim();
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let (mut elements, mut begins) = (Vec::new(), 0);
    let (mut in_string, mut escaped) = (false, false);
    for (place, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => {
                elements.push(inner[begins..place].trim());
                begins = place + 1;
            }
            _ => {}
        }
    }
    elements.push(inner[begins..].trim());
    elements
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
    use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, TimeUnit};

    use super::*;
    use crate::lit;
    use crate::operator::KeyRange;

    fn fields() -> Vec<Field> {
        vec![
            Field::new("name", DataType::Utf8View, true),
            Field::new("number", DataType::Int32, true),
        ]
    }

    #[test]
    fn values_become_columns_of_the_keys_types() {
        let fields = fields();
        let fields: Vec<&Field> = fields.iter().collect();
        let values = literals(&[lit("a"), lit(5_i64)]).unwrap();
        let columns = key(&values, &fields).unwrap();
        assert_eq!(columns[0].as_string_view().value(0), "a");
        assert_eq!(columns[1].as_primitive::<Int32Type>().value(0), 5);
        let columns = key(&from_json(r#"["b", null]"#).unwrap(), &fields).unwrap();
        assert!(columns[1].is_null(0));
        assert_eq!(from_json("7").unwrap(), [ScalarValue::Int64(Some(7))]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let fields = fields();
        let fields: Vec<&Field> = fields.iter().collect();
        let error = |text: &str| key(&from_json(text).unwrap(), &fields).unwrap_err();
        assert_eq!(
            error(r#"["a"]"#),
            "1 values, its key is name Utf8View, number Int32"
        );
        assert!(error(r#"["a", 5000000000]"#).starts_with("number is of type Int32"));
        assert!(error(r#"["a", 1.5]"#).contains("not 1.5"));
        assert!(error(r#"["a", "x"]"#).contains("not x"));
        assert!(from_json("[{}]").unwrap_err().contains("no value of a key"));
        assert!(from_json("[").unwrap_err().contains("no JSON"));
        let error = literals(&[crate::col("x")]).unwrap_err();
        assert!(error.contains("give lit"), "{error}");
        let time = Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true);
        assert!(key(&from_json(r#"["2026-01-01T00:00:00"]"#).unwrap(), &[&time]).is_ok());
    }

    #[test]
    fn decimals_and_floats_are_exact_or_refused() {
        let wide = Field::new("amount", DataType::Decimal128(38, 0), true);
        let money = Field::new("price", DataType::Decimal128(10, 2), true);
        let float = Field::new("ratio", DataType::Float64, true);
        let one = |text: &str, field: &Field| key(&from_json(text).unwrap(), &[field]);
        let decimal = |text: &str, field: &Field| {
            let column = one(text, field).unwrap();
            column[0].as_primitive::<Decimal128Type>().value(0)
        };
        for text in [
            "[12345678901234567890123]",
            "12345678901234567890123",
            "[\"12345678901234567890123\"]",
        ] {
            assert_eq!(decimal(text, &wide), 12_345_678_901_234_567_890_123, "{text}");
        }
        assert_eq!(decimal("[ 1.20 ]", &money), 120);
        assert_eq!(decimal("[-7]", &money), -700);
        for text in ["[1.239]", "[\"1.239\"]", "[1e300]", "[\"x\"]"] {
            assert!(
                one(text, &money).unwrap_err().starts_with("price is of type"),
                "{text}"
            );
        }
        assert!(key(&literals(&[lit(1.24)]).unwrap(), &[&money]).is_ok());
        assert!(key(&literals(&[lit(1.239)]).unwrap(), &[&money]).is_err());
        let ratio = |text: &str| {
            one(text, &float).unwrap()[0]
                .as_primitive::<Float64Type>()
                .value(0)
        };
        assert_eq!((ratio("[0.1]"), ratio("[\"inf\"]")), (0.1, f64::INFINITY));
        assert!(ratio("[\"NaN\"]").is_nan());
        assert_eq!(
            from_json(r#"["a,\"b", 1.5, "c", null]"#).unwrap(),
            [
                ScalarValue::from("a,\"b"),
                ScalarValue::from("1.5"),
                ScalarValue::from("c"),
                ScalarValue::Null
            ]
        );
    }

    #[test]
    fn ranges_include_both_ends_and_compare_the_columns_they_have() {
        let names: ArrayRef = Arc::new(StringViewArray::from(vec![
            None,
            Some("a"),
            Some("b"),
            Some("b"),
            Some("c"),
        ]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
        let rows =
            RecordBatch::try_from_iter_with_nullable([("k", names, true), ("n", numbers, true)]).unwrap();
        let kept = |from: &[ScalarValue], to: &[ScalarValue]| -> Vec<usize> {
            let schema = rows.schema();
            let fields: Vec<&Field> = schema.fields().iter().map(|field| &**field).collect();
            let (from, to) = (columns(from, &fields).unwrap(), columns(to, &fields).unwrap());
            let keep = KeyRange { from, to }.keep(&rows).unwrap();
            (0..5).filter(|row| keep.value(*row)).collect()
        };
        let text = |text: &str| ScalarValue::from(text);
        let number = |number: i64| ScalarValue::from(number);
        assert_eq!(kept(&[], &[]), [0, 1, 2, 3, 4]);
        assert_eq!(kept(&[text("b")], &[]), [2, 3, 4]);
        assert_eq!(kept(&[], &[text("a")]), [0, 1]);
        assert_eq!(kept(&[text("b"), number(4)], &[text("c")]), [3, 4]);
        assert_eq!(kept(&[text("a")], &[text("b"), number(3)]), [1, 2]);
        assert!(kept(&[text("d")], &[]).is_empty());
    }
}
