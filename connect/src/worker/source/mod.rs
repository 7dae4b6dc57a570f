//! A source's task as it runs: poll, transform, convert, produce, and store offsets once everything before them is delivered.
//!
//! At least once: from time to time, and at every stop, everything that was queued is waited for; then the offsets of the
//! batches so far are stored. Exactly once (KIP-618): records and offsets are in one transaction; a task that begins fences
//! those of its id, reads the offsets then, and a lost transaction ends the task, which begins anew from what is stored.
mod creation;
mod encode;
mod offsets;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use creation::TopicCreation;
use encode::{Outcome, encode};
use offsets::Pending;

use super::control::Control;
use super::conversion::Conversion;
use super::dead_letters::{DeadLetters, RawRecord};
use super::errors::{ErrorPolicy, RecordFailure, Stage};
use super::metrics::{TaskMetrics, now_ms};
use super::report::Reporter;
use super::setup::TaskSetup;
use super::stall::Call;
use super::tasks::Contained;
use crate::cluster::{Encoding, FailedDelivery, Outgoing, Producer, undelivered};
use crate::plugin::{Boundary, Budget, ErrorKind, PluginError, SourceBatch, SourceTask, SourceTaskContext};
use crate::record::Record;

pub(super) use creation::TopicCreation as Topics;
pub(super) use offsets::{OffsetSink, Transactions};

/// What a task may hand over at once.
const BUDGET: Budget = Budget {
    records: 8_192,
    bytes: 1 << 20,
    wait: Duration::from_millis(500),
};
/// The pause after a poll that may succeed later; it doubles.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(100);
const POLL_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A record from this size on may be what makes a batch too large for its topic.
const LARGE_RECORD_BYTES: usize = 64 << 10;
/// How often a source is asked how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// How long fencing older tasks may take.
const FENCING_PATIENCE: Duration = Duration::from_secs(60);

/// What a source's task runs with.
pub(super) struct SourceParts {
    pub(super) task: Contained<dyn SourceTask>,
    pub(super) conversion: Conversion,
    pub(super) policy: ErrorPolicy,
    pub(super) producer: Producer,
    pub(super) topics: TopicCreation,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) offsets: OffsetSink,
    /// How often offsets are stored.
    pub(super) flush_interval: Duration,
}

/// How a task ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// What it had handed over was dropped: it begins anew from its stored offsets.
    Rewound,
}

/// A source's task that runs.
pub(super) struct SourceLoop<'a> {
    parts: SourceParts,
    setup: &'a TaskSetup,
    control: &'a Control,
    report: &'a Reporter,
    pending: Pending,
    batch: Outgoing,
    /// When offsets are stored next.
    due: Instant,
    finished: bool,
    poll_pause: Duration,
    /// When the source is asked how far it is.
    ask_progress: Instant,
}

