//! A sink's task as it runs: consume, convert, transform, put, and commit what the sink says is durable.
//!
//! The sink's word is what counts: only what its `flush` gives back is committed, and where it keeps offsets itself, reading begins there.
mod assignment;
mod commit;
mod decode;
mod end;
mod notes;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use assignment::Assignment;
use decode::{Chunk, Decoded};
use millstream_client::BatchConsumer;
use notes::{Change, Notes};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub(super) use subscription::{Subscription, is_matched};

use super::control::Control;
use super::conversion::Conversion;
use super::dead_letters::DeadLetters;
use super::errors::{ErrorPolicy, RecordFailure, Stage};
use super::metrics::TaskMetrics;
use super::report::Reporter;
use super::setup::TaskSetup;
use super::stall::Call;
use super::tasks::Contained;
use crate::plugin::{
    ErrorKind, FailedRecord, PartitionOffset, PluginError, RawValue, ReadsAsIs, SinkTask, SinkTaskContext,
};
use crate::record::Record;

/// Records that are put at once, unless `max.poll.records` says less, and the bytes beyond which no more are added.
const RECORDS_MAX: usize = 4_096;
const BYTES_MAX: usize = 4 << 20;
/// How long to wait for records.
const WAIT: Duration = Duration::from_millis(100);
/// The pause before a batch is put again; it doubles.
const PUT_PAUSE_MIN: Duration = Duration::from_millis(100);
const PUT_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long to wait for the end of a log.
const BOUNDS_WAIT: Duration = Duration::from_secs(10);

/// What a sink's task runs with.
pub(super) struct SinkParts {
    pub(super) task: Contained<dyn SinkTask>,
    pub(super) conversion: Conversion,
    pub(super) policy: ErrorPolicy,
    pub(super) consumer: ClientConfig,
    pub(super) subscription: Subscription,
    pub(super) dead_letters: Option<DeadLetters>,
    /// Empty without dead letters.
    pub(super) dead_letters_topic: String,
    pub(super) flush_interval: Duration,
    pub(super) records_max: Option<usize>,
}

/// What is put.
#[derive(Clone, Copy)]
enum Batch<'a> {
    Records(&'a [Record]),
    Values(&'a [RawValue<'a>]),
}

impl Batch<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Records(records) => records.len(),
            Self::Values(values) => values.len(),
        }
    }
}

