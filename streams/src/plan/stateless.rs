//! Steps that keep nothing: each row by itself, and ways that part and come together.
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::logical_expr::Expr;

use super::build::{Builder, From, Output};
use super::checks::{columns, compile, distinct, same_columns, wrong_type};
use super::{NodeId, PlanError, StepKind};
use crate::expr::CompiledExpr;

impl Builder {
    pub(super) fn branch(&mut self, input: NodeId, predicates: &[Expr]) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let compiled = predicates.iter().map(|predicate| {
            let compiled = compile("branch", predicate, &above.schema)?;
            match compiled.field().data_type() {
                DataType::Boolean => Ok(compiled),
                other => Err(wrong_type("branch", &compiled, other, "a truth value")),
            }
        });
        let predicates: Vec<CompiledExpr> = compiled.collect::<Result<_, _>>()?;
        let branch = self.passing_step(&above, StepKind::Branch { predicates }, "branch".to_owned());
        Ok(Output { keys: 0, ..branch })
    }

    pub(super) fn way(&self, branch: NodeId, port: usize) -> Output {
        let mut output = self.outputs[branch.0].clone();
        for from in &mut output.from {
            if let From::Step(step, _) = *from {
                *from = From::Step(step, port);
            }
        }
        output
    }

    pub(super) fn merge(&mut self, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let (first, others) = inputs.split_first().ok_or_else(|| PlanError::Nothing {
            step: "merge".to_owned(),
            what: "streams",
        })?;
        let schema = Arc::clone(&self.outputs[first.0].schema);
        for other in others {
            let other = &self.outputs[other.0];
            if !same_columns(&schema, &other.schema) {
                return Err(PlanError::Merge {
                    first: columns(&schema),
                    label: other.label.clone(),
                    second: columns(&other.schema),
                });
            }
            self.unite(self.outputs[first.0].sub, other.sub);
        }
        let (mut from, mut hold_ms): (Vec<From>, _) = (Vec::new(), 0);
        let mut partitioned = self.outputs[first.0].partitioned.clone();
        for input in inputs {
            let other = self.outputs[input.0].partitioned.as_ref();
            partitioned = partitioned.filter(|first| other.is_some_and(|other| first.is_like(other)));
            // A stream merged with itself gives its rows twice.
            from.extend(&self.outputs[input.0].from);
            hold_ms = self.outputs[input.0].hold_ms.max(hold_ms);
        }
        Ok(Output {
            from,
            hold_ms,
            partitioned,
            label: "merge".to_owned(),
            ..self.outputs[first.0].clone()
        })
    }

    pub(super) fn flat_map(&mut self, input: NodeId, expr: &Expr) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let compiled = compile("flat_map", expr, &above.schema)?;
        let item = match compiled.field().data_type() {
            DataType::List(item) | DataType::LargeList(item) => Arc::clone(item),
            other => return Err(wrong_type("flat_map", &compiled, other, "a list")),
        };
        let column: FieldRef = Arc::new(item.as_ref().clone().with_name(compiled.field().name()));
        let schema = Arc::new(Schema::new(vec![column]));
        let label = format!("flat_map {}", compiled.text());
        let kind = StepKind::FlatMap {
            expr: compiled,
            schema: Arc::clone(&schema),
        };
        Ok(self.step(&above, kind, label, schema, 0))
    }

    pub(super) fn filter(&mut self, input: NodeId, predicate: &Expr) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let predicate = compile("filter", predicate, &above.schema)?;
        if predicate.field().data_type() != &DataType::Boolean {
            return Err(wrong_type(
                "filter",
                &predicate,
                predicate.field().data_type(),
                "a Boolean",
            ));
        }
        let label = format!("filter {}", predicate.text());
        Ok(self.passing_step(&above, StepKind::Filter { predicate }, label))
    }

    pub(super) fn select(&mut self, input: NodeId, exprs: &[Expr]) -> Result<Output, PlanError> {
        if exprs.is_empty() {
            return Err(PlanError::Nothing {
                step: "select".to_owned(),
                what: "columns",
            });
        }
        let texts: Vec<String> = exprs.iter().map(ToString::to_string).collect();
        self.project("select", input, exprs, format!("select {}", texts.join(", ")))
    }

    pub(super) fn with_column(
        &mut self,
        input: NodeId,
        name: &str,
        expr: &Expr,
    ) -> Result<Output, PlanError> {
        let schema = Arc::clone(&self.outputs[input.0].schema);
        let column = expr.clone().alias(name);
        let label = format!("with_column {column}");
        let keep = |field: &FieldRef| match field.name() == name {
            true => column.clone(),
            false => crate::expr::prelude::col(field.name()),
        };
        let mut exprs: Vec<Expr> = schema.fields().iter().map(keep).collect();
        if schema.field_with_name(name).is_err() {
            exprs.push(column);
        }
        self.project("with_column", input, &exprs, label)
    }

    pub(super) fn project(
        &mut self,
        step: &str,
        input: NodeId,
        exprs: &[Expr],
        label: String,
    ) -> Result<Output, PlanError> {
        let above = self.outputs[input.0].clone();
        let partitioned = above.partitioned.as_ref();
        let partitioned = partitioned.and_then(|placed| placed.projected(exprs, &above.schema));
        let exprs = exprs
            .iter()
            .map(|expr| compile(step, expr, &above.schema))
            .collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<FieldRef> = exprs.iter().map(|expr| Arc::clone(expr.field())).collect();
        distinct(step, fields.iter().map(|field| field.name()))?;
        let schema = Arc::new(Schema::new(fields));
        let kind = StepKind::Project {
            exprs,
            schema: Arc::clone(&schema),
        };
        let output = self.step(&above, kind, label, schema, 0);
        Ok(Output {
            partitioned,
            ..output
        })
    }
}
