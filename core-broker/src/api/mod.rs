//! The Kafka APIs: one file each, and the registry that names them all.
//!
//! Why: adding an API touches its file and one line of [`REGISTRY`]; what is not in there is not advertised. Each
//! file goes decode → call the domain → encode. Owns: versions, layouts, the step from domain errors to Kafka's
//! codes (`error_code`). Does not own: what the domain decides (`topic`, `log`, `group`).

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
pub(crate) mod api_versions;
mod config_change;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod end_txn;
pub(crate) mod error_code;
mod fetch;
mod fetch_look;
mod fetch_response;
mod find_coordinator;
#[cfg(test)]
mod group_tests;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod produce_legacy;
pub(crate) mod shape;
mod sync_group;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::state as test_state;
mod txn_offset_commit;
mod write_txn_markers;

use std::cmp::Ordering;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::broker::BrokerState;
use crate::log::Partition;
use crate::server::Peer;
use crate::server::header::{self, HeaderError};
use crate::server::reply::{Reply, ReplyWriter};
use error_code::ErrorCode;
use shape::{Shape, ShapeError};

/// How a request may be started and awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// May start while earlier requests of the same kind are unanswered.
    Pipelined,
    /// Starts once all earlier ones are answered.
    Alone,
    /// Like `Alone`, but may wait long and is dropped when the connection or the broker ends.
    Waits,
}

/// One line of the registry.
pub(crate) struct ApiSpec {
    /// Kafka's number of the API.
    pub key: i16,
    /// Kafka's name of the API.
    pub name: &'static str,
    /// Oldest version advertised.
    pub min: i16,
    /// Newest version advertised.
    pub max: i16,
    /// Layout of the request.
    pub shape: &'static Shape,
    pace: Pace,
    start: fn(Request) -> Result<Started, Fault>,
}

