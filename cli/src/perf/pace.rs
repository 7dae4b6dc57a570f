//! When the next record is due at a fixed rate.

use std::time::{Duration, Instant};

/// A schedule: record `n` is due `n / rate` after the start, however late its forerunners were.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    records_per_second: Option<f64>,
}

impl Pace {
    /// A schedule from `start` on; a rate that is not above zero means as fast as possible.
    pub fn new(start: Instant, records_per_second: f64) -> Self {
        Self {
            start,
            records_per_second: (records_per_second > 0.0).then_some(records_per_second),
        }
    }

    /// When record `number`, counted from 0, is due.
    pub fn due(&self, number: u64) -> Instant {
        match self.records_per_second {
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / rate),
            None => self.start,
        }
    }

    /// How long record `number` must still wait; `None` when it is due.
    pub fn wait(&self, number: u64, now: Instant) -> Option<Duration> {
        let left = self.due(number).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_by_their_number() {
        let start = Instant::now();
        let pace = Pace::new(start, 1_000.0);
        assert_eq!(pace.wait(0, start), None);
        assert_eq!(pace.wait(10, start), Some(Duration::from_millis(10)));
        assert_eq!(pace.wait(10, start + Duration::from_millis(10)), None);
        assert_eq!(Pace::new(start, -1.0).wait(1 << 40, start), None);
    }
}
