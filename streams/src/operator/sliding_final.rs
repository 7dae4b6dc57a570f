//! Sliding windows behind the shuffle: keeps what came at each instant, as long as a window may reach it, and puts windows together of that.
//!
//! A key is worked on once an epoch: what came is merged with what is stored, windows that are changed or over are emitted, and then what no window
//! reaches any more is forgotten.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};

use super::session_came::{ends, merged};
use super::session_final::WORKED_MAX;
use super::session_links::Linked;
use super::session_partial::{new_keys, starts};
use super::sliding_windows::windows;
use super::{Operator, OperatorError, Output, Place};
use crate::aggregate::{AggregateSpec, Delta, EmitTo};
use crate::plan::SlidingFinalPlan as Plan;
use crate::rows::{EventTime, Rows};
use crate::state::{Changelog, GroupStore, LoggedRows, RowKey, Share, TimeIndex};
use crate::store::LocalStore;
use crate::time::Watermark;
use crate::window::Emit;

/// Slices whose states are merged together. A slice is in many windows.
const MERGED_MAX: usize = 64 * 1024;

/// The slices that windows reach, and what came in the running epoch.
pub(crate) struct SlidingFinal {
    plan: Plan,
    delta: Delta,
    /// By key and time: the states, the time, and a number that grows with each change.
    store: GroupStore,
    /// The same slices by time.
    slices: TimeIndex,
    /// The slices that the last epoch forgot. Their records are void when what it emitted is committed.
    void: Vec<RowKey>,
    stored: SchemaRef,
}

/// What came by key.
struct Epoch {
    /// Each once.
    keys: Vec<ArrayRef>,
    states: Vec<ArrayRef>,
    times: Vec<EventTime>,
    of_key: Vec<Vec<usize>>,
}

/// Keys that are worked on together, and their slices: those that are stored, then those that came.
struct Work {
    keys: Vec<ArrayRef>,
    states: Vec<ArrayRef>,
    slices: Vec<Slices>,
    /// Stored ones that are no more: key and time.
    gone: Vec<(usize, EventTime)>,
}

/// The slices of a key by time: what is stored of each, and what came.
type Slices = BTreeMap<EventTime, Slice>;

#[derive(Default)]
struct Slice {
    parts: Vec<usize>,
    is_stored: bool,
    is_new: bool,
}

