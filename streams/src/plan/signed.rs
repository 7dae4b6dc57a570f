//! Aggregates over the rows of a table that need not know the rows: what a row contributed is taken back by adding its opposite.
//!
//! That is exact for counts, and for sums and averages of integers and decimals. Sums of floats do not come back to what they were, and who
//! was the largest cannot be said without the others: those keep the members of their groups ([`TableFinal`](super::TableFinal)).
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, cast, lit, when};

use super::aggregates::aggregate_spec;
use super::build::{Builder, From, Output};
use super::checks::{check_columns, distinct};
use super::{Decode, PlanError, RepartitionTopic, Shuffle, StepKind, StepPlan};
use crate::aggregate::AggregateSpec;
use crate::expr::CompiledExpr;
use crate::expr::prelude::{col, sum};
use crate::operator::{Operator, OperatorError, Place, SignedFinal, SignedPartial, StoreKind};

/// 1 for a row that is there now, −1 for one that was.
const SIGN: &str = "$sign";

/// What an aggregate is made of: sums, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Total {
    Count(usize),
    /// The sum of `sum`, over `count` values.
    Sum {
        sum: usize,
        count: usize,
    },
    /// The same, divided.
    Average {
        sum: usize,
        count: usize,
    },
}

/// Before the repartition topic.
#[derive(Debug, Clone)]
pub(crate) struct SignedPartialPlan {
    /// The columns of the table.
    pub(crate) table: SchemaRef,
    /// The same, and the sign.
    pub(crate) rows: SchemaRef,
    pub(crate) sums: Arc<AggregateSpec>,
    pub(crate) topic: Arc<str>,
}

/// Behind it.
#[derive(Debug, Clone)]
pub(crate) struct SignedFinalPlan {
    /// How many rows there are, and what the totals need.
    pub(crate) sums: Arc<AggregateSpec>,
    pub(crate) totals: Vec<Total>,
    /// What was asked for.
    pub(crate) results: Arc<AggregateSpec>,
    pub(crate) changelog: Arc<str>,
    /// Somebody takes back what a result contributed.
    pub(crate) changes_used: bool,
}

impl StepPlan for SignedPartialPlan {
    fn repartition_topic(&self) -> Option<&Arc<str>> {
        Some(&self.topic)
    }

    fn outputs(&self) -> usize {
        0
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(SignedPartial::new(self, place)?))
    }
}

impl StepPlan for SignedFinalPlan {
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

    fn store(&self) -> Option<StoreKind> {
        Some(StoreKind::Signed(self.clone()))
    }

    fn operator(&self, place: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(SignedFinal::new(self, place)?))
    }
}

/// The sums that aggregates are made of; the first says how many rows there are.
pub(super) struct Sums {
    exprs: Vec<Expr>,
    totals: Vec<Total>,
}

impl Sums {
    /// None if the aggregates are not all made of sums.
    pub(super) fn of(aggregates: &[Expr], table: &Schema) -> Option<Self> {
        let mut sums = Self {
            exprs: vec![sum(col(SIGN)).alias("$sum.0")],
            totals: Vec::new(),
        };
        for aggregate in aggregates {
            let total = sums.total(aggregate, table)?;
            sums.totals.push(total);
        }
        Some(sums)
    }

    fn total(&mut self, aggregate: &Expr, table: &Schema) -> Option<Total> {
        let function = match aggregate {
            Expr::Alias(alias) => return self.total(&alias.expr, table),
            Expr::AggregateFunction(function) => function,
            _ => return None,
        };
        let AggregateFunction { func, params } = function;
        let [value] = &params.args[..] else { return None };
        if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return None;
        }
        let filter = params.filter.as_deref();
        let is_there = match value {
            Expr::Literal(literal, _) if !literal.is_null() => None,
            _ => Some(value.clone().is_not_null()),
        };
        let condition = match (filter.cloned(), is_there) {
            (Some(filter), Some(is_there)) => Some(filter.and(is_there)),
            (filter, is_there) => filter.or(is_there),
        };
        let of = |value: Expr, zero: Expr| match &condition {
            None => Some(sum(value)),
            Some(condition) => Some(sum(when(condition.clone(), value).otherwise(zero).ok()?)),
        };
        let counted = of(col(SIGN), lit(0_i64))?;
        if func.name() == "count" {
            return Some(Total::Count(self.number(counted)));
        }
        let is_average = match func.name() {
            "sum" => false,
            "avg" => true,
            _ => return None,
        };
        let data_type = CompiledExpr::new(value, table).ok()?.field().data_type().clone();
        let (value, zero) = signed(value, &data_type, is_average)?;
        let summed = of(value, zero)?;
        let (sum, count) = (self.number(summed), self.number(counted));
        Some(match is_average {
            true => Total::Average { sum, count },
            false => Total::Sum { sum, count },
        })
    }

    /// The number of a sum, which may be there already.
    fn number(&mut self, sum: Expr) -> usize {
        let known = |known: &Expr| matches!(known, Expr::Alias(alias) if *alias.expr == sum);
        self.exprs.iter().position(known).unwrap_or_else(|| {
            self.exprs.push(sum.alias(format!("$sum.{}", self.exprs.len())));
            self.exprs.len() - 1
        })
    }
}

