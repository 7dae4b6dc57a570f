//! Tables joined by their keys: a table that is made of two, and keeps nothing itself.
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::build::{Builder, Output};
use super::checks::distinct_sides;
use super::partitioning::Half;
use super::{JoinKind, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::expr::prelude::col;
use crate::operator::{Operator, OperatorError, Place, TableJoin};

/// Two tables, the inputs, with equal keys.
#[derive(Debug, Clone)]
pub(crate) struct TableJoinNode {
    pub(crate) kind: JoinKind,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct TableJoinPlan {
    pub(crate) kind: JoinKind,
    /// How many of the first columns are the key, on both sides and in the join.
    pub(crate) keys: usize,
    pub(crate) sides: [SchemaRef; 2],
    pub(crate) schema: SchemaRef,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

impl StepPlan for TableJoinPlan {
    fn outputs(&self) -> usize {
        3
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn operator(&self, _: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(TableJoin::new(self.clone())))
    }
}

impl NodePlan for TableJoinNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let tables = [0, 1].map(|side: usize| builder.outputs[inputs[side].0].clone());
        let step = format!(
            "{}join {} with {}",
            self.kind.word(),
            tables[0].label,
            tables[1].label
        );
        let keys = tables[0].keys;
        let names = [0, 1].map(|side: usize| key_names(&tables[side]));
        check_keys(&step, &tables, &names)?;
        let [left, right] = names.map(|names| -> Vec<Expr> { names.iter().map(col).collect() });
        let sides = [
            Half {
                rows: &tables[0],
                keys: &left,
            },
            Half {
                rows: &tables[1],
                keys: &right,
            },
        ];
        let sides = builder.co_partition(None, &step, sides)?.sides;
        let views = [sides[0].view(&step)?, sides[1].view(&step)?];
        let changes = sides.each_ref().map(Output::changes);
        changes.iter().for_each(|changes| builder.use_changes(changes));

        // A row that is gone has null in every column behind the key.
        let values = sides.iter().flat_map(|table| &table.schema.fields()[keys..]);
        let values = values.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let fields: Vec<_> = sides[0].schema.fields()[..keys]
            .iter()
            .cloned()
            .chain(values)
            .collect();
        distinct_sides(&step, &fields)?;
        let schema = Arc::new(Schema::new(fields));
        let plan = TableJoinPlan {
            kind: self.kind,
            keys,
            sides: sides.each_ref().map(|table| Arc::clone(&table.schema)),
            schema: Arc::clone(&schema),
            changes_used: false,
        };
        let kind = StepKind::Keyed(Box::new(plan));
        let above = [&changes[0], &changes[1]];
        let table = builder.step_on(&above, kind, format!("{step} (table)"), schema, keys);
        builder.read_tables(&table, &views);
        let partitioned = sides[0].partitioned.clone();
        let table = Output { partitioned, ..table };
        Ok(table.of_table(true))
    }

    fn looks_up(&self, _: bool) -> &'static [usize] {
        &[0, 1]
    }
}

fn key_names(table: &Output) -> Vec<String> {
    let fields = table.schema.fields().iter().take(table.keys);
    fields.map(|field| field.name().clone()).collect()
}

/// Keys are as many, and of the same types in the same order.
fn check_keys(step: &str, tables: &[Output; 2], names: &[Vec<String>; 2]) -> Result<(), PlanError> {
    if names[0].len() != names[1].len() {
        return Err(PlanError::NotTheKey {
            step: step.to_owned(),
            keys: names[0].join(", "),
            expected: names[1].join(", "),
        });
    }
    for key in 0..names[0].len() {
        let [left, right] = tables.each_ref().map(|table| table.schema.field(key));
        if left.data_type() != right.data_type() {
            return Err(PlanError::JoinKeys {
                step: step.to_owned(),
                left: format!("{} ({})", left.name(), left.data_type()),
                right: format!("{} ({})", right.name(), right.data_type()),
            });
        }
    }
    Ok(())
}
