//! Values that a record does not say: a text in their place means that the row keeps what it had.
//!
//! Owns: filling such values from earlier rows of the epoch, then from the table. Does not own: which texts those are; a format says it
//! (Debezium's `unavailable.value.placeholder`).
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;

use super::OperatorError;

/// Which values of a column are one of `texts`; none if no value can be.
fn places(column: &ArrayRef, texts: &[String]) -> Result<Option<Vec<bool>>, OperatorError> {
    use DataType::*;
    if !matches!(
        column.data_type(),
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView
    ) {
        return Ok(None);
    }
    let bytes = cast(column, &BinaryView)?;
    let bytes = bytes.as_binary_view().iter();
    let is =
        |value: Option<&[u8]>| value.is_some_and(|value| texts.iter().any(|text| text.as_bytes() == value));
    let places: Vec<bool> = bytes.map(is).collect();
    Ok(places.contains(&true).then_some(places))
}

/// The rows with such values behind the first `keys` columns taken from the row of the same group before; `groups` and `deleted` have
/// one element a row. Where there is none they stay, and behind a deletion they are null.
pub(super) fn fill_from_rows(
    rows: &RecordBatch,
    keys: usize,
    groups: &[usize],
    deleted: &[bool],
    texts: &[String],
) -> Result<RecordBatch, OperatorError> {
    let mut columns = rows.columns().to_vec();
    for column in columns.iter_mut().skip(keys) {
        let Some(places) = places(column, texts)? else {
            continue;
        };
        let total = groups.iter().max().map_or(0, |last| last + 1);
        // By group: the row that has the value, or that there is none.
        let mut known: Vec<Option<Option<u32>>> = vec![None; total];
        let mut sources = Vec::with_capacity(places.len());
        for (row, ((is_unavailable, group), deleted)) in (0..).zip(places.iter().zip(groups).zip(deleted)) {
            let source = match (deleted, is_unavailable) {
                (true, _) => None,
                (false, true) => known[*group].unwrap_or(Some(row)),
                (false, false) => Some(row),
            };
            // What was not said is not known either.
            if *deleted || !is_unavailable {
                known[*group] = Some(source);
            }
            sources.push(if *deleted { Some(row) } else { source });
        }
        *column = take(column, &UInt32Array::from(sources), None)?;
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// The rows with such values taken from `before`, what the table has in its columns behind the key. Rows may have more columns behind those.
pub(super) fn fill_from_table(
    rows: &RecordBatch,
    keys: usize,
    before: &[ArrayRef],
    texts: &[String],
) -> Result<RecordBatch, OperatorError> {
    let mut columns = rows.columns().to_vec();
    for (column, before) in columns[keys..].iter_mut().zip(before) {
        if let Some(places) = places(column, texts)? {
            *column = zip(&BooleanArray::from(places), before, column)?;
        }
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_value_that_is_not_said_is_the_one_before_it() {
        let texts = ["?".to_owned()];
        let names = [
            Some("a"),
            Some("?"),
            None,
            Some("?"),
            Some("?"),
            Some("b"),
            Some("?"),
        ];
        let groups = [0, 0, 1, 1, 2, 0, 0];
        let deleted = [false, false, false, false, false, true, false];
        let rows = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![0; 7])) as ArrayRef),
            ("name", Arc::new(StringArray::from(names.to_vec())) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![1; 7])) as ArrayRef),
        ])
        .unwrap();
        let filled = fill_from_rows(&rows, 1, &groups, &deleted, &texts).unwrap();
        let filled: Vec<_> = filled["name"].as_string::<i32>().iter().collect();
        // Nobody said what the third group has; what is gone had nothing to keep.
        assert_eq!(
            filled,
            [Some("a"), Some("a"), None, None, Some("?"), Some("b"), None]
        );

        let stored: ArrayRef = Arc::new(StringArray::from(vec![Some("old"), None, Some("other")]));
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("?"), Some("?"), Some("new")]));
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::clone(&values), true),
            ("name", Arc::clone(&values), true),
            ("$deleted", values, true),
        ]);
        let filled = fill_from_table(&rows.unwrap(), 1, &[stored], &texts).unwrap();
        let others: Vec<_> = filled["$deleted"].as_string::<i32>().iter().collect();
        assert_eq!(others, [Some("?"), Some("?"), Some("new")]);
        let filled: Vec<_> = filled["name"].as_string::<i32>().iter().collect();
        assert_eq!(filled, [Some("old"), None, Some("new")]);
    }
}
