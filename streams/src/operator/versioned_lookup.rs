//! Rows of a stream with those that a table had at their time.
//!
//! A row waits until event time is beyond its own and grace: the table has then all that it had at that time, but for what comes later than
//! that. So what is found does not hang on epochs, nor on how both inputs interleave.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;

use super::lookup::{distinct, keys_of};
use super::portion::{OUTPUT_ROWS_MAX, portion};
use super::{Operator, OperatorError, Output, Place as TaskPlace};
use crate::plan::VersionedLookupPlan as Plan;
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::state::{BucketLog, Came, JoinStore, KeyError, KeyExprs, Keys, Owner, Place, Share, SideLog};
use crate::store::LocalStore;
use crate::time::Watermark;

/// The output of joined rows. Late rows follow.
const JOINED: usize = 0;
/// Rows wait as the left side of a join whose right side is empty.
const WAITING: usize = 0;

/// The rows that wait for their time.
pub(crate) struct VersionedLookup {
    plan: Plan,
    store: JoinStore,
    /// What is left to do of the end of an epoch.
    ending: Option<Ending>,
    /// Rows were restored, and some among them may be over.
    restored: bool,
}

/// The rows of these times are looked up, and what is over at the watermark is forgotten.
struct Ending {
    times: Range<EventTime>,
    /// Rows that were found, and how many of them have been emitted.
    found: Vec<Place>,
    given: usize,
    /// So many rows are looked up next, at most: about as many as were answered at once.
    most: usize,
    watermark: Watermark,
}

impl VersionedLookup {
    pub(crate) fn new(plan: &Plan, place: &TaskPlace<'_>) -> Self {
        // That nobody was met is what is asked of a row before it is emitted.
        let log = BucketLog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            [SideLog::new(&plan.rows, true), SideLog::new(&plan.rows, false)],
            plan.meaning.clone(),
            place.near.limits.rows_bytes_max(),
            place.near.owners.next(),
        );
        let log = log.repeating(place.near.repeats);
        let keys = [KeyExprs::new(&plan.keys), KeyExprs::new(&plan.keys)];
        let share = Share::of(&place.near.memory);
        Self {
            store: JoinStore::new(keys, plan.bucket_ms(), log, share),
            plan: plan.clone(),
            ending: None,
            restored: false,
        }
    }

    /// The rows that came too late, if there are any.
    fn late(&self, rows: &Rows, least: Watermark) -> Option<BooleanArray> {
        let marks = rows.watermarks();
        let is_late = |(row, time): (usize, &EventTime)| {
            let own = marks.map_or(Watermark::NONE, |marks| Watermark::at(marks[row]));
            let end = time.saturating_add(self.plan.grace_ms).saturating_add(1);
            *time <= NO_TIME || own.max(least).passed(end)
        };
        let flags: Vec<bool> = rows.times().iter().enumerate().map(is_late).collect();
        flags.contains(&true).then(|| BooleanArray::from(flags))
    }

    fn keys(&self, rows: &Rows) -> Result<Keys, OperatorError> {
        match self.store.keys(WAITING, &rows.batch) {
            Err(KeyError::Expression(cause)) => Err(OperatorError::of_rows(cause)),
            keys => Ok(keys?),
        }
    }

    /// What is over at `watermark`: rows before this time.
    fn over(&self, watermark: Watermark) -> EventTime {
        watermark.minus(self.plan.grace_ms).millis()
    }

    /// Rows with keys wait.
    fn wait(&mut self, rows: &Rows, keys: &Keys) -> Result<(), OperatorError> {
        let came = Came {
            side: WAITING,
            batch: &rows.batch,
            times: rows.times(),
            keys,
        };
        self.store.ready(&came, 0, 0)?;
        Ok(self.store.add(&came, &vec![false; rows.len()])?)
    }

    /// Emits rows that have no key.
    fn emit_keyless(&self, rows: &Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let mut columns = rows.batch.columns().to_vec();
        let others = self.plan.schema.fields().iter().skip(columns.len());
        columns.extend(others.map(|field| new_null_array(field.data_type(), rows.len())));
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        out.push_to(JOINED, Rows::new(batch, rows.times().to_vec()));
        Ok(())
    }

    /// Emits rows with what the table had at their times: as many of the first ones as it answers at once, which are given.
    fn emit(&self, places: &[Place], out: &mut Output<'_>) -> Result<usize, OperatorError> {
        let columns = self.store.columns(WAITING, places)?;
        let batch = RecordBatch::try_new(Arc::clone(self.store.schema(WAITING)), columns)?;
        let keys = keys_of(&batch, &self.plan.keys, &self.plan.key_types)?;
        let (distinct, key_of) = distinct(&keys)?;
        let asked = key_of.iter().zip(places).map(|(key, place)| (*key, place.time));
        let seen = out.tables.look_up_at(0, &distinct, &asked.collect::<Vec<_>>())?;
        let found = |row: usize| seen.there[row] && keys.iter().all(|key| key.is_valid(row));
        let answered = seen.there.len();
        let kept: Vec<u32> = (0..).take(answered).collect();
        let kept = kept
            .into_iter()
            .filter(|row| self.plan.left || found(*row as usize));
        let kept = UInt32Array::from_iter_values(kept);
        let (mut of_key, mut of_row) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for &row in kept.values() {
            let is_found = found(row as usize);
            of_key.push(is_found.then_some(key_of[row as usize] as u32));
            of_row.push(is_found.then_some(row));
        }
        let (of_key, of_row) = (UInt32Array::from(of_key), UInt32Array::from(of_row));
        let own = batch.columns().iter().map(|column| take(column, &kept, None));
        let shown = self.plan.shown_keys.iter();
        let shown = shown.map(|key| take(&distinct[*key], &of_key, None));
        let values = seen.values.iter().map(|column| take(column, &of_row, None));
        let columns: Vec<ArrayRef> = own.chain(shown).chain(values).collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.schema), columns)?;
        let times = kept.values().iter().map(|row| places[*row as usize].time);
        // They bring no watermarks: what they are judged by below is how far this task is, less what it holds back.
        out.push_to(JOINED, Rows::new(batch, times.collect()));
        Ok(answered)
    }

    /// Does the next part of what is left of the end of an epoch; gives what is left then.
    fn end(&mut self, mut ending: Ending, out: &mut Output<'_>) -> Result<Option<Ending>, OperatorError> {
        if ending.given == ending.found.len() {
            let Some((found, next)) = self.store.unmatched(WAITING, &ending.times)? else {
                self.store.forget(WAITING, self.over(ending.watermark));
                if let Some(records) = self.store.changes()? {
                    (out.publish)(&records)?;
                }
                return Ok(None);
            };
            (ending.found, ending.given, ending.times.start) = (found, 0, next);
        }
        let (rows, _) = portion(ending.found[ending.given..].iter().map(Place::bytes));
        let asked = rows.min(ending.most);
        if asked > 0 {
            let end = ending.given + asked;
            let answered = self.emit(&ending.found[ending.given..end], out)?;
            ending.given += answered;
            // What is asked for in vain would be read again each time.
            ending.most = OUTPUT_ROWS_MAX.min(2 * answered);
        }
        Ok(Some(ending))
    }
}

