//! Records of `__consumer_offsets` in Kafka's own formats.
//!
//! Why: existing tools can read the topic, and groups can be moved in from Kafka. Written are the key versions
//! 1 (offset) and 2 (group) and the value versions 3 (and 1 for an offset with its own expiry); read are all
//! non-flexible versions, value versions 0 to 3. Shapes: `OffsetCommitKey.json`, `OffsetCommitValue.json`,
//! `GroupMetadataKey.json`, `GroupMetadataValue.json` of Apache Kafka.
//! Invariant: `decode(encode(r)) == r`; no length is trusted before it was compared with the bytes left.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::message::CommittedOffset;
use super::names::{GroupId, InstanceId, MemberId};
use crate::ids::{LeaderEpoch, Offset, Timestamp, TopicPartition};
pub(crate) use crate::topic::keyed::{Reader, RecordError};
use crate::topic::keyed::{length_i32, put_bytes, put_nullable, put_string};

/// One change of a group's durable state; `None` deletes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A committed offset.
    Offset {
        group: GroupId,
        partition: TopicPartition,
        value: Option<CommittedOffset>,
    },
    /// A group's generation and members.
    Metadata {
        group: GroupId,
        value: Option<GroupMetadata>,
    },
}

/// A generation of a group as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupMetadata {
    pub protocol_type: Arc<str>,
    pub generation: i32,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<MemberId>,
    /// When the group entered its state; the retention of an empty group counts from here.
    pub state_timestamp: Timestamp,
    pub members: Vec<MemberMetadata>,
}

/// A member of a generation as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemberMetadata {
    pub member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;

impl Record {
    /// Key and value; a deletion has no value.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordError> {
        let mut key = BytesMut::with_capacity(64);
        match self {
            Self::Offset {
                group,
                partition,
                value,
            } => {
                key.put_i16(OFFSET_KEY_VERSION);
                put_string(&mut key, "group", group.as_str())?;
                put_string(&mut key, "topic", partition.topic.as_str())?;
                key.put_i32(partition.partition.0);
                Ok((key.freeze(), value.as_ref().map(encode_offset).transpose()?))
            }
            Self::Metadata { group, value } => {
                key.put_i16(GROUP_KEY_VERSION);
                put_string(&mut key, "group", group.as_str())?;
                Ok((key.freeze(), value.as_ref().map(encode_metadata).transpose()?))
            }
        }
    }

    /// Reads a record; `None` for kinds of records this broker does not keep.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordError> {
        let mut reader = Reader(key);
        match reader.i16("key version")? {
            0 | OFFSET_KEY_VERSION => {
                let group = reader.string("group")?.into();
                let partition = TopicPartition::new(reader.string("topic")?, reader.i32("partition")?);
                reader.end("offset key")?;
                let value = value.map(decode_offset).transpose()?;
                Ok(Some(Self::Offset {
                    group,
                    partition,
                    value,
                }))
            }
            GROUP_KEY_VERSION => {
                let group = reader.string("group")?.into();
                reader.end("group key")?;
                let value = value.map(decode_metadata).transpose()?;
                Ok(Some(Self::Metadata { group, value }))
            }
            _ => Ok(None),
        }
    }

    /// The group it belongs to.
    pub fn group(&self) -> &GroupId {
        match self {
            Self::Offset { group, .. } | Self::Metadata { group, .. } => group,
        }
    }

    /// About how many bytes it takes; never less than it does.
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        match self {
            Self::Offset {
                group,
                partition,
                value,
            } => {
                let metadata = value.as_ref().map_or(0, |v| v.metadata.len());
                FIXED + group.as_str().len() + partition.topic.as_str().len() + metadata
            }
            Self::Metadata { group, value } => {
                let members = value.iter().flat_map(|v| &v.members).map(|m| {
                    FIXED
                        + m.member_id.as_str().len()
                        + m.instance.as_ref().map_or(0, |i| i.as_str().len())
                        + m.client_id.len()
                        + m.client_host.len()
                        + m.subscription.len()
                        + m.assignment.len()
                });
                let header = value.as_ref().map_or(0, |v| {
                    v.protocol_type.len()
                        + v.protocol.as_ref().map_or(0, |p| p.len())
                        + v.leader.as_ref().map_or(0, |l| l.as_str().len())
                });
                FIXED + group.as_str().len() + header + members.sum::<usize>()
            }
        }
    }
}

