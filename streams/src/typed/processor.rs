//! Operators of one's own: what the user writes, and what it sees.
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ClosureError;
use super::stage::check_columns;
use super::{Row, name_of, schema_of};
use crate::operator::{Operator, OperatorError, Process};
use crate::plan::{PlanError, ProcessPlan};
use crate::rows::{EventTime, NO_TIME};
use crate::state::{KeyChange, StateMemory};
use crate::time::Watermark;

/// An operator of one's own, with state and timers of each key: Kafka Streams' `Processor`, Flink's `KeyedProcessFunction`. Used with
/// [`TypedStream::process`](crate::TypedStream::process), which has an example and the rules of time.
///
/// Everything that has to outlive the process belongs in the state. Fields of the processor itself are those of one task, seen by all of
/// its keys, and begin anew wherever the task comes to run; they are for caches and buffers.
///
/// ```
/// use millstream_streams::prelude::*;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Reading { sensor: String, celsius: String }
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Rise { sensor: String, by: i64 }
///
/// /// By how much each reading is above the one before.
/// struct Rises;
/// impl Processor for Rises {
///     type In = Reading;
///     type Out = Rise;
///     type State = i64;
///     type Error = std::num::ParseIntError;
///
///     fn process(&mut self, row: Reading, context: &mut ProcessContext<'_, i64, Rise>) -> Result<(), Self::Error> {
///         let now = row.celsius.parse()?;
///         if let Some(by) = context.get().map(|before| now - before).filter(|by| *by > 0) {
///             context.emit(Rise { sensor: row.sensor, by });
///         }
///         context.set(now);
///         Ok(())
///     }
/// }
/// ```
pub trait Processor: Send + 'static {
    /// The rows that come, with the columns that are read of them.
    type In: Row;
    /// The rows that go.
    type Out: Row;
    /// What is kept of a key; `()` for nothing. It is stored as JSON: map keys must be strings, a field that is added needs
    /// `#[serde(default)]` to fit what is stored, and infinite numbers cannot be kept.
    type State: Serialize + DeserializeOwned + Send + 'static;
    /// Why a call fails; [`Infallible`](std::convert::Infallible) if it does not.
    type Error: Display;

    /// Takes a row. If this fails or panics, nothing that it did with the context counts, and the row follows the step's policy
    /// ([`on_error`](crate::TypedStream::on_error)).
    ///
    /// # Errors
    /// The processor's own.
    fn process(
        &mut self,
        row: Self::In,
        context: &mut ProcessContext<'_, Self::State, Self::Out>,
    ) -> Result<(), Self::Error>;

    /// Takes the timer at `at_ms` of a key, which is gone with that. If this fails or panics, nothing else that it did counts, and
    /// the timer follows the step's policy; its dead letter is `{"at_ms":…,"state":…}`.
    ///
    /// # Errors
    /// The processor's own.
    fn on_timer(
        &mut self,
        at_ms: i64,
        context: &mut ProcessContext<'_, Self::State, Self::Out>,
    ) -> Result<(), Self::Error> {
        let _ = (at_ms, context);
        Ok(())
    }
}

/// What a [`Processor`] sees of a row's, or a timer's, key, and what it does with it.
///
/// ```
/// use std::convert::Infallible;
/// use millstream_streams::prelude::*;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Click { user: String }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Nth { user: String, nth: u64 }
/// struct Number;
/// impl Processor for Number {
///     type In = Click;
///     type Out = Nth;
///     type State = u64;
///     type Error = Infallible;
///
///     fn process(&mut self, click: Click, context: &mut ProcessContext<'_, u64, Nth>) -> Result<(), Infallible> {
///         let nth = context.get().copied().unwrap_or(0) + 1;
///         context.set(nth);
///         context.emit(Nth { user: click.user, nth });
///         if let Some(time) = context.time() {
///             let pending: Vec<i64> = context.timers().collect();
///             pending.into_iter().for_each(|at_ms| context.cancel(at_ms));
///             context.schedule(time + 3_600_000);
///         }
///         Ok(())
///     }
///
///     /// Whoever is silent for an hour is forgotten.
///     fn on_timer(&mut self, _: i64, context: &mut ProcessContext<'_, u64, Nth>) -> Result<(), Infallible> {
///         context.delete();
///         Ok(())
///     }
/// }
/// ```
pub struct ProcessContext<'a, S, O> {
    stored: (Option<&'a S>, Option<&'a BTreeSet<EventTime>>),
    moment: Moment,
    change: KeyChange<S>,
    emitted: Vec<O>,
    /// The first timer that would fire for ever.
    endless: Option<EventTime>,
}

/// When a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The row's or timer's time.
    pub(crate) time: EventTime,
    pub(crate) watermark: Watermark,
    /// It is a timer.
    pub(crate) fires: bool,
}

impl<'a, S, O> ProcessContext<'a, S, O> {
    pub(crate) fn new(stored: (Option<&'a S>, Option<&'a BTreeSet<EventTime>>), moment: Moment) -> Self {
        Self {
            stored,
            moment,
            change: KeyChange {
                state: None,
                timers: None,
            },
            emitted: Vec::new(),
            endless: None,
        }
    }

