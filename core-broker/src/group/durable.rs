//! What of a group survives a restart, and the only code that changes it.
//!
//! Why: live appends and replay go through the same methods, so a replayed log gives what the broker had.
//! Invariant: each is called for a record or marker only after that is durable, in the order of the log.

use std::collections::BTreeMap;

use super::message::CommittedOffset;
use super::record::{GroupMetadata, Record};
use crate::ids::{ProducerId, TopicPartition};

/// The durable part of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DurableGroup {
    /// The last generation that was kept.
    pub metadata: Option<GroupMetadata>,
    /// The committed offsets.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Offsets of transactions whose marker is not there yet.
    pending: BTreeMap<ProducerId, BTreeMap<TopicPartition, PendingOffset>>,
    /// Counts what became pending; stands for the order in the log.
    pended: u64,
}

/// An offset that counts once its transaction is committed.
#[derive(Clone, Debug, PartialEq)]
struct PendingOffset {
    value: CommittedOffset,
    order: u64,
    /// A commit further on in the log counts already, and goes on counting.
    outdated: bool,
}

impl DurableGroup {
    /// Takes over a record of this group.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Metadata { value, .. } => self.metadata.clone_from(value),
            Record::Offset {
                partition,
                value: Some(value),
                ..
            } => {
                self.outdate(partition, u64::MAX);
                self.offsets.insert(partition.clone(), value.clone());
            }
            Record::Offset {
                partition,
                value: None,
                ..
            } => {
                self.offsets.remove(partition);
                self.pending.retain(|_, offsets| {
                    offsets.remove(partition);
                    !offsets.is_empty()
                });
            }
        }
    }

    /// Takes over a record that is part of a transaction.
    pub fn apply_pending(&mut self, producer: ProducerId, record: &Record) {
        let Record::Offset {
            partition,
            value: Some(value),
            ..
        } = record
        else {
            // Nothing else is ever written in a transaction.
            return self.apply(record);
        };
        self.pended += 1;
        let pending = PendingOffset {
            value: value.clone(),
            order: self.pended,
            outdated: false,
        };
        let of_producer = self.pending.entry(producer).or_default();
        of_producer.insert(partition.clone(), pending);
    }

    /// The producer's transaction has ended: what it held back is committed, or vanishes. An offset that was
    /// committed later in the log wins, as in Kafka.
    pub fn complete(&mut self, producer: ProducerId, commit: bool) {
        let Some(pending) = self.pending.remove(&producer) else {
            return;
        };
        if !commit {
            return;
        }
        for (
            partition,
            PendingOffset {
                value,
                order,
                outdated,
            },
        ) in pending
        {
            if !outdated {
                self.outdate(&partition, order);
                self.offsets.insert(partition, value);
            }
        }
    }

    /// What is pending for the partition and came before `order` has lost.
    fn outdate(&mut self, partition: &TopicPartition, order: u64) {
        for offsets in self.pending.values_mut() {
            if let Some(pending) = offsets.get_mut(partition).filter(|p| p.order < order) {
                pending.outdated = true;
            }
        }
    }

    /// Whether the producer's transaction holds offsets of this group back.
    pub fn awaits(&self, producer: ProducerId) -> bool {
        self.pending.contains_key(&producer)
    }

    /// Whether a transaction may still change the offset of the partition.
    pub fn is_pending(&self, partition: &TopicPartition) -> bool {
        self.pending
            .values()
            .any(|offsets| offsets.contains_key(partition))
    }

    /// Partitions with pending offsets; one comes once for each producer.
    pub fn pending(&self) -> impl Iterator<Item = &TopicPartition> {
        self.pending.values().flat_map(BTreeMap::keys)
    }

    /// Offsets held, the pending ones among them.
    pub fn offset_count(&self) -> usize {
        self.offsets.len() + self.pending.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.offsets.is_empty() && self.pending.is_empty()
    }
}
