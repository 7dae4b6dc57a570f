//! How far apart in event time rows of two streams may be that belong together.
use std::fmt;
use std::time::Duration;

use super::{LONGEST, millis};

/// Rows of two streams belong together if they are no further apart in event time than this. Made by [`join_window`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinWindow {
    before: Duration,
    after: Duration,
    grace: Duration,
}

/// Rows of both sides belong together whose event times are at most `difference` apart.
///
/// ```
/// use std::time::Duration;
/// use millstream_streams::join_window;
/// let hour = join_window(Duration::from_secs(3600)).grace(Duration::from_secs(300));
/// ```
pub fn join_window(difference: Duration) -> JoinWindow {
    JoinWindow {
        before: difference,
        after: difference,
        grace: Duration::ZERO,
    }
}

impl JoinWindow {
    /// How much earlier than the left row the right one may be.
    ///
    /// ```
    /// use std::time::Duration;
    /// // A payment comes up to a day after its order, and never before it.
    /// let window = millstream_streams::join_window(Duration::from_secs(86_400)).before(Duration::ZERO);
    /// ```
    pub fn before(mut self, before: Duration) -> Self {
        self.before = before;
        self
    }

    /// How much later than the left row the right one may be.
    ///
    /// ```
    /// use std::time::Duration;
    /// let window = millstream_streams::join_window(Duration::from_secs(10)).after(Duration::from_secs(60));
    /// ```
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// How late, in event time, a row may come and still meet others; rows that nothing was found for wait as much longer. None unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// let window = millstream_streams::join_window(Duration::from_secs(60)).grace(Duration::from_secs(5));
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The rule that the window breaks, if it breaks one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let whole = |duration: Duration| duration.subsec_nanos().is_multiple_of(1_000_000);
        if !whole(self.before) || !whole(self.after) || !whole(self.grace) {
            return Some("its differences and grace must be whole milliseconds");
        }
        let all = self.before.saturating_add(self.after).saturating_add(self.grace);
        (all > LONGEST).then_some("its differences and grace are longer than 10,000 years")
    }

    pub(crate) fn before_ms(&self) -> i64 {
        millis(self.before)
    }

    pub(crate) fn after_ms(&self) -> i64 {
        millis(self.after)
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        millis(self.grace)
    }
}

impl fmt::Display for JoinWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before == self.after {
            true => write!(f, "within {:?}", self.before)?,
            false => write!(f, "within -{:?} to {:?}", self.before, self.after)?,
        }
        match self.grace.is_zero() {
            true => Ok(()),
            false => write!(f, " grace {:?}", self.grace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_cannot_be_are_named() {
        let second = Duration::from_secs(1);
        for bad in [
            join_window(Duration::from_micros(1500)),
            join_window(second).grace(Duration::from_nanos(1)),
            join_window(second).before(Duration::MAX),
            join_window(second).grace(Duration::MAX),
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
        for good in [
            join_window(Duration::ZERO),
            join_window(second).before(Duration::ZERO),
        ] {
            assert_eq!(good.fault(), None);
        }
    }

    #[test]
    fn windows_say_what_they_are() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(join_window(minute).to_string(), "within 60s");
        let window = join_window(minute).before(second).grace(second);
        assert_eq!(window.to_string(), "within -1s to 60s grace 1s");
    }
}
