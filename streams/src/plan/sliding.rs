//! Aggregates by key and sliding window: behind the repartition topic, what came at each instant is put together.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::build::{Builder, Output};
use super::windows::AskedWindows;
use super::{StepKind, StepPlan, WindowedSpec};
use crate::operator::{Operator, OperatorError, Place, SlidingFinal};
use crate::window::Emit;

/// Behind the repartition topic.
#[derive(Debug, Clone)]
pub(crate) struct SlidingFinalPlan {
    /// Its last key column is the time of rows.
    pub(crate) windowed: WindowedSpec,
    pub(crate) emit: Emit,
    pub(crate) changelog: Arc<str>,
    /// Keys, the window's start and end, results.
    pub(crate) output: SchemaRef,
}

impl StepPlan for SlidingFinalPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(SlidingFinal::new(self, place)?))
    }
}

impl Builder {
    pub(super) fn sliding(&mut self, asked: AskedWindows) -> Output {
        let shuffled = self.shipped(&asked);
        let (windows, grace) = (&asked.windowed.windows, asked.windowed.windows.grace_ms());
        let hold_ms = match asked.emit {
            Emit::OnUpdate => windows.size_ms() + grace,
            Emit::OnWindowClose => grace,
        };
        let kind = StepKind::Keyed(Box::new(SlidingFinalPlan {
            windowed: asked.windowed.clone(),
            emit: asked.emit,
            changelog: Arc::clone(&asked.changelog),
            output: Arc::clone(&asked.output),
        }));
        self.windowed_step(&[&shuffled], kind, &asked, hold_ms)
    }
}
