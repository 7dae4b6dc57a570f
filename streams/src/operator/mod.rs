//! One file an operator: batches in, batches out.
//!
//! Owns: what each step does with a batch and at the end of an epoch. Does not own: the order in which steps run,
//! positions or commits (`task`).
//!
//! Invariants: an operator keeps nothing of a batch beyond the end of the epoch except merged state; at the epoch's end
//! an operator hears of it after everything above it has emitted its last rows.
#[cfg(test)]
mod batches_tests;
mod branch;
mod changes;
mod deduplicate;
#[cfg(test)]
mod deduplicate_tests;
mod failing;
mod filter;
mod final_aggregate;
mod flat_map;
mod foreign_result;
mod foreign_side;
mod global;
mod late_rows;
mod lookup;
mod partial_aggregate;
mod peek;
mod portion;
mod process;
#[cfg(test)]
mod process_tests;
mod project;
mod ranks;
#[cfg(test)]
mod ranks_tests;
mod repartition;
mod session_came;
mod session_final;
mod session_links;
mod session_partial;
mod session_work;
mod shipper;
mod signed;
#[cfg(test)]
mod signed_tests;
mod sink;
mod sliding_final;
mod sliding_windows;
mod stored;
mod stream_join;
#[cfg(test)]
mod stream_join_tests;
mod subscriber;
mod suppress;
#[cfg(test)]
mod table_error_tests;
mod table_final;
mod table_join;
mod table_map;
mod table_partial;
mod table_sides;
#[cfg(test)]
mod table_tests;
mod tables;
mod to_table;
mod typed;
mod unavailable;
mod versioned_lookup;
mod versions;
mod watermark;
mod window_final;
mod window_judge;
mod window_partial;

pub(crate) use changes::pair_schema;
pub(crate) use deduplicate::Deduplicate;
pub(crate) use foreign_result::ForeignResult;
pub(crate) use foreign_side::ForeignSide;
pub(crate) use global::{GlobalView, SharedView};
pub(crate) use lookup::Lookup;
pub(crate) use process::Process;
pub(crate) use ranks::Ranks;
pub(crate) use session_final::SessionFinal;
pub(crate) use session_partial::SessionPartial;
pub(crate) use signed::{SignedFinal, SignedPartial};
pub(crate) use sliding_final::SlidingFinal;
pub(crate) use stored::{Asked, KeyRange, StepStore, StoreKind};
pub(crate) use stream_join::StreamJoin;
pub(crate) use subscriber::Subscriber;
pub(crate) use suppress::Suppress;
pub(crate) use table_join::TableJoin;
pub(crate) use table_map::TableMap;
pub(crate) use tables::{Seen, Tables};
pub(crate) use versioned_lookup::VersionedLookup;
pub(crate) use versions::Versions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use thiserror::Error;

use crate::aggregate::{Delta, UpdateError};
use crate::format::{FormatError, RecordBytes};
use crate::plan::{ErrorPolicy, Pace, StepKind};
use crate::rows::{EventTime, Rows};
use crate::sink::{RecordBuffer, SinkError};
use crate::state::{Owner, OwnerNames, RowStoreError, StateError, StateMemory, WindowError};
use crate::store::LocalStore;
use crate::time::{TaskClock, Watermark};
use crate::typed::ClosureError;

/// A running step.
pub(crate) trait Operator: Send {
    /// Takes rows; what follows from it at once goes to `out`. An error [of rows](OperatorError::is_of_rows) leaves the step as it
    /// was, so that a part of them may be tried again.
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError>;

    /// Takes rows at input number `port`, for steps that have several.
    fn process_at(&mut self, port: u8, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        debug_assert_eq!(port, 0, "a step with one input");
        self.process(rows, out)
    }

