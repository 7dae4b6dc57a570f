//! Joins of two streams in the plan.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use super::build::{Builder, From, Output};
use super::checks::{columns, distinct_sides};
use super::partitioning::{CoPartitioned, Half};
use super::{ChangelogTopic, JoinKind, NodeId, NodePlan, PlanError, Side, StepKind, StepPlan};
use crate::expr::CompiledExpr;
use crate::operator::{self, Operator, OperatorError, Place};
use crate::window::JoinWindow;

/// The shortest span of time that is kept together. Shorter ones would be many records an epoch where event time goes fast.
const BUCKET_MS_MIN: i64 = if cfg!(test) { 8 } else { 1_000 };
/// So many spans are as long as all that a row may meet.
const BUCKETS: i64 = 4;

/// Two streams whose rows meet by key.
#[derive(Debug, Clone)]
pub(crate) struct StreamJoinNode {
    pub(crate) name: String,
    /// Pairs of keys: the left side's and the right side's.
    pub(crate) on: Vec<(Expr, Expr)>,
    pub(crate) window: JoinWindow,
    pub(crate) kind: JoinKind,
}

/// The same, compiled.
#[derive(Debug, Clone)]
pub(crate) struct StreamJoin {
    /// The keys of each side.
    pub(crate) keys: [Vec<CompiledExpr>; 2],
    /// The columns of each side.
    pub(crate) schemas: [SchemaRef; 2],
    pub(crate) output: SchemaRef,
    /// Where each column of the output comes from.
    pub(crate) columns: Arc<[JoinColumn]>,
    pub(crate) kind: JoinKind,
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) grace_ms: i64,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
    /// Whether somebody takes the late rows of each side.
    pub(crate) late: [bool; 2],
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinColumn {
    Left(usize),
    Right(usize),
    /// A key of both sides under one name.
    Both(usize, usize),
}

impl StreamJoin {
    /// How much earlier, and how much later, rows may be that a row of `side` meets.
    pub(crate) fn reach(&self, side: usize) -> (i64, i64) {
        match side {
            0 => (self.before_ms, self.after_ms),
            _ => (self.after_ms, self.before_ms),
        }
    }

    /// The span of time that is kept together.
    pub(crate) fn bucket_ms(&self) -> i64 {
        bucket_ms(self.before_ms.saturating_add(self.after_ms))
    }

    /// How far what is emitted may be behind what came.
    fn hold_ms(&self) -> i64 {
        let waits = (0..2).filter(|side| self.kind.keeps(*side));
        let longest = waits.map(|side| self.reach(side).1).max().unwrap_or(0);
        self.grace_ms.saturating_add(longest)
    }
}

/// The span of time that is kept together where a row may meet others of `all` milliseconds.
pub(super) fn bucket_ms(all: i64) -> i64 {
    (all / BUCKETS + 1).max(BUCKET_MS_MIN)
}

impl StepPlan for StreamJoin {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    /// Joined rows, and the late ones of each side.
    fn outputs(&self) -> usize {
        3
    }

    fn waits_for_time(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(operator::StreamJoin::new(self, place)))
    }
}

impl NodePlan for StreamJoinNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let (_, changelog) = builder.keyed_step(&self.name)?;
        let step = format!("join {}", self.name);
        if let Some(reason) = self.window.fault() {
            return Err(PlanError::Windows { step, reason });
        }
        if self.on.is_empty() {
            let what = "key columns";
            return Err(PlanError::Nothing { step, what });
        }
        let above = [0, 1].map(|side: usize| builder.outputs[inputs[side].0].clone());
        let (left, right): (Vec<Expr>, Vec<Expr>) = self.on.iter().cloned().unzip();
        let halves = [
            Half {
                rows: &above[0],
                keys: &left,
            },
            Half {
                rows: &above[1],
                keys: &right,
            },
        ];
        let together = builder.co_partition(Some(&self.name), &step, halves)?;
        let (output, from) = self.output(&together);
        distinct_sides(&step, output.fields())?;
        let late = [Side::LateLeft, Side::LateRight].map(|side| builder.is_taken(side));
        let plan = StreamJoin {
            schemas: [0, 1].map(|side: usize| Arc::clone(&together.sides[side].schema)),
            output: Arc::clone(&output),
            columns: from.into(),
            kind: self.kind,
            before_ms: self.window.before_ms(),
            after_ms: self.window.after_ms(),
            grace_ms: self.window.grace_ms(),
            changelog: Arc::clone(&changelog),
            meaning: self.meaning(&together),
            late,
            keys: together.keys,
        };
        builder.changelogs.push(ChangelogTopic {
            topic: changelog,
            sub: together.sides[0].sub,
        });
        let [left, right] = &together.sides;
        let label = self.label(&step, &plan);
        let hold_ms = plan.hold_ms();
        let kind = StepKind::Keyed(Box::new(plan));
        let mut joined = builder.step_on(&[left, right], kind, label, output, 0);
        joined.hold_ms = joined.hold_ms.saturating_add(hold_ms);
        if self.kind != JoinKind::Outer {
            // Where the left row is, is where they are.
            joined.partitioned = left.partitioned.clone();
        }
        set_late(builder, &joined, &together.sides, &step);
        Ok(joined)
    }
}

