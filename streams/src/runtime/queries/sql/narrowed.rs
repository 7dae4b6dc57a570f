//! What conditions say of keys, and of when windows begin.
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::operator::KeyRange;
use crate::rows::EventTime;
use crate::runtime::queries::{QueryError, Store};

/// Keys that are looked up one by one; for more, all are looked through.
const KEYS_MAX: usize = 64;

/// What has to be asked, so that no row is missing for which all conditions hold.
pub(super) struct Narrowed {
    /// These keys alone.
    pub(super) keys: Option<Vec<Vec<ArrayRef>>>,
    pub(super) range: KeyRange,
    /// When windows begin.
    pub(super) windows: Range<EventTime>,
}

/// What a condition says of a column.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    OneOf(Vec<ScalarValue>),
    AtLeast(ScalarValue),
    AtMost(ScalarValue),
}

/// Whether a condition may be of use.
pub(super) fn narrows(filter: &Expr, schema: &Schema) -> bool {
    said(filter, schema).is_some()
}

/// Which column a condition is about, and what it says.
fn said(filter: &Expr, schema: &Schema) -> Option<(usize, Said)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => match (said(left, schema)?, said(right, schema)?) {
            ((left, Said::OneOf(mut values)), (right, Said::OneOf(others))) if left == right => {
                values.extend(others);
                Some((left, Said::OneOf(values)))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match (&**left, &**right) {
                (column, Expr::Literal(value, _)) => (column, *op, value),
                (Expr::Literal(value, _), column) => (column, op.swap()?, value),
                _ => return None,
            };
            let column = column_of(column, schema)?;
            let value = fits(value, column, schema)?;
            match op {
                Operator::Eq => Some((column, Said::OneOf(vec![value]))),
                Operator::Gt | Operator::GtEq => Some((column, Said::AtLeast(value))),
                Operator::Lt | Operator::LtEq => Some((column, Said::AtMost(value))),
                _ => None,
            }
        }
        Expr::InList(list) if !list.negated => {
            let column = column_of(&list.expr, schema)?;
            let values = list.list.iter().map(|value| match value {
                Expr::Literal(value, _) => fits(value, column, schema),
                _ => None,
            });
            Some((column, Said::OneOf(values.collect::<Option<_>>()?)))
        }
        _ => None,
    }
}

fn column_of(expr: &Expr, schema: &Schema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.index_of(&column.name).ok(),
        _ => None,
    }
}

/// A value that can be compared with the column's as it is.
fn fits(value: &ScalarValue, column: usize, schema: &Schema) -> Option<ScalarValue> {
    let same = value.data_type() == *schema.field(column).data_type();
    (same && !value.is_null()).then(|| value.clone())
}

impl Narrowed {
    pub(super) fn of(filters: &[Expr], schema: &Schema, store: &Store) -> Result<Self, QueryError> {
        let said: Vec<(usize, Said)> = filters.iter().filter_map(|filter| said(filter, schema)).collect();
        let of = |column: usize| {
            let said = said.iter().filter(move |(about, _)| *about == column);
            said.map(|(_, said)| said)
        };
        let keys = store.key_count();
        let windows = match store.has_windows() {
            true => windows(of(keys)),
            false => EventTime::MIN..EventTime::MAX,
        };
        let values: Vec<Vec<&ScalarValue>> = (0..keys).map(|column| one_of(of(column))).collect();
        let count = values.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul);
        let one_by_one = count.is_some_and(|count| (1..=KEYS_MAX).contains(&count));
        let arrays = |values: &[&ScalarValue]| -> Result<Vec<ArrayRef>, QueryError> {
            let arrays = values.iter().map(|value| value.to_array());
            arrays
                .collect::<Result<_, _>>()
                .map_err(|error| store.failed(error))
        };
        if one_by_one {
            let keys = product(&values).into_iter().map(|key| arrays(&key));
            return Ok(Self {
                keys: Some(keys.collect::<Result<_, _>>()?),
                range: KeyRange::default(),
                windows,
            });
        }
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (column, values) in values.iter().enumerate() {
            if let [value] = values[..] {
                from.push(value);
                to.push(value);
                continue;
            }
            // Behind a column that is not one value, ranges say nothing.
            from.extend(of(column).find_map(|said| match said {
                Said::AtLeast(value) => Some(value),
                _ => None,
            }));
            to.extend(of(column).find_map(|said| match said {
                Said::AtMost(value) => Some(value),
                _ => None,
            }));
            break;
        }
        Ok(Self {
            keys: None,
            range: KeyRange {
                from: arrays(&from)?,
                to: arrays(&to)?,
            },
            windows,
        })
    }
}

