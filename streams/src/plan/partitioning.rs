//! By which columns rows are in their partitions, and rows of two kinds in the same ones.
//!
//! What meets by key has to be in partitions of one number: placed by keys of one encoding, and of as many partitions, which the runtime
//! sees to.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::{Expr, cast};

use super::build::{Builder, Output};
use super::checks::compile;
use super::name;
use super::tables::compiled_keys;
use super::{PlanError, RepartitionTopic};
use crate::expr::CompiledExpr;
use crate::expr::prelude::col;
use crate::format::key_type;

/// The columns whose values say in which partition a row is, in the order in which they are encoded. A row of a source without any key may be
/// in any partition.
#[derive(Debug, Clone)]
pub(super) struct Partitioned(Vec<PlacedBy>);

#[derive(Debug, Clone)]
struct PlacedBy {
    column: String,
    /// The type that was encoded; the column may have become another of the same encoding.
    data_type: DataType,
}

impl Partitioned {
    /// Rows that were placed by `keys`; none if one is more than a column, because nobody would know it again.
    pub(super) fn by(keys: &[Expr], schema: &Schema) -> Option<Self> {
        let placed = keys.iter().map(|key| {
            let column = column_of(key, schema)?;
            let data_type = key_type(schema.field_with_name(column).ok()?.data_type());
            let column = column.to_owned();
            Some(PlacedBy { column, data_type })
        });
        Some(Self(placed.collect::<Option<_>>()?))
    }

    /// Rows whose first `keys` columns are what they were placed by.
    pub(super) fn by_first(keys: usize, schema: &Schema) -> Option<Self> {
        let fields = schema.fields().iter().take(keys);
        Self::by(&fields.map(|field| col(field.name())).collect::<Vec<_>>(), schema)
    }

    /// The same rows with the columns `exprs` in the place of those of `schema`, if the columns that count are among them.
    pub(super) fn projected(&self, exprs: &[Expr], schema: &Schema) -> Option<Self> {
        let placed = self.0.iter().map(|placed| {
            let is_it = |expr: &&Expr| column_of(expr, schema) == Some(&placed.column);
            let expr = exprs.iter().find(is_it)?;
            Some(PlacedBy {
                column: expr.schema_name().to_string(),
                data_type: placed.data_type.clone(),
            })
        });
        Some(Self(placed.collect::<Option<_>>()?))
    }

    /// Whether rows of both may be one stream and still be where they belong.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let pairs = || self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs().all(|(one, other)| {
                one.column == other.column && same_encoding(&one.data_type, &other.data_type)
            })
    }

    /// The columns by which the rows are placed.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|placed| placed.column.as_str())
    }

    /// Which of `keys`, compared as `types`, the rows are placed by, in the order in which they are encoded. Not all need to be among them:
    /// rows that are equal in all are in some.
    fn places(&self, keys: &[Expr], types: &[DataType], schema: &Schema) -> Option<Vec<usize>> {
        let place = |placed: &PlacedBy| {
            (0..keys.len()).find(|key| {
                column_of(&keys[*key], schema) == Some(&placed.column)
                    && same_encoding(&placed.data_type, &types[*key])
            })
        };
        self.0.iter().map(place).collect()
    }
}

/// The column that `expr` is, under whatever name; bytes that become a text are the same bytes.
fn column_of<'a>(expr: &'a Expr, schema: &Schema) -> Option<&'a str> {
    match expr {
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(cast) => {
            let column = column_of(&cast.expr, schema)?;
            let from = schema.field_with_name(column).ok()?.data_type();
            (is_bytes(from) && is_bytes(cast.field.data_type())).then_some(column)
        }
        _ => None,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(key_type(data_type), DataType::Utf8View | DataType::BinaryView)
}

/// Whether equal values of both types are placed alike; see `format::Placement`.
fn same_encoding(one: &DataType, other: &DataType) -> bool {
    (is_bytes(one) && is_bytes(other))
        || (one.is_integer() && other.is_integer())
        || (one.is_floating() && other.is_floating())
        || key_type(one) == key_type(other)
        || matches!((one, other), (DataType::Decimal128(_, one), DataType::Decimal128(_, other)) if one == other)
}