    /// The epoch ends; what was held back for it goes to `out`.
    fn end_epoch(&mut self, _out: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// Whether more follows from what the step was told last. If so, it is [asked for it](Operator::go_on) until nothing does, before
    /// it is told anything else; the steps below have worked on each part before the next one is made.
    fn has_more(&self) -> bool {
        false
    }

    /// Gives the next part of what follows to `out`.
    fn go_on(&mut self, _out: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// The rows of `keys`, each there once, in the table that the step keeps. `tables` are those that it reads itself. See
    /// [`Tables::look_up`].
    fn look_up(&mut self, _keys: &[ArrayRef], _tables: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        unreachable!("the plan has only steps with tables read");
    }

    /// The rows that the table, which keeps versions, had for some of `keys`, each there once, at some times: for each of `asked` the number of
    /// the key, and the time. Answers the first of them, at least one, and no more than are one batch. See [`Tables::look_up_at`].
    fn look_up_at(
        &mut self,
        _keys: &[ArrayRef],
        _asked: &[(usize, EventTime)],
    ) -> Result<Seen, OperatorError> {
        unreachable!("the plan has only tables with versions asked for them");
    }

    /// What the step says of keys to somebody outside of the job, between two epochs, where it is `settled` in event time; see
    /// [`StoreKind::schema`].
    fn answer(&mut self, _asked: &Asked, _settled: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        unreachable!("only stores that the plan knows are asked");
    }

    /// Takes a record of the step's changelog, before the first batch.
    fn restore(&mut self, _key: Option<&[u8]>, _value: Option<&[u8]>) -> Result<(), OperatorError> {
        Ok(())
    }

    /// The changelog ends.
    fn end_restore(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }

    /// The local store of the step's changelog. What an epoch published is there once it is committed, before the next one begins.
    fn attach(&mut self, _store: &LocalStore) {}

    /// The step goes on with its state after others may have held it.
    fn belongs_to(&mut self, _owner: Owner) {}

    /// Whether states of a checkpoint are still wanted in memory; if not, the step looks up in its store what it needs.
    fn takes_more(&mut self) -> bool {
        true
    }

    /// None of the states of a checkpoint is brought into memory: the step looks up in its store what it needs. Says whether it can.
    fn takes_none(&mut self) -> bool {
        false
    }

    /// Whether the epoch has touched as many keys as memory has room for, so that it should end.
    fn is_full(&self) -> bool {
        false
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
    /// How the clock goes with the rows of each of the step's inputs.
    pub(crate) paces: &'a [Pace],
    /// The tables that the step reads.
    pub(crate) tables: Tables<'a>,
    /// Epochs may be repeated, or lost, in part: what was told then is not known.
    pub(crate) repeats: bool,
    /// Rows that came too late.
    pub(crate) late_rows: u64,
    /// Rows that the step could not work on.
    pub(crate) failed: Vec<FailedRow>,
}

/// A row that a step could not work on; its policy says what becomes of it.
pub(crate) struct FailedRow {
    /// Which of the closures that the step is made of; 0 if it is not.
    pub(crate) part: usize,
    pub(crate) row: FailedContent,
    pub(crate) cause: OperatorError,
}

/// What is left of a row that failed.
pub(crate) enum FailedContent {
    /// The row itself: a batch of one.
    Row(Rows),
    /// The record that it would have become, without a destination.
    Record(RecordBuffer),
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

    /// The watermark by which rows at input number `port` are late, besides those that they bring themselves. What a step forgets as
    /// of this one at the end of an epoch, no row asks for that is in time.
    pub(crate) fn judged_from(&self, port: u8) -> Watermark {
        match self.paces[usize::from(port)] {
            Pace::Log => self.watermark(),
            Pace::Epoch => self.settled(),
        }
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

/// What a record of rows takes besides the batch of them, at most: as a record, for its header, its key, and what says which part of what
/// it is.
const ROWS_OVERHEAD: usize = 256;

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
    /// Bytes of one shuffled record; well below the brokers' `message.max.bytes`. One row alone may take more, up to that.
    pub(crate) shuffle_record_bytes_max: usize,
    /// Bytes of output records gathered before they go to the client.
    pub(crate) output_bytes_max: usize,
    /// Late rows held before they are shipped within the epoch.
    pub(crate) late_rows_max: usize,
    /// Bytes of one output record: the producer's `message.max.bytes`.
    pub(crate) record_bytes_max: usize,
}

impl Limits {
    /// What records of rows as they are may take.
    pub(crate) fn rows_bytes_max(&self) -> RecordBytes {
        let row = self.record_bytes_max.saturating_sub(ROWS_OVERHEAD);
        RecordBytes {
            piece: self.shuffle_record_bytes_max.min(row),
            row,
        }
    }

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
            record_bytes_max: 1_000_000,
        }
    }
}

/// What steps need to know of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) limits: Limits,
    /// Partition counts of the repartition topics.
    pub(crate) partitions: HashMap<Arc<str>, usize>,
    /// The memory for states.
    pub(crate) memory: Arc<StateMemory>,
    /// How many tasks each sub-topology has, by its number.
    pub(crate) tasks: HashMap<usize, usize>,
    /// What becomes of errors where the job does not say it.
    pub(crate) on_error: Option<ErrorPolicy>,
    pub(crate) errors: Arc<ErrorCounters>,
    pub(crate) owners: Arc<OwnerNames>,
    /// The global tables, by their numbers.
    pub(crate) globals: Vec<SharedView>,
    /// Epochs may be repeated, or lost, in part.
    pub(crate) repeats: bool,
    /// Nobody reads what steps write.
    pub(crate) is_silent: bool,
}

/// Rows and records that were not worked on, by all tasks of a process.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounters {
    pub(crate) skipped: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    /// Those of the dead letters that were too large as they were.
    pub(crate) truncated: AtomicU64,
}

