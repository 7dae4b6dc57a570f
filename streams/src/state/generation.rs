//! Keys that came into memory at about the same time, with their partial states.
use arrow::array::ArrayRef;
use datafusion::common::Result;

use super::column::{StateColumn, new_column};
use crate::aggregate::{AggregateSpec, EmitTo, GroupValues};

/// Keys interned once, and one growing vector a state column. Single keys cannot be removed, only all of them.
pub(super) struct Generation {
    keys: Box<dyn GroupValues>,
    columns: Vec<Box<dyn StateColumn>>,
    /// The keys with states; those behind were only asked for.
    filled: usize,
}

impl Generation {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self> {
        let schema = spec.state_schema();
        let states = schema.fields().iter().skip(spec.key_count());
        Ok(Self {
            keys: spec.new_keys()?,
            columns: states.map(|field| new_column(field.data_type())).collect(),
            filled: 0,
        })
    }

    /// How many keys have a state.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// Roughly the memory in use.
    pub(super) fn size_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.size_bytes());
        self.keys.size() + columns.sum::<usize>()
    }

    /// The number of each key, in `groups`; those below [`len`](Self::len) have a state.
    pub(super) fn find(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        self.keys.intern(keys, groups)
    }

    /// The states at `groups`.
    pub(super) fn gather(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|column| column.gather(groups)).collect()
    }

    /// The columns of all keys and their states. None may only have been asked for.
    pub(super) fn into_columns(mut self) -> Result<Vec<ArrayRef>> {
        let every_key: Vec<usize> = (0..self.filled).collect();
        let states = self.gather(&every_key)?;
        let mut columns = self.keys.emit(EmitTo::All)?;
        columns.extend(states);
        Ok(columns)
    }

    /// Sets the states at `groups`, which are all that were found and have none yet, and any others.
    pub(super) fn set(&mut self, groups: &[usize], states: &[ArrayRef]) -> Result<()> {
        for (column, state) in self.columns.iter_mut().zip(states) {
            column.scatter(groups, state)?;
        }
        self.filled = self.keys.len();
        Ok(())
    }
}
