//! What a producer measured, and the lines that kafka-producer-perf-test says it in.

use std::time::Duration;

use serde_json::{Value, json};

use crate::perf::histogram::Histogram;
use crate::perf::{MB, latency_json, milliseconds, rounded};

/// Acknowledged records: all, those of the steady state, and those since the last line of progress.
#[derive(Debug, Default)]
pub struct Result {
    all: Totals,
    steady: Option<Totals>,
    steady_from: Duration,
    window: Window,
}

#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    latencies: Histogram,
}

#[derive(Debug, Default)]
struct Window {
    records: u64,
    bytes: u64,
    sum_us: u64,
    max_us: u64,
}

impl Result {
    /// Nothing yet; with `warms_up` the steady state is measured beside all.
    pub fn new(warms_up: bool) -> Self {
        Self {
            steady: warms_up.then(Totals::default),
            ..Self::default()
        }
    }

    /// Whether nothing was acknowledged.
    pub const fn is_empty(&self) -> bool {
        self.all.latencies.count() == 0
    }

    /// The steady state begins so long after the start.
    pub const fn steady_from(&mut self, elapsed: Duration) {
        self.steady_from = elapsed;
    }

    /// Counts one record.
    pub fn acknowledged(&mut self, latency_us: u64, bytes: usize, steady: bool) {
        let bytes = bytes as u64;
        self.all.bytes += bytes;
        self.all.latencies.record(latency_us);
        if steady && let Some(totals) = &mut self.steady {
            totals.bytes += bytes;
            totals.latencies.record(latency_us);
        }
        self.window.records += 1;
        self.window.bytes += bytes;
        self.window.sum_us += latency_us;
        self.window.max_us = self.window.max_us.max(latency_us);
    }

    /// The line of progress about the time since the last one.
    pub fn progress(&mut self, since: Duration) -> String {
        let window = std::mem::take(&mut self.window);
        let seconds = since.as_secs_f64();
        format!(
            "{} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
            window.records,
            window.records as f64 / seconds,
            window.bytes as f64 / MB / seconds,
            window.sum_us as f64 / 1_000.0 / window.records.max(1) as f64,
            window.max_us as f64 / 1_000.0,
        )
    }

    /// The last lines: all, and the steady state where there is one.
    pub fn lines(&self, elapsed: Duration) -> Vec<String> {
        let mut lines = vec![line("records sent", &self.all, elapsed)];
        if let Some(steady) = &self.steady {
            let elapsed = elapsed.saturating_sub(self.steady_from);
            lines.push(line("steady state records sent", steady, elapsed));
        }
        lines
    }

    /// The same as one object.
    pub fn json(&self, elapsed: Duration) -> Value {
        let mut all = object(&self.all, elapsed);
        if let Some(steady) = &self.steady {
            all["steady_state"] = object(steady, elapsed.saturating_sub(self.steady_from));
        }
        all
    }
}

fn rates(totals: &Totals, elapsed: Duration) -> (f64, f64) {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    (
        totals.latencies.count() as f64 / seconds,
        totals.bytes as f64 / MB / seconds,
    )
}

fn line(what: &str, totals: &Totals, elapsed: Duration) -> String {
    let (records, mb) = rates(totals, elapsed);
    let latencies = &totals.latencies;
    let at = |fraction| latencies.percentile(fraction).as_millis();
    format!(
        "{} {what}, {records:.6} records/sec ({mb:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max latency, {} ms 50th, \
         {} ms 95th, {} ms 99th, {} ms 99.9th.",
        latencies.count(),
        latencies.mean_ms(),
        milliseconds(latencies.max()),
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
    )
}

fn object(totals: &Totals, elapsed: Duration) -> Value {
    let (records, mb) = rates(totals, elapsed);
    json!({
        "records_sent": totals.latencies.count(),
        "elapsed_ms": rounded(milliseconds(elapsed)),
        "records_per_second": rounded(records),
        "mb_per_second": rounded(mb),
        "latency_ms": latency_json(&totals.latencies),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Result {
        let mut result = Result::new(true);
        (1..=1_000).for_each(|number| result.acknowledged(number * 1_000, 1 << 20, number > 500));
        result.steady_from(Duration::from_secs(5));
        result
    }

    #[test]
    fn the_last_lines_are_kafkas() {
        let lines = measured().lines(Duration::from_secs(10));
        assert_eq!(
            lines[0],
            "1000 records sent, 100.000000 records/sec (100.00 MB/sec), 500.50 ms avg latency, 1000.00 ms max latency, \
             501 ms 50th, 950 ms 95th, 991 ms 99th, 999 ms 99.9th."
        );
        assert!(
            lines[1].starts_with("500 steady state records sent, 100.000000 records/sec"),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn progress_tells_only_what_is_new() {
        let mut result = measured();
        let first = result.progress(Duration::from_secs(5));
        assert_eq!(
            first,
            "1000 records sent, 200.0 records/sec (200.00 MB/sec), 500.5 ms avg latency, 1000.0 ms max latency."
        );
        assert!(
            result
                .progress(Duration::from_secs(5))
                .starts_with("0 records sent, 0.0 ")
        );
    }

    #[test]
    fn json_has_both() {
        let found = measured().json(Duration::from_secs(10));
        assert_eq!(found["records_sent"], 1_000);
        assert_eq!(found["latency_ms"]["max"], 1000.0);
        assert_eq!(found["steady_state"]["records_sent"], 500);
    }
}
