//! Offsets on their way to their store.
use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::{Outgoing, Producer, undelivered};
use crate::plugin::{OffsetReader, PluginError, SourceOffset, SourcePartition};
use crate::worker::offsets::{ConnectorOffsetReader, OffsetChange, OffsetStore, topic};

/// The last offset of each partition that is not stored yet, in the order in which partitions first came.
#[derive(Debug, Default)]
pub(super) struct Pending {
    offsets: Vec<(SourcePartition, SourceOffset)>,
    places: HashMap<SourcePartition, usize>,
}

impl Pending {
    pub(super) fn add(&mut self, offsets: Vec<(SourcePartition, SourceOffset)>) {
        for (partition, offset) in offsets {
            match self.places.get(&partition) {
                Some(place) => self.offsets[*place].1 = offset,
                None => {
                    self.places.insert(partition.clone(), self.offsets.len());
                    self.offsets.push((partition, offset));
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.take();
    }

    pub(super) fn take(&mut self) -> Vec<(SourcePartition, SourceOffset)> {
        self.places.clear();
        std::mem::take(&mut self.offsets)
    }

    fn changes(&self) -> Vec<OffsetChange> {
        self.offsets
            .iter()
            .map(|(partition, offset)| (partition.clone(), Some(offset.clone())))
            .collect()
    }
}

/// Where transactions end (`transaction.boundary`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Transactions {
    /// Behind each batch.
    EachPoll,
    /// After a time.
    AfterInterval,
    /// Where the connector says.
    WhereConnectorSays,
}

/// How a task's offsets are stored.
pub(in crate::worker) struct OffsetSink {
    store: Arc<dyn OffsetStore>,
    /// With exactly-once: where transactions end, and the topic of the offsets.
    transactional: Option<(Transactions, String)>,
}

impl OffsetSink {
    /// After the records.
    pub(in crate::worker) fn after(store: Arc<dyn OffsetStore>) -> Self {
        Self {
            store,
            transactional: None,
        }
    }

    /// In one transaction with the records, in `topic`, which `store` reads.
    pub(in crate::worker) fn with_records(
        store: Arc<dyn OffsetStore>,
        topic: &str,
        transactions: Transactions,
    ) -> Self {
        Self {
            store,
            transactional: Some((transactions, topic.to_owned())),
        }
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.transactional.is_some()
    }

    pub(super) fn transactions(&self) -> Option<Transactions> {
        self.transactional.as_ref().map(|(transactions, _)| *transactions)
    }

    pub(super) fn reader(&self, connector: &str) -> Arc<dyn OffsetReader> {
        Arc::new(ConnectorOffsetReader {
            store: Arc::clone(&self.store),
            connector: connector.to_owned(),
        })
    }

    /// Stores what is pending; with exactly-once it commits the transaction that holds its records.
    pub(super) fn store(
        &self,
        connector: &str,
        pending: &Pending,
        producer: &mut Producer,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), PluginError> {
        let changes = pending.changes();
        let Some((_, offsets_topic)) = &self.transactional else {
            return match changes.is_empty() {
                true => Ok(()),
                false => self.store.write(connector, &changes),
            };
        };
        let mut batch = Outgoing::default();
        topic::rows(offsets_topic, connector, &changes, &mut batch);
        if let Some(refused) = producer.send(&batch, stopping)?.first() {
            let why = undelivered(offsets_topic, &refused.error);
            return Err(PluginError::user_config(format!("storing offsets in {why}")));
        }
        Ok(producer.commit(stopping)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_partition_counts() {
        let json = |value: serde_json::Value| serde_json::from_value(value).unwrap();
        let (a, b): (SourcePartition, SourcePartition) = (
            json(serde_json::json!({"f": "a"})),
            json(serde_json::json!({"f": "b"})),
        );
        let at = |position: i64| -> SourceOffset {
            serde_json::from_value(serde_json::json!({"p": position})).unwrap()
        };
        let mut pending = Pending::default();
        pending.add(vec![(a.clone(), at(1)), (b.clone(), at(5))]);
        pending.add(vec![(a.clone(), at(2))]);
        assert_eq!(pending.changes().len(), 2);
        assert_eq!(pending.take(), [(a.clone(), at(2)), (b, at(5))]);
        pending.add(vec![(a.clone(), at(3))]);
        assert_eq!(pending.take(), [(a, at(3))]);
    }
}
