//! Windows of event time.
//!
//! Owns: what windows there are ([`Windows`]), which of them a row belongs to, and how far apart rows are that meet ([`JoinWindow`]). Does not own: their state (`state`), or when
//! they close (`time`, `operator`).
mod assign;
mod join;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use assign::{WINDOW_END, WINDOW_START, window_type};
pub use join::{JoinWindow, join_window};

use crate::rows::EventTime;
use crate::time::Watermark;

/// Windows of one size, one after the other or overlapping. Made by [`tumbling`] and [`hopping`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    size: Duration,
    advance: Duration,
    grace: Duration,
}

/// Windows of `size`, one after the other from 1970 on.
///
/// ```
/// use std::time::Duration;
/// use millstream_streams::tumbling;
/// let windows = tumbling(Duration::from_secs(10)).grace(Duration::from_secs(5));
/// ```
pub fn tumbling(size: Duration) -> Windows {
    hopping(size, size)
}

/// Windows of `size`, of which one begins every `advance` from 1970 on: a row belongs to several.
///
/// ```
/// use std::time::Duration;
/// use millstream_streams::hopping;
/// let windows = hopping(Duration::from_secs(60), Duration::from_secs(10));
/// ```
pub fn hopping(size: Duration, advance: Duration) -> Windows {
    Windows {
        size,
        advance,
        grace: Duration::ZERO,
    }
}

/// When the results of a window are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// With each epoch that changed a key: early, and again when it changes.
    #[default]
    OnUpdate,
    /// Once, when the watermark passed the window's end and grace.
    OnWindowClose,
}

impl Windows {
    /// How long after its end, in event time, a window still takes rows; none unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// let windows = millstream_streams::tumbling(Duration::from_secs(60)).grace(Duration::from_secs(5));
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The rule that the windows break, if they break one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let whole = |duration: Duration| duration.subsec_nanos().is_multiple_of(1_000_000);
        if self.advance.is_zero() || self.size.is_zero() {
            return Some("its size and advance must be at least a millisecond");
        }
        if !whole(self.size) || !whole(self.advance) || !whole(self.grace) {
            return Some("its size, advance and grace must be whole milliseconds");
        }
        if self.advance > self.size {
            return Some("it advances by more than its size, so that rows between windows would be lost");
        }
        if self.size.as_millis() / self.advance.as_millis() > u128::from(WINDOWS_OF_A_ROW_MAX) {
            return Some("a row would belong to more than 10,000 windows");
        }
        if self.size.saturating_add(self.grace) > LONGEST {
            return Some("its size and grace are longer than 10,000 years");
        }
        None
    }

    pub(crate) fn size_ms(&self) -> i64 {
        millis(self.size)
    }

    pub(crate) fn advance_ms(&self) -> i64 {
        millis(self.advance)
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        millis(self.grace)
    }

    /// Whether the window that begins at `start` takes no more rows.
    pub(crate) fn is_closed(&self, start: EventTime, watermark: Watermark) -> bool {
        watermark.passed(
            start
                .saturating_add(self.size_ms())
                .saturating_add(self.grace_ms()),
        )
    }

    /// What the stored states of windows mean. Grace is a part of it: with another one, windows that are open would be taken for closed,
    /// or closed ones opened again.
    pub(crate) fn meaning(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnUpdate => "on update",
            Self::OnWindowClose => "on window close",
        })
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size == self.advance {
            true => write!(f, "tumbling {:?}", self.size)?,
            false => write!(f, "hopping {:?} by {:?}", self.size, self.advance)?,
        }
        match self.grace.is_zero() {
            true => Ok(()),
            false => write!(f, " grace {:?}", self.grace),
        }
    }
}

/// The most windows of a row: each costs a row of its own in the aggregate.
const WINDOWS_OF_A_ROW_MAX: u32 = 10_000;
/// Times are milliseconds in 64 bits; this is far from their end.
const LONGEST: Duration = Duration::from_secs(10_000 * 366 * 24 * 3600);

/// A duration in milliseconds, if it is whole ones and can be added to event times.
pub(crate) fn whole_millis(duration: Duration) -> Option<i64> {
    let whole = duration.subsec_nanos().is_multiple_of(1_000_000);
    (whole && duration <= LONGEST).then(|| millis(duration))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
