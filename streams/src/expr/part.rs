//! Aggregates of a part of the rows, or of the values.
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, not_impl_err, plan_datafusion_err};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::limited::Limited;

/// What an aggregate can be told beside its arguments. On anything but an aggregate it is refused when the job is built.
pub trait AggregateExt: Sized {
    /// The aggregate of those rows alone for which `predicate` is true; false and null leave a row out. A second filter counts as well.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let long = length(col("line")).gt(lit(3));
    /// let app = Streams::new("lines");
    /// app.stream("lines", text("line").with_key("user"))
    ///     .group_by([cast(col("user"), DataType::Utf8).alias("user")])
    ///     .aggregate(
    ///         "lines",
    ///         [
    ///             count_all().filter(long.clone()).alias("long"),
    ///             count_distinct(col("line")).filter(long).alias("different"),
    ///         ],
    ///     )
    ///     .to("lines-by-user", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for line in ["long", "long", "no"] {
    ///     driver.pipe("lines", TestRecord::new(line).key("ann"))?;
    /// }
    /// driver.commit()?;
    /// assert_eq!(driver.read("lines-by-user")[0].as_text().1, r#"{"long":2,"different":1}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    fn filter(self, predicate: Expr) -> Expr;

    /// The aggregate of different values: each counts once.
    ///
    /// ```
    /// use millstream_streams::prelude::*;
    /// let of_each_price_one = sum(col("price")).distinct().alias("prices");
    /// ```
    fn distinct(self) -> Expr;

    /// At most so many values, of [`collect`](crate::collect) and [`collect_set`](crate::collect_set): the first that come. A list that has a
    /// limit stays small enough for a record of its changelog.
    ///
    /// ```
    /// use millstream_streams::{TestDriver, TestRecord, prelude::*};
    /// let app = Streams::new("carts");
    /// app.stream("clicks", text("page").with_key("user"))
    ///     .group_by([cast(col("user"), DataType::Utf8).alias("user")])
    ///     .aggregate("pages", [collect(col("page")).limit(2).alias("pages")])
    ///     .to("pages-by-user", json());
    /// let mut driver = TestDriver::new(&app)?;
    /// for page in ["home", "cart", "home"] {
    ///     driver.pipe("clicks", TestRecord::new(page).key("ann"))?;
    /// }
    /// driver.commit()?;
    /// assert_eq!(driver.read("pages-by-user")[0].as_text().1, r#"{"pages":["home","cart"]}"#);
    /// # Ok::<(), millstream_streams::StreamsError>(())
    /// ```
    fn limit(self, values: usize) -> Expr;
}

impl AggregateExt for Expr {
    fn filter(self, predicate: Expr) -> Expr {
        changed(self, "filter", |mut call| {
            let both = match call.params.filter.take() {
                Some(first) => first.and(predicate),
                None => predicate,
            };
            call.params.filter = Some(Box::new(both));
            Some(call)
        })
    }

    fn distinct(self) -> Expr {
        changed(self, "distinct", |mut call| {
            call.params.distinct = true;
            Some(call)
        })
    }

    fn limit(self, values: usize) -> Expr {
        changed(self, "limit", |mut call| {
            if values == 0 || call.func != array_agg_udaf() {
                return None;
            }
            call.func = Arc::new(AggregateUDF::from(Limited::new(values)));
            Some(call)
        })
    }
}

/// An aggregate that is told more, under whatever name; what cannot be is refused when the job is built, as everything else is.
fn changed(
    expr: Expr,
    what: &'static str,
    change: impl FnOnce(AggregateFunction) -> Option<AggregateFunction>,
) -> Expr {
    match expr {
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(changed(*alias.expr, what, change));
            Expr::Alias(alias)
        }
        Expr::AggregateFunction(call) => {
            let text = call.clone();
            match change(call) {
                Some(call) => Expr::AggregateFunction(call),
                None => Misused::of(what, Expr::AggregateFunction(text)),
            }
        }
        other => Misused::of(what, other),
    }
}

/// An expression that does not compile, because it was asked of the wrong one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Misused {
    what: &'static str,
    of: String,
    signature: Signature,
}

impl Misused {
    fn of(what: &'static str, expr: Expr) -> Expr {
        let misused = ScalarUDF::from(Self {
            what,
            of: expr.to_string(),
            signature: Signature::nullary(Volatility::Immutable),
        });
        misused.call(Vec::new())
    }
}

