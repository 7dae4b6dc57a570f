//! Custom operators in the plan.
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use super::build::{Builder, Output};
use super::tables::compiled_keys;
use super::{ChangelogTopic, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::expr::CompiledExpr;
use crate::operator::{Operator, OperatorError, Place};
use crate::typed::AnyProcessor;

/// Rows by key, shown to an operator of the user's.
#[derive(Debug)]
pub(crate) struct ProcessNode {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    pub(crate) processor: Arc<dyn AnyProcessor>,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub(crate) processor: Arc<dyn AnyProcessor>,
    pub(crate) keys: Vec<CompiledExpr>,
    /// The columns that it reads; all, if that is not known.
    pub(crate) columns: Option<Vec<usize>>,
    pub(crate) output: SchemaRef,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
}

impl StepPlan for ProcessPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    /// For its timers.
    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        self.processor.operator(self, place.partition, &place.near.memory)
    }
}

impl NodePlan for ProcessNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let Self {
            name,
            keys,
            processor,
        } = self;
        let (topic, changelog) = builder.keyed_step(name)?;
        let step = format!("process {name}");
        let above = builder.outputs[inputs[0].0].clone();
        let moved = builder.moved(&above, &step, topic, keys)?;
        let keys = compiled_keys(&step, keys, &moved.schema)?;
        let columns = processor.columns(&step, &moved.schema)?;
        let output = processor.output()?;
        builder.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&changelog),
            sub: moved.sub,
        });
        let key = |key: &CompiledExpr| format!("{} {}", key.text(), key.field().data_type());
        let texts: Vec<String> = keys.iter().map(key).collect();
        let kind = StepKind::Keyed(Box::new(ProcessPlan {
            processor: Arc::clone(processor),
            keys,
            columns,
            output: Arc::clone(&output),
            changelog,
            meaning: format!("{step} by {}", texts.join(", ")),
        }));
        let label = format!("{step}: {}", processor.label());
        Ok(builder.step(&moved, kind, label, output, 0))
    }
}
