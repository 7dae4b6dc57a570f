//! Global tables: read whole before the job starts, and by a thread each from then on.
//!
//! They are no part of the job's transactions: a row is looked up in what was read when its epoch ends. With exactly-once only what is committed is
//! read.
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::shared::Shared;
use crate::config::{Guarantee, StreamsConfig};
use crate::error::StreamsError;
use crate::operator::{GlobalView, SharedView, Surroundings};
use crate::plan::{GlobalTable, Topology};
use crate::source::{SourceError, TopicReader};
use crate::task::GlobalTask;
use crate::typed::panic_message;

/// The longest wait for records; bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);
/// Records that are taken before others may look rows up.
const RECORDS_MAX: usize = 4096;

/// The global tables of a process before the job runs.
#[derive(Default)]
pub(super) struct Globals(Vec<Global>);

struct Global {
    topic: Arc<str>,
    reader: TopicReader,
    task: Arc<Mutex<GlobalTask>>,
}

impl Globals {
    /// Reads all tables up to the ends that their topics have.
    pub(super) fn load(
        topology: &Topology,
        config: &StreamsConfig,
        guarantee: Guarantee,
        near: &Surroundings,
    ) -> Result<Self, StreamsError> {
        let mut globals = Vec::with_capacity(topology.globals.len());
        for plan in &topology.globals {
            let name = format!("global-{}", plan.topic);
            let client = config.restore_client(&topology.application_id, &name, guarantee);
            globals.push(Global::load(plan, &client, config.timeout(), near)?);
        }
        Ok(Self(globals))
    }

    /// What tasks look rows up in.
    pub(super) fn views(&self) -> Vec<SharedView> {
        let tasks = self.0.iter().map(|global| Arc::clone(&global.task));
        tasks
            .map(|task| SharedView(task as Arc<Mutex<dyn GlobalView>>))
            .collect()
    }

    /// Reads on, until the job stops.
    pub(super) fn start(self, shared: &Arc<Shared>) -> Result<(), StreamsError> {
        for mut global in self.0 {
            let name = format!("stream-global-{}", global.topic);
            let (shared, thread) = (Arc::clone(shared), name.clone());
            let run = move || {
                while !shared.is_stopping() {
                    if let Err(error) = global.read_guarded() {
                        return shared.failed(&thread, error);
                    }
                }
            };
            let spawned = std::thread::Builder::new().name(name.clone()).spawn(run);
            spawned.map_err(|cause| StreamsError::Thread { thread: name, cause })?;
        }
        Ok(())
    }
}

impl Global {
    fn load(
        plan: &GlobalTable,
        client: &rdkafka::ClientConfig,
        patience: Duration,
        near: &Surroundings,
    ) -> Result<Self, StreamsError> {
        let mut global = Self {
            topic: Arc::clone(&plan.topic),
            reader: TopicReader::start(client, &plan.topic)?,
            task: Arc::new(Mutex::new(GlobalTask::new(plan, near)?)),
        };
        let mut records = 0;
        while !global.reader.has_caught_up() {
            records += global.read_guarded()?;
            if global.reader.silence() > patience {
                let cause = format!(
                    "nothing came of the global table {} for {patience:?}, and its end was not reached",
                    plan.topic
                );
                let remedy =
                    "; see whether its partitions have a leader, and whether a transaction is open there";
                return Err(SourceError::Read { cause, remedy }.into());
            }
        }
        tracing::info!(topic = &*plan.topic, records, "global table read");
        Ok(global)
    }

    /// As [`read`](Self::read), where expressions and formats of users may panic.
    fn read_guarded(&mut self) -> Result<usize, StreamsError> {
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| self.read()));
        read.unwrap_or_else(|panic| {
            Err(StreamsError::Panicked {
                message: format!("of the global table {}: {}", self.topic, panic_message(&*panic)),
            })
        })
    }

    /// Takes what is there; gives how many records it was.
    fn read(&mut self) -> Result<usize, StreamsError> {
        let mut taken = None;
        let read = self
            .reader
            .poll::<StreamsError>(WAIT, RECORDS_MAX, &mut |record| {
                // Nobody waits for it while nothing comes.
                let task =
                    taken.get_or_insert_with(|| self.task.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(task.accept(record)?)
            })?;
        if let Some(mut task) = taken {
            task.settle()?;
        }
        Ok(read)
    }
}