/// Every API that is advertised, by key.
#[rustfmt::skip] // one line an API
pub(crate) static REGISTRY: &[ApiSpec] = &[
    api(0, "Produce", 0, 13, &produce::SHAPE, Pace::Pipelined, produce::start),
    api(1, "Fetch", 4, 18, &fetch::SHAPE, Pace::Waits, fetch::start),
    api(2, "ListOffsets", 1, 10, &list_offsets::SHAPE, Pace::Alone, list_offsets::start),
    api(3, "Metadata", 0, 13, &metadata::SHAPE, Pace::Alone, metadata::start),
    api(8, "OffsetCommit", 2, 9, &offset_commit::SHAPE, Pace::Alone, offset_commit::start),
    api(9, "OffsetFetch", 1, 9, &offset_fetch::SHAPE, Pace::Alone, offset_fetch::start),
    api(10, "FindCoordinator", 0, 6, &find_coordinator::SHAPE, Pace::Alone, find_coordinator::start),
    api(11, "JoinGroup", 0, 9, &join_group::SHAPE, Pace::Waits, join_group::start),
    api(12, "Heartbeat", 0, 4, &heartbeat::SHAPE, Pace::Alone, heartbeat::start),
    api(13, "LeaveGroup", 0, 5, &leave_group::SHAPE, Pace::Alone, leave_group::start),
    api(14, "SyncGroup", 0, 5, &sync_group::SHAPE, Pace::Waits, sync_group::start),
    api(15, "DescribeGroups", 0, 6, &describe_groups::SHAPE, Pace::Alone, describe_groups::start),
    api(16, "ListGroups", 0, 5, &list_groups::SHAPE, Pace::Alone, list_groups::start),
    api(18, "ApiVersions", 0, 4, &api_versions::SHAPE, Pace::Alone, api_versions::start),
    api(19, "CreateTopics", 2, 7, &create_topics::SHAPE, Pace::Alone, create_topics::start),
    api(20, "DeleteTopics", 1, 6, &delete_topics::SHAPE, Pace::Alone, delete_topics::start),
    api(21, "DeleteRecords", 0, 2, &delete_records::SHAPE, Pace::Alone, delete_records::start),
    api(22, "InitProducerId", 0, 5, &init_producer_id::SHAPE, Pace::Alone, init_producer_id::start),
    api(23, "OffsetForLeaderEpoch", 2, 4, &offset_for_leader_epoch::SHAPE, Pace::Alone, offset_for_leader_epoch::start),
    api(24, "AddPartitionsToTxn", 0, 3, &add_partitions_to_txn::SHAPE, Pace::Alone, add_partitions_to_txn::start),
    api(25, "AddOffsetsToTxn", 0, 4, &add_offsets_to_txn::SHAPE, Pace::Alone, add_offsets_to_txn::start),
    api(26, "EndTxn", 0, 4, &end_txn::SHAPE, Pace::Alone, end_txn::start),
    api(27, "WriteTxnMarkers", 1, 1, &write_txn_markers::SHAPE, Pace::Alone, write_txn_markers::start),
    api(28, "TxnOffsetCommit", 0, 4, &txn_offset_commit::SHAPE, Pace::Alone, txn_offset_commit::start),
    api(32, "DescribeConfigs", 1, 4, &describe_configs::SHAPE, Pace::Alone, describe_configs::start),
    api(33, "AlterConfigs", 0, 2, &alter_configs::SHAPE, Pace::Alone, alter_configs::start),
    api(35, "DescribeLogDirs", 1, 4, &describe_log_dirs::SHAPE, Pace::Alone, describe_log_dirs::start),
    api(37, "CreatePartitions", 0, 3, &create_partitions::SHAPE, Pace::Alone, create_partitions::start),
    api(42, "DeleteGroups", 0, 2, &delete_groups::SHAPE, Pace::Alone, delete_groups::start),
    api(44, "IncrementalAlterConfigs", 0, 1, &incremental_alter_configs::SHAPE, Pace::Alone, incremental_alter_configs::start),
    api(47, "OffsetDelete", 0, 0, &offset_delete::SHAPE, Pace::Alone, offset_delete::start),
    api(60, "DescribeCluster", 0, 2, &describe_cluster::SHAPE, Pace::Alone, describe_cluster::start),
    api(61, "DescribeProducers", 0, 0, &describe_producers::SHAPE, Pace::Alone, describe_producers::start),
    api(65, "DescribeTransactions", 0, 0, &describe_transactions::SHAPE, Pace::Alone, describe_transactions::start),
    api(66, "ListTransactions", 0, 1, &list_transactions::SHAPE, Pace::Alone, list_transactions::start),
    api(75, "DescribeTopicPartitions", 0, 0, &describe_topic_partitions::SHAPE, Pace::Alone, describe_topic_partitions::start),
];

const fn api(
    key: i16,
    name: &'static str,
    min: i16,
    max: i16,
    shape: &'static Shape,
    pace: Pace,
    start: fn(Request) -> Result<Started, Fault>,
) -> ApiSpec {
    ApiSpec {
        key,
        name,
        min,
        max,
        shape,
        pace,
        start,
    }
}

fn find(key: i16) -> Option<&'static ApiSpec> {
    REGISTRY
        .binary_search_by_key(&key, |spec| spec.key)
        .ok()
        .map(|at| &REGISTRY[at])
}

/// One request on its way to its API.
pub(crate) struct Request {
    /// The broker it reached.
    pub broker: Arc<BrokerState>,
    /// Who sent it.
    pub peer: Peer,
    /// Name that the client gave itself.
    pub client_id: Option<StrBytes>,
    /// What the answer must know.
    pub answer: Answer,
    spec: &'static ApiSpec,
    body: Bytes,
}

/// What it takes to answer a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Version of the request and so of the answer.
    pub version: i16,
    correlation_id: i32,
    /// Whether the response header has tagged fields.
    flexible: bool,
}

/// A request that was started.
pub(crate) enum Started {
    /// Answered.
    Ready(Reply),
    /// To be answered.
    Later(Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>),
    /// Not to be answered.
    Silent,
}

