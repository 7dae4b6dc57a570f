//! Latencies in a fixed number of buckets.
//!
//! Below 256 µs every microsecond has its bucket; above, each doubling has 128, so that a percentile is at most 1/128
//! (0.8 %) too high, whatever the number of records. Count, sum and maximum are exact.

use std::time::Duration;

/// Buckets of one doubling.
const STEPS: u64 = 128;
const STEPS_LOG2: u32 = 7;
/// Longest latency that is told apart: 2^40 µs, almost thirteen days.
const EXPONENT_MAX: u32 = 40;
const BUCKETS: usize = (2 * STEPS + (EXPONENT_MAX as u64 - STEPS_LOG2 as u64) * STEPS) as usize;

/// How long things took.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            count: 0,
            sum_us: 0,
            max_us: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency_us: u64) {
        self.buckets[bucket(latency_us)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(latency_us);
        self.max_us = self.max_us.max(latency_us);
    }

    /// How many were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The mean in milliseconds; 0 of nothing.
    pub fn mean_ms(&self) -> f64 {
        self.sum_us as f64 / 1_000.0 / self.count.max(1) as f64
    }

    /// The longest.
    pub const fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }

    /// The latency that `fraction` of all did not exceed (nearest rank); 0 of nothing.
    pub fn percentile(&self, fraction: f64) -> Duration {
        let rank = ((self.count as f64 * fraction).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(highest(index).min(self.max_us));
            }
        }
        self.max()
    }
}

fn bucket(latency_us: u64) -> usize {
    let index = if latency_us < 2 * STEPS {
        latency_us
    } else {
        let exponent = latency_us.ilog2();
        let shift = exponent - STEPS_LOG2;
        2 * STEPS + u64::from(exponent - STEPS_LOG2 - 1) * STEPS + (latency_us >> shift) - STEPS
    };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The longest latency that falls into a bucket.
const fn highest(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let above = index - 2 * STEPS;
    let shift = above / STEPS + 1;
    ((above % STEPS + STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_without_gaps() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index) + 1), index + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_a_hundredth() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|us| histogram.record(us));
        for fraction in [0.5, 0.95, 0.99, 0.999] {
            let found = histogram.percentile(fraction).as_micros() as f64;
            let true_value = fraction * 100_000.0;
            assert!(
                found >= true_value && found <= true_value * 1.008,
                "{fraction}: {found}"
            );
        }
        assert_eq!(histogram.percentile(1.0), histogram.max());
        assert_eq!(histogram.mean_ms(), 50.0005);
    }

    #[test]
    fn nothing_has_no_latency() {
        let none = Histogram::default();
        assert_eq!((none.percentile(0.99), none.mean_ms()), (Duration::ZERO, 0.0));
    }
}
