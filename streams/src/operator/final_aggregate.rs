//! The aggregate after the shuffle: merges partial states, keeps the table, emits each touched key once an epoch.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array, new_empty_array};
use arrow::compute::{concat, take};

use super::changes::Change;
use super::{Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::rows::Rows;
use crate::state::{Before, Changelog, Found, ResidentTable, Restoring, Share, StateMemory};
use crate::store::LocalStore;

/// A table and the delta of the running epoch.
pub(super) struct FinalAggregate {
    delta: Delta,
    table: ResidentTable,
    changelog: Changelog,
    restoring: Option<Restoring>,
    /// Where states are that memory has no room for.
    store: Option<LocalStore>,
    /// Somebody takes back what a row contributed.
    changes_used: bool,
}

impl FinalAggregate {
    pub(super) fn new(
        spec: Arc<AggregateSpec>,
        changelog: Arc<str>,
        partition: i32,
        memory: &Arc<StateMemory>,
        changes_used: bool,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            delta: Delta::new(Arc::clone(&spec))?,
            changelog: Changelog::new(
                changelog,
                partition,
                spec.state_schema(),
                spec.key_count(),
                spec.text(),
            ),
            table: ResidentTable::new(spec, Share::of(memory))?,
            restoring: None,
            store: None,
            changes_used,
        })
    }

    /// What the rows of `delta` were: whether each was there, and its results, null where it was not.
    fn results_before(
        &self,
        delta: &RecordBatch,
        before: &[Before],
    ) -> Result<(Vec<bool>, Vec<ArrayRef>), OperatorError> {
        let key_count = self.changelog.key_count();
        let keys = &delta.columns()[..key_count];
        let rows: Vec<u64> = before
            .iter()
            .flat_map(|before| before.rows.iter().map(|row| *row as u64))
            .collect();
        let mut places: Vec<Option<u64>> = vec![None; delta.num_rows()];
        (0..)
            .zip(&rows)
            .for_each(|(place, row)| places[*row as usize] = Some(place));
        let had = places.iter().map(Option::is_some).collect();
        let rows = UInt64Array::from(rows);
        let mut columns: Vec<ArrayRef> = keys
            .iter()
            .map(|key| take(key, &rows, None))
            .collect::<Result<_, _>>()?;
        for (number, own) in delta.columns()[key_count..].iter().enumerate() {
            let parts: Vec<&dyn Array> = before.iter().map(|before| &*before.states[number]).collect();
            columns.push(match parts.is_empty() {
                true => new_empty_array(own.data_type()),
                false => concat(&parts)?,
            });
        }
        let states = RecordBatch::try_new(delta.schema(), columns)?;
        let results = self.table.results(&states)?.batch;
        let places = UInt64Array::from(places);
        let aligned = results.columns()[key_count..]
            .iter()
            .map(|column| take(column, &places, None));
        Ok((had, aligned.collect::<Result<_, _>>()?))
    }

    /// Loads states that are committed, and in the local store if there is one.
    fn load(&mut self, states: &RecordBatch) -> Result<(), OperatorError> {
        if self.store.is_some() {
            self.table.make_room()?;
        }
        Ok(self.table.load(states)?)
    }
}

impl Operator for FinalAggregate {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(self.delta.merge(&rows.batch)?)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(delta) = self.delta.take()? {
            // Now, between two epochs, all that the table holds is committed.
            if self.store.is_some() {
                self.table.make_room()?;
            }
            let Found { mut before, missing } = self.table.find(&delta)?;
            if let Some(store) = &self.store
                && !missing.is_empty()
            {
                before.push(self.changelog.look_up(store, delta.columns(), &missing)?);
            }
            let results_before = match self.changes_used {
                true => Some(self.results_before(&delta, &before)?),
                false => None,
            };
            let applied = self.table.apply(&delta, &before)?;
            (out.publish)(&self.changelog.encode(&applied.states)?)?;
            let Some((had, before)) = results_before else {
                out.push(applied.results);
                return Ok(());
            };
            let change = Change {
                live: vec![true; had.len()],
                rows: applied.results,
                had,
                keys: self.changelog.key_count(),
                before: Some(before),
            };
            change.emit(out)?;
        }
        Ok(())
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let restoring = self.restoring.get_or_insert_with(|| self.changelog.restoring());
        if let Some(states) = self.changelog.decode(restoring, key, value)? {
            self.load(&states)?;
        }
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        if let Some(mut restoring) = self.restoring.take()
            && let Some(states) = self.changelog.finish(&mut restoring)?
        {
            self.load(&states)?;
        }
        if let Some(store) = &self.store {
            self.changelog.check_meaning(store)?;
        }
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.store = Some(store.clone());
    }

    fn takes_more(&mut self) -> bool {
        if self.table.is_full() {
            self.table.is_partial();
            return false;
        }
        true
    }

    fn is_full(&self) -> bool {
        self.store.is_some() && self.table.is_full_with(self.delta.size_bytes())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.table.len(), self.table.size_bytes())
    }
}
