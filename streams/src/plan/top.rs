//! The first rows of each key in an order: an aggregate that keeps them, and a step behind it that makes a row of each.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, SortExpr};

use super::build::{Builder, Output};
use super::checks::{compile, distinct};
use super::{NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::aggregate::TopRows;
use crate::expr::prelude::col;
use crate::format::{Direction, OrderWriter};
use crate::operator::{self, Operator, OperatorError, Place};
use crate::window::{Emit, Windows};

/// The column of the rows of a key, all in one; no user's column has such a name.
const TOP: &str = "$top";
/// The column that says which of them a row is.
const RANK: &str = "rank";

/// The first rows of each key, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct TopNode {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    pub(crate) of: TopOf,
    pub(crate) most: usize,
    pub(crate) order: Vec<SortExpr>,
    pub(crate) ties: bool,
}

/// Whose rows.
#[derive(Debug, Clone)]
pub(crate) enum TopOf {
    Stream,
    Table,
    Windows(Windows, Emit),
}

/// A row for each of the rows of a key.
#[derive(Debug, Clone)]
pub(crate) struct RanksPlan {
    /// Columns of the key, bounds of windows included.
    pub(crate) keys: usize,
    /// The columns that are kept.
    pub(crate) columns: Vec<FieldRef>,
    /// Those of them that are behind the rank.
    pub(crate) shown: Vec<usize>,
    /// Keys, the rank, and columns.
    pub(crate) schema: SchemaRef,
    /// What comes are pairs of what a table had and has, not rows.
    pub(crate) of_table: bool,
    /// Ranks that a key may have had and has no more; none where rows only come.
    pub(crate) may_go: usize,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

impl StepPlan for RanksPlan {
    fn outputs(&self) -> usize {
        if self.of_table { 3 } else { 1 }
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn passes_on_at_once(&self) -> bool {
        true
    }

    fn takes_apart(&self) -> Option<&RanksPlan> {
        Some(self)
    }

    fn operator(&self, _: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(operator::Ranks::new(self.clone())))
    }
}

impl NodePlan for TopNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let step = format!("top {}", self.name);
        self.check(&step)?;
        let above = Arc::clone(&builder.outputs[inputs[0].0].schema);
        let top = self.aggregate(&step, &above)?;
        let kept = match &self.of {
            TopOf::Stream => builder.aggregate(inputs[0], &self.name, &self.keys, &[top])?,
            TopOf::Table => builder.table_aggregate(inputs[0], &self.name, &self.keys, &[top])?,
            TopOf::Windows(windows, emit) => {
                builder.window(inputs[0], &self.name, &self.keys, (windows, *emit), &[top])?
            }
        };
        self.ranks(builder, &step, &above, kept)
    }
}

impl TopNode {
    fn check(&self, step: &str) -> Result<(), PlanError> {
        let step = step.to_owned();
        if self.most == 0 || self.order.is_empty() {
            let what = if self.most == 0 { "ranks" } else { "order" };
            return Err(PlanError::Nothing { step, what });
        }
        match self.of {
            TopOf::Windows(_, Emit::OnUpdate) if self.ties => Err(PlanError::TiesOnUpdate { step }),
            _ => Ok(()),
        }
    }

    /// The aggregate that keeps the rows: all columns, and what they are ordered by if that is none of these.
    fn aggregate(&self, step: &str, above: &Schema) -> Result<Expr, PlanError> {
        let mut arguments: Vec<Expr> = above.fields().iter().map(|field| col(field.name())).collect();
        let mut orders = Vec::with_capacity(self.order.len());
        let fields = above.fields().iter();
        let mut types: Vec<String> = fields.map(|field| field.data_type().to_string()).collect();
        for SortExpr {
            expr,
            asc,
            nulls_first,
        } in &self.order
        {
            let compiled = compile(step, expr, above)?;
            let data_type = compiled.field().data_type();
            if !OrderWriter::supports(data_type) {
                return Err(PlanError::NoOrder {
                    step: step.to_owned(),
                    expr: compiled.text().to_owned(),
                    actual: data_type.clone(),
                });
            }
            let direction = Direction {
                descending: !asc,
                nulls_first: *nulls_first,
            };
            let place = arguments.iter().position(|argument| argument == expr);
            let place = place.unwrap_or_else(|| {
                types.push(data_type.to_string());
                arguments.push(expr.clone());
                arguments.len() - 1
            });
            orders.push((place, direction));
        }
        let columns = above.fields().iter();
        let rows = TopRows {
            most: self.most,
            ties: self.ties,
            columns: columns
                .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
                .collect(),
            orders,
        };
        let order: Vec<String> = self.order.iter().map(ToString::to_string).collect();
        let (order, types) = (order.join(", "), types.join(", "));
        Ok(rows.call(&order, &types, arguments).alias(TOP))
    }

    /// The rows of `kept`, each by itself.
    fn ranks(
        &self,
        builder: &mut Builder,
        step: &str,
        above: &Schema,
        kept: Output,
    ) -> Result<Output, PlanError> {
        let key_fields = &kept.schema.fields()[..kept.keys];
        let names: BTreeSet<&String> = key_fields.iter().map(|field| field.name()).collect();
        let shown: Vec<usize> = (0..above.fields().len())
            .filter(|column| !names.contains(above.field(*column).name()))
            .collect();
        let mut fields = key_fields.to_vec();
        fields.push(Arc::new(Field::new(RANK, DataType::Int64, false)));
        // A row that is gone has null in all of them.
        fields.extend(shown.iter().map(|column| {
            let field = above.field(*column).clone();
            Arc::new(field.with_nullable(true))
        }));
        distinct(step, fields.iter().map(|field| field.name()))?;
        let schema = Arc::new(Schema::new(fields));
        let columns = above.fields().iter();
        let plan = RanksPlan {
            keys: kept.keys,
            columns: columns
                .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
                .collect(),
            shown,
            schema: Arc::clone(&schema),
            of_table: kept.table.is_some(),
            may_go: match self.of {
                TopOf::Table => self.most,
                _ if self.ties => self.most,
                _ => 0,
            },
            changes_used: false,
        };
        let from = match &kept.table {
            Some(table) => vec![table.changes],
            None => kept.from.clone(),
        };
        let rows = Output { from, ..kept.clone() };
        if kept.table.is_some() {
            builder.use_changes(&rows);
        }
        let (keys, label) = (kept.keys + 1, format!("{step}: a row for each rank"));
        let mut ranks = builder.step(&rows, StepKind::Keyed(Box::new(plan)), label, schema, keys);
        ranks.partitioned = kept.partitioned;
        Ok(match kept.table {
            Some(_) => ranks.of_table(false),
            None => ranks,
        })
    }
}