impl SlidingFinal {
    pub(crate) fn new(plan: &Plan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let spec = &plan.windowed.spec;
        let stored = stored_schema(spec);
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            Arc::clone(&stored),
            spec.key_count(),
            spec.text(),
        )
        .typed();
        let keys = stored.fields()[..spec.key_count()].to_vec();
        Ok(Self {
            delta: Delta::new(Arc::clone(spec))?,
            store: GroupStore::new(changelog, spec.key_count() - 1, Share::of(&place.near.memory))?,
            slices: TimeIndex::new(keys),
            void: Vec::new(),
            stored,
            plan: plan.clone(),
        })
    }

    fn size(&self) -> i64 {
        self.plan.windowed.windows.size_ms()
    }

    /// Whether the window that ends with `last` is over.
    fn is_over(&self, last: EventTime, watermark: Watermark) -> bool {
        // All windows of a row a window's size earlier are.
        self.plan
            .windowed
            .windows
            .is_closed(last - self.size(), watermark)
    }

    /// Whether no window reaches a slice any more, not even the one that begins behind it.
    fn is_past(&self, time: EventTime, watermark: Watermark) -> bool {
        self.plan
            .windowed
            .windows
            .is_closed(time.saturating_add(1), watermark)
    }

    /// The keys of which a window is over, or a slice past.
    fn due(&self, settled: Watermark, watermark: Watermark) -> Result<Vec<ArrayRef>, OperatorError> {
        let past = self
            .slices
            .due(EventTime::MIN, |time| self.is_past(time, watermark));
        let mut due: Vec<&RowKey> = past.map(|(_, key)| key).collect();
        if self.plan.emit == Emit::OnWindowClose {
            // Windows that end with these slices.
            let size = self.size();
            let first = match !self.is_over(size, settled) {
                true => EventTime::MIN,
                false => settled
                    .millis()
                    .saturating_sub(self.plan.windowed.windows.grace_ms())
                    .saturating_sub(1),
            };
            let ended = self
                .slices
                .due(first, |time| self.is_over(time.max(size), watermark));
            due.extend(ended.map(|(_, key)| key));
        }
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = self.slices.columns(due)?;
        keys.pop();
        Ok(keys)
    }

    /// What the last epoch forgot is void.
    fn publish_void(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let void = std::mem::take(&mut self.void);
        if void.is_empty() {
            return Ok(());
        }
        let mut columns = self.slices.columns(&void)?;
        let values = self.stored.fields().iter().skip(columns.len());
        columns.extend(values.map(|field| new_null_array(field.data_type(), void.len())));
        let rows = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        (out.publish)(&self.store.encode(&rows, &vec![false; void.len()])?)?;
        Ok(())
    }

    /// All slices of these keys, which are in memory.
    fn work(&mut self, epoch: &Epoch, ready: &[usize], settled: Watermark) -> Result<Work, OperatorError> {
        let rows = UInt64Array::from_iter_values(ready.iter().map(|key| *key as u64));
        let keys = epoch.keys.iter().map(|key| take(key, &rows, None));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let members = self.store.members();
        let groups = members.groups(&keys)?;
        let (key_of, mut states) = members.of(&groups)?;
        states.pop();
        let times = states.last().expect("states end with the time");
        let times = times.as_primitive::<Int64Type>().values().to_vec();
        let mut slices: Vec<Slices> = ready.iter().map(|_| Slices::new()).collect();
        let mut gone = Vec::new();
        for (part, (&key, &time)) in key_of.iter().zip(&times).enumerate() {
            if self.is_past(time, settled) {
                gone.push((key, time));
                continue;
            }
            let slice = slices[key].entry(time).or_default();
            slice.parts.push(part);
            slice.is_stored = true;
        }
        let mut brought = Vec::new();
        for (key, slices) in slices.iter_mut().enumerate() {
            for &part in &epoch.of_key[ready[key]] {
                let slice = slices.entry(epoch.times[part]).or_default();
                slice.parts.push(times.len() + brought.len());
                slice.is_new = true;
                brought.push(part as u64);
            }
        }
        let brought = UInt64Array::from(brought);
        for (stored, came) in states.iter_mut().zip(&epoch.states) {
            *stored = concat(&[&*stored, &take(came, &brought, None)?])?;
        }
        Ok(Work {
            keys,
            states,
            slices,
            gone,
        })
    }

    /// Stores and logs the slices that came; forgets those that are past.
    fn keep(&mut self, work: &Work, watermark: Watermark, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (mut keys, mut times, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |key: usize, time| {
            keys.push(key as u32);
            times.push(time);
        };
        for (key, slices) in work.slices.iter().enumerate() {
            for (time, slice) in slices.iter().filter(|(_, slice)| slice.is_new) {
                push(key, *time);
                changed.push(Linked {
                    start: *time,
                    last: *time,
                    parts: slice.parts.clone(),
                });
            }
        }
        for (key, slices) in work.slices.iter().enumerate() {
            let stored = slices.iter().filter(|(_, slice)| !slice.is_new);
            let past = stored.filter(|(time, _)| self.is_past(**time, watermark));
            past.for_each(|(time, _)| push(key, *time));
        }
        work.gone.iter().for_each(|(key, time)| push(*key, *time));
        if keys.is_empty() {
            return Ok(());
        }
        let rows = self.rows(work, (keys, &times), &changed)?;
        if !changed.is_empty() {
            let logged = rows.slice(0, changed.len());
            (out.publish)(&self.store.encode(&logged, &vec![true; changed.len()])?)?;
        }
        let stays = |(row, time): (usize, &EventTime)| row < changed.len() && !self.is_past(*time, watermark);
        let live: Vec<bool> = times.iter().enumerate().map(stays).collect();
        let (keys, values) = rows.columns().split_at(self.plan.windowed.spec.key_count());
        self.store.members().set(keys, values, &live)?;
        let keys = self.slices.keys(keys)?;
        for (row, (key, (time, stays))) in keys.into_iter().zip(times.iter().zip(live)).enumerate() {
            if stays {
                self.slices.insert(*time, key);
            } else if self.slices.remove(*time, &key) || row < changed.len() {
                self.void.push(key);
            }
        }
        Ok(())
    }

    /// The columns of the store: of slices that changed, then of others without values.
    fn rows(
        &mut self,
        work: &Work,
        (keys, times): (Vec<u32>, &[EventTime]),
        changed: &[Linked],
    ) -> Result<RecordBatch, OperatorError> {
        let others = keys.len() - changed.len();
        let keys = UInt32Array::from(keys);
        let mut columns = Vec::with_capacity(self.stored.fields().len());
        for key in &work.keys {
            columns.push(take(key, &keys, None)?);
        }
        columns.push(starts(times.iter().copied()));
        let mut values: Vec<ArrayRef> = Vec::new();
        if !changed.is_empty() {
            let linked: Vec<&Linked> = changed.iter().collect();
            for mut accumulator in merged(&self.plan.windowed.spec, &work.states, &linked)? {
                values.extend(accumulator.state(EmitTo::All)?);
            }
            let lasts = changed.iter().map(|slice| slice.last);
            values.push(Arc::new(Int64Array::from_iter_values(lasts)));
            let numbers = self.store.numbers(changed.len());
            values.push(Arc::new(Int64Array::from_iter_values(numbers)));
        }
        let fields = self.stored.fields().iter().skip(columns.len());
        for (number, field) in fields.enumerate() {
            let none = new_null_array(field.data_type(), others);
            columns.push(match values.get(number) {
                None => none,
                Some(values) => concat(&[values, &none])?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.stored), columns)?)
    }

    /// Emits the windows that are over since the last epoch, or those that changed.
    fn emit(
        &self,
        work: &Work,
        (settled, watermark): (Watermark, Watermark),
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let size = self.size();
        let (mut shown, mut parts) = (Vec::new(), 0);
        for (key, slices) in work.slices.iter().enumerate() {
            let times: Vec<EventTime> = slices.keys().copied().collect();
            let all: Vec<&Slice> = slices.values().collect();
            let new: Vec<usize> = (0..all.len()).filter(|slice| all[*slice].is_new).collect();
            for (end, within) in windows(&times, size) {
                let is_wanted = match self.plan.emit {
                    Emit::OnWindowClose => self.is_over(end, watermark),
                    Emit::OnUpdate => {
                        // The slice before the window may have made it.
                        let maker = within.start.checked_sub(1);
                        let maker = maker.filter(|slice| times[*slice] + size + 1 == end);
                        let next = new.partition_point(|slice| *slice < within.start);
                        maker.is_some_and(|slice| all[slice].is_new)
                            || new.get(next).is_some_and(|slice| *slice < within.end)
                    }
                };
                if !is_wanted || self.is_over(end, settled) {
                    continue;
                }
                let time = match self.plan.emit {
                    Emit::OnWindowClose => end,
                    Emit::OnUpdate => times[within.end - 1],
                };
                let within = within.flat_map(|slice| all[slice].parts.iter().copied());
                let linked = Linked {
                    start: end - size,
                    last: end,
                    parts: within.collect(),
                };
                parts += linked.parts.len();
                shown.push((key, linked, time));
                if parts > MERGED_MAX {
                    self.emit_windows(work, &std::mem::take(&mut shown), out)?;
                    parts = 0;
                }
            }
        }
        self.emit_windows(work, &shown, out)
    }

    /// Emits windows, each of a key and at a time.
    fn emit_windows(
        &self,
        work: &Work,
        shown: &[(usize, Linked, EventTime)],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        if shown.is_empty() {
            return Ok(());
        }
        let keys = UInt64Array::from_iter_values(shown.iter().map(|(key, ..)| *key as u64));
        let mut columns = Vec::with_capacity(self.plan.output.fields().len());
        for key in &work.keys {
            columns.push(take(key, &keys, None)?);
        }
        let linked: Vec<&Linked> = shown.iter().map(|(_, window, _)| window).collect();
        columns.push(starts(linked.iter().map(|window| window.start)));
        columns.push(ends(linked.iter().map(|window| window.last)));
        for mut accumulator in merged(&self.plan.windowed.spec, &work.states, &linked)? {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.output), columns)?;
        out.push(Rows::new(batch, shown.iter().map(|(.., time)| *time).collect()));
        Ok(())
    }

    /// Rows of the changelog are slices that windows reach, until it says otherwise.
    fn note_restored(&mut self, rows: Option<LoggedRows>) -> Result<(), OperatorError> {
        let Some((rows, live)) = rows else {
            return Ok(());
        };
        let (keys, values) = rows.columns().split_at(self.plan.windowed.spec.key_count());
        let times = values[values.len() - 2].as_primitive::<Int64Type>();
        // Deleted ones have none, and need none.
        let times = times.iter().map(Option::unwrap_or_default);
        Ok(self.slices.restore(keys, times, &live)?)
    }
}

