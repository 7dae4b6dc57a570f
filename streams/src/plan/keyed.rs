//! Steps that are files of their own: what the plan, the description and the task have to know of them, and no more.
//!
//! A call of the DSL adds a [`NodePlan`]; when the plan is built, it makes steps of it, each a [`StepPlan`]; a task
//! makes an operator of each.
use std::fmt;
use std::sync::Arc;

use super::build::{Builder, Output};
use super::{NodeId, PlanError, RanksPlan};
use crate::operator::{Operator, OperatorError, Place, StoreKind};

/// What a call of the DSL asked for.
pub(crate) trait NodePlan: fmt::Debug + Send + Sync {
    /// Hangs its steps below `inputs`; gives what comes out of them.
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError>;

    /// Whether its inputs are not seen by the user, so that their errors are its own.
    fn is_one_with_its_inputs(&self) -> bool {
        false
    }

    /// The inputs, by their numbers, that are tables in which its steps look rows up; `is_looked_up` if others look up in what it makes.
    fn looks_up(&self, _is_looked_up: bool) -> &'static [usize] {
        &[]
    }
}

/// What a step does.
pub(crate) trait StepPlan: fmt::Debug + Send + Sync {
    /// The changelog of the step's state.
    fn changelog(&self) -> Option<&Arc<str>> {
        None
    }

    /// The repartition topic that the step writes.
    fn repartition_topic(&self) -> Option<&Arc<str>> {
        None
    }

    /// How many outputs the step has.
    fn outputs(&self) -> usize {
        1
    }

    /// Somebody takes what changes in the table that the step keeps.
    fn use_changes(&mut self) {}

    /// Whether what the step does hangs on how far event time is.
    fn waits_for_time(&self) -> bool {
        false
    }

    /// Whether the changelog has the rows of the step's table. Else it has only changes, and the rows are those of the table above.
    fn keeps_rows(&self) -> bool {
        true
    }

    /// Whether it takes back what rows of a table contributed.
    fn takes_back(&self) -> bool {
        false
    }

    /// How far behind event time versions of the table's rows may be asked for, if it keeps them.
    fn history_ms(&self) -> Option<i64> {
        None
    }

    /// Whether rows at input number `port` have a part in event time. Those that only change a table which other rows look up have
    /// none, and hold nothing back.
    fn is_timed(&self, _port: u8) -> bool {
        true
    }

    /// Whether rows at input number `port` should not come before the tables that the step reads are whole.
    fn waits_for_tables(&self, _port: u8) -> bool {
        false
    }

    /// Whether what comes of a row goes on before the next row, and not at the end of the epoch.
    fn passes_on_at_once(&self) -> bool {
        false
    }

    /// The step's state, if it can be asked for from outside the job.
    fn store(&self) -> Option<StoreKind> {
        None
    }

    /// How it takes the rows of the store above it apart, if it does.
    fn takes_apart(&self) -> Option<&RanksPlan> {
        None
    }

    /// Its running form.
    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError>;
}
