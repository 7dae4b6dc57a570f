//! Tables, aggregates over their rows, and rows in other partitions.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::logical_expr::Expr;

use super::aggregates::aggregate_spec;
use super::build::{Builder, From, Output, TableOutputs};
use super::checks::{check_columns, compile, distinct, wrong_type};
use super::partitioning::Partitioned;
use super::signed::{Asked, Sums};
use super::{
    ChangelogTopic, Decode, NodeId, NodePlan, PlanError, Repartition, RepartitionTopic, Shuffle, StepId,
    StepKind, TableFinal, TablePartial, ToTable,
};
use crate::expr::prelude::col;
use crate::expr::{CompiledExpr, column_names};
use crate::format::{Placement, ShuffledRows, key_type};

/// The ports of a table's step; see `operator::changes`.
const CHANGES: usize = 1;
const DELETIONS: usize = 2;

/// Whether the row is a member of its group, or no longer.
const LIVE: &str = "$live";

impl Output {
    /// What comes out of a step with the ports of a table; `viewed` if others can look rows up in it.
    pub(super) fn of_table(self, viewed: bool) -> Self {
        let [From::Step(step, _)] = self.from[..] else {
            unreachable!("a table's step has outputs");
        };
        let table = TableOutputs {
            changes: From::Step(step, CHANGES),
            deletions: Some(From::Step(step, DELETIONS)),
            view: viewed.then_some(step),
        };
        Self {
            table: Some(table),
            ..self
        }
    }

    /// The pairs of what the table's rows were and are.
    pub(super) fn changes(&self) -> Self {
        let from = self.table.iter().map(|table| table.changes).collect();
        Self { from, ..self.clone() }
    }

    /// The step in which rows of the table can be looked up, for `step`.
    pub(super) fn view(&self, step: &str) -> Result<StepId, PlanError> {
        let view = self.table.as_ref().and_then(|table| table.view);
        view.ok_or_else(|| PlanError::NoLookup {
            step: step.to_owned(),
            table: self.label.clone(),
        })
    }
}

/// A topic as a table.
#[derive(Debug)]
pub(crate) struct SourceTable {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    /// The last column, which says what deletes its key; else rows without any value do.
    pub(crate) deleted: Option<String>,
    /// What stands for values that a record does not say.
    pub(crate) unavailable: Vec<String>,
    /// Its rows stay where they come, whatever they are partitioned by.
    pub(crate) stays: bool,
}

impl NodePlan for SourceTable {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        builder.keep_last(inputs[0], &self.name, &self.keys, None, Some(self))
    }

    fn is_one_with_its_inputs(&self) -> bool {
        true
    }
}

impl Builder {
    pub(super) fn repartition(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
    ) -> Result<Output, PlanError> {
        let (topic, _) = self.keyed_step(name)?;
        let step = format!("repartition {name}");
        let above = self.outputs[input.0].clone();
        self.moved(&above, &step, topic, keys)
    }

    /// The rows of `above` behind a repartition topic.
    pub(super) fn moved(
        &mut self,
        above: &Output,
        step: &str,
        topic: Arc<str>,
        keys: &[Expr],
    ) -> Result<Output, PlanError> {
        let partitioned = Partitioned::by(keys, &above.schema);
        let keys = compiled_keys(step, keys, &above.schema)?;
        let texts: Vec<&str> = keys.iter().map(CompiledExpr::text).collect();
        let label = format!("{step} by {}", texts.join(", "));
        let rows = Arc::new(ShuffledRows::new(&above.schema));
        let kind = StepKind::Repartition(Repartition {
            keys,
            topic: Arc::clone(&topic),
            rows: Arc::clone(&rows),
            timed: false,
        });
        self.step(above, kind, label, Arc::clone(&above.schema), 0);
        let moved = self.behind(above, topic, rows, step);
        Ok(Output { partitioned, ..moved })
    }

    /// What comes out of a repartition topic of rows.
    fn behind(&mut self, above: &Output, topic: Arc<str>, rows: Arc<ShuffledRows>, label: &str) -> Output {
        self.repartitions.push(RepartitionTopic {
            topic: Arc::clone(&topic),
            upstream: above.sub,
            hold_ms: above.hold_ms,
        });
        let schema = rows.schema();
        let shuffle = Shuffle {
            states: None,
            rows: Some(rows),
        };
        Output {
            sub: self.open(topic, Decode::Shuffle(shuffle)),
            from: vec![From::Rows(0)],
            schema,
            keys: 0,
            label: label.to_owned(),
            hold_ms: 0,
            table: None,
            partitioned: None,
        }
    }

