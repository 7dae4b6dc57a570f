//! What one epoch changes: keys, and one accumulator an aggregate.
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::{AggregateSpec, EmitTo, GroupValues, GroupsAccumulator};

/// Rows or partial states by key, until the epoch ends.
pub(crate) struct Delta {
    spec: Arc<AggregateSpec>,
    keys: Box<dyn GroupValues>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of the current batch; kept to save its allocation.
    groups: Vec<usize>,
}

impl Delta {
    pub(crate) fn new(spec: Arc<AggregateSpec>) -> Result<Self> {
        let keys = spec.new_keys()?;
        let accumulators = spec.new_accumulators()?;
        Ok(Self {
            spec,
            keys,
            accumulators,
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
    }

    /// Adds a batch of rows.
    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = self.spec.evaluate_keys(batch)?;
        self.keys.intern(&keys, &mut self.groups)?;
        self.spec
            .update(&mut self.accumulators, batch, &self.groups, self.keys.len())
    }

    /// Adds a batch of partial states.
    pub(crate) fn merge(&mut self, states: &RecordBatch) -> Result<()> {
        let (keys, states) = states.columns().split_at(self.spec.key_count());
        self.keys.intern(keys, &mut self.groups)?;
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
        Ok(Some(RecordBatch::try_new(self.spec.state_schema(), columns)?))
    }
}
