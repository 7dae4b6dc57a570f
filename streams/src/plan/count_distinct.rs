//! How many different values keys have, each value being a row of its own: an aggregate by key and value, and one over the table of these.
use datafusion::logical_expr::{Expr, lit};

use super::build::{Builder, Output};
use super::checks::{compile, distinct};
use super::tables::compiled_keys;
use super::{NodeId, NodePlan, PlanError};
use crate::expr::prelude::{AggregateExt, col, count, count_all};
use crate::format::{Placement, key_type};

/// The column of the value in the table of values.
const VALUE: &str = "$value";

/// What is counted, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct CountDistinctNode {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    pub(crate) value: Expr,
    /// The columns: their names, and of which rows values count in each; of all if it does not say.
    pub(crate) counts: Vec<(String, Option<Expr>)>,
}

impl NodePlan for CountDistinctNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let step = format!("count_distinct_of {}", self.name);
        let above = builder.outputs[inputs[0].0].schema.clone();
        let keys = compiled_keys(&step, &self.keys, &above)?;
        let value = compile(&step, &self.value, &above)?;
        let data_type = value.field().data_type();
        if !Placement::supports(&key_type(data_type)) {
            return Err(PlanError::UnsupportedKey {
                column: value.text().to_owned(),
                actual: data_type.clone(),
                step,
            });
        }
        let mut of_values = self.keys.clone();
        of_values.push(self.value.clone().alias(VALUE));
        // How many rows a value has for each of the counts.
        let counted = self.counts.iter().enumerate().map(|(number, (_, rows))| {
            let counted = match rows {
                Some(rows) => count_all().filter(rows.clone()),
                None => count_all(),
            };
            counted.alias(rows_column(number))
        });
        let counted: Vec<Expr> = counted.collect();
        let columns: Vec<Expr> = keys.iter().map(|key| col(key.field().name())).collect();
        // Null is no value, and a value counts that has rows.
        let counts = self.counts.iter().enumerate().map(|(number, (name, rows))| {
            let values = count(col(VALUE));
            let values = match rows {
                Some(_) => values.filter(col(rows_column(number)).gt(lit(0_i64))),
                None => values,
            };
            values.alias(name)
        });
        let counts: Vec<Expr> = counts.collect();
        let names = keys.iter().map(|key| key.field().name());
        distinct(&step, names.chain(self.counts.iter().map(|(name, _)| name)))?;
        let values = builder.aggregate(inputs[0], &format!("{}-values", self.name), &of_values, &counted)?;
        builder.with_outputs([values], |builder, [values]| {
            builder.table_aggregate(values, &self.name, &columns, &counts)
        })
    }
}

/// The column of the rows that a value has for a count.
fn rows_column(number: usize) -> String {
    format!("$rows.{number}")
}
