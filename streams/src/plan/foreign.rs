//! Tables joined by a column of one that is the key of the other.
//!
//! The rows of both are in other partitions. So those of the left table subscribe to the right one: what they ask for goes through a
//! repartition topic to the tasks of the right table, and what it has goes back through another.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::{Case, Expr, try_cast};

use super::build::{Builder, Output};
use super::checks::{compile, distinct_sides};
use super::partitioning::common_type;
use super::{ChangelogTopic, JoinKind, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::expr::prelude::col;
use crate::operator::{ForeignResult, ForeignSide, Operator, OperatorError, Place, Subscriber};

/// A table, the first input, with the rows of another whose keys are these expressions.
#[derive(Debug, Clone)]
pub(crate) struct ForeignNode {
    pub(crate) name: String,
    pub(crate) keys: Vec<Expr>,
    /// Rows for which the other table has none are kept.
    pub(crate) left: bool,
}

/// What rows of the left table ask for.
#[derive(Debug, Clone)]
pub(crate) struct SubscriberPlan {
    /// How many columns the left table has; its foreign key is the last of them.
    pub(crate) width: usize,
    pub(crate) foreign: usize,
    /// How many of the first are its key.
    pub(crate) keys: usize,
    /// The foreign key, the key, and whether it is asked for, or no longer.
    pub(crate) subscriptions: SchemaRef,
}

/// What the right table answers.
#[derive(Debug, Clone)]
pub(crate) struct ForeignSidePlan {
    pub(crate) subscriptions: SchemaRef,
    /// How many columns are the right table's key, and the foreign key.
    pub(crate) foreign: usize,
    /// How many are the left table's.
    pub(crate) keys: usize,
    /// The left table's key, the foreign key, whether there is a row, and its columns.
    pub(crate) answers: SchemaRef,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
}

/// What the join is.
#[derive(Debug, Clone)]
pub(crate) struct ForeignResultPlan {
    pub(crate) kind: JoinKind,
    /// The left table, its foreign key last.
    pub(crate) left: SchemaRef,
    pub(crate) keys: usize,
    pub(crate) foreign: usize,
    pub(crate) answers: SchemaRef,
    /// Which columns of the right table's key are shown.
    pub(crate) shown_keys: Vec<usize>,
    pub(crate) schema: SchemaRef,
    pub(crate) changelog: Arc<str>,
    pub(crate) meaning: String,
    /// Somebody takes back what a row contributed.
    pub(crate) changes_used: bool,
}

impl StepPlan for SubscriberPlan {
    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(Subscriber::new(self.clone(), place.near.repeats)))
    }
}

impl StepPlan for ForeignSidePlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    fn waits_for_tables(&self, port: u8) -> bool {
        // Who is answered before the table was read is answered again, but not what it should have been.
        port == 0
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(ForeignSide::new(self.clone(), place)?))
    }
}

impl StepPlan for ForeignResultPlan {
    fn changelog(&self) -> Option<&Arc<str>> {
        Some(&self.changelog)
    }

    fn outputs(&self) -> usize {
        3
    }

    fn use_changes(&mut self) {
        self.changes_used = true;
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(ForeignResult::new(self.clone(), place)?))
    }
}

impl NodePlan for ForeignNode {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Output, PlanError> {
        let [left, right] = [0, 1].map(|side: usize| builder.outputs[inputs[side].0].clone());
        let join = Join::new(self, builder, &left, &right)?;
        let left = join.with_foreign_key(builder, &left)?;
        let (left, answers) = join.ask(builder, left, right)?;
        join.result(builder, &left, &answers)
    }

    fn looks_up(&self, _: bool) -> &'static [usize] {
        &[0, 1]
    }
}

/// A join whose names and types are known to be possible.
struct Join<'a> {
    node: &'a ForeignNode,
    step: String,
    /// The foreign key in the types of the right table's key.
    foreign: Vec<Expr>,
    /// Which columns of that are shown.
    shown_keys: Vec<usize>,
    /// How many columns are the left table's key.
    keys: usize,
    /// The columns that are asked for; see [`SubscriberPlan`].
    subscriptions: SchemaRef,
    answers: SchemaRef,
    schema: SchemaRef,
    changelog: Arc<str>,
    /// The topics to the right table and back, and the changelog there.
    topics: [Arc<str>; 3],
    meaning: String,
}

fn foreign_name(number: usize) -> String {
    format!("$fk.{number}")
}

fn key_name(number: usize) -> String {
    format!("$pk.{number}")
}

