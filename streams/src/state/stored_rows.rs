//! The rows of a local store, read beside the step that they are of.
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, DynComparator, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::SchemaRef;

use super::StateError;
use super::meaning::MEANING_KEY;
use crate::format::{FormatError, RowCodec, RowReader};
use crate::store::StoreReader;

/// Rows that are handed out together.
const BATCH_ROWS: usize = 1024;

/// The form of a changelog whose records are a row each.
#[derive(Debug)]
pub(crate) struct StoredRows {
    topic: Arc<str>,
    schema: SchemaRef,
    keys: RowCodec,
    states: RowCodec,
}

/// Rows that are being decoded.
struct Batch {
    keys: RowReader,
    states: RowReader,
}

impl StoredRows {
    /// Rows of `schema`, whose first `key_count` columns are the key, as the changelog `topic` has them.
    pub(crate) fn new(topic: Arc<str>, schema: SchemaRef, key_count: usize) -> Self {
        let (keys, states) = schema.fields().split_at(key_count);
        Self {
            keys: RowCodec::new(keys.iter().cloned()),
            states: RowCodec::new(states.iter().cloned()),
            topic,
            schema,
        }
    }

    fn damaged(&self, cause: FormatError) -> StateError {
        StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        }
    }

    /// The bytes of the first columns of a key, a row.
    fn bytes(&self, key: &[ArrayRef]) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        let writer = self.keys.key_writer(key).map_err(|cause| self.damaged(cause))?;
        writer.write(0, &mut bytes).map_err(|cause| self.damaged(cause))?;
        Ok(bytes)
    }

    fn batch(&self) -> Batch {
        Batch {
            keys: self.keys.reader(),
            states: self.states.reader(),
        }
    }

    fn finish(&self, batch: &mut Batch) -> Result<RecordBatch, StateError> {
        let finished = || {
            let mut columns = batch.keys.finish()?;
            columns.extend(batch.states.finish()?);
            Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
        };
        let finished: Result<_, FormatError> = { finished }();
        finished.map_err(|cause| self.damaged(cause))
    }

    /// The row of a key, if there is one.
    pub(crate) fn get(
        &self,
        store: &StoreReader,
        key: &[ArrayRef],
    ) -> Result<Option<RecordBatch>, StateError> {
        let bytes = self.bytes(key)?;
        let Some(value) = store.get(&bytes)? else {
            return Ok(None);
        };
        let mut batch = self.batch();
        batch.push(&bytes, &value).map_err(|cause| self.damaged(cause))?;
        self.finish(&mut batch).map(Some)
    }

    /// Hands out the rows whose keys begin with `prefix`, until it is told to stop. Rows that are alike in their first `together` columns
    /// come at once; while many such are gathered, batches without rows come, so that whoever waits can have it stopped.
    pub(crate) fn scan(
        &self,
        store: &StoreReader,
        prefix: &[ArrayRef],
        together: usize,
        each: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), StateError> {
        let prefix = match prefix.is_empty() {
            true => Vec::new(),
            false => self.bytes(prefix)?,
        };
        let (mut batch, mut failure, mut more) = (self.batch(), Ok(()), true);
        let mut groups = Gathered {
            schema: &self.schema,
            columns: together,
            held: Vec::new(),
        };
        let mut take = |batch: &mut Batch, groups: &mut Gathered<'_>| {
            let rows = self.finish(batch)?;
            let whole = match together {
                0 => Ok(rows),
                _ => groups.take(rows),
            };
            Ok(each(whole.map_err(|cause| self.damaged(cause))?))
        };
        store.scan(&prefix, &mut |key, value| {
            if key == MEANING_KEY {
                return true;
            }
            let taken = match batch.push(key, value) {
                Ok(()) if batch.keys.rows() < BATCH_ROWS => return true,
                Ok(()) => take(&mut batch, &mut groups),
                Err(cause) => Err(self.damaged(cause)),
            };
            match taken {
                Ok(goes_on) => more = goes_on,
                Err(error) => (failure, more) = (Err(error), false),
            }
            more
        })?;
        failure?;
        if more && batch.keys.rows() > 0 {
            more = take(&mut batch, &mut groups)?;
        }
        if more && let Some(rest) = groups.rest().map_err(|cause| self.damaged(cause))? {
            each(rest);
        }
        Ok(())
    }
}

/// Rows of a group that may have more.
struct Gathered<'a> {
    schema: &'a SchemaRef,
    /// How many of the first columns make a group.
    columns: usize,
    held: Vec<RecordBatch>,
}

impl Gathered<'_> {
    /// Takes more rows; gives those of groups that have no more.
    fn take(&mut self, rows: RecordBatch) -> Result<RecordBatch, FormatError> {
        let goes_on = match self.held.last() {
            Some(held) => are_together(held, held.num_rows() - 1, &rows, 0, self.columns)?,
            None => true,
        };
        let begins = last_together(&rows, self.columns)?;
        if begins == 0 && goes_on {
            self.held.push(rows);
            return Ok(RecordBatch::new_empty(Arc::clone(self.schema)));
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.push(rows.slice(0, begins));
        self.held.push(rows.slice(begins, rows.num_rows() - begins));
        Ok(concat_batches(self.schema, &whole)?)
    }

    /// The rows of the last group.
    fn rest(&mut self) -> Result<Option<RecordBatch>, FormatError> {
        let rest = std::mem::take(&mut self.held);
        let rest = (!rest.is_empty()).then(|| concat_batches(self.schema, &rest));
        Ok(rest.transpose()?)
    }
}

