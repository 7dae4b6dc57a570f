//! The layout of Fetch answers, versions 4 to 18, written by hand.
//!
//! Why: the generated encoder wants all record bytes in memory and copies them; here they stay ranges of files.
//! The tests read it back with the generated decoder.

use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Fault, finish};
use crate::log::{AbortedTransaction, LogSlice};
use crate::server::reply::Reply;

/// How the client named a topic.
pub(super) enum TopicKey {
    /// Up to version 12.
    Name(StrBytes),
    /// From version 13 on.
    Id(uuid::Uuid),
}

/// One topic of an answer.
pub(super) struct FetchedTopic {
    pub key: TopicKey,
    pub partitions: Vec<FetchedPartition>,
}

/// One partition of an answer.
pub(super) struct FetchedPartition {
    pub index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable: i64,
    pub log_start: i64,
    /// For consumers of committed records: whose records to skip.
    pub aborted: Vec<AbortedTransaction>,
    pub records: Option<LogSlice>,
}

/// First version with compact lengths and tagged fields.
const FLEXIBLE: i16 = 12;
/// Bytes of a partition without its records, generously.
const PARTITION_BYTES: usize = 64;

/// Writes the whole answer.
pub(super) fn encode(
    answer: Answer,
    error_code: i16,
    session_id: i32,
    topics: Vec<FetchedTopic>,
    committed: bool,
) -> Result<Reply, Fault> {
    let version = answer.version;
    let capacity = topics
        .iter()
        .map(|t| 32 + t.partitions.len() * PARTITION_BYTES)
        .sum::<usize>();
    let mut reply = answer.writer(capacity + 32);
    // Not throttled.
    reply.bytes.put_i32(0);
    if version >= 7 {
        reply.bytes.put_i16(error_code);
        reply.bytes.put_i32(session_id);
    }
    put_count(&mut reply.bytes, version, topics.len());
    for topic in topics {
        match topic.key {
            TopicKey::Id(id) => reply.bytes.put_slice(id.as_bytes()),
            TopicKey::Name(name) => put_text(&mut reply.bytes, version, &name),
        }
        put_count(&mut reply.bytes, version, topic.partitions.len());
        for partition in topic.partitions {
            put_partition(&mut reply.bytes, version, &partition, committed);
            // What does not fit is there for the next fetch, as beyond `max_bytes`.
            let records = partition.records.filter(|_| reply.takes_records());
            match (version >= FLEXIBLE, records.as_ref().map_or(0, |r| r.len())) {
                (true, length) => put_varint(&mut reply.bytes, length as u32 + 1),
                (false, length) => reply.bytes.put_i32(length as i32),
            }
            if let Some(records) = records {
                reply.put_records(records);
            }
            put_no_tags(&mut reply.bytes, version);
        }
        put_no_tags(&mut reply.bytes, version);
    }
    put_no_tags(&mut reply.bytes, version);
    finish(reply)
}

fn put_partition(bytes: &mut BytesMut, version: i16, partition: &FetchedPartition, committed: bool) {
    bytes.put_i32(partition.index);
    bytes.put_i16(partition.error_code);
    bytes.put_i64(partition.high_watermark);
    bytes.put_i64(partition.last_stable);
    if version >= 5 {
        bytes.put_i64(partition.log_start);
    }
    // Aborted transactions: a list for those who read committed records, null for the others.
    match (committed, version >= FLEXIBLE) {
        (true, _) => {
            put_count(bytes, version, partition.aborted.len());
            for aborted in &partition.aborted {
                bytes.put_i64(aborted.producer_id);
                bytes.put_i64(aborted.first_offset);
                put_no_tags(bytes, version);
            }
        }
        (false, true) => bytes.put_u8(0),
        (false, false) => bytes.put_i32(-1),
    }
    if version >= 11 {
        // No other replica to read from.
        bytes.put_i32(-1);
    }
}

fn put_count(bytes: &mut BytesMut, version: i16, count: usize) {
    if version >= FLEXIBLE {
        put_varint(bytes, count as u32 + 1);
    } else {
        bytes.put_i32(count as i32);
    }
}

fn put_text(bytes: &mut BytesMut, version: i16, text: &str) {
    if version >= FLEXIBLE {
        put_varint(bytes, text.len() as u32 + 1);
    } else {
        bytes.put_i16(text.len() as i16);
    }
    bytes.put_slice(text.as_bytes());
}

fn put_no_tags(bytes: &mut BytesMut, version: i16) {
    if version >= FLEXIBLE {
        bytes.put_u8(0);
    }
}

fn put_varint(bytes: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        bytes.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}
