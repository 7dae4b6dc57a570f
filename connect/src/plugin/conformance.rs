//! What any connector has to do, as checks that its tests can call.
//!
//! A connector that passes can be stopped, killed and started again at any moment by the runtime without losing or repeating a record.
//! Call them from a tokio runtime, with a system in front of the connector that stands still.
//!
//! ```
//! # use millstream_connect::plugin::{SourcePlugin, SinkPlugin, conformance};
//! # use millstream_connect::config::ConfigMap;
//! # async fn tests(plugin: &dyn SourcePlugin, config: &ConfigMap) -> Result<(), conformance::Nonconformity> {
//! conformance::declarations(plugin)?;
//! conformance::source(plugin, config).await?;
//! # Ok(())
//! # }
//! ```
mod sinks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub use self::sinks::{lost_membership, sink};
use super::{
    Budget, ConnectorContext, OffsetReader, Plugin, PluginError, SourceOffset, SourcePartition, SourcePlugin,
    SourceTask, SourceTaskContext, TaskId,
};
use crate::config::{ConfigMap, DefaultValue};
use crate::record::Record;

/// A source that gives nothing for so many polls is taken to have come to its end.
const IDLE_POLLS: usize = 5;
/// More records than a check reads.
const RECORDS_MAX: usize = 100_000;

/// What a connector does wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonconformity(String);

fn wrong<T>(what: impl Into<String>) -> Result<T, Nonconformity> {
    Err(Nonconformity(what.into()))
}

fn failed(call: &'static str) -> impl Fn(PluginError) -> Nonconformity {
    move |error| Nonconformity(format!("{call} failed: {error}"))
}

/// Checks what a plugin says of itself: names, keys with documentation, defaults that its own checks let pass.
///
/// # Errors
/// The first thing that is wrong.
pub fn declarations<P: Plugin + ?Sized>(plugin: &P) -> Result<(), Nonconformity> {
    if plugin.class().is_empty() || plugin.version().is_empty() {
        return wrong("a plugin has a class and a version");
    }
    let keys = plugin.config_def();
    for key in keys.keys() {
        if key.documentation.trim().is_empty() {
            return wrong(format!("the key {} is not documented", key.name));
        }
        if let DefaultValue::Value(default) = &key.default {
            let given = ConfigMap::from([(key.name.clone(), default.clone())]);
            let values = keys.validate(&given);
            let own = values.iter().find(|value| value.name == key.name);
            if let Some(error) = own.and_then(|value| value.errors.first()) {
                return wrong(format!(
                    "the default of {} is not one of its values: {error}",
                    key.name
                ));
            }
        }
    }
    Ok(())
}

/// Checks that a source, whose system stands still, gives the same records in one go, a record at a time with a start
/// after each, and with polls that are given up.
///
/// # Errors
/// The first thing that is wrong.
pub async fn source(plugin: &dyn SourcePlugin, config: &ConfigMap) -> Result<(), Nonconformity> {
    let configs = divided(plugin.new_connector(), config).await?;
    let whole = Reading::new(plugin, &configs).all(Way::AtOnce).await?;
    let restarted = Reading::new(plugin, &configs).all(Way::StartingAgain).await?;
    same("started again after each batch", &whole, &restarted)?;
    let interrupted = Reading::new(plugin, &configs).all(Way::GivingUp).await?;
    same("polled with polls that are given up", &whole, &interrupted)
}

async fn divided(
    mut connector: Box<dyn super::Connector>,
    config: &ConfigMap,
) -> Result<Vec<ConfigMap>, Nonconformity> {
    let context = ConnectorContext {
        name: "conformance".to_owned(),
        request_task_reconfiguration: Arc::new(|| {}),
    };
    connector
        .start(config, context)
        .await
        .map_err(failed("start of the connector"))?;
    for most in [1, 3] {
        let configs = connector.task_configs(most).map_err(failed("task_configs"))?;
        if configs.len() > most {
            return wrong(format!(
                "the connector wants {} tasks where {most} are the most",
                configs.len()
            ));
        }
    }
    let configs = connector.task_configs(3).map_err(failed("task_configs"))?;
    connector.stop().await;
    Ok(configs)
}

