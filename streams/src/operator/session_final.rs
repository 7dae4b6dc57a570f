//! Sessions behind the shuffle: keeps those that are open, emits their results, and forgets them when they close.
//!
//! A key's sessions are worked on once an epoch: what came is linked with what is stored, then what is over is closed.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat, not, take};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};

use super::session_came::{Came, Epoch, merged};
use super::session_links::{Linked, Part, add_part, link};
use super::session_partial::starts;
use super::session_work::{Changed, Session, Work};
use super::{Operator, OperatorError, Output, Place};
use crate::aggregate::{AggregateSpec, EmitTo};
use crate::plan::SessionFinalPlan as Plan;
use crate::rows::{EventTime, Rows};
use crate::state::{Changelog, GroupStore, LoggedRows, RowKey, Share, TimeIndex};
use crate::store::LocalStore;
use crate::time::Watermark;

/// The input of rows that may be late; the other one is of partial states.
const DOUBTFUL: u8 = 1;
/// The output of rows that are late; those before it are a table's.
const LATE: usize = 3;

/// Keys that are worked on together at most. Where memory has room for a part of them only, the others are asked for again and again.
pub(super) const WORKED_MAX: usize = 8 * 1024;

/// The open sessions, and what came in the running epoch.
pub(crate) struct SessionFinal {
    plan: Plan,
    came: Came,
    /// By key and start: the states, the time of the last row, the start, and a number that grows with each change.
    store: GroupStore,
    /// The open sessions by the times of their last rows.
    open: TimeIndex,
    /// The sessions that the last epoch closed. Their records are void when what it emitted is committed.
    void: Vec<RowKey>,
    stored: SchemaRef,
}