impl<'a> Join<'a> {
    fn new(
        node: &'a ForeignNode,
        builder: &mut Builder,
        left: &Output,
        right: &Output,
    ) -> Result<Self, PlanError> {
        let step = format!("join_by {}", node.name);
        let (_, changelog) = builder.keyed_step(&node.name)?;
        let (to, asks) = builder.keyed_step(&format!("{}-subscriptions", node.name))?;
        let (back, _) = builder.keyed_step(&format!("{}-answers", node.name))?;
        let right_keys = &right.schema.fields()[..right.keys];
        if node.keys.len() != right.keys {
            let texts: Vec<String> = node.keys.iter().map(ToString::to_string).collect();
            let names: Vec<&str> = right_keys.iter().map(|key| key.name().as_str()).collect();
            return Err(PlanError::NotTheKey {
                step,
                keys: texts.join(", "),
                expected: names.join(", "),
            });
        }
        let mut foreign = Vec::with_capacity(right.keys);
        for (number, (expr, key)) in node.keys.iter().zip(right_keys).enumerate() {
            foreign.push(foreign_key(&step, expr, left, key)?.alias(foreign_name(number)));
        }
        let is_shown = |key: &usize| !matches!(&node.keys[*key], Expr::Column(column) if column.name() == right_keys[*key].name());
        let shown_keys: Vec<usize> = (0..right.keys).filter(is_shown).collect();

        let [subscriptions, answers, schema] = columns(&step, left, right, &shown_keys)?;
        let types = |schema: &Schema| -> String {
            let fields = schema.fields().iter();
            let types: Vec<String> = fields
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect();
            types.join(", ")
        };
        let texts: Vec<String> = node.keys.iter().map(ToString::to_string).collect();
        let kind = if node.left { "left " } else { "" };
        Ok(Self {
            meaning: format!(
                "{kind}{step} on {}: ({}) with ({})",
                texts.join(", "),
                types(&left.schema),
                types(&right.schema)
            ),
            node,
            step,
            foreign,
            shown_keys,
            keys: left.keys,
            subscriptions,
            answers,
            schema,
            changelog,
            topics: [to, back, asks],
        })
    }

    /// The left table with its foreign key as columns.
    fn with_foreign_key(&self, builder: &mut Builder, left: &Output) -> Result<Output, PlanError> {
        let mut exprs: Vec<Expr> = left
            .schema
            .fields()
            .iter()
            .map(|field| col(field.name()))
            .collect();
        exprs.extend(self.foreign.iter().cloned());
        let texts: Vec<String> = self.node.keys.iter().map(ToString::to_string).collect();
        let label = format!("{} on {}", self.step, texts.join(", "));
        builder.mapped_table(left, &self.step, &exprs, label, true)
    }

    /// What the right table has for the left one, where the left one is; and the left one there.
    fn ask(&self, builder: &mut Builder, left: Output, right: Output) -> Result<(Output, Output), PlanError> {
        let plan = SubscriberPlan {
            width: left.schema.fields().len(),
            foreign: self.foreign.len(),
            keys: self.keys,
            subscriptions: Arc::clone(&self.subscriptions),
        };
        let [to, back, changelog] = &self.topics;
        let to_right = placed_by(&self.step, &right, foreign_name)?;
        let to_left = placed_by(&self.step, &left, key_name)?;
        builder.follows(changelog, &left);
        builder.follows(&self.changelog, &left);
        let changes = left.changes();
        builder.use_changes(&changes);
        let label = format!("subscriptions of {}", self.step);
        let kind = StepKind::Keyed(Box::new(plan));
        let asked = builder.step(&changes, kind, label.clone(), Arc::clone(&self.subscriptions), 0);
        let asked = builder.moved(&asked, &label, Arc::clone(to), &to_right)?;
        let [left, right, asked] = builder.united([left, right, asked], 1, 2);

        let label = format!("answers of {}", self.step);
        let plan = ForeignSidePlan {
            subscriptions: Arc::clone(&self.subscriptions),
            foreign: self.foreign.len(),
            keys: self.keys,
            answers: Arc::clone(&self.answers),
            changelog: Arc::clone(changelog),
            meaning: format!("subscriptions of {}", self.meaning),
        };
        let changes = right.changes();
        builder.use_changes(&changes);
        let kind = StepKind::Keyed(Box::new(plan));
        let answers = Arc::clone(&self.answers);
        let answered = builder.step_on(&[&asked, &changes], kind, label.clone(), answers, 0);
        builder.read_tables(&answered, &[right.view(&self.step)?]);
        builder.changelogs.push(ChangelogTopic {
            topic: Arc::clone(changelog),
            sub: answered.sub,
        });
        let answered = builder.moved(&answered, &label, Arc::clone(back), &to_left)?;
        let [left, answered, _] = builder.united([left, answered, right], 0, 1);
        Ok((left, answered))
    }

