//! Which partitions a task has, and how far each was put, and committed.
use std::collections::HashMap;
use std::sync::Arc;

use crate::plugin::{PartitionOffset, TopicPartition};

/// The partitions of a task.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: HashMap<TopicPartition, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The next offset behind what was put.
    taken: Option<i64>,
    /// What is committed, as far as is known.
    committed: Option<i64>,
}

impl Assignment {
    /// These partitions come.
    pub(super) fn begin(&mut self, partitions: Vec<(String, i32)>) -> Vec<TopicPartition> {
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        let mut shared =
            |topic: String| Arc::clone(names.entry(topic.clone()).or_insert_with(|| topic.into()));
        let partitions: Vec<TopicPartition> = partitions
            .into_iter()
            .map(|(topic, partition)| TopicPartition {
                topic: shared(topic),
                partition,
            })
            .collect();
        self.partitions = partitions
            .iter()
            .map(|partition| (partition.clone(), Progress::default()))
            .collect();
        partitions
    }

    /// The sink keeps these offsets itself: the group's are brought up to them with the next commit.
    pub(super) fn keep(&mut self, owned: Vec<PartitionOffset>) {
        for own in owned {
            if let Some(progress) = self.partitions.get_mut(&own.partition) {
                progress.taken = Some(own.next);
            }
        }
    }

    /// All partitions go.
    pub(super) fn end(&mut self) -> Vec<TopicPartition> {
        self.partitions.drain().map(|(partition, _)| partition).collect()
    }

    /// Records were put, up to these offsets.
    pub(super) fn took(&mut self, ends: impl Iterator<Item = PartitionOffset>) {
        for end in ends {
            if let Some(progress) = self.partitions.get_mut(&end.partition) {
                progress.taken = Some(end.next);
            }
        }
    }

    /// Whether there is anything that is not committed.
    pub(super) fn has_news(&self) -> bool {
        self.partitions
            .values()
            .any(|progress| progress.taken.is_some() && progress.taken != progress.committed)
    }

    /// How far records were put.
    pub(super) fn taken(&self) -> Vec<PartitionOffset> {
        let taken = self.partitions.iter().filter_map(|(partition, progress)| {
            Some(PartitionOffset {
                partition: partition.clone(),
                next: progress.taken?,
            })
        });
        taken.collect()
    }

    /// What of the sink's answer is to be committed: partitions that are held, what was put, and what is new.
    pub(super) fn durable(&self, answer: Vec<PartitionOffset>) -> Vec<PartitionOffset> {
        let news = answer.into_iter().filter(|offset| {
            let progress = self.partitions.get(&offset.partition);
            progress.is_some_and(|progress| {
                progress.taken.is_some_and(|taken| offset.next <= taken)
                    && progress.committed != Some(offset.next)
            })
        });
        news.collect()
    }

    /// These offsets are committed.
    pub(super) fn stored(&mut self, offsets: &[PartitionOffset]) {
        for offset in offsets {
            if let Some(progress) = self.partitions.get_mut(&offset.partition) {
                progress.committed = Some(offset.next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, next: i64) -> PartitionOffset {
        let topic = "t".into();
        PartitionOffset {
            partition: TopicPartition { topic, partition },
            next,
        }
    }

    #[test]
    fn only_what_was_put_and_is_held_is_committed() {
        let mut assignment = Assignment::default();
        assignment.begin(vec![("t".to_owned(), 0), ("t".to_owned(), 1)]);
        assert!(!assignment.has_news());
        assignment.took([at(0, 10), at(7, 3)].into_iter());
        assert_eq!(assignment.taken(), [at(0, 10)]);
        assert!(assignment.has_news());
        assert_eq!(assignment.durable(vec![at(0, 8), at(1, 4), at(7, 3)]), [at(0, 8)]);
        assert_eq!(assignment.durable(vec![at(0, 11)]), []);
        assignment.stored(&[at(0, 8)]);
        assert!(assignment.has_news());
        assert_eq!(assignment.durable(vec![at(0, 8)]), []);
        assignment.stored(&[at(0, 10)]);
        assert!(!assignment.has_news());
        assert_eq!(assignment.end().len(), 2);
        assert_eq!(assignment.durable(vec![at(0, 10)]), []);
    }
}
