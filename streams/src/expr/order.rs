//! `first` and `last`.
use datafusion::functions_aggregate::expr_fn::{first_value, last_value};
use datafusion::logical_expr::Expr;

/// The value of the first row, in the order in which rows come to the step: that of the log for the rows of one partition, any between
/// partitions. Null is a value like any other.
///
/// ```
/// use millstream_streams::{Streams, col, first, json, last, text};
/// let app = Streams::new("ends");
/// app.stream("lines", text("line").with_key("user"))
///     .group_by([col("user")])
///     .aggregate("ends", [first(col("line")).alias("first"), last(col("line")).alias("last")])
///     .to("ends", json());
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn first(value: Expr) -> Expr {
    first_value(value, Vec::new())
}

/// The value of the last row, in the order in which rows come to the step: see [`first`].
///
/// ```
/// use millstream_streams::{col, last};
/// let latest = last(col("price")).alias("latest");
/// ```
pub fn last(value: Expr) -> Expr {
    last_value(value, Vec::new())
}

/// The value of the row with the smallest `order`, whenever it comes: by event time, for example. A null order comes after all others. Of
/// rows of the same order, any may be it.
///
/// ```
/// use millstream_streams::{Streams, col, first_by, json, last_by, text};
/// let app = Streams::new("ends");
/// app.stream("lines", text("line").with_key("user").with_timestamp("at"))
///     .group_by([col("user")])
///     .aggregate("ends", [first_by(col("line"), col("at")).alias("first"), last_by(col("line"), col("at")).alias("last")])
///     .to("ends", json());
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn first_by(value: Expr, order: Expr) -> Expr {
    first_value(value, vec![order.sort(true, false)])
}

/// The value of the row with the largest `order`, whenever it comes. A null order comes before all others. Of rows of the same order, any
/// may be it.
///
/// ```
/// use millstream_streams::{col, last_by};
/// let latest = last_by(col("price"), col("at")).alias("latest");
/// ```
pub fn last_by(value: Expr, order: Expr) -> Expr {
    last_value(value, vec![order.sort(true, true)])
}
