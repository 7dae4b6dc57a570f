//! Two streams by key: rows that are near each other in event time, and, if asked for, those that met none.
//!
//! A row that is in time finds all rows that it belongs to and that came before it, whatever side and partition they are of: what is
//! forgotten is so old that whoever asks for it is late. So pairs do not hang on how both sides interleave. A row that
//! met none is emitted when nobody can come any more that is in time and would meet it.
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, take};

use super::portion::{OUTPUT_ROWS_MAX, portion};
use super::{Operator, OperatorError, Output, Place as TaskPlace};
use crate::plan::{JoinColumn, StreamJoin as Plan};
use crate::rows::{EventTime, NO_TIME, Rows, row_bytes};
use crate::state::{
    BucketLog, Came, JoinStore, JoinStoreError, KeyError, KeyExprs, Keys, Owner, Pair, Place, Share, SideLog,
};
use crate::store::LocalStore;
use crate::time::Watermark;

/// Rows that are emitted in one epoch; beyond it, the epoch ends early, so that a transaction does not grow with what meets.
const EPOCH_ROWS_MAX: usize = 1 << 20;
/// What they may take.
const EPOCH_BYTES_MAX: usize = 256 << 20;
/// The output of joined rows. Late rows of each side follow.
const JOINED: usize = 0;

/// The rows of both sides that others may still meet.
pub(crate) struct StreamJoin {
    plan: Plan,
    store: JoinStore,
    /// What is to be done before anything else comes: one batch of output at a time, however many rows meet.
    work: VecDeque<Work>,
    /// Rows that the running epoch has emitted, and what they take.
    emitted: usize,
    emitted_bytes: usize,
    /// Rows were restored, and some among them may be over.
    restored: bool,
}

/// What is to be done.
enum Work {
    /// Rows that came meet those that are there, and are kept.
    Meet(Meeting),
    /// Rows of a side with these times meet none any more.
    Alone {
        side: usize,
        times: Range<EventTime>,
        /// Those that were found, and how many of them have been emitted.
        found: Vec<Place>,
        given: usize,
    },
    /// The epoch ends; what is over at this watermark is forgotten.
    End(Watermark),
}

/// Rows of one side that came, and how far they have met those of the other.
struct Meeting {
    side: usize,
    rows: Rows,
    keys: Keys,
    /// What each of them takes.
    row_bytes: Vec<usize>,
    /// What they may meet is in memory.
    is_ready: bool,
    /// The next of them to ask for.
    next: usize,
    /// Which of those before it have met others.
    matched: Vec<bool>,
    /// The pairs that were found last, and how many of them have been emitted.
    pairs: Vec<Pair>,
    given: usize,
}

impl Meeting {
    fn new(side: usize, rows: Rows, keys: Keys) -> Self {
        Self {
            side,
            matched: vec![false; rows.len()],
            row_bytes: row_bytes(&rows.batch),
            rows,
            keys,
            is_ready: false,
            next: 0,
            pairs: Vec::new(),
            given: 0,
        }
    }

    fn came(&self) -> Came<'_> {
        Came {
            side: self.side,
            batch: &self.rows.batch,
            times: self.rows.times(),
            keys: &self.keys,
        }
    }
}

/// The columns of the rows of each side that are emitted; none where there is no row.
type Columns = [Option<Vec<ArrayRef>>; 2];

impl From<KeyError> for OperatorError {
    /// For rows that are kept: their keys were had before.
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Expression(cause) => cause.into(),
            KeyError::Encoding(cause) => cause.into(),
        }
    }
}

impl From<JoinStoreError> for OperatorError {
    fn from(error: JoinStoreError) -> Self {
        match error {
            JoinStoreError::Format(cause) => cause.into(),
            JoinStoreError::State(cause) => cause.into(),
            JoinStoreError::Key(cause) => cause.into(),
            JoinStoreError::Arrow(cause) => cause.into(),
            JoinStoreError::RowTooLarge {
                changelog,
                key,
                bytes,
                bytes_max,
            } => Self::RowTooLarge {
                changelog,
                key,
                bytes,
                bytes_max,
            },
        }
    }
}

