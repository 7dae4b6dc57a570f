//! Records of `__transaction_state` in Kafka's own formats.
//!
//! Why: existing tools can read the topic. Shapes: `TransactionLogKey.json` and `TransactionLogValue.json` of Apache
//! Kafka, version 0. What version 1 adds belongs to a newer transaction protocol that is not offered.
//! Invariant: `decode(encode(r)) == r` for what is kept on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::metadata::{Metadata, NO_EPOCH, NO_PRODUCER, TransactionState};
use crate::group::KeyedRecord;
use crate::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::topic::keyed::{Reader, RecordError, length_i32, put_string};

const VERSION: i16 = 0;

/// The record of a transactional id; no metadata deletes it.
pub(super) fn encode(id: &str, metadata: Option<&Metadata>) -> Result<KeyedRecord, RecordError> {
    let mut key = BytesMut::with_capacity(4 + id.len());
    key.put_i16(VERSION);
    put_string(&mut key, "transactional id", id)?;
    Ok((key.freeze(), metadata.map(encode_value).transpose()?))
}

fn encode_value(metadata: &Metadata) -> Result<Bytes, RecordError> {
    let mut out = BytesMut::with_capacity(64 + 16 * metadata.partitions.len());
    out.put_i16(VERSION);
    out.put_i64(metadata.producer_id.0);
    out.put_i16(metadata.producer_epoch.0);
    out.put_i32(metadata.timeout_ms);
    out.put_i8(metadata.state.number());
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &metadata.partitions {
        let of_topic = topics.entry(partition.topic.as_str()).or_default();
        of_topic.push(partition.partition.0);
    }
    // As in Kafka, an empty transaction has no list.
    if metadata.state == TransactionState::Empty {
        out.put_i32(-1);
    } else {
        out.put_i32(length_i32("topics", topics.len())?);
        for (topic, partitions) in topics {
            put_string(&mut out, "topic", topic)?;
            out.put_i32(length_i32("partitions", partitions.len())?);
            partitions
                .into_iter()
                .for_each(|partition| out.put_i32(partition));
        }
    }
    out.put_i64(metadata.updated.0);
    out.put_i64(metadata.started.0);
    Ok(out.freeze())
}

/// Reads a record: the transactional id, and what is known of it. `None` for kinds of records this broker does not keep.
pub(super) fn decode<'a>(
    key: &'a [u8],
    value: Option<&[u8]>,
) -> Result<Option<(&'a str, Option<Metadata>)>, RecordError> {
    let mut reader = Reader(key);
    if reader.i16("key version")? != VERSION {
        return Ok(None);
    }
    let id = reader.string("transactional id")?;
    reader.end("transaction key")?;
    Ok(Some((id, value.map(decode_value).transpose()?)))
}

fn decode_value(value: &[u8]) -> Result<Metadata, RecordError> {
    let mut reader = Reader(value);
    let version = reader.i16("transaction value version")?;
    if version != VERSION {
        return Err(RecordError::Version {
            what: "transaction value",
            version,
        });
    }
    let producer_id = ProducerId(reader.i64("producer id")?);
    let producer_epoch = ProducerEpoch(reader.i16("producer epoch")?);
    let timeout_ms = reader.i32("transaction timeout")?;
    let [number] = reader.array("transaction state")?;
    let number = i8::from_be_bytes([number]);
    let state = TransactionState::numbered(number).ok_or(RecordError::Length {
        field: "transaction state",
        length: i64::from(number),
    })?;
    let mut partitions = BTreeSet::new();
    // Every element takes bytes, so a count that is too large ends with the bytes.
    for _ in 0..reader.i32("topics")? {
        let topic = reader.string("topic")?;
        for _ in 0..reader.i32("partitions")? {
            partitions.insert(TopicPartition::new(topic, reader.i32("partition")?));
        }
    }
    let updated = Timestamp(reader.i64("last update")?);
    let started = Timestamp(reader.i64("start")?);
    reader.end("transaction value")?;
    Ok(Metadata {
        state,
        producer_id,
        producer_epoch,
        previous_producer_id: NO_PRODUCER,
        last_producer_epoch: NO_EPOCH,
        timeout_ms,
        partitions,
        started,
        updated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(state: TransactionState) -> Metadata {
        Metadata {
            state,
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(3),
            previous_producer_id: NO_PRODUCER,
            last_producer_epoch: NO_EPOCH,
            timeout_ms: 60_000,
            partitions: BTreeSet::new(),
            started: Timestamp(-1),
            updated: Timestamp(5),
        }
    }

    #[test]
    fn has_kafkas_bytes() {
        let with_partitions = Metadata {
            partitions: [("a", 1), ("a", 2), ("b", 0)]
                .map(|(topic, partition)| TopicPartition::new(topic, partition))
                .into(),
            started: Timestamp(4),
            ..metadata(TransactionState::Ongoing)
        };
        let (key, value) = encode("tx", Some(&with_partitions)).unwrap();
        assert_eq!(&key[..], b"\0\0\0\x02tx");
        let expected =
            b"\0\0\0\0\0\0\0\0\0\x07\0\x03\0\0\xea\x60\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\x01\0\0\0\x02\
            \0\x01b\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x04";
        assert_eq!(value.as_deref(), Some(&expected[..]));
        assert_eq!(
            decode(&key, value.as_deref()),
            Ok(Some(("tx", Some(with_partitions))))
        );
        let (key, value) = encode("tx", None).unwrap();
        assert_eq!((decode(&key, None), value), (Ok(Some(("tx", None))), None));
    }

    #[test]
    fn every_state_comes_back_and_nothing_else_is_read() {
        for number in 0..7 {
            let state = TransactionState::numbered(number).unwrap();
            let (key, value) = encode("tx", Some(&metadata(state))).unwrap();
            assert_eq!(
                decode(&key, value.as_deref()),
                Ok(Some(("tx", Some(metadata(state)))))
            );
            let value = value.unwrap();
            for end in 0..value.len() {
                assert!(decode(&key, Some(&value[..end])).is_err());
            }
            for (at, byte) in [(1, 1), (16, 9), (17, 0x7f)] {
                let mut bad = value.to_vec();
                bad[at] = byte;
                assert!(decode(&key, Some(&bad)).is_err(), "byte {at}");
            }
        }
        assert_eq!(decode(b"\0\x01x", None), Ok(None));
        assert!(decode(b"\0\0\0\x05tx", None).is_err());
    }
}