impl ScalarUDFImpl for Misused {
    fn name(&self) -> &str {
        self.what
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        let takes = match self.what {
            "limit" => "collect(…) and collect_set(…), and is at least 1",
            _ => "aggregates, as count(…) and sum(…)",
        };
        let (what, of) = (self.what, &self.of);
        Err(plan_datafusion_err!(".{what} is of {takes}, not of {of}"))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("{} of {}", self.what, self.of)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use crate::{TestDriver, TestRecord};

    fn rows() -> (Streams, Stream) {
        let app = Streams::new("a");
        let schema = Schema::new(vec![
            Field::new("k", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]);
        let rows = app.stream("in", json_schema(schema));
        (app, rows)
    }

    #[test]
    fn filters_are_of_whatever_aggregate_and_forget_nothing() {
        let (app, rows) = rows();
        let large = || col("n").gt(lit(10));
        rows.group_by([col("k")])
            .aggregate(
                "all",
                [
                    count_all().filter(large()).alias("all"),
                    count_distinct(col("n")).filter(large()).alias("different"),
                    count_distinct(col("n")).alias("named").filter(large()),
                    sum(col("n"))
                        .filter(large())
                        .filter(col("n").lt(lit(13)))
                        .alias("both"),
                    sum(col("n")).distinct().filter(large()).alias("distinct"),
                    last_by(col("n"), lit(0) - col("n"))
                        .filter(large())
                        .alias("least"),
                    collect_set(col("n")).filter(large()).limit(1).alias("set"),
                ],
            )
            .to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for n in [1, 11, 12, 11, 13, 2] {
            driver
                .pipe("in", TestRecord::new(format!(r#"{{"k":"a","n":{n}}}"#)))
                .unwrap();
        }
        driver.commit().unwrap();
        assert_eq!(
            driver.read("out")[0].as_text().1,
            r#"{"all":4,"different":3,"named":3,"both":34,"distinct":36,"least":11,"set":[11]}"#
        );
    }

    /// Functions that only run as something else failed on rows, where an aggregate read them.
    #[test]
    fn what_an_aggregate_reads_may_be_coalesced() {
        let (app, rows) = rows();
        let n = || coalesce(vec![col("n"), lit(7_i64)]);
        rows.group_by([coalesce(vec![col("k"), lit("none")]).alias("k")])
            .aggregate(
                "all",
                [
                    sum(n()).alias("sum"),
                    max(coalesce(vec![nullif(col("n"), lit(12_i64)), lit(0_i64)]) + lit(1_i64)).alias("max"),
                    count_all().filter(n().eq(lit(7_i64))).alias("sevens"),
                    last_by(col("k"), n()).alias("last"),
                    approx_distinct(n()).alias("about"),
                ],
            )
            .to("out", json());
        let mut driver = TestDriver::new(&app).unwrap();
        for row in [r#"{"k":null,"n":3}"#, r#"{"n":null}"#, r#"{"n":12}"#] {
            driver.pipe("in", TestRecord::new(row)).unwrap();
        }
        driver.commit().unwrap();
        assert_eq!(
            driver.read("out")[0].as_text().1,
            r#"{"sum":22,"max":4,"sevens":1,"last":null,"about":3}"#
        );
    }

    #[test]
    fn what_is_no_aggregate_is_refused_and_named() {
        let refused = |expr: Expr| {
            let (app, rows) = rows();
            rows.select([expr.alias("x")]).to("out", json());
            app.build().unwrap_err().to_string()
        };
        let said = refused(col("n").filter(lit(true)));
        assert!(
            said.contains(".filter is of aggregates") && said.ends_with("not of n"),
            "{said}"
        );
        let said = refused((col("n") + lit(1)).limit(3));
        assert!(said.contains(".limit is of collect"), "{said}");
        let aggregated = |expr: Expr| {
            let (app, rows) = rows();
            rows.group_by([col("k")])
                .aggregate("x", [expr.alias("x")])
                .to("out", json());
            app.build().unwrap_err().to_string()
        };
        for expr in [
            sum(col("n")).limit(3),
            collect(col("n")).limit(0),
            (sum(col("n")) + lit(1)).filter(lit(true)),
        ] {
            let said = aggregated(expr);
            assert!(said.contains("is not an aggregate"), "{said}");
        }
    }
}
