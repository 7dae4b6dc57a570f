//! The end of a wait, which may lie beyond what a clock counts.
use std::time::{Duration, Instant};

/// A point in time, or none: then the wait has no end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// `timeout` from now; no end if that is further than the clock goes.
    pub(super) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// The time left, at most `longest`.
    pub(super) fn left(self, longest: Duration) -> Duration {
        self.0.map_or(longest, |end| {
            end.saturating_duration_since(Instant::now()).min(longest)
        })
    }

    /// Whether nothing is left.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_duration_has_no_end() {
        let never = Deadline::after(Duration::MAX);
        assert!(!never.is_over());
        assert_eq!(never.left(Duration::from_secs(1)), Duration::from_secs(1));
        let now = Deadline::after(Duration::ZERO);
        assert!(now.is_over());
        assert_eq!(now.left(Duration::from_secs(1)), Duration::ZERO);
    }
}
