//! Committed offsets: who may commit, reading, deleting, expiry.
//!
//! Commits inside a transaction (KIP-98) belong here too: `durable` holds them back per producer until its marker
//! arrives, and `FetchOffsetsRequest::require_stable` makes a fetch wait for them (KIP-447).

use std::collections::BTreeSet;

use super::coordinator::{Group, Response, Then, Token};
use super::error::GroupError;
use super::message::{
    CommitRequest, CommittedOffset, FetchOffsetsRequest, GroupState, OffsetToCommit, TopicOffsets,
    TransactionalCommit,
};
use super::record::{Reader, Record, RecordError};
use super::store::TransactionalProducer;
use super::time::Now;
use crate::ids::{Timestamp, TopicName, TopicPartition};

/// `protocolType` of consumers, the one whose metadata Kafka itself looks into.
const CONSUMER: &str = "consumer";
/// Longest legal name of a topic.
const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Keys have at most some 4 KiB, so this many stay far below the limit of a write.
const TOMBSTONES_PER_WRITE_MAX: usize = 1_000;

impl Group {
    /// Stores offsets; answered when they are on disk.
    pub fn handle_commit(&mut self, now: Now, token: Token, request: &CommitRequest) {
        if let Err(error) = self
            .check_commit(now, request)
            .and_then(|()| self.commit(now, token, None, request.retention_ms, &request.offsets))
        {
            self.respond(token, Response::Partitions(Err(error)));
        }
    }

    /// Stores offsets that count once their transaction is committed; answered when they are on disk.
    pub fn handle_transactional_commit(&mut self, now: Now, token: Token, request: &TransactionalCommit) {
        let producer = Some(request.producer.clone());
        if let Err(error) = self
            .check_transactional_commit(request)
            .and_then(|()| self.commit(now, token, producer, None, &request.offsets))
        {
            self.respond(token, Response::Partitions(Err(error)));
        }
    }

    /// The producer stands for a member, unless it is too old to know of groups; then nothing can be checked. Unlike a
    /// member's own commit it is welcome during a rebalance, and is no sign of life of the member.
    fn check_transactional_commit(&self, request: &TransactionalCommit) -> Result<(), GroupError> {
        self.check_alive()?;
        let empty = request.generation < 0 && self.state == GroupState::Empty;
        let claims_membership =
            request.generation >= 0 || !request.member_id.is_empty() || request.instance.is_some();
        if empty || !claims_membership {
            return Ok(());
        }
        self.check_member(&request.member_id, request.instance.as_ref())?;
        self.check_generation(request.generation)
    }

    fn check_commit(&mut self, now: Now, request: &CommitRequest) -> Result<(), GroupError> {
        self.check_alive()?;
        // Tools and consumers that assign their partitions themselves commit without a generation.
        if request.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        let claims_membership =
            request.generation >= 0 || !request.member_id.is_empty() || request.instance.is_some();
        if !claims_membership {
            return Err(self.unknown(&request.member_id));
        }
        self.check_member(&request.member_id, request.instance.as_ref())?;
        self.check_generation(request.generation)?;
        if self.state == GroupState::CompletingRebalance {
            return Err(self.rebalancing());
        }
        self.restart_session(now, &request.member_id);
        Ok(())
    }

    fn commit(
        &mut self,
        now: Now,
        token: Token,
        producer: Option<TransactionalProducer>,
        retention_ms: Option<i64>,
        offsets: &[OffsetToCommit],
    ) -> Result<(), GroupError> {
        let results: Vec<_> = offsets.iter().map(|offset| self.check_offset(offset)).collect();
        let accepted = offsets.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let records: Vec<Record> = accepted
            .map(|(offset, _)| self.offset_record(now, offset, retention_ms))
            .collect();
        self.check_room(&records)?;
        if records.is_empty() {
            self.respond(token, Response::Partitions(Ok(results)));
        } else {
            self.append_within(producer, records, Then::Partitions { token, results });
        }
        Ok(())
    }

