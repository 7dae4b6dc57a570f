//! How far tasks are: sources in what they read, sinks in their topics.
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Worker, group_offsets, off_the_runtime};
use crate::config::ConfigMap;
use crate::plugin::{PluginError, Progress, TaskId, TopicPartition};

/// How long a question to the cluster may take.
const WAIT: Duration = Duration::from_secs(30);

/// How far a source's task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskProgress {
    /// Which task.
    pub id: TaskId,
    /// What it says of itself.
    pub progress: Option<Progress>,
    /// It has come to its end, everything it read is delivered, and its offsets are stored.
    pub finished: bool,
}

impl Worker {
    /// How far the tasks of sources are.
    pub fn progress(&self) -> Vec<TaskProgress> {
        let tasks = self.tasks();
        let sources = tasks.running.iter().filter(|(_, task)| task.is_source);
        let mut all: Vec<TaskProgress> = sources
            .map(|(id, task)| TaskProgress {
                id: id.clone(),
                progress: task.metrics().progress(),
                finished: task.metrics().finished.load(Ordering::Acquire) && !task.has_ended(),
            })
            .collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    /// Whether the sink `name` has records in front of it, as its topics end now: records that were neither put into it by the tasks that run
    /// nor committed before. What was put becomes durable when its tasks are stopped.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn is_behind(&self, name: &str, config: &ConfigMap) -> Result<bool, PluginError> {
        let setup = self.setup_of(name, config)?;
        let mut taken = HashMap::new();
        for (_, task) in self.tasks().running.iter().filter(|(id, _)| id.connector == name) {
            taken.extend(task.metrics().taken());
        }
        off_the_runtime(move || {
            let committed: HashMap<TopicPartition, Option<i64>> =
                group_offsets::read_all(&setup)?.into_iter().collect();
            let mut client = setup.group_client()?;
            // What was there before the sink began is nothing to it then.
            let from_now_on =
                |reset: &str| ["latest", "largest", "end"].contains(&reset.to_ascii_lowercase().as_str());
            let from_now_on = client.get("auto.offset.reset").is_some_and(from_now_on);
            client
                .set("enable.partition.eof", "true")
                .set("enable.auto.commit", "false");
            let failed = |error: &KafkaError| {
                PluginError::disconnected(format!("looking for the ends of the sink's topics: {error}"))
            };
            let consumer: BaseConsumer = client.create().map_err(|error| failed(&error))?;
            for (partition, committed) in committed {
                let next = taken.get(&partition).copied().max(committed);
                if next.is_none() && from_now_on {
                    continue;
                }
                if has_records(&consumer, &partition, next).map_err(|error| failed(&error))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

/// Whether there is a record of the partition at `next` or behind it. Offsets alone do not say: ends of transactions have some, too.
fn has_records(
    consumer: &BaseConsumer,
    partition: &TopicPartition,
    next: Option<i64>,
) -> Result<bool, KafkaError> {
    let (low, end) = consumer.fetch_watermarks(&partition.topic, partition.partition, WAIT)?;
    let next = next.unwrap_or(low).max(low);
    if next >= end {
        return Ok(false);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(next))?;
    consumer.assign(&list)?;
    let until = Instant::now() + WAIT;
    loop {
        match consumer.poll(until.saturating_duration_since(Instant::now())) {
            Some(Ok(_)) => return Ok(true),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(false),
            Some(Err(error)) if Instant::now() >= until => return Err(error),
            // The client connects again by itself.
            Some(Err(_)) => {}
            None => {
                return Err(KafkaError::MessageConsumption(
                    rdkafka::types::RDKafkaErrorCode::OperationTimedOut,
                ));
            }
        }
    }
}