impl StreamJoin {
    pub(crate) fn new(plan: &Plan, place: &TaskPlace<'_>) -> Self {
        let sides = [0, 1].map(|side| SideLog::new(&plan.schemas[side], plan.kind.keeps(side)));
        let log = BucketLog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            sides,
            plan.meaning.clone(),
            place.near.limits.rows_bytes_max(),
            place.near.owners.next(),
        );
        let log = log.repeating(place.near.repeats);
        let keys = [0, 1].map(|side: usize| KeyExprs::new(&plan.keys[side]));
        let share = Share::of(&place.near.memory);
        Self {
            store: JoinStore::new(keys, plan.bucket_ms(), log, share),
            plan: plan.clone(),
            work: VecDeque::new(),
            emitted: 0,
            emitted_bytes: 0,
            restored: false,
        }
    }

    fn keys(&self, side: usize, rows: &Rows) -> Result<Keys, OperatorError> {
        match self.store.keys(side, &rows.batch) {
            Err(KeyError::Expression(cause)) => Err(OperatorError::of_rows(cause)),
            keys => Ok(keys?),
        }
    }

    /// Has rows with keys meet those that are there, up to the next batch of pairs. Once they have met all, they are kept, and nothing is
    /// left to do.
    fn meet(&mut self, mut meeting: Meeting, out: &mut Output<'_>) -> Result<Option<Meeting>, OperatorError> {
        let reach = self.plan.reach(meeting.side);
        if !std::mem::replace(&mut meeting.is_ready, true) {
            self.store.ready(&meeting.came(), reach.0, reach.1)?;
        }
        if meeting.given == meeting.pairs.len() {
            let (pairs, next) = self
                .store
                .probe(&meeting.came(), reach, meeting.next, OUTPUT_ROWS_MAX);
            for pair in &pairs {
                meeting.matched[pair.row as usize] = true;
            }
            self.store.mark(1 - meeting.side, pairs.iter().map(Pair::other));
            (meeting.pairs, meeting.given, meeting.next) = (pairs, 0, next);
        }
        let left = meeting.pairs[meeting.given..].iter();
        let sizes = left.map(|pair| meeting.row_bytes[pair.row as usize] + pair.other().bytes());
        let (rows, bytes) = portion(sizes);
        if rows > 0 {
            let end = meeting.given + rows;
            self.emit_pairs(&meeting.came(), &meeting.pairs[meeting.given..end], out)?;
            self.emitted_bytes = self.emitted_bytes.saturating_add(bytes);
            meeting.given = end;
        }
        if meeting.given == meeting.pairs.len() && meeting.next == meeting.rows.len() {
            self.store.add(&meeting.came(), &meeting.matched)?;
            return Ok(None);
        }
        Ok(Some(meeting))
    }

    fn emit_pairs(
        &mut self,
        came: &Came<'_>,
        pairs: &[Pair],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let rows = UInt32Array::from_iter_values(pairs.iter().map(|pair| pair.row));
        let own = came.batch.columns().iter();
        let own: Vec<ArrayRef> = own
            .map(|column| take(column, &rows, None))
            .collect::<Result<_, _>>()?;
        let others: Vec<Place> = pairs.iter().map(Pair::other).collect();
        let others_columns = self.store.columns(1 - came.side, &others)?;
        let times = pairs
            .iter()
            .map(|pair| came.times[pair.row as usize].max(pair.other().time));
        let mut columns: Columns = [Some(own), Some(others_columns)];
        if came.side == 1 {
            columns.reverse();
        }
        self.emit(&columns, times.collect(), out)
    }

    /// Emits rows of `side` that have met none.
    fn emit_alone(
        &mut self,
        side: usize,
        columns: Vec<ArrayRef>,
        times: Vec<EventTime>,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let mut alone: Columns = [None, None];
        alone[side] = Some(columns);
        self.emit(&alone, times, out)
    }

    fn emit(
        &mut self,
        columns: &Columns,
        times: Vec<EventTime>,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let [left, right] = columns;
        let (left, right, fields) = (left.as_ref(), right.as_ref(), self.plan.output.fields());
        let made = self.plan.columns.iter().zip(fields).map(|(from, field)| {
            let column = match *from {
                JoinColumn::Left(number) => left.map(|left| &left[number]),
                JoinColumn::Right(number) => right.map(|right| &right[number]),
                JoinColumn::Both(number, other) => left
                    .map(|left| &left[number])
                    .or_else(|| right.map(|right| &right[other])),
            };
            match column {
                Some(column) => cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), times.len())),
            }
        });
        let columns = made.collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.plan.output), columns)?;
        self.emitted += batch.num_rows();
        // They bring no watermarks: what they are judged by below is how far this task is, less what it holds back.
        out.push_to(JOINED, Rows::new(batch, times));
        Ok(())
    }

    /// What of `side` is over at `watermark`: rows before this time.
    fn over(&self, side: usize, watermark: Watermark) -> EventTime {
        let (_, forth) = self.plan.reach(side);
        watermark.minus(forth.saturating_add(self.plan.grace_ms)).millis()
    }

    /// Emits rows that will meet none any more, up to the next batch; gives those of later times that may be left.
    fn part(
        &mut self,
        side: usize,
        mut times: Range<EventTime>,
        (mut found, mut given): (Vec<Place>, usize),
        out: &mut Output<'_>,
    ) -> Result<Option<Work>, OperatorError> {
        if given == found.len() {
            let Some((places, end)) = self.store.unmatched(side, &times)? else {
                return Ok(None);
            };
            (found, given, times.start) = (places, 0, end);
        }
        let (rows, bytes) = portion(found[given..].iter().map(Place::bytes));
        let end = given + rows;
        if rows > 0 {
            let places = &found[given..end];
            let columns = self.store.columns(side, places)?;
            let of_places = places.iter().map(|place| place.time).collect();
            self.emit_alone(side, columns, of_places, out)?;
            self.emitted_bytes = self.emitted_bytes.saturating_add(bytes);
        }
        Ok(Some(Work::Alone {
            side,
            times,
            found,
            given: end,
        }))
    }

    /// Rows with keys came.
    fn comes(&mut self, side: usize, rows: Rows, keys: Keys) {
        if rows.len() > 0 {
            self.work.push_back(Work::Meet(Meeting::new(side, rows, keys)));
        }
    }

    /// Does the next part of what is to be done.
    fn work(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let left = match self.work.pop_front() {
            Some(Work::Meet(meeting)) => self.meet(meeting, out)?.map(Work::Meet),
            Some(Work::Alone {
                side,
                times,
                found,
                given,
            }) => self.part(side, times, (found, given), out)?,
            Some(Work::End(watermark)) => {
                (0..2).for_each(|side| self.store.forget(side, self.over(side, watermark)));
                if let Some(records) = self.store.changes()? {
                    (out.publish)(&records)?;
                }
                (self.emitted, self.emitted_bytes) = (0, 0);
                None
            }
            None => None,
        };
        if let Some(left) = left {
            self.work.push_front(left);
        }
        Ok(())
    }
}