    fn check_offset(&self, offset: &OffsetToCommit) -> Result<(), GroupError> {
        let (bytes, bytes_max) = (offset.metadata.len(), self.config.offset_metadata_bytes_max);
        if bytes > bytes_max {
            return Err(GroupError::OffsetMetadataTooLarge { bytes, bytes_max });
        }
        let topic = offset.partition.topic.as_str();
        if topic.is_empty() || topic.len() > TOPIC_NAME_BYTES_MAX {
            let shown = super::names::truncate(topic, TOPIC_NAME_BYTES_MAX);
            return Err(GroupError::UnknownTopic {
                topic: shown.to_owned(),
            });
        }
        Ok(())
    }

    fn check_room(&self, records: &[Record]) -> Result<(), GroupError> {
        let bytes = records.iter().map(Record::size).sum();
        let bytes_max = self.config.write_bytes_max;
        if bytes > bytes_max {
            return Err(GroupError::CommitTooLarge {
                group: self.id.clone(),
                bytes,
                bytes_max,
            });
        }
        let limit = self.config.offsets_per_group_max;
        let pending: usize = self.writes.iter().map(|w| w.records.len()).sum();
        let held = self.durable.offset_count();
        if held + pending + records.len() > limit {
            // Close to the limit it is worth counting exactly: most commits overwrite what is there.
            let mut partitions: BTreeSet<&TopicPartition> = self.durable.offsets.keys().collect();
            let of_transactions = held - partitions.len();
            partitions.extend(self.writes_to_offsets());
            partitions.extend(records.iter().filter_map(partition_of));
            if partitions.len() + of_transactions > limit {
                let setting = "offsets_per_group_max";
                return Err(GroupError::TooMany {
                    what: "offsets of one group",
                    limit,
                    setting,
                });
            }
        }
        Ok(())
    }

    fn offset_record(&self, now: Now, offset: &OffsetToCommit, retention_ms: Option<i64>) -> Record {
        let value = CommittedOffset {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.clone(),
            commit_timestamp: now.wall,
            expire_timestamp: retention_ms.map(|ms| Timestamp(now.wall.0.saturating_add(ms.max(0)))),
        };
        Record::Offset {
            group: self.id.clone(),
            partition: offset.partition.clone(),
            value: Some(value),
        }
    }

    /// Partitions that a write under way touches.
    fn writes_to_offsets(&self) -> impl Iterator<Item = &TopicPartition> {
        self.writes
            .iter()
            .flat_map(|w| w.records.iter())
            .filter_map(partition_of)
    }

    /// Reads offsets that are on disk.
    pub fn fetch_offsets(&self, request: &FetchOffsetsRequest) -> Vec<TopicOffsets> {
        let Some(topics) = &request.topics else {
            let mut all: Vec<TopicOffsets> = Vec::new();
            for partition in self.durable.offsets.keys() {
                if all.last().is_none_or(|last| last.topic != partition.topic) {
                    all.push(TopicOffsets {
                        topic: partition.topic.clone(),
                        partitions: Vec::new(),
                    });
                }
                if let Some(last) = all.last_mut() {
                    let offset = self.fetch_offset(partition, request.require_stable);
                    last.partitions.push((partition.partition.0, offset));
                }
            }
            return all;
        };
        let stored = |topic: &TopicName, partition: i32| {
            let partition = TopicPartition::new(topic.clone(), partition);
            self.fetch_offset(&partition, request.require_stable)
        };
        let topic = |(topic, partitions): &(TopicName, Vec<i32>)| TopicOffsets {
            topic: topic.clone(),
            partitions: partitions.iter().map(|p| (*p, stored(topic, *p))).collect(),
        };
        topics.iter().map(topic).collect()
    }

    fn fetch_offset(
        &self,
        partition: &TopicPartition,
        require_stable: bool,
    ) -> Result<Option<CommittedOffset>, GroupError> {
        if require_stable && self.durable.is_pending(partition) {
            return Err(GroupError::UnstableOffset {
                group: self.id.clone(),
                partition: partition.clone(),
            });
        }
        Ok(self.durable.offsets.get(partition).cloned())
    }

