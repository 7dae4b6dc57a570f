//! Sessions before the shuffle: what an epoch has of each, as partial states; rows that may be late, as they are.
//!
//! Here a row goes to the first session of its key that is near enough. Two that turn out to be one stay two: they become one where sessions are
//! kept.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt64Array};
use arrow::compute::{not, take};
use arrow::datatypes::Schema;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::late_rows::LateRows;
use super::shipper::{Each, Shipper};
use super::{Limits, Operator, OperatorError, Output, Place};
use crate::aggregate::{AggregateSpec, EmitTo, GroupValues, GroupsAccumulator};
use crate::format::{Placement, ShuffleCodec};
use crate::plan::SessionPartialPlan as Plan;
use crate::rows::{EventTime, NO_TIME, Rows};
use crate::time::Watermark;

/// How many sessions may have made way for earlier ones of their keys before all are shipped: where times descend, each makes way for each.
const MOVED_MAX: usize = 16 << 20;

/// Gathers rows by key and session.
pub(crate) struct SessionPartial {
    plan: Plan,
    local: LocalSessions,
    codec: ShuffleCodec,
    shipper: Shipper,
    limits: Limits,
    /// Whether they are late, who keeps the sessions says.
    doubtful: LateRows,
}

impl SessionPartial {
    pub(crate) fn new(plan: &Plan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let (spec, limits) = (&plan.windowed.spec, place.near.limits.clone());
        // All sessions of a key are in one place.
        let placement = Placement::new(spec.key_count() - 1, place.partitions_of(&plan.topic));
        let record_bytes_max = limits.shuffle_record_bytes_max;
        Ok(Self {
            local: LocalSessions::new(Arc::clone(spec), plan.windowed.windows.size_ms())?,
            codec: ShuffleCodec::new(spec.state_schema(), spec.fingerprint()),
            shipper: Shipper::new(Arc::clone(&plan.topic), placement, record_bytes_max),
            doubtful: LateRows::new(&plan.rows, &limits),
            limits,
            plan: plan.clone(),
        })
    }

    fn ship(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        if let Some(states) = self.local.take()? {
            let encode = |rows: &[u32], max, each: Each<'_>| self.codec.encode(&states, rows, max, each);
            self.shipper.ship(&states, self.codec.header(), encode, out)?;
        }
        self.doubtful.ship(&self.shipper, out)
    }

    /// Whether each row may become part of a partial state: nothing could have closed without it, as far as its partition knows.
    fn is_in_grace(&self, rows: &Rows, out: &Output<'_>) -> BooleanArray {
        let grace = self.plan.windowed.windows.grace_ms();
        let marks = rows.watermarks().unwrap_or_default();
        let pairs = rows.times().iter().zip(marks);
        let in_grace = |(time, mark): (&EventTime, &EventTime)| {
            let over = time.saturating_add(grace).saturating_add(1);
            *time > NO_TIME && !Watermark::at(*mark).passed(over)
        };
        // If nobody takes late rows, sessions judge partial states as well.
        let all_are_wanted = self.plan.late_is_taken && out.was_idle();
        pairs.map(|row| Some(!all_are_wanted && in_grace(row))).collect()
    }
}

impl Operator for SessionPartial {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let least = match rows.watermarks() {
            // A row of a source is judged by its own partition alone.
            Some(_) => Watermark::NONE,
            None => out.settled(),
        };
        let rows = rows.with_watermarks_from(least.millis());
        let in_grace = self.is_in_grace(&rows, out);
        // What fails because of a row fails before anything is changed.
        let doubtful = match in_grace.false_count() {
            0 => None,
            _ => {
                let doubtful = rows.filter(&not(&in_grace)?)?;
                Some(self.doubtful.prepared(&self.plan.windowed, &doubtful)?)
            }
        };
        if in_grace.true_count() > 0 {
            self.local.add(&rows.filter(&in_grace)?)?;
        }
        if let Some(doubtful) = doubtful {
            self.doubtful.hold(doubtful);
        }
        let is_full = self.local.sessions.len() > self.limits.partial_keys_max
            || self.local.moved > MOVED_MAX
            || self.local.size_bytes() > self.limits.partial_bytes_max
            || self.doubtful.len() > self.limits.late_rows_max;
        if is_full {
            self.ship(out)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.ship(out)
    }
}

