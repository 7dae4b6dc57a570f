//! Rows by group within their share of the memory, and their changelog.
//!
//! A group is in memory as a whole or not at all, because it is worked on as a whole: [`touch`](GroupStore::touch) reads groups that are not from
//! the local store, where the rows of a group lie together. When memory is full it is emptied, the groups of the running epoch included: each
//! is worked on once an epoch, and in the store when the next begins.
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use datafusion::common::DataFusionError;

use super::Changelog;
use super::members::Members;
use super::memory::Share;
use super::row_log::{LoggedRows, RowLog, RowStoreError};
use crate::format::FormatError;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// The groups of one task. The last column of their rows is a number that grows with each change.
pub(crate) struct GroupStore {
    members: Members,
    /// Groups were dropped, or never loaded.
    partial: bool,
    share: Share,
    log: RowLog,
    next: i64,
}

impl GroupStore {
    /// A store with the columns of the changelog, whose first `group_columns` are the group.
    pub(crate) fn new(
        changelog: Changelog,
        group_columns: usize,
        share: Share,
    ) -> Result<Self, DataFusionError> {
        Ok(Self {
            members: Members::new(&changelog.schema(), changelog.key_count(), group_columns)?,
            partial: false,
            share,
            log: RowLog::new(changelog),
            next: 0,
        })
    }

    /// The groups that were [touched](Self::touch), and others.
    pub(crate) fn members(&mut self) -> &mut Members {
        &mut self.members
    }

    /// The numbers of so many changes.
    pub(crate) fn numbers(&mut self, changes: usize) -> std::ops::Range<i64> {
        let first = self.next;
        self.next += changes as i64;
        first..self.next
    }

    /// Whether memory has all that it may.
    fn is_full(&self) -> bool {
        // There is no second generation beside this one.
        self.log.is_attached() && self.share.is_full(self.members.size_bytes() / 2)
    }

    /// Empties the memory if it is full. Of the running epoch, no group may be asked for that was before.
    pub(crate) fn make_room(&mut self) -> Result<(), DataFusionError> {
        if self.is_full() {
            self.forget()?;
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), DataFusionError> {
        self.members = self.members.anew()?;
        self.partial = true;
        Ok(())
    }

    /// Brings `wanted` groups into memory, rows of `groups`, each there once. Gives those that are; the others come after room was made.
    pub(crate) fn touch(
        &mut self,
        groups: &[ArrayRef],
        wanted: &[usize],
    ) -> Result<Vec<usize>, RowStoreError> {
        let rows: UInt64Array = wanted.iter().map(|row| *row as u64).collect();
        let keys = groups.iter().map(|group| take(group, &rows, None));
        let keys = keys
            .collect::<Result<Vec<_>, _>>()
            .map_err(DataFusionError::from)?;
        let places = self.members.groups(&keys)?;
        let there: Vec<bool> = places.iter().map(|place| self.members.is_whole(*place)).collect();
        let missing = wanted.iter().zip(&there);
        let missing: Vec<usize> = missing
            .filter(|(_, there)| !**there)
            .map(|(row, _)| *row)
            .collect();
        let mut read = missing.clone();
        if self.partial && !missing.is_empty() {
            let bytes_max = self.share.epoch_bytes().unwrap_or(usize::MAX);
            let found;
            (read, found) = self.log.scan(groups, &missing, bytes_max)?;
            if let Some(rows) = found {
                let live = vec![true; rows.num_rows()];
                self.take(&rows, &live)?;
            }
            read.sort_unstable();
        }
        let mut ready = Vec::with_capacity(wanted.len());
        for ((row, place), there) in wanted.iter().zip(places).zip(there) {
            if there || read.binary_search(row).is_ok() {
                self.members.set_whole(place);
                ready.push(*row);
            }
        }
        Ok(ready)
    }

    fn take(&mut self, rows: &RecordBatch, live: &[bool]) -> Result<(), DataFusionError> {
        let (keys, values) = rows.columns().split_at(self.log.key_count());
        let numbers = values.last().expect("values end with the number");
        let numbers = numbers.as_primitive::<Int64Type>().iter().flatten();
        // Numbers are compared within a group only, so that it does not matter what groups have that are not here.
        self.next = numbers.fold(self.next, |next, number| next.max(number + 1));
        self.members.set(keys, values, live)
    }

    /// The epoch has changed what it has to.
    pub(crate) fn compact(&mut self) -> Result<(), DataFusionError> {
        self.members.compact()
    }

    /// The records of changed members.
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
        if self.partial {
            // Of the groups that were loaded before memory was full, newer rows may have been left out.
            self.forget()?;
        }
        Ok(rows)
    }

    fn load(&mut self, (rows, live): &LoggedRows) -> Result<(), RowStoreError> {
        self.make_room()?;
        // Nobody can tell any more which groups would be whole.
        if !self.partial {
            self.take(rows, live)?;
            self.members.compact()?;
        }
        Ok(())
    }

    /// The local store of the changelog.
    pub(crate) fn attach(&mut self, store: &LocalStore) {
        self.log.attach(store);
    }

    /// Whether more rows of a checkpoint are wanted. If not, all are looked up.
    pub(crate) fn takes_more(&mut self) -> bool {
        if self.is_full() {
            self.partial = true;
        }
        !self.partial
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

    /// Members in memory, and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.members.len(), self.members.size_bytes())
    }
}