fn encode_offset(value: &CommittedOffset) -> Result<Bytes, RecordError> {
    let mut out = BytesMut::with_capacity(32 + value.metadata.len());
    let version = match value.expire_timestamp {
        Some(_) => OFFSET_VALUE_VERSION_WITH_EXPIRY,
        None => VALUE_VERSION,
    };
    out.put_i16(version);
    out.put_i64(value.offset.0);
    if version == VALUE_VERSION {
        out.put_i32(value.leader_epoch.map_or(-1, |epoch| epoch.0));
    }
    put_string(&mut out, "offset metadata", &value.metadata)?;
    out.put_i64(value.commit_timestamp.0);
    if let Some(expire) = value.expire_timestamp {
        out.put_i64(expire.0);
    }
    Ok(out.freeze())
}

fn decode_offset(value: &[u8]) -> Result<CommittedOffset, RecordError> {
    let mut reader = Reader(value);
    let version = reader.i16("offset value version")?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::Version {
            what: "offset value",
            version,
        });
    }
    let offset = Offset(reader.i64("offset")?);
    let epoch = if version >= 3 {
        reader.i32("leader epoch")?
    } else {
        -1
    };
    let metadata = Arc::from(reader.string("offset metadata")?);
    let commit_timestamp = Timestamp(reader.i64("commit timestamp")?);
    let expire = if version == 1 {
        reader.i64("expire timestamp")?
    } else {
        -1
    };
    reader.end("offset value")?;
    Ok(CommittedOffset {
        offset,
        leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
        metadata,
        commit_timestamp,
        expire_timestamp: (expire >= 0).then_some(Timestamp(expire)),
    })
}

fn encode_metadata(value: &GroupMetadata) -> Result<Bytes, RecordError> {
    let mut out = BytesMut::with_capacity(128);
    out.put_i16(VALUE_VERSION);
    put_string(&mut out, "protocol type", &value.protocol_type)?;
    out.put_i32(value.generation);
    put_nullable(&mut out, "protocol", value.protocol.as_deref())?;
    put_nullable(&mut out, "leader", value.leader.as_ref().map(MemberId::as_str))?;
    out.put_i64(value.state_timestamp.0);
    out.put_i32(length_i32("members", value.members.len())?);
    for member in &value.members {
        put_string(&mut out, "member id", member.member_id.as_str())?;
        put_nullable(
            &mut out,
            "instance id",
            member.instance.as_ref().map(InstanceId::as_str),
        )?;
        put_string(&mut out, "client id", &member.client_id)?;
        put_string(&mut out, "client host", &member.client_host)?;
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(&mut out, "subscription", &member.subscription)?;
        put_bytes(&mut out, "assignment", &member.assignment)?;
    }
    Ok(out.freeze())
}

fn decode_metadata(value: &[u8]) -> Result<GroupMetadata, RecordError> {
    let mut reader = Reader(value);
    let version = reader.i16("group value version")?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::Version {
            what: "group value",
            version,
        });
    }
    let protocol_type = Arc::from(reader.string("protocol type")?);
    let generation = reader.i32("generation")?;
    let protocol = reader.nullable("protocol")?.map(Arc::from);
    let leader = reader.nullable("leader")?.map(MemberId::from);
    let state_timestamp = Timestamp(if version >= 2 {
        reader.i64("state timestamp")?
    } else {
        -1
    });
    let count = reader.i32("members")?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(decode_member(&mut reader, version)?);
    }
    reader.end("group value")?;
    Ok(GroupMetadata {
        protocol_type,
        generation,
        protocol,
        leader,
        state_timestamp,
        members,
    })
}

fn decode_member(reader: &mut Reader<'_>, version: i16) -> Result<MemberMetadata, RecordError> {
    let member_id = reader.string("member id")?.into();
    let instance = match version {
        3.. => reader.nullable("instance id")?.map(InstanceId::from),
        _ => None,
    };
    let client_id = Arc::from(reader.string("client id")?);
    let client_host = Arc::from(reader.string("client host")?);
    let rebalance_timeout_ms = if version >= 1 {
        Some(reader.i32("rebalance timeout")?)
    } else {
        None
    };
    let session_timeout_ms = reader.i32("session timeout")?;
    Ok(MemberMetadata {
        member_id,
        instance,
        client_id,
        client_host,
        rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
        session_timeout_ms,
        subscription: reader.bytes("subscription")?,
        assignment: reader.bytes("assignment")?,
    })
}

#[cfg(test)]
mod tests;
