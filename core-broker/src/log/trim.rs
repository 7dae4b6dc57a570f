//! Raising log starts: durable first, visible then, and the files of whole segments last.
//!
//! Why one place: retention and clients delete by the same steps, and one write of the checkpoint serves many partitions.
//! Owns: the order of the steps. Does not own: which offset (`retention`, callers), and the segments (`partition::trim`).
//! Invariant: nobody sees a log start that is not on the disk, so that none ever goes back.

use std::sync::Arc;

use super::error::{LogError, TrimError};
use super::lock::lock;
use super::partition::Partition;
use super::shared::Shared;
use super::sync::write_log_starts;
use crate::ids::Offset;

/// Deletes the records before the offsets; −1 is the high watermark. Gives the new log starts.
pub(crate) fn delete_records(
    shared: &Shared,
    wanted: &[(Arc<Partition>, Offset)],
) -> Vec<Result<Offset, TrimError>> {
    let mut results = Vec::with_capacity(wanted.len());
    let mut raises = Vec::new();
    for (partition, offset) in wanted {
        let checked = partition.check_trim(*offset);
        if let Ok(to) = checked {
            raises.push((partition.clone(), to.0));
        }
        results.push(checked);
    }
    let raised = raise(shared, &raises);
    for ((partition, _), result) in wanted.iter().zip(&mut results) {
        match &raised {
            Ok(()) if result.is_ok() => *result = Ok(partition.log_start_offset()),
            Err(error) if result.is_ok() => *result = Err(error.clone().into()),
            _ => {}
        }
    }
    for (partition, to) in raises.iter().filter(|_| raised.is_ok()) {
        partition.roll_if_worth_it(*to);
        partition.sweep();
    }
    results
}

/// Raises log starts that are below the given offsets, which must not be beyond the high watermarks.
pub(crate) fn raise(shared: &Shared, raises: &[(Arc<Partition>, i64)]) -> Result<(), LogError> {
    let _one_at_a_time = lock(&shared.trims);
    shared.check()?;
    let raises: Vec<_> = raises
        .iter()
        .filter(|(partition, to)| *to > partition.log_start_offset().0)
        .collect();
    if raises.is_empty() {
        return Ok(());
    }
    for (partition, to) in &raises {
        partition.intend_log_start(*to);
    }
    let written = write_log_starts(shared);
    for (partition, _) in &raises {
        match &written {
            Ok(()) => partition.publish_log_start(),
            Err(_) => partition.forget_intended_log_start(),
        }
    }
    written
}
