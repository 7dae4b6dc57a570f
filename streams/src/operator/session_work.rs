//! Sessions of keys that are worked on together, and what is emitted of them.
use arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array, new_null_array};
use arrow::compute::{concat, take};
use std::sync::Arc;

use super::changes::{Change, ROWS};
use super::session_came::{Epoch, ends, merged};
use super::session_links::{Linked, Part};
use super::session_partial::starts;
use super::{OperatorError, Output};
use crate::aggregate::EmitTo;
use crate::plan::SessionFinalPlan as Plan;
use crate::rows::{EventTime, Rows};
use crate::window::Emit;

/// Keys that are worked on together: all parts of their sessions, those that are stored first.
pub(super) struct Work {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) states: Vec<ArrayRef>,
    pub(super) parts: Vec<Part>,
    /// How many of them are stored.
    pub(super) stored: usize,
    /// The key of each that is.
    pub(super) key_of: Vec<usize>,
    /// Stored ones that are no more.
    pub(super) gone: Vec<usize>,
    pub(super) sessions: Vec<Session>,
}

pub(super) struct Session {
    pub(super) key: usize,
    pub(super) linked: Linked,
    pub(super) changes: bool,
    pub(super) closes: bool,
}

/// Rows of the store that change.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) keys: Vec<u32>,
    pub(super) starts: Vec<EventTime>,
    /// So many of them are logged now, the others when they are void.
    pub(super) logged: usize,
    /// What was stored of them, if anything: part and row.
    pub(super) replaces: Vec<(usize, usize)>,
}

impl Changed {
    pub(super) fn push(&mut self, key: usize, start: EventTime) -> usize {
        self.keys.push(key as u32);
        self.starts.push(start);
        self.keys.len() - 1
    }
}

impl Work {
    /// Adds the parts of the epoch behind those that are stored.
    pub(super) fn bring(&mut self, epoch: &Epoch, ready: &[usize]) -> Result<(), OperatorError> {
        let brought: Vec<usize> = ready
            .iter()
            .flat_map(|key| &epoch.of_key[*key])
            .copied()
            .collect();
        let places = UInt64Array::from_iter_values(brought.iter().map(|part| *part as u64));
        for (stored, brought) in self.states.iter_mut().zip(&epoch.states) {
            let brought = take(brought, &places, None)?;
            *stored = concat(&[&*stored, &brought])?;
        }
        self.parts
            .extend(brought.into_iter().enumerate().map(|(number, part)| Part {
                number: self.stored + number,
                ..epoch.part(part)
            }));
        Ok(())
    }

    /// Emits what the work has closed, or changed.
    pub(super) fn emit(&self, plan: &Plan, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let emit = plan.emit;
        let emitted = self.sessions.iter().filter(|session| match emit {
            Emit::OnUpdate => session.changes,
            Emit::OnWindowClose => session.closes,
        });
        let emitted: Vec<&Session> = emitted.collect();
        if emitted.is_empty() {
            return Ok(());
        }
        let linked: Vec<&Linked> = emitted.iter().map(|session| &session.linked).collect();
        let results = self.results(plan, &linked)?;
        if emit == Emit::OnWindowClose {
            let shown = emitted
                .iter()
                .map(|session| (session.key, session.linked.start, session.linked.last));
            let rows = self.output(plan, &shown.collect::<Vec<_>>(), &results)?;
            out.push_to(ROWS, rows);
            return Ok(());
        }
        self.change(plan, &emitted, &results)?.emit(out)
    }

    /// Sessions as they are, and those that were and are none any more.
    fn change(
        &self,
        plan: &Plan,
        emitted: &[&Session],
        results: &[ArrayRef],
    ) -> Result<Change, OperatorError> {
        let mut shown: Vec<(usize, EventTime, EventTime)> = Vec::new();
        // The result of each row; of what is gone, any will do.
        let mut result_of: Vec<u32> = Vec::new();
        let mut was: Vec<Option<usize>> = Vec::new();
        let extent = |session: &Linked| (session.start, session.last);
        let stored = |session: &Session| -> Vec<usize> {
            let parts = session.linked.parts.iter().copied();
            parts.filter(|part| *part < self.stored).collect()
        };
        let is_same = |session: &Session, part: &usize| {
            let part = &self.parts[*part];
            (part.start, part.last) == extent(&session.linked)
        };
        for (number, session) in (0_u32..).zip(emitted) {
            shown.push((session.key, session.linked.start, session.linked.last));
            result_of.push(number);
            was.push(stored(session).into_iter().find(|part| is_same(session, part)));
        }
        for (number, session) in (0_u32..).zip(emitted) {
            for part in stored(session).into_iter().filter(|part| !is_same(session, part)) {
                shown.push((session.key, self.parts[part].start, self.parts[part].last));
                result_of.push(number);
                was.push(Some(part));
            }
        }
        let places = UInt32Array::from(result_of);
        let results = results.iter().map(|column| take(column, &places, None));
        let results = results.collect::<Result<Vec<_>, _>>()?;
        Ok(Change {
            rows: self.output(plan, &shown, &results)?,
            had: was.iter().map(Option::is_some).collect(),
            live: (0..shown.len()).map(|row| row < emitted.len()).collect(),
            keys: plan.windowed.spec.key_count() + 1,
            before: match plan.changes_used {
                true => Some(self.before(plan, &was)?),
                false => None,
            },
        })
    }

    /// The results of stored parts, null where there was none.
    fn before(&self, plan: &Plan, was: &[Option<usize>]) -> Result<Vec<ArrayRef>, OperatorError> {
        let parts = was.iter().flatten();
        let each: Vec<Linked> = parts.map(|part| Linked::of(self.parts[*part])).collect();
        let results = self.results(plan, &each.iter().collect::<Vec<_>>())?;
        let mut next = 0_u32..;
        let places = was.iter().map(|part| part.as_ref().and_then(|_| next.next()));
        let places: UInt32Array = places.collect();
        let results = results.iter().map(|column| take(column, &places, None));
        Ok(results.collect::<Result<_, _>>()?)
    }

    fn results(&self, plan: &Plan, sessions: &[&Linked]) -> Result<Vec<ArrayRef>, OperatorError> {
        let spec = &plan.windowed.spec;
        if sessions.is_empty() {
            // Some accumulators have no type for the results of no groups.
            let schema = spec.output_schema();
            let fields = schema.fields().iter().skip(spec.key_count());
            return Ok(fields.map(|field| new_null_array(field.data_type(), 0)).collect());
        }
        let accumulators = merged(spec, &self.states, sessions)?;
        let results = accumulators
            .into_iter()
            .map(|mut accumulator| accumulator.evaluate(EmitTo::All));
        Ok(results.collect::<Result<_, _>>()?)
    }

    /// Keys, the session's start and end, and results.
    fn output(
        &self,
        plan: &Plan,
        shown: &[(usize, EventTime, EventTime)],
        results: &[ArrayRef],
    ) -> Result<Rows, OperatorError> {
        let keys = UInt64Array::from_iter_values(shown.iter().map(|(key, ..)| *key as u64));
        let mut columns = Vec::with_capacity(plan.output.fields().len());
        for key in &self.keys {
            columns.push(take(key, &keys, None)?);
        }
        let lasts = || shown.iter().map(|(.., last)| *last);
        columns.push(starts(shown.iter().map(|(_, start, _)| *start)));
        columns.push(ends(lasts()));
        columns.extend_from_slice(results);
        let batch = RecordBatch::try_new(Arc::clone(&plan.output), columns)?;
        Ok(Rows::new(batch, lasts().collect()))
    }
}
