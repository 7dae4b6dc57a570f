//! Putting records into the sink, and what becomes of those that it refuses.
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::decode::Chunk;
use super::{Holding, SinkLoop, WAIT};
use crate::plugin::{ErrorKind, FailedRecord, PluginError, RawValue};
use crate::record::Record;
use crate::worker::errors::{RecordFailure, Stage};
use crate::worker::metrics::TaskMetrics;
use crate::worker::stall::Call;

/// The pause before a batch is put again; it doubles.
const PUT_PAUSE_MIN: Duration = Duration::from_millis(100);
const PUT_PAUSE_MAX: Duration = Duration::from_secs(10);

/// What is put.
#[derive(Clone, Copy)]
pub(super) enum Batch<'a> {
    /// Records, and of which row of the chunk each is.
    Records(&'a [Record], &'a [usize]),
    Values(&'a [RawValue<'a>]),
}

impl Batch<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Records(records, _) => records.len(),
            Self::Values(values) => values.len(),
        }
    }
}

impl SinkLoop<'_> {
    /// Puts a batch, again and again if that may help. Gives how much was put; none if it was given up because the task is to stop or its
    /// partitions change: it is read again then.
    pub(super) fn put(&mut self, chunk: &Chunk, batch: Batch<'_>) -> Result<Option<usize>, PluginError> {
        // A sink may make offsets durable within `put`: what failed before must be safe by then.
        self.deliver()?;
        let mut pause = PUT_PAUSE_MIN;
        loop {
            let (control, task) = (self.control, &mut self.parts.task);
            let put = || match batch {
                Batch::Records(records, _) => control.wait_for(task.put(records)),
                Batch::Values(values) => control.wait_for(task.put_values(values)),
            };
            let error = match self.report.within(Call::Put, put) {
                Ok(failures) => {
                    for failed in failures {
                        // Only what follows a whole batch may be made durable.
                        self.half_taken = true;
                        self.refuse(chunk, batch, failed)?;
                    }
                    self.half_taken = false;
                    return Ok(Some(batch.len()));
                }
                Err(error) if error.kind() != ErrorKind::Retriable => {
                    self.half_taken = true;
                    return Err(error);
                }
                Err(error) => error,
            };
            tracing::warn!(%error, "the same records are put again");
            if !self.wait_to_put_again(pause)? {
                return Ok(None);
            }
            pause = (pause * 2).min(PUT_PAUSE_MAX);
        }
    }

    /// Waits with a batch in hand, for as long as the task is paused; says whether the batch is still to be put then.
    fn wait_to_put_again(&mut self, pause: Duration) -> Result<bool, PluginError> {
        let until = Instant::now() + pause;
        loop {
            self.serve_group()?;
            if self.control.stopping() || self.consumer.client().context().has_changed() {
                return Ok(false);
            }
            if self.control.paused() {
                self.pause(Holding::ABatch)?;
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            self.control.sleep(left.min(WAIT));
        }
    }

    /// The sink refused a record of a batch.
    fn refuse(&mut self, chunk: &Chunk, batch: Batch<'_>, failed: FailedRecord) -> Result<(), PluginError> {
        let index = match batch {
            Batch::Values(values) => Some(failed.index).filter(|index| *index < values.len()),
            Batch::Records(_, rows) => rows.get(failed.index).copied(),
        };
        let index = index.ok_or_else(|| {
            PluginError::fatal(format!(
                "the sink says that record {} of {} failed",
                failed.index,
                batch.len()
            ))
        })?;
        let class = self.setup.connector_config.get("connector.class");
        let failure = RecordFailure {
            stage: Stage::TaskPut,
            class: class.cloned().unwrap_or_default(),
            error: failed.error.without(self.report.secrets()),
        };
        self.fail(chunk, index, failure)
    }

    /// A record failed: it goes to the dead letters, is passed over, or ends the task.
    pub(super) fn fail(
        &mut self,
        chunk: &Chunk,
        index: usize,
        failure: RecordFailure,
    ) -> Result<(), PluginError> {
        let metrics = &self.report.metrics;
        TaskMetrics::add(&metrics.failed, 1);
        let origin = chunk.origin(index);
        self.parts.policy.log(&self.setup.id, &failure, Some(&origin));
        if !self.parts.policy.tolerant {
            return Err(failure.into_task_error().at(&origin));
        }
        TaskMetrics::add(&metrics.skipped, 1);
        if let Some(dead_letters) = &mut self.parts.dead_letters {
            if *origin.topic == *self.parts.dead_letters_topic {
                return Err(PluginError::user_config(format!(
                    "a record of {} failed, which is also where failed records go: read other topics, or name another one for dead letters",
                    origin.topic
                )));
            }
            let control = self.control;
            dead_letters.send(&chunk.raw(index), &failure, Some(&origin), &|| {
                control.is_abandoned()
            })?;
            TaskMetrics::add(&metrics.dead_letters, 1);
        }
        Ok(())
    }
}