/// The type in which keys of two types are compared, and placed.
pub(super) fn common_type(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::*;
    let (one, other) = (key_type(one), key_type(other));
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or_default();
    let wider = || match width(&one) >= width(&other) {
        true => one.clone(),
        false => other.clone(),
    };
    match (&one, &other) {
        _ if one == other => Some(one),
        // As the bytes of a text; keys of records are bytes.
        _ if is_bytes(&one) && is_bytes(&other) => Some(BinaryView),
        (Decimal128(digits, scale), Decimal128(more, same)) if scale == same => {
            Some(Decimal128(*digits.max(more), *scale))
        }
        (Timestamp(one, zone), Timestamp(other, zone_too)) if zone.is_some() == zone_too.is_some() => {
            Some(Timestamp(*one.max(other), zone.clone()))
        }
        _ if one.is_floating() && other.is_floating() => Some(wider()),
        _ if one.is_signed_integer() && other.is_signed_integer() => Some(wider()),
        _ if one.is_unsigned_integer() && other.is_unsigned_integer() => Some(wider()),
        // No type holds both.
        (UInt64, _) | (_, UInt64) => None,
        _ if one.is_integer() && other.is_integer() => Some(Int64),
        _ => None,
    }
}

/// Two sides that meet by key.
pub(super) struct CoPartitioned {
    /// Both in the same sub-topology, and rows of equal keys in its same task.
    pub(super) sides: [Output; 2],
    /// The keys over the rows of each side, of the same types.
    pub(super) keys: [Vec<CompiledExpr>; 2],
}

/// What is to meet.
pub(super) struct Half<'a> {
    pub(super) rows: &'a Output,
    pub(super) keys: &'a [Expr],
}

