//! One file an operator: batches in, batches out.
//!
//! Owns: what each step does with a batch and at the end of an epoch. Does not own: the order in which steps run,
//! positions or commits (`task`).
//!
//! Invariants: an operator keeps nothing of a batch beyond the end of the epoch except merged state; at the epoch's end
//! an operator hears of it after everything above it has emitted its last rows.
mod branch;
mod filter;
mod final_aggregate;
mod flat_map;
mod partial_aggregate;
mod project;
mod shipper;
mod sink;
mod watermark;
mod window_final;
mod window_judge;
mod window_partial;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use thiserror::Error;

use crate::aggregate::Delta;
use crate::format::FormatError;
use crate::plan::StepKind;
use crate::rows::{EventTime, Rows};
use crate::sink::{RecordBuffer, SinkError};
use crate::state::{StateError, WindowError};
use crate::time::{TaskClock, Watermark};

/// A running step.
pub(crate) trait Operator: Send {
    /// Takes rows; what follows from it at once goes to `out`.
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError>;

    /// The epoch ends; what was held back for it goes to `out`.
    fn end_epoch(&mut self, _out: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Takes a record of the step's changelog, before the first batch.
    fn restore(&mut self, _key: Option<&[u8]>, _value: Option<&[u8]>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// The changelog ends.
    fn end_restore(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Keys and bytes of state that outlives the epoch.
    fn state_size(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Takes the records a task writes.
pub(crate) type Publish<'a> = dyn FnMut(&RecordBuffer) -> Result<(), SinkError> + 'a;

/// Where an operator's output goes: batches to the steps below, records to topics.
pub(crate) struct Output<'a> {
    /// Rows, each with the number of the operator's output.
    pub(crate) rows: Vec<(usize, Rows)>,
    pub(crate) publish: &'a mut Publish<'a>,
    pub(crate) clock: &'a mut TaskClock,
    /// How far the step's rows are behind the task's watermark.
    pub(crate) hold_ms: i64,
    /// Rows that came too late.
    pub(crate) late_rows: u64,
}

impl Output<'_> {
    /// Where the step is in event time now.
    fn watermark(&self) -> Watermark {
        self.clock.watermark().minus(self.hold_ms)
    }

    /// Where the step was in event time when the last epoch ended.
    fn settled(&self) -> Watermark {
        self.clock.settled().minus(self.hold_ms)
    }

    /// Whether windows may have closed behind the task's back, because it was idle.
    fn was_idle(&self) -> bool {
        self.clock.was_idle()
    }

    /// Takes event times of a source; see [`TaskClock::observe`].
    fn observe(&mut self, input: usize, strategy: usize, times: &[EventTime]) -> Option<ArrayRef> {
        self.clock.observe(input, strategy, times)
    }

    fn count_late(&mut self, rows: usize) {
        self.late_rows += rows as u64;
    }

    /// Rows for the only output.
    pub(crate) fn push(&mut self, rows: Rows) {
        self.push_to(0, rows);
    }

    /// Rows for the output number `port`.
    pub(crate) fn push_to(&mut self, port: usize, rows: Rows) {
        if rows.len() > 0 {
            self.rows.push((port, rows));
        }
    }
}

/// Bounds of what a task holds at once.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Rows of an input batch.
    pub(crate) batch_rows_max: usize,
    /// Payload bytes of an input batch.
    pub(crate) batch_bytes_max: usize,
    /// Keys of a partial aggregate before it is shipped within the epoch.
    pub(crate) partial_keys_max: usize,
    /// Bytes of a partial aggregate before it is shipped within the epoch.
    pub(crate) partial_bytes_max: usize,
    /// Bytes of one shuffled record; well below the brokers' `message.max.bytes`.
    pub(crate) shuffle_record_bytes_max: usize,
    /// Bytes of output records gathered before they go to the client.
    pub(crate) output_bytes_max: usize,
    /// Late rows held before they are shipped within the epoch.
    pub(crate) late_rows_max: usize,
}

impl Limits {
    /// Whether a partial aggregate has to be shipped.
    fn partial_is_full(&self, delta: &Delta) -> bool {
        delta.len() > self.partial_keys_max || delta.size_bytes() > self.partial_bytes_max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_rows_max: 8 * 1024,
            batch_bytes_max: 1 << 20,
            partial_keys_max: 500_000,
            partial_bytes_max: 64 << 20,
            shuffle_record_bytes_max: 512 << 10,
            output_bytes_max: 256 << 10,
            late_rows_max: 64 * 1024,
        }
    }
}

/// What steps need to know of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) limits: Limits,
    /// Partition counts of the repartition topics.
    pub(crate) partitions: HashMap<Arc<str>, usize>,
    /// How many tasks each sub-topology has, by its number.
    pub(crate) tasks: HashMap<usize, usize>,
}

