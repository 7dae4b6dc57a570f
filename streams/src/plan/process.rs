//! Custom operators in the plan.
use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::build::{Builder, Output};
use super::tables::compiled_keys;
use super::{ChangelogTopic, NodeId, PlanError, ProcessPlan, StepKind};
use crate::expr::CompiledExpr;
use crate::typed::AnyProcessor;

impl Builder {
    pub(super) fn process(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        processor: &Arc<dyn AnyProcessor>,
    ) -> Result<Output, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("process {name}");
        let above = self.outputs[input.0].clone();
        let moved = self.moved(&above, &step, topic, keys)?;
        let keys = compiled_keys(&step, keys, &moved.schema)?;
        let columns = processor.columns(&step, &moved.schema)?;
        let output = processor.output()?;
        self.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&changelog),
            sub: moved.sub,
        });
        let key = |key: &CompiledExpr| format!("{} {}", key.text(), key.field().data_type());
        let texts: Vec<String> = keys.iter().map(key).collect();
        let kind = StepKind::Process(ProcessPlan {
            processor: Arc::clone(processor),
            keys,
            columns,
            output: Arc::clone(&output),
            changelog,
            meaning: format!("{step} by {}", texts.join(", ")),
        });
        let label = format!("{step}: {}", processor.label());
        Ok(self.step(&moved, kind, label, output, 0))
    }
}
