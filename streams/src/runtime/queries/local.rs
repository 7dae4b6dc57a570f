//! Answers from this process, a partition at a time.
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::keys::KeyRange;
use super::mailbox::Posted;
use super::{Queries, QueryError, Store};
use crate::format::Placement;
use crate::operator::{Asked, OperatorError, StoreKind};
use crate::rows::EventTime;
use crate::state::StateError;
use crate::store::{LocalStoreError, StoreReader};

/// What is asked of a store.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) keys: Wanted,
    /// When windows begin; all time for stores without any.
    pub(super) windows: Range<EventTime>,
    /// The rows of the answer.
    pub(super) limit: usize,
    /// When nobody waits for the answer any more, if that is ever so.
    pub(super) until: Option<Instant>,
}

/// Which keys.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    One(Vec<ArrayRef>),
    Between(KeyRange),
}

/// Why a partition gave no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It is not here.
    NotHere,
    /// It will soon be able to, or not be here any more.
    Later(String),
    Never(QueryError),
}

impl Queries {
    /// What partition number `partition` of `store` has, if it is here and answers before `patience` is over.
    pub(super) fn answer(
        &self,
        store: &Store,
        partition: i32,
        query: &Query,
        patience: Duration,
    ) -> Result<Vec<RecordBatch>, NoAnswer> {
        let task = (store.sub, partition);
        let Some(serving) = self.serving(task) else {
            return Err(match self.has_ended() {
                true => NoAnswer::Never(QueryError::Stopped {
                    application_id: self.application_id.clone(),
                }),
                false => NoAnswer::NotHere,
            });
        };
        if let Some(reader) = serving.stores.get(&store.step)
            && store.rows.is_some()
        {
            return store.read(reader, query);
        }
        let key = match &query.keys {
            Wanted::One(key) => Some(key.clone()),
            Wanted::Between(_) => None,
        };
        let (answer, told) = sync_channel(1);
        let posted = serving.mailbox.post(Posted {
            task,
            step: store.step,
            asked: Asked {
                key,
                windows: query.windows.clone(),
                rows_max: query.limit,
            },
            answer,
        });
        if !posted {
            return Err(NoAnswer::Later("too many questions wait".to_owned()));
        }
        match told.recv_timeout(patience) {
            Ok(Some(Ok(said))) => store.told(said, query),
            Ok(Some(Err(cause))) => Err(NoAnswer::Never(store.failed(cause))),
            Ok(None) => Err(NoAnswer::NotHere),
            Err(_) => Err(NoAnswer::Later("its worker is busy".to_owned())),
        }
    }
}

impl Store {
    /// The partition in which a key is.
    pub(super) fn partition_of(&self, key: &[ArrayRef]) -> Result<i32, QueryError> {
        let schema = self.schema();
        let fields = schema.fields()[..self.key_count()].iter();
        let named = fields
            .zip(key)
            .map(|(field, key)| (field.name(), key.clone(), true));
        let placed = RecordBatch::try_from_iter_with_nullable(named).and_then(|row| {
            let partitions = usize::try_from(self.partitions).unwrap_or(1);
            Placement::new(self.key_count(), partitions).rows_by_partition(&row)
        });
        let placed = placed.map_err(|error| self.failed(error))?;
        let partition = placed.iter().position(|rows| !rows.is_empty());
        Ok(partition.and_then(|place| i32::try_from(place).ok()).unwrap_or(0))
    }

    pub(super) fn failed(&self, cause: impl ToString) -> QueryError {
        QueryError::Failed {
            store: self.name.clone(),
            cause: cause.to_string(),
        }
    }

    /// Reads the local store.
    pub(super) fn read(&self, reader: &StoreReader, query: &Query) -> Result<Vec<RecordBatch>, NoAnswer> {
        let never = |error: OperatorError| NoAnswer::Never(self.failed(error));
        let no_answer = |error: StateError| match error {
            StateError::LocalStore(LocalStoreError::Taken { .. }) => NoAnswer::NotHere,
            StateError::LocalStore(error @ LocalStoreError::Restoring { .. }) => {
                NoAnswer::Later(error.to_string())
            }
            error => NoAnswer::Never(self.failed(error)),
        };
        let rows = self.rows.as_ref().expect("stores that are read have rows");
        let results = |stored: &RecordBatch| {
            let said = self.of_step.kind.results(stored)?;
            self.of_step.rows(said)
        };
        let (prefix, together) = match (&query.keys, &self.of_step.kind) {
            (Wanted::One(key), StoreKind::Groups(_)) => (&**key, key.len()),
            (Wanted::One(key), _) => {
                let row = rows.get(reader, key).map_err(no_answer)?;
                let results = row.map(|row| results(&row)).transpose().map_err(never)?;
                return Ok(limited(results.into_iter().collect(), query));
            }
            (Wanted::Between(_), StoreKind::Groups(_)) => (&[][..], self.key_count()),
            (Wanted::Between(_), _) => (&[][..], 0),
        };
        let (mut found, mut count, mut failure) = (Vec::new(), 0, Ok(()));
        let scanned = rows.scan(reader, prefix, together, &mut |stored| {
            let kept = results(&stored).and_then(|rows| Ok(self.kept(rows, query)?));
            match kept {
                Ok(rows) => {
                    count += rows.num_rows();
                    found.push(rows);
                }
                Err(error) => failure = Err(never(error)),
            }
            if query.until.is_some_and(|until| Instant::now() >= until) {
                let reason =
                    "it has more rows than can be looked through in time; ask for a key, or for fewer rows";
                failure = Err(NoAnswer::Never(self.unfit(reason.to_owned())));
            }
            failure.is_ok() && count < query.limit
        });
        scanned.map_err(no_answer)?;
        failure?;
        Ok(limited(found, query))
    }

    /// The rows that were asked for.
    fn kept(&self, rows: RecordBatch, query: &Query) -> Result<RecordBatch, ArrowError> {
        match &query.keys {
            Wanted::Between(range) if !range.from.is_empty() || !range.to.is_empty() => {
                filter_record_batch(&rows, &range.keep(&rows)?)
            }
            _ => Ok(rows),
        }
    }

    /// The rows of what a task says.
    pub(super) fn told(&self, said: Vec<RecordBatch>, query: &Query) -> Result<Vec<RecordBatch>, NoAnswer> {
        let rows = said.into_iter().map(|said| {
            let rows = self.of_step.rows(said);
            rows.and_then(|rows| Ok(self.kept(rows, query)?))
        });
        let rows = rows.collect::<Result<Vec<_>, OperatorError>>();
        rows.map(|rows| limited(rows, query))
            .map_err(|error| NoAnswer::Never(self.failed(error)))
    }
}

/// No more rows than were asked for.
fn limited(rows: Vec<RecordBatch>, query: &Query) -> Vec<RecordBatch> {
    let mut left = query.limit;
    let limited = rows.into_iter().map(|rows| {
        let taken = rows.num_rows().min(left);
        left -= taken;
        rows.slice(0, taken)
    });
    limited.filter(|rows| rows.num_rows() > 0).collect()
}
