//! What stores of rows with deletions share: a changelog on its way into memory, and the local store that has what memory has not.
use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::DataFusionError;

use super::resident::Before;
use super::{Changelog, Restoring, StateError};
use crate::format::FormatError;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// A change of stored rows that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowStoreError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Table(#[from] DataFusionError),
}

/// Rows of the log: keys, then values; and whether each is there, or deleted.
pub(crate) type LoggedRows = (RecordBatch, Vec<bool>);

/// A changelog with deletions.
pub(super) struct RowLog {
    changelog: Changelog,
    restoring: Option<Restoring>,
    /// Where rows are that memory has no room for.
    store: Option<LocalStore>,
}

impl RowLog {
    pub(super) fn new(changelog: Changelog) -> Self {
        Self {
            changelog,
            restoring: None,
            store: None,
        }
    }

    pub(super) fn attach(&mut self, store: &LocalStore) {
        self.store = Some(store.clone());
    }

    /// Whether memory may forget rows.
    pub(super) fn is_attached(&self) -> bool {
        self.store.is_some()
    }

    /// Takes a record; gives rows once there are enough of them.
    pub(super) fn restore(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<LoggedRows>, StateError> {
        let restoring = self.restoring.get_or_insert_with(|| self.changelog.restoring());
        self.changelog.decode_with_deletions(restoring, key, value)
    }

    /// The log ends: gives the rows that are left.
    pub(super) fn end_restore(&mut self) -> Result<Option<LoggedRows>, StateError> {
        let rows = match self.restoring.take() {
            Some(mut restoring) => self.changelog.finish_with_deletions(&mut restoring)?,
            None => None,
        };
        if let Some(store) = &self.store {
            self.changelog.check_meaning(store)?;
        }
        Ok(rows)
    }

    /// The records of changed rows.
    pub(super) fn encode(&mut self, rows: &RecordBatch, live: &[bool]) -> Result<RecordBuffer, FormatError> {
        self.changelog.encode_with_deletions(rows, live)
    }

    /// See [`Changelog::look_up`].
    pub(super) fn look_up(&self, keys: &[ArrayRef], rows: &[usize]) -> Result<Option<Before>, StateError> {
        let store = self.store.as_ref().filter(|_| !rows.is_empty());
        store
            .map(|store| self.changelog.look_up(store, keys, rows))
            .transpose()
    }

    /// See [`Changelog::scan`].
    pub(super) fn scan(
        &self,
        groups: &[ArrayRef],
        rows: &[usize],
        bytes_max: usize,
    ) -> Result<(Vec<usize>, Option<RecordBatch>), StateError> {
        match self.store.as_ref().filter(|_| !rows.is_empty()) {
            Some(store) => self.changelog.scan(store, groups, rows, bytes_max),
            None => Ok((rows.to_vec(), None)),
        }
    }

    pub(super) fn key_count(&self) -> usize {
        self.changelog.key_count()
    }
}