impl Epoch {
    /// What came, and the keys besides of which something is due.
    fn of(
        spec: &AggregateSpec,
        came: Option<RecordBatch>,
        due: &[ArrayRef],
    ) -> Result<Option<Self>, OperatorError> {
        if came.is_none() && due.is_empty() {
            return Ok(None);
        }
        let came = came.unwrap_or_else(|| RecordBatch::new_empty(spec.state_schema()));
        let (keys, states) = came.columns().split_at(spec.key_count());
        let (times, keys) = keys.split_last().expect("the last key is the time");
        let times = times.as_primitive::<TimestampMillisecondType>().values().to_vec();
        let mut columns = keys.to_vec();
        for (column, due) in columns.iter_mut().zip(due) {
            *column = concat(&[&*column, due])?;
        }
        let mut known = new_keys(spec)?;
        let mut key_of = Vec::new();
        known.intern(&columns, &mut key_of)?;
        let mut of_key = vec![Vec::new(); known.len()];
        for (part, key) in key_of.into_iter().take(times.len()).enumerate() {
            of_key[key].push(part);
        }
        Ok(Some(Self {
            keys: known.emit(EmitTo::All)?,
            states: states.to_vec(),
            times,
            of_key,
        }))
    }
}

/// Keys and the time; states, the time again as a value, and the number.
fn stored_schema(spec: &AggregateSpec) -> SchemaRef {
    let schema = spec.state_schema();
    let fields = schema.fields().iter();
    let mut fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    fields.push(Field::new("$number", DataType::Int64, true));
    Arc::new(Schema::new(fields))
}

