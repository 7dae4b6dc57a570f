//! Tables as other steps of the same task read them.
//!
//! A task runs one step at a time, and a table's step comes before those that read it: so who runs is handed the steps before it,
//! and nothing is shared or locked.
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::{Operator, OperatorError};
use crate::plan::{Step, StepId};
use crate::rows::{EventTime, NO_TIME};

/// The rows of a table for the keys that were asked for.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether there is a row.
    pub(crate) there: Vec<bool>,
    /// The columns behind the keys, null where there is no row.
    pub(crate) values: Vec<ArrayRef>,
    /// When each row came, or [`NO_TIME`].
    pub(crate) times: Int64Array,
}

impl Seen {
    /// `times` is a column of 64-bit integers, null where there is no row.
    pub(super) fn new(there: Vec<bool>, values: Vec<ArrayRef>, times: &ArrayRef) -> Self {
        let times = times.as_primitive::<Int64Type>();
        let times = match times.null_count() {
            0 => times.clone(),
            _ => times.iter().map(|time| time.unwrap_or(NO_TIME)).collect(),
        };
        Self { there, values, times }
    }
}

/// The tables that a step reads.
pub(crate) struct Tables<'a> {
    above: &'a mut [Box<dyn Operator>],
    steps: &'a [Step],
    reads: &'a [StepId],
}

impl<'a> Tables<'a> {
    /// Those of step number `step`; `above` are the operators before it.
    pub(crate) fn of(step: usize, steps: &'a [Step], above: &'a mut [Box<dyn Operator>]) -> Self {
        let reads = &steps[step].tables;
        Self { above, steps, reads }
    }

    /// The rows of `keys`, each there once, in table number `number` of those that the step reads. At the end of an epoch they
    /// are what that epoch has made of them; before, what the last one did.
    pub(crate) fn look_up(&mut self, number: usize, keys: &[ArrayRef]) -> Result<Seen, OperatorError> {
        let StepId(table) = self.reads[number];
        let (above, rest) = self.above.split_at_mut(table);
        rest[0].look_up(keys, &mut Tables::of(table, self.steps, above))
    }

    /// What table number `number`, which keeps versions, had for some of `keys`, each there once, at some times: for each of `asked` the
    /// number of the key, and the time. Answers as many of the first of them as are one batch, at least one. As of the same moment as [`look_up`](Self::look_up).
    pub(super) fn look_up_at(
        &mut self,
        number: usize,
        keys: &[ArrayRef],
        asked: &[(usize, EventTime)],
    ) -> Result<Seen, OperatorError> {
        let StepId(table) = self.reads[number];
        self.above[table].look_up_at(keys, asked)
    }
}
