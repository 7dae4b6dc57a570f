//! Rows of which a key has one within a span of time.
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::build::{Builder, From, Output};
use super::checks::compile;
use super::stream_join::bucket_ms;
use super::tables::compiled_keys;
use super::{ChangelogTopic, NodeId, NodePlan, PlanError, Side, StepKind, StepPlan};
use crate::expr::CompiledExpr;
use crate::expr::prelude::col;
use crate::operator::{self, Operator, OperatorError, Place};
use crate::window::JoinWindow;

/// What is to pass once, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct DeduplicateNode {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    /// How near a row of the same key is that does not pass.
    pub(crate) window: JoinWindow,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct DeduplicatePlan {
    /// The keys of rows.
    pub(crate) keys: Vec<CompiledExpr>,
    /// What is kept of a row that passed: its keys.
    pub(crate) stored: SchemaRef,
    /// The keys of that.
    pub(crate) stored_keys: Vec<CompiledExpr>,
    pub(crate) within_ms: i64,
    pub(crate) grace_ms: i64,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
    /// Somebody takes the late rows.
    pub(crate) late: bool,
}

impl DeduplicatePlan {
    /// The span of time that is kept together.
    pub(crate) fn bucket_ms(&self) -> i64 {
        bucket_ms(self.within_ms.saturating_mul(2))
    }
}

impl StepPlan for DeduplicatePlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    /// What passes, and late rows.
    fn outputs(&self) -> usize {
        2
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn passes_on_at_once(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(operator::Deduplicate::new(self, place)))
    }
}

impl NodePlan for DeduplicateNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let (topic, changelog) = builder.keyed_step(&self.name)?;
        let step = format!("deduplicate {}", self.name);
        if let Some(reason) = self.window.fault() {
            return Err(PlanError::Windows { step, reason });
        }
        let above = builder.outputs[inputs[0].0].clone();
        let rows = builder.partition(&above, &step, topic, &self.keys)?;
        let keys = compiled_keys(&step, &self.keys, &rows.schema)?;
        let columns = keys.iter().enumerate();
        let columns = columns.map(|(number, key)| {
            let data_type = key.field().data_type().clone();
            Field::new(format!("k{number}"), data_type, true)
        });
        let stored = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let stored_keys = stored.fields().iter();
        let stored_keys = stored_keys.map(|field| compile(&step, &col(field.name()), &stored));
        let texts: Vec<&str> = keys.iter().map(CompiledExpr::text).collect();
        let label = format!("{step} by {} {}", texts.join(", "), self.window);
        let types = keys
            .iter()
            .map(|key| format!("{} {}", key.text(), key.field().data_type()));
        let plan = DeduplicatePlan {
            stored_keys: stored_keys.collect::<Result<_, _>>()?,
            stored,
            within_ms: self.window.before_ms(),
            grace_ms: self.window.grace_ms(),
            changelog: Arc::clone(&changelog),
            meaning: format!(
                "deduplicate by {} {}",
                types.collect::<Vec<_>>().join(", "),
                self.window
            ),
            late: builder.is_taken(Side::Late),
            keys,
        };
        builder.changelogs.push(ChangelogTopic {
            topic: changelog,
            sub: rows.sub,
        });
        let is_late_taken = plan.late;
        let passed = builder.passing_step(&rows, StepKind::Keyed(Box::new(plan)), label);
        if let ([From::Step(id, _)], true) = (&passed.from[..], is_late_taken) {
            let late = Output {
                from: vec![From::Step(*id, 1)],
                label: format!("late rows of {step}"),
                ..passed.clone()
            };
            builder.set_side(Side::Late, late);
        }
        Ok(passed)
    }
}
