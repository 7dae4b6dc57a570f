//! What a step's store says to those who ask for it from outside the job.
//!
//! A store has rows in the form of its changelog: partial states, sums, members. [`StoreKind::results`] makes of them what the step says
//! of its keys, so that whoever has read them from a local store needs no task.
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, DynComparator, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::{OperatorError, ranks, signed, table_final, to_table};
use crate::aggregate::AggregateSpec;
use crate::plan::{RanksPlan, SignedFinalPlan, TableFinal, ToTable, WindowFinal};
use crate::rows::EventTime;

/// What is asked of a step between two epochs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// A key, a row of as many columns; all keys if there is none.
    pub(crate) key: Option<Vec<ArrayRef>>,
    /// Between which others keys lie, if all are asked for; only windows look at it, whoever asks does for the rest.
    pub(crate) range: KeyRange,
    /// When windows begin.
    pub(crate) windows: Range<EventTime>,
    /// No more windows are looked at once so many rows were found.
    pub(crate) rows_max: usize,
    /// Nor once nobody waits for the answer any more, if that is ever so.
    pub(crate) until: Option<Instant>,
}

impl Asked {
    /// Nobody waits for the answer any more.
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Rows whose keys lie between two others, both included. Each has the first columns of a key, all or fewer, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyRange {
    pub(crate) from: Vec<ArrayRef>,
    pub(crate) to: Vec<ArrayRef>,
}

impl KeyRange {
    /// Which rows are inside, by their first columns. Nulls come before everything else.
    pub(crate) fn keep(&self, rows: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let compare = |bound: &[ArrayRef]| {
            let columns = bound.iter().zip(rows.columns());
            let compared =
                columns.map(|(bound, column)| make_comparator(column, bound, SortOptions::default()));
            compared.collect::<Result<Vec<_>, _>>()
        };
        let (from, to) = (compare(&self.from)?, compare(&self.to)?);
        let order = |bound: &[DynComparator], row| {
            let unequal = bound.iter().map(|column| column(row, 0));
            unequal
                .into_iter()
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        let inside = |row| order(&from, row).is_ge() && order(&to, row).is_le();
        Ok((0..rows.num_rows()).map(|row| Some(inside(row))).collect())
    }

    /// Those of the rows that are inside.
    pub(crate) fn filter(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match self.from.is_empty() && self.to.is_empty() {
            true => Ok(rows),
            false => filter_record_batch(&rows, &self.keep(&rows)?),
        }
    }
}

/// A store and the step that takes its rows apart, if one does.
#[derive(Debug, Clone)]
pub(crate) struct StepStore {
    pub(crate) kind: StoreKind,
    pub(crate) ranks: Option<RanksPlan>,
}

impl StepStore {
    /// The columns of its rows: those of the key first.
    pub(crate) fn schema(&self) -> SchemaRef {
        match &self.ranks {
            Some(ranks) => Arc::clone(&ranks.schema),
            None => self.kind.schema(),
        }
    }

    /// The rows of what the step says of keys.
    pub(crate) fn rows(&self, said: RecordBatch) -> Result<RecordBatch, OperatorError> {
        match &self.ranks {
            Some(ranks) => ranks::apart(ranks, &said),
            None => Ok(said),
        }
    }
}

/// A store that can be asked, by what its step does.
#[derive(Debug, Clone)]
pub(crate) enum StoreKind {
    /// Partial states by key.
    Aggregate(Arc<AggregateSpec>),
    /// Rows by key.
    Rows(ToTable),
    /// Sums by group.
    Signed(SignedFinalPlan),
    /// Members by group.
    Groups(TableFinal),
    /// Windows, each with its keys.
    Windows(WindowFinal),
}

impl StoreKind {
    /// What the step says of a key: its columns, then the others.
    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Aggregate(spec) => spec.output_schema(),
            Self::Rows(plan) => Arc::clone(&plan.schema),
            Self::Signed(plan) => plan.results.output_schema(),
            Self::Groups(plan) => plan.spec.output_schema(),
            Self::Windows(plan) => Arc::clone(&plan.output),
        }
    }

    /// How many of the first columns are the key. A window's bounds come behind it.
    pub(crate) fn key_count(&self) -> usize {
        match self {
            Self::Aggregate(spec) => spec.key_count(),
            Self::Rows(plan) => plan.keys,
            Self::Signed(plan) => plan.results.key_count(),
            Self::Groups(plan) => plan.groups,
            Self::Windows(plan) => plan.windowed.spec.key_count() - 1,
        }
    }

    /// The columns of the changelog, and how many of them are its key; none if it has another form.
    pub(crate) fn stored(&self) -> Option<(SchemaRef, usize)> {
        match self {
            Self::Aggregate(spec) => Some((spec.state_schema(), spec.key_count())),
            Self::Rows(plan) => Some((to_table::stored_schema(plan), plan.keys)),
            Self::Signed(plan) => Some((signed::stored_schema(plan), plan.sums.key_count())),
            Self::Groups(plan) => Some((table_final::stored_schema(plan), plan.member_keys())),
            Self::Windows(_) => None,
        }
    }

    /// What the step says of stored rows. Groups must have all of their members.
    pub(crate) fn results(&self, stored: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        match self {
            Self::Aggregate(spec) => Ok(spec.results(stored)?),
            Self::Rows(plan) => {
                let columns = stored.columns()[..plan.schema.fields().len()].to_vec();
                Ok(RecordBatch::try_new(Arc::clone(&plan.schema), columns)?)
            }
            Self::Signed(plan) => signed::results_of_stored(plan, stored),
            Self::Groups(plan) => table_final::results_of_stored(plan, stored),
            Self::Windows(_) => unreachable!("windows are asked through their task"),
        }
    }
}
