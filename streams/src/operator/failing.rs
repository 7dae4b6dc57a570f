//! Rows on which an expression fails, where the step has more to do than to leave them out: a table's row that fails takes the place
//! of the one before it all the same.
use arrow::array::{BooleanArray, RecordBatch};

use super::OperatorError;

/// The rows among those that `flags` marks on which `evaluate` fails, with their errors, in order.
pub(super) fn failing(
    rows: &RecordBatch,
    flags: &BooleanArray,
    evaluate: &dyn Fn(&RecordBatch) -> Result<(), OperatorError>,
) -> Result<Vec<(usize, OperatorError)>, OperatorError> {
    let marked: Vec<usize> = (0..flags.len()).filter(|row| flags.value(*row)).collect();
    let marked_rows = arrow::compute::filter_record_batch(rows, flags)?;
    let mut failed = Vec::new();
    search(&marked_rows, 0, evaluate, &mut failed)?;
    Ok(failed
        .into_iter()
        .map(|(place, cause)| (marked[place], cause))
        .collect())
}

/// Halves, not rows: where few fail, few calls find them.
fn search(
    rows: &RecordBatch,
    first: usize,
    evaluate: &dyn Fn(&RecordBatch) -> Result<(), OperatorError>,
    failed: &mut Vec<(usize, OperatorError)>,
) -> Result<(), OperatorError> {
    if rows.num_rows() == 0 {
        return Ok(());
    }
    match evaluate(rows) {
        Err(cause) if cause.is_of_rows() => {
            let middle = rows.num_rows() / 2;
            if middle == 0 {
                failed.push((first, cause));
                return Ok(());
            }
            search(&rows.slice(0, middle), first, evaluate, failed)?;
            let rest = rows.slice(middle, rows.num_rows() - middle);
            search(&rest, first + middle, evaluate, failed)
        }
        evaluated => evaluated,
    }
}

/// The flags, false for these rows.
pub(super) fn without(flags: &BooleanArray, rows: impl Iterator<Item = usize>) -> BooleanArray {
    let mut left: Vec<bool> = flags.values().iter().collect();
    rows.for_each(|row| left[row] = false);
    BooleanArray::from(left)
}
