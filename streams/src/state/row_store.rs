//! Rows by key within their share of the memory, and their changelog.
//!
//! As in a [`ResidentTable`](super::ResidentTable) there are two generations: [`touch`](RowStore::touch) brings the rows of an epoch's keys
//! into the young one, from the old one or from the local store, so that the young one alone says what they are. It remembers as
//! well which keys have no row: deleted ones are there still in what is older.
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DataFusionError;

use super::memory::Share;
use super::resident::Before;
use super::row_log::{LoggedRows, RowLog, RowStoreError};
use super::{Changelog, RowTable};
use crate::format::FormatError;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// The rows of one task.
pub(crate) struct RowStore {
    young: RowTable,
    /// Rows of which the young generation may have newer ones.
    old: Option<RowTable>,
    /// Rows were dropped, or never loaded.
    partial: bool,
    share: Share,
    log: RowLog,
}

impl RowStore {
    /// A store with the columns of the changelog.
    pub(crate) fn new(changelog: Changelog, share: Share) -> Result<Self, DataFusionError> {
        let (schema, keys) = (changelog.schema(), changelog.key_count());
        let (keys, values) = schema.fields().split_at(keys);
        let schema_of = |fields: &[_]| -> SchemaRef { Arc::new(Schema::new(fields.to_vec())) };
        Ok(Self {
            young: RowTable::new(schema_of(keys), schema_of(values))?,
            old: None,
            partial: false,
            share,
            log: RowLog::new(changelog),
        })
    }

    /// The rows of all keys that were touched in the running epoch, by their places.
    pub(crate) fn table(&mut self) -> &mut RowTable {
        &mut self.young
    }

    /// An epoch ends: all that is in memory is committed, and elsewhere as well, so that there is room to be made.
    pub(crate) fn make_room(&mut self) -> Result<(), DataFusionError> {
        if self.log.is_attached() && self.share.is_full(self.young.size_bytes()) {
            let empty = self.young.anew()?;
            let young = std::mem::replace(&mut self.young, empty);
            let dropped = self.old.replace(young);
            self.partial |= dropped.is_some_and(|dropped| dropped.places_end() > 0);
        } else if self.partial && self.old.is_none() {
            // The local store has heard of all deletions by now, so that they can be forgotten here.
            self.young.compact()?;
        }
        Ok(())
    }

    /// Brings the rows of `keys`, each there once, into the [table](Self::table); gives their places.
    pub(crate) fn touch(&mut self, keys: &[ArrayRef]) -> Result<Vec<usize>, RowStoreError> {
        let known = self.young.places_end();
        let places = self.young.places(keys)?;
        let mut missing: Vec<usize> = (0..places.len()).filter(|row| places[*row] >= known).collect();
        if let Some(old) = &mut self.old
            && !missing.is_empty()
        {
            let asked: UInt64Array = missing.iter().map(|row| *row as u64).collect();
            let asked = keys
                .iter()
                .map(|key| take(key, &asked, None))
                .collect::<Result<Vec<_>, _>>()
                .map_err(DataFusionError::from)?;
            let known = old.places_end();
            let older = missing.iter().copied().zip(old.places(&asked)?);
            let (older, others): (Vec<_>, Vec<_>) = older.partition(|(_, place)| *place < known);
            // Those that were deleted need not be looked for.
            let (to, from): (Vec<usize>, Vec<usize>) = older
                .into_iter()
                .filter(|(_, place)| old.is_live(*place))
                .map(|(row, place)| (places[row], place))
                .unzip();
            self.young.set(&to, &old.gather(&from)?, &vec![true; to.len()])?;
            missing = others.into_iter().map(|(row, _)| row).collect();
        }
        if self.partial
            && let Some(Before { rows, states }) = self.log.look_up(keys, &missing)?
        {
            let to: Vec<usize> = rows.iter().map(|row| places[*row]).collect();
            self.young.set(&to, &states, &vec![true; to.len()])?;
        }
        Ok(places)
    }

    /// All rows, keys first, of a store that memory has room for.
    pub(crate) fn all(&mut self) -> Result<Vec<ArrayRef>, DataFusionError> {
        debug_assert!(
            self.old.is_none() && !self.partial,
            "the local store has the others"
        );
        self.young.all()
    }

    /// The epoch has changed what it has to.
    pub(crate) fn compact(&mut self) -> Result<(), DataFusionError> {
        // A deleted row that is forgotten must not come back: out of the old generation, which is soon dropped anyway, or out of the local store, which
        // hears of the deletion when the epoch is committed.
        if self.old.is_none() && !self.partial {
            self.young.compact()?;
        }
        Ok(())
    }

