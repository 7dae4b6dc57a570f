//! Streams joined with tables: each row with the row that the table has for its key.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::build::{Builder, Output};
use super::checks::distinct_sides;
use super::partitioning::{CoPartitioned, Half};
use super::{NodeId, NodePlan, PlanError, StepId, StepKind, StepPlan};
use crate::expr::CompiledExpr;
use crate::operator::{Lookup, Operator, OperatorError, Place};

/// The rows of a stream, the first input, with those of a table, the second.
#[derive(Debug, Clone)]
pub(crate) struct LookupNode {
    /// What is equal: a key of the stream, and one of the table.
    pub(crate) on: Vec<(Expr, Expr)>,
    /// Rows for which the table has none are kept.
    pub(crate) left: bool,
    /// Names the repartition topic, if the stream needs one.
    pub(crate) name: Option<String>,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct LookupPlan {
    /// Of the stream, in the order of the table's.
    pub(crate) keys: Vec<CompiledExpr>,
    /// The types of the table's key.
    pub(crate) key_types: Vec<DataType>,
    /// Which columns of the key, and which behind it, are added to the stream's.
    pub(crate) shown_keys: Vec<usize>,
    pub(crate) schema: SchemaRef,
    pub(crate) left: bool,
    /// The number of the global table that it looks rows up in; else it is one of the task.
    pub(crate) global: Option<usize>,
}

impl StepPlan for LookupPlan {
    fn waits_for_tables(&self, _: u8) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        let global = self.global.map(|global| place.near.globals[global].clone());
        Ok(Box::new(Lookup::new(self.clone(), global, &place.near.memory)))
    }
}

/// A stream and a table in the same tasks, and what is looked up.
pub(super) struct Meeting {
    pub(super) stream: Output,
    pub(super) table: Output,
    /// The step in which rows of the table can be looked up.
    pub(super) view: StepId,
    /// See [`LookupPlan`].
    pub(super) keys: Vec<CompiledExpr>,
    pub(super) key_types: Vec<DataType>,
    pub(super) shown_keys: Vec<usize>,
    pub(super) schema: SchemaRef,
    /// What is equal, as text.
    pub(super) on: String,
}

impl NodePlan for LookupNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let step = match &self.name {
            Some(name) => format!("join {name}"),
            None => format!("join with {}", builder.outputs[inputs[1].0].label),
        };
        let Meeting {
            stream,
            view,
            keys,
            key_types,
            shown_keys,
            schema,
            on,
            ..
        } = self.meeting(builder, inputs, &step)?;
        let kind = if self.left { "left " } else { "" };
        let label = format!("{kind}{step} on {on}");
        let plan = LookupPlan {
            keys,
            key_types,
            shown_keys,
            schema: Arc::clone(&schema),
            left: self.left,
            global: None,
        };
        let joined = builder.step(
            &stream,
            StepKind::Keyed(Box::new(plan)),
            label,
            schema,
            stream.keys,
        );
        builder.read_tables(&joined, &[view]);
        Ok(Output {
            partitioned: stream.partitioned,
            ..joined
        })
    }

    fn looks_up(&self, _: bool) -> &'static [usize] {
        &[1]
    }
}

impl LookupNode {
    /// Brings the rows of the stream to those of the table.
    pub(super) fn meeting(
        &self,
        builder: &mut Builder,
        inputs: &[NodeId],
        step: &str,
    ) -> Result<Meeting, PlanError> {
        let [stream, table] = inputs else {
            unreachable!("a lookup has two inputs");
        };
        let (stream, table) = (
            builder.outputs[stream.0].clone(),
            builder.outputs[table.0].clone(),
        );
        let (left_keys, right_keys) = self.by_the_tables_key(step, &table)?;
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
        let CoPartitioned { sides, keys } = builder.co_partition(self.name.as_deref(), step, sides)?;
        let ([stream, table], [keys, _]) = (sides, keys);
        let view = table.view(step)?;
        let (shown_keys, schema) = self.columns(step, &stream, &table, &left_keys)?;
        let key_fields = table.schema.fields().iter().take(table.keys);
        let texts: Vec<String> = keys
            .iter()
            .zip(key_fields.clone())
            .map(|(left, right)| format!("{} = {}", left.text(), right.name()))
            .collect();
        Ok(Meeting {
            key_types: key_fields.map(|field| field.data_type().clone()).collect(),
            on: texts.join(", "),
            stream,
            table,
            view,
            keys,
            shown_keys,
            schema,
        })
    }

    /// The columns of the table's key that are shown, which are those that the stream does not have under the same name; and all columns
    /// of what comes out.
    pub(super) fn columns(
        &self,
        step: &str,
        stream: &Output,
        table: &Output,
        left_keys: &[Expr],
    ) -> Result<(Vec<usize>, SchemaRef), PlanError> {
        let (keys, values) = table.schema.fields().split_at(table.keys);
        let is_shown = |key: &usize| {
            let name = keys[*key].name();
            !matches!(&left_keys[*key], Expr::Column(column) if column.name() == name)
        };
        let shown_keys: Vec<usize> = (0..keys.len()).filter(is_shown).collect();
        let shown = shown_keys.iter().map(|key| &keys[*key]).chain(values);
        let right = shown.map(|field| match self.left {
            true => Arc::new(field.as_ref().clone().with_nullable(true)),
            false => Arc::clone(field),
        });
        let fields: Vec<FieldRef> = stream.schema.fields().iter().cloned().chain(right).collect();
        distinct_sides(step, &fields)?;
        Ok((shown_keys, Arc::new(Schema::new(fields))))
    }

    /// The keys of both sides in the order of the table's, which have to be all of them.
    pub(super) fn by_the_tables_key(
        &self,
        step: &str,
        table: &Output,
    ) -> Result<(Vec<Expr>, Vec<Expr>), PlanError> {
        let fields = table.schema.fields().iter().take(table.keys);
        let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let asked: Vec<Option<&str>> = self.on.iter().map(|(_, right)| column_name(right)).collect();
        let found: Option<Vec<usize>> = names
            .iter()
            .map(|name| asked.iter().position(|asked| *asked == Some(name)))
            .collect();
        let places = found.filter(|_| asked.iter().collect::<BTreeSet<_>>().len() == names.len());
        let Some(places) = places.filter(|_| asked.len() == names.len()) else {
            let texts: Vec<String> = self.on.iter().map(|(_, right)| right.to_string()).collect();
            return Err(PlanError::NotTheKey {
                step: step.to_owned(),
                keys: texts.join(", "),
                expected: names.join(", "),
            });
        };
        Ok(places.iter().map(|place| self.on[*place].clone()).unzip())
    }
}

fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name()),
        _ => None,
    }
}
