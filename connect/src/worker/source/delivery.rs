//! What becomes of records that were handed to the producer, and of the offsets behind them.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Alone, Ended, SourceLoop, Transactions};
use crate::cluster::{FailedDelivery, Failures, Producer, undelivered};
use crate::plugin::{ErrorKind, PluginError};
use crate::worker::dead_letters::RawRecord;
use crate::worker::errors::{RecordFailure, Stage};
use crate::worker::metrics::TaskMetrics;
use crate::worker::stall::Call;

/// A record from this size on may be what makes a batch too large for its topic.
const LARGE_RECORD_BYTES: usize = 64 << 10;
/// How long a task that failed waits for what came before.
const KEEPING_PATIENCE: Duration = Duration::from_secs(30);

impl SourceLoop<'_> {
    /// Looks at what could not be delivered.
    pub(super) fn check_deliveries(&mut self) -> Result<(), PluginError> {
        let Failures { kept, more, first } = self.parts.producer.failures();
        let before = self.lost_from;
        self.lose(first);
        let cause = kept.first().map(|failed| failed.error.to_string());
        for failed in kept {
            self.not_delivered(&failed, false)?;
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

    /// A record of the batch `first` is lost.
    fn lose(&mut self, first: Option<usize>) {
        self.lost_from = match (self.lost_from, first) {
            (Some(before), Some(first)) => Some(before.min(first)),
            (before, first) => before.or(first),
        };
    }

    /// The task failed, and not the batches before: they are delivered, and need not come again. In transactions they are dropped.
    /// Says whether that went well.
    pub(super) fn keep_what_came_before(&mut self) -> bool {
        if self.parts.offsets.is_transactional() {
            return false;
        }
        let kept = self.deliver_and_keep();
        if let Err(error) = &kept {
            tracing::warn!(task = %self.setup.id, %error, "what was read before the failure may come again");
        }
        kept.is_ok()
    }

    /// The end of a task that failed: where the cluster refused records that went together, it begins anew and sends them alone.
    pub(super) fn go_alone(&self, kept: bool, error: PluginError) -> Result<Ended, PluginError> {
        if !(kept && self.too_large) || self.control.stopping() {
            return Err(error);
        }
        let records = self.sent - self.settled;
        tracing::warn!(task = %self.setup.id, %error, records, "records are sent again, one by one");
        Ok(Ended::TooLarge { records })
    }

    /// Once all records are sent that had to go alone, the others go together again.
    pub(super) fn go_together(&mut self) -> Result<(), PluginError> {
        let Some(alone) = self.parts.alone.take_if(|alone| self.sent >= alone.records) else {
            return Ok(());
        };
        self.commit()?;
        match self.pending.is_empty() {
            true => self.parts.producer = Producer::new(&alone.producer)?,
            // The offsets are still to be stored; batches are numbered by this producer.
            false => {
                self.parts.alone = Some(Alone {
                    records: self.sent + 1,
                    ..alone
                });
            }
        }
        Ok(())
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

    /// A record was not delivered; `refused`: it was not even queued, so that the others are not concerned.
    pub(super) fn not_delivered(
        &mut self,
        failed: &FailedDelivery,
        refused: bool,
    ) -> Result<(), PluginError> {
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
            // The cluster refuses batches as a whole: only of one that went alone is it known that it is too large.
            Some(MessageSizeTooLarge) if !self.parts.offsets.is_transactional() => {
                self.too_large = !refused && self.parts.alone.is_none();
                !self.too_large
            }
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
        let (control, metrics) = (self.control, Arc::clone(&self.report.metrics));
        let abandoned = || control.is_abandoned();
        metrics.within(Call::Deliver, || self.deliver(&abandoned))?;
        if control.is_abandoned() {
            return Ok(());
        }
        if !self.pending.is_empty() {
            self.settled = self.sent;
        }
        self.pending.all_delivered();
        self.store_delivered()
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
        let committed = self.pending.take();
        if committed.is_empty() {
            return Ok(());
        }
        TaskMetrics::add(&self.metrics().commits, 1);
        tracing::debug!(partitions = committed.len(), "offsets are stored");
        let task = &mut self.parts.task;
        let tell = || control.wait_for(task.committed(&committed));
        if let Err(error) = self.report.within(Call::Committed, tell) {
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
