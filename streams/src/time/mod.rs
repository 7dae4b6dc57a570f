//! Event time: watermarks of source partitions, of tasks, and on their way through repartition topics.
//!
//! A watermark says that no row with an earlier event time is expected any more; whoever comes nevertheless is late. ADR 12 has
//! the protocol and its reasons.
//!
//! Owns: the watermark of a partition ([`Tracker`]), of a task ([`TaskClock`]), the records that announce it
//! ([`Announcement`]), and the text that keeps it with committed offsets. Does not own: when windows close (`operator`), or
//! the wall clock and the look at the log's end that idleness needs (`runtime`).
//!
//! Invariants: a watermark never goes back; it never passes data that it covers; everything here is a function of the records
//! of a partition in their order, but for idleness.
mod announcement;
mod clock;
mod metadata;
mod strategy;
mod tracker;
mod upstream;

use std::fmt;

pub use strategy::{WatermarkStrategy, bounded, record_time};

pub(crate) use announcement::{Announcement, CONTROL_VERSION};
pub(crate) use clock::TaskClock;
pub(crate) use tracker::{Bound, Tracker};
pub(crate) use upstream::UPSTREAM_TASKS_MAX;

use crate::rows::EventTime;

/// A point in event time before which no row is expected any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Watermark(EventTime);

impl Watermark {
    /// Nothing was seen yet.
    pub(crate) const NONE: Self = Self(EventTime::MIN);

    /// Rows before `time` (milliseconds since 1970) are late.
    pub(crate) fn at(time: EventTime) -> Self {
        Self(time)
    }

    /// Milliseconds since 1970, or the smallest number if there is none.
    pub(crate) fn millis(self) -> EventTime {
        self.0
    }

    /// The watermark so many milliseconds earlier.
    pub(crate) fn minus(self, millis: i64) -> Self {
        match self {
            Self::NONE => Self::NONE,
            Self(time) => Self(time.saturating_sub(millis)),
        }
    }

    /// Whether all that ends at `end` is over.
    pub(crate) fn passed(self, end: EventTime) -> bool {
        self.0 >= end
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self(time) => write!(f, "{time}"),
        }
    }
}