    pub(super) fn last_of_key(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        deleted: Option<&Expr>,
    ) -> Result<Output, PlanError> {
        self.keep_last(input, name, keys, deleted, None)
    }

    /// Keeps the last row of each key. Those of a `source` stay where they come, if they are there by their keys; else they go through a
    /// repartition topic.
    fn keep_last(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        deleted: Option<&Expr>,
        source: Option<&SourceTable>,
    ) -> Result<Output, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("to_table {name}");
        if keys.is_empty() {
            let what = "key columns";
            return Err(PlanError::Nothing { step, what });
        }
        let above = self.outputs[input.0].clone();
        let compiled = compiled_keys(&step, keys, &above.schema)?;
        let names: BTreeSet<&String> = compiled.iter().map(|key| key.field().name()).collect();
        let last = source.and_then(|source| source.deleted.as_deref());
        let others = above
            .schema
            .fields()
            .iter()
            .filter(|field| !names.contains(field.name()) && Some(field.name().as_str()) != last);
        let mut columns = keys.to_vec();
        columns.extend(others.map(|field| col(field.name())));
        columns.extend(last.map(col));
        let ordered = self.project(&step, input, &columns, step.clone())?;
        let key_columns: Vec<Expr> = names_of(&ordered.schema, keys.len()).map(col).collect();
        // The table does not have the column that only says whether its rows are gone.
        let columns = ordered.schema.fields().len() - usize::from(last.is_some());
        let deleted = deleted.cloned().or(last.map(col));
        let deleted = deleted
            .map(|deleted| truth(&step, &deleted, &ordered.schema))
            .transpose()?;
        let placed = Partitioned::by_first(keys.len(), &ordered.schema);
        let is_placed = placed.zip(ordered.partitioned.as_ref());
        let is_placed = is_placed.is_some_and(|(needed, placed)| placed.is_like(&needed));
        let moved = match source.is_some_and(|source| source.stays || is_placed) {
            true => ordered.clone(),
            false => self.moved(&ordered, &step, topic, &key_columns)?,
        };
        let texts: Vec<&str> = compiled.iter().map(CompiledExpr::text).collect();
        let schema = Arc::new(Schema::new(ordered.schema.fields()[..columns].to_vec()));
        let fields = schema.fields().iter();
        let types: Vec<String> = fields
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        let table = ToTable {
            input: Arc::clone(&ordered.schema),
            schema: Arc::clone(&schema),
            keys: keys.len(),
            deleted,
            unavailable: source.map_or(&[][..], |source| &source.unavailable).into(),
            changelog: Arc::clone(&changelog),
            meaning: format!("{step}: {} of {}", texts.join(", "), types.join(", ")),
            changes_used: false,
        };
        let (kind, label) = self.keeper(table, &step)?;
        self.table(&moved, kind, label, changelog, (schema, keys.len()))
    }

    /// A step that keeps a table, with its outputs.
    pub(super) fn table(
        &mut self,
        above: &Output,
        kind: StepKind,
        label: String,
        changelog: Arc<str>,
        (schema, keys): (Arc<Schema>, usize),
    ) -> Result<Output, PlanError> {
        self.changelogs.push(ChangelogTopic {
            topic: changelog,
            sub: above.sub,
        });
        // An aggregate over a table keeps members, not results.
        let viewed = !matches!(kind, StepKind::TableFinal(_));
        let mut table = self.step(above, kind, label, schema, keys);
        table.partitioned = Partitioned::by_first(keys, &table.schema);
        Ok(table.of_table(viewed))
    }

    pub(super) fn table_aggregate(
        &mut self,
        input: NodeId,
        name: &str,
        keys: &[Expr],
        aggregates: &[Expr],
    ) -> Result<Output, PlanError> {
        let (topic, changelog) = self.keyed_step(name)?;
        let step = format!("aggregate {name}");
        let above = self.outputs[input.0].clone();
        let groups = compiled_keys(&step, keys, &above.schema)?;
        for aggregate in aggregates {
            check_columns(&step, aggregate, &above.schema)?;
        }
        let changes = above.changes();
        let asked = Asked {
            name,
            keys,
            aggregates,
            topic,
            changelog,
        };
        self.follows(&asked.changelog, &above);
        match Sums::of(aggregates, &above.schema) {
            Some(sums) => self.signed_aggregate(&above, &changes, asked, sums),
            None => self.members_aggregate(&above, &changes, asked, groups),
        }
    }

    /// An aggregate that keeps the members of its groups.
    fn members_aggregate(
        &mut self,
        above: &Output,
        changes: &Output,
        asked: Asked<'_>,
        groups: Vec<CompiledExpr>,
    ) -> Result<Output, PlanError> {
        let Asked {
            name,
            keys,
            aggregates,
            topic,
            changelog,
        } = asked;
        let step = format!("aggregate {name}");
        // What is shipped of a row: the table's key, and what the aggregates read.
        let read: BTreeSet<String> = aggregates.iter().flat_map(column_names).collect();
        let fields = above.schema.fields().iter().enumerate();
        let columns: Vec<usize> = fields
            .filter(|(place, field)| *place < above.keys || read.contains(field.name()))
            .map(|(place, _)| place)
            .collect();
        let arguments: Vec<FieldRef> = columns
            .iter()
            .map(|place| Arc::new(above.schema.field(*place).clone().with_nullable(true)))
            .collect();
        let arguments = Arc::new(Schema::new(arguments));
        let mut shipped = arguments.fields().to_vec();
        let mut group_columns = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let column = format!("$group.{number}");
            group_columns.push(col(&column).alias(group.field().name()));
            shipped.push(Arc::new(Field::new(
                column,
                key_type(group.field().data_type()),
                true,
            )));
        }
        shipped.push(Arc::new(Field::new(LIVE, DataType::Boolean, false)));
        let shipped = Arc::new(Schema::new(shipped));
        let spec = Arc::new(aggregate_spec(name, &step, &group_columns, aggregates, &shipped)?);
        let output = spec.output_schema();
        distinct(&step, output.fields().iter().map(|field| field.name()))?;

        self.use_changes(changes);
        let rows = Arc::new(ShuffledRows::new(&shipped));
        let partial = StepKind::TablePartial(TablePartial {
            table: Arc::clone(&above.schema),
            groups,
            columns,
            topic: Arc::clone(&topic),
            rows: Arc::clone(&rows),
        });
        self.step(changes, partial, format!("changes for {step}"), shipped, 0);
        let moved = self.behind(above, topic, Arc::clone(&rows), &step);
        let label = format!("{} (table)", spec.text());
        let kind = StepKind::TableFinal(TableFinal {
            rows,
            arguments,
            table_key: (0..above.keys).collect(),
            groups: spec.key_count(),
            changelog: Arc::clone(&changelog),
            changes_used: false,
            spec,
        });
        let table = self.table(&moved, kind, label, changelog, (output, keys.len()))?;
        self.with_kept_rows(table, name)
    }

    /// Has a table's step say what changed.
    pub(super) fn use_changes(&mut self, changes: &Output) {
        for from in &changes.from {
            if let From::Step(StepId(step), _) = *from {
                match &mut self.subs[changes.sub].1[step].kind {
                    StepKind::ToTable(table) => table.changes_used = true,
                    StepKind::TableFinal(table) => table.changes_used = true,
                    StepKind::FinalAggregate { changes_used, .. } => *changes_used = true,
                    StepKind::Keyed(plan) => plan.use_changes(),
                    _ => unreachable!("only tables have changes"),
                }
            }
        }
    }
}

