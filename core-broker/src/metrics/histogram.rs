//! Durations counted in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds, from what a page cache answers to what a sick disk takes.
const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 30_000_000,
];

/// A histogram of durations: two atomic additions a value, no lock.
///
/// ```
/// use millstream_broker::metrics::Histogram;
/// let histogram = Histogram::default();
/// histogram.record(std::time::Duration::from_millis(3));
/// assert_eq!(histogram.count(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Histogram {
    /// One a bound, and one for what is above them all.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// Their sum in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Upper bound in seconds and how many were not above it, for each bucket; the last bound is infinite.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let mut total = 0;
        bounds.zip(&self.buckets).map(move |(bound, bucket)| {
            total += bucket.load(Ordering::Relaxed);
            (bound, total)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_falls_into_the_bucket_that_bounds_it() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 30_000_000, 30_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        let buckets: Vec<_> = histogram.cumulative().collect();
        assert_eq!(buckets[0], (0.0001, 2));
        assert_eq!(buckets[1], (0.000_25, 3));
        assert_eq!(buckets[15], (30.0, 4));
        assert_eq!(buckets[16], (f64::INFINITY, 5));
        assert_eq!((histogram.count(), buckets.len()), (5, 17));
        assert!((histogram.sum_seconds() - 60.000_202).abs() < 1e-9);
    }
}