impl Builder {
    /// Brings the rows of both sides to the same tasks by their keys, for the step `name`: whichever is not partitioned by them goes through a
    /// repartition topic, `<app>-<name>-left-repartition` or `…-right-…`. So does another, if the sub-topology would otherwise feed itself,
    /// because its watermark would wait for itself. The rows of a table stay where they are.
    pub(super) fn co_partition(
        &mut self,
        name: Option<&str>,
        step: &str,
        sides: [Half<'_>; 2],
    ) -> Result<CoPartitioned, PlanError> {
        let types = common_types(step, &sides)?;
        let keys = [
            coerced(step, &sides[0], &types)?,
            coerced(step, &sides[1], &types)?,
        ];
        let by = self.moves(step, &sides, &types)?;
        let mut moved = Vec::with_capacity(2);
        for (side, by) in by.iter().enumerate() {
            let rows = sides[side].rows;
            moved.push(match by {
                None => rows.clone(),
                Some(by) => {
                    let by: Vec<Expr> = by.iter().map(|key| keys[side][*key].clone()).collect();
                    let name = name.ok_or_else(|| PlanError::JoinName {
                        step: step.to_owned(),
                    })?;
                    let topic = self.side_topic(name, ["left", "right"][side])?;
                    self.moved(rows, step, topic, &by)?
                }
            });
        }
        // What is held by nobody else follows as well when the sub-topologies become one.
        let held = self.outputs.len();
        let subs = [moved[0].sub, moved[1].sub];
        self.outputs.append(&mut moved);
        self.unite(subs[0], subs[1]);
        let mut united = self.outputs.drain(held..);
        let (Some(left), Some(right)) = (united.next(), united.next()) else {
            unreachable!("two were put there");
        };
        drop(united);
        let compiled = |side: usize, rows: &Output| -> Result<Vec<CompiledExpr>, PlanError> {
            let pairs = keys[side].iter().zip(&types);
            let key = |(key, data_type): (&Expr, &DataType)| {
                let as_it_is = compile(step, key, &rows.schema)?;
                match as_it_is.field().data_type() == data_type {
                    true => Ok(as_it_is),
                    false => compile(step, &cast(key.clone(), data_type.clone()), &rows.schema),
                }
            };
            pairs.map(key).collect()
        };
        Ok(CoPartitioned {
            keys: [compiled(0, &left)?, compiled(1, &right)?],
            sides: [left, right],
        })
    }

    /// The rows of `above` where those of equal keys are in one partition: as they are, or behind the repartition topic `topic`.
    pub(super) fn partition(
        &mut self,
        above: &Output,
        step: &str,
        topic: Arc<str>,
        keys: &[Expr],
    ) -> Result<Output, PlanError> {
        let compiled = compiled_keys(step, keys, &above.schema)?;
        let types: Vec<DataType> = compiled
            .iter()
            .map(|key| key_type(key.field().data_type()))
            .collect();
        let placed = above.partitioned.as_ref();
        match placed.and_then(|placed| placed.places(keys, &types, &above.schema)) {
            Some(_) => Ok(above.clone()),
            None => self.moved(above, step, topic, keys),
        }
    }

    /// By which of the keys each side has to be repartitioned, if it has to.
    fn moves(
        &self,
        step: &str,
        sides: &[Half<'_>; 2],
        types: &[DataType],
    ) -> Result<[Option<Vec<usize>>; 2], PlanError> {
        let placed = [0, 1].map(|side| {
            let Half { rows, keys } = &sides[side];
            rows.partitioned.as_ref()?.places(keys, types, &rows.schema)
        });
        let is_table = [0, 1].map(|side| sides[side].rows.table.is_some());
        let all: Vec<usize> = (0..types.len()).collect();
        let by = match (&placed[0], &placed[1]) {
            // A table stays: it says by which keys the other is to be placed.
            (_, Some(right)) if is_table[1] => right,
            (Some(left), _) => left,
            (None, Some(right)) => right,
            (None, None) => &all,
        };
        let needed = [0, 1].map(|side| placed[side].as_ref() != Some(by));
        if let Some(table) = (0..2).find(|side| needed[*side] && is_table[*side]) {
            let keys: Vec<String> = sides[table].keys.iter().map(ToString::to_string).collect();
            return Err(PlanError::TablePartitions {
                step: step.to_owned(),
                table: sides[table].rows.label.clone(),
                keys: keys.join(", "),
            });
        }
        let subs = [sides[0].rows.sub, sides[1].rows.sub];
        let choices = [needed, [true, needed[1]], [needed[0], true], [true, true]];
        let is_possible = |moves: &[bool; 2]| (0..2).all(|side| !(moves[side] && is_table[side]));
        let straight = |moves: &[bool; 2]| is_possible(moves) && !self.is_circle(subs, *moves);
        // If event time cannot do without one, `settle_time` says so.
        let moves = choices.into_iter().find(straight).unwrap_or(needed);
        Ok(moves.map(|moves| moves.then(|| by.clone())))
    }

    /// Whether the sub-topology of both sides feeds itself, if those that `moves` names go through topics of their own.
    fn is_circle(&self, subs: [usize; 2], moves: [bool; 2]) -> bool {
        let stay: BTreeSet<usize> = (0..2)
            .filter(|side| !moves[*side])
            .map(|side| subs[side])
            .collect();
        // What goes through a topic comes into it as well.
        let into: BTreeSet<usize> = BTreeSet::from(subs);
        if !(moves[0] || moves[1]) && subs[0] == subs[1] {
            return false;
        }
        if (0..2).any(|side| moves[side] && stay.contains(&subs[side])) {
            return true;
        }
        let readers = self.readers();
        let behind = |sub: usize| {
            let topics = self
                .repartitions
                .iter()
                .filter(move |topic| topic.upstream == sub);
            let reader = |to: &RepartitionTopic| readers.get(&to.topic).map(|(sub, _)| *sub);
            topics.filter_map(reader).collect::<Vec<usize>>()
        };
        let mut next: Vec<usize> = stay.iter().flat_map(|sub| behind(*sub)).collect();
        let mut seen = BTreeSet::new();
        while let Some(sub) = next.pop() {
            if into.contains(&sub) {
                return true;
            }
            if seen.insert(sub) {
                next.extend(behind(sub));
            }
        }
        false
    }

    /// The repartition topic of one side of a step.
    fn side_topic(&mut self, name: &str, side: &str) -> Result<Arc<str>, PlanError> {
        let (topic, _) = self.keyed_step(&name::side(name, side))?;
        Ok(topic)
    }
}

/// The types in which the keys of both sides are compared.
pub(super) fn common_types(step: &str, sides: &[Half<'_>; 2]) -> Result<Vec<DataType>, PlanError> {
    let [left, right] = sides;
    let keys = [
        compiled_keys(step, left.keys, &left.rows.schema)?,
        compiled_keys(step, right.keys, &right.rows.schema)?,
    ];
    let pairs = keys[0].iter().zip(&keys[1]);
    let types = pairs.map(|(left, right)| {
        let type_of = |key: &CompiledExpr| key.field().data_type().clone();
        let text = |key: &CompiledExpr| format!("{} ({})", key.text(), key.field().data_type());
        common_type(&type_of(left), &type_of(right)).ok_or_else(|| PlanError::JoinKeys {
            step: step.to_owned(),
            left: text(left),
            right: text(right),
        })
    });
    types.collect()
}

/// The keys of a side, which are placed as these types are.
fn coerced(step: &str, side: &Half<'_>, types: &[DataType]) -> Result<Vec<Expr>, PlanError> {
    let pairs = side.keys.iter().zip(types);
    let key = |(key, data_type): (&Expr, &DataType)| {
        let compiled = compile(step, key, &side.rows.schema)?;
        Ok(match key_type(compiled.field().data_type()) == *data_type {
            true => key.clone(),
            false => cast(key.clone(), data_type.clone()),
        })
    };
    pairs.map(key).collect()
}