    /// Partitions with offsets, durable, held back by a transaction, or on their way.
    fn all_offsets(&self) -> impl Iterator<Item = &TopicPartition> {
        let durable = self.durable.offsets.keys();
        durable
            .chain(self.durable.pending())
            .chain(self.writes_to_offsets())
    }

    /// Deletes the group with its offsets, those of open transactions among them; only an empty one.
    pub fn handle_delete(&mut self, token: Token) {
        if self.state == GroupState::Dead {
            let group = self.id.clone();
            return self.respond(token, Response::Done(Err(GroupError::NotFound { group })));
        }
        if self.state != GroupState::Empty || self.member_count() > 0 {
            let group = self.id.clone();
            return self.respond(token, Response::Done(Err(GroupError::NotEmpty { group })));
        }
        let partitions: BTreeSet<TopicPartition> = self.all_offsets().cloned().collect();
        let mut records: Vec<Record> = partitions.into_iter().map(|p| self.tombstone(p)).collect();
        records.push(Record::Metadata {
            group: self.id.clone(),
            value: None,
        });
        self.append_in_pieces(records, Then::Delete { token });
    }

    /// Deletes single offsets, unless a member still reads the topic.
    pub fn handle_delete_offsets(&mut self, token: Token, partitions: &[TopicPartition]) {
        let empty = self.state == GroupState::Empty;
        if !empty && self.protocol_type.as_deref() != Some(CONSUMER) {
            let group = self.id.clone();
            return self.respond(token, Response::Partitions(Err(GroupError::NotEmpty { group })));
        }
        let subscribed = if empty {
            Some(BTreeSet::new())
        } else {
            self.subscribed_topics()
        };
        let check = |partition: &TopicPartition| {
            let topic = &partition.topic;
            if subscribed
                .as_ref()
                .is_none_or(|topics| topics.contains(topic.as_str()))
            {
                let (group, topic) = (self.id.clone(), topic.to_string());
                return Err(GroupError::Subscribed { group, topic });
            }
            Ok(())
        };
        let results: Vec<_> = partitions.iter().map(check).collect();
        let under_way: BTreeSet<&TopicPartition> = self.writes_to_offsets().collect();
        let there = |p: &TopicPartition| {
            self.durable.offsets.contains_key(p) || self.durable.is_pending(p) || under_way.contains(p)
        };
        let records: Vec<Record> = partitions
            .iter()
            .zip(&results)
            .filter(|(partition, result)| result.is_ok() && there(partition))
            .map(|(partition, _)| self.tombstone(partition.clone()))
            .collect();
        if records.is_empty() {
            self.respond(token, Response::Partitions(Ok(results)));
        } else {
            self.append_in_pieces(records, Then::Partitions { token, results });
        }
    }

    /// Whether there are offsets of topics that are `gone`, durable or on their way.
    pub fn knows(&self, gone: &dyn Fn(&TopicName) -> bool) -> bool {
        self.all_offsets().any(|partition| gone(&partition.topic))
    }

    /// Topics are gone: their offsets mean nothing any more.
    pub fn forget_topics(&mut self, token: Token, gone: &dyn Fn(&TopicName) -> bool) {
        let forgotten: BTreeSet<TopicPartition> = self
            .all_offsets()
            .filter(|partition| gone(&partition.topic))
            .cloned()
            .collect();
        let records: Vec<Record> = forgotten.into_iter().map(|p| self.tombstone(p)).collect();
        let results = Vec::new();
        if records.is_empty() {
            self.respond(token, Response::Partitions(Ok(results)));
        } else {
            self.append_in_pieces(records, Then::Partitions { token, results });
        }
    }

