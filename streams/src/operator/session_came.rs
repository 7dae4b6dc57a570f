//! What an epoch brings of sessions: partial states of those that are in time, and rows of which it has to be found out.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};

use super::session_links::{Linked, Part, link};
use super::session_partial::{new_keys, starts};
use super::to_table::HELD_ROWS_MAX;
use super::{OperatorError, Output};
use crate::aggregate::{AggregateSpec, EmitTo, GroupsAccumulator};
use crate::rows::{EventTime, NO_TIME, Rows};

/// Partial states and rows of the running epoch.
pub(super) struct Came {
    spec: Arc<AggregateSpec>,
    gap: i64,
    states: Vec<RecordBatch>,
    /// Rows since the states were made fewer, and how many there may be before they are again.
    states_rows: usize,
    states_rows_max: usize,
    states_bytes: usize,
    doubtful: Vec<Doubtful>,
    doubtful_rows: usize,
    doubtful_bytes: usize,
}

/// Parts of which the sessions say whether they are late.
pub(super) struct Doubtful {
    /// The partial state of each.
    states: RecordBatch,
    watermarks: Vec<EventTime>,
    /// What they are if they came as rows.
    rows: Option<Rows>,
    late: Vec<bool>,
}

/// All of it by key.
pub(super) struct Epoch {
    /// The keys, each once.
    pub(super) keys: Vec<ArrayRef>,
    /// The partial states of all parts.
    pub(super) states: Vec<ArrayRef>,
    pub(super) starts: Vec<EventTime>,
    pub(super) lasts: Vec<EventTime>,
    /// The parts of each key, in the order in which they came.
    pub(super) of_key: Vec<Vec<usize>>,
    doubtful: Vec<Doubtful>,
    /// The first part of each of them.
    doubtful_from: Vec<usize>,
}

impl Came {
    pub(super) fn new(spec: &Arc<AggregateSpec>, gap: i64) -> Self {
        Self {
            spec: Arc::clone(spec),
            gap,
            states: Vec::new(),
            states_rows: 0,
            states_rows_max: HELD_ROWS_MAX,
            states_bytes: 0,
            doubtful: Vec::new(),
            doubtful_rows: 0,
            doubtful_bytes: 0,
        }
    }

    /// Takes partial states.
    pub(super) fn add(&mut self, rows: Rows) -> Result<(), OperatorError> {
        self.states_rows += rows.len();
        self.states_bytes += rows.size_bytes();
        self.states.push(rows.batch);
        if self.states_rows > self.states_rows_max {
            let fewer = self.fewer()?;
            // Each is looked at a few times only, also where none are one.
            self.states_rows_max = fewer.num_rows().max(HELD_ROWS_MAX);
            self.states_rows = 0;
            self.states_bytes = fewer.get_array_memory_size();
            self.states.push(fewer);
        }
        Ok(())
    }

    /// Takes partial states that are over as of `watermark`, unless they are near something that is not.
    pub(super) fn add_over(&mut self, rows: Rows, watermark: EventTime) {
        self.doubtful_rows += rows.len();
        self.doubtful_bytes += rows.size_bytes();
        self.doubtful.push(Doubtful {
            watermarks: vec![watermark; rows.len()],
            late: vec![false; rows.len()],
            states: rows.batch,
            rows: None,
        });
    }

    /// Takes rows that may be late; `least` is the watermark by which they are, besides their own. Those without a time are late: gives those.
    pub(super) fn add_doubtful(
        &mut self,
        rows: Rows,
        least: EventTime,
    ) -> Result<Option<Rows>, OperatorError> {
        let timed: BooleanArray = rows.times().iter().map(|time| Some(*time > NO_TIME)).collect();
        let late = match timed.false_count() {
            0 => None,
            _ => Some(rows.filter(&arrow::compute::not(&timed)?)?),
        };
        let rows = rows.filter(&timed)?.with_watermarks_from(least);
        if rows.len() > 0 {
            let states = self.states_of(&rows)?;
            let marks = rows.watermarks().unwrap_or_default();
            self.doubtful_rows += rows.len();
            self.doubtful_bytes += 2 * rows.size_bytes();
            self.doubtful.push(Doubtful {
                states,
                watermarks: marks.iter().map(|mark| least.max(*mark)).collect(),
                late: vec![false; rows.len()],
                rows: Some(rows),
            });
        }
        Ok(late)
    }

