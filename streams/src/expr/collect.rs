//! Aggregates that keep many values, or a sketch of them.
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, lit};
use std::sync::Arc;

/// All values of a group as a list, in the order in which they came; nulls are values.
///
/// The list is the group's state, and so one record of a changelog: it has to stay below the topic's `max.message.bytes`. Lists that only
/// grow do not: give them a [`limit`](crate::AggregateExt::limit), or end them with windows.
///
/// ```
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
/// let app = Streams::new("carts");
/// app.stream("clicks", text("page").with_key("user"))
///     .group_by([cast(col("user"), DataType::Utf8).alias("user")])
///     .aggregate("pages", [collect(col("page")).alias("pages")])
///     .to("pages-by-user", json());
/// let mut driver = TestDriver::new(&app)?;
/// for page in ["home", "cart", "home"] {
///     driver.pipe("clicks", TestRecord::new(page).key("ann"))?;
/// }
/// driver.commit()?;
/// assert_eq!(driver.read("pages-by-user")[0].as_text(), ("ann", r#"{"pages":["home","cart","home"]}"#));
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn collect(value: Expr) -> Expr {
    call(array_agg_udaf(), vec![value], false)
}

/// The values of a group as a list, each once and in no order; null is a value. As large as [`collect`] says.
///
/// ```
/// use millstream_streams::prelude::*;
/// let app = Streams::new("carts");
/// app.stream("clicks", text("page").with_key("user"))
///     .group_by([col("user")])
///     .aggregate("pages", [collect_set(col("page")).alias("pages")])
///     .to("pages-by-user", json().with_key("user"));
/// ```
pub fn collect_set(value: Expr) -> Expr {
    call(array_agg_udaf(), vec![value], true)
}

/// About the value below which a part `percentile`, from 0 to 1, of a group's numbers is, as a float. A t-digest of at most
/// hundred centroids is kept of them, which depends a little on how the rows came together.
///
/// ```
/// use millstream_streams::prelude::*;
/// let requests = json_schema(Schema::new(vec![
///     Field::new("path", DataType::Utf8, true),
///     Field::new("millis", DataType::Float64, true),
/// ]));
/// let app = Streams::new("latency");
/// app.stream("requests", requests)
///     .group_by([col("path")])
///     .window(tumbling(std::time::Duration::from_secs(60)))
///     .aggregate("p99", [approx_percentile(col("millis"), 0.99).alias("p99")])
///     .results()
///     .to("p99-by-path", json());
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn approx_percentile(value: Expr, percentile: f64) -> Expr {
    call(approx_percentile_cont_udaf(), vec![value, lit(percentile)], false)
}

fn call(function: Arc<AggregateUDF>, arguments: Vec<Expr>, distinct: bool) -> Expr {
    // No order: a percentile over values in an order would ask for them in that order.
    let call = AggregateFunction::new_udf(function, arguments, distinct, None, Vec::new(), None);
    Expr::AggregateFunction(call)
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use crate::{TestDriver, TestRecord};
    use serde_json::Value;

    fn job() -> Streams {
        let app = Streams::new("c");
        let numbers = json_schema(Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("value", DataType::Int64, true),
        ]));
        app.stream("numbers", numbers)
            .group_by([col("key")])
            .aggregate(
                "gathered",
                [
                    collect(col("value")).alias("all"),
                    collect_set(col("value") % lit(5)).alias("set"),
                    approx_percentile(col("value"), 0.5).alias("median"),
                    approx_percentile(cast(col("value"), DataType::Float64), 0.9).alias("p90"),
                    approx_distinct(col("value")).alias("distinct"),
                ],
            )
            .to("gathered-now", json());
        app
    }

    #[test]
    fn lists_and_sketches_go_on_over_epochs_and_restarts() {
        let mut driver = TestDriver::with_partitions(&job(), 3).unwrap();
        let mut expected: Vec<i64> = Vec::new();
        for (epoch, values) in [0..700, 700..1_000, 0..1_000].into_iter().enumerate() {
            for value in values {
                let record = TestRecord::new(format!(r#"{{"key":"k","value":{value}}}"#));
                // One partition: that is the order in which they come.
                driver.pipe("numbers", record.partition(1)).unwrap();
                expected.push(value);
            }
            driver.commit().unwrap();
            if epoch == 1 {
                driver.restart().unwrap();
            }
        }
        let records = driver.read("gathered-now");
        let row: Value = serde_json::from_slice(records.last().unwrap().value.as_ref().unwrap()).unwrap();
        let list = |column: &str| -> Vec<i64> { serde_json::from_value(row[column].clone()).unwrap() };
        assert_eq!(list("all"), expected);
        let mut set = list("set");
        set.sort_unstable();
        assert_eq!(set, [0, 1, 2, 3, 4]);
        let near = |column: &str, expected: f64, by: f64| {
            let found = row[column].as_f64().unwrap();
            assert!((found - expected).abs() <= by, "{column}: {found}");
        };
        near("median", 500.0, 20.0);
        near("p90", 900.0, 20.0);
        near("distinct", 1_000.0, 50.0);
    }

    #[test]
    fn a_percentile_beyond_all_rows_is_refused() {
        let app = Streams::new("c");
        app.stream("lines", text("line"))
            .group_by([col("line")])
            .aggregate("p", [approx_percentile(length(col("line")), 1.5)])
            .to("out", json());
        let refused = app.build().unwrap_err().to_string();
        assert!(refused.contains("1.5"), "{refused}");
    }
}
