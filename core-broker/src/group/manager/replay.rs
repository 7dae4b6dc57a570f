//! Reading the groups of one partition of the internal topic back from its log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::group::config::GroupConfig;
use crate::group::coordinator::Group;
use crate::group::durable::DurableGroup;
use crate::group::error::GroupError;
use crate::group::names::GroupId;
use crate::group::record::Record;
use crate::group::shard::{Entry, Shard};
use crate::group::store::{OffsetsLog, Replayed};
use crate::group::time::Now;
use crate::ids::ProducerId;

/// What was read so far.
#[derive(Default)]
struct Reading {
    groups: HashMap<GroupId, DurableGroup>,
    /// Groups that open transactions have written to: a log may hold more markers than there are groups to ask.
    open: HashMap<ProducerId, BTreeSet<GroupId>>,
}

/// Reads the groups of a partition.
pub(super) fn read(
    store: &dyn OffsetsLog,
    partition: i32,
    config: &Arc<GroupConfig>,
    now: Now,
) -> Result<Shard, GroupError> {
    let mut reading = Reading::default();
    store.replay(partition, &mut |replayed| {
        let applied = reading.apply(replayed);
        applied.map_err(|reason| GroupError::Corrupt { partition, reason })
    })?;
    let mut shard = Shard::default();
    for (id, durable) in reading.groups {
        if !durable.is_empty() {
            let group = Group::load(id.clone(), config.clone(), durable, now);
            let registered = None;
            shard.groups.insert(id, Entry { group, registered });
        }
    }
    Ok(shard)
}

impl Reading {
    fn apply(&mut self, replayed: Replayed<'_>) -> Result<(), String> {
        let (key, value, transaction) = match replayed {
            Replayed::Record {
                key,
                value,
                transaction,
            } => (key, value, transaction),
            Replayed::Marker { producer, commit } => {
                for id in self.open.remove(&producer).unwrap_or_default() {
                    if let Some(group) = self.groups.get_mut(&id) {
                        group.complete(producer, commit);
                    }
                }
                return Ok(());
            }
        };
        let Some(record) = Record::decode(key, value).map_err(|error| error.to_string())? else {
            tracing::debug!("skipped a record of a kind that is not kept here");
            return Ok(());
        };
        let id = record.group();
        let group = self.groups.entry(id.clone()).or_default();
        match transaction {
            Some(producer) => {
                group.apply_pending(producer, &record);
                self.open.entry(producer).or_default().insert(id.clone());
            }
            None => group.apply(&record),
        }
        Ok(())
    }
}
