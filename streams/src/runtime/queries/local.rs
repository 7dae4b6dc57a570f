//! Answers from this process, a partition at a time.
use std::ops::Range;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use super::mailbox::{Posted, Reading, Refused};
use super::{Queries, QueryError, Serving, Store, ipc};
use crate::format::Placement;
use crate::operator::{Asked, KeyRange, OperatorError, StoreKind};
use crate::rows::EventTime;
use crate::runtime::worker::TaskId;
use crate::state::StateError;
use crate::store::{LocalStoreError, StoreReader};

/// Nobody waits longer for an answer.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is asked of a store.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) keys: Wanted,
    /// When windows begin; all time for stores without any.
    pub(super) windows: Range<EventTime>,
    /// The rows of the answer.
    pub(super) limit: usize,
    /// Their bytes.
    pub(super) bytes_max: usize,
    /// When nobody waits for the answer any more, if that is ever so.
    pub(super) until: Option<Instant>,
}

/// Which keys.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    One(Vec<ArrayRef>),
    Between(KeyRange),
}

impl Query {
    /// The question to a task, for whose answer somebody waits until then, or for ever.
    pub(super) fn asked(&self, until: Option<Instant>) -> Asked {
        let (key, range) = match &self.keys {
            Wanted::One(key) => (Some(key.clone()), KeyRange::default()),
            Wanted::Between(range) => (None, range.clone()),
        };
        Asked {
            key,
            range,
            windows: self.windows.clone(),
            rows_max: self.limit,
            until,
        }
    }
}

/// Why a partition gave no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It is not here.
    NotHere,
    /// It will soon be able to, or not be here any more.
    Later(String),
    /// The time was over first, which says less than what an earlier try was told.
    Late(String),
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
        let patience = patience.min(PATIENCE_MAX);
        if self.serving(task).is_none() {
            return Err(self.gone());
        }
        let _place = match &query.keys {
            Wanted::One(_) => None,
            Wanted::Between(_) => match self.gate.enter(patience) {
                Some(place) => Some(place),
                None => return Err(NoAnswer::Later("too many others ask for ranges".to_owned())),
            },
        };
        // The worker is left the last: what is read is not there without it.
        let (_reading, serving) = self.reading(task)?;
        if let Some(reader) = serving.stores.get(&store.step)
            && store.rows.is_some()
        {
            return store.read(reader, query, &|| serving.mailbox.is_closed());
        }
        let (answer, told) = sync_channel(1);
        let until = Instant::now() + patience;
        let posted = serving.mailbox.post(Posted {
            task,
            step: store.step,
            asked: query.asked(Some(until)),
            answer,
            until,
        });
        match posted {
            Ok(()) => {}
            Err(Refused::Full) => return Err(NoAnswer::Later("too many questions wait".to_owned())),
            Err(Refused::Closed) => return Err(self.gone()),
        }
        match told.recv_timeout(patience) {
            Ok(Some(Ok(said))) => store.told(said, query),
            Ok(Some(Err(cause))) => Err(NoAnswer::Never(store.failed(cause))),
            Ok(None) => Err(NoAnswer::NotHere),
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
            Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Later("its worker is busy".to_owned())),
        }
    }

    /// How a task is read, and that it is.
    fn reading(&self, task: TaskId) -> Result<(Reading, Serving), NoAnswer> {
        let serving = self.serving(task).ok_or_else(|| self.gone())?;
        let reading = serving.mailbox.reading().ok_or_else(|| self.gone())?;
        Ok((reading, serving))
    }

    /// A task does not run here, or not any more.
    fn gone(&self) -> NoAnswer {
        match self.has_ended() {
            true => NoAnswer::Never(QueryError::Stopped {
                application_id: self.application_id.clone(),
            }),
            false => NoAnswer::NotHere,
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

    /// Reads the local store, unless whoever feeds it `ends` meanwhile.
    pub(super) fn read(
        &self,
        reader: &StoreReader,
        query: &Query,
        ends: &dyn Fn() -> bool,
    ) -> Result<Vec<RecordBatch>, NoAnswer> {
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
        let (mut found, mut count, mut bytes, mut failure) = (Vec::new(), 0, 0, Ok(()));
        let scanned = rows.scan(reader, prefix, together, &mut |stored| {
            if stored.num_rows() > 0 {
                match results(&stored).and_then(|rows| Ok(self.kept(rows, query)?)) {
                    Ok(rows) if rows.num_rows() == 0 => {}
                    Ok(rows) => {
                        count += rows.num_rows();
                        bytes += rows.get_array_memory_size();
                        found.push(rows);
                    }
                    Err(error) => failure = Err(never(error)),
                }
            }
            if failure.is_err() || count >= query.limit {
                return false;
            }
            if bytes > query.bytes_max {
                failure = Err(NoAnswer::Never(self.too_much_to_read(query.bytes_max)));
            } else if ends() {
                failure = Err(NoAnswer::NotHere);
            } else if query.until.is_some_and(|until| Instant::now() >= until) {
                let cause =
                    "it has more rows than can be looked through in time; ask for a key, or for fewer rows";
                failure = Err(NoAnswer::Later(cause.to_owned()));
            }
            failure.is_ok()
        });
        scanned.map_err(no_answer)?;
        failure?;
        Ok(limited(found, query))
    }

    /// The rows that were asked for.
    fn kept(&self, rows: RecordBatch, query: &Query) -> Result<RecordBatch, ArrowError> {
        match &query.keys {
            Wanted::Between(range) => within(range, rows),
            Wanted::One(_) => Ok(rows),
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

/// The rows that are inside of a range. If they are few, they leave the others' bytes behind, which neither count nor are held then.
fn within(range: &KeyRange, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let all = rows.num_rows();
    let inside = range.filter(rows)?;
    match inside.num_rows() < all / 2 {
        true => RecordBatch::try_new(inside.schema(), ipc::alone(&inside)),
        false => Ok(inside),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, StringViewArray};

    use super::*;

    /// A range with few rows was refused for the bytes of those between them.
    #[test]
    fn what_is_left_of_a_range_takes_what_is_its_own() {
        let text = |number: usize| format!("{number:04} {}", "x".repeat(1000));
        let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1024).map(text)));
        let rows = || RecordBatch::try_from_iter([("key", Arc::clone(&keys))]).unwrap();
        let range = |from: usize, to: usize| KeyRange {
            from: vec![keys.slice(from, 1)],
            to: vec![keys.slice(to, 1)],
        };
        let few = within(&range(7, 8), rows()).unwrap();
        let found: Vec<_> = few.column(0).as_string_view().iter().flatten().collect();
        assert_eq!(found, [text(7), text(8)]);
        assert!(
            few.get_array_memory_size() < 20_000,
            "{}",
            few.get_array_memory_size()
        );
        assert_eq!(within(&range(1, 1022), rows()).unwrap().num_rows(), 1022);
    }
}
