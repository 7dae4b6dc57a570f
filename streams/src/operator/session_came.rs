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
    /// Rows since the states were made fewer.
    states_rows: usize,
    doubtful: Vec<Doubtful>,
    doubtful_rows: usize,
    bytes: usize,
}

/// Rows of which the sessions say whether they are late.
pub(super) struct Doubtful {
    /// The partial state of each.
    states: RecordBatch,
    pub(super) watermarks: Vec<EventTime>,
    rows: Rows,
    pub(super) late: Vec<bool>,
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
    /// From this part on they are the rows of `doubtful`.
    pub(super) doubtful_from: usize,
    pub(super) doubtful: Vec<Doubtful>,
}

impl Came {
    pub(super) fn new(spec: &Arc<AggregateSpec>, gap: i64) -> Self {
        Self {
            spec: Arc::clone(spec),
            gap,
            states: Vec::new(),
            states_rows: 0,
            doubtful: Vec::new(),
            doubtful_rows: 0,
            bytes: 0,
        }
    }

    /// Takes partial states.
    pub(super) fn add(&mut self, rows: Rows) -> Result<(), OperatorError> {
        self.states_rows += rows.len();
        self.bytes += rows.size_bytes();
        self.states.push(rows.batch);
        if self.states_rows > HELD_ROWS_MAX {
            let fewer = self.fewer()?;
            self.states.push(fewer);
            self.states_rows = 0;
        }
        Ok(())
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
            self.bytes += 2 * rows.size_bytes();
            self.doubtful.push(Doubtful {
                states,
                watermarks: marks.iter().map(|mark| least.max(*mark)).collect(),
                late: vec![false; rows.len()],
                rows,
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
        let fewer = RecordBatch::try_new(self.spec.state_schema(), columns)?;
        self.bytes = fewer.get_array_memory_size();
        Ok(fewer)
    }

    /// All of the epoch, and the keys besides of which something is due; none is held afterwards.
    pub(super) fn take(&mut self, due: &[ArrayRef]) -> Result<Option<Epoch>, OperatorError> {
        let doubtful = std::mem::take(&mut self.doubtful);
        let states = std::mem::take(&mut self.states);
        (self.states_rows, self.doubtful_rows, self.bytes) = (0, 0, 0);
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
        self.bytes
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
        let doubtful_rows: usize = doubtful.iter().map(|rows| rows.rows.len()).sum();
        Ok(Self {
            keys: known.emit(EmitTo::All)?,
            starts: starts.values().to_vec(),
            lasts: lasts.as_primitive::<Int64Type>().values().to_vec(),
            states: values.to_vec(),
            of_key,
            doubtful_from: states.num_rows() - doubtful_rows,
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
        let mut row = part.checked_sub(self.doubtful_from)?;
        for (number, batch) in self.doubtful.iter().enumerate() {
            match row.checked_sub(batch.late.len()) {
                Some(rest) => row = rest,
                None => return Some((number, row)),
            }
        }
        None
    }

    /// Emits the rows that are late.
    pub(super) fn emit_late(self, port: usize, out: &mut Output<'_>) -> Result<(), OperatorError> {
        for Doubtful { rows, late, .. } in self.doubtful {
            if late.contains(&true) {
                let late = rows.filter(&BooleanArray::from(late))?;
                out.count_late(late.len());
                out.push_to(port, late);
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