impl Operator for SlidingFinal {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (sliding, watermark) = (&self.plan.windowed.windows, out.watermark());
        let keys = self.plan.windowed.spec.key_count();
        let times = rows
            .batch
            .column(keys - 1)
            .as_primitive::<TimestampMillisecondType>();
        let open: BooleanArray = times
            .values()
            .iter()
            .map(|time| Some(!sliding.is_closed(*time, watermark)))
            .collect();
        if open.false_count() == 0 {
            return Ok(self.delta.merge(&rows.batch)?);
        }
        // Only behind a task that was idle; rows for `late()` come another way.
        out.count_late(open.false_count());
        Ok(self.delta.merge(&filter_record_batch(&rows.batch, &open)?)?)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.publish_void(out)?;
        let (settled, watermark) = (out.settled(), out.watermark());
        let due = self.due(settled, watermark)?;
        let came = self.delta.take()?;
        let Some(epoch) = Epoch::of(&self.plan.windowed.spec, came, &due)? else {
            return Ok(());
        };
        let all: Vec<usize> = (0..epoch.of_key.len()).collect();
        for some in all.chunks(WORKED_MAX) {
            let mut wanted = some.to_vec();
            // All at once, unless memory has no room for the slices of all.
            while !wanted.is_empty() {
                self.store.make_room()?;
                let ready = self.store.touch(&epoch.keys, &wanted)?;
                let work = self.work(&epoch, &ready, settled)?;
                self.emit(&work, (settled, watermark), out)?;
                self.keep(&work, watermark, out)?;
                wanted.retain(|key| ready.binary_search(key).is_err());
            }
        }
        self.store.compact()?;
        // Those of which all was forgotten.
        Ok(self.store.members().forget_empty_groups()?)
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let rows = self.store.restore(key, value)?;
        self.note_restored(rows)
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        let rows = self.store.end_restore()?;
        self.note_restored(rows)?;
        self.slices.end_restore();
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.store.attach(store);
    }

    fn is_full(&self) -> bool {
        self.store.is_full_with(self.delta.size_bytes())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.slices.len(), self.store.size().1 + self.slices.size_bytes())
    }
}
