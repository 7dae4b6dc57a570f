//! A connector's own offsets, with the worker's behind them.
use std::collections::HashSet;
use std::sync::Arc;

use super::{OffsetChange, OffsetStore};
use crate::plugin::{PluginError, SourceOffset, SourcePartition};

/// Offsets in a topic of the connector's own (`offsets.storage.topic`). Partitions that it does not know are looked up in the worker's
/// store, where they were before; new offsets go to its own.
pub(crate) struct OwnOffsets {
    own: Arc<dyn OffsetStore>,
    workers: Arc<dyn OffsetStore>,
}

impl OwnOffsets {
    pub(crate) fn new(own: Arc<dyn OffsetStore>, workers: Arc<dyn OffsetStore>) -> Self {
        Self { own, workers }
    }
}

impl OffsetStore for OwnOffsets {
    fn read(&self, connector: &str) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        let mut offsets = self.own.read(connector)?;
        let workers = self.workers.read(connector)?;
        let known: HashSet<&SourcePartition> = offsets.iter().map(|(partition, _)| partition).collect();
        let unknown = |(partition, _): &(SourcePartition, SourceOffset)| !known.contains(partition);
        let before: Vec<_> = workers.into_iter().filter(unknown).collect();
        offsets.extend(before);
        Ok(offsets)
    }

    fn write(&self, connector: &str, changes: &[OffsetChange]) -> Result<(), PluginError> {
        self.own.write(connector, changes)?;
        // What is forgotten must not come back from behind.
        let forgotten: Vec<OffsetChange> = changes
            .iter()
            .filter(|(_, offset)| offset.is_none())
            .cloned()
            .collect();
        match forgotten.is_empty() {
            true => Ok(()),
            false => self.workers.write(connector, &forgotten),
        }
    }
}