fn same(how: &str, expected: &[Vec<Record>], found: &[Vec<Record>]) -> Result<(), Nonconformity> {
    for (task, (expected, found)) in expected.iter().zip(found).enumerate() {
        let differ = |(expected, found): (&Record, &Record)| {
            expected.value != found.value || expected.key != found.key || expected.topic != found.topic
        };
        if let Some(place) = expected.iter().zip(found).position(differ) {
            return wrong(format!(
                "{how}, record {place} of task {task} is {:?} where it was {:?}",
                found[place].value, expected[place].value
            ));
        }
        if expected.len() != found.len() {
            return wrong(format!(
                "{how}, task {task} gives {} records where it gave {}",
                found.len(),
                expected.len()
            ));
        }
    }
    Ok(())
}

/// How a source is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    AtOnce,
    StartingAgain,
    GivingUp,
}

#[derive(Default)]
struct Stored(Mutex<HashMap<SourcePartition, SourceOffset>>);

#[async_trait]
impl OffsetReader for Stored {
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(partition)
            .cloned())
    }

    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stored
            .iter()
            .map(|(partition, offset)| (partition.clone(), offset.clone()))
            .collect())
    }
}

struct Reading<'a> {
    plugin: &'a dyn SourcePlugin,
    configs: &'a [ConfigMap],
}

impl<'a> Reading<'a> {
    fn new(plugin: &'a dyn SourcePlugin, configs: &'a [ConfigMap]) -> Self {
        Self { plugin, configs }
    }

    /// The records of each task.
    async fn all(&self, way: Way) -> Result<Vec<Vec<Record>>, Nonconformity> {
        let mut all = Vec::new();
        // Offsets are the connector's: tasks share them.
        let stored = Arc::<Stored>::default();
        for number in 0..self.configs.len() {
            all.push(self.task(number, way, &stored).await?);
        }
        Ok(all)
    }

    async fn start(&self, number: usize, stored: &Arc<Stored>) -> Result<Box<dyn SourceTask>, Nonconformity> {
        let mut task = self.plugin.new_task();
        let context = SourceTaskContext {
            task: TaskId {
                connector: "conformance".to_owned(),
                task: u32::try_from(number).unwrap_or(0),
            },
            offsets: Arc::clone(stored) as Arc<dyn OffsetReader>,
        };
        task.start(&self.configs[number], context)
            .await
            .map_err(failed("start of a task"))?;
        Ok(task)
    }

    async fn task(
        &self,
        number: usize,
        way: Way,
        stored: &Arc<Stored>,
    ) -> Result<Vec<Record>, Nonconformity> {
        let mut task = self.start(number, stored).await?;
        let (mut records, mut idle, mut polls) = (Vec::new(), 0, 0_u64);
        while idle < IDLE_POLLS && records.len() < RECORDS_MAX {
            let budget = Budget {
                records: if way == Way::AtOnce { 1_000 } else { 1 },
                bytes: if way == Way::AtOnce { 1 << 20 } else { 1 },
                wait: Duration::from_millis(if way == Way::AtOnce { 300 } else { 100 }),
            };
            polls += 1;
            if way == Way::GivingUp && polls % 2 == 0 {
                // The future is dropped wherever it waits; whatever it had is to come with the next poll.
                let patience = Duration::from_micros(polls % 700);
                match tokio::time::timeout(patience, task.poll(budget)).await {
                    Err(_) => continue,
                    Ok(batch) => {
                        let batch = batch.map_err(failed("poll"))?;
                        store(stored, &batch.offsets);
                        records.extend(batch.records);
                        continue;
                    }
                }
            }
            let batch = task.poll(budget).await.map_err(failed("poll"))?;
            let finished = batch.finished;
            check_progress(&*task)?;
            idle = if batch.records.is_empty() { idle + 1 } else { 0 };
            if !batch.records.is_empty() && batch.offsets.is_empty() {
                return wrong("records came without an offset to go on from");
            }
            store(stored, &batch.offsets);
            let any = !batch.records.is_empty();
            records.extend(batch.records);
            task.committed(&batch.offsets)
                .await
                .map_err(failed("committed"))?;
            if finished {
                break;
            }
            if way == Way::StartingAgain && any {
                task.stop().await;
                task = self.start(number, stored).await?;
            }
        }
        task.stop().await;
        Ok(records)
    }
}

fn check_progress(task: &dyn SourceTask) -> Result<(), Nonconformity> {
    let Some(progress) = task.progress() else {
        return Ok(());
    };
    match progress.before > progress.done || progress.total.is_some_and(|total| progress.done > total) {
        true => wrong(format!("{progress:?} says that more is done than there is")),
        false => Ok(()),
    }
}

fn store(stored: &Stored, offsets: &[(SourcePartition, SourceOffset)]) {
    let mut stored = stored.0.lock().unwrap_or_else(PoisonError::into_inner);
    stored.extend(offsets.iter().cloned());
}
