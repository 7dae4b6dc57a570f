//! Offsets on their way to their store.
use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::{Outgoing, Producer, undelivered};
use crate::plugin::{OffsetReader, PluginError, SourceOffset, SourcePartition};
use crate::worker::offsets::{ConnectorOffsetReader, OffsetChange, OffsetStore, topic};

/// Offsets and batches beyond which neighbouring batches are taken together.
const RECENT_MAX: usize = 8_192;

/// Offsets that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Those of batches that are delivered as a whole.
    delivered: LastOffsets,
    /// Those behind them, with the number of the producer's last record before them; numbers never fall.
    recent: Vec<(usize, LastOffsets)>,
    /// Offsets and batches in `recent`.
    size: usize,
    /// The size from which neighbours are taken together; 0 stands for the least.
    limit: usize,
}

impl Pending {
    /// The offsets behind all records up to the producer's record `number`.
    pub(super) fn add(&mut self, number: usize, offsets: Vec<OffsetChange>) {
        if offsets.is_empty() {
            return;
        }
        self.size += 1 + offsets.len();
        let mut last = LastOffsets::default();
        last.add(offsets);
        self.recent.push((number, last));
        if self.size > self.limit.max(RECENT_MAX) {
            self.take_together();
        }
    }

    /// Makes one of each two neighbours: what is remembered stays bounded, and the more of it there is the coarser it gets.
    fn take_together(&mut self) {
        let mut pairs = std::mem::take(&mut self.recent).into_iter();
        while let Some((mut number, mut offsets)) = pairs.next() {
            if let Some((next, its)) = pairs.next() {
                number = next;
                offsets.add(its.offsets);
            }
            self.recent.push((number, offsets));
        }
        let sizes = self.recent.iter().map(|(_, offsets)| 1 + offsets.offsets.len());
        self.size = sizes.sum();
        // Where little was saved, the next time comes later: all of it is looked at each time.
        self.limit = self.size * 2;
    }

    /// All records before `number` are delivered.
    pub(super) fn delivered_before(&mut self, number: usize) {
        let count = self.recent.partition_point(|(its, _)| *its < number);
        for (_, offsets) in self.recent.drain(..count) {
            self.size -= 1 + offsets.offsets.len();
            self.delivered.add(offsets.offsets);
        }
        if self.recent.is_empty() {
            self.limit = 0;
        }
    }

    /// All records are delivered.
    pub(super) fn all_delivered(&mut self) {
        self.delivered_before(usize::MAX);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.delivered.offsets.is_empty() && self.recent.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the offsets whose records are delivered, and gives them.
    pub(super) fn take(&mut self) -> Vec<OffsetChange> {
        std::mem::take(&mut self.delivered).offsets
    }

    /// The offsets whose records are delivered.
    fn changes(&self) -> &[OffsetChange] {
        &self.delivered.offsets
    }
}

/// What a batch changes in the store: of a partition that is forgotten and has an offset the offset counts.
pub(super) fn changes(
    offsets: Vec<(SourcePartition, SourceOffset)>,
    forgotten: Vec<SourcePartition>,
) -> Vec<OffsetChange> {
    let forgotten = forgotten.into_iter().map(|partition| (partition, None));
    let offsets = offsets
        .into_iter()
        .map(|(partition, offset)| (partition, Some(offset)));
    forgotten.chain(offsets).collect()
}

/// The last offset of each partition, or that it is forgotten, in the order in which partitions first came.
#[derive(Debug, Default)]
struct LastOffsets {
    offsets: Vec<OffsetChange>,
    places: HashMap<SourcePartition, usize>,
}

impl LastOffsets {
    fn add(&mut self, offsets: Vec<OffsetChange>) {
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

    pub(in crate::worker) fn is_transactional(&self) -> bool {
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

    /// Stores what is pending; with exactly-once it commits the transaction that holds it and its records.
    pub(super) fn store(
        &self,
        connector: &str,
        pending: &Pending,
        producer: &mut Producer,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), PluginError> {
        let changes = pending.changes();
        match &self.transactional {
            Some(_) => Ok(producer.commit(stopping)?),
            None if changes.is_empty() => Ok(()),
            None => self.store.write(connector, changes),
        }
    }

    /// With exactly-once: sends what is pending behind its records, into their transaction.
    pub(super) fn send(
        &self,
        connector: &str,
        pending: &Pending,
        producer: &mut Producer,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), PluginError> {
        let Some((_, offsets_topic)) = &self.transactional else {
            return Ok(());
        };
        let changes = pending.changes();
        self.store.forget_behind(connector, changes)?;
        let mut batch = Outgoing::default();
        topic::rows(offsets_topic, connector, changes, &mut batch);
        if let Some(refused) = producer.send(&mut batch, stopping)?.first() {
            let why = undelivered(offsets_topic, &refused.error);
            return Err(PluginError::user_config(format!("storing offsets in {why}")));
        }
        Ok(())
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
        let stored = |offsets: &[(&SourcePartition, i64)]| {
            let offsets = offsets
                .iter()
                .map(|(its, position)| ((*its).clone(), at(*position)));
            changes(offsets.collect(), Vec::new())
        };
        let mut pending = Pending::default();
        pending.add(1, stored(&[(&a, 1), (&b, 5)]));
        pending.add(2, stored(&[(&a, 2)]));
        pending.all_delivered();
        assert_eq!(pending.changes().len(), 2);
        assert_eq!(pending.take(), stored(&[(&a, 2), (&b, 5)]));
        pending.add(3, stored(&[(&a, 3)]));
        assert!(pending.changes().is_empty());
        pending.all_delivered();
        assert_eq!(pending.take(), stored(&[(&a, 3)]));
        assert!(pending.is_empty());
        // What is forgotten and comes again is stored, and what came before is forgotten.
        pending.add(4, stored(&[(&a, 4), (&b, 6)]));
        pending.add(5, changes(Vec::new(), vec![a.clone(), b.clone()]));
        pending.add(6, changes(vec![(a.clone(), at(7))], vec![a.clone()]));
        pending.all_delivered();
        assert_eq!(pending.take(), [(a, Some(at(7))), (b, None)]);
    }

    #[test]
    fn only_what_is_delivered_is_stored_however_much_there_is() {
        let json = |value: serde_json::Value| serde_json::from_value(value).unwrap();
        let partition: SourcePartition = json(serde_json::json!({"f": "a"}));
        let at = |position: usize| -> SourceOffset {
            serde_json::from_value(serde_json::json!({"p": position})).unwrap()
        };
        let mut pending = Pending::default();
        for number in 1..=100_000 {
            pending.add(number, vec![(partition.clone(), Some(at(number)))]);
        }
        assert!(pending.recent.len() <= RECENT_MAX);
        pending.delivered_before(90_000);
        let stored = pending.take();
        let stored = stored[0].1.as_ref().unwrap().0["p"].as_u64().unwrap();
        assert!((89_000..90_000).contains(&stored), "{stored}");
        assert!(!pending.is_empty());
    }
}