impl Operator for VersionedLookup {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let late = self.late(&rows, out.judged_from(0));
        let in_time = match &late {
            Some(late) => rows.filter(&arrow::compute::not(late)?)?,
            None => rows.clone(),
        };
        // What fails because of a row has failed before anything is changed.
        let mut keys = self.keys(&in_time)?;
        let (mut keyed, mut keyless) = (in_time, None);
        if !keys.there().iter().all(|there| *there) {
            let there = BooleanArray::from(keys.there().to_vec());
            keyless = Some(keyed.filter(&arrow::compute::not(&there)?)?);
            keyed = keyed.filter(&there)?;
            keys = self.keys(&keyed)?;
        }
        self.store.check(WAITING, &keyed.batch)?;
        if let Some(late) = &late {
            let late = rows.filter(late)?;
            out.count_late(late.len());
            if self.plan.late {
                out.push_to(JOINED + 1, late);
            }
        }
        if let Some(keyless) = keyless.filter(|_| self.plan.left) {
            self.emit_keyless(&keyless, out)?;
        }
        self.wait(&keyed, &keys)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (settled, now) = (out.settled(), out.watermark());
        if std::mem::take(&mut self.restored) {
            // It was emitted in an epoch that is committed.
            self.store.forget(WAITING, self.over(settled));
        }
        self.store.void_closed();
        self.ending = Some(Ending {
            times: self.over(settled)..self.over(now),
            found: Vec::new(),
            given: 0,
            most: OUTPUT_ROWS_MAX,
            watermark: now,
        });
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(ending) = self.ending.take() {
            self.ending = self.end(ending, out)?;
        }
        Ok(())
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        Ok(self.store.restore(key, value)?)
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        self.restored = true;
        Ok(self.store.end_restore()?)
    }

    fn attach(&mut self, store: &LocalStore) {
        self.store.attach(store);
    }

    fn is_full(&self) -> bool {
        self.store.is_full()
    }

    fn belongs_to(&mut self, owner: Owner) {
        self.store.belongs_to(owner);
    }

    fn state_size(&self) -> (usize, usize) {
        self.store.size()
    }
}
