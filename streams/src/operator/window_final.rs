//! The windowed aggregate behind the shuffle: keeps open windows, emits their results, and forgets them when they close.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMillisecondType;

use super::{Asked, Operator, OperatorError, Output};
use crate::aggregate::Delta;
use crate::plan::WindowFinal as Plan;
use crate::rows::{EventTime, Rows};
use crate::state::{Owner, Share, StateMemory, WindowLog, WindowStore};
use crate::store::LocalStore;
use crate::time::Watermark;
use crate::window::Emit;

/// The open windows and the delta of the running epoch.
pub(super) struct WindowFinal {
    plan: Plan,
    delta: Delta,
    store: WindowStore,
    /// State was restored, and windows may be among it that were closed before.
    restored: bool,
}

impl WindowFinal {
    pub(super) fn new(
        plan: &Plan,
        partition: i32,
        record_bytes_max: usize,
        memory: &Arc<StateMemory>,
        owner: Owner,
    ) -> Result<Self, OperatorError> {
        let spec = &plan.windowed.spec;
        let changelog = Arc::clone(&plan.changelog);
        let log = WindowLog::new(changelog, partition, spec, record_bytes_max, owner);
        Ok(Self {
            delta: Delta::new(Arc::clone(spec))?,
            store: WindowStore::new(Arc::clone(spec), log, Share::of(memory)),
            plan: plan.clone(),
            restored: false,
        })
    }

    fn window_starts<'a>(&self, states: &'a RecordBatch) -> &'a [EventTime] {
        let column = states.column(self.plan.windowed.spec.key_count() - 1);
        column.as_primitive::<TimestampMillisecondType>().values()
    }

    /// Keys, the window's start and end, and results, from rows without the end.
    fn with_end(&self, results: &Rows, times: ArrayRef) -> Result<Rows, OperatorError> {
        let keys = self.plan.windowed.spec.key_count();
        let size = self.plan.windowed.windows.size_ms();
        let ends = self
            .window_starts(&results.batch)
            .iter()
            .map(|start| start + size);
        let ends = TimestampMillisecondArray::from_iter_values(ends).with_timezone("UTC");
        let (before, behind) = results.batch.columns().split_at(keys);
        let mut columns = before.to_vec();
        columns.push(Arc::new(ends));
        columns.extend_from_slice(behind);
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.output), columns)?;
        Ok(Rows::with_array(batch, times))
    }

    fn apply_delta(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(delta) = self.delta.take()? else {
            return Ok(());
        };
        for (start, delta) in by_window(self.window_starts(&delta), &delta)? {
            match self.plan.emit {
                Emit::OnUpdate => {
                    let results = self.store.update(start, &delta)?;
                    let times = Arc::clone(results.time_columns().0);
                    out.push(self.with_end(&results, times)?);
                }
                Emit::OnWindowClose => self.store.add(start, &delta)?,
            }
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (windows, watermark) = (&self.plan.windowed.windows, out.watermark());
        let closed = self
            .store
            .starts()
            .take_while(|start| windows.is_closed(*start, watermark));
        for start in closed.collect::<Vec<_>>() {
            if self.plan.emit == Emit::OnUpdate {
                self.store.discard(start);
            } else if let Some(results) = self.store.close(start)? {
                let last = start + self.plan.windowed.windows.size_ms() - 1;
                let times: ArrayRef = Arc::new(Int64Array::from(vec![last; results.len()]));
                out.push(self.with_end(&results, times)?);
            }
        }
        Ok(())
    }
}

/// The rows of each window.
fn by_window(
    starts: &[EventTime],
    states: &RecordBatch,
) -> Result<Vec<(EventTime, RecordBatch)>, OperatorError> {
    let mut windows: Vec<EventTime> = starts.to_vec();
    windows.sort_unstable();
    windows.dedup();
    if let [only] = windows[..] {
        return Ok(vec![(only, states.clone())]);
    }
    let of = |window: EventTime| {
        let flags: BooleanArray = starts.iter().map(|start| Some(*start == window)).collect();
        Ok((window, filter_record_batch(states, &flags)?))
    };
    windows.into_iter().map(of).collect()
}

impl Operator for WindowFinal {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (windows, watermark) = (&self.plan.windowed.windows, out.watermark());
        let open = |start: &EventTime| !windows.is_closed(*start, watermark);
        let starts = self.window_starts(&rows.batch);
        if starts.iter().all(open) {
            return Ok(self.delta.merge(&rows.batch)?);
        }
        // Only behind a task that was idle; rows for `late()` come another way.
        let flags: BooleanArray = starts.iter().map(|start| Some(open(start))).collect();
        out.count_late(flags.false_count());
        if flags.true_count() > 0 {
            self.delta.merge(&filter_record_batch(&rows.batch, &flags)?)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if std::mem::take(&mut self.restored) {
            let (windows, settled) = (&self.plan.windowed.windows, out.settled());
            self.store.forget(|start| windows.is_closed(start, settled));
        }
        self.store.void_closed();
        self.apply_delta(out)?;
        self.close(out)?;
        if let Some(records) = self.store.changes()? {
            (out.publish)(&records)?;
        }
        Ok(())
    }

    fn answer(&mut self, asked: &Asked, settled: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        let windows = &self.plan.windowed.windows;
        // The first epoch forgets them, whose results were given; until it comes they are nobody's any more.
        let is_open = |start: &EventTime| !self.restored || !windows.is_closed(*start, settled);
        let starts = self.store.starts().filter(|start| asked.windows.contains(start));
        let starts = starts.filter(is_open);
        let (mut found, mut rows) = (Vec::new(), 0);
        for start in starts.collect::<Vec<_>>() {
            if rows >= asked.rows_max || asked.is_over() {
                break;
            }
            let key = asked.key.as_ref().map(|key| {
                let start = TimestampMillisecondArray::from(vec![start]).with_timezone("UTC");
                let start: ArrayRef = Arc::new(start);
                [&**key, &[start]].concat()
            });
            if let Some(results) = self.store.read_only(start, key.as_deref())? {
                let times = Arc::clone(results.time_columns().0);
                let results = asked.range.filter(self.with_end(&results, times)?.batch)?;
                rows += results.num_rows();
                found.push(results);
            }
        }
        Ok(found)
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
        self.store.is_full_with(self.delta.size_bytes())
    }

    fn belongs_to(&mut self, owner: Owner) {
        self.store.belongs_to(owner);
    }

    fn state_size(&self) -> (usize, usize) {
        self.store.size()
    }
}