/// The sessions of an epoch.
struct LocalSessions {
    spec: Arc<AggregateSpec>,
    gap: i64,
    keys: Box<dyn GroupValues>,
    /// The sessions of each key, in the order of their starts.
    of_key: Vec<Vec<usize>>,
    sessions: Vec<LocalSession>,
    /// How many have made way for earlier ones.
    moved: usize,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

struct LocalSession {
    key: usize,
    start: EventTime,
    last: EventTime,
}

impl LocalSessions {
    fn new(spec: Arc<AggregateSpec>, gap: i64) -> Result<Self, OperatorError> {
        Ok(Self {
            keys: new_keys(&spec)?,
            of_key: Vec::new(),
            sessions: Vec::new(),
            moved: 0,
            accumulators: spec.new_accumulators()?,
            spec,
            gap,
        })
    }

    fn add(&mut self, rows: &Rows) -> Result<(), OperatorError> {
        let keys = self.spec.evaluate_keys_but_last(&rows.batch);
        let keys = keys.map_err(OperatorError::of_rows)?;
        let arguments = self.spec.evaluate_arguments(&rows.batch);
        let arguments = arguments.map_err(OperatorError::of_rows)?;
        let mut groups = Vec::with_capacity(rows.len());
        self.keys.intern(&keys, &mut groups)?;
        self.of_key.resize_with(self.keys.len(), Vec::new);
        let pairs = groups.into_iter().zip(rows.times());
        let sessions: Vec<usize> = pairs.map(|(key, time)| self.session(key, *time)).collect();
        let total = self.sessions.len();
        Ok(self
            .spec
            .update(&mut self.accumulators, &arguments, &sessions, total)?)
    }

    /// The session of a row, which reaches to it from now on.
    fn session(&mut self, key: usize, time: EventTime) -> usize {
        let (of_key, sessions) = (&mut self.of_key[key], &mut self.sessions);
        // The last that begins early enough; others that also are near may be there before it.
        let mut place = of_key.partition_point(|id| sessions[*id].start - self.gap <= time);
        if let Some(&id) = place.checked_sub(1).and_then(|place| of_key.get(place))
            && time <= sessions[id].last + self.gap
        {
            let session = &mut sessions[id];
            session.last = session.last.max(time);
            if time < session.start {
                session.start = time;
                place -= 1;
                while place > 0 && sessions[of_key[place - 1]].start > time {
                    of_key.swap(place - 1, place);
                    place -= 1;
                    self.moved += 1;
                }
            }
            return id;
        }
        let (id, start) = (sessions.len(), time);
        sessions.push(LocalSession {
            key,
            start,
            last: time,
        });
        while place > 0 && sessions[of_key[place - 1]].start > start {
            place -= 1;
        }
        self.moved += of_key.len() - place;
        of_key.insert(place, id);
        id
    }

    fn size_bytes(&self) -> usize {
        let accumulators = self.accumulators.iter();
        accumulators.map(|accumulator| accumulator.size()).sum::<usize>()
            + self.keys.size()
            + self.sessions.len() * (size_of::<LocalSession>() + size_of::<usize>())
            + self.of_key.len() * size_of::<Vec<usize>>()
    }

    /// The partial state of each session; there are none afterwards.
    fn take(&mut self) -> Result<Option<RecordBatch>, OperatorError> {
        if self.sessions.is_empty() {
            return Ok(None);
        }
        let mut done = std::mem::replace(self, Self::new(Arc::clone(&self.spec), self.gap)?);
        let keys: UInt64Array = done.sessions.iter().map(|session| session.key as u64).collect();
        let all_keys = done.keys.emit(EmitTo::All)?;
        let mut columns = Vec::with_capacity(all_keys.len() + 2);
        for key in &all_keys {
            columns.push(take(key, &keys, None)?);
        }
        columns.push(starts(done.sessions.iter().map(|session| session.start)));
        for accumulator in &mut done.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let last = done.sessions.iter().map(|session| session.last);
        columns.push(Arc::new(Int64Array::from_iter_values(last)));
        Ok(Some(RecordBatch::try_new(self.spec.state_schema(), columns)?))
    }
}

/// An empty map of keys, without windows.
pub(super) fn new_keys(spec: &AggregateSpec) -> Result<Box<dyn GroupValues>, OperatorError> {
    let schema = spec.state_schema();
    let fields = schema.fields()[..spec.key_count() - 1].to_vec();
    Ok(new_group_values(
        Arc::new(Schema::new(fields)),
        &GroupOrdering::None,
    )?)
}

/// The column of the first milliseconds of windows.
pub(super) fn starts(times: impl Iterator<Item = EventTime>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
}