impl Started {
    /// The rest of the work as a future.
    pub fn later(rest: impl Future<Output = Result<Reply, Fault>> + Send + 'static) -> Result<Self, Fault> {
        Ok(Self::Later(Box::pin(rest)))
    }
}

/// What ends a connection: the peer breaks the protocol, or an answer cannot be given within it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The request header is malformed.
    #[error("malformed request header: {0}")]
    Header(#[from] HeaderError),
    /// An API that is not advertised.
    #[error("api key {0} is not supported")]
    UnknownApi(i16),
    /// A version that is not advertised.
    #[error("{api} version {version} is not supported (supported: {min} to {max})")]
    Version {
        /// Name of the API.
        api: &'static str,
        /// Version asked for.
        version: i16,
        /// Oldest supported.
        min: i16,
        /// Newest supported.
        max: i16,
    },
    /// The body does not have the API's layout.
    #[error("malformed {api} request, version {version}: {source}")]
    Shape {
        /// Name of the API.
        api: &'static str,
        /// Its version.
        version: i16,
        /// Where and why.
        source: ShapeError,
    },
    /// The body has the layout but not the content.
    #[error("malformed {api} request, version {version}: {reason}")]
    Body {
        /// Name of the API.
        api: &'static str,
        /// Its version.
        version: i16,
        /// Why.
        reason: String,
    },
    /// A produce request without acknowledgement failed; closing is the only way to tell.
    #[error(
        "produce with acks=0 to {partition} failed: {reason}; the connection is closed because such a request has no answer"
    )]
    Unacknowledged {
        /// Where the records should have gone.
        partition: String,
        /// Why they did not.
        reason: String,
    },
    /// The answer does not fit the protocol.
    #[error("cannot encode the answer: {0}")]
    Encode(String),
    /// Work that was handed to another thread did not come back.
    #[error("the request was abandoned: {0}")]
    Abandoned(#[from] tokio::task::JoinError),
}

/// The pace of a request that is not started yet, if its API is known.
pub(crate) fn pace_of(frame: &Bytes) -> Option<Pace> {
    let key = i16::from_be_bytes(*frame.first_chunk()?);
    find(key).map(|spec| spec.pace)
}

/// Parses the header of a request and starts it.
pub(crate) fn start(
    broker: &Arc<BrokerState>,
    peer: Peer,
    mut frame: Bytes,
) -> Result<(Pace, Started), Fault> {
    let header = header::take_fixed(&mut frame)?;
    let spec = find(header.api_key).ok_or(Fault::UnknownApi(header.api_key))?;
    let version = header.api_version;
    let is_api_versions = spec.key == api_versions::KEY;
    if !(spec.min..=spec.max).contains(&version) {
        if is_api_versions {
            return Ok((
                spec.pace,
                Started::Ready(api_versions::unsupported(header.correlation_id)?),
            ));
        }
        return Err(Fault::Version {
            api: spec.name,
            version,
            min: spec.min,
            max: spec.max,
        });
    }
    let flexible = spec.shape.is_flexible(version);
    let client_id = header::take_rest(&mut frame, flexible)?;
    tracing::trace!(api = spec.name, version, peer = %peer.address, "request");
    let answer = Answer {
        version,
        correlation_id: header.correlation_id,
        // A client that asks for versions cannot know yet which response header it will get: it is always 0.
        flexible: flexible && !is_api_versions,
    };
    let request = Request {
        broker: Arc::clone(broker),
        peer,
        client_id,
        answer,
        spec,
        body: frame,
    };
    (spec.start)(request).map(|started| (spec.pace, started))
}

impl Request {
    /// Decodes the body; record bytes in it stay slices of the frame.
    pub fn decode<T: Decodable>(&self) -> Result<T, Fault> {
        let body = self.checked_body()?;
        decode_checked(self.spec, self.answer.version, body)
    }

