//! A source's task as it runs: poll, transform, convert, produce, and store offsets once everything before them is delivered.
//!
//! At least once: from time to time, and at every stop, everything that was queued is waited for; then the offsets of the
//! batches so far are stored. Exactly once (KIP-618): records and offsets are in one transaction; a task that begins fences
//! those of its id, reads the offsets then, and a lost transaction ends the task, which begins anew from what is stored.
mod creation;
mod delivery;
mod encode;
mod offsets;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use creation::TopicCreation;
use encode::{Outcome, encode};
use offsets::Pending;
use rdkafka::ClientConfig;

use super::control::Control;
use super::conversion::Conversion;
use super::dead_letters::{DeadLetters, RawRecord};
use super::errors::{ErrorPolicy, RecordFailure};
use super::metrics::{TaskMetrics, now_ms};
use super::report::Reporter;
use super::setup::TaskSetup;
use super::signals;
use super::stall::Call;
use super::tasks::Contained;
use crate::cluster::{Outgoing, Producer};
use crate::plugin::{
    Boundary, Budget, ErrorKind, PluginError, SourceBatch, SourceTask, SourceTaskContext, TaskSignal,
};
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
    /// What sends again what was refused; not within transactions, which the cluster dooms as a whole.
    pub(super) resending: Option<Resending>,
}

/// What producers are made of that send again.
pub(super) struct Resending {
    /// One that sends each record alone.
    pub(super) alone: ClientConfig,
    /// One in the place of that which broke.
    pub(super) together: ClientConfig,
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
    signals: &'a mut signals::Receiver,
    pending: Pending,
    batch: Outgoing,
    /// The first record that was lost.
    lost_from: Option<usize>,
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
        signals: &'a mut signals::Receiver,
    ) -> Self {
        let due = Instant::now() + parts.flush_interval;
        Self {
            parts,
            setup,
            control,
            report,
            signals,
            pending: Pending::default(),
            batch: Outgoing::default(),
            lost_from: None,
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
            Ended::Stopped => self.finish(),
            Ended::Rewound => Ok(ended),
        });
        let result = match result {
            Err(error) if !self.control.is_abandoned() => {
                self.keep_what_came_before();
                let _ = self.parts.producer.abort();
                Err(error)
            }
            result => result,
        };
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
        self.report
            .within(Call::Start, || control.wait_for(task.start(config, context)))?;
        self.due = Instant::now() + self.parts.flush_interval;
        for signal in self.signals.again() {
            // It was taken before, so that nobody waits for an answer.
            let _ = self.take_signal(signal);
        }
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
            if self.parts.producer.is_idle() {
                self.pending.all_delivered();
            }
            if Instant::now() >= self.due {
                self.commit_if_allowed()?;
            }
            self.take_signals();
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

    /// Hands on what users ask for.
    fn take_signals(&mut self) {
        while let Some(asked) = self.signals.next() {
            let taken = self
                .signals
                .has_room()
                .and_then(|()| self.take_signal(asked.signal.clone()));
            asked.answer(taken);
        }
    }

    /// Has the task take a signal, which is kept until it is stored.
    fn take_signal(&mut self, signal: TaskSignal) -> Result<(), PluginError> {
        let (control, task) = (self.control, &mut self.parts.task);
        let taken = self
            .report
            .within(Call::Signal, || control.wait_for(task.signal(&signal)));
        let TaskSignal { id, kind, .. } = &signal;
        match &taken {
            Ok(()) => {
                tracing::info!(id, kind, "the signal is taken");
                self.signals.keep(signal);
            }
            Err(error) => tracing::warn!(id, kind, "the signal is refused: {error}"),
        }
        taken
    }

    fn pause(&mut self) {
        self.report.paused();
        while self.control.paused() && !self.control.stopping() {
            self.parts.producer.serve();
            // Nothing would store them, however long it takes.
            while let Some(asked) = self.signals.next() {
                asked.answer(Err(PluginError::retriable(
                    "the connector is paused; resume it, and send the signal again",
                )));
            }
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
        match self
            .report
            .metrics
            .within(Call::Poll, poll)
            .map(|polled| polled.map_err(|error| error.without(self.report.secrets())))
        {
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

    fn take(&mut self, batch: SourceBatch) -> Result<(), PluginError> {
        if self.control.is_abandoned() {
            return Ok(());
        }
        let (any, finished) = (
            !(batch.records.is_empty() && batch.offsets.is_empty() && batch.forgotten.is_empty()),
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
        let changes = offsets::changes(batch.offsets, batch.forgotten);
        self.pending.add(self.parts.producer.last_record(), changes);
        if self.signals.handed_over() {
            // What users asked for is stored as soon as may be.
            self.due = Instant::now();
        }
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
                Err(failure) if parts.policy.tolerant && !failure.is_of_stopping(control) => {
                    failures.push((failure, kept))
                }
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
        // Judging what is refused takes all of this.
        let mut batch = std::mem::take(&mut self.batch);
        let sent = self.hand_over(&mut batch);
        self.batch = batch;
        TaskMetrics::add(&report.metrics.written, sent?);
        Ok(())
    }
}