impl SessionFinal {
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
            came: Came::new(spec, plan.windowed.windows.size_ms()),
            store: GroupStore::new(changelog, spec.key_count() - 1, Share::of(&place.near.memory))?,
            open: TimeIndex::new(keys),
            void: Vec::new(),
            stored,
            plan: plan.clone(),
        })
    }

    fn is_closed(&self, last: EventTime, watermark: Watermark) -> bool {
        self.plan.windowed.windows.is_closed(last, watermark)
    }

    /// The keys of sessions that are over.
    fn due(&self, watermark: Watermark) -> Result<Vec<ArrayRef>, OperatorError> {
        let due = self
            .open
            .due(EventTime::MIN, |last| self.is_closed(last, watermark));
        let due: Vec<&RowKey> = due.map(|(_, key)| key).collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = self.open.columns(due)?;
        keys.pop();
        Ok(keys)
    }

    /// What the last epoch closed is void.
    fn publish_void(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let void = std::mem::take(&mut self.void);
        if void.is_empty() {
            return Ok(());
        }
        let mut columns = self.open.columns(&void)?;
        let values = self.stored.fields().iter().skip(columns.len());
        columns.extend(values.map(|field| new_null_array(field.data_type(), void.len())));
        let rows = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        (out.publish)(&self.store.encode(&rows, &vec![false; void.len()])?)?;
        Ok(())
    }

    /// All parts of the sessions of these keys, which are in memory.
    fn work(&mut self, epoch: &Epoch, ready: &[usize], settled: Watermark) -> Result<Work, OperatorError> {
        let rows = UInt64Array::from_iter_values(ready.iter().map(|key| *key as u64));
        let keys = epoch.keys.iter().map(|key| take(key, &rows, None));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let members = self.store.members();
        let groups = members.groups(&keys)?;
        let (key_of, mut stored) = members.of(&groups)?;
        stored.pop();
        let starts = stored.pop().expect("what is stored has its start");
        let lasts = stored.last().expect("states end with the time");
        let (starts, lasts) = (
            starts.as_primitive::<Int64Type>(),
            lasts.as_primitive::<Int64Type>(),
        );
        let extents = starts.values().iter().zip(lasts.values()).enumerate();
        let parts: Vec<Part> = extents
            .map(|(number, (start, last))| Part {
                number,
                start: *start,
                last: *last,
            })
            .collect();
        let is_gone = |part: &&Part| self.is_closed(part.last, settled);
        let mut work = Work {
            gone: parts.iter().filter(is_gone).map(|part| part.number).collect(),
            stored: parts.len(),
            states: stored,
            parts,
            keys,
            key_of,
            sessions: Vec::new(),
        };
        work.bring(epoch, ready)?;
        Ok(work)
    }

    /// Links the parts; what is late of the epoch is noted there.
    fn link(&self, work: &mut Work, epoch: &mut Epoch, ready: &[usize], watermark: Watermark) {
        let gap = self.plan.windowed.windows.size_ms();
        let mut parts_of: Vec<Vec<Part>> = vec![Vec::new(); ready.len()];
        for (part, key) in work.parts.iter().zip(&work.key_of) {
            if work.gone.binary_search(&part.number).is_err() {
                parts_of[*key].push(*part);
            }
        }
        let mut next = work.stored;
        for (key, mut parts) in parts_of.into_iter().enumerate() {
            let (mut brought, mut doubtful) = (Vec::new(), Vec::new());
            for &part in &epoch.of_key[ready[key]] {
                match epoch.watermark(part) {
                    None => brought.push(work.parts[next]),
                    Some(mark) => doubtful.push((part, Watermark::at(mark), work.parts[next])),
                }
                next += 1;
            }
            parts.extend(brought);
            // What would be open by itself is taken whatever it is near: together, what comes is the same.
            if doubtful
                .iter()
                .all(|(_, mark, part)| !self.is_closed(part.last, *mark))
            {
                parts.extend(doubtful.drain(..).map(|(.., part)| part));
            }
            let mut sessions = link(parts, gap);
            for (number, mark, part) in doubtful {
                if !add_part(&mut sessions, part, gap, |last| self.is_closed(last, mark)) {
                    epoch.set_late(number);
                }
            }
            for linked in sessions {
                let changes = linked.parts.len() > 1 || linked.parts[0] >= work.stored;
                let closes = self.is_closed(linked.last, watermark);
                if changes || closes {
                    work.sessions.push(Session {
                        key,
                        linked,
                        changes,
                        closes,
                    });
                }
            }
        }
    }

    /// Stores and logs what the work has changed.
    fn keep(&mut self, work: &Work, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let changing: Vec<&Session> = work.sessions.iter().filter(|session| session.changes).collect();
        let mut changed = Changed::default();
        for session in &changing {
            changed.push(session.key, session.linked.start);
        }
        for (row, session) in changing.iter().enumerate() {
            for part in session.linked.parts.iter().filter(|part| **part < work.stored) {
                let start = work.parts[*part].start;
                let row = match start == session.linked.start {
                    true => row,
                    false => changed.push(session.key, start),
                };
                changed.replaces.push((*part, row));
            }
        }
        changed.logged = changed.keys.len();
        let over = work.sessions.iter().filter(|session| !session.changes);
        let over = over.map(|session| session.linked.parts[0]);
        let rows = changing.iter().enumerate();
        // A disk has what was closed for longer than memory: one in its place is another.
        let again: HashMap<(usize, EventTime), usize> = match work.gone.is_empty() {
            true => HashMap::new(),
            false => rows
                .map(|(row, session)| ((session.key, session.linked.start), row))
                .collect(),
        };
        for part in over.chain(work.gone.iter().copied()) {
            let place = (work.key_of[part], work.parts[part].start);
            let row = again.get(&place).copied();
            let row = row.unwrap_or_else(|| changed.push(place.0, place.1));
            changed.replaces.push((part, row));
        }
        if changed.keys.is_empty() {
            return Ok(());
        }
        let rows = self.rows(work, &changing, &changed)?;
        if changed.logged > 0 {
            let live: Vec<bool> = (0..changed.logged).map(|row| row < changing.len()).collect();
            (out.publish)(&self.store.encode(&rows.slice(0, changed.logged), &live)?)?;
        }
        let stays = |row: usize| changing.get(row).is_some_and(|session| !session.closes);
        let live: Vec<bool> = (0..changed.keys.len()).map(stays).collect();
        let (keys, values) = rows.columns().split_at(self.plan.windowed.spec.key_count());
        self.store.members().set(keys, values, &live)?;
        self.note(work, &changing, &changed, keys)
    }

    /// The columns of the store for rows that change: those that are there, then those without values.
    fn rows(
        &mut self,
        work: &Work,
        changing: &[&Session],
        changed: &Changed,
    ) -> Result<RecordBatch, OperatorError> {
        let (there, all) = (changing.len(), changed.keys.len());
        let places = UInt32Array::from(changed.keys.clone());
        let mut columns = Vec::with_capacity(self.stored.fields().len());
        for key in &work.keys {
            columns.push(take(key, &places, None)?);
        }
        columns.push(starts(changed.starts.iter().copied()));
        let linked: Vec<&Linked> = changing.iter().map(|session| &session.linked).collect();
        let mut values: Vec<ArrayRef> = Vec::new();
        if there > 0 {
            for mut accumulator in merged(&self.plan.windowed.spec, &work.states, &linked)? {
                values.extend(accumulator.state(EmitTo::All)?);
            }
            let numbers = |numbers: &mut dyn Iterator<Item = i64>| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(numbers))
            };
            values.push(numbers(&mut linked.iter().map(|session| session.last)));
            values.push(numbers(&mut linked.iter().map(|session| session.start)));
            values.push(numbers(&mut self.store.numbers(there)));
        }
        let fields = self.stored.fields().iter().skip(columns.len());
        for (number, field) in fields.enumerate() {
            let none = new_null_array(field.data_type(), all - there);
            columns.push(match values.get(number) {
                None => none,
                Some(values) => concat(&[values, &none])?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.stored), columns)?)
    }

    /// Notes which sessions are open, and whose records are void.
    fn note(
        &mut self,
        work: &Work,
        changing: &[&Session],
        changed: &Changed,
        keys: &[ArrayRef],
    ) -> Result<(), OperatorError> {
        let keys = self.open.keys(keys)?;
        for (part, row) in &changed.replaces {
            let was_open = self.open.remove(work.parts[*part].last, &keys[*row]);
            if was_open && *row >= changed.logged {
                self.void.push(keys[*row].clone());
            }
        }
        for (session, key) in changing.iter().zip(&keys) {
            match session.closes {
                true => self.void.push(key.clone()),
                false => self.open.insert(session.linked.last, key.clone()),
            }
        }
        Ok(())
    }

    /// Rows of the changelog are open sessions, until it says otherwise.
    fn note_restored(&mut self, rows: Option<LoggedRows>) -> Result<(), OperatorError> {
        let Some((rows, live)) = rows else {
            return Ok(());
        };
        let (keys, values) = rows.columns().split_at(self.plan.windowed.spec.key_count());
        let lasts = values[values.len() - 3].as_primitive::<Int64Type>();
        // Deleted ones have none, and need none.
        let lasts = lasts.iter().map(Option::unwrap_or_default);
        Ok(self.open.restore(keys, lasts, &live)?)
    }
}