impl Batch {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        self.keys.push(key)?;
        self.states.push(value)
    }
}

/// Where the rows begin that are like the last one in their first columns.
fn last_together(rows: &RecordBatch, columns: usize) -> Result<usize, FormatError> {
    let same = comparators(rows, rows, columns)?;
    let last = rows.num_rows() - 1;
    let unlike = |row: &usize| same.iter().any(|same| same(*row, last) != Ordering::Equal);
    Ok((0..last).rev().find(unlike).map_or(0, |row| row + 1))
}

/// Whether two rows are alike in their first columns.
fn are_together(
    left: &RecordBatch,
    row: usize,
    right: &RecordBatch,
    other: usize,
    columns: usize,
) -> Result<bool, FormatError> {
    let same = comparators(left, right, columns)?;
    Ok(same.iter().all(|same| same(row, other) == Ordering::Equal))
}

fn comparators(
    left: &RecordBatch,
    right: &RecordBatch,
    columns: usize,
) -> Result<Vec<DynComparator>, FormatError> {
    let columns = left.columns()[..columns].iter().zip(right.columns());
    let comparators = columns.map(|(left, right)| make_comparator(left, right, SortOptions::default()));
    Ok(comparators.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::source::TopicPartition;
    use crate::state::Changelog;
    use crate::store::{LocalStores, Slot, StoreMemory};

    const GROUPS: i64 = 40;

    /// As many as the group's number says, one group with more than a batch.
    fn members(group: i64) -> i64 {
        match group {
            7 => 2 * BATCH_ROWS as i64 + 5,
            _ => group * 11,
        }
    }

    fn values(batch: &RecordBatch, column: usize) -> Vec<i64> {
        batch.column(column).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn groups_come_whole_and_keys_alone() {
        let column = |name| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![column("group"), column("key"), column("value")]));
        let directory = tempfile::tempdir().unwrap();
        let slot = Arc::new(Slot::take(directory.path(), "app").unwrap());
        let stores = LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap();
        let topic: Arc<str> = "app-groups-changelog".into();
        let at = TopicPartition {
            topic: Arc::clone(&topic),
            partition: 0,
        };
        let store = stores.claim(&at).unwrap();
        store.restored().unwrap();
        let mut log = Changelog::new(Arc::clone(&topic), 0, Arc::clone(&schema), 2, "members");
        for group in 0..GROUPS {
            let keys = 0..members(group);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(keys.clone().map(|_| group))),
                Arc::new(Int64Array::from_iter_values(keys.clone())),
                Arc::new(Int64Array::from_iter_values(keys.map(|key| key * group))),
            ];
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            store.apply(&log.encode(&rows).unwrap()).unwrap();
        }
        let (rows, reader) = (StoredRows::new(topic, schema, 2), store.reader());

        let (mut found, mut batches, mut gathering) = (BTreeMap::new(), 0, 0);
        let scanned = rows.scan(&reader, &[], 1, &mut |batch| {
            if batch.num_rows() == 0 {
                gathering += 1;
                return true;
            }
            let mut groups: BTreeMap<i64, i64> = BTreeMap::new();
            values(&batch, 0)
                .iter()
                .for_each(|group| *groups.entry(*group).or_default() += 1);
            for (group, count) in groups {
                assert_eq!(found.insert(group, count), None, "group {group} came in parts");
            }
            batches += 1;
            true
        });
        scanned.unwrap();
        let expected = (1..GROUPS).map(|group| (group, members(group)));
        assert_eq!(found, expected.collect());
        assert!(batches > 3, "{batches} batches");
        assert!(gathering > 0, "a long group is heard of while it is gathered");

        let key = |numbers: &[i64]| -> Vec<ArrayRef> {
            let columns = numbers.iter();
            columns
                .map(|number| Arc::new(Int64Array::from(vec![*number])) as ArrayRef)
                .collect()
        };
        let mut of_group = Vec::new();
        let scanned = rows.scan(&reader, &key(&[3]), 1, &mut |batch| {
            if batch.num_rows() > 0 {
                of_group.push(values(&batch, 1));
            }
            true
        });
        scanned.unwrap();
        of_group.iter_mut().for_each(|keys| keys.sort_unstable());
        assert_eq!(of_group, [(0..members(3)).collect::<Vec<_>>()]);
        let one = rows.get(&reader, &key(&[3, 5])).unwrap().unwrap();
        assert_eq!((values(&one, 1), values(&one, 2)), (vec![5], vec![15]));
        assert!(rows.get(&reader, &key(&[3, members(3)])).unwrap().is_none());
    }
}
