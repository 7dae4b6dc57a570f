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
        let ready = prepare(expr.clone(), &df_schema, true)?;
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

/// Coerces the types of `expr` against `schema`, and folds constants if `simplify` is set.
///
/// DataFusion's physical planner does neither by itself.
pub(crate) fn prepare(expr: Expr, schema: &Arc<DFSchema>, simplify: bool) -> Result<Expr> {
    let context = SimplifyContext::builder().with_schema(Arc::clone(schema)).build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(expr, schema)?;
    if simplify {
        simplifier.simplify(coerced)
    } else {
        Ok(coerced)
    }
}

/// The names of the columns that `expr` reads, in order.
pub(crate) fn column_names(expr: &Expr) -> BTreeSet<String> {
    expr.column_refs()
        .into_iter()
        .map(|column| column.name.clone())
        .collect()
}
