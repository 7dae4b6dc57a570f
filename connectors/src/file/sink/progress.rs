//! How far the records of each partition came.
use std::collections::HashMap;
use std::sync::Arc;

use millstream_connect::plugin::{PartitionOffset, PluginError, TopicPartition};
use millstream_connect::record::{Origin, Record};

/// The next offset of each partition that a task has.
#[derive(Debug, Default)]
pub(super) struct Progress {
    partitions: Vec<(TopicPartition, Option<i64>)>,
    places: HashMap<TopicPartition, usize>,
    /// The partition of the record before: mostly that of the next, too.
    last: usize,
}

/// Where a record came from.
///
/// # Errors
/// If it says nothing of that.
pub(super) fn origin(record: &Record) -> Result<&Origin, PluginError> {
    record.origin.as_ref().ok_or_else(|| {
        PluginError::fatal(
            "a record for a sink came without its place in a topic, which the sink's offsets need",
        )
    })
}

impl Progress {
    /// These partitions are there from now on, the `known` ones from their offsets.
    pub fn begin(&mut self, partitions: &[TopicPartition], known: &[PartitionOffset]) {
        for partition in partitions {
            let of_it = known.iter().find(|known| known.partition == *partition);
            self.set(partition, of_it.map(|known| known.next));
        }
    }

    fn set(&mut self, partition: &TopicPartition, next: Option<i64>) {
        match self.places.get(partition) {
            Some(place) => self.partitions[*place].1 = next,
            None => {
                self.places.insert(partition.clone(), self.partitions.len());
                self.partitions.push((partition.clone(), next));
            }
        }
    }

    /// These partitions are there no more.
    pub fn end(&mut self, partitions: &[TopicPartition]) {
        self.partitions
            .retain(|(partition, _)| !partitions.contains(partition));
        let places = self.partitions.iter().enumerate();
        self.places = places
            .map(|(place, (partition, _))| (partition.clone(), place))
            .collect();
        self.last = 0;
    }

    /// Whether the record was not taken before; from now on it was.
    ///
    /// # Errors
    /// If its partition is not this task's.
    #[inline]
    pub fn is_new(&mut self, record: &Record) -> Result<bool, PluginError> {
        let Origin {
            topic,
            partition,
            offset,
        } = origin(record)?;
        self.is_new_at(topic, *partition, *offset)
    }

    /// As [`is_new`](Self::is_new), of the record at a place.
    #[inline]
    pub fn is_new_at(&mut self, topic: &Arc<str>, number: i32, offset: i64) -> Result<bool, PluginError> {
        let same = |partition: &TopicPartition| {
            partition.partition == number
                && (Arc::ptr_eq(&partition.topic, topic) || partition.topic == *topic)
        };
        if !self
            .partitions
            .get(self.last)
            .is_some_and(|(partition, _)| same(partition))
        {
            let place = self.partitions.iter().position(|(partition, _)| same(partition));
            self.last = place.ok_or_else(|| {
                PluginError::fatal(format!(
                    "a record of {topic}-{number} came, which is not this task's partition"
                ))
            })?;
        }
        let next = &mut self.partitions[self.last].1;
        let is_new = next.is_none_or(|next| offset >= next);
        if is_new {
            *next = Some(offset + 1);
        }
        Ok(is_new)
    }

    /// The partitions of which something was taken, and their next offsets.
    pub fn all(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.partitions
            .iter()
            .filter_map(|(partition, next)| Some((partition, (*next)?)))
    }
}