/// The late rows of each side, where somebody takes them.
fn set_late(builder: &mut Builder, joined: &Output, sides: &[Output; 2], step: &str) {
    let [From::Step(id, _)] = joined.from[..] else {
        unreachable!("a join is one step");
    };
    for (number, side) in [Side::LateLeft, Side::LateRight].into_iter().enumerate() {
        if builder.is_taken(side) {
            let late = Output {
                from: vec![From::Step(id, 1 + number)],
                label: format!("late rows of {step}"),
                keys: 0,
                ..sides[number].clone()
            };
            builder.set_side(side, late);
        }
    }
}

impl StreamJoinNode {
    /// The left side's columns, then the right side's. Keys of one name are one column.
    fn output(&self, together: &CoPartitioned) -> (SchemaRef, Vec<JoinColumn>) {
        let [left, right] = [0, 1].map(|side: usize| &together.sides[side].schema);
        let shared = |number: &usize| match &self.on[*number] {
            (Expr::Column(left), Expr::Column(right)) => left.name == right.name,
            _ => false,
        };
        let shared = (0..self.on.len()).filter(shared).filter_map(|number| {
            let name = together.keys[0][number].field().name();
            let places = (left.index_of(name).ok()?, right.index_of(name).ok()?);
            Some((places, together.keys[0][number].field().data_type().clone()))
        });
        let shared: Vec<((usize, usize), DataType)> = shared.collect();
        let (mut fields, mut from) = (Vec::new(), Vec::new());
        for (place, field) in left.fields().iter().enumerate() {
            let both = shared.iter().find(|((left, _), _)| *left == place);
            let (column, data_type, nullable) = match both {
                Some(((left, other), key_type)) => {
                    let other_field = right.field(*other);
                    let data_type = match field.data_type() == other_field.data_type() {
                        true => field.data_type(),
                        false => key_type,
                    };
                    let nullable = other_field.is_nullable() && self.kind == JoinKind::Outer;
                    (JoinColumn::Both(*left, *other), data_type, nullable)
                }
                None => (
                    JoinColumn::Left(place),
                    field.data_type(),
                    self.kind == JoinKind::Outer,
                ),
            };
            from.push(column);
            fields.push(Field::new(
                field.name(),
                data_type.clone(),
                field.is_nullable() || nullable,
            ));
        }
        for (place, field) in right.fields().iter().enumerate() {
            if shared.iter().any(|((_, right), _)| *right == place) {
                continue;
            }
            let nullable = field.is_nullable() || self.kind != JoinKind::Inner;
            from.push(JoinColumn::Right(place));
            fields.push(Field::new(field.name(), field.data_type().clone(), nullable));
        }
        (Arc::new(Schema::new(fields)), from)
    }

    /// What stored rows mean. Grace is a part of it, as with windows; and the kind: an inner join does not store which rows were matched.
    fn meaning(&self, together: &CoPartitioned) -> String {
        let pairs = together.keys[0].iter().zip(&together.keys[1]);
        let key = |(left, right): (&CompiledExpr, &CompiledExpr)| {
            format!("{} = {} {}", left.text(), right.text(), left.field().data_type())
        };
        let keys: Vec<String> = pairs.map(key).collect();
        let [left, right] = [0, 1].map(|side: usize| columns(&together.sides[side].schema));
        let (kind, window) = (self.kind, &self.window);
        format!(
            "{kind} join on {} {window}; left {left}; right {right}",
            keys.join(", ")
        )
    }

    fn label(&self, step: &str, plan: &StreamJoin) -> String {
        let pairs = plan.keys[0].iter().zip(&plan.keys[1]);
        let keys: Vec<String> = pairs
            .map(|(left, right)| format!("{} = {}", left.text(), right.text()))
            .collect();
        format!("{step}: {} on {} {}", self.kind, keys.join(", "), self.window)
    }
}