/// A sink's task that runs.
pub(super) struct SinkLoop<'a> {
    parts: SinkParts,
    consumer: BatchConsumer<Notes>,
    setup: &'a TaskSetup,
    control: &'a Control,
    report: &'a Reporter,
    assignment: Assignment,
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
        let consumer = BatchConsumer::new(consumer).map_err(|error| wrong(&error))?;
        let due = Instant::now() + parts.flush_interval;
        Ok(Self {
            parts,
            consumer,
            setup,
            control,
            report,
            assignment: Assignment::default(),
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
    pub(super) fn run(mut self) -> Result<(), PluginError> {
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
        result
    }

    fn start(&mut self) -> Result<(), PluginError> {
        let context = SinkTaskContext {
            task: self.setup.id.clone(),
        };
        let (control, task) = (self.control, &mut self.parts.task);
        let config = &self.setup.task_config;
        let metrics = &self.report.metrics;
        metrics.within(Call::Start, || control.wait_for(task.start(config, context)))?;
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
        while !self.control.stopping() {
            if self.control.paused() {
                self.pause()?;
                continue;
            }
            if Instant::now() >= self.due {
                self.commit()?;
            }
            self.subscribe()?;
            self.rebalance()?;
            self.step()?;
        }
        Ok(())
    }

    /// Waits, as a member of the group.
    fn pause(&mut self) -> Result<(), PluginError> {
        self.commit()?;
        self.report.paused();
        while self.control.paused() && !self.control.stopping() {
            // Partitions have queues of their own: this serves the group's events alone.
            if let Some(Err(error)) = self.consumer.client().poll(Duration::ZERO) {
                self.judge(&error)?;
            }
            self.rebalance()?;
            if Instant::now() >= self.due {
                self.commit()?;
            }
            self.control.sleep(WAIT);
        }
        if !self.control.stopping() {
            self.report.running();
        }
        Ok(())
    }

    /// Takes records and puts them.
    fn step(&mut self) -> Result<(), PluginError> {
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
            failures,
            filtered,
        } = decode::decode(
            chunk,
            &mut self.parts.conversion,
            &self.parts.policy,
            self.control,
        );
        TaskMetrics::add(&self.report.metrics.filtered, filtered);
        for (index, failure) in failures {
            self.fail(chunk, index, failure)?;
        }
        match records.is_empty() {
            true => Ok(Some(0)),
            false => self.put(chunk, Batch::Records(&records)),
        }
    }

    /// Puts a batch, again and again if that may help. Gives how much was put; none if it was given up for a change of the assignment, after
    /// which it is read again.
    fn put(&mut self, chunk: &Chunk, batch: Batch<'_>) -> Result<Option<usize>, PluginError> {
        // A sink may make offsets durable within `put`: what failed before must be safe by then.
        self.deliver()?;
        let mut pause = PUT_PAUSE_MIN;
        loop {
            let (control, task) = (self.control, &mut self.parts.task);
            let put = || match batch {
                Batch::Records(records) => control.wait_for(task.put(records)),
                Batch::Values(values) => control.wait_for(task.put_values(values)),
            };
            let error = match self.report.metrics.within(Call::Put, put) {
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
            if self.control.stopping() {
                return Err(error);
            }
            self.control.sleep(pause);
            pause = (pause * 2).min(PUT_PAUSE_MAX);
            // The group's events are served, so that the member stays in it.
            if let Some(Err(error)) = self.consumer.client().poll(Duration::ZERO) {
                self.judge(&error)?;
            }
            if self.consumer.client().context().has_changed() {
                return Ok(None);
            }
        }
    }

    /// The sink refused a record of a batch.
    fn refuse(&mut self, chunk: &Chunk, batch: Batch<'_>, failed: FailedRecord) -> Result<(), PluginError> {
        let index = match batch {
            Batch::Values(values) => Some(failed.index).filter(|index| *index < values.len()),
            Batch::Records(records) => {
                let record = records.get(failed.index);
                let origin = record.and_then(|record| record.origin.as_ref());
                origin.and_then(|origin| chunk.index_of(origin))
            }
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
            error: failed.error,
        };
        self.fail(chunk, index, failure)
    }

    /// A record failed: it goes to the dead letters, is passed over, or ends the task.
    fn fail(&mut self, chunk: &Chunk, index: usize, failure: RecordFailure) -> Result<(), PluginError> {
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

    /// Serves changes of the assignment.
    fn rebalance(&mut self) -> Result<(), PluginError> {
        while let Some(change) = self.consumer.client().context().change() {
            match change {
                Change::Assigned(partitions) => self.open(partitions)?,
                Change::Revoked { lost } => self.revoke(lost)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, partitions: Vec<(String, i32)>) -> Result<(), PluginError> {
        let failed = |error: KafkaError| PluginError::disconnected(format!("taking partitions: {error}"));
        let partitions = self.assignment.begin(partitions);
        let (control, task) = (self.control, &mut self.parts.task);
        let open = || control.wait_for(task.open(&partitions));
        let owned = self.report.metrics.within(Call::Open, open)?;
        self.check_within_logs(&owned)?;
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            let own = owned.iter().find(|own| own.partition == *partition);
            let begin = own.map_or(Offset::Stored, |own| Offset::Offset(own.next));
            list.add_partition_offset(&partition.topic, partition.partition, begin)
                .map_err(failed)?;
        }
        if self.consumer.client().assignment_lost() {
            // It will be revoked at one of the next polls.
            self.consumer.forget();
            return Ok(());
        }
        self.consumer.assign(&list).map_err(failed)?;
        // What the sink has already need not be put.
        self.report.metrics.took(owned.iter().cloned());
        self.assignment.keep(owned);
        Ok(())
    }

    /// A sink that keeps offsets itself may know a topic that was deleted and made anew since. It would pass over the new records one by one,
    /// so it is stopped where that can be seen: its offset lies behind the log's end.
    fn check_within_logs(&self, owned: &[PartitionOffset]) -> Result<(), PluginError> {
        for PartitionOffset { partition, next } in owned {
            let (topic, number) = (&*partition.topic, partition.partition);
            let bounds = self
                .consumer
                .client()
                .fetch_watermarks(topic, number, BOUNDS_WAIT);
            let (_, end) = bounds.map_err(|error| {
                PluginError::disconnected(format!("looking for the end of {topic}-{number}: {error}"))
            })?;
            if *next > end {
                return Err(PluginError::user_config(format!(
                    "the sink has written {topic}-{number} up to offset {next}, but the log ends at {end}: the topic was made anew, or this is another \
                     cluster; stop the connector and set its offset with PATCH /connectors/{}/offsets, or give it another place to write to",
                    self.setup.id.connector
                )));
            }
        }
        Ok(())
    }

    /// Partitions are taken away: what was put is made durable and committed first, unless they are lost already.
    fn revoke(&mut self, lost: bool) -> Result<(), PluginError> {
        self.consumer.forget();
        let committed = match lost {
            true => Ok(()),
            false => self.commit(),
        };
        if let Err(error) = self.close(lost || committed.is_err()) {
            tracing::warn!(%error, "the sink could not close partitions");
        }
        let unassigned = self.consumer.unassign();
        committed?;
        unassigned.map_err(|error| PluginError::disconnected(format!("giving partitions back: {error}")))
    }
}

impl Drop for SinkLoop<'_> {
    /// Also where the sink panicked.
    fn drop(&mut self) {
        self.leave();
    }
}
