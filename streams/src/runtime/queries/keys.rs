//! Keys as somebody gives them, and ranges of them.
use std::cmp::Ordering;

use arrow::array::{ArrayRef, BooleanArray, DynComparator, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// Rows whose keys lie between two others, both included. Each has the first columns of a key, all or fewer, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRange {
    pub(crate) from: Vec<ArrayRef>,
    pub(crate) to: Vec<ArrayRef>,
}

impl KeyRange {
    /// Which rows are inside, by their first columns. Nulls come before everything else.
    pub(super) fn keep(&self, rows: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let compare = |bound: &[ArrayRef]| {
            let columns = bound.iter().zip(rows.columns());
            let compared =
                columns.map(|(bound, column)| make_comparator(column, bound, SortOptions::default()));
            compared.collect::<Result<Vec<_>, _>>()
        };
        let (from, to) = (compare(&self.from)?, compare(&self.to)?);
        let order = |bound: &[DynComparator], row| {
            let unequal = bound.iter().map(|column| column(row, 0));
            unequal
                .into_iter()
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let inside = |row| order(&from, row).is_ge() && order(&to, row).is_le();
        Ok((0..rows.num_rows()).map(|row| Some(inside(row))).collect())
    }
}

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
        if cast.is_null() != value.is_null() {
            return Err(unfit());
        }
        cast.to_array().map_err(|_| unfit())
    });
    columns.collect()
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

/// The values of a JSON array.
pub(crate) fn from_json(text: &str) -> Result<Vec<ScalarValue>, String> {
    let parsed: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("{text} is no JSON: {error}; give a list like [\"a\",1]"))?;
    // One value may come without brackets.
    let values = match parsed {
        serde_json::Value::Array(values) => values,
        other => vec![other],
    };
    let value = |value: serde_json::Value| match value {
        serde_json::Value::Null => Ok(ScalarValue::Null),
        serde_json::Value::Bool(value) => Ok(ScalarValue::Boolean(Some(value))),
        serde_json::Value::String(value) => Ok(ScalarValue::Utf8(Some(value))),
        serde_json::Value::Number(value) => Ok(match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => ScalarValue::Int64(Some(value)),
            (None, Some(value)) => ScalarValue::UInt64(Some(value)),
            (None, None) => ScalarValue::Float64(value.as_f64()),
        }),
        other => Err(format!("{other} is no value of a key")),
    };
    values.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Int32Type, TimeUnit};

    use super::*;
    use crate::lit;

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
