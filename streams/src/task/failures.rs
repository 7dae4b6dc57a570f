//! What becomes of records that cannot be read, and of rows that a step cannot work on.
mod letter;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TaskError;
use super::error::step_error;
use crate::format::{Decoded, JsonEncoder};
use crate::operator::{
    ErrorCounters, FailedContent, FailedRow, Operator, OperatorError, Output, Publish, Surroundings,
};
use crate::plan::{ErrorPolicy, Input, StepId, SubTopology};
use crate::rows::Rows;
use crate::sink::{Destination, OutputRecord, RecordBuffer, SinkError};
use letter::Cause;

/// The policies of a task at work.
pub(super) struct Failures {
    plan: Arc<SubTopology>,
    partition: i32,
    /// For steps without a policy of their own.
    default: ErrorPolicy,
    counters: Arc<ErrorCounters>,
    buffer_bytes_max: usize,
    record_bytes_max: usize,
}

impl Failures {
    /// What comes is of this partition.
    pub(super) fn come_from(&mut self, partition: i32) {
        self.partition = partition;
    }

    pub(super) fn new(plan: Arc<SubTopology>, partition: i32, near: &Surroundings) -> Self {
        Self {
            plan,
            partition,
            default: near.on_error.clone().unwrap_or(ErrorPolicy::Fail),
            counters: Arc::clone(&near.errors),
            buffer_bytes_max: near.limits.output_bytes_max,
            record_bytes_max: near.limits.record_bytes_max,
        }
    }

    /// The policy where `own` was said.
    pub(super) fn policy<'a>(&'a self, own: Option<&'a ErrorPolicy>) -> &'a ErrorPolicy {
        own.unwrap_or(&self.default)
    }

    /// Follows the policy of `input` for what could not be read.
    pub(super) fn undecodable(
        &self,
        input: &Input,
        decoded: &mut Decoded,
        publish: &mut Publish<'_>,
    ) -> Result<(), TaskError> {
        let Some(first) = decoded.undecodable.first() else {
            return Ok(());
        };
        let topic = &*input.topic;
        let policy = self.policy(input.on_error.as_ref());
        if *policy != ErrorPolicy::Fail {
            let (offset, partition, cause) = (first.offset, self.partition, &first.cause);
            let records = decoded.undecodable.len();
            tracing::warn!(topic, partition, offset, %cause, records, %policy, "records cannot be read");
        }
        let letters = match policy {
            ErrorPolicy::Fail => {
                let first = decoded.undecodable.remove(0);
                return Err(TaskError::Record {
                    topic: topic.to_owned(),
                    partition: self.partition,
                    offset: first.offset,
                    cause: first.cause,
                });
            }
            ErrorPolicy::Skip => {
                self.skipped(decoded.undecodable.len());
                return Ok(());
            }
            ErrorPolicy::DeadLetter(letters) => letters,
        };
        let mut records = RecordBuffer::new(Destination::ByKey(Arc::clone(letters)));
        for unfit in &decoded.undecodable {
            let cause = Cause {
                name: "DeserializationError",
                message: unfit.cause.to_string(),
                topic,
                partition: self.partition,
                offset: Some(unfit.offset),
            };
            if let Some(originals) = &decoded.originals {
                self.write(&mut records, originals.get(unfit.place), &cause, publish)
                    .map_err(|error| self.undelivered(letters, error))?;
            }
        }
        self.finish(&records, publish)
            .map_err(|error| self.undelivered(letters, error))
    }

