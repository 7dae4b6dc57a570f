//! The aggregate after the shuffle: merges partial states, keeps the table, emits each touched key once an epoch.
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::rows::Rows;
use crate::state::{Changelog, Found, ResidentTable, Restoring, Share, StateMemory};
use crate::store::LocalStore;

/// A table and the delta of the running epoch.
pub(super) struct FinalAggregate {
    delta: Delta,
    table: ResidentTable,
    changelog: Changelog,
    restoring: Option<Restoring>,
    /// Where states are that memory has no room for.
    store: Option<LocalStore>,
}

impl FinalAggregate {
    pub(super) fn new(
        spec: Arc<AggregateSpec>,
        changelog: Arc<str>,
        partition: i32,
        memory: &Arc<StateMemory>,
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
        })
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
            let applied = self.table.apply(&delta, &before)?;
            (out.publish)(&self.changelog.encode(&applied.states)?)?;
            out.push(applied.results);
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