/// The values that a column may have, each once; none if that is not known.
fn one_of<'a>(mut said: impl Iterator<Item = &'a Said>) -> Vec<&'a ScalarValue> {
    let values = said.find_map(|said| match said {
        Said::OneOf(values) => Some(values),
        _ => None,
    });
    let mut once: Vec<&ScalarValue> = Vec::new();
    for value in values.into_iter().flatten() {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// Each way to take one value of each column.
fn product<'a>(values: &[Vec<&'a ScalarValue>]) -> Vec<Vec<&'a ScalarValue>> {
    let mut keys = vec![Vec::new()];
    for values in values {
        keys = keys
            .iter()
            .flat_map(|key| values.iter().map(move |value| [&key[..], &[*value]].concat()))
            .collect();
    }
    keys
}

/// When windows may begin.
fn windows<'a>(said: impl Iterator<Item = &'a Said>) -> Range<EventTime> {
    let time = |value: &ScalarValue| match value {
        ScalarValue::TimestampMillisecond(time, _) => *time,
        _ => None,
    };
    let (mut from, mut to) = (EventTime::MIN, EventTime::MAX);
    for said in said {
        let (least, most) = match said {
            Said::OneOf(values) => {
                let times: Option<Vec<EventTime>> = values.iter().map(time).collect();
                let times = times.unwrap_or_default();
                (times.iter().min().copied(), times.iter().max().copied())
            }
            Said::AtLeast(value) => (time(value), None),
            Said::AtMost(value) => (None, time(value)),
        };
        from = from.max(least.unwrap_or(EventTime::MIN));
        to = to.min(most.map_or(EventTime::MAX, |most| most.saturating_add(1)));
    }
    from..to
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::{col, lit};

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("word", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ])
    }

    #[test]
    fn conditions_on_columns_and_values_of_their_type_are_of_use() {
        let schema = schema();
        let text = |text: &str| ScalarValue::from(text);
        let is =
            |filter: Expr, column, expected| assert_eq!(said(&filter, &schema), Some((column, expected)));
        is(col("word").eq(lit("a")), 0, Said::OneOf(vec![text("a")]));
        is(
            lit("a").eq(col("word")).or(col("word").eq(lit("b"))),
            0,
            Said::OneOf(vec![text("a"), text("b")]),
        );
        is(
            col("word").in_list(vec![lit("a"), lit("b")], false),
            0,
            Said::OneOf(vec![text("a"), text("b")]),
        );
        is(lit(5_i64).lt(col("n")), 1, Said::AtLeast(5_i64.into()));
        is(col("n").lt_eq(lit(5_i64)), 1, Said::AtMost(5_i64.into()));
        for filter in [
            col("word").not_eq(lit("a")),
            col("word").in_list(vec![lit("a")], true),
            col("word").eq(lit("a")).or(col("n").eq(lit(1_i64))),
            col("n").eq(lit(1.5)),
            col("n").eq(lit(ScalarValue::Int64(None))),
            col("other").eq(lit(1_i64)),
            col("n").eq(col("n")),
        ] {
            assert_eq!(said(&filter, &schema), None, "{filter}");
        }
    }

    #[test]
    fn keys_of_several_columns_are_all_that_can_be_made() {
        let (a, b, one, two) = ("a".into(), "b".into(), ScalarValue::from(1_i64), 2_i64.into());
        let keys = product(&[vec![&a, &b], vec![&one, &two]]);
        assert_eq!(keys, [[&a, &one], [&a, &two], [&b, &one], [&b, &two]]);
    }

    #[test]
    fn windows_begin_within_all_that_is_said() {
        let at = |time| ScalarValue::TimestampMillisecond(Some(time), Some("UTC".into()));
        let said = [
            Said::AtLeast(at(100)),
            Said::AtMost(at(900)),
            Said::OneOf(vec![at(300), at(200)]),
        ];
        assert_eq!(windows(said.iter()), 200..301);
        assert_eq!(windows(said[..1].iter()), 100..EventTime::MAX);
        assert_eq!(windows([].iter()), EventTime::MIN..EventTime::MAX);
    }
}
