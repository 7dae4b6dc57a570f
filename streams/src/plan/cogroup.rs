//! One aggregate over several streams that are grouped alike: their rows as one stream of all columns that are read, where each aggregate takes
//! those of its own stream.
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, cast, lit};

use super::build::{Builder, Output};
use super::checks::{check_columns, distinct};
use super::partitioning::common_type;
use super::tables::compiled_keys;
use super::{NodeId, NodePlan, PlanError};
use crate::expr::column_names;
use crate::expr::prelude::{AggregateExt, col};
use crate::format::key_type;
use crate::window::{Emit, Windows};

/// Which of the streams a row is of.
const INPUT: &str = "$input";

/// Streams that are aggregated together, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct CogroupNode {
    pub(crate) name: String,
    pub(crate) parts: Vec<CogroupPart>,
    pub(crate) windows: Option<(Windows, Emit)>,
}

/// How one of the streams is grouped, and what is aggregated of it.
#[derive(Debug, Clone)]
pub(crate) struct CogroupPart {
    pub(crate) keys: Vec<Expr>,
    pub(crate) aggregates: Vec<Expr>,
}

/// The column of the stream number `part` in the stream of all.
fn column(part: usize, name: &str) -> String {
    format!("${part}.{name}")
}

fn texts(exprs: &[Expr]) -> String {
    let texts: Vec<String> = exprs.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl NodePlan for CogroupNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let step = format!("cogroup {}", self.name);
        let above: Vec<Output> = inputs
            .iter()
            .map(|input| builder.outputs[input.0].clone())
            .collect();
        let keys = self.keys(&step, &above)?;
        let read = self.read(&step, &above)?;
        let aggregates = self.aggregates(&step)?;
        let mut all: Option<Output> = None;
        for (part, input) in inputs.iter().enumerate() {
            let columns = self.columns(&step, part, &keys, &read)?;
            let label = format!("{step}: input {}", part + 1);
            let rows = builder.project(&step, *input, &columns, label)?;
            all = Some(match all {
                None => rows,
                Some(others) => builder.with_outputs([others, rows], |builder, both| builder.merge(&both))?,
            });
        }
        let Some(all) = all else {
            let what = "streams";
            return Err(PlanError::Nothing { step, what });
        };
        let keys: Vec<Expr> = keys.iter().map(|(name, _)| col(name)).collect();
        builder.with_outputs([all], |builder, [all]| match &self.windows {
            None => builder.aggregate(all, &self.name, &keys, &aggregates),
            Some((windows, emit)) => builder.window(all, &self.name, &keys, (windows, *emit), &aggregates),
        })
    }
}

impl CogroupNode {
    /// The names of the key columns, which are those of the first stream, and the types that all have in common.
    fn keys(&self, step: &str, above: &[Output]) -> Result<Vec<(String, DataType)>, PlanError> {
        let mut keys: Vec<(String, DataType)> = Vec::new();
        for (number, (part, above)) in self.parts.iter().zip(above).enumerate() {
            let compiled = compiled_keys(step, &part.keys, &above.schema)?;
            let typed = compiled
                .iter()
                .map(|key| (key.field().name().clone(), key_type(key.field().data_type())));
            if number == 0 {
                keys = typed.collect();
                distinct(step, keys.iter().map(|(name, _)| name))?;
                continue;
            }
            if keys.len() != compiled.len() {
                return Err(PlanError::CogroupKeys {
                    step: step.to_owned(),
                    first: texts(&self.parts[0].keys),
                    other: texts(&part.keys),
                });
            }
            for ((name, first), (other_name, other)) in keys.iter_mut().zip(typed) {
                let common = common_type(first, &other);
                *first = common.ok_or_else(|| PlanError::JoinKeys {
                    step: step.to_owned(),
                    left: format!("{name} ({first})"),
                    right: format!("{other_name} ({other})"),
                })?;
            }
        }
        Ok(keys)
    }

    /// What the aggregates of each stream read: its columns with their types.
    fn read(&self, step: &str, above: &[Output]) -> Result<Vec<Vec<(String, DataType)>>, PlanError> {
        let parts = self.parts.iter().zip(above);
        let read = parts.map(|(part, above)| {
            let aggregates = part.aggregates.iter();
            aggregates
                .clone()
                .try_for_each(|aggregate| check_columns(step, aggregate, &above.schema))?;
            let mut names: Vec<String> = aggregates.flat_map(column_names).collect();
            names.sort_unstable();
            names.dedup();
            let typed = names.into_iter().filter_map(|name| {
                let data_type = above.schema.field_with_name(&name).ok()?.data_type().clone();
                Some((name, data_type))
            });
            Ok(typed.collect())
        });
        read.collect()
    }

    /// The columns of the stream number `part` in the stream of all: null where they are another's.
    fn columns(
        &self,
        step: &str,
        part: usize,
        keys: &[(String, DataType)],
        read: &[Vec<(String, DataType)>],
    ) -> Result<Vec<Expr>, PlanError> {
        let own_keys = self.parts[part].keys.iter().zip(keys);
        let mut columns: Vec<Expr> = own_keys
            .map(|(key, (name, data_type))| cast(key.clone(), data_type.clone()).alias(name))
            .collect();
        columns.push(lit(part as i64).alias(INPUT));
        for (owner, read) in read.iter().enumerate() {
            for (name, data_type) in read {
                let value = match owner == part {
                    true => col(name),
                    false => {
                        let null = ScalarValue::try_from(data_type);
                        Expr::Literal(
                            null.map_err(|cause| PlanError::Expression {
                                step: step.to_owned(),
                                expr: name.clone(),
                                cause: Box::new(cause),
                            })?,
                            None,
                        )
                    }
                };
                columns.push(value.alias(column(owner, name)));
            }
        }
        Ok(columns)
    }

    /// The aggregates over the stream of all, each of the rows of its own stream and under the name that it had.
    fn aggregates(&self, step: &str) -> Result<Vec<Expr>, PlanError> {
        let parts = self.parts.iter().enumerate();
        let all = parts.flat_map(|(part, of)| of.aggregates.iter().map(move |aggregate| (part, aggregate)));
        let moved = all.map(|(part, aggregate)| {
            let not_one = || PlanError::NotAnAggregate {
                step: step.to_owned(),
                expr: aggregate.to_string(),
            };
            if !is_aggregate(aggregate) {
                return Err(not_one());
            }
            let name = aggregate.schema_name().to_string();
            let moved = aggregate.clone().transform(|expr| {
                Ok(match expr {
                    Expr::Column(own) => Transformed::yes(col(column(part, &own.name))),
                    other => Transformed::no(other),
                })
            });
            let moved = moved.map_err(|_| not_one())?.data;
            Ok(moved.filter(col(INPUT).eq(lit(part as i64))).alias(name))
        });
        moved.collect()
    }
}

fn is_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_aggregate(&alias.expr),
        Expr::AggregateFunction(_) => true,
        _ => false,
    }
}
