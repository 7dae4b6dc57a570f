//! A store's changelog: the states that an epoch changed as records, and records as states again.
//!
//! A record is a key and its state, each in the encoding of [`RowCodec`]. One record, with a key that no
//! row has, says what the states mean; it is written with the first change, and a store that finds another one is refused.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use thiserror::Error;

use super::meaning::{MEANING_KEY, Meaning, types_of};
use super::resident::Before;
use crate::format::{FormatError, ROW_ENCODING_VERSION, RowCodec, RowReader, key_text};
use crate::rows::NO_TIME;
use crate::sink::{Destination, RecordBuffer};
use crate::store::{LocalStore, LocalStoreError};

/// Rows gathered before they are loaded.
const LOAD_ROWS: usize = 1024;

/// State that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The changelog was written by another step.
    #[error(
        "the state in topic {topic} is that of \"{stored}\", the topology has \"{expected}\" in its place; \
         give the step another name, or reset the application"
    )]
    Incompatible {
        /// The changelog.
        topic: String,
        /// What the stored states mean.
        stored: String,
        /// What the topology's step keeps.
        expected: String,
    },
    /// A record of the changelog that is no state.
    #[error(
        "a record of the changelog {topic} cannot be read: {cause}; reset the application if it cannot be restored"
    )]
    Damaged {
        /// The changelog.
        topic: String,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// A local store that cannot be read.
    #[error(transparent)]
    LocalStore(#[from] LocalStoreError),
}

/// One partition of a store's changelog.
#[derive(Debug)]
pub(crate) struct Changelog {
    topic: Arc<str>,
    partition: i32,
    schema: SchemaRef,
    key_count: usize,
    keys: RowCodec,
    states: RowCodec,
    meaning: Meaning,
    /// What a record may take.
    record_bytes_max: usize,
}

/// Rows on their way from the changelog into the store.
pub(crate) struct Restoring {
    keys: RowReader,
    states: RowReader,
    /// Whether each row is there, or deleted.
    live: Vec<bool>,
}

impl Changelog {
    /// The changelog `topic`-`partition` for states of `schema`, whose first `key_count` columns are the key; `meaning` is what a
    /// reader would call them, and changes whenever stored states can no longer be used.
    pub(crate) fn new(
        topic: Arc<str>,
        partition: i32,
        schema: SchemaRef,
        key_count: usize,
        meaning: &str,
    ) -> Self {
        let (keys, states) = schema.fields().split_at(key_count);
        Self {
            topic,
            partition,
            keys: RowCodec::new(keys.iter().cloned()),
            states: RowCodec::new(states.iter().cloned()),
            meaning: Meaning::new(format!("v{ROW_ENCODING_VERSION} {meaning}")),
            schema,
            key_count,
            record_bytes_max: usize::MAX,
        }
    }

    /// The same, where `meaning` does not say the types of states.
    pub(crate) fn typed(mut self) -> Self {
        self.meaning = self.meaning.of_types(&types_of(self.schema.fields()));
        self
    }

    /// The same, where a record takes at most so many bytes.
    pub(crate) fn limited(mut self, record_bytes_max: usize) -> Self {
        self.record_bytes_max = record_bytes_max;
        self
    }

    /// The records of the changed `states`, a batch of the schema.
    pub(crate) fn encode(&mut self, states: &RecordBatch) -> Result<RecordBuffer, FormatError> {
        self.encode_rows(states, None)
    }

    /// The same for rows of which some are deleted: where `live` is false.
    pub(crate) fn encode_with_deletions(
        &mut self,
        rows: &RecordBatch,
        live: &[bool],
    ) -> Result<RecordBuffer, FormatError> {
        self.encode_rows(rows, Some(live))
    }

    /// How many of the first columns are the key.
    pub(crate) fn key_count(&self) -> usize {
        self.key_count
    }

    /// The columns: keys, then states.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn encode_rows(
        &mut self,
        states: &RecordBatch,
        live: Option<&[bool]>,
    ) -> Result<RecordBuffer, FormatError> {
        let mut records = RecordBuffer::new(Destination::Partition {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            batch_header: None,
        });
        self.meaning.announce(&mut records);
        let (key_columns, values) = states.columns().split_at(self.key_count);
        let (keys, values) = (self.keys.key_writer(key_columns)?, self.states.writer(values)?);
        let mut failure = Ok(());
        for row in 0..states.num_rows() {
            let mut write = |written: Result<(), FormatError>| {
                if failure.is_ok() {
                    failure = written;
                }
                true
            };
            let mut written = Ok(());
            records.push(
                NO_TIME,
                |out| {
                    written = keys.write(row, out);
                    true
                },
                |out| live.is_none_or(|live| live[row]) && write(values.write(row, out)),
            );
            write(written);
            let bytes = records.get(records.len() - 1).size();
            if bytes > self.record_bytes_max {
                return Err(FormatError::RowTooLarge {
                    key: Some(key_text(key_columns, row)),
                    bytes,
                    bytes_max: self.record_bytes_max,
                });
            }
        }
        failure.map(|()| records)
    }

    /// Begins to read the log from its beginning, or from behind a checkpoint.
    pub(crate) fn restoring(&self) -> Restoring {
        Restoring {
            keys: self.keys.reader(),
            states: self.states.reader(),
            live: Vec::new(),
        }
    }

    /// As [`Self::decode`], for a log with deletions; says of each row whether it is there.
    pub(crate) fn decode_with_deletions(
        &mut self,
        restoring: &mut Restoring,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<(RecordBatch, Vec<bool>)>, StateError> {
        // A row of nulls: a zero a column.
        let nulls = vec![0; self.schema.fields().len() - self.key_count];
        let before = restoring.keys.rows();
        let full = self.decode(restoring, key, value.or(Some(&nulls)))?;
        if full.is_some() || restoring.keys.rows() > before {
            restoring.live.push(value.is_some());
        }
        Ok(full.map(|rows| (rows, std::mem::take(&mut restoring.live))))
    }

    /// As [`Self::finish`], for a log with deletions.
    pub(crate) fn finish_with_deletions(
        &self,
        restoring: &mut Restoring,
    ) -> Result<Option<(RecordBatch, Vec<bool>)>, StateError> {
        let rows = self.finish(restoring)?;
        Ok(rows.map(|rows| (rows, std::mem::take(&mut restoring.live))))
    }

    /// Takes a record of the log; gives a batch of states to be loaded once there are enough.
    pub(crate) fn decode(
        &mut self,
        restoring: &mut Restoring,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<RecordBatch>, StateError> {
        let damaged = |cause| StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        };
        let missing = |what: &str| FormatError::Damaged {
            reason: format!("it has no {what}"),
        };
        let key = key.ok_or_else(|| damaged(missing("key")))?;
        let value = value.ok_or_else(|| damaged(missing("value")))?;
        if key == MEANING_KEY {
            self.meaning.check(&self.topic, value)?;
            return Ok(None);
        }
        restoring.keys.push(key).map_err(damaged)?;
        restoring.states.push(value).map_err(damaged)?;
        if restoring.keys.rows() < LOAD_ROWS {
            return Ok(None);
        }
        self.finish(restoring)
    }

    /// Checks what the states of a checkpoint mean that was not loaded as a whole.
    pub(crate) fn check_meaning(&mut self, store: &LocalStore) -> Result<(), StateError> {
        self.meaning.check_stored(&self.topic, store)
    }

    /// All rows that `store` has of groups, which are the first columns of keys. `rows` are those of `groups` that are asked for; gives
    /// those of which all was read: in the order of their keys, at least one, and more as long as they take less than `bytes_max`.
    pub(crate) fn scan(
        &self,
        store: &LocalStore,
        groups: &[ArrayRef],
        rows: &[usize],
        bytes_max: usize,
    ) -> Result<(Vec<usize>, Option<RecordBatch>), StateError> {
        let damaged = |cause| StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        };
        // A column says itself where it ends, so that no group's bytes are the beginning of another's.
        let writer = self.keys.key_writer(groups).map_err(damaged)?;
        let mut prefixes: Vec<(Vec<u8>, usize)> = Vec::with_capacity(rows.len());
        for &row in rows {
            let mut prefix = Vec::new();
            writer.write(row, &mut prefix).map_err(damaged)?;
            prefixes.push((prefix, row));
        }
        prefixes.sort_unstable();
        let sorted: Vec<&[u8]> = prefixes.iter().map(|(prefix, _)| &**prefix).collect();
        let (mut restoring, mut failure, mut bytes) = (self.restoring(), Ok(()), 0);
        let read = store.scan(&sorted, &mut |key, value| {
            bytes += key.len() + value.len();
            if failure.is_ok() {
                failure = restoring
                    .keys
                    .push(key)
                    .and_then(|()| restoring.states.push(value));
            }
            bytes < bytes_max
        })?;
        failure.map_err(damaged)?;
        let read = prefixes[..read].iter().map(|(_, row)| *row).collect();
        Ok((read, self.finish(&mut restoring)?))
    }

    /// The states of those of `rows` that `store` has, looked up in one pass in the order of their keys; `keys` are the columns of all
    /// rows.
    pub(crate) fn look_up(
        &self,
        store: &LocalStore,
        keys: &[ArrayRef],
        rows: &[usize],
    ) -> Result<Before, StateError> {
        let damaged = |cause| StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        };
        let writer = self.keys.key_writer(keys).map_err(damaged)?;
        let (mut bytes, mut places) = (Vec::new(), Vec::with_capacity(rows.len()));
        for &row in rows {
            let start = bytes.len();
            writer.write(row, &mut bytes).map_err(damaged)?;
            places.push((row, start..bytes.len()));
        }
        places.sort_unstable_by(|left, right| bytes[left.1.clone()].cmp(&bytes[right.1.clone()]));
        let (mut reader, mut found, mut failure) = (self.states.reader(), Vec::new(), Ok(()));
        let sorted = places.iter().map(|(row, place)| (*row, &bytes[place.clone()]));
        store.get_sorted(sorted, &mut |row, value| {
            if failure.is_ok() {
                failure = reader.push(value);
                found.push(row);
            }
        })?;
        failure.map_err(damaged)?;
        Ok(Before {
            rows: found,
            states: reader.finish().map_err(damaged)?,
        })
    }

    /// The states collected and not yet given.
    pub(crate) fn finish(&self, restoring: &mut Restoring) -> Result<Option<RecordBatch>, StateError> {
        if restoring.keys.rows() == 0 {
            return Ok(None);
        }
        let batch = || {
            let mut columns = restoring.keys.finish()?;
            columns.extend(restoring.states.finish()?);
            Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
        };
        let batch: Result<_, FormatError> = { batch }();
        batch.map(Some).map_err(|cause| StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        })
    }
}
