//! Rows whose key has not passed within a span of time before or behind them, in the order in which they come.
//!
//! What is kept of a row that passed is its key and its time, in the form of one side of a join: a row is a duplicate if it meets one.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};

use super::stream_join::late;
use super::{Operator, OperatorError, Output, Place as TaskPlace};
use crate::plan::DeduplicatePlan;
use crate::rows::{EventTime, Rows};
use crate::state::{BucketLog, Came, JoinStore, KeyExprs, Keys, Owner, Share, SideLog};
use crate::store::LocalStore;
use crate::time::Watermark;

/// The output of rows that passed, and that of late rows.
const PASSED: usize = 0;
const LATE: usize = 1;
/// The side of the store of rows that ask, which keeps none, and that of those that passed.
const CAME: usize = 0;
const KEPT: usize = 1;
/// So many pairs are looked at together.
const PAIRS_MAX: usize = 8 * 1024;

/// The keys that passed lately.
pub(crate) struct Deduplicate {
    plan: DeduplicatePlan,
    store: JoinStore,
    /// Keys were restored, and some among them may be over.
    restored: bool,
}

impl Deduplicate {
    pub(crate) fn new(plan: &DeduplicatePlan, place: &TaskPlace<'_>) -> Self {
        let log = BucketLog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            [CAME, KEPT].map(|_| SideLog::new(&plan.stored, false)),
            plan.meaning.clone(),
            place.near.limits.rows_bytes_max(),
            place.near.owners.next(),
        );
        let keys = [CAME, KEPT].map(|_| KeyExprs::with_nulls(&plan.stored_keys));
        let share = Share::of(&place.near.memory);
        Self {
            store: JoinStore::new(keys, plan.bucket_ms(), log, share),
            plan: plan.clone(),
            restored: false,
        }
    }

    /// What would be kept of rows.
    fn stored(&self, rows: &Rows) -> Result<RecordBatch, OperatorError> {
        let keys = self.plan.keys.iter();
        let keys: Vec<ArrayRef> = keys
            .map(|key| key.evaluate(&rows.batch).map_err(OperatorError::of_rows))
            .collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.plan.stored), keys)?)
    }

    /// Which rows pass.
    fn passing(&mut self, came: &Came<'_>) -> Result<BooleanArray, OperatorError> {
        let within = self.plan.within_ms;
        self.store.ready(came, within, within)?;
        let mut passes = vec![true; came.times.len()];
        let mut next = 0;
        while next < came.times.len() {
            let (pairs, following) = self.store.probe(came, (within, within), next, PAIRS_MAX);
            next = following;
            pairs.iter().for_each(|pair| passes[pair.row as usize] = false);
        }
        // Nor have they been before among these.
        let mut passed: HashMap<&[u8], BTreeSet<EventTime>> = HashMap::new();
        for (row, passes) in passes.iter_mut().enumerate().filter(|(_, passes)| **passes) {
            let (times, time) = (passed.entry(came.keys.get(row)).or_default(), came.times[row]);
            let near = time.saturating_sub(within)..=time.saturating_add(within);
            *passes = times.range(near).next().is_none();
            if *passes {
                times.insert(time);
            }
        }
        Ok(BooleanArray::from(passes))
    }

    /// What is over at `watermark`: keys that passed before this time.
    fn over(&self, watermark: Watermark) -> EventTime {
        let asked = self.plan.within_ms.saturating_add(self.plan.grace_ms);
        watermark.minus(asked).millis()
    }
}

/// Rows that are kept, with their keys.
fn came<'a>(side: usize, batch: &'a RecordBatch, times: &'a [EventTime], keys: &'a Keys) -> Came<'a> {
    Came {
        side,
        batch,
        times,
        keys,
    }
}

impl Operator for Deduplicate {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let late = late(&rows, self.plan.grace_ms, out.judged_from(0));
        let in_time = match &late {
            Some(late) => rows.filter(&not(late)?)?,
            None => rows.clone(),
        };
        // What fails because of a row has failed before anything is changed.
        let stored = self.stored(&in_time)?;
        self.store.check(KEPT, &stored)?;
        if let Some(late) = &late {
            let late = rows.filter(late)?;
            out.count_late(late.len());
            if self.plan.late {
                out.push_to(LATE, late);
            }
        }
        if in_time.len() == 0 {
            return Ok(());
        }
        let keys = self.store.keys(CAME, &stored)?;
        let passing = self.passing(&came(CAME, &stored, in_time.times(), &keys))?;
        if passing.true_count() == 0 {
            return Ok(());
        }
        let passed = in_time.filter(&passing)?;
        let stored = filter_record_batch(&stored, &passing)?;
        let keys = self.store.keys(KEPT, &stored)?;
        let kept = came(KEPT, &stored, passed.times(), &keys);
        self.store.add(&kept, &vec![false; passed.len()])?;
        out.push_to(PASSED, passed);
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if std::mem::take(&mut self.restored) {
            // Nobody has asked for it since an epoch that is committed.
            self.store.forget(KEPT, self.over(out.settled()));
        }
        self.store.void_closed();
        self.store.forget(KEPT, self.over(out.watermark()));
        if let Some(records) = self.store.changes()? {
            (out.publish)(&records)?;
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
