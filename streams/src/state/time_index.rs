//! Which rows of a store are due when.
//!
//! All of them are in memory, those as well that memory has no room for otherwise: nothing else would say that their time has come.
use std::collections::{BTreeSet, HashMap};

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use crate::format::{FormatError, RowCodec};
use crate::rows::EventTime;

/// The key of a row in the encoding of rows.
pub(crate) type RowKey = Box<[u8]>;

/// What an entry takes beside its key.
const ENTRY_BYTES: usize = size_of::<(EventTime, RowKey)>() + 16;

/// Keys of rows by time.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    codec: RowCodec,
    entries: BTreeSet<(EventTime, RowKey)>,
    /// While the changelog is read: the last time of each key.
    restoring: HashMap<RowKey, EventTime>,
    key_bytes: usize,
}

impl TimeIndex {
    /// An index of rows whose keys are these columns.
    pub(crate) fn new(keys: impl IntoIterator<Item = FieldRef>) -> Self {
        Self {
            codec: RowCodec::new(keys),
            entries: BTreeSet::new(),
            restoring: HashMap::new(),
            key_bytes: 0,
        }
    }

    /// The keys of rows as bytes.
    pub(crate) fn keys(&self, columns: &[ArrayRef]) -> Result<Vec<RowKey>, FormatError> {
        let writer = self.codec.key_writer(columns)?;
        let rows = columns.first().map_or(0, |column| column.len());
        let key = |row| {
            let mut bytes = Vec::new();
            writer.write(row, &mut bytes)?;
            Ok(bytes.into_boxed_slice())
        };
        (0..rows).map(key).collect()
    }

    /// The same as columns again.
    pub(crate) fn columns<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a RowKey>,
    ) -> Result<Vec<ArrayRef>, FormatError> {
        let mut reader = self.codec.reader();
        for key in keys {
            reader.push(key)?;
        }
        reader.finish()
    }

    pub(crate) fn insert(&mut self, time: EventTime, key: RowKey) {
        let bytes = key.len();
        if self.entries.insert((time, key)) {
            self.key_bytes += bytes;
        }
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, time: EventTime, key: &RowKey) -> bool {
        let was_there = self.entries.remove(&(time, key.clone()));
        if was_there {
            self.key_bytes -= key.len();
        }
        was_there
    }

    /// The keys from `first` on, in the order of their times, until one has a time for which `is_due` does not hold.
    pub(crate) fn due(
        &self,
        first: EventTime,
        is_due: impl Fn(EventTime) -> bool,
    ) -> impl Iterator<Item = (EventTime, &RowKey)> {
        let entries = self.entries.range((first, RowKey::default())..);
        let entries = entries.map(|(time, key)| (*time, key));
        entries.take_while(move |(time, _)| is_due(*time))
    }

    /// Takes rows of the changelog in their order.
    pub(crate) fn restore(
        &mut self,
        keys: &[ArrayRef],
        times: impl Iterator<Item = EventTime>,
        live: &[bool],
    ) -> Result<(), FormatError> {
        for ((key, time), live) in self.keys(keys)?.into_iter().zip(times).zip(live) {
            match live {
                true => drop(self.restoring.insert(key, time)),
                false => drop(self.restoring.remove(&key)),
            }
        }
        Ok(())
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) {
        for (key, time) in std::mem::take(&mut self.restoring) {
            self.insert(time, key);
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Roughly the memory in use.
    pub(crate) fn size_bytes(&self) -> usize {
        self.key_bytes + self.entries.len() * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn columns(keys: &[(&str, i64)]) -> Vec<ArrayRef> {
        let names = StringViewArray::from_iter_values(keys.iter().map(|(name, _)| name));
        let numbers = Int64Array::from_iter_values(keys.iter().map(|(_, number)| *number));
        vec![Arc::new(names), Arc::new(numbers)]
    }

    fn index() -> TimeIndex {
        let fields = [("name", DataType::Utf8View), ("number", DataType::Int64)];
        TimeIndex::new(fields.map(|(name, of)| Arc::new(Field::new(name, of, true))))
    }

    fn due(index: &TimeIndex, first: EventTime, last: EventTime) -> Vec<(EventTime, String, i64)> {
        let found: Vec<_> = index.due(first, |time| time <= last).collect();
        let columns = index.columns(found.iter().map(|(_, key)| *key)).unwrap();
        let (names, numbers) = (
            columns[0].as_string_view(),
            columns[1].as_primitive::<Int64Type>(),
        );
        let row = |(place, (time, _)): (usize, &(EventTime, &RowKey))| {
            (*time, names.value(place).to_owned(), numbers.value(place))
        };
        found.iter().enumerate().map(row).collect()
    }

    #[test]
    fn keys_are_due_in_the_order_of_their_times() {
        let mut index = index();
        let keys = index.keys(&columns(&[("b", 1), ("a", 2), ("a", 1)])).unwrap();
        for (time, key) in [30, 10, 20].into_iter().zip(&keys) {
            index.insert(time, key.clone());
        }
        let expected = [(10, "a".to_owned(), 2), (20, "a".to_owned(), 1)];
        assert_eq!(due(&index, i64::MIN, 29), expected);
        assert_eq!(due(&index, 11, 29), expected[1..]);
        assert!(!index.remove(11, &keys[1]) && index.remove(10, &keys[1]));
        assert_eq!(due(&index, i64::MIN, 29), expected[1..]);
        assert_eq!(index.len(), 2);
        index.remove(20, &keys[2]);
        index.remove(30, &keys[0]);
        assert_eq!(index.size_bytes(), 0);
    }

    #[test]
    fn what_a_changelog_says_last_counts() {
        let mut index = index();
        let mut restore = |key, time, live: bool| {
            let times = [time].into_iter();
            index.restore(&columns(&[key]), times, &[live]).unwrap();
        };
        restore(("a", 1), 5, true);
        restore(("b", 1), 6, true);
        restore(("a", 1), 9, true);
        restore(("b", 1), 6, false);
        index.end_restore();
        assert_eq!(due(&index, i64::MIN, 100), [(9, "a".to_owned(), 1)]);
    }
}
