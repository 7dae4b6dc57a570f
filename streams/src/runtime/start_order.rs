//! Rows that are looked up in tables are read once these are.
//!
//! When partitions come, the ends of those that tables are made of are noted; the others of the task are not given to the client before these have
//! been read that far. Where the last records of a log are none for readers (marks of transactions), somebody looks whether anything is left.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::worker::Worker;
use crate::error::StreamsError;
use crate::sink::Sink;
use crate::source::{Restore, Source, StartAt, TopicPartition};

/// What tables are still to be read, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct StartOrder {
    /// Partitions that tables are made of, with how far they have to be read.
    behind: BTreeMap<TopicPartition, i64>,
    /// Partitions that were not given to the client, because they come after others.
    held: BTreeSet<TopicPartition>,
}

impl<S: Source, K: Sink, R: Restore> Worker<S, K, R> {
    /// Notes how far the tables among `partitions` go, before which nothing is looked up in them.
    pub(super) fn note_tables(&mut self, partitions: &[TopicPartition]) -> Result<(), StreamsError> {
        for at in partitions {
            let Some((sub, input)) = self.topology.reader_of(&at.topic) else {
                continue;
            };
            if !sub.inputs.iter().any(|other| other.after.contains(&input)) {
                continue;
            }
            let Some((begin, end)) = self.source.bounds(at)? else {
                continue;
            };
            let from = match self.starts.get(at) {
                Some(StartAt::Offset(offset)) => begin.max(*offset),
                _ => begin,
            };
            if from < end {
                self.start_order.behind.insert(at.clone(), end);
            }
        }
        Ok(())
    }

    /// Whether a partition comes after one that is still to be read.
    fn comes_later(&self, at: &TopicPartition) -> bool {
        let Some((sub, input)) = self.topology.reader_of(&at.topic) else {
            return false;
        };
        sub.inputs[input].after.iter().any(|first| {
            let first = TopicPartition {
                topic: sub.inputs[*first].topic.clone(),
                partition: at.partition,
            };
            self.start_order.behind.contains_key(&first)
        })
    }

    /// Those of `starts` that may be read; the others are held back.
    pub(super) fn without_later(
        &mut self,
        mut starts: Vec<(TopicPartition, StartAt)>,
    ) -> Vec<(TopicPartition, StartAt)> {
        let held: BTreeSet<TopicPartition> = starts
            .iter()
            .filter(|(at, _)| self.comes_later(at))
            .map(|(at, _)| at.clone())
            .collect();
        starts.retain(|(at, _)| !held.contains(at));
        self.start_order.held = held;
        starts
    }

    /// Reads what was held back, once the tables are there.
    pub(super) fn look_at_tables(&mut self) -> Result<(), StreamsError> {
        if self.start_order.behind.is_empty() {
            return Ok(());
        }
        let tasks = &self.tasks;
        let next = |at: &TopicPartition| {
            let (id, input) = tasks.routes.get(at)?;
            tasks.tasks.get(id)?.position(*input)
        };
        self.start_order
            .behind
            .retain(|at, end| next(at).is_none_or(|next| next < *end));
        if self.start_order.held.iter().any(|at| !self.comes_later(at)) {
            self.read()?;
        }
        Ok(())
    }

    /// Has somebody look whether anything is left in the tables.
    pub(super) fn ask_for_tables(&mut self, now: Instant) {
        for at in self.start_order.behind.keys() {
            let route = self.tasks.routes.get(at);
            if let Some((task, input)) =
                route.and_then(|(id, input)| Some((self.tasks.tasks.get(id)?, *input)))
            {
                self.probe.ask(at.clone(), task.stands_at(input), now);
            }
        }
    }
}
