//! What becomes of records that were handed to the producer, and of the offsets behind them.
//!
//! The cluster refuses records together with all that travelled with them, without saying which it means. The producer delivers nothing
//! behind them then (librdkafka's `enable.gapless.guarantee`): what failed is sent again in its order, one by one up to the last that was
//! refused, and nothing comes twice. Only what is refused alone is judged. (Behind the first batch of a producer in a partition the cluster
//! takes whatever follows, so that there the order may be another.)
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::{SourceLoop, Transactions};
use crate::cluster::{FailedDelivery, Failures, Outgoing, Producer, Refused, undelivered};
use crate::plugin::{ErrorKind, PluginError};
use crate::worker::dead_letters::RawRecord;
use crate::worker::errors::{RecordFailure, Stage};
use crate::worker::metrics::TaskMetrics;
use crate::worker::stall::Call;

/// Within a transaction, a record from this size on may be what makes a batch too large for its topic.
const LARGE_RECORD_BYTES: usize = 64 << 10;
/// How long a task that failed waits for what came before.
const KEEPING_PATIENCE: Duration = Duration::from_secs(30);

impl SourceLoop<'_> {
    /// Looks at what could not be delivered.
    pub(super) fn check_deliveries(&mut self) -> Result<(), PluginError> {
        let failures = self.parts.producer.failures();
        self.check_failures(failures)
    }

    fn check_failures(&mut self, mut failures: Failures) -> Result<(), PluginError> {
        let broken = self.parts.producer.is_broken();
        if failures.are_none() && !broken {
            return Ok(self.parts.producer.check()?);
        }
        let before = self.lost_from;
        self.lose(failures.first);
        let is_refused = |failures: &Failures| failures.kept.iter().any(FailedDelivery::is_refused);
        if self.parts.resending.is_some() && (broken || is_refused(&failures)) {
            // The cause may come behind what follows from it.
            let (control, producer) = (self.control, &self.parts.producer);
            let flush = || producer.flush(&|| control.is_abandoned());
            self.report.metrics.within(Call::Deliver, flush)?;
            failures.extend(self.parts.producer.failures());
            self.lose(failures.first);
            if failures.more == 0 && is_refused(&failures) {
                self.send_again(failures.kept)?;
                self.lost_from = before;
                return Ok(());
            }
        }
        let Failures { mut kept, more, .. } = failures;
        kept.sort_by_key(|failed| (failed.is_consequence(), failed.number));
        let cause = kept.first().map(|failed| failed.error.to_string());
        for failed in kept {
            self.not_delivered(&failed, Alone::No)?;
        }
        if more > 0 {
            let cause = cause.unwrap_or_default();
            return Err(PluginError::disconnected(format!(
                "{more} more records could not be delivered: {cause}"
            )));
        }
        // Each was passed over.
        self.lost_from = before;
        Ok(self.parts.producer.check()?)
    }

    /// Sends what failed again, in its order; what is refused for itself is judged.
    fn send_again(&mut self, mut failed: Vec<FailedDelivery>) -> Result<(), PluginError> {
        let Some(resending) = &self.parts.resending else {
            return Ok(());
        };
        failed.sort_by_key(|failed| failed.number);
        let refused = failed.iter().rposition(FailedDelivery::is_refused);
        let together = failed.split_off(refused.map_or(0, |last| last + 1));
        if let Some(cause) = failed.iter().find(|failed| failed.is_refused()) {
            let error = undelivered(&cause.topic, &cause.error);
            tracing::warn!(task = %self.setup.id, error, records = failed.len(), "records are sent again, one by one");
        }
        let last = self.parts.producer.last_record();
        let mut producer = Producer::behind(last, &resending.alone)?;
        let successor = Producer::behind(last, &resending.together)?;
        let control = self.control;
        let abandoned = || control.is_abandoned();
        let batch = &mut batch_of(&failed);
        let sent = self.report.metrics.within(Call::Deliver, || {
            let sent = producer.send(batch, &abandoned)?;
            producer.flush(&abandoned).map(|()| sent)
        });
        let unsent = sent?;
        if control.is_abandoned() {
            return Ok(());
        }
        let mut failures = producer.failures();
        add_unsent(&mut failures, batch, unsent);
        self.lose(failures.first);
        // The first that was refused is the cause of all else.
        failures
            .kept
            .sort_by_key(|failed| (!failed.is_refused(), failed.number));
        for failed in &failures.kept {
            self.not_delivered(failed, Alone::Yes)?;
        }
        self.parts.producer = successor;
        self.hand_over(&mut batch_of(&together)).map(|_| ())
    }

    /// Gives a batch to the producer, and says how many records it took.
    pub(super) fn hand_over(&mut self, batch: &mut Outgoing) -> Result<usize, PluginError> {
        let (control, report) = (self.control, self.report);
        let producer = &mut self.parts.producer;
        let send = || producer.send(batch, &|| control.is_abandoned());
        let refused = report.metrics.within(Call::Deliver, send)?;
        if refused.is_empty() {
            return Ok(batch.rows.len());
        }
        let is_fatal =
            |refused: &Refused| refused.error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        let (unsent, refused): (Vec<Refused>, Vec<Refused>) = refused.into_iter().partition(is_fatal);
        let taken = batch.rows.len() - refused.len();
        for Refused { index, error } in refused {
            let failed = FailedDelivery::of_row(batch, &batch.rows[index], error);
            self.not_delivered(&failed, Alone::Yes)?;
        }
        if unsent.is_empty() {
            return Ok(taken);
        }
        // They are behind what broke the producer.
        let mut failures = self.parts.producer.failures();
        add_unsent(&mut failures, batch, unsent);
        self.check_failures(failures)?;
        Ok(taken)
    }

    /// A record is lost.
    fn lose(&mut self, first: Option<usize>) {
        self.lost_from = self.lost_from.into_iter().chain(first).min();
    }

    /// The task failed, and not the batches before: they are delivered, and need not come again. In transactions they are dropped.
    pub(super) fn keep_what_came_before(&mut self) {
        if self.parts.offsets.is_transactional() {
            return;
        }
        if let Err(error) = self.deliver_and_keep() {
            tracing::warn!(task = %self.setup.id, %error, "what was read before the failure may come again");
        }
    }

    fn deliver_and_keep(&mut self) -> Result<(), PluginError> {
        let (control, until) = (self.control, Instant::now() + KEEPING_PATIENCE);
        let over = || control.is_abandoned() || Instant::now() >= until;
        let (dead_letters, producer) = (&mut self.parts.dead_letters, &self.parts.producer);
        self.report.metrics.within(Call::Deliver, || {
            if let Some(dead_letters) = dead_letters {
                dead_letters.flush(&over)?;
            }
            producer.flush(&over).map_err(PluginError::from)
        })?;
        if control.is_abandoned() {
            return Ok(());
        }
        // What is lost comes again, with all behind it.
        let first = self.parts.producer.failures().first;
        self.lose(first);
        match self.lost_from {
            Some(first) => self.pending.delivered_before(first),
            None => self.pending.all_delivered(),
        }
        self.store_delivered()
    }

    /// A record was not delivered: it is judged if it is known to be its own fault.
    fn not_delivered(&mut self, failed: &FailedDelivery, alone: Alone) -> Result<(), PluginError> {
        use RDKafkaErrorCode::{MessageSizeTooLarge, QueueFull};
        let (size, code) = (failed.size(), failed.error.rdkafka_error_code());
        let error = undelivered(&failed.topic, &failed.error);
        let error = match code {
            Some(MessageSizeTooLarge | QueueFull) => format!("a record of {size} bytes for {error}"),
            _ => error,
        };
        let transactional = self.parts.offsets.is_transactional();
        let of_the_record = match code {
            Some(QueueFull) => true,
            _ if alone == Alone::Yes => failed.is_refused(),
            Some(MessageSizeTooLarge) => transactional && size >= LARGE_RECORD_BYTES,
            _ => transactional && failed.is_refused(),
        };
        if !of_the_record {
            let late = self.parts.producer.late(&error);
            return Err(late.map_or_else(|| PluginError::disconnected(error), PluginError::from));
        }
        // Within a transaction the cluster's refusal dooms the rest as well.
        if transactional && alone == Alone::No {
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
    pub(super) fn commit_if_allowed(&mut self) -> Result<(), PluginError> {
        match self.parts.offsets.transactions() {
            Some(Transactions::WhereConnectorSays | Transactions::EachPoll) => {
                self.due = Instant::now() + self.parts.flush_interval;
                Ok(())
            }
            None | Some(Transactions::AfterInterval) => self.commit(),
        }
    }

    /// Waits until everything is delivered, and stores the offsets behind it.
    pub(super) fn commit(&mut self) -> Result<(), PluginError> {
        self.due = Instant::now() + self.parts.flush_interval;
        if self.parts.offsets.is_transactional() {
            // They stand or fall together, and are waited for together.
            self.pending.all_delivered();
            self.send_offsets()?;
        }
        self.deliver()?;
        if self.control.is_abandoned() {
            return Ok(());
        }
        self.pending.all_delivered();
        self.store_delivered()?;
        if self.pending.is_empty() {
            self.signals.stored();
        }
        Ok(())
    }

    fn send_offsets(&mut self) -> Result<(), PluginError> {
        let control = self.control;
        let (connector, pending) = (&self.setup.id.connector, &self.pending);
        let (offsets, producer) = (&self.parts.offsets, &mut self.parts.producer);
        let send = || offsets.send(connector, pending, producer, &|| control.is_abandoned());
        let sent = self.report.metrics.within(Call::Store, send);
        if sent.is_err() {
            TaskMetrics::add(&self.metrics().commit_failures, 1);
        }
        sent
    }

    /// Stores the offsets behind what is delivered.
    fn store_delivered(&mut self) -> Result<(), PluginError> {
        let (control, metrics) = (self.control, Arc::clone(&self.report.metrics));
        let abandoned = || control.is_abandoned();
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
        let changes = self.pending.take();
        if changes.is_empty() {
            return Ok(());
        }
        TaskMetrics::add(&self.metrics().commits, 1);
        tracing::debug!(partitions = changes.len(), "offsets are stored");
        let stored = |(partition, offset)| Some((partition, offset?));
        let committed: Vec<_> = changes.into_iter().filter_map(stored).collect();
        if committed.is_empty() {
            return Ok(());
        }
        let task = &mut self.parts.task;
        let tell = || control.wait_for(task.committed(&committed));
        if let Err(error) = self.report.within(Call::Committed, tell) {
            tracing::warn!(%error, "what the source does once offsets are stored failed");
        }
        Ok(())
    }

    /// Waits until everything is delivered.
    fn deliver(&mut self) -> Result<(), PluginError> {
        loop {
            self.flush_dead_letters()?;
            let (control, producer) = (self.control, &self.parts.producer);
            let flush = || producer.flush(&|| control.is_abandoned());
            self.report.metrics.within(Call::Deliver, flush)?;
            self.check_deliveries()?;
            // What failed may have been sent again.
            if self.parts.producer.is_idle() || control.is_abandoned() {
                break;
            }
        }
        // What was not delivered may have become a dead letter.
        self.flush_dead_letters()
    }

    fn flush_dead_letters(&mut self) -> Result<(), PluginError> {
        let control = self.control;
        match &mut self.parts.dead_letters {
            Some(dead_letters) => {
                let flush = || dead_letters.flush(&|| control.is_abandoned());
                self.report.metrics.within(Call::Deliver, flush)
            }
            None => Ok(()),
        }
    }
}

/// Whether a record went alone, so that a refusal means it and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Yes,
    No,
}

/// Failed records as they are sent again.
fn batch_of(failed: &[FailedDelivery]) -> Outgoing {
    let mut batch = Outgoing::default();
    for failed in failed {
        failed.put(&mut batch);
    }
    batch
}

/// Rows that were not queued fail like those that were.
fn add_unsent(failures: &mut Failures, batch: &Outgoing, unsent: Vec<Refused>) {
    for Refused { index, error } in unsent {
        let row = &batch.rows[index];
        failures.add(row.number, || FailedDelivery::of_row(batch, row, error));
    }
}