    /// The partial state of each row.
    fn states_of(&self, rows: &Rows) -> Result<RecordBatch, OperatorError> {
        let spec = &self.spec;
        let keys = spec.evaluate_keys_but_last(&rows.batch);
        let mut columns = keys.map_err(OperatorError::of_rows)?;
        let arguments = spec.evaluate_arguments(&rows.batch);
        let arguments = arguments.map_err(OperatorError::of_rows)?;
        let each: Vec<usize> = (0..rows.len()).collect();
        let mut accumulators = spec.new_accumulators()?;
        spec.update(&mut accumulators, &arguments, &each, rows.len())?;
        columns.push(starts(rows.times().iter().copied()));
        for accumulator in &mut accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        columns.push(Arc::clone(rows.time_columns().0));
        Ok(RecordBatch::try_new(spec.state_schema(), columns)?)
    }

    /// The sessions that the partial states are, as such.
    fn fewer(&mut self) -> Result<RecordBatch, OperatorError> {
        let states = std::mem::take(&mut self.states);
        let states = concat_batches(&self.spec.state_schema(), &states)?;
        let epoch = Epoch::of(&self.spec, &states, Vec::new(), &[])?;
        let of_key = epoch.of_key.iter().enumerate();
        let sessions: Vec<(usize, Linked)> = of_key
            .flat_map(|(key, parts)| {
                let parts = parts.iter().map(|part| epoch.part(*part)).collect();
                link(parts, self.gap)
                    .into_iter()
                    .map(move |session| (key, session))
            })
            .collect();
        let linked: Vec<&Linked> = sessions.iter().map(|(_, session)| session).collect();
        let places = UInt64Array::from_iter_values(sessions.iter().map(|(key, _)| *key as u64));
        let mut columns = Vec::with_capacity(states.num_columns());
        for key in &epoch.keys {
            columns.push(take(key, &places, None)?);
        }
        columns.push(starts(linked.iter().map(|session| session.start)));
        for mut accumulator in merged(&self.spec, &epoch.states, &linked)? {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let lasts = linked.iter().map(|session| session.last);
        columns.push(Arc::new(Int64Array::from_iter_values(lasts)));
        Ok(RecordBatch::try_new(self.spec.state_schema(), columns)?)
    }

    /// All of the epoch, and the keys besides of which something is due; none is held afterwards.
    pub(super) fn take(&mut self, due: &[ArrayRef]) -> Result<Option<Epoch>, OperatorError> {
        let doubtful = std::mem::take(&mut self.doubtful);
        let states = std::mem::take(&mut self.states);
        (self.states_rows, self.states_bytes) = (0, 0);
        (self.doubtful_rows, self.doubtful_bytes) = (0, 0);
        self.states_rows_max = HELD_ROWS_MAX;
        let due_rows = due.first().map_or(0, |key| key.len());
        if states.is_empty() && doubtful.is_empty() && due_rows == 0 {
            return Ok(None);
        }
        let all = states.iter().chain(doubtful.iter().map(|rows| &rows.states));
        let all = concat_batches(&self.spec.state_schema(), all)?;
        Epoch::of(&self.spec, &all, doubtful, due).map(Some)
    }

    /// Roughly the memory in use.
    pub(super) fn size_bytes(&self) -> usize {
        self.states_bytes + self.doubtful_bytes
    }

    /// Whether so much came that the epoch should end.
    pub(super) fn is_full(&self) -> bool {
        self.doubtful_rows > HELD_ROWS_MAX
    }
}

impl Epoch {
    fn of(
        spec: &AggregateSpec,
        states: &RecordBatch,
        doubtful: Vec<Doubtful>,
        due: &[ArrayRef],
    ) -> Result<Self, OperatorError> {
        let (keys, values) = states.columns().split_at(spec.key_count());
        let (starts, keys) = keys.split_last().expect("the last key is the start");
        let starts = starts.as_primitive::<TimestampMillisecondType>();
        let lasts = values.last().expect("states end with the time");
        let mut columns = keys.to_vec();
        for (column, due) in columns.iter_mut().zip(due) {
            *column = concat(&[&*column, due])?;
        }
        let mut known = new_keys(spec)?;
        let mut key_of = Vec::new();
        known.intern(&columns, &mut key_of)?;
        let mut of_key = vec![Vec::new(); known.len()];
        for (part, key) in key_of.into_iter().take(states.num_rows()).enumerate() {
            of_key[key].push(part);
        }
        // They are behind all others.
        let doubtful_rows: usize = doubtful.iter().map(|batch| batch.late.len()).sum();
        let mut next = states.num_rows() - doubtful_rows;
        let doubtful_from = doubtful.iter().map(|batch| {
            next += batch.late.len();
            next - batch.late.len()
        });
        Ok(Self {
            keys: known.emit(EmitTo::All)?,
            starts: starts.values().to_vec(),
            lasts: lasts.as_primitive::<Int64Type>().values().to_vec(),
            states: values.to_vec(),
            of_key,
            doubtful_from: doubtful_from.collect(),
            doubtful,
        })
    }

