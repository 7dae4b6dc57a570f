//! What one epoch changes: keys, and one accumulator an aggregate.
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::{DataFusionError, Result};

use super::{AggregateSpec, EmitTo, GroupValues, GroupsAccumulator};
use crate::rows::{EventTime, NO_TIME, Rows};

/// Rows or partial states by key, until the epoch ends.
pub(crate) struct Delta {
    spec: Arc<AggregateSpec>,
    keys: Box<dyn GroupValues>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The latest event time of each group.
    times: Vec<EventTime>,
    /// The group of each row of the current batch; kept to save its allocation.
    groups: Vec<usize>,
}

/// Rows that could not be added.
#[derive(Debug)]
pub(crate) enum UpdateError {
    /// A key or an argument cannot be evaluated; nothing was added.
    Rows(DataFusionError),
    /// An accumulator failed; the delta is of no more use.
    State(DataFusionError),
}

impl Delta {
    pub(crate) fn new(spec: Arc<AggregateSpec>) -> Result<Self> {
        let keys = spec.new_keys()?;
        let accumulators = spec.new_accumulators()?;
        Ok(Self {
            spec,
            keys,
            accumulators,
            times: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// How many keys the epoch has touched.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Roughly the memory in use.
    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.size()
            + self
                .accumulators
                .iter()
                .map(|accumulator| accumulator.size())
                .sum::<usize>()
            + self.times.capacity() * size_of::<EventTime>()
    }

    /// Adds a batch of rows.
    pub(crate) fn update(&mut self, rows: &Rows) -> Result<(), UpdateError> {
        // What may fail because of a row comes first, and changes nothing.
        let keys = self.spec.evaluate_keys(&rows.batch).map_err(UpdateError::Rows)?;
        let arguments = self.spec.evaluate_arguments(&rows.batch);
        let arguments = arguments.map_err(UpdateError::Rows)?;
        let interned = self.keys.intern(&keys, &mut self.groups);
        interned.map_err(UpdateError::State)?;
        self.note_times(rows.times());
        self.spec
            .update(&mut self.accumulators, &arguments, &self.groups, self.keys.len())
            .map_err(UpdateError::State)
    }

    /// Keeps the latest time of each group.
    fn note_times(&mut self, times: &[EventTime]) {
        self.times.resize(self.keys.len(), NO_TIME);
        for (group, time) in self.groups.iter().zip(times) {
            let latest = &mut self.times[*group];
            *latest = (*latest).max(*time);
        }
    }

    /// Adds a batch of partial states.
    pub(crate) fn merge(&mut self, states: &RecordBatch) -> Result<()> {
        let (keys, states) = states.columns().split_at(self.spec.key_count());
        self.keys.intern(keys, &mut self.groups)?;
        if let Some(times) = states.last() {
            self.note_times(times.as_primitive::<Int64Type>().values());
        }
        self.spec
            .merge(&mut self.accumulators, states, &self.groups, self.keys.len())
    }

    /// The partial state of every touched key, each once; the delta is empty afterwards.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        // Fresh ones for the next epoch: a `GroupValues` of several columns that has emitted everything still has its hash table
        // pointing at the values that are gone.
        let mut keys = std::mem::replace(&mut self.keys, self.spec.new_keys()?);
        let accumulators = std::mem::replace(&mut self.accumulators, self.spec.new_accumulators()?);
        let mut columns = keys.emit(EmitTo::All)?;
        for mut accumulator in accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        columns.push(Arc::new(Int64Array::from(std::mem::take(&mut self.times))));
        Ok(Some(RecordBatch::try_new(self.spec.state_schema(), columns)?))
    }
}
