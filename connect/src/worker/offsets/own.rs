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
        self.forget_behind(connector, changes)?;
        self.own.write(connector, changes)
    }

    /// First, as in Kafka Connect: a failure in between leaves what was to be forgotten in the connector's own store.
    fn forget_behind(&self, connector: &str, changes: &[OffsetChange]) -> Result<(), PluginError> {
        let forgotten: Vec<_> = changes.iter().filter(|(_, offset)| offset.is_none()).collect();
        if forgotten.is_empty() {
            return Ok(());
        }
        let there = self.workers.read(connector)?;
        let there: HashSet<&SourcePartition> = there.iter().map(|(partition, _)| partition).collect();
        let known = forgotten
            .into_iter()
            .filter(|(partition, _)| there.contains(partition));
        let known: Vec<OffsetChange> = known.cloned().collect();
        match known.is_empty() {
            true => Ok(()),
            false => self.workers.write(connector, &known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileOffsets;
    use super::*;

    #[test]
    fn what_is_forgotten_does_not_come_back_from_behind() {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| FileOffsets::open(&directory.path().join(name)).unwrap();
        let (own, workers) = (Arc::new(open("own")), Arc::new(open("workers")));
        let partition = |name: &str| SourcePartition::new().with("filename", name);
        let offset = |position: u64| Some(SourceOffset::new().with("position", position));
        let before = [
            (partition("a"), offset(1)),
            (partition("b"), offset(2)),
            (partition("c"), offset(3)),
        ];
        workers.write("lines", &before).unwrap();
        let both = OwnOffsets::new(Arc::clone(&own) as _, Arc::clone(&workers) as _);
        both.write("lines", &[(partition("a"), offset(4)), (partition("b"), None)])
            .unwrap();
        let read = |store: &dyn OffsetStore| {
            let mut read = store.read("lines").unwrap();
            read.sort_by_key(|(partition, _)| partition.text("filename").map(str::to_owned));
            let read = read.iter();
            read.map(|(partition, offset)| {
                (
                    partition.text("filename").unwrap().to_owned(),
                    offset.number("position").unwrap(),
                )
            })
            .collect::<Vec<_>>()
        };
        let pair = |name: &str, position| (name.to_owned(), position);
        assert_eq!(read(&both), [pair("a", 4), pair("c", 3)]);
        assert_eq!(
            read(&*workers),
            [pair("a", 1), pair("c", 3)],
            "only what was forgotten"
        );
        // Who delivers exactly once writes to the connector's own store itself.
        both.forget_behind("lines", &[(partition("a"), None), (partition("c"), offset(5))])
            .unwrap();
        assert_eq!(read(&both), [pair("a", 4), pair("c", 3)]);
        assert_eq!(read(&*workers), [pair("c", 3)]);
    }
}