    /// What the call has done, if it may.
    pub(crate) fn finish(self) -> Result<(KeyChange<S>, Vec<O>), ClosureError> {
        match self.endless {
            None => Ok((self.change, self.emitted)),
            Some(at_ms) => Err(ClosureError::EndlessTimer {
                at_ms: self.moment.time,
                scheduled_ms: at_ms,
            }),
        }
    }

    /// The state of the key, if it has one.
    pub fn get(&self) -> Option<&S> {
        match &self.change.state {
            Some(changed) => changed.as_ref(),
            None => self.stored.0,
        }
    }

    /// Sets the state of the key.
    pub fn set(&mut self, state: S) {
        self.change.state = Some(Some(state));
    }

    /// Deletes the state of the key; its timers stay.
    pub fn delete(&mut self) {
        self.change.state = Some(None);
    }

    /// Emits a row, at the [time](Self::time) of the row or timer that is worked on.
    pub fn emit(&mut self, row: O) {
        self.emitted.push(row);
    }

    /// The event time of the row, if it has one, or that of the timer, in milliseconds since 1970.
    pub fn time(&self) -> Option<i64> {
        (self.moment.time != NO_TIME).then_some(self.moment.time)
    }

    /// How far the task is in event time, in milliseconds since 1970, if it knows: rows of earlier times are late.
    pub fn watermark(&self) -> Option<i64> {
        let watermark = self.moment.watermark;
        (watermark != Watermark::NONE).then(|| watermark.millis())
    }

    /// Has [`Processor::on_timer`] called for the key once the watermark has reached `at_ms`, milliseconds since 1970: at once, behind
    /// this row, if it has already. A key has one timer for a time, however often it is scheduled. A timer can only schedule later
    /// ones than itself; another one is its error.
    pub fn schedule(&mut self, at_ms: i64) {
        if self.moment.fires && at_ms <= self.moment.time {
            self.endless.get_or_insert(at_ms);
            return;
        }
        self.timers_mut().insert(at_ms);
    }

    /// Takes back the key's timer at `at_ms`, if there is one.
    pub fn cancel(&mut self, at_ms: i64) {
        if self
            .current_timers()
            .is_some_and(|timers| timers.contains(&at_ms))
        {
            self.timers_mut().remove(&at_ms);
        }
    }

    /// The key's timers that have not fired, in the order of time.
    pub fn timers(&self) -> impl Iterator<Item = i64> + '_ {
        self.current_timers().into_iter().flatten().copied()
    }

    fn current_timers(&self) -> Option<&BTreeSet<EventTime>> {
        self.change.timers.as_ref().or(self.stored.1)
    }

    fn timers_mut(&mut self) -> &mut BTreeSet<EventTime> {
        let stored = self.stored.1;
        self.change
            .timers
            .get_or_insert_with(|| stored.cloned().unwrap_or_default())
    }
}

impl<S: fmt::Debug, O> fmt::Debug for ProcessContext<'_, S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessContext")
            .field("state", &self.get())
            .field("moment", &self.moment)
            .finish_non_exhaustive()
    }
}

/// A [`Processor`] whose types the plan does not know.
pub(crate) trait AnyProcessor: Send + Sync {
    /// What it is called and makes of what.
    fn label(&self) -> String;

    /// Checks that it can read rows of `input`; gives the columns that it reads, if that is known.
    fn columns(&self, step: &str, input: &Schema) -> Result<Option<Vec<usize>>, PlanError>;

    /// The columns that it gives.
    fn output(&self) -> Result<SchemaRef, PlanError>;

    /// Its running form.
    fn operator(
        &self,
        plan: &ProcessPlan,
        partition: i32,
        memory: &Arc<StateMemory>,
    ) -> Result<Box<dyn Operator>, OperatorError>;
}

/// Makes the processor of each task.
struct Maker<F>(F);

/// The processors that `make` makes.
pub(crate) fn any_processor<P: Processor>(
    make: impl Fn() -> P + Send + Sync + 'static,
) -> Arc<dyn AnyProcessor> {
    Arc::new(Maker(make))
}

impl<P: Processor, F: Fn() -> P + Send + Sync> AnyProcessor for Maker<F> {
    fn label(&self) -> String {
        let (name, from, to) = (name_of::<P>(), name_of::<P::In>(), name_of::<P::Out>());
        format!("{name} {from} → {to}")
    }

    fn columns(&self, step: &str, input: &Schema) -> Result<Option<Vec<usize>>, PlanError> {
        check_columns::<P::In>(step, input)
    }

    fn output(&self) -> Result<SchemaRef, PlanError> {
        Ok(Arc::new(schema_of::<P::Out>()?))
    }

    fn operator(
        &self,
        plan: &ProcessPlan,
        partition: i32,
        memory: &Arc<StateMemory>,
    ) -> Result<Box<dyn Operator>, OperatorError> {
        let processor = super::guard(|| (self.0)())?;
        Ok(Box::new(Process::new(plan.clone(), processor, partition, memory)))
    }
}

impl fmt::Debug for dyn AnyProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}
