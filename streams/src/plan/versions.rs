//! Tables that keep what they had, and streams that look up what a table had at their time.
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};

use super::build::{Builder, From, Output};
use super::checks::columns;
use super::lookup::Meeting;
use super::{
    ChangelogTopic, LookupNode, NodeId, NodePlan, PlanError, Side, StepId, StepKind, StepPlan, ToTable,
};
use crate::expr::CompiledExpr;
use crate::operator::{self, Operator, OperatorError, Place};
use crate::window::whole_millis;

/// The shortest span of time of which waiting rows are kept together.
const BUCKET_MS_MIN: i64 = if cfg!(test) { 8 } else { 1_000 };
/// So many spans are as long as rows wait.
const BUCKETS: i64 = 4;

/// A table that keeps the versions of its rows.
#[derive(Debug, Clone)]
pub(crate) struct VersionsPlan {
    pub(crate) table: ToTable,
    /// How far behind event time a version may be asked for.
    pub(crate) history_ms: i64,
}

/// The rows of a stream with those that a table had at their time.
#[derive(Debug, Clone)]
pub(crate) struct VersionedLookupNode {
    /// With a name.
    pub(crate) lookup: LookupNode,
    pub(crate) grace: Duration,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct VersionedLookupPlan {
    /// Of the stream, in the order of the table's.
    pub(crate) keys: Vec<CompiledExpr>,
    /// The types of the table's key.
    pub(crate) key_types: Vec<DataType>,
    /// Which columns of the key are added to the stream's, before those behind it.
    pub(crate) shown_keys: Vec<usize>,
    /// The columns of the stream.
    pub(crate) rows: SchemaRef,
    pub(crate) schema: SchemaRef,
    /// Rows for which the table had none are kept.
    pub(crate) left: bool,
    pub(crate) grace_ms: i64,
    /// Whether somebody takes the late rows.
    pub(crate) late: bool,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
}

impl StepPlan for VersionsPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.table.changelog)
    }

    fn outputs(&self) -> usize {
        3
    }

    fn use_changes(&mut self) {
        self.table.changes_used = true;
    }

    /// How long versions are kept hangs on it, and who asks for them waits for the table's rows.
    fn waits_for_time(&self) -> bool {
        true
    }

    fn history_ms(&self) -> Option<i64> {
        Some(self.history_ms)
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(operator::Versions::new(self, place)?))
    }
}

impl VersionedLookupPlan {
    /// The span of time of which rows are kept together.
    pub(crate) fn bucket_ms(&self) -> i64 {
        (self.grace_ms / BUCKETS + 1).max(BUCKET_MS_MIN)
    }
}

impl StepPlan for VersionedLookupPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    /// Joined rows, and late ones.
    fn outputs(&self) -> usize {
        2
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(operator::VersionedLookup::new(self, place)))
    }
}

impl NodePlan for VersionedLookupNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let name = self.lookup.name.as_deref().unwrap_or_default();
        let (_, changelog) = builder.keyed_step(name)?;
        let step = format!("join {name}");
        let Meeting {
            stream,
            table,
            view,
            keys,
            key_types,
            shown_keys,
            schema,
            on,
        } = self.lookup.meeting(builder, inputs, &step)?;
        let grace_ms = whole_millis(self.grace).ok_or_else(|| PlanError::History {
            step: step.clone(),
            reason: "its grace must be whole milliseconds, and no more than 10,000 years".to_owned(),
        })?;
        // Who is behind the other waits for it.
        let hold_ms = stream.hold_ms.max(table.hold_ms);
        let asks_back = grace_ms.saturating_add(hold_ms - table.hold_ms);
        builder.check_history(&step, &table, view, asks_back)?;
        let kind = if self.lookup.left { "left " } else { "" };
        let label = format!(
            "{kind}{step} on {on} as of its time{}",
            match self.grace.is_zero() {
                true => String::new(),
                false => format!(" grace {:?}", self.grace),
            }
        );
        let texts: Vec<&str> = keys.iter().map(CompiledExpr::text).collect();
        let plan = VersionedLookupPlan {
            meaning: format!(
                "rows by {} for {:?}; {}",
                texts.join(", "),
                self.grace,
                columns(&stream.schema)
            ),
            keys,
            key_types,
            shown_keys,
            rows: Arc::clone(&stream.schema),
            schema: Arc::clone(&schema),
            left: self.lookup.left,
            grace_ms,
            late: builder.is_taken(Side::Late),
            changelog: Arc::clone(&changelog),
        };
        builder.changelogs.push(ChangelogTopic {
            topic: changelog,
            sub: stream.sub,
        });
        let above = Output {
            hold_ms,
            ..stream.clone()
        };
        let kind = StepKind::Keyed(Box::new(plan));
        let mut joined = builder.step(&above, kind, label, schema, stream.keys);
        builder.read_tables(&joined, &[view]);
        joined.hold_ms = joined.hold_ms.saturating_add(grace_ms);
        builder.set_late(&joined, &stream, &step);
        Ok(Output {
            partitioned: stream.partitioned,
            ..joined
        })
    }

    fn looks_up(&self, _: bool) -> &'static [usize] {
        &[1]
    }
}

impl Builder {
    /// The late rows of a lookup, if somebody takes them.
    fn set_late(&mut self, joined: &Output, stream: &Output, step: &str) {
        let [From::Step(id, _)] = joined.from[..] else {
            unreachable!("a lookup is one step");
        };
        if self.is_taken(Side::Late) {
            let late = Output {
                from: vec![From::Step(id, 1)],
                label: format!("late rows of {step}"),
                keys: 0,
                ..stream.clone()
            };
            self.set_side(Side::Late, late);
        }
    }

    /// The step that keeps a table, with its versions if the node that is being added was asked for them.
    pub(super) fn keeper(&mut self, table: ToTable, step: &str) -> Result<(StepKind, String), PlanError> {
        let Some(history) = self.take_history() else {
            return Ok((StepKind::ToTable(table), format!("{step} (table)")));
        };
        let history_ms = whole_millis(history).ok_or_else(|| PlanError::History {
            step: step.to_owned(),
            reason: "its history must be whole milliseconds, and no more than 10,000 years".to_owned(),
        })?;
        let meaning = format!("{}, each of its versions", table.meaning);
        let plan = VersionsPlan {
            table: ToTable { meaning, ..table },
            history_ms,
        };
        let label = format!("{step} (table, versions of {history:?})");
        Ok((StepKind::Keyed(Box::new(plan)), label))
    }

    /// Whether a table keeps versions for as long as somebody asks for them.
    fn check_history(
        &self,
        step: &str,
        table: &Output,
        StepId(view): StepId,
        asks_back_ms: i64,
    ) -> Result<(), PlanError> {
        let kept = match &self.subs[table.sub].1[view].kind {
            StepKind::Keyed(plan) => plan.history_ms(),
            _ => None,
        };
        match kept {
            None => Err(PlanError::NoVersions {
                table: table.label.clone(),
            }),
            Some(kept) if kept < asks_back_ms => Err(PlanError::History {
                step: step.to_owned(),
                reason: format!(
                    "its rows ask for versions of up to {:?} before, and {} keeps those of {:?}; let versioned(…) keep more",
                    Duration::from_millis(asks_back_ms.unsigned_abs()),
                    table.label,
                    Duration::from_millis(kept.unsigned_abs()),
                ),
            }),
            Some(_) => Ok(()),
        }
    }
}