    /// Deletes offsets past their retention, and the group with its last one. Offsets of members are kept as
    /// long as they are subscribed (KIP-211).
    pub fn expire_offsets(&mut self, now: Now) {
        let retention_ms = self.config.offsets_retention_ms();
        let empty = self.state == GroupState::Empty;
        let subscribed = match self.state {
            GroupState::Empty => Some(BTreeSet::new()),
            GroupState::Stable if self.protocol_type.as_deref() == Some(CONSUMER) => self.subscribed_topics(),
            _ => None,
        };
        let Some(subscribed) = subscribed else { return };
        let simple = self.protocol_type.is_none();
        // What a commit or a transaction is about to change stays, and the group with it.
        let pending: BTreeSet<&TopicPartition> =
            self.writes_to_offsets().chain(self.durable.pending()).collect();
        let expired = |partition: &TopicPartition, offset: &CommittedOffset| {
            if subscribed.contains(partition.topic.as_str()) {
                return false;
            }
            if let Some(expire) = offset.expire_timestamp {
                return now.wall >= expire;
            }
            let since = match (simple, empty) {
                (false, true) => self.state_since.max(offset.commit_timestamp),
                _ => offset.commit_timestamp,
            };
            now.wall.0 - since.0 >= retention_ms
        };
        let gone: Vec<TopicPartition> = self
            .durable
            .offsets
            .iter()
            .filter(|(partition, offset)| !pending.contains(partition) && expired(partition, offset))
            .map(|(partition, _)| partition.clone())
            .collect();
        let all = gone.len() == self.durable.offsets.len();
        let forget = empty && all && pending.is_empty() && self.writes.is_empty() && self.member_count() == 0;
        self.delete_quietly(gone, forget);
    }

    fn delete_quietly(&mut self, partitions: Vec<TopicPartition>, forget_group: bool) {
        let mut records: Vec<Record> = partitions.into_iter().map(|p| self.tombstone(p)).collect();
        if forget_group && self.durable.metadata.is_some() {
            records.push(Record::Metadata {
                group: self.id.clone(),
                value: None,
            });
        }
        if !records.is_empty() {
            self.append_in_pieces(records, Then::Nothing);
        }
    }

    /// Writes many tombstones in batches that are not too large. `then` follows the last one: if an earlier
    /// one failed, so does it, for the log has failed.
    fn append_in_pieces(&mut self, mut records: Vec<Record>, then: Then) {
        while records.len() > TOMBSTONES_PER_WRITE_MAX {
            let rest = records.split_off(TOMBSTONES_PER_WRITE_MAX);
            self.append(std::mem::replace(&mut records, rest), Then::Nothing);
        }
        self.append(records, then);
    }

    fn tombstone(&self, partition: TopicPartition) -> Record {
        Record::Offset {
            group: self.id.clone(),
            partition,
            value: None,
        }
    }

    /// Topics in the members' subscriptions; `None` if they cannot be known.
    fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.roster.iter() {
            topics.append(&mut subscription_topics(&member.metadata(Some(protocol))).ok()?);
        }
        Some(topics)
    }

    /// Nothing is left of the group: it is deleted.
    pub(super) fn die_if_nothing_left(&mut self, now: Now) {
        let nothing = self.durable.is_empty() && self.writes.is_empty() && self.member_count() == 0;
        if self.state == GroupState::Empty && nothing {
            self.transition(now, GroupState::Dead);
        }
    }
}

fn partition_of(record: &Record) -> Option<&TopicPartition> {
    match record {
        Record::Offset { partition, .. } => Some(partition),
        Record::Metadata { .. } => None,
    }
}

/// The topics of a `ConsumerProtocolSubscription`; later fields are of no interest here.
fn subscription_topics(metadata: &[u8]) -> Result<BTreeSet<String>, RecordError> {
    let mut reader = Reader(metadata);
    reader.i16("subscription version")?;
    let count = reader.i32("subscribed topics")?;
    (0..count)
        .map(|_| reader.string("subscribed topic").map(str::to_owned))
        .collect()
}

/// Offsets of a group that does not exist: every partition asked for, without an offset.
pub(super) fn no_offsets(request: &FetchOffsetsRequest) -> Vec<TopicOffsets> {
    let topic = |(topic, partitions): &(TopicName, Vec<i32>)| TopicOffsets {
        topic: topic.clone(),
        partitions: partitions.iter().map(|p| (*p, Ok(None))).collect(),
    };
    request.topics.iter().flatten().map(topic).collect()
}