    /// Follows the policies of `step` for rows that it could not work on.
    pub(super) fn rows(
        &self,
        step: StepId,
        failed: Vec<FailedRow>,
        publish: &mut Publish<'_>,
    ) -> Result<(), TaskError> {
        let (plan, mut logged) = (&self.plan.steps[step.0], false);
        let mut pending: Option<RecordBuffer> = None;
        let topics: Vec<&str> = self.plan.inputs.iter().map(|input| &*input.topic).collect();
        let topics = topics.join(",");
        for FailedRow { part, row, cause } in failed {
            let (label, own) = plan.part(part);
            let policy = self.policy(own);
            if *policy != ErrorPolicy::Fail && !std::mem::replace(&mut logged, true) {
                tracing::warn!(step = label, partition = self.partition, %cause, %policy, "rows cannot be worked on");
            }
            let letters = match policy {
                ErrorPolicy::Fail => return Err(step_error(&self.plan, self.partition, label, cause)),
                ErrorPolicy::Skip => {
                    self.skipped(1);
                    continue;
                }
                ErrorPolicy::DeadLetter(letters) => letters,
            };
            let to = Destination::ByKey(Arc::clone(letters));
            // The closures of one step may have a topic each.
            if let Some(other) = pending.take_if(|records| *records.destination() != to) {
                self.finish(&other, publish)
                    .map_err(|error| self.undelivered(letters, error))?;
            }
            let cause = Cause {
                name: cause.name(),
                message: format!("{label}: {cause}"),
                topic: &topics,
                partition: self.partition,
                offset: None,
            };
            let record = match row {
                FailedContent::Record(record) => record,
                FailedContent::Row(rows) => as_json(&rows),
            };
            let records = pending.get_or_insert_with(|| RecordBuffer::new(to));
            self.write(records, record.get(0), &cause, publish)
                .map_err(|error| self.undelivered(letters, error))?;
        }
        match pending {
            Some(records) => self
                .finish(&records, publish)
                .map_err(|error| step_error(&self.plan, self.partition, &plan.label, error.into())),
            None => Ok(()),
        }
    }

    fn skipped(&self, rows: usize) {
        self.counters.skipped.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Appends the dead letter of `record`.
    fn write(
        &self,
        letters: &mut RecordBuffer,
        record: OutputRecord<'_>,
        cause: &Cause<'_>,
        publish: &mut Publish<'_>,
    ) -> Result<(), SinkError> {
        if letter::write(letters, record, cause, self.record_bytes_max) {
            self.counters.truncated.fetch_add(1, Ordering::Relaxed);
        }
        if letters.bytes() >= self.buffer_bytes_max {
            self.finish(letters, publish)?;
            letters.clear();
        }
        Ok(())
    }

    fn finish(&self, letters: &RecordBuffer, publish: &mut Publish<'_>) -> Result<(), SinkError> {
        let count = letters.len() as u64;
        if count > 0 {
            publish(letters)?;
            self.counters.dead_lettered.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    fn undelivered(&self, topic: &str, error: SinkError) -> TaskError {
        step_error(
            &self.plan,
            self.partition,
            &format!("dead letter {topic}"),
            error.into(),
        )
    }
}

/// Has `operator` process the rows. Those that it fails on are taken out, if their policy is not to fail.
pub(super) fn process(
    operator: &mut dyn Operator,
    port: u8,
    rows: Rows,
    out: &mut Output<'_>,
    fails: bool,
) -> Result<(), OperatorError> {
    if fails {
        return operator.process_at(port, rows, out);
    }
    let (emitted, failed) = (out.rows.len(), out.failed.len());
    match operator.process_at(port, rows.clone(), out) {
        Err(cause) if cause.is_of_rows() => {
            out.rows.truncate(emitted);
            out.failed.truncate(failed);
            if rows.len() <= 1 {
                out.failed.push(FailedRow {
                    part: 0,
                    row: FailedContent::Row(rows),
                    cause,
                });
                return Ok(());
            }
            // Halves, not rows: where few fail, few calls find them.
            let middle = rows.len() / 2;
            process(operator, port, rows.slice(0, middle), out, false)?;
            process(
                operator,
                port,
                rows.slice(middle, rows.len() - middle),
                out,
                false,
            )
        }
        processed => processed,
    }
}

/// The row as a record whose value is a JSON object; without a value if it cannot be written so.
fn as_json(rows: &Rows) -> RecordBuffer {
    let mut record = RecordBuffer::new(Destination::ByKey("".into()));
    let time = rows.times().first().copied().unwrap_or(crate::rows::NO_TIME);
    match JsonEncoder::new(&rows.batch, 0..rows.batch.num_columns()) {
        Ok(mut encoder) => record.push(
            time,
            |_| false,
            |out| {
                encoder.object(0, out);
                true
            },
        ),
        Err(error) => {
            tracing::warn!(%error, "a row cannot be written as JSON");
            record.push_bytes(time, None, None);
        }
    }
    record
}
