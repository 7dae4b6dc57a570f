//! Keys that came into memory at about the same time, with their partial states.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use datafusion::common::Result;

use super::column::{StateColumn, new_column};
use crate::aggregate::{AggregateSpec, EmitTo, GroupValues};

/// Keys without a state that are kept at least before the generation is made anew without them.
const MISSES_MIN: usize = 4096;

/// Keys interned once, and one growing vector a state column. Single keys cannot be removed, only all of them.
pub(super) struct Generation {
    spec: Arc<AggregateSpec>,
    keys: Box<dyn GroupValues>,
    columns: Vec<Box<dyn StateColumn>>,
    /// Whether each key has a state; the others were only asked for.
    has: Vec<bool>,
    /// How many have.
    filled: usize,
}

impl Generation {
    pub(super) fn new(spec: &Arc<AggregateSpec>) -> Result<Self> {
        let schema = spec.state_schema();
        let states = schema.fields().iter().skip(spec.key_count());
        Ok(Self {
            keys: spec.new_keys()?,
            columns: states.map(|field| new_column(field.data_type())).collect(),
            has: Vec::new(),
            filled: 0,
            spec: Arc::clone(spec),
        })
    }

    /// How many keys have a state.
    pub(super) fn len(&self) -> usize {
        self.filled
    }

    /// Roughly the memory in use.
    pub(super) fn size_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.size_bytes());
        self.keys.size() + columns.sum::<usize>() + self.has.capacity()
    }

    /// The number of each key, in `groups`, whether it [has](Self::has) a state or not.
    pub(super) fn find(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        self.keys.intern(keys, groups)?;
        self.has.resize(self.keys.len(), false);
        Ok(())
    }

    /// Whether a key has a state.
    pub(super) fn has(&self, group: usize) -> bool {
        self.has[group]
    }

    /// The states at `groups`, which have one.
    pub(super) fn gather(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|column| column.gather(groups)).collect()
    }

    /// The columns of all keys and their states.
    pub(super) fn into_columns(mut self) -> Result<Vec<ArrayRef>> {
        let (mut columns, states) = self.emit()?;
        columns.extend(states);
        Ok(columns)
    }

    /// Sets the states at `groups`.
    pub(super) fn set(&mut self, groups: &[usize], states: &[ArrayRef]) -> Result<()> {
        for (column, state) in self.columns.iter_mut().zip(states) {
            column.scatter(groups, state)?;
        }
        for group in groups {
            self.filled += usize::from(!std::mem::replace(&mut self.has[*group], true));
        }
        Ok(())
    }

    /// Makes the generation anew if most of its keys were only asked for.
    pub(super) fn forget_misses(&mut self) -> Result<()> {
        if self.has.len() - self.filled < MISSES_MIN.max(self.filled) {
            return Ok(());
        }
        let left = match self.filled {
            0 => None,
            _ => Some(self.emit()?),
        };
        *self = Self::new(&self.spec)?;
        let Some((keys, states)) = left else {
            return Ok(());
        };
        let mut groups = Vec::new();
        self.find(&keys, &mut groups)?;
        self.set(&groups, &states)
    }

    /// The keys that have a state, of which there are some, and their states; the keys are gone.
    fn emit(&mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let filled: Vec<usize> = (0..self.has.len()).filter(|group| self.has[*group]).collect();
        let states = self.gather(&filled)?;
        let mut keys = self.keys.emit(EmitTo::All)?;
        if filled.len() < self.has.len() {
            let flags = BooleanArray::from(std::mem::take(&mut self.has));
            let kept = keys.iter().map(|key| filter(key, &flags));
            keys = kept.collect::<std::result::Result<_, _>>()?;
        }
        Ok((keys, states))
    }
}