    fn result(&self, builder: &mut Builder, left: &Output, answers: &Output) -> Result<Output, PlanError> {
        let kind = match self.node.left {
            true => JoinKind::Left,
            false => JoinKind::Inner,
        };
        let plan = ForeignResultPlan {
            kind,
            left: Arc::clone(&left.schema),
            keys: self.keys,
            foreign: self.foreign.len(),
            answers: Arc::clone(&self.answers),
            shown_keys: self.shown_keys.clone(),
            schema: Arc::clone(&self.schema),
            changelog: Arc::clone(&self.changelog),
            meaning: self.meaning.clone(),
            changes_used: false,
        };
        let changes = left.changes();
        let label = format!("{}{} (table)", kind.word(), self.step);
        let kind = StepKind::Keyed(Box::new(plan));
        let above = [answers, &changes];
        let joined = builder.step_on(&above, kind, label, Arc::clone(&self.schema), self.keys);
        builder.read_tables(&joined, &[left.view(&self.step)?]);
        builder.changelogs.push(ChangelogTopic {
            topic: Arc::clone(&self.changelog),
            sub: joined.sub,
        });
        let partitioned = left.partitioned.clone();
        Ok(Output {
            partitioned,
            ..joined
        }
        .of_table(true))
    }
}

/// The columns of what is asked for, of what is answered, and of the join.
fn columns(
    step: &str,
    left: &Output,
    right: &Output,
    shown_keys: &[usize],
) -> Result<[SchemaRef; 3], PlanError> {
    let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
    let named = |field: &FieldRef, name: String| Arc::new(nullable(field).as_ref().clone().with_name(name));
    let flag = |name: &str| Arc::new(Field::new(name, DataType::Boolean, false));
    let (right_keys, values) = right.schema.fields().split_at(right.keys);
    let (left_keys, left_values) = left.schema.fields().split_at(left.keys);
    let foreign = right_keys.iter().enumerate();
    let foreign: Vec<FieldRef> = foreign
        .map(|(key, field)| named(field, foreign_name(key)))
        .collect();
    let keys = left_keys.iter().enumerate();
    let keys: Vec<FieldRef> = keys.map(|(key, field)| named(field, key_name(key))).collect();

    let mut asked = [foreign.clone(), keys.clone()].concat();
    asked.push(flag("$live"));
    let mut answered = [keys, foreign].concat();
    answered.push(flag("$found"));
    answered.extend(
        values
            .iter()
            .map(|field| named(field, format!("$right.{}", field.name()))),
    );
    let mut shown = left_keys.to_vec();
    shown.extend(left_values.iter().map(nullable));
    shown.extend(shown_keys.iter().map(|key| nullable(&right_keys[*key])));
    shown.extend(values.iter().map(nullable));
    distinct_sides(step, &shown)?;
    Ok([asked, answered, shown].map(|fields| Arc::new(Schema::new(fields))))
}

/// The expression over the left table as the right table's key `key`; what that cannot be is null, and as little there.
fn foreign_key(step: &str, expr: &Expr, left: &Output, key: &FieldRef) -> Result<Expr, PlanError> {
    let compiled = compile(step, expr, &left.schema)?;
    let (own, other) = (compiled.field().data_type(), key.data_type());
    if common_type(own, other).is_none() {
        return Err(PlanError::JoinKeys {
            step: step.to_owned(),
            left: format!("{} ({own})", compiled.text()),
            right: format!("{} ({other})", key.name()),
        });
    }
    if own == other {
        return Ok(expr.clone());
    }
    let cut = try_cast(expr.clone(), other.clone());
    if !(own.is_numeric() || own.is_temporal()) {
        return Ok(cut);
    }
    // Times of other units are cut, and numbers rounded: then it is another value.
    let again = try_cast(cut.clone(), own.clone());
    let same = (Box::new(again.eq(expr.clone())), Box::new(cut));
    Ok(Expr::Case(Case::new(None, vec![same], None)))
}

/// The columns by which the rows of `table` are placed, as others call them: `named` says how for each of its key.
fn placed_by(step: &str, table: &Output, named: impl Fn(usize) -> String) -> Result<Vec<Expr>, PlanError> {
    let keys = &table.schema.fields()[..table.keys];
    let placed: Option<Vec<Expr>> = table.partitioned.as_ref().and_then(|placed| {
        let columns = placed
            .columns()
            .map(|column| keys.iter().position(|key| key.name() == column));
        columns.map(|key| Some(col(named(key?)))).collect()
    });
    placed.ok_or_else(|| {
        let names: Vec<&str> = keys.iter().map(|key| key.name().as_str()).collect();
        PlanError::TablePartitions {
            step: step.to_owned(),
            table: table.label.clone(),
            keys: names.join(", "),
        }
    })
}

impl Builder {
    /// Makes one sub-topology of those of two of `outputs`, and gives all as they are then.
    fn united<const N: usize>(&mut self, outputs: [Output; N], one: usize, other: usize) -> [Output; N] {
        let subs = (outputs[one].sub, outputs[other].sub);
        // What is held by nobody else follows as well.
        let held = self.outputs.len();
        self.outputs.extend(outputs);
        self.unite(subs.0, subs.1);
        let united: Vec<Output> = self.outputs.drain(held..).collect();
        let Ok(united) = united.try_into() else {
            unreachable!("as many as were put there");
        };
        united
    }
}
