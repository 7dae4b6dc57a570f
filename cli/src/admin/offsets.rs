//! Offsets of partitions: their ends, and by time.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::{Admin, AdminError, Partition, Refusal, error_name, is_passing, refused, topic_name};

/// Asks for the end of the log.
pub const LATEST: i64 = -1;
/// Asks for the start of the log.
pub const EARLIEST: i64 = -2;

impl Admin {
    /// The partitions of one topic, sorted.
    pub fn partitions(&mut self, topic: &str) -> Result<Vec<i32>, AdminError> {
        let mut all: Vec<i32> = self
            .topic(topic)?
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .collect();
        all.sort_unstable();
        Ok(all)
    }

    /// The leaders of these partitions.
    pub fn leaders(&mut self, wanted: &[Partition]) -> Result<BTreeMap<i32, Vec<Partition>>, AdminError> {
        let topics: BTreeSet<&str> = wanted.iter().map(|(topic, _)| topic.as_str()).collect();
        let mut by_leader: BTreeMap<i32, Vec<Partition>> = BTreeMap::new();
        for topic in topics {
            let found = self.topic(topic)?;
            for (_, partition) in wanted.iter().filter(|(name, _)| name == topic) {
                let leader = found
                    .partitions
                    .iter()
                    .find(|one| one.partition_index == *partition)
                    .map_or(-1, |one| one.leader_id.0);
                if leader < 0 {
                    return Err(refused(3, None, &format!("partition {topic}-{partition}")));
                }
                by_leader
                    .entry(leader)
                    .or_default()
                    .push((topic.into(), *partition));
            }
        }
        Ok(by_leader)
    }

    /// The ends of those partitions that exist and have a leader; offsets outlive a topic in some groups.
    pub fn known_ends(&mut self, wanted: &[Partition]) -> Result<BTreeMap<Partition, i64>, AdminError> {
        let mut known = Vec::new();
        for (topic, partitions) in by_topic(wanted) {
            let found = match self.topic(topic) {
                Ok(found) => found,
                Err(AdminError::NoSuchTopic { .. }) => continue,
                Err(error) => return Err(error),
            };
            let led = |partition: &i32| {
                let mut all = found.partitions.iter();
                all.any(|one| one.partition_index == *partition && one.leader_id.0 >= 0)
            };
            let led = partitions.into_iter().filter(led);
            known.extend(led.map(|partition| (topic.to_owned(), partition)));
        }
        self.list_offsets(&known, LATEST)
    }

    /// The offset at a time (or [`LATEST`], [`EARLIEST`]) of each partition; −1 where there is no record that late.
    /// A leader that moves is looked up again for a while.
    pub fn list_offsets(
        &mut self,
        wanted: &[Partition],
        timestamp: i64,
    ) -> Result<BTreeMap<Partition, i64>, AdminError> {
        self.patiently("offsets", |admin| admin.ask_offsets(wanted, timestamp))
    }

    fn ask_offsets(
        &mut self,
        wanted: &[Partition],
        timestamp: i64,
    ) -> Result<Result<BTreeMap<Partition, i64>, Refusal>, AdminError> {
        let mut found = BTreeMap::new();
        let version_min = version_min_of(timestamp);
        for (leader, partitions) in self.leaders(wanted)? {
            let version = self.version_of::<ListOffsetsRequest>(leader)?;
            if version.is_some_and(|version| version < version_min) {
                return Err(AdminError::UnknownTime { leader, timestamp });
            }
            let topics = by_topic(&partitions)
                .into_iter()
                .map(|(topic, partitions)| {
                    let partitions = partitions
                        .into_iter()
                        .map(|partition| {
                            ListOffsetsPartition::default()
                                .with_partition_index(partition)
                                .with_timestamp(timestamp)
                        })
                        .collect();
                    ListOffsetsTopic::default()
                        .with_name(topic_name(topic))
                        .with_partitions(partitions)
                })
                .collect();
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(topics)
                .with_timeout_ms(self.timeout_ms());
            for topic in self.ask_node(leader, &request, i16::MAX)?.topics {
                for partition in topic.partitions {
                    let key = (topic.name.to_string(), partition.partition_index);
                    if is_passing(partition.error_code) {
                        let name = error_name(partition.error_code);
                        let message = format!("{}-{}: {name}", key.0, key.1);
                        return Ok(Err((partition.error_code, Some(message))));
                    }
                    if partition.error_code != 0 {
                        let what = format!("offsets of {}-{}", key.0, key.1);
                        return Err(refused(partition.error_code, None, &what));
                    }
                    found.insert(key, partition.offset);
                }
            }
        }
        if let Some((topic, partition)) = wanted.iter().find(|one| !found.contains_key(*one)) {
            return Err(AdminError::Unanswered {
                what: format!("offsets of {topic}-{partition}"),
                reason: "the broker's answer leaves them out; try again".into(),
            });
        }
        Ok(Ok(found))
    }
}

/// The first ListOffsets that knows a time with a meaning of its own; an older broker would take it for a moment.
const fn version_min_of(timestamp: i64) -> i16 {
    match timestamp {
        -3 => 7,
        -4 => 8,
        -5 => 9,
        -6 => 11,
        _ => 0,
    }
}

/// Groups partitions by their topic.
pub fn by_topic(partitions: &[Partition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    topics
}
