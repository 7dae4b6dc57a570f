//! What of a group survives a restart, and the only code that changes it.
//!
//! Why: live appends and replay go through the same `apply`, so a replayed log gives what the broker had.
//! Invariant: `apply` is called for a record only after that record is durable, in the order of the log.

use std::collections::BTreeMap;

use super::message::CommittedOffset;
use super::record::{GroupMetadata, Record};
use crate::ids::TopicPartition;

/// The durable part of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DurableGroup {
    /// The last generation that was kept.
    pub metadata: Option<GroupMetadata>,
    /// The committed offsets.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
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
                self.offsets.insert(partition.clone(), value.clone());
            }
            Record::Offset {
                partition,
                value: None,
                ..
            } => {
                self.offsets.remove(partition);
            }
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.offsets.is_empty()
    }
}
