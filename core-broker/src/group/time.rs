//! The two times of the coordinator, and its timers.
//!
//! Why: timeouts must not jump with the wall clock, and commit timestamps must follow it; the state machine
//! gets both as values, so that a test can hold them. Owns: the queue of a group's deadlines.
//! Does not own: waiting (see `manager`).

use std::collections::{BTreeSet, HashMap};

use super::names::MemberId;
use crate::ids::Timestamp;

/// Milliseconds since the coordinator started; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// The moment `ms` later; a negative duration counts as none.
    pub(super) fn after(self, ms: i64) -> Self {
        Self(self.0.saturating_add(u64::try_from(ms).unwrap_or(0)))
    }
}

/// The present: for timers and for timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// For timers.
    pub at: MonotonicMs,
    /// For what is written down.
    pub wall: Timestamp,
}

/// What a group waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The session of a member, the id given to a pending one, or the first join of a new one.
    Member(MemberId),
    /// The members have to join.
    Join,
    /// The members have to ask for their assignment.
    Sync,
}

/// Deadlines of one group; each timer has at most one.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(MonotonicMs, Timer)>,
    due: HashMap<Timer, MonotonicMs>,
}

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, timer: Timer, at: MonotonicMs) {
        if let Some(old) = self.due.insert(timer.clone(), at) {
            self.queue.remove(&(old, timer.clone()));
        }
        self.queue.insert((at, timer));
    }

    /// Stops a timer; it is no matter if it does not run.
    pub fn cancel(&mut self, timer: &Timer) {
        if let Some(old) = self.due.remove(timer) {
            self.queue.remove(&(old, timer.clone()));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<MonotonicMs> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest timer that is due.
    pub fn pop_due(&mut self, now: MonotonicMs) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.due.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_timer_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Join, MonotonicMs(5));
        timers.set(Timer::Sync, MonotonicMs(6));
        timers.set(Timer::Join, MonotonicMs(9));
        assert_eq!(timers.next(), Some(MonotonicMs(6)));
        assert_eq!(timers.pop_due(MonotonicMs(9)), Some(Timer::Sync));
        assert_eq!(timers.pop_due(MonotonicMs(9)), Some(Timer::Join));
        assert_eq!(timers.pop_due(MonotonicMs(9)), None);
        timers.set(Timer::Join, MonotonicMs(9));
        timers.cancel(&Timer::Join);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn negative_durations_are_due_at_once() {
        assert_eq!(MonotonicMs(7).after(-1), MonotonicMs(7));
        assert_eq!(MonotonicMs(u64::MAX).after(1), MonotonicMs(u64::MAX));
    }
}