    pub(super) fn part(&self, number: usize) -> Part {
        Part {
            number,
            start: self.starts[number],
            last: self.lasts[number],
        }
    }

    /// The watermark of a part that may be late.
    pub(super) fn watermark(&self, part: usize) -> Option<EventTime> {
        let (batch, row) = self.place(part)?;
        Some(self.doubtful[batch].watermarks[row])
    }

    /// A part is late.
    pub(super) fn set_late(&mut self, part: usize) {
        if let Some((batch, row)) = self.place(part) {
            self.doubtful[batch].late[row] = true;
        }
    }

    fn place(&self, part: usize) -> Option<(usize, usize)> {
        let batch = self.doubtful_from.partition_point(|from| *from <= part);
        let batch = batch.checked_sub(1)?;
        Some((batch, part - self.doubtful_from[batch]))
    }

    /// Emits the rows that are late; of partial states it is only counted how many are.
    pub(super) fn emit_late(self, port: usize, out: &mut Output<'_>) -> Result<(), OperatorError> {
        for Doubtful { rows, late, .. } in self.doubtful {
            let late = BooleanArray::from(late);
            out.count_late(late.true_count());
            if let Some(rows) = rows
                && late.true_count() > 0
            {
                out.push_to(port, rows.filter(&late)?);
            }
        }
        Ok(())
    }
}

/// Accumulators with the states of sessions, whose parts are rows of `states`.
pub(super) fn merged(
    spec: &AggregateSpec,
    states: &[ArrayRef],
    sessions: &[&Linked],
) -> Result<Vec<Box<dyn GroupsAccumulator>>, OperatorError> {
    let mut groups = Vec::with_capacity(sessions.len());
    let mut parts = Vec::with_capacity(sessions.len());
    for (group, session) in sessions.iter().enumerate() {
        parts.extend(session.parts.iter().map(|part| *part as u32));
        groups.resize(parts.len(), group);
    }
    let parts = UInt32Array::from(parts);
    let taken = states.iter().map(|column| take(column, &parts, None));
    let taken = taken.collect::<Result<Vec<_>, _>>()?;
    let mut accumulators = spec.new_accumulators()?;
    spec.merge(&mut accumulators, &taken, &groups, sessions.len())?;
    Ok(accumulators)
}

/// A time as the end of a window that is inclusive.
pub(super) fn ends(times: impl Iterator<Item = EventTime>) -> ArrayRef {
    let ends = times.map(|time| time.saturating_add(1));
    Arc::new(TimestampMillisecondArray::from_iter_values(ends).with_timezone("UTC"))
}