/// A step that failed on a batch.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// An expression or aggregate failed.
    #[error("{}", .0.strip_backtrace())]
    Expression(#[source] Box<DataFusionError>),
    /// Rows that do not fit a record, or a record that is not a batch of this job.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Partial states that do not fit a record of their repartition topic.
    #[error("a row for {topic}-{partition}: {cause}")]
    Shuffle {
        /// The repartition topic.
        topic: Arc<str>,
        /// The partition the row belongs to.
        partition: i32,
        /// What is wrong with it.
        cause: Box<FormatError>,
    },
    /// Stored state that cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Records that could not be delivered.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// An operation of Arrow failed.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl From<WindowError> for OperatorError {
    fn from(error: WindowError) -> Self {
        match error {
            WindowError::Format(cause) => cause.into(),
            WindowError::Merge(cause) => cause.into(),
        }
    }
}

impl From<DataFusionError> for OperatorError {
    fn from(cause: DataFusionError) -> Self {
        Self::Expression(Box::new(cause))
    }
}

/// The running form of a step in the task of `partition`.
pub(crate) fn new_operator(
    kind: &StepKind,
    partition: i32,
    near: &Surroundings,
) -> Result<Box<dyn Operator>, OperatorError> {
    Ok(match kind {
        StepKind::FlatMap { expr, schema } => {
            Box::new(flat_map::FlatMap::new(expr.clone(), Arc::clone(schema)))
        }
        StepKind::Branch { predicates } => Box::new(branch::Branch::new(predicates.clone())),
        StepKind::Filter { predicate } => Box::new(filter::Filter::new(predicate.clone())),
        StepKind::Project { exprs, schema } => {
            Box::new(project::Project::new(exprs.clone(), Arc::clone(schema)))
        }
        StepKind::PartialAggregate { spec, topic } => Box::new(partial_aggregate::PartialAggregate::new(
            Arc::clone(spec),
            Arc::clone(topic),
            near.partitions.get(topic).copied().unwrap_or(1),
            near.limits.clone(),
        )?),
        StepKind::FinalAggregate { spec, changelog } => Box::new(final_aggregate::FinalAggregate::new(
            Arc::clone(spec),
            Arc::clone(changelog),
            partition,
        )?),
        StepKind::Watermark(plan) => Box::new(watermark::Watermark::new(plan.clone())),
        StepKind::WindowPartial(plan) => Box::new(window_partial::WindowPartial::new(
            plan,
            near.partitions.get(&plan.topic).copied().unwrap_or(1),
            near.limits.clone(),
        )?),
        StepKind::WindowJudge(plan) => Box::new(window_judge::WindowJudge::new(plan.clone())?),
        StepKind::WindowFinal(plan) => Box::new(window_final::WindowFinal::new(
            plan,
            partition,
            near.limits.shuffle_record_bytes_max,
        )?),
        StepKind::Sink { topic, format } => Box::new(sink::SinkStep::new(
            Arc::clone(topic),
            format.clone(),
            near.limits.output_bytes_max,
        )),
    })
}
