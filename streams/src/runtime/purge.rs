//! Deleting what has been read from repartition topics.
//!
//! Nothing else limits these topics: their records are kept until their reader has them, however long that takes, and what the
//! reader made of them is in its changelog. Every process of the job asks for the same; the brokers do it once.
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::block_on::block_on;
use super::cluster::Cluster;
use super::shared::Shared;
use crate::error::StreamsError;
use crate::source::TopicPartition;

/// How late a stop is noticed.
const NAP: Duration = Duration::from_millis(50);
/// How long the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is purged, how often, and by whom.
pub(super) struct Purge {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) interval: Duration,
    pub(super) client: ClientConfig,
    pub(super) cluster: Arc<Cluster>,
    pub(super) shared: Arc<Shared>,
}

impl Purge {
    /// Starts to purge in a thread that ends with the job.
    pub(super) fn start(self) -> Result<(), StreamsError> {
        if self.partitions.is_empty() {
            return Ok(());
        }
        let name = "purge".to_owned();
        let spawned = Builder::new().name(name.clone()).spawn(move || self.run());
        let started = spawned.map(drop);
        started.map_err(|cause| StreamsError::Thread { thread: name, cause })
    }

    fn run(self) {
        let mut deleted = vec![0; self.partitions.len()];
        let mut last = Instant::now();
        while !self.shared.is_stopping() {
            if last.elapsed() < self.interval {
                std::thread::sleep(NAP.min(self.interval));
                continue;
            }
            if let Err(reason) = self.once(&mut deleted) {
                // Only disk space is at stake, and the next round tries again.
                tracing::warn!(
                    reason,
                    "records of repartition topics that were read cannot be deleted"
                );
            }
            last = Instant::now();
        }
    }

    /// Deletes up to the committed offsets.
    fn once(&self, deleted: &mut [i64]) -> Result<(), String> {
        let committed = self.cluster.committed(&self.partitions);
        let committed = committed.map_err(|error| error.to_string())?;
        let mut list = TopicPartitionList::new();
        let mut places = Vec::new();
        for (place, (at, committed)) in self.partitions.iter().zip(committed).enumerate() {
            if let Some(offset) = committed.filter(|offset| *offset > deleted[place]) {
                list.add_partition_offset(&at.topic, at.partition, Offset::Offset(offset))
                    .map_err(|error| error.to_string())?;
                places.push((place, offset));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let admin: AdminClient<DefaultClientContext> =
            self.client.create().map_err(|error| error.to_string())?;
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        let answer = block_on(admin.delete_records(&list, &options)).map_err(|error| error.to_string())?;
        let mut refused = Ok(());
        for (place, offset) in places {
            let at = &self.partitions[place];
            let outcome = answer
                .find_partition(&at.topic, at.partition)
                .map(|found| found.error());
            match outcome {
                Some(Ok(())) => deleted[place] = offset,
                Some(Err(error))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetOutOfRange) =>
                {
                    // Another process was quicker.
                    deleted[place] = offset;
                }
                Some(Err(error)) => refused = Err(format!("{}-{}: {error}", at.topic, at.partition)),
                None => refused = Err(format!("{}-{}: no answer", at.topic, at.partition)),
            }
        }
        refused
    }
}
