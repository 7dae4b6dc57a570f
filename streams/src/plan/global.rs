//! Streams joined with global tables: topics that each process of a job reads whole, so that rows are looked up by any key, wherever they are.
use std::sync::Arc;

use datafusion::logical_expr::{Expr, cast};

use super::build::{Builder, From, Output};
use super::checks::compile;
use super::partitioning::{Half, common_types};
use super::{
    ErrorPolicy, LookupNode, LookupPlan, Node, NodeId, NodePlan, Plan, PlanError, SourceTable, StepId,
    StepKind, SubTopology,
};
use crate::format::Format;

/// A topic that is a table everywhere.
#[derive(Debug, Clone)]
pub(crate) struct GlobalSource {
    pub(crate) topic: String,
    pub(crate) format: Format,
    pub(crate) keys: Vec<Expr>,
    /// As a [`SourceTable`] has them.
    pub(crate) deleted: Option<String>,
    pub(crate) unavailable: Vec<String>,
    /// What becomes of records that cannot be read.
    pub(crate) on_error: Option<ErrorPolicy>,
}

/// The same, compiled: a sub-topology of its own, whose one task reads all partitions and writes nothing.
#[derive(Debug, Clone)]
pub(crate) struct GlobalTable {
    pub(crate) topic: Arc<str>,
    pub(crate) sub: Arc<SubTopology>,
    /// The step that keeps the table.
    pub(crate) table: StepId,
}

/// One that was compiled, with what it looks like.
pub(super) struct CompiledGlobal {
    source: Arc<GlobalSource>,
    pub(super) table: GlobalTable,
    output: Output,
}

/// The rows of a stream, the input, with those of a global table.
#[derive(Debug, Clone)]
pub(crate) struct GlobalLookupNode {
    pub(crate) source: Arc<GlobalSource>,
    pub(crate) lookup: LookupNode,
}

impl NodePlan for GlobalLookupNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let stream = builder.outputs[inputs[0].0].clone();
        let number = builder.global(&self.source)?;
        let table = builder.globals[number].output.clone();
        let step = format!("join with global table {}", self.source.topic);
        let (left_keys, right_keys) = self.lookup.by_the_tables_key(&step, &table)?;
        let sides = [
            Half {
                rows: &stream,
                keys: &left_keys,
            },
            Half {
                rows: &table,
                keys: &right_keys,
            },
        ];
        let types = common_types(&step, &sides)?;
        let keys = left_keys.iter().zip(&types).map(|(key, data_type)| {
            let as_it_is = compile(&step, key, &stream.schema)?;
            match as_it_is.field().data_type() == data_type {
                true => Ok(as_it_is),
                false => compile(&step, &cast(key.clone(), data_type.clone()), &stream.schema),
            }
        });
        let keys = keys.collect::<Result<Vec<_>, PlanError>>()?;
        let (shown_keys, schema) = self.lookup.columns(&step, &stream, &table, &left_keys)?;
        let key_fields = || table.schema.fields().iter().take(table.keys);
        let texts: Vec<String> = keys
            .iter()
            .zip(key_fields())
            .map(|(left, right)| format!("{} = {}", left.text(), right.name()))
            .collect();
        let kind = if self.lookup.left { "left " } else { "" };
        let label = format!("{kind}{step} on {}", texts.join(", "));
        let plan = LookupPlan {
            key_types: key_fields().map(|field| field.data_type().clone()).collect(),
            keys,
            shown_keys,
            schema: Arc::clone(&schema),
            left: self.lookup.left,
            global: Some(number),
        };
        let kind = StepKind::Keyed(Box::new(plan));
        let joined = builder.step(&stream, kind, label, schema, stream.keys);
        Ok(Output {
            partitioned: stream.partitioned,
            ..joined
        })
    }
}

impl Builder {
    /// The number of a global table, which several joins may share.
    fn global(&mut self, source: &Arc<GlobalSource>) -> Result<usize, PlanError> {
        let known = self
            .globals
            .iter()
            .position(|known| Arc::ptr_eq(&known.source, source));
        if let Some(known) = known {
            return Ok(known);
        }
        let mut plan = Plan::new(self.application_id().to_owned());
        let read = plan.add(Node::Source {
            topic: source.topic.clone(),
            format: source.format.clone(),
        });
        let table = plan.add(Node::Keyed {
            inputs: vec![read],
            make: Arc::new(SourceTable {
                name: source.topic.clone(),
                keys: source.keys.clone(),
                deleted: source.deleted.clone(),
                unavailable: source.unavailable.clone(),
                stays: true,
            }),
        });
        match &source.on_error {
            Some(ErrorPolicy::DeadLetter(_)) => {
                let topic = source.topic.clone();
                return Err(PlanError::GlobalDeadLetters { topic });
            }
            Some(policy) => plan.on_error(table, policy.clone()),
            None => {}
        }
        let mut inner = plan.builder()?;
        inner.settle_time()?;
        let output = inner.outputs[table.0].clone();
        let [From::Step(step, _)] = output.from[..] else {
            unreachable!("a table's step has outputs");
        };
        let (inputs, steps) = inner.subs.swap_remove(output.sub);
        let table = GlobalTable {
            topic: source.topic.as_str().into(),
            sub: Arc::new(SubTopology {
                id: 0,
                fingerprint: 0,
                inputs,
                steps,
                announces: Vec::new(),
            }),
            table: step,
        };
        self.globals.push(CompiledGlobal {
            source: Arc::clone(source),
            table,
            output,
        });
        Ok(self.globals.len() - 1)
    }
}