/// The value of a row as it counts, and a zero of its type; none if adding its opposite would not take it back.
fn signed(value: &Expr, data_type: &DataType, is_average: bool) -> Option<(Expr, Expr)> {
    use DataType::*;
    let opposite = |value: Expr, zero: ScalarValue| {
        let signed = when(col(SIGN).lt(lit(0_i64)), -value.clone()).otherwise(value);
        Some((signed.ok()?, lit(zero)))
    };
    match data_type {
        // Their sums may be larger than any integer, which matters where they are divided.
        Int64 | UInt64 if is_average => {
            let wide = cast(value.clone(), Decimal128(20, 0));
            opposite(wide, ScalarValue::Decimal128(Some(0), 20, 0))
        }
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
            Some((cast(value.clone(), Int64) * col(SIGN), lit(0_i64)))
        }
        Decimal128(digits, scale) => {
            opposite(value.clone(), ScalarValue::Decimal128(Some(0), *digits, *scale))
        }
        _ => None,
    }
}

/// An aggregate over a table's rows, as it was written.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) keys: &'a [Expr],
    pub(super) aggregates: &'a [Expr],
    pub(super) topic: Arc<str>,
    pub(super) changelog: Arc<str>,
}

impl Builder {
    /// The halves of the aggregate before and behind its repartition topic; `changes` are the pairs of the table `above`.
    pub(super) fn signed_aggregate(
        &mut self,
        above: &Output,
        changes: &Output,
        asked: Asked<'_>,
        sums: Sums,
    ) -> Result<Output, PlanError> {
        let Asked {
            name,
            keys,
            aggregates,
            topic,
            changelog,
        } = asked;
        let step = format!("aggregate {name}");
        let fields = above.schema.fields().iter();
        let mut fields: Vec<Field> = fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        fields.push(Field::new(SIGN, DataType::Int64, false));
        let rows = Arc::new(Schema::new(fields));
        for aggregate in aggregates {
            check_columns(&step, aggregate, &above.schema)?;
        }
        let results = Arc::new(aggregate_spec(name, &step, keys, aggregates, &rows)?);
        let sums_spec = Arc::new(aggregate_spec(name, &step, keys, &sums.exprs, &rows)?);
        let output = results.output_schema();
        distinct(&step, output.fields().iter().map(|field| field.name()))?;

        self.use_changes(changes);
        let partial = SignedPartialPlan {
            table: Arc::clone(&above.schema),
            rows,
            sums: Arc::clone(&sums_spec),
            topic: Arc::clone(&topic),
        };
        let label = format!("changes for {step}");
        let kind = StepKind::Keyed(Box::new(partial));
        self.step(changes, kind, label, sums_spec.state_schema(), 0);
        self.repartitions.push(RepartitionTopic {
            topic: Arc::clone(&topic),
            upstream: above.sub,
            hold_ms: above.hold_ms,
        });
        let shuffle = Shuffle {
            states: Some(Arc::clone(&sums_spec)),
            rows: None,
        };
        let shuffled = Output {
            sub: self.open(topic, Decode::Shuffle(shuffle)),
            from: vec![From::Input(0)],
            schema: sums_spec.state_schema(),
            keys: 0,
            label: step,
            hold_ms: 0,
            table: None,
            partitioned: None,
        };
        let label = format!("{} (table)", results.text());
        let kind = StepKind::Keyed(Box::new(SignedFinalPlan {
            sums: sums_spec,
            totals: sums.totals,
            results,
            changelog: Arc::clone(&changelog),
            changes_used: false,
        }));
        self.table(&shuffled, kind, label, changelog, (output, keys.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AggregateExt, avg, count, count_all, count_distinct, max};

    fn totals(aggregates: &[Expr]) -> Option<(usize, Vec<Total>)> {
        let table = Schema::new(vec![
            Field::new("whole", DataType::Int32, true),
            Field::new("large", DataType::UInt64, true),
            Field::new("price", DataType::Decimal128(12, 2), true),
            Field::new("weight", DataType::Float64, true),
        ]);
        let sums = Sums::of(aggregates, &table)?;
        Some((sums.exprs.len(), sums.totals))
    }

    #[test]
    fn what_is_made_of_sums_is_and_each_sum_is_there_once() {
        let some = count(lit(1)).filter(col("whole").gt(lit(3)));
        let found = totals(&[
            count_all().alias("n"),
            count(col("whole")),
            sum(col("whole")).alias("sum"),
            avg(col("whole")),
            avg(col("large")),
            sum(col("price")),
            some,
        ]);
        let expected = vec![
            Total::Count(0),
            Total::Count(1),
            Total::Sum { sum: 2, count: 1 },
            Total::Average { sum: 2, count: 1 },
            Total::Average { sum: 3, count: 4 },
            Total::Sum { sum: 5, count: 6 },
            Total::Count(7),
        ];
        assert_eq!(found, Some((8, expected)));
    }

    #[test]
    fn what_cannot_be_taken_back_by_adding_is_not() {
        let distinct = count_distinct(col("whole"));
        for other in [
            max(col("whole")),
            sum(col("weight")),
            avg(col("weight")),
            sum(col("large")),
            distinct,
            col("whole"),
            sum(col("nowhere")),
        ] {
            assert_eq!(totals(&[count_all(), other.clone()]), None, "{other}");
        }
    }
}