    /// The records of changed rows.
    pub(crate) fn encode(&mut self, rows: &RecordBatch, live: &[bool]) -> Result<RecordBuffer, FormatError> {
        self.log.encode(rows, live)
    }

    /// Takes a record of the changelog; gives its rows, and others before it, once there are enough.
    pub(crate) fn restore(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<LoggedRows>, RowStoreError> {
        let rows = self.log.restore(key, value)?;
        if let Some(rows) = &rows {
            self.load(rows)?;
        }
        Ok(rows)
    }

    /// The changelog ends; gives the rows that are left.
    pub(crate) fn end_restore(&mut self) -> Result<Option<LoggedRows>, RowStoreError> {
        let rows = self.log.end_restore()?;
        if let Some(rows) = &rows {
            self.load(rows)?;
        }
        Ok(rows)
    }

    fn load(&mut self, (rows, live): &LoggedRows) -> Result<(), RowStoreError> {
        self.make_room()?;
        let (keys, values) = rows.columns().split_at(self.log.key_count());
        let places = self.young.places(keys)?;
        self.young.set(&places, values, live)?;
        Ok(self.compact()?)
    }

    /// The local store of the changelog.
    pub(crate) fn attach(&mut self, store: &LocalStore) {
        self.log.attach(store);
    }

    /// Whether more rows of a checkpoint are wanted; the others are looked up.
    pub(crate) fn takes_more(&mut self) -> bool {
        let full = self.share.is_full(self.young.size_bytes());
        self.partial |= full;
        !full
    }

    /// All rows of a checkpoint are looked up; says that this can be.
    pub(crate) fn takes_none(&mut self) -> bool {
        self.partial = true;
        true
    }

    /// Whether an epoch that takes `bytes` should end.
    pub(crate) fn is_full_with(&self, bytes: usize) -> bool {
        self.log.is_attached() && self.share.is_full_with(bytes)
    }

    /// Rows in memory, where one may be twice, and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let old = self.old.as_ref();
        let old = old.map_or((0, 0), |old| (old.len(), old.size_bytes()));
        (self.young.len() + old.0, self.young.size_bytes() + old.1)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, new_null_array};
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::source::TopicPartition;
    use crate::state::StateMemory;
    use crate::store::{LocalStores, Slot, StoreMemory};

    const ROWS: usize = 20;

    fn column(from: usize) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            (from..from + ROWS).map(|row| row as i64),
        ))
    }

    /// They came back: what memory had no room for at the start, and has now, was there still for who asked next.
    #[test]
    fn what_an_epoch_deletes_is_gone_for_all_who_ask_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Arc::new(Slot::take(directory.path(), "app").unwrap());
        let stores = LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap();
        let topic: Arc<str> = "app-rows-changelog".into();
        let at = TopicPartition {
            topic: Arc::clone(&topic),
            partition: 0,
        };
        let store = stores.claim(&at).unwrap();
        store.restored().unwrap();
        let fields = ["key", "value"].map(|name| Field::new(name, DataType::Int64, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let changelog = Changelog::new(topic, 0, Arc::clone(&schema), 1, "rows");
        // Many tables have a byte each.
        const BYTES: usize = 100_000;
        let memory = Arc::new(StateMemory::new(Some(BYTES)));
        let others: Vec<Share> = (1..BYTES).map(|_| Share::of(&memory)).collect();
        let mut rows = RowStore::new(changelog, Share::of(&memory)).unwrap();
        rows.attach(&store);
        let places = rows.touch(&[column(0)]).unwrap();
        let live = vec![true; ROWS];
        rows.table().set(&places, &[column(100)], &live).unwrap();
        let batch = RecordBatch::try_new(schema, vec![column(0), column(100)]).unwrap();
        store.apply(&rows.encode(&batch, &live).unwrap()).unwrap();
        assert!(!rows.takes_more(), "there is no room for the rest");
        // The others go to another process.
        drop(others);
        assert!(rows.takes_more(), "there would be now");

        let places = rows.touch(&[column(0)]).unwrap();
        let nulls = new_null_array(&DataType::Int64, ROWS);
        let had = rows.table().set(&places, &[nulls], &[false; ROWS]).unwrap();
        assert_eq!(had, live);
        rows.compact().unwrap();
        let places = rows.touch(&[column(0)]).unwrap();
        assert!(places.iter().all(|place| !rows.table().is_live(*place)));
    }
}