/// A step that failed on a batch.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// An expression failed on rows.
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
    /// An aggregate failed in the middle of a batch, so that its state is of no more use.
    #[error("the aggregate failed: {}", .0.strip_backtrace())]
    Aggregate(#[source] Box<DataFusionError>),
    /// A record that is larger than the producer takes.
    #[error(
        "a record for {topic} takes {bytes} bytes, message.max.bytes is {bytes_max}; raise it on the producer and the topic, or \
         give to({topic:?}, …) a policy with on_error"
    )]
    RecordTooLarge {
        /// The output topic.
        topic: Arc<str>,
        /// What the record takes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A row that a step would have to keep, and that is larger than a record of its changelog may be.
    #[error(
        "a row with the key {key} takes {bytes} bytes in {changelog}, whose records take at most {bytes_max}; raise message.max.bytes of the \
         producer and max.message.bytes of the topic, leave out columns that nobody needs with select(…) above this step, or give it a policy \
         with on_error"
    )]
    RowTooLarge {
        /// The changelog.
        changelog: Arc<str>,
        /// The key, as text.
        key: String,
        /// What the row takes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A global table whose reader panicked, so that what it has is not known.
    #[error(
        "a global table cannot be read any more, because a thread panicked in the middle of a change; its error says why"
    )]
    GlobalTable,
    /// A closure failed.
    #[error(transparent)]
    Closure(#[from] ClosureError),
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

impl From<RowStoreError> for OperatorError {
    fn from(error: RowStoreError) -> Self {
        match error {
            RowStoreError::State(cause) => cause.into(),
            RowStoreError::Table(cause) => cause.into(),
        }
    }
}

impl From<WindowError> for OperatorError {
    fn from(error: WindowError) -> Self {
        match error {
            WindowError::Format(cause) => cause.into(),
            WindowError::State(cause) => cause.into(),
            WindowError::Merge(cause) => Self::Aggregate(Box::new(cause)),
        }
    }
}

impl OperatorError {
    /// An expression that failed before the step did anything with its rows.
    pub(crate) fn of_rows(cause: DataFusionError) -> Self {
        Self::Expression(Box::new(cause))
    }

    /// Whether single rows are to blame, so that the others can go on.
    pub(crate) fn is_of_rows(&self) -> bool {
        matches!(
            self,
            Self::Expression(_)
                | Self::RecordTooLarge { .. }
                | Self::RowTooLarge { .. }
                | Self::Format(FormatError::Unwritable { .. })
        )
    }

    /// The error's name, for the header of a dead letter.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Expression(_) => "ExpressionError",
            Self::RecordTooLarge { .. } | Self::RowTooLarge { .. } => "RecordTooLargeError",
            Self::Format(FormatError::Unwritable { .. }) => "SerializationError",
            Self::Closure(_) => "ClosureError",
            _ => "OperatorError",
        }
    }
}

impl From<UpdateError> for OperatorError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Rows(cause) => Self::of_rows(cause),
            UpdateError::State(cause) => cause.into(),
        }
    }
}

impl From<DataFusionError> for OperatorError {
    /// For an error that is not known to leave the step as it was: rows that are tried again might count twice.
    fn from(cause: DataFusionError) -> Self {
        Self::Aggregate(Box::new(cause))
    }
}

/// Where a step runs.
pub(crate) struct Place<'a> {
    /// The partition number of the task.
    pub(crate) partition: i32,
    pub(crate) near: &'a Surroundings,
}

impl Place<'_> {
    /// How many partitions a repartition topic has.
    pub(crate) fn partitions_of(&self, topic: &Arc<str>) -> usize {
        self.near.partitions.get(topic).copied().unwrap_or(1)
    }
}

/// The running form of a step.
pub(crate) fn new_operator(kind: &StepKind, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
    let &Place { partition, near } = place;
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
            place.partitions_of(topic),
            near.limits.clone(),
        )?),
        StepKind::FinalAggregate {
            spec,
            changelog,
            changes_used,
        } => Box::new(final_aggregate::FinalAggregate::new(
            Arc::clone(spec),
            Arc::clone(changelog),
            place,
            *changes_used,
        )?),
        StepKind::Peek { see } => Box::new(peek::Peek::new(see.clone())),
        StepKind::Typed { run, .. } => Box::new(typed::Typed::new(Arc::clone(&run.0))),
        StepKind::Repartition(plan) => Box::new(repartition::Repartition::new(
            plan,
            place.partitions_of(&plan.topic),
            near.limits.clone(),
        )),
        StepKind::ToTable(plan) => Box::new(to_table::ToTable::new(plan, partition, near)?),
        StepKind::TablePartial(plan) => Box::new(table_partial::TablePartial::new(
            plan,
            place.partitions_of(&plan.topic),
            near.limits.clone(),
        )),
        StepKind::TableFinal(plan) => Box::new(table_final::TableFinal::new(plan, partition, near)?),
        StepKind::Keyed(plan) => plan.operator(place)?,
        StepKind::Watermark(plan) => Box::new(watermark::Watermark::new(plan.clone())),
        StepKind::WindowPartial(plan) => Box::new(window_partial::WindowPartial::new(
            plan,
            place.partitions_of(&plan.topic),
            near.limits.clone(),
        )?),
        StepKind::WindowJudge(plan) => Box::new(window_judge::WindowJudge::new(plan.clone())?),
        StepKind::WindowFinal(plan) => Box::new(window_final::WindowFinal::new(
            plan,
            partition,
            near.limits.shuffle_record_bytes_max,
            &near.memory,
            near.owners.next(),
        )?),
        StepKind::Sink { topic, format, rows } => Box::new(sink::SinkStep::new(
            Arc::clone(topic),
            format.clone(),
            *rows,
            &near.limits,
        )?),
    })
}
