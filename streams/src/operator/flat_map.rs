//! One row for each element of a list.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use super::{Operator, OperatorError, Output};
use crate::expr::CompiledExpr;
use crate::rows::Rows;

/// Evaluates a list expression and passes on its elements.
pub(super) struct FlatMap {
    expr: CompiledExpr,
    schema: SchemaRef,
}

impl FlatMap {
    pub(super) fn new(expr: CompiledExpr, schema: SchemaRef) -> Self {
        Self { expr, schema }
    }
}

impl Operator for FlatMap {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let lists = self.expr.evaluate(&rows.batch).map_err(OperatorError::of_rows)?;
        let elements = elements(&lists)?;
        if !elements.is_empty() {
            let batch = RecordBatch::try_new(self.schema.clone(), vec![elements])?;
            out.push(rows.derived(batch, &sources(&lists))?);
        }
        Ok(())
    }
}

/// The elements of all lists, in order. A null list may still span elements, which are not part of the result.
fn elements(lists: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (values, start, end, spanning_null) = match lists.data_type() {
        DataType::List(_) => {
            let lists = lists.as_list::<i32>();
            let offsets = lists.value_offsets();
            let spans = |row| lists.is_null(row) && lists.value_length(row) > 0;
            let spanning_null = lists.null_count() > 0 && (0..lists.len()).any(spans);
            (
                lists.values(),
                offsets[0] as usize,
                offsets[lists.len()] as usize,
                spanning_null,
            )
        }
        _ => {
            let lists = lists.as_list::<i64>();
            let offsets = lists.value_offsets();
            let spans = |row| lists.is_null(row) && lists.value_length(row) > 0;
            let spanning_null = lists.null_count() > 0 && (0..lists.len()).any(spans);
            (
                lists.values(),
                offsets[0] as usize,
                offsets[lists.len()] as usize,
                spanning_null,
            )
        }
    };
    if !spanning_null {
        return Ok(values.slice(start, end - start));
    }
    let valid = arrow::compute::is_not_null(lists)?;
    elements(&arrow::compute::filter(lists, &valid)?)
}

/// The position of each list, as often as it has elements.
fn sources(lists: &ArrayRef) -> Vec<u32> {
    let mut sources = Vec::new();
    // A batch has fewer than 2^32 rows.
    for (row, position) in (0..lists.len())
        .zip(0_u32..)
        .filter(|(row, _)| lists.is_valid(*row))
    {
        let length = match lists.data_type() {
            DataType::List(_) => i64::from(lists.as_list::<i32>().value_length(row)),
            _ => lists.as_list::<i64>().value_length(row),
        };
        sources.extend(std::iter::repeat_n(
            position,
            usize::try_from(length).unwrap_or(0),
        ));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Int32Array, ListArray};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::Field;

    #[test]
    fn null_lists_give_nothing_even_if_they_span_elements() {
        let item = Arc::new(Field::new_list_field(DataType::Int32, true));
        let values = Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]));
        let nulls = NullBuffer::from(vec![true, false, true, true]);
        let offsets = OffsetBuffer::from_lengths([2, 1, 0, 2]);
        let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, values, Some(nulls)));
        let all = elements(&lists).unwrap();
        assert_eq!(all.as_ref(), &Int32Array::from(vec![1, 2, 4, 5]) as &dyn Array);
        let tail = elements(&lists.slice(2, 2)).unwrap();
        assert_eq!(tail.as_ref(), &Int32Array::from(vec![4, 5]) as &dyn Array);
        assert_eq!(sources(&lists), [0, 0, 3, 3]);
        assert_eq!(sources(&lists.slice(2, 2)), [1, 1]);
    }
}