/// Keys and the start; states, the time of the last row, the start again as a value, and the number.
fn stored_schema(spec: &AggregateSpec) -> SchemaRef {
    let schema = spec.state_schema();
    let fields = schema.fields().iter();
    let mut fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    for name in ["$first", "$number"] {
        fields.push(Field::new(name, arrow::datatypes::DataType::Int64, true));
    }
    Arc::new(Schema::new(fields))
}

impl Operator for SessionFinal {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let lasts = rows.batch.columns().last().expect("states end with the time");
        let lasts = lasts.as_primitive::<Int64Type>().values().iter();
        let watermark = out.watermark();
        let open: BooleanArray = lasts
            .map(|last| Some(!self.is_closed(*last, watermark)))
            .collect();
        if open.false_count() == 0 {
            return self.came.add(rows);
        }
        // Only what comes once more because nobody knew that it was there, or behind a task that was idle: sessions that it was near may be gone.
        let over = rows.filter(&not(&open)?)?;
        self.came.add_over(over, watermark.millis());
        if open.true_count() > 0 {
            self.came.add(rows.filter(&open)?)?;
        }
        Ok(())
    }

    fn process_at(&mut self, port: u8, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if port != DOUBTFUL {
            return self.process(rows, out);
        }
        let least = out.judged_from(DOUBTFUL).millis();
        if let Some(late) = self.came.add_doubtful(rows, least)? {
            out.count_late(late.len());
            out.push_to(LATE, late);
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.publish_void(out)?;
        let (watermark, settled) = (out.watermark(), out.settled());
        let Some(mut epoch) = self.came.take(&self.due(watermark)?)? else {
            return Ok(());
        };
        let all: Vec<usize> = (0..epoch.of_key.len()).collect();
        for some in all.chunks(WORKED_MAX) {
            let mut wanted = some.to_vec();
            // All at once, unless memory has no room for the sessions of all.
            while !wanted.is_empty() {
                self.store.make_room()?;
                let ready = self.store.touch(&epoch.keys, &wanted)?;
                let mut work = self.work(&epoch, &ready, settled)?;
                self.link(&mut work, &mut epoch, &ready, watermark);
                self.keep(&work, out)?;
                work.emit(&self.plan, out)?;
                wanted.retain(|key| ready.binary_search(key).is_err());
            }
        }
        epoch.emit_late(LATE, out)?;
        self.store.compact()?;
        // Those of which all that came was late.
        Ok(self.store.members().forget_empty_groups()?)
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let rows = self.store.restore(key, value)?;
        self.note_restored(rows)
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        let rows = self.store.end_restore()?;
        self.note_restored(rows)?;
        self.open.end_restore();
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.store.attach(store);
    }

    fn is_full(&self) -> bool {
        self.came.is_full() || self.store.is_full_with(self.came.size_bytes())
    }

    fn state_size(&self) -> (usize, usize) {
        (self.open.len(), self.store.size().1 + self.open.size_bytes())
    }
}
