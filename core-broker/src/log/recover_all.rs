//! Recovering every partition of a directory, on a few threads.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::checkpoint::{self, CLEANER_FILE, LOG_START_FILE, RECOVERY_POINT_FILE};
use super::config::LogConfig;
use super::error::OpenError;
use super::lock::write;
use super::partition::Partition;
use super::recovery::{self, Checkpointed};
use super::shared::Shared;
use crate::ids::{TopicName, TopicPartition};

/// Recovers all partitions on a few threads and registers them. True if the checkpoints name others, too,
/// which must not be taken for partitions of the same name that are created later.
pub(super) fn recover_all(
    shared: &Arc<Shared>,
    found: BTreeSet<TopicPartition>,
    configs: impl Fn(&TopicName) -> LogConfig,
) -> Result<bool, OpenError> {
    let recovery_points = checkpoint::read(&shared.root.join(RECOVERY_POINT_FILE))?;
    let log_starts = checkpoint::read(&shared.root.join(LOG_START_FILE))?;
    let cleaned = checkpoint::read(&shared.root.join(CLEANER_FILE))?;
    let stale = recovery_points
        .keys()
        .chain(log_starts.keys())
        .chain(cleaned.keys())
        .any(|tp| !found.contains(tp));
    let jobs: Vec<_> = found
        .into_iter()
        .map(|tp| {
            let checkpointed = Checkpointed {
                recovery_point: recovery_points.get(&tp).copied(),
                log_start: log_starts.get(&tp).copied(),
                cleaned_to: cleaned.get(&tp).copied(),
            };
            let config = configs(&tp.topic);
            (tp, config, checkpointed)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failure = OnceLock::new();
    let work = || {
        while let Some((tp, config, checkpointed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failure.get().is_some() {
                return;
            }
            match recover_one(shared, tp, config, *checkpointed) {
                Ok(partition) => {
                    write(&shared.partitions).insert(tp.clone(), partition);
                }
                Err(error) => {
                    // Only the first is reported.
                    let _ = failure.set(error);
                }
            }
        }
    };
    let threads = shared.options.recovery_threads.clamp(1, jobs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    match failure.into_inner() {
        None => Ok(stale),
        Some(error) => {
            write(&shared.partitions).clear();
            Err(error)
        }
    }
}

fn recover_one(
    shared: &Arc<Shared>,
    tp: &TopicPartition,
    config: &LogConfig,
    checkpointed: Checkpointed,
) -> Result<Arc<Partition>, OpenError> {
    let folder: Arc<Path> = shared.root.join(tp.to_string()).into();
    let recovered = recovery::recover(&folder, config, &shared.options, checkpointed)?;
    let partition = Partition::new(
        tp.clone(),
        folder.clone(),
        shared.clone(),
        config.clone(),
        recovered,
    );
    let log_end = partition.log_end_offset().0;
    partition.set_cleaned_to(checkpointed.cleaned_to.unwrap_or(0).min(log_end));
    partition.open_unsynced().map_err(OpenError::io(&*folder))?;
    partition
        .forget_aborted_without_marker()
        .map_err(|error| OpenError::io(&*folder)(io::Error::other(error)))?;
    Ok(partition)
}