/// The rows that came too late, if there are any: `least`, or their own partition's watermark, has passed their time and `grace_ms`.
pub(super) fn late(rows: &Rows, grace_ms: i64, least: Watermark) -> Option<BooleanArray> {
    let marks = rows.watermarks();
    let is_late = |(row, time): (usize, &EventTime)| {
        let own = marks.map_or(Watermark::NONE, |marks| Watermark::at(marks[row]));
        let end = time.saturating_add(grace_ms).saturating_add(1);
        *time <= NO_TIME || own.max(least).passed(end)
    };
    let flags: Vec<bool> = rows.times().iter().enumerate().map(is_late).collect();
    flags.contains(&true).then(|| BooleanArray::from(flags))
}

impl Operator for StreamJoin {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.process_at(0, rows, out)
    }

    fn process_at(&mut self, port: u8, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let side = usize::from(port);
        let late = late(&rows, self.plan.grace_ms, out.judged_from(port));
        let in_time = match &late {
            Some(late) => rows.filter(&arrow::compute::not(late)?)?,
            None => rows.clone(),
        };
        // What fails because of a row has failed before anything is changed.
        let mut keys = self.keys(side, &in_time)?;
        let (mut keyed, mut keyless) = (in_time, None);
        if !keys.there().iter().all(|there| *there) {
            let there = BooleanArray::from(keys.there().to_vec());
            keyless = Some(keyed.filter(&arrow::compute::not(&there)?)?);
            keyed = keyed.filter(&there)?;
            keys = self.keys(side, &keyed)?;
        }
        self.store.check(side, &keyed.batch)?;
        if let Some(late) = &late {
            let late = rows.filter(late)?;
            out.count_late(late.len());
            if self.plan.late[side] {
                out.push_to(JOINED + 1 + side, late);
            }
        }
        if let Some(keyless) = keyless.filter(|_| self.plan.kind.keeps(side)) {
            let columns = keyless.batch.columns().to_vec();
            self.emit_alone(side, columns, keyless.times().to_vec(), out)?;
        }
        self.comes(side, keyed, keys);
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (settled, now) = (out.settled(), out.watermark());
        if std::mem::take(&mut self.restored) {
            // It was emitted, or had met others, in an epoch that is committed.
            (0..2).for_each(|side| self.store.forget(side, self.over(side, settled)));
        }
        self.store.void_closed();
        for side in (0..2).filter(|side| self.plan.kind.keeps(*side)) {
            self.work.push_back(Work::Alone {
                side,
                times: self.over(side, settled)..self.over(side, now),
                found: Vec::new(),
                given: 0,
            });
        }
        self.work.push_back(Work::End(now));
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.work.is_empty()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.work(out)
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
        self.store.is_full() || self.emitted >= EPOCH_ROWS_MAX || self.emitted_bytes >= EPOCH_BYTES_MAX
    }

    fn belongs_to(&mut self, owner: Owner) {
        self.store.belongs_to(owner);
    }

    fn state_size(&self) -> (usize, usize) {
        self.store.size()
    }
}
