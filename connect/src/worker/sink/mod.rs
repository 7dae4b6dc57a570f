//! A sink's task as it runs: consume, convert, transform, put, and commit what the sink says is durable.
//!
//! The sink's word is what counts: only what its `flush` gives back is committed, and where it keeps offsets itself, reading begins there.
mod assignment;
mod commit;
mod decode;
mod end;
mod ends;
mod fetching;
mod notes;
mod partitions;
mod put;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use assignment::Assignment;
use decode::{Chunk, Decoded};
use end::Member;
use ends::Unchecked;
use millstream_client::BatchConsumer;
use notes::Notes;
use put::Batch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub(super) use fetching::QueueShare;
pub(super) use subscription::Subscription;

use super::control::Control;
use super::conversion::Conversion;
use super::dead_letters::DeadLetters;
use super::errors::ErrorPolicy;
use super::metrics::TaskMetrics;
use super::report::Reporter;
use super::setup::TaskSetup;
use super::stall::Call;
use super::tasks::Contained;
use crate::plugin::{PluginError, ReadsAsIs, SinkTask, SinkTaskContext};

/// Records that are put at once, unless `max.poll.records` says less, and the bytes beyond which no more are added.
const RECORDS_MAX: usize = 4_096;
const BYTES_MAX: usize = 4 << 20;
/// How long to wait for records.
const WAIT: Duration = Duration::from_millis(100);

/// What a sink's task runs with.
pub(super) struct SinkParts {
    pub(super) task: Contained<dyn SinkTask>,
    pub(super) conversion: Conversion,
    pub(super) policy: ErrorPolicy,
    pub(super) consumer: ClientConfig,
    pub(super) subscription: Subscription,
    pub(super) queues: QueueShare,
    pub(super) dead_letters: Option<DeadLetters>,
    /// Empty without dead letters.
    pub(super) dead_letters_topic: String,
    pub(super) flush_interval: Duration,
    pub(super) records_max: Option<usize>,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Ended {
    /// It was told to.
    Stopped,
    /// So many partitions came that it needs another client for them.
    Outgrown { partitions: usize },
}

/// What a task that is paused has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Nothing,
    /// Records that are to be put again.
    ABatch,
}

/// A sink's task that runs.
pub(super) struct SinkLoop<'a> {
    parts: SinkParts,
    consumer: Member,
    setup: &'a TaskSetup,
    control: &'a Control,
    report: &'a Reporter,
    assignment: Assignment,
    unchecked: Unchecked,
    /// More partitions came than the client is made for: they are not taken.
    outgrown: Option<usize>,
    chunk: Chunk,
    /// Which values the task gets as they are read.
    as_is: ReadsAsIs,
    due: Instant,
    has_left: bool,
    /// A batch was put in part, or one of its records ends the task: the sink may hold records behind what counts as taken.
    half_taken: bool,
}

impl<'a> SinkLoop<'a> {
    /// Joins the group.
    ///
    /// # Errors
    /// When the client's configuration is wrong.
    pub(super) fn new(
        parts: SinkParts,
        setup: &'a TaskSetup,
        control: &'a Control,
        report: &'a Reporter,
    ) -> Result<Self, PluginError> {
        let wrong = |error: &KafkaError| PluginError::user_config(format!("the sink's consumer: {error}"));
        let consumer: BaseConsumer<Notes> = parts
            .consumer
            .create_with_context(Notes::default())
            .map_err(|error| wrong(&error))?;
        let consumer = Member::new(BatchConsumer::new(consumer).map_err(|error| wrong(&error))?);
        let due = Instant::now() + parts.flush_interval;
        Ok(Self {
            parts,
            consumer,
            setup,
            control,
            report,
            assignment: Assignment::default(),
            unchecked: Unchecked::default(),
            outgrown: None,
            chunk: Chunk::default(),
            as_is: ReadsAsIs::Nothing,
            due,
            has_left: false,
            half_taken: false,
        })
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// What ends the task; nothing is committed that is not durable.
    pub(super) fn run(mut self) -> Result<Ended, PluginError> {
        let result = self.start().and_then(|()| self.work());
        let result = match result {
            Ok(()) if !self.control.is_abandoned() => self.finish(),
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up();
                Err(error)
            }
        };
        self.leave();
        let (control, task) = (self.control, &mut self.parts.task);
        let metrics = &self.report.metrics;
        metrics.within(Call::Stop, || control.wait_for(task.stop()));
        result.map(|()| match self.outgrown {
            Some(partitions) => Ended::Outgrown { partitions },
            None => Ended::Stopped,
        })
    }

    fn start(&mut self) -> Result<(), PluginError> {
        let context = SinkTaskContext {
            task: self.setup.id.clone(),
        };
        let (control, task) = (self.control, &mut self.parts.task);
        let config = &self.setup.task_config;
        self.report
            .within(Call::Start, || control.wait_for(task.start(config, context)))?;
        if self.parts.task.wants_values() {
            self.as_is = self.parts.conversion.values_as_is();
        }
        self.subscribe()?;
        self.report.running();
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), PluginError> {
        let subscribed = self.parts.subscription.renew(self.consumer.client());
        subscribed
            .map_err(|error| PluginError::disconnected(format!("looking for the sink's topics: {error}")))
    }

