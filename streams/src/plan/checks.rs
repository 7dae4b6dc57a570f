//! What every node is checked for: names, columns, types.
use std::collections::BTreeSet;

use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::logical_expr::Expr;

use super::{PlanError, name};
use crate::expr::{CompiledExpr, column_names};
use crate::suggest::did_you_mean;

/// Whether rows of one schema can stand for rows of the other: names and types, not whether there may be nulls.
pub(super) fn same_columns(one: &Schema, other: &Schema) -> bool {
    let columns = |schema: &Schema| -> Vec<(String, DataType)> {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    columns(one) == columns(other)
}

pub(super) fn columns(schema: &Schema) -> String {
    let fields = schema.fields().iter();
    let texts: Vec<String> = fields
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    texts.join(", ")
}

pub(super) fn legal(what: &'static str, name: &str) -> Result<(), PlanError> {
    match name::fault(name) {
        None => Ok(()),
        Some(reason) => Err(PlanError::IllegalName {
            what,
            name: name.to_owned(),
            reason,
        }),
    }
}

pub(super) fn distinct<'a>(step: &str, names: impl Iterator<Item = &'a String>) -> Result<(), PlanError> {
    match twice(names) {
        None => Ok(()),
        Some(column) => Err(PlanError::DuplicateColumn {
            step: step.to_owned(),
            column,
        }),
    }
}

/// The same of the columns of a join, whose sides have no two of one name.
pub(super) fn distinct_sides(step: &str, joined: &[FieldRef]) -> Result<(), PlanError> {
    match twice(joined.iter().map(|field| field.name())) {
        None => Ok(()),
        Some(column) => Err(PlanError::DuplicateJoined {
            step: step.to_owned(),
            column,
        }),
    }
}

fn twice<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name)).cloned()
}

pub(super) fn compile(step: &str, expr: &Expr, schema: &Schema) -> Result<CompiledExpr, PlanError> {
    check_columns(step, expr, schema)?;
    CompiledExpr::new(expr, schema).map_err(|cause| PlanError::Expression {
        step: step.to_owned(),
        expr: expr.to_string(),
        cause: Box::new(cause),
    })
}

pub(super) fn check_columns(step: &str, expr: &Expr, schema: &Schema) -> Result<(), PlanError> {
    for column in column_names(expr) {
        if schema.field_with_name(&column).is_err() {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let suggestion = did_you_mean(&column, names.iter().copied());
            let available = names.join(", ");
            return Err(PlanError::UnknownColumn {
                step: step.to_owned(),
                column,
                available,
                suggestion,
            });
        }
    }
    Ok(())
}

pub(super) fn wrong_type(
    step: &str,
    expr: &CompiledExpr,
    actual: &DataType,
    expected: &'static str,
) -> PlanError {
    PlanError::WrongType {
        step: step.to_owned(),
        expr: expr.text().to_owned(),
        actual: actual.clone(),
        expected,
    }
}
