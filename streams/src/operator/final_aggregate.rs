//! The aggregate after the shuffle: merges partial states, keeps the table, emits each touched key once an epoch.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array, new_empty_array};
use arrow::compute::{concat, take};

use super::changes::Change;
use super::{Asked, Operator, OperatorError, Output, Place, Seen, Tables};
use crate::aggregate::{AggregateSpec, Delta};
use crate::rows::Rows;
use crate::state::{Before, Changelog, Found, ResidentTable, Restoring, Share};
use crate::store::LocalStore;
use crate::time::Watermark;

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
        place: &Place<'_>,
        changes_used: bool,
    ) -> Result<Self, OperatorError> {
        let changelog = Changelog::new(
            changelog,
            place.partition,
            spec.state_schema(),
            spec.key_count(),
            spec.text(),
        )
        .typed();
        Ok(Self {
            delta: Delta::new(Arc::clone(&spec))?,
            changelog: changelog.limited(place.near.limits.record_bytes_max),
            table: ResidentTable::new(spec, Share::of(&place.near.memory))?,
            restoring: None,
            store: None,
            changes_used,
        })
    }

    /// The results of `keys` by what was found of their states.
    fn seen(&self, keys: &[ArrayRef], found: &[Before]) -> Result<Seen, OperatorError> {
        let key_count = self.changelog.key_count();
        let rows: Vec<u64> = found
            .iter()
            .flat_map(|found| found.rows.iter().map(|row| *row as u64))
            .collect();
        let mut places: Vec<Option<u64>> = vec![None; keys[0].len()];
        (0..)
            .zip(&rows)
            .for_each(|(place, row)| places[*row as usize] = Some(place));
        let there = places.iter().map(Option::is_some).collect();
        let rows = UInt64Array::from(rows);
        let mut columns: Vec<ArrayRef> = keys
            .iter()
            .map(|key| take(key, &rows, None))
            .collect::<Result<_, _>>()?;
        let schema = self.changelog.schema();
        for (number, field) in schema.fields()[key_count..].iter().enumerate() {
            let parts: Vec<&dyn Array> = found.iter().map(|found| &*found.states[number]).collect();
            columns.push(match parts.is_empty() {
                true => new_empty_array(field.data_type()),
                false => concat(&parts)?,
            });
        }
        let results = self.table.results(&RecordBatch::try_new(schema, columns)?)?;
        let places = UInt64Array::from(places);
        let aligned = |column: &ArrayRef| take(column, &places, None);
        let values = results.batch.columns()[key_count..].iter().map(aligned);
        let values = values.collect::<Result<_, _>>()?;
        Ok(Seen::new(there, values, &aligned(results.time_columns().0)?))
    }

    /// What is known of the states of `keys`, in memory and elsewhere.
    fn find(&mut self, keys: &[ArrayRef]) -> Result<Vec<Before>, OperatorError> {
        let Found {
            before: mut found,
            missing,
        } = self.table.find_keys(keys)?;
        if let Some(store) = &self.store
            && !missing.is_empty()
        {
            found.push(self.changelog.look_up(store, keys, &missing)?);
        }
        Ok(found)
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
        // Now, between two epochs, all that the table holds is committed.
        if self.store.is_some() {
            self.table.make_room()?;
        }
        if let Some(delta) = self.delta.take()? {
            let keys = &delta.columns()[..self.changelog.key_count()];
            let before = self.find(keys)?;
            let results_before = match self.changes_used {
                true => Some(self.seen(keys, &before)?),
                false => None,
            };
            let applied = self.table.apply(&delta, &before)?;
            (out.publish)(&self.changelog.encode(&applied.states)?)?;
            let Some(before) = results_before else {
                out.push(applied.results);
                return Ok(());
            };
            let change = Change {
                live: vec![true; before.there.len()],
                rows: applied.results,
                had: before.there,
                keys: self.changelog.key_count(),
                before: Some(before.values),
            };
            change.emit(out)?;
        }
        Ok(())
    }

    fn answer(&mut self, asked: &Asked, _: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        let states = match &asked.key {
            Some(key) => {
                let found = self.find(key)?;
                self.table.keep(&found)?;
                Some(self.table.with_keys(key, &found)?)
            }
            None => self.table.all()?,
        };
        let results = states.map(|states| Ok(self.table.results(&states)?.batch));
        results.into_iter().collect()
    }

    fn look_up(&mut self, keys: &[ArrayRef], _: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let found = self.find(keys)?;
        let seen = self.seen(keys, &found)?;
        self.table.keep(&found)?;
        Ok(seen)
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

    fn takes_none(&mut self) -> bool {
        self.table.is_partial();
        true
    }

    fn is_full(&self) -> bool {
        self.store.is_some() && self.table.is_full_with(self.delta.size_bytes())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.table.len(), self.table.size_bytes())
    }
}