impl<'a> SourceLoop<'a> {
    pub(super) fn new(
        parts: SourceParts,
        setup: &'a TaskSetup,
        control: &'a Control,
        report: &'a Reporter,
    ) -> Self {
        let due = Instant::now() + parts.flush_interval;
        Self {
            parts,
            setup,
            control,
            report,
            pending: Pending::default(),
            batch: Outgoing::default(),
            due,
            finished: false,
            poll_pause: POLL_PAUSE_MIN,
            ask_progress: Instant::now(),
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// What ends the task. What was delivered is safe, and so are the offsets that were stored.
    pub(super) fn run(mut self) -> Result<Ended, PluginError> {
        let result = self.start().and_then(|()| self.work());
        let result = result.and_then(|ended| match ended {
            Ended::Rewound => Ok(ended),
            Ended::Stopped => self.finish(),
        });
        if result.is_err() && !self.control.is_abandoned() {
            self.keep_what_came_before();
            let _ = self.parts.producer.abort();
        }
        let (control, task) = (self.control, &mut self.parts.task);
        let metrics = &self.report.metrics;
        metrics.within(Call::Stop, || control.wait_for(task.stop()));
        result
    }

    fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.report.metrics
    }

    fn start(&mut self) -> Result<(), PluginError> {
        if self.parts.offsets.is_transactional() {
            let until = Instant::now() + FENCING_PATIENCE;
            let control = self.control;
            // A task that is told to stop must not fence its successor.
            let over = || control.stopping() || Instant::now() >= until;
            self.parts.producer.begin_transactions(&over)?;
            if control.is_abandoned() {
                return Ok(());
            }
        }
        let context = SourceTaskContext {
            task: self.setup.id.clone(),
            offsets: self.parts.offsets.reader(&self.setup.id.connector),
        };
        let (control, task) = (self.control, &mut self.parts.task);
        let config = &self.setup.task_config;
        let metrics = &self.report.metrics;
        metrics.within(Call::Start, || control.wait_for(task.start(config, context)))?;
        self.due = Instant::now() + self.parts.flush_interval;
        self.report.running();
        Ok(())
    }

    fn work(&mut self) -> Result<Ended, PluginError> {
        while !self.control.stopping() {
            if self.control.paused() {
                if self.settle()? == Ended::Rewound {
                    return Ok(Ended::Rewound);
                }
                self.pause();
                continue;
            }
            self.parts.producer.serve();
            self.check_deliveries()?;
            if Instant::now() >= self.due {
                self.commit_if_allowed()?;
            }
            self.step()?;
            self.note_progress();
        }
        Ok(Ended::Stopped)
    }

    fn note_progress(&mut self) {
        let now = Instant::now();
        if now >= self.ask_progress {
            self.ask_progress = now + PROGRESS_INTERVAL;
            self.report.metrics.set_progress(self.parts.task.progress());
        }
    }

    fn pause(&self) {
        self.report.paused();
        while self.control.paused() && !self.control.stopping() {
            self.parts.producer.serve();
            self.control.sleep(Duration::from_secs(1));
        }
        if !self.control.stopping() {
            self.report.running();
        }
    }

    /// Ends well.
    fn finish(&mut self) -> Result<Ended, PluginError> {
        if !self.control.is_abandoned() {
            self.settle()?;
        }
        Ok(Ended::Stopped)
    }

    /// Stores what can be stored, before a pause or the end; says whether the task can go on from there.
    fn settle(&mut self) -> Result<Ended, PluginError> {
        match self.parts.offsets.transactions() {
            // Between two boundaries nothing is whole. What is dropped comes again from the stored offsets, to which the task goes back.
            Some(Transactions::WhereConnectorSays) if self.parts.producer.in_transaction() => {
                self.parts.producer.abort()?;
                self.pending.clear();
                tracing::info!(
                    "the open transaction is dropped; its records come again from the stored offsets"
                );
                Ok(Ended::Rewound)
            }
            _ => self.commit().map(|()| Ended::Stopped),
        }
    }

    /// Takes a batch and hands it on.
    fn step(&mut self) -> Result<(), PluginError> {
        if self.finished {
            self.control
                .sleep(Duration::from_secs(1).min(self.due.saturating_duration_since(Instant::now())));
            return Ok(());
        }
        // What was handed over waits no longer than for its time: a poll may be dropped where it awaits something.
        let commits = !matches!(
            self.parts.offsets.transactions(),
            Some(Transactions::WhereConnectorSays | Transactions::EachPoll)
        );
        let until = (commits && !self.pending.is_empty()).then_some(self.due);
        let budget = Budget {
            wait: BUDGET
                .wait
                .min(self.due.saturating_duration_since(Instant::now())),
            ..BUDGET
        };
        let (control, task) = (self.control, &mut self.parts.task);
        let poll = || control.wait_unless_told(until, task.poll(budget));
        match self.report.metrics.within(Call::Poll, poll) {
            None => Ok(()),
            Some(Err(error)) if error.kind() == ErrorKind::Retriable => {
                tracing::warn!(%error, "the source is polled again");
                self.control.sleep(self.poll_pause);
                self.poll_pause = (self.poll_pause * 2).min(POLL_PAUSE_MAX);
                Ok(())
            }
            Some(Err(error)) => Err(error),
            Some(Ok(batch)) => {
                self.poll_pause = POLL_PAUSE_MIN;
                self.take(batch)
            }
        }
    }

    /// The task failed, and not the batches before: they are delivered, and need not come again. In transactions they are dropped.
    fn keep_what_came_before(&mut self) {
        if self.parts.offsets.is_transactional() {
            return;
        }
        if let Err(error) = self.commit() {
            tracing::warn!(task = %self.setup.id, %error, "what was read before the failure may come again");
        }
    }

    fn take(&mut self, batch: SourceBatch) -> Result<(), PluginError> {
        if self.control.is_abandoned() {
            return Ok(());
        }
        let (any, finished) = (
            !batch.records.is_empty() || !batch.offsets.is_empty(),
            batch.finished,
        );
        TaskMetrics::add(&self.metrics().read, batch.records.len());
        if batch.boundary == Boundary::Abort
            && self.parts.offsets.transactions() == Some(Transactions::WhereConnectorSays)
        {
            self.parts.producer.abort()?;
        } else {
            self.encode(batch.records, batch.made_now)?;
            self.send()?;
        }
        self.pending.add(batch.offsets);
        let ends = match self.parts.offsets.transactions() {
            None | Some(Transactions::AfterInterval) => false,
            Some(Transactions::EachPoll) => any,
            Some(Transactions::WhereConnectorSays) => batch.boundary != Boundary::None,
        };
        if ends || (finished && !self.finished) {
            self.commit()?;
        }
        if finished && !self.finished {
            self.finished = true;
            self.report.metrics.set_progress(self.parts.task.progress());
            self.report.metrics.finished.store(true, Ordering::Release);
            tracing::info!("the source has come to its end");
        }
        Ok(())
    }

    fn encode(&mut self, records: Vec<Record>, made_now: bool) -> Result<(), PluginError> {
        self.batch.clear();
        let Self {
            parts,
            control,
            batch,
            ..
        } = self;
        let (mut filtered, mut failures) = (0, Vec::new());
        // The client library gives a time to what has none.
        let now = (made_now && !parts.conversion.chain.is_empty()).then(now_ms);
        for mut record in records {
            record.timestamp = record.timestamp.or(now);
            // What it was is only needed where failures are kept.
            let kept = (parts.policy.tolerant && parts.dead_letters.is_some()).then(|| record.clone());
            match encode(&mut parts.conversion, &parts.policy, control, record, batch) {
                Ok(Outcome::Encoded) => {}
                Ok(Outcome::Filtered) => filtered += 1,
                Err(failure) if parts.policy.tolerant => failures.push((failure, kept)),
                Err(failure) => return Err(failure.into_task_error()),
            }
        }
        TaskMetrics::add(&self.metrics().filtered, filtered);
        for (failure, record) in failures {
            let record = record.map(|record| encode::dead(&record));
            let raw = record.as_ref().map(|(key, value, timestamp)| RawRecord {
                key: key.as_deref(),
                value: value.as_deref(),
                headers: Vec::new(),
                timestamp: *timestamp,
            });
            self.pass_over(&failure, raw.unwrap_or_default())?;
        }
        Ok(())
    }

    /// A record failed, and is tolerated.
    fn pass_over(&mut self, failure: &RecordFailure, record: RawRecord<'_>) -> Result<(), PluginError> {
        let metrics = &self.report.metrics;
        TaskMetrics::add(&metrics.failed, 1);
        TaskMetrics::add(&metrics.skipped, 1);
        self.parts.policy.log(&self.setup.id, failure, None);
        if let Some(dead_letters) = &mut self.parts.dead_letters {
            let control = self.control;
            dead_letters.send(&record, failure, None, &|| control.is_abandoned())?;
            TaskMetrics::add(&metrics.dead_letters, 1);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), PluginError> {
        let (control, report) = (self.control, self.report);
        let mut last: Option<&Arc<str>> = None;
        for row in &self.batch.rows {
            if last.is_some_and(|topic| Arc::ptr_eq(topic, &row.topic)) {
                continue;
            }
            last = Some(&row.topic);
            if self.parts.topics.ensure(&row.topic, control)? {
                report.topic(&row.topic);
            }
        }
        let (producer, batch) = (&mut self.parts.producer, &self.batch);
        let send = || producer.send(batch, &|| control.is_abandoned());
        let refused = report.metrics.within(Call::Deliver, send)?;
        TaskMetrics::add(&report.metrics.written, self.batch.rows.len() - refused.len());
        for refused in refused {
            let row = &self.batch.rows[refused.index];
            let bytes = |place: &Encoding| place.clone().map(|range| self.batch.bytes[range].to_vec());
            let failed = FailedDelivery {
                topic: row.topic.to_string(),
                key: bytes(&row.key),
                value: bytes(&row.value),
                error: refused.error,
            };
            self.not_delivered(&failed, true)?;
        }
        Ok(())
    }

    /// Looks at what could not be delivered.
    fn check_deliveries(&mut self) -> Result<(), PluginError> {
        let (failures, more) = self.parts.producer.failures();
        let first = failures.first().map(|failed| failed.error.to_string());
        for failed in failures {
            self.not_delivered(&failed, false)?;
        }
        match (more, first) {
            (0, _) => {}
            (_, first) => {
                let cause = first.unwrap_or_default();
                return Err(PluginError::disconnected(format!(
                    "{more} more records could not be delivered: {cause}"
                )));
            }
        }
        Ok(self.parts.producer.check()?)
    }

    /// A record was not delivered; `refused`: it was not even queued, so that the others are not concerned.
    fn not_delivered(&mut self, failed: &FailedDelivery, refused: bool) -> Result<(), PluginError> {
        use rdkafka::error::RDKafkaErrorCode::{
            InvalidRecord, InvalidTimestamp, MessageSizeTooLarge, QueueFull,
        };
        let size = [&failed.key, &failed.value]
            .into_iter()
            .flatten()
            .map(Vec::len)
            .sum::<usize>();
        let error = undelivered(&failed.topic, &failed.error);
        let error = match failed.error.rdkafka_error_code() {
            Some(MessageSizeTooLarge | QueueFull) => format!("a record of {size} bytes for {error}"),
            _ => error,
        };
        let of_the_record = match failed.error.rdkafka_error_code() {
            // The cluster refuses batches as a whole: a small record is not what is too large.
            Some(MessageSizeTooLarge) => refused || size >= LARGE_RECORD_BYTES,
            Some(InvalidRecord | InvalidTimestamp | QueueFull) => true,
            _ => false,
        };
        if !of_the_record {
            let late = self.parts.producer.late(&error);
            return Err(late.map_or_else(|| PluginError::disconnected(error), PluginError::from));
        }
        // Within a transaction the cluster's refusal dooms the rest as well.
        if self.parts.offsets.is_transactional() && !refused {
            return Err(PluginError::user_config(error));
        }
        let failure = RecordFailure {
            stage: Stage::Produce,
            class: "org.apache.kafka.connect.runtime.WorkerSourceTask".to_owned(),
            error: PluginError::bad_record(error),
        };
        if !self.parts.policy.tolerant {
            return Err(failure.into_task_error());
        }
        let record = RawRecord {
            key: failed.key.as_deref(),
            value: failed.value.as_deref(),
            headers: Vec::new(),
            timestamp: None,
        };
        self.pass_over(&failure, record)
    }

    /// Stores offsets, unless only the connector says where a transaction ends.
    fn commit_if_allowed(&mut self) -> Result<(), PluginError> {
        match self.parts.offsets.transactions() {
            Some(Transactions::WhereConnectorSays | Transactions::EachPoll) => {
                self.due = Instant::now() + self.parts.flush_interval;
                Ok(())
            }
            None | Some(Transactions::AfterInterval) => self.commit(),
        }
    }

    /// Waits until everything is delivered, and stores the offsets behind it.
    fn commit(&mut self) -> Result<(), PluginError> {
        self.due = Instant::now() + self.parts.flush_interval;
        let (control, metrics) = (self.control, Arc::clone(&self.report.metrics));
        let abandoned = || control.is_abandoned();
        metrics.within(Call::Deliver, || self.deliver(&abandoned))?;
        if control.is_abandoned() {
            return Ok(());
        }
        let (connector, pending) = (&self.setup.id.connector, &self.pending);
        let (offsets, producer) = (&self.parts.offsets, &mut self.parts.producer);
        let store = || offsets.store(connector, pending, producer, &abandoned);
        let stored = metrics.within(Call::Store, store);
        match stored {
            Ok(()) => {}
            // They are stored with the next ones.
            Err(error)
                if error.kind() == ErrorKind::Retriable
                    && !self.parts.offsets.is_transactional()
                    && !control.stopping() =>
            {
                TaskMetrics::add(&self.metrics().commit_failures, 1);
                tracing::error!(%error, "offsets are not stored; trying again with the next ones");
                return Ok(());
            }
            Err(error) => {
                TaskMetrics::add(&self.metrics().commit_failures, 1);
                return Err(error);
            }
        }
        let committed = self.pending.take();
        if committed.is_empty() {
            return Ok(());
        }
        TaskMetrics::add(&self.metrics().commits, 1);
        tracing::debug!(partitions = committed.len(), "offsets are stored");
        let task = &mut self.parts.task;
        let tell = || control.wait_for(task.committed(&committed));
        if let Err(error) = metrics.within(Call::Committed, tell) {
            tracing::warn!(%error, "what the source does once offsets are stored failed");
        }
        Ok(())
    }

    /// Waits until everything is delivered.
    fn deliver(&mut self, abandoned: &dyn Fn() -> bool) -> Result<(), PluginError> {
        if let Some(dead_letters) = &mut self.parts.dead_letters {
            dead_letters.flush(abandoned)?;
        }
        self.parts.producer.flush(abandoned)?;
        self.check_deliveries()?;
        // What was not delivered may have become a dead letter.
        match &mut self.parts.dead_letters {
            Some(dead_letters) => dead_letters.flush(abandoned),
            None => Ok(()),
        }
    }
}
