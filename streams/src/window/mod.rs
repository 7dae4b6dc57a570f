//! Windows of event time.
//!
//! Owns: what windows there are ([`Windows`]), which of them a row belongs to, and how far apart rows are that meet ([`JoinWindow`]). Does not own: their state (`state`), or when
//! they close (`time`, `operator`).
mod assign;
mod join;
#[cfg(test)]
mod large_tests;
#[cfg(test)]
mod row_tests;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use assign::{WINDOW_END, WINDOW_START, window_type};
pub use join::{JoinWindow, join_window};

use crate::rows::EventTime;
use crate::time::Watermark;

/// Windows of event time. Made by [`tumbling`], [`hopping`], [`session`] and [`sliding`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    kind: WindowKind,
    grace: Duration,
}

/// What says where windows begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WindowKind {
    /// The clock: one of `size` begins every `advance`.
    Hopping { size: Duration, advance: Duration },
    /// Rows: a window ends where none follows within `gap`.
    Session { gap: Duration },
    /// Rows: a window of `size` ends with each, and one begins behind each.
    Sliding { size: Duration },
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
    Windows::of(WindowKind::Hopping { size, advance })
}

/// A window for each time that a key is active: rows that are at most `gap` apart are in one, and it ends where none follows.
///
/// `window_start` is the time of the first row, `window_end` is a millisecond behind that of the last. A row that comes in time can make one window of
/// two; with [`Emit::OnUpdate`] those that are gone then are deleted from the output topic.
///
/// ```
/// use std::time::Duration;
/// let visits = millstream_streams::session(Duration::from_secs(1800)).grace(Duration::from_secs(60));
/// ```
pub fn session(gap: Duration) -> Windows {
    Windows::of(WindowKind::Session { gap })
}

/// Windows that slide along the rows of a key: for each row, the rows of the `size` up to it, it included; and those of the `size` behind it, if there are any.
/// Both ends belong to the window: `window_end` is `size` and a millisecond behind `window_start`. No window begins before 1970.
///
/// Each row changes all windows within `size` of it: where keys have many rows in that time, [`hopping`] windows cost less.
///
/// ```
/// use std::time::Duration;
/// let last_ten_seconds = millstream_streams::sliding(Duration::from_secs(10));
/// ```
pub fn sliding(size: Duration) -> Windows {
    Windows::of(WindowKind::Sliding { size })
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
    /// How long after its end, in event time, a window still takes rows; none unless told. A session's end is the time of its last row and the gap.
    ///
    /// ```
    /// use std::time::Duration;
    /// let windows = millstream_streams::tumbling(Duration::from_secs(60)).grace(Duration::from_secs(5));
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    fn of(kind: WindowKind) -> Self {
        let grace = Duration::ZERO;
        Self { kind, grace }
    }

    pub(crate) fn kind(&self) -> &WindowKind {
        &self.kind
    }

    /// The rule that the windows break, if they break one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let whole = |duration: Duration| duration.subsec_nanos().is_multiple_of(1_000_000);
        if !whole(self.grace) {
            return Some("its grace must be whole milliseconds");
        }
        let (size, advance) = match self.kind {
            WindowKind::Hopping { size, advance } => (size, advance),
            WindowKind::Session { gap: size } | WindowKind::Sliding { size } => (size, size),
        };
        if advance.is_zero() || size.is_zero() {
            return Some("its size, gap or advance must be at least a millisecond");
        }
        if !whole(size) || !whole(advance) {
            return Some("its size, gap and advance must be whole milliseconds");
        }
        if advance > size {
            return Some("it advances by more than its size, so that rows between windows would be lost");
        }
        if size.as_millis() / advance.as_millis() > u128::from(WINDOWS_OF_A_ROW_MAX) {
            return Some("a row would belong to more than 10,000 windows");
        }
        if size.saturating_add(self.grace) > LONGEST {
            return Some("its size or gap and its grace are longer than 10,000 years");
        }
        None
    }

    /// The size of a window, or the longest gap within one.
    pub(crate) fn size_ms(&self) -> i64 {
        match self.kind {
            WindowKind::Hopping { size, .. } | WindowKind::Sliding { size } => millis(size),
            WindowKind::Session { gap } => millis(gap),
        }
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        millis(self.grace)
    }

    /// Whether what is known by the time `at` takes no more rows: the window that begins there; of sessions, the one whose last row is there; of
    /// sliding windows, all that a row at that time belongs to.
    pub(crate) fn is_closed(&self, at: EventTime, watermark: Watermark) -> bool {
        // The ends of both latter are inclusive.
        let inclusive = !matches!(self.kind, WindowKind::Hopping { .. });
        let end = at.saturating_add(self.size_ms() + i64::from(inclusive));
        watermark.passed(end.saturating_add(self.grace_ms()))
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
        match self.kind {
            WindowKind::Hopping { size, advance } if size == advance => write!(f, "tumbling {size:?}")?,
            WindowKind::Hopping { size, advance } => write!(f, "hopping {size:?} by {advance:?}")?,
            WindowKind::Session { gap } => write!(f, "session {gap:?}")?,
            WindowKind::Sliding { size } => write!(f, "sliding {size:?}")?,
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
