//! Lets a few warnings of one kind through and counts the rest.
//!
//! Why: a port scanner or a client in a retry loop must not fill the disk with log lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(10);
const PER_WINDOW_MAX: u32 = 10;

#[derive(Default)]
struct Count {
    since: Option<Instant>,
    passed: u32,
    held: u64,
}

/// At most ten warnings in ten seconds.
#[derive(Default)]
pub(crate) struct WarningLimit {
    count: Mutex<Count>,
}

impl WarningLimit {
    /// `Some(held back since the last)` if a warning may be written now.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count
            .since
            .is_none_or(|since| now.duration_since(since) >= WINDOW)
        {
            count.since = Some(now);
            count.passed = 0;
        }
        if count.passed == PER_WINDOW_MAX {
            count.held += 1;
            return None;
        }
        count.passed += 1;
        Some(std::mem::take(&mut count.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_and_counts() {
        let limit = WarningLimit::default();
        let now = Instant::now();
        assert!((0..10).all(|_| limit.pass_at(now) == Some(0)));
        assert!((0..5).all(|_| limit.pass_at(now).is_none()));
        assert_eq!(limit.pass_at(now + WINDOW), Some(5));
    }
}
