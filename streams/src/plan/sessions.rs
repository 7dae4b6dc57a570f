//! Aggregates by key and session: one half before the repartition topic, one behind it.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::build::{Builder, From, Output};
use super::windows::AskedWindows;
use super::{PlanError, Side, StepKind, StepPlan, WindowedSpec};
use crate::format::ShuffledRows;
use crate::operator::{Operator, OperatorError, Place, SessionFinal, SessionPartial};
use crate::window::Emit;

/// Before the repartition topic.
#[derive(Debug, Clone)]
pub(crate) struct SessionPartialPlan {
    /// Its last key column is where the session begins.
    pub(crate) windowed: WindowedSpec,
    pub(crate) topic: Arc<str>,
    /// The form in which rows travel of which the sessions say whether they are late.
    pub(crate) rows: Arc<ShuffledRows>,
    /// Somebody wants the rows that are late.
    pub(crate) late_is_taken: bool,
}

/// Behind it.
#[derive(Debug, Clone)]
pub(crate) struct SessionFinalPlan {
    pub(crate) windowed: WindowedSpec,
    pub(crate) emit: Emit,
    pub(crate) changelog: Arc<str>,
    /// Keys, the session's start and end, results.
    pub(crate) output: SchemaRef,
    /// Somebody takes back what a result contributed.
    pub(crate) changes_used: bool,
}

/// The output of late rows, behind those of a table.
const LATE: usize = 3;

impl StepPlan for SessionPartialPlan {
    fn repartition_topic(&self) -> Option<&Arc<str>> {
        Some(&self.topic)
    }

    fn outputs(&self) -> usize {
        0
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(SessionPartial::new(self, place)?))
    }
}

impl StepPlan for SessionFinalPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    fn outputs(&self) -> usize {
        LATE + 1
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(SessionFinal::new(self, place)?))
    }
}

impl Builder {
    pub(super) fn sessions(&mut self, asked: AskedWindows) -> Result<Output, PlanError> {
        let (spec, windows) = (&asked.windowed.spec, &asked.windowed.windows);
        let rows = Arc::new(ShuffledRows::new(&asked.above.schema));
        let partial = StepKind::Keyed(Box::new(SessionPartialPlan {
            windowed: asked.windowed.clone(),
            topic: Arc::clone(&asked.topic),
            rows: Arc::clone(&rows),
            late_is_taken: self.is_taken(Side::Late),
        }));
        let shuffled = self.through_topic(&asked.above, partial, spec, &asked.topic, Some(Arc::clone(&rows)));
        let doubtful = Output {
            from: vec![From::Rows(0)],
            schema: rows.schema(),
            ..shuffled.clone()
        };
        // A session that is open ends no earlier than this before the watermark.
        let hold_ms = windows.size_ms() + windows.grace_ms();
        let kind = StepKind::Keyed(Box::new(SessionFinalPlan {
            windowed: asked.windowed.clone(),
            emit: asked.emit,
            changelog: Arc::clone(&asked.changelog),
            output: Arc::clone(&asked.output),
            changes_used: false,
        }));
        let results = self.windowed_step(&[&shuffled, &doubtful], kind, &asked, hold_ms);
        let [From::Step(step, _)] = results.from[..] else {
            unreachable!("what keeps sessions is one step");
        };
        if self.is_taken(Side::Late) {
            let late = Output {
                from: vec![From::Step(step, LATE)],
                label: format!("late {}", spec.text()),
                ..doubtful
            };
            self.set_side(Side::Late, late);
        }
        match asked.emit {
            // Sessions grow into others, and are gone then.
            Emit::OnUpdate => Ok(results.of_table(false)),
            Emit::OnWindowClose => Ok(results),
        }
    }
}
