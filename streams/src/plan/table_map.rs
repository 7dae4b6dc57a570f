//! Tables of which some rows are left out, or that have other columns: still tables, that keep nothing themselves.
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::build::{Builder, Output};
use super::checks::{compile, distinct, wrong_type};
use super::{NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::expr::CompiledExpr;
use crate::expr::prelude::col;
use crate::operator::{Operator, OperatorError, Place, TableMap};

/// What becomes of the rows of a table.
#[derive(Debug, Clone)]
pub(crate) enum TableMapNode {
    /// Those stay for which this is true.
    Filter(Expr),
    /// They have exactly these columns.
    Select(Vec<Expr>),
    /// One column is new or replaced.
    WithColumn { name: String, expr: Expr },
    /// Their changes, as a stream.
    Changes,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct TableMapPlan {
    /// The columns of the table.
    pub(crate) table: SchemaRef,
    /// How many of its first columns are the key, and stay.
    pub(crate) keys: usize,
    /// Who stays.
    pub(crate) predicate: Option<CompiledExpr>,
    /// The columns behind the key.
    pub(crate) values: Vec<CompiledExpr>,
    pub(crate) schema: SchemaRef,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

impl StepPlan for TableMapPlan {
    fn outputs(&self) -> usize {
        3
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn operator(&self, _: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(TableMap::new(self.clone())))
    }
}

impl NodePlan for TableMapNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let above = builder.outputs[inputs[0].0].clone();
        match self {
            Self::Filter(predicate) => builder.filtered_table(&above, predicate),
            Self::Select(exprs) => {
                let texts: Vec<String> = exprs.iter().map(ToString::to_string).collect();
                let label = format!("select {}", texts.join(", "));
                let exprs = with_keys_first("select", &above, exprs)?;
                let is_viewed = builder.is_looked_up();
                builder.mapped_table(&above, "select", &exprs, label, is_viewed)
            }
            Self::WithColumn { name, expr } => {
                let column = expr.clone().alias(name);
                let label = format!("with_column {column}");
                let keep = |field: &FieldRef| match field.name() == name {
                    true => column.clone(),
                    false => col(field.name()),
                };
                let mut exprs: Vec<Expr> = above.schema.fields().iter().map(keep).collect();
                if above.schema.field_with_name(name).is_err() {
                    exprs.push(column);
                }
                let exprs = with_keys_first("with_column", &above, &exprs)?;
                let is_viewed = builder.is_looked_up();
                builder.mapped_table(&above, "with_column", &exprs, label, is_viewed)
            }
            Self::Changes => Ok(Output { table: None, ..above }),
        }
    }

    fn looks_up(&self, is_looked_up: bool) -> &'static [usize] {
        match (self, is_looked_up) {
            (Self::Changes, _) | (_, false) => &[],
            _ => &[0],
        }
    }
}

impl Builder {
    fn filtered_table(&mut self, above: &Output, predicate: &Expr) -> Result<Output, PlanError> {
        let predicate = compile("filter", predicate, &above.schema)?;
        let data_type = predicate.field().data_type();
        if data_type != &DataType::Boolean {
            return Err(wrong_type("filter", &predicate, data_type, "a truth value"));
        }
        let label = format!("filter {}", predicate.text());
        let exprs: Vec<Expr> = above
            .schema
            .fields()
            .iter()
            .map(|field| col(field.name()))
            .collect();
        let is_viewed = self.is_looked_up();
        self.map_table(above, "filter", (Some(predicate), &exprs), label, is_viewed)
    }

    /// The table with the columns `exprs`, of which the first are its key; `is_viewed` if others look rows up in it.
    pub(super) fn mapped_table(
        &mut self,
        above: &Output,
        step: &str,
        exprs: &[Expr],
        label: String,
        is_viewed: bool,
    ) -> Result<Output, PlanError> {
        self.map_table(above, step, (None, exprs), label, is_viewed)
    }

    fn map_table(
        &mut self,
        above: &Output,
        step: &str,
        (predicate, exprs): (Option<CompiledExpr>, &[Expr]),
        label: String,
        is_viewed: bool,
    ) -> Result<Output, PlanError> {
        let compiled = exprs.iter().map(|expr| compile(step, expr, &above.schema));
        let mut values = compiled.collect::<Result<Vec<_>, _>>()?;
        // A row that is gone has null in every column behind the key.
        let fields = values.iter().enumerate().map(|(place, expr)| {
            let field = expr.field().as_ref().clone();
            let is_nullable = field.is_nullable() || place >= above.keys;
            Arc::new(field.with_nullable(is_nullable))
        });
        let fields: Vec<FieldRef> = fields.collect();
        distinct(step, fields.iter().map(|field| field.name()))?;
        let schema = Arc::new(Schema::new(fields));
        values.drain(..above.keys);
        let changes = above.changes();
        self.use_changes(&changes);
        let plan = TableMapPlan {
            table: Arc::clone(&above.schema),
            keys: above.keys,
            predicate,
            values,
            schema: Arc::clone(&schema),
            changes_used: false,
        };
        let kind = StepKind::Keyed(Box::new(plan));
        let mapped = self.step(&changes, kind, format!("{label} (table)"), schema, above.keys);
        if is_viewed {
            self.read_tables(&mapped, &[above.view(step)?]);
        }
        let partitioned = above.partitioned.as_ref();
        let partitioned = partitioned.and_then(|placed| placed.projected(exprs, &above.schema));
        let mapped = Output {
            partitioned,
            ..mapped
        };
        Ok(mapped.of_table(is_viewed))
    }
}

/// The columns with those of the key first, which have to be there as they are.
fn with_keys_first(step: &str, table: &Output, exprs: &[Expr]) -> Result<Vec<Expr>, PlanError> {
    let mut others: Vec<&Expr> = exprs.iter().collect();
    let keys = table.schema.fields().iter().take(table.keys).map(|key| {
        let place = others.iter().position(|expr| column(expr) == Some(key.name()));
        let place = place.ok_or_else(|| PlanError::KeyDropped {
            step: format!("{step} of {}", table.label),
            column: key.name().clone(),
        })?;
        Ok(others.remove(place).clone())
    });
    let mut ordered: Vec<Expr> = keys.collect::<Result<_, PlanError>>()?;
    ordered.extend(others.into_iter().cloned());
    Ok(ordered)
}

/// The column that `expr` is, under whatever name.
fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Alias(alias) => column(&alias.expr),
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}
