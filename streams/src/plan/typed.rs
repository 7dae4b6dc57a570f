//! Steps that are closures; consecutive typed ones become one.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::build::{Builder, Output};
use super::{ErrorPolicy, Node, NodeId, Part, Plan, PlanError, StepKind, TypedClosures};
use crate::typed::{AnyFlow, BatchClosure, Stage};

/// Typed steps that wait for the one behind them.
pub(super) struct OpenFlow {
    flow: AnyFlow,
    parts: Vec<Part>,
    /// What the first of them reads.
    above: Output,
}

impl OpenFlow {
    pub(super) fn above(&mut self) -> &mut Output {
        &mut self.above
    }
}

impl Plan {
    /// The typed steps that nothing but another typed step reads.
    pub(super) fn fused(&self) -> BTreeSet<NodeId> {
        let mut readers: Vec<Vec<&Node>> = vec![Vec::new(); self.nodes.len()];
        for node in &self.nodes {
            node.inputs().iter().for_each(|input| readers[input.0].push(node));
        }
        let numbers = (0..self.nodes.len()).map(NodeId);
        let fused = numbers.filter(|number| {
            let own = matches!(&self.nodes[number.0], Node::Typed { stage, .. } if !stage.branches());
            own && matches!(readers[number.0][..], [Node::Typed { .. }])
        });
        fused.collect()
    }
}

impl Builder {
    pub(super) fn peek(&mut self, input: NodeId, see: &BatchClosure) -> Output {
        let above = self.outputs[input.0].clone();
        self.passing_step(&above, StepKind::Peek { see: see.clone() }, "peek".to_owned())
    }

    pub(super) fn typed(
        &mut self,
        number: NodeId,
        input: NodeId,
        stage: &Arc<dyn Stage>,
    ) -> Result<Output, PlanError> {
        let label = stage.label();
        let mut open = match self.open.remove(&input) {
            Some(open) => open,
            None => {
                let above = self.outputs[input.0].clone();
                OpenFlow {
                    flow: stage.open(&label, &above.schema)?,
                    parts: Vec::new(),
                    above,
                }
            }
        };
        let part = open.parts.len();
        open.flow = stage.extend(open.flow, part);
        open.parts.push(Part {
            label,
            on_error: self.policies.get(&number).cloned(),
        });
        if self.fused.contains(&number) {
            // Nobody else asks for what it gives.
            let output = open.above.clone();
            self.open.insert(number, open);
            return Ok(output);
        }
        let labels: Vec<&str> = open.parts.iter().map(|part| part.label.as_str()).collect();
        let label = labels.join("; ");
        let (run, schema, outputs) = stage.close(open.flow, part, &open.above.schema)?;
        let kind = StepKind::Typed {
            run: TypedClosures(run),
            outputs,
            parts: open.parts,
        };
        Ok(self.step(&open.above, kind, label, schema, 0))
    }
}

impl Part {
    /// Its policy as the description shows it.
    pub(super) fn policy(&self) -> Option<(&str, &ErrorPolicy)> {
        Some((&self.label, self.on_error.as_ref()?))
    }
}
