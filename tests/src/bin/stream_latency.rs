//! Times a windowed stream job: `stream-latency BOOTSTRAP INPUT OUTPUT BEGIN_MS RATE KEYS WARMUP_SECS SECS`; `benches/streams.py` calls it.

use std::process::ExitCode;

use millstream_tests::stream_latency::{self, Plan};
use serde_json::json;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments.iter().skip(3).flat_map(|text| text.parse()).collect();
    let ([bootstrap, input, output, ..], [begin_ms, rate, keys, warmup_secs, secs]) =
        (&arguments[..], &numbers[..])
    else {
        eprintln!("usage: stream-latency BOOTSTRAP INPUT OUTPUT BEGIN_MS RATE KEYS WARMUP_SECS SECS");
        return ExitCode::from(2);
    };
    let report = stream_latency::run(&Plan {
        bootstrap: bootstrap.clone(),
        input: input.clone(),
        output: output.clone(),
        begin_ms: *begin_ms,
        rate: *rate,
        keys: *keys,
        warmup_secs: *warmup_secs,
        secs: *secs,
    });
    let latencies = &report.latencies_us;
    let of_1000 = |part: usize| {
        let place = (latencies.len() * part / 1_000).min(latencies.len().saturating_sub(1));
        latencies.get(place).map(|us| f64::from(*us) / 1_000.0)
    };
    println!(
        "{}",
        json!({"timed": latencies.len(), "missing": report.missing, "behind_ms": report.behind_ms, "p50": of_1000(500),
            "p99": of_1000(990), "p99.9": of_1000(999), "max": of_1000(1_000), "slowest_ms": report.slowest_ms})
    );
    ExitCode::SUCCESS
}
