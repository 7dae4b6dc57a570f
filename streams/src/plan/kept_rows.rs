//! The rows of a table whose step does not know them, kept beside it for those that look them up.
use std::sync::Arc;

use datafusion::logical_expr::{Expr, not};

use super::build::{Builder, From, Output};
use super::checks::compile;
use super::{ChangelogTopic, PlanError, StepKind, ToTable};
use crate::expr::prelude::col;
use crate::operator::pair_schema;

/// Whether a row is gone.
const GONE: &str = "$gone";

impl Builder {
    /// Keeps the rows of `table`, the aggregate `name` over another, in `<app>-<name>-rows-changelog`, if others look them up.
    pub(super) fn with_kept_rows(&mut self, mut table: Output, name: &str) -> Result<Output, PlanError> {
        if !self.is_looked_up() {
            return Ok(table);
        }
        let name = format!("{name}-rows");
        let (_, changelog) = self.keyed_step(&name)?;
        self.follows(&changelog, &table);
        let step = format!("rows of {}", table.label);
        let mut changes = table.changes();
        self.use_changes(&changes);
        changes.schema = pair_schema(&table.schema);

        // A key that is gone is among the new columns as well.
        let fields = table.schema.fields().iter();
        let mut columns: Vec<Expr> = fields
            .map(|field| col(format!("$new.{}", field.name())).alias(field.name()))
            .collect();
        columns.push(not(col("$has")).alias(GONE));
        let exprs = columns.iter().map(|expr| compile(&step, expr, &changes.schema));
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<_> = exprs.iter().map(|expr| Arc::clone(expr.field())).collect();
        let input = Arc::new(arrow::datatypes::Schema::new(fields));
        let kind = StepKind::Project {
            exprs,
            schema: Arc::clone(&input),
        };
        let rows = self.step(&changes, kind, step.clone(), Arc::clone(&input), 0);

        let values = input.fields().len() - 1;
        let schema = Arc::new(arrow::datatypes::Schema::new(input.fields()[..values].to_vec()));
        let types: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        self.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&changelog),
            sub: table.sub,
        });
        let kind = StepKind::ToTable(ToTable {
            deleted: Some(compile(&step, &col(GONE), &input)?),
            input,
            schema: Arc::clone(&schema),
            keys: table.keys,
            unavailable: Arc::from([]),
            meaning: format!("rows: {} keys of {}", table.keys, types.join(", ")),
            changelog,
            changes_used: false,
        });
        let kept = self.step(&rows, kind, format!("keep {step}"), schema, table.keys);
        let [From::Step(view, _)] = kept.from[..] else {
            unreachable!("a table's step has outputs");
        };
        if let Some(outputs) = &mut table.table {
            outputs.view = Some(view);
        }
        Ok(table)
    }
}
