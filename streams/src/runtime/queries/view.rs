//! A store as the user sees it.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use super::anywhere::Place;
use super::keys;
use super::local::{PATIENCE_MAX, Query, Wanted};
use super::question::LIMIT_MAX;
use super::{Queries, QueryError, Store};
use crate::operator::KeyRange;
use crate::runtime::shared::Shared;

/// How long somebody waits for a partition that is being restored or moved.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The rows that a key may have.
const ROWS_MAX: usize = LIMIT_MAX - 1;
const ALL_TIME: Range<i64> = i64::MIN..i64::MAX;

/// The state of a step, to be asked while the job runs: [`StreamsHandle::store`](crate::StreamsHandle::store).
///
/// Only what is committed is seen, and only what this process works on, unless [`anywhere`](Self::anywhere) is said. A table or an aggregate is read beside the thread that works on
/// it; windows, and everything if `state.dir` is empty, through it, between two polls. The rows of a partition are as one
/// commit left them; those of several partitions may be of several.
///
/// ```no_run
/// use millstream_streams::{StreamsConfig, prelude::*};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Streams::new("word-count");
/// app.stream("words", text("word"))
///     .group_by([col("word")])
///     .aggregate("counts", [count_all().alias("n")])
///     .to("word-counts", json());
/// let job = app.start(StreamsConfig::new("localhost:9092"))?;
/// let counts = job.store("counts")?;
/// let row = counts.get(&[lit("to")])?; // columns word and n, or none
/// let first = counts.range(&[lit("a")], &[lit("c")], 100)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StoreView {
    shared: Arc<Shared>,
    name: String,
    patience: Duration,
    place: Place,
}