    fn work(&mut self) -> Result<(), PluginError> {
        while !self.control.stopping() && self.outgrown.is_none() {
            if self.control.paused() {
                self.pause(Holding::Nothing)?;
                continue;
            }
            if Instant::now() >= self.due {
                self.commit()?;
            }
            self.subscribe()?;
            self.rebalance()?;
            self.check_again()?;
            self.step()?;
        }
        Ok(())
    }

    /// Waits, as a member of the group, for as long as the task is paused. Whoever holds a batch waits no longer than its partitions stay.
    fn pause(&mut self, holding: Holding) -> Result<(), PluginError> {
        self.commit()?;
        self.report.paused();
        while self.control.paused() && !self.control.stopping() && self.outgrown.is_none() {
            self.serve_group()?;
            if holding == Holding::ABatch && self.consumer.client().context().has_changed() {
                return Ok(());
            }
            self.rebalance()?;
            self.check_again()?;
            if Instant::now() >= self.due {
                self.commit()?;
            }
            self.control.sleep(WAIT);
        }
        if !self.control.paused() && !self.control.stopping() {
            self.report.running();
        }
        Ok(())
    }

    /// Serves the group's events, so that the member stays in it. Records do not come with them: partitions have queues of their own.
    fn serve_group(&self) -> Result<(), PluginError> {
        match self.consumer.client().poll(Duration::ZERO) {
            Some(Err(error)) => self.judge(&error),
            _ => Ok(()),
        }
    }

    /// Takes records and puts them.
    fn step(&mut self) -> Result<(), PluginError> {
        if self.outgrown.is_some() {
            return Ok(());
        }
        let most = self
            .parts
            .records_max
            .unwrap_or(RECORDS_MAX)
            .clamp(1, RECORDS_MAX * 16);
        let until = Instant::now() + WAIT;
        self.chunk.clear();
        while self.chunk.len() < most && self.chunk.bytes() < BYTES_MAX {
            if self.consumer.client().context().has_changed() {
                break;
            }
            let wait = match self.chunk.len() {
                0 => until.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            match self.consumer.next(wait) {
                Some(Ok(record)) => self.chunk.push(&record),
                Some(Err(error)) => self.judge(&error)?,
                None if self.chunk.is_empty() && Instant::now() < until => {}
                None => break,
            }
        }
        // What was read of partitions that are another's by now is that one's.
        if !self.chunk.is_empty() && !self.consumer.client().assignment_lost() {
            self.take()?;
        }
        Ok(())
    }

    fn judge(&self, error: &KafkaError) -> Result<(), PluginError> {
        use RDKafkaErrorCode::*;
        let code = error.rdkafka_error_code();
        if code == Some(AutoOffsetReset) {
            return Err(PluginError::user_config(format!(
                "reading the sink's topics: {error}; nothing is committed for a partition, and auto.offset.reset=none says to fail then: set \
                 consumer.override.auto.offset.reset, or offsets with PATCH /connectors/NAME/offsets"
            )));
        }
        let hopeless = matches!(
            code,
            Some(
                Authentication
                    | SaslAuthenticationFailed
                    | TopicAuthorizationFailed
                    | GroupAuthorizationFailed
                    | InvalidTopic
                    | InconsistentGroupProtocol
            )
        );
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        if hopeless || fatal {
            let remedy = match code {
                Some(TopicAuthorizationFailed) => "; grant this client Read on the topics",
                Some(GroupAuthorizationFailed) => "; grant this client Read on the group connect-NAME",
                Some(Authentication | SaslAuthenticationFailed) => {
                    "; check security.protocol and the credentials"
                }
                _ => "",
            };
            return Err(PluginError::disconnected(format!(
                "reading the sink's topics: {error}{remedy}"
            )));
        }
        tracing::warn!(%error, "consumer");
        Ok(())
    }

    /// Puts the chunk's records.
    fn take(&mut self) -> Result<(), PluginError> {
        let metrics = Arc::clone(&self.report.metrics);
        TaskMetrics::add(&metrics.read, self.chunk.len());
        // What is put is made of the chunk, and failures are looked up in it.
        let mut chunk = std::mem::take(&mut self.chunk);
        let put = match chunk.is_as_is(self.as_is) {
            true => self.put(&chunk, Batch::Values(&chunk.values()))?,
            false => self.take_records(&mut chunk)?,
        };
        for topic in chunk.new_topics() {
            self.report.topic(&topic);
        }
        if let Some(written) = put.filter(|_| !self.control.is_abandoned()) {
            TaskMetrics::add(&metrics.written, written);
            self.assignment.took(chunk.ends());
            metrics.took(chunk.ends());
        }
        self.chunk = chunk;
        Ok(())
    }

    /// Has the chunk's records converted and transformed, and puts them. See [`put`](Self::put).
    fn take_records(&mut self, chunk: &mut Chunk) -> Result<Option<usize>, PluginError> {
        let Decoded {
            records,
            rows,
            failures,
            filtered,
            interrupted,
        } = decode::decode(
            chunk,
            &mut self.parts.conversion,
            &self.parts.policy,
            self.control,
        );
        if interrupted {
            return Ok(None);
        }
        TaskMetrics::add(&self.report.metrics.filtered, filtered);
        for (index, failure) in failures {
            self.fail(chunk, index, failure)?;
        }
        match records.is_empty() {
            true => Ok(Some(0)),
            false => self.put(chunk, Batch::Records(&records, &rows)),
        }
    }
}

impl Drop for SinkLoop<'_> {
    /// Also where the sink panicked.
    fn drop(&mut self) {
        self.leave();
    }
}
