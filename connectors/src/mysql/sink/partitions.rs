//! The partitions of a task: how far each was taken, and how far it is stored.
use std::collections::HashMap;
use std::sync::Arc;

use millstream_connect::plugin::{PartitionOffset, PluginError, TopicPartition};
use millstream_connect::record::{Origin, Record};

use super::offsets::Move;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub id: TopicPartition,
    /// What is stored.
    pub stored: Option<i64>,
    /// The offset of the record that comes next.
    pub next: Option<i64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    pub all: Vec<Partition>,
    places: HashMap<TopicPartition, usize>,
    /// The partition of the record before: mostly that of the next, too.
    last: usize,
}

impl Partitions {
    /// These partitions are there from now on, those that are `known` from their offsets.
    pub fn begin(&mut self, partitions: &[TopicPartition], known: &[PartitionOffset]) {
        for id in partitions {
            let of_it = known.iter().find(|known| known.partition == *id);
            let next = of_it.map(|known| known.next);
            let partition = Partition {
                id: id.clone(),
                stored: next,
                next,
            };
            match self.places.get(id) {
                Some(place) => self.all[*place] = partition,
                None => {
                    self.places.insert(id.clone(), self.all.len());
                    self.all.push(partition);
                }
            }
        }
    }

    /// These partitions are there no more.
    pub fn end(&mut self, partitions: &[TopicPartition]) {
        self.all.retain(|partition| !partitions.contains(&partition.id));
        let places = self.all.iter().enumerate();
        self.places = places
            .map(|(place, partition)| (partition.id.clone(), place))
            .collect();
        self.last = 0;
    }

    /// The place of a partition.
    pub fn place(&self, id: &TopicPartition) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The place of a record's partition, and its offset.
    ///
    /// # Errors
    /// If the partition is not this task's.
    #[inline]
    pub fn of(&mut self, record: &Record) -> Result<(usize, i64), PluginError> {
        let Origin {
            topic,
            partition,
            offset,
        } = record.origin.as_ref().ok_or_else(|| {
            PluginError::fatal(
                "a record for a sink came without its place in a topic, which the sink's offsets need",
            )
        })?;
        let same = |its: &Partition| {
            its.id.partition == *partition && (Arc::ptr_eq(&its.id.topic, topic) || its.id.topic == *topic)
        };
        if !self.all.get(self.last).is_some_and(same) {
            let place = self.all.iter().position(same);
            self.last = place.ok_or_else(|| {
                PluginError::fatal(format!(
                    "a record of {topic}-{partition} came, which is not this task's partition"
                ))
            })?;
        }
        Ok((self.last, *offset))
    }

    /// The moves to these offsets, of the places they are for; none where nothing moves.
    pub fn moves(&self, ends: &[(usize, i64)]) -> Vec<Move> {
        let moves = ends.iter().filter_map(|(place, end)| {
            let partition = &self.all[*place];
            let ahead = partition.stored.is_none_or(|stored| *end > stored);
            ahead.then(|| Move {
                partition: partition.id.clone(),
                from: partition.stored,
                to: *end,
            })
        });
        moves.collect()
    }

    /// These moves are stored.
    pub fn moved(&mut self, moves: &[Move]) {
        for step in moves {
            if let Some(place) = self.place(&step.partition) {
                self.all[place].stored = Some(step.to);
            }
        }
    }
}
