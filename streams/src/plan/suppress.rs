//! A table whose changes wait for a time.
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::build::{Builder, Output};
use super::checks::columns;
use super::{ChangelogTopic, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::operator::{Operator, OperatorError, Place, Suppress};

/// As it was written; the input is a table.
#[derive(Debug, Clone)]
pub(crate) struct SuppressNode {
    pub(crate) name: String,
    pub(crate) limit: Duration,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct SuppressPlan {
    /// The columns of the table, the first `keys` of which are the key.
    pub(crate) schema: SchemaRef,
    pub(crate) keys: usize,
    pub(crate) limit_ms: i64,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

/// What fits into times in milliseconds, and more than anybody waits.
const LONGEST: Duration = Duration::from_secs(10_000 * 366 * 24 * 3600);

impl StepPlan for SuppressPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    fn keeps_rows(&self) -> bool {
        false
    }

    fn outputs(&self) -> usize {
        3
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(Suppress::new(self, place)?))
    }
}

impl NodePlan for SuppressNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let (_, changelog) = builder.keyed_step(&self.name)?;
        let step = format!("suppress {}", self.name);
        let limit = self.limit;
        if limit.is_zero() || !limit.subsec_nanos().is_multiple_of(1_000_000) || limit > LONGEST {
            return Err(PlanError::Suppress { step, limit });
        }
        let table = builder.outputs[inputs[0].0].clone();
        let outputs = table.table.clone().expect("only tables offer this step");
        let changes = Output {
            from: vec![outputs.changes],
            ..table.clone()
        };
        builder.use_changes(&changes);
        let plan = SuppressPlan {
            schema: Arc::clone(&table.schema),
            keys: table.keys,
            limit_ms: i64::try_from(limit.as_millis()).unwrap_or(i64::MAX),
            changelog: Arc::clone(&changelog),
            meaning: format!("{step} until {limit:?}: {}", columns(&table.schema)),
            changes_used: false,
        };
        builder.changelogs.push(ChangelogTopic {
            topic: changelog,
            sub: table.sub,
        });
        let label = format!("{step} until {limit:?} (table)");
        let hold_ms = plan.limit_ms;
        let kind = StepKind::Keyed(Box::new(plan));
        let mut late = builder.step(&changes, kind, label, Arc::clone(&table.schema), table.keys);
        late.hold_ms = late.hold_ms.saturating_add(hold_ms);
        late.partitioned = table.partitioned;
        Ok(late.of_table(false))
    }
}
