//! What the plan and the task have to know of a step, whatever it does.
use std::sync::Arc;

use super::StepKind;
use crate::operator::StoreKind;

impl StepKind {
    /// The repartition topic that the step writes.
    pub(crate) fn repartition_topic(&self) -> Option<&Arc<str>> {
        match self {
            Self::PartialAggregate { topic, .. } => Some(topic),
            Self::WindowPartial(window) => Some(&window.topic),
            Self::Repartition(repartition) => Some(&repartition.topic),
            Self::TablePartial(table) => Some(&table.topic),
            Self::Keyed(plan) => plan.repartition_topic(),
            _ => None,
        }
    }

    /// The changelog of the step's state.
    pub(crate) fn changelog(&self) -> Option<&Arc<str>> {
        match self {
            Self::FinalAggregate { changelog, .. } => Some(changelog),
            Self::WindowFinal(window) => Some(&window.changelog),
            Self::Keyed(plan) => plan.changelog(),
            Self::ToTable(table) => Some(&table.changelog),
            Self::TableFinal(table) => Some(&table.changelog),
            _ => None,
        }
    }

    /// Whether the changelog, if there is one, has the rows of the step's table.
    pub(crate) fn keeps_rows(&self) -> bool {
        match self {
            Self::Keyed(plan) => plan.keeps_rows(),
            _ => true,
        }
    }

    /// The step's state, if it can be asked for from outside the job.
    pub(crate) fn store(&self) -> Option<StoreKind> {
        match self {
            Self::FinalAggregate { spec, .. } => Some(StoreKind::Aggregate(Arc::clone(spec))),
            Self::WindowFinal(window) => Some(StoreKind::Windows(window.clone())),
            Self::ToTable(table) => Some(StoreKind::Rows(table.clone())),
            Self::TableFinal(table) => Some(StoreKind::Groups(table.clone())),
            Self::Keyed(plan) => plan.store(),
            _ => None,
        }
    }

    /// Whether what the step does hangs on how far event time is.
    pub(crate) fn waits_for_time(&self) -> bool {
        match self {
            Self::WindowPartial(_) | Self::WindowJudge(_) | Self::WindowFinal(_) => true,
            Self::Keyed(plan) => plan.waits_for_time(),
            _ => false,
        }
    }

    /// Whether rows at `port` have a part in the event time of what the step does and emits.
    pub(crate) fn is_timed(&self, port: u8) -> bool {
        match self {
            Self::Keyed(plan) => plan.is_timed(port),
            _ => true,
        }
    }

    /// Whether what comes of a row goes on before the next row, and not at the end of the epoch.
    pub(crate) fn passes_on_at_once(&self) -> bool {
        match self {
            Self::FlatMap { .. }
            | Self::Filter { .. }
            | Self::Branch { .. }
            | Self::Project { .. }
            | Self::Peek { .. }
            | Self::Typed { .. }
            | Self::Watermark(_)
            | Self::WindowJudge(_) => true,
            Self::Keyed(plan) => plan.passes_on_at_once(),
            _ => false,
        }
    }

    /// How many outputs the step has.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Branch { predicates } => predicates.len() + 1,
            Self::Typed { outputs, .. } => *outputs,
            Self::WindowJudge(_) => 2,
            // Rows, changes, deletions.
            Self::ToTable(_) | Self::TableFinal(_) => 3,
            Self::FinalAggregate { .. } => 2,
            Self::Keyed(plan) => plan.outputs(),
            Self::Sink { .. }
            | Self::PartialAggregate { .. }
            | Self::WindowPartial(_)
            | Self::TablePartial(_)
            | Self::Repartition(_) => 0,
            _ => 1,
        }
    }
}