    /// The body after the walk along its layout. What follows the layout is ignored, as Kafka does: librdkafka 2.12 sends
    /// three bytes too many in Metadata 13.
    pub fn checked_body(&self) -> Result<Bytes, Fault> {
        let (api, version) = (self.spec.name, self.answer.version);
        let shape = self.spec.shape;
        shape
            .walk(&self.body, version)
            .map_err(|source| Fault::Shape { api, version, source })?;
        Ok(self.body.clone())
    }

    /// A body that has the layout but not the content.
    pub fn malformed(&self, reason: impl Into<String>) -> Fault {
        Fault::Body {
            api: self.spec.name,
            version: self.answer.version,
            reason: reason.into(),
        }
    }
}

fn decode_checked<T: Decodable>(spec: &ApiSpec, version: i16, mut body: Bytes) -> Result<T, Fault> {
    let fault = |reason: String| Fault::Body {
        api: spec.name,
        version,
        reason,
    };
    // The walk has excluded what could make the decoder panic; this is the last belt.
    match std::panic::catch_unwind(AssertUnwindSafe(|| T::decode(&mut body, version))) {
        Ok(Ok(request)) => Ok(request),
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault("the decoder panicked".into())),
    }
}

impl Answer {
    /// Starts an answer that is encoded by hand.
    pub fn writer(self, capacity: usize) -> ReplyWriter {
        ReplyWriter::new(self.correlation_id, self.flexible, capacity)
    }

    /// Encodes an answer.
    pub fn reply(self, response: &impl Encodable) -> Result<Reply, Fault> {
        encode(self.correlation_id, self.flexible, self.version, response)
    }

    /// Encodes an answer that is there at once.
    pub fn ready(self, response: &impl Encodable) -> Result<Started, Fault> {
        self.reply(response).map(Started::Ready)
    }
}

fn encode(
    correlation_id: i32,
    flexible: bool,
    version: i16,
    response: &impl Encodable,
) -> Result<Reply, Fault> {
    let size = response
        .compute_size(version)
        .map_err(|error| Fault::Encode(error.to_string()))?;
    let mut writer = ReplyWriter::new(correlation_id, flexible, size);
    response
        .encode(&mut writer.bytes, version)
        .map_err(|error| Fault::Encode(error.to_string()))?;
    finish(writer)
}

/// Closes an answer that was written by hand.
pub(crate) fn finish(writer: ReplyWriter) -> Result<Reply, Fault> {
    writer
        .finish()
        .ok_or_else(|| Fault::Encode("it is longer than 2 GiB".into()))
}

/// Runs work that touches the disk off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Runs work that takes long on this thread, while other tasks of the runtime move to another one; a runtime of a
/// single thread has none.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Text for an answer.
pub(crate) fn text(value: impl std::fmt::Display) -> StrBytes {
    StrBytes::from_string(value.to_string())
}

/// Bits of the operations that anybody may do: there is no authorizer.
pub(crate) mod operations {
    /// On the cluster: create, alter, describe, cluster action, describe and alter configs, idempotent write.
    pub(crate) const CLUSTER: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
    /// On a topic: read, write, create, delete, alter, describe, describe and alter configs.
    pub(crate) const TOPIC: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
    /// On a group: read, delete, describe, describe and alter configs.
    pub(crate) const GROUP: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
    /// What is answered if nobody asked.
    pub(crate) const NOT_ASKED: i32 = i32::MIN;
}

/// The error of a client that knows another leader epoch than this partition has; −1 means it does not say.
pub(crate) fn epoch_error(partition: &Partition, epoch: i32) -> Option<ErrorCode> {
    match epoch.cmp(&partition.leader_epoch().0) {
        _ if epoch < 0 => None,
        Ordering::Less => Some(ErrorCode::FencedLeaderEpoch),
        Ordering::Equal => None,
        Ordering::Greater => Some(ErrorCode::UnknownLeaderEpoch),
    }
}