/// What says whether a row is gone.
fn truth(step: &str, expr: &Expr, schema: &Schema) -> Result<CompiledExpr, PlanError> {
    let compiled = compile(step, expr, schema)?;
    match compiled.field().data_type() {
        DataType::Boolean => Ok(compiled),
        other => Err(wrong_type(step, &compiled, other, "a truth value")),
    }
}

fn names_of(schema: &Schema, count: usize) -> impl Iterator<Item = &str> {
    schema
        .fields()
        .iter()
        .take(count)
        .map(|field| field.name().as_str())
}

/// Keys that rows can be placed by.
pub(super) fn compiled_keys(
    step: &str,
    keys: &[Expr],
    schema: &Schema,
) -> Result<Vec<CompiledExpr>, PlanError> {
    if keys.is_empty() {
        let (step, what) = (step.to_owned(), "key columns");
        return Err(PlanError::Nothing { step, what });
    }
    let compiled = keys.iter().map(|key| {
        let key = compile(step, key, schema)?;
        let data_type = key.field().data_type();
        match Placement::supports(&key_type(data_type)) {
            true => Ok(key),
            false => Err(PlanError::UnsupportedKey {
                step: step.to_owned(),
                column: key.field().name().clone(),
                actual: data_type.clone(),
            }),
        }
    });
    compiled.collect()
}
