//! From a logical expression to one that runs over a batch.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

/// An expression bound to a schema.
#[derive(Debug, Clone)]
pub(crate) struct CompiledExpr {
    physical: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    text: String,
}

impl CompiledExpr {
    /// Binds `expr` to `schema`: types are coerced, constants folded.
    pub(crate) fn new(expr: &Expr, schema: &Schema) -> Result<Self> {
        let df_schema = Arc::new(DFSchema::try_from(schema.clone())?);
        let name = expr.schema_name().to_string();
        let ready = prepare(expr.clone(), &df_schema)?;
        let (_, typed) = ready.to_field(df_schema.as_ref())?;
        let physical = create_physical_expr(
            &ready,
            &df_schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;
        let field = Arc::new(Field::new(name, typed.data_type().clone(), typed.is_nullable()));
        Ok(Self {
            physical,
            field,
            text: expr.to_string(),
        })
    }

    /// Name, type and nullability of the result.
    pub(crate) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The expression as the user would read it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// One value a row of `batch`.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.physical.evaluate(batch)?.into_array(batch.num_rows())
    }
}

/// Coerces the types of `expr` against `schema`, and simplifies it: constants are folded, and functions that run only as something else (as
/// `coalesce`, which is a `case`) become it.
///
/// DataFusion's physical planner does neither by itself.
fn prepare(expr: Expr, schema: &Arc<DFSchema>) -> Result<Expr> {
    let simplifier = simplifier(schema);
    simplifier.simplify(simplifier.coerce(expr, schema)?)
}

/// The same of what an aggregate reads; the aggregate itself stays the one that was asked for.
pub(crate) fn prepare_aggregate(expr: Expr, schema: &Arc<DFSchema>) -> Result<Expr> {
    let simplifier = simplifier(schema);
    simplify_arguments(simplifier.coerce(expr, schema)?, &simplifier)
}

fn simplifier(schema: &Arc<DFSchema>) -> ExprSimplifier {
    ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(schema)).build())
}

fn simplify_arguments(expr: Expr, simplifier: &ExprSimplifier) -> Result<Expr> {
    match expr {
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(simplify_arguments(*alias.expr, simplifier)?);
            Ok(Expr::Alias(alias))
        }
        Expr::AggregateFunction(mut call) => {
            let params = &mut call.params;
            for argument in &mut params.args {
                *argument = simplifier.simplify(std::mem::take(argument))?;
            }
            if let Some(filter) = &mut params.filter {
                **filter = simplifier.simplify(std::mem::take(filter))?;
            }
            for order in &mut params.order_by {
                order.expr = simplifier.simplify(std::mem::take(&mut order.expr))?;
            }
            Ok(Expr::AggregateFunction(call))
        }
        other => Ok(other),
    }
}

/// The names of the columns that `expr` reads, in order.
pub(crate) fn column_names(expr: &Expr) -> BTreeSet<String> {
    expr.column_refs()
        .into_iter()
        .map(|column| column.name.clone())
        .collect()
}