impl StoreView {
    pub(in crate::runtime) fn new(shared: &Arc<Shared>, name: &str) -> Result<Self, QueryError> {
        shared.queries.store(name)?;
        Ok(Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            patience: PATIENCE,
            place: Place::Here,
        })
    }

    /// How long to wait for a partition that is being restored, or moved to this process; 5 seconds unless said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Asks the instances that work on other partitions for theirs: they need `queries.listener`, as this one does.
    pub fn anywhere(mut self) -> Self {
        self.place = Place::Anywhere;
        self
    }

    fn queries(&self) -> &Queries {
        &self.shared.queries
    }

    fn store(&self) -> &Store {
        let store = self.queries().store(&self.name);
        store.expect("a view is of a store that is there")
    }

    /// The columns of the rows: those of the key, `window_start` and `window_end` of windows, the others.
    pub fn schema(&self) -> SchemaRef {
        self.store().schema()
    }

    /// The row of a key, if it has one: a batch of one row, or of `top(…)` one a rank. A key is a value for each of its columns, in their
    /// order.
    ///
    /// # Errors
    /// A key that does not fit or has 100,000 rows and more, a store of windows, or a partition that is not here.
    pub fn get(&self, key: &[Expr]) -> Result<Option<RecordBatch>, QueryError> {
        let store = self.store();
        if store.has_windows() {
            return Err(self.unfit("it has windows; use windows(…)".to_owned()));
        }
        let rows = self.of_key(store, key, ALL_TIME)?;
        Ok((rows.num_rows() > 0).then_some(rows))
    }

    /// Rows whose keys are not before `from` and not behind `to`, at most `limit` of them, of the partitions that this process works on (or of all, [`anywhere`](Self::anywhere)).
    /// Each bound has values for the first columns of the key, all or fewer; without any, it is none. Rows come in no order that
    /// means something.
    ///
    /// All of a partition is looked through, until `limit` rows are found. If `state.dir` is empty, its worker copies it meanwhile, and does
    /// nothing else.
    ///
    /// # Errors
    /// Bounds that do not fit, a store of windows, or partitions that did not answer.
    pub fn range(&self, from: &[Expr], to: &[Expr], limit: usize) -> Result<RecordBatch, QueryError> {
        let store = self.store();
        if store.has_windows() {
            return Err(self.unfit("it has windows; use all_windows(…)".to_owned()));
        }
        let schema = store.schema();
        let bound = |values: &[Expr]| {
            let values = keys::literals(values)?;
            keys::columns(&values, &store.key_fields(&schema))
        };
        let bound = |values: &[Expr]| bound(values).map_err(|reason| self.unfit(reason));
        let range = KeyRange {
            from: bound(from)?,
            to: bound(to)?,
        };
        self.of_all(store, range, ALL_TIME, limit)
    }

    /// The open windows of a key that begin at or after `windows.start` and before its end (milliseconds since 1970), in the order of
    /// time.
    ///
    /// # Errors
    /// A key that does not fit or has 100,000 rows and more, a store without windows, or a partition that is not here.
    pub fn windows(&self, key: &[Expr], windows: Range<i64>) -> Result<RecordBatch, QueryError> {
        self.of_key(self.windowed()?, key, windows)
    }

    /// The open windows of all keys that begin at or after `windows.start` and before its end, of the partitions that this process works
    /// on; at most `limit` rows.
    ///
    /// # Errors
    /// A store without windows, or partitions that did not answer.
    pub fn all_windows(&self, windows: Range<i64>, limit: usize) -> Result<RecordBatch, QueryError> {
        self.of_all(self.windowed()?, KeyRange::default(), windows, limit)
    }

    fn windowed(&self) -> Result<&Store, QueryError> {
        let store = self.store();
        match store.has_windows() {
            true => Ok(store),
            false => Err(self.unfit("it has no windows; use get(…) or range(…)".to_owned())),
        }
    }

    fn unfit(&self, reason: String) -> QueryError {
        self.store().unfit(reason)
    }

    fn of_key(&self, store: &Store, key: &[Expr], windows: Range<i64>) -> Result<RecordBatch, QueryError> {
        let schema = store.schema();
        let key = keys::literals(key).and_then(|key| keys::key(&key, &store.key_fields(&schema)));
        let key = key.map_err(|reason| self.unfit(reason))?;
        let partition = store.partition_of(&key)?;
        let query = Query {
            keys: Wanted::One(key),
            windows,
            limit: LIMIT_MAX,
            bytes_max: usize::MAX,
            until: None,
        };
        let rows = self.ask(store, partition, &query)?;
        let rows = concat_batches(&schema, &rows).map_err(|error| store.failed(error))?;
        match rows.num_rows() <= ROWS_MAX {
            true => Ok(rows),
            false => Err(self.unfit(format!(
                "the key has more than {ROWS_MAX} rows; ask for a shorter range of windows, or for all keys with a limit"
            ))),
        }
    }

    fn of_all(
        &self,
        store: &Store,
        range: KeyRange,
        windows: Range<i64>,
        limit: usize,
    ) -> Result<RecordBatch, QueryError> {
        if self.place == Place::Anywhere && limit > LIMIT_MAX {
            return Err(self.unfit(format!(
                "anywhere() gives at most {LIMIT_MAX} rows; ask for ranges"
            )));
        }
        let mut query = Query {
            keys: Wanted::Between(range),
            windows,
            limit,
            bytes_max: usize::MAX,
            until: None,
        };
        let mut rows = Vec::new();
        let partitions = match self.place {
            Place::Here => {
                let until = Instant::now() + self.patience.min(PATIENCE_MAX);
                self.queries().settled_here(store, until, self.patience)?
            }
            Place::Anywhere => (0..store.partitions).collect(),
        };
        for partition in partitions {
            if query.limit == 0 {
                break;
            }
            for found in self.ask(store, partition, &query)? {
                query.limit -= found.num_rows();
                rows.push(found);
            }
        }
        concat_batches(&store.schema(), &rows).map_err(|error| store.failed(error))
    }

    /// Asks a partition until it answers, or patience is over.
    fn ask(&self, store: &Store, partition: i32, query: &Query) -> Result<Vec<RecordBatch>, QueryError> {
        let until = Instant::now() + self.patience.min(PATIENCE_MAX);
        self.queries()
            .ask(store, partition, query, self.place, until, self.patience)
    }
}

impl fmt::Debug for StoreView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreView")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
