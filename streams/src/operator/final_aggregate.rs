//! The aggregate after the shuffle: merges partial states, keeps the table, emits each touched key once an epoch.
use std::sync::Arc;

use super::{Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::rows::Rows;
use crate::state::{Changelog, ResidentTable, Restoring};

/// A table and the delta of the running epoch.
pub(super) struct FinalAggregate {
    delta: Delta,
    table: ResidentTable,
    changelog: Changelog,
    restoring: Option<Restoring>,
}

impl FinalAggregate {
    pub(super) fn new(
        spec: Arc<AggregateSpec>,
        changelog: Arc<str>,
        partition: i32,
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
            table: ResidentTable::new(spec)?,
            restoring: None,
        })
    }
}

impl Operator for FinalAggregate {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(self.delta.merge(&rows.batch)?)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(delta) = self.delta.take()? {
            let applied = self.table.apply(&delta)?;
            (out.publish)(&self.changelog.encode(&applied.states)?)?;
            out.push(applied.results);
        }
        Ok(())
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let restoring = self.restoring.get_or_insert_with(|| self.changelog.restoring());
        if let Some(states) = self.changelog.decode(restoring, key, value)? {
            self.table.load(&states)?;
        }
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        if let Some(mut restoring) = self.restoring.take()
            && let Some(states) = self.changelog.finish(&mut restoring)?
        {
            self.table.load(&states)?;
        }
        Ok(())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.table.len(), self.table.size_bytes())
    }
}
