//! The boundary to DataFusion's expressions.
//!
//! Owns: what users import to write expressions ([`prelude`]), turning a logical expression into one that runs over
//! a batch ([`CompiledExpr`]), and the kernels DataFusion lacks (`split_words`, a `lower` that pays per value).
//! Does not own: aggregates' execution (`aggregate`), or where an expression stands in the plan (`plan`).
//!
//! Invariant: an expression that compiled has a known type and refers only to columns that exist.
mod collect;
mod compile;
mod limited;
mod lower;
mod order;
mod part;
mod words;

pub use words::is_word_char;

pub(crate) use compile::{CompiledExpr, column_names, prepare_aggregate};

/// What a job needs to write expressions, so that it depends on this crate alone.
pub mod prelude {
    pub use super::collect::{approx_percentile, collect, collect_set};
    pub use super::lower::lower;
    pub use super::order::{first, first_by, last, last_by};
    pub use super::part::AggregateExt;
    pub use super::words::split_words;
    pub use datafusion::functions::expr_fn::{
        btrim, coalesce, concat, concat_ws, ends_with, length, ltrim, nullif, octet_length, repeat, replace,
        reverse, rtrim, split_part, starts_with, substr, substring, upper,
    };
    pub use datafusion::functions_aggregate::count::count_all;
    pub use datafusion::functions_aggregate::expr_fn::{
        approx_distinct, array_agg, avg, bool_and, bool_or, count, count_distinct, max, median, min, stddev,
        stddev_pop, sum, var_pop, var_sample,
    };
    pub use datafusion::logical_expr::{Expr, SortExpr, cast, lit, not, try_cast, when};

    /// A column by its exact name: letter case is kept and a dot is part of the name.
    ///
    /// ```
    /// use millstream_streams::{col, lit};
    /// let adult = col("userAge").gt_eq(lit(18));
    /// ```
    pub fn col(name: impl Into<String>) -> Expr {
        Expr::Column(datafusion::common::Column::new_unqualified(name))
    }
}
