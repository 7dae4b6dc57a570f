//! `millstream perf latency --throughput`: end-to-end latency under a steady load.
//!
//! One thread sends by the schedule, this one reads. Each record carries the run, its number and the moment it was due;
//! latency counts from that moment, so that a stall is charged to every record that it held up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::histogram::Histogram;
use super::latency::{LatencyArgs, Pair, lost};
use super::pace::Pace;
use super::payload::Payloads;
use super::{MB, latency_json, milliseconds, note, rounded, say};
use crate::admin::now_ms;
use crate::error::CliError;
use crate::stop::StopSignal;

/// Bytes of the run, the number and the time.
const STAMP_BYTES: i64 = 24;
/// Progress is printed so often.
const REPORT: Duration = Duration::from_secs(5);
/// Number of the record that goes before all others, so that connections stand when measuring begins.
const PROBE: u64 = u64::MAX;

/// Refuses what cannot be measured.
pub fn check(args: &LatencyArgs, rate: f64) -> Result<(), CliError> {
    if !rate.is_finite() || rate <= 0.0 {
        return Err(CliError::new(format!(
            "--throughput {rate}: give a rate above zero, or leave it out to send one record at a time"
        )));
    }
    if args.record_size < STAMP_BYTES {
        return Err(CliError::new(format!(
            "--record-size {}: at a fixed rate a record holds its time and number: give {STAMP_BYTES} or more",
            args.record_size
        )));
    }
    Ok(())
}

/// What a record says of itself.
fn stamp(payload: &mut [u8], run: u64, number: u64, due_us: u64) {
    for (place, value) in payload.chunks_exact_mut(8).zip([run, number, due_us]) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The number and the time of a record of this run.
fn read_stamp(payload: &[u8], run: u64) -> Option<(u64, u64)> {
    let mut words = payload
        .chunks_exact(8)
        .map(|word| u64::from_be_bytes(word.try_into().expect("each has eight bytes")));
    (words.next()? == run).then_some(())?;
    Some((words.next()?, words.next()?))
}

/// Sends and reads; prints the latencies.
pub fn run(args: &LatencyArgs, rate: f64, pair: &Pair, stop: &StopSignal) -> Result<(), CliError> {
    let run = now_ms().unsigned_abs() << 16 | u64::from(std::process::id() & 0xffff);
    warm_up(args, pair, stop, run)?;
    // Made before the clock starts: a million random letters take their time.
    let payloads = Payloads::letters(args.record_bytes());
    let start = Instant::now();
    let sending = Sending::default();
    let (received, sent) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send_all(args, payloads, Pace::new(start, rate), pair, stop, run, &sending);
            sending.done.store(true, Ordering::Release);
            sent
        });
        let received = receive_all(args, pair, stop, run, &sending, start);
        // Whoever stopped reading needs no more records.
        sending.unwanted.store(true, Ordering::Release);
        (received, sender.join())
    });
    let sent = sent.unwrap_or_else(|_| Err(CliError::new("the sending thread failed; see above")));
    let received = received?;
    print(args, &received, sending.sent.load(Ordering::Acquire))?;
    sent?;
    stop.check()?;
    if received.missing > 0 {
        return Err(lost(args, &format!("{} records", received.missing)));
    }
    Ok(())
}

/// One record there and back.
fn warm_up(args: &LatencyArgs, pair: &Pair, stop: &StopSignal, run: u64) -> Result<(), CliError> {
    let mut payload = vec![0; args.record_bytes()];
    stamp(&mut payload, run, PROBE, 0);
    pair.send(&args.topic, &payload, stop)?;
    let limit = Duration::from_millis(args.timeout);
    let found = pair.receive(limit, stop, |found| read_stamp(found, run).map(drop))?;
    pair.producer.poll(Duration::ZERO);
    pair.check()?;
    match found {
        Some(()) => Ok(()),
        None => stop.check().and_then(|()| Err(lost(args, "the first record"))),
    }
}

/// What the sender tells the reader.
#[derive(Debug, Default)]
struct Sending {
    sent: AtomicU64,
    done: AtomicBool,
    unwanted: AtomicBool,
}

fn send_all(
    args: &LatencyArgs,
    mut payloads: Payloads,
    pace: Pace,
    pair: &Pair,
    stop: &StopSignal,
    run: u64,
    sending: &Sending,
) -> Result<(), CliError> {
    let mut payload = payloads.next(0).to_vec();
    for number in 0..args.num_records {
        while let Some(wait) = pace.wait(number, Instant::now()) {
            pair.producer.poll(Duration::ZERO);
            // Short waits are slept in short steps: a sleep may last a little longer than asked for.
            std::thread::sleep(wait.min(Duration::from_millis(1)));
        }
        if stop.requested() || sending.unwanted.load(Ordering::Acquire) {
            break;
        }
        payload.copy_from_slice(payloads.next(number));
        let due = pace.due(number).saturating_duration_since(pace.due(0));
        stamp(&mut payload, run, number, due.as_micros() as u64);
        pair.send(&args.topic, &payload, stop)?;
        sending.sent.fetch_add(1, Ordering::AcqRel);
        if number % 64 == 0 {
            pair.producer.poll(Duration::ZERO);
            pair.check()?;
        }
    }
    use rdkafka::producer::Producer;
    let deadline = Instant::now() + Duration::from_millis(args.timeout);
    while pair.producer.in_flight_count() > 0 && Instant::now() < deadline {
        pair.producer.poll(Duration::from_millis(1));
        pair.check()?;
    }
    Ok(())
}

/// What came back.
#[derive(Debug, Default)]
struct Received {
    latencies: Histogram,
    elapsed: Duration,
    missing: u64,
}

fn receive_all(
    args: &LatencyArgs,
    pair: &Pair,
    stop: &StopSignal,
    run: u64,
    sending: &Sending,
    start: Instant,
) -> Result<Received, CliError> {
    let idle_limit = Duration::from_millis(args.timeout);
    let mut received = Received::default();
    let mut window = Histogram::default();
    let (mut count, mut last, mut reported) = (0, start, start);
    let is_complete =
        |count: u64| sending.done.load(Ordering::Acquire) && count >= sending.sent.load(Ordering::Acquire);
    while !is_complete(count) && !stop.requested() && last.elapsed() < idle_limit {
        let found = pair.receive(Duration::from_millis(100), stop, |found| read_stamp(found, run))?;
        let now = Instant::now();
        if let Some((number, due_us)) = found.filter(|(number, _)| *number != PROBE) {
            count += 1;
            last = now;
            let latency_us = (now.duration_since(start).as_micros() as u64).saturating_sub(due_us);
            if number >= args.warmup_records {
                received.latencies.record(latency_us);
                window.record(latency_us);
            }
        }
        if now.duration_since(reported) >= REPORT {
            let seconds = now.duration_since(reported).as_secs_f64();
            let line = format!(
                "{} records received, {:.1} records/sec, {:.3} ms avg latency, {:.3} ms max latency.",
                window.count(),
                window.count() as f64 / seconds,
                window.mean_ms(),
                milliseconds(window.max())
            );
            note(args.json, &line)?;
            window = Histogram::default();
            reported = now;
        }
    }
    received.elapsed = last.duration_since(start);
    received.missing = sending.sent.load(Ordering::Acquire).saturating_sub(count);
    Ok(received)
}

fn print(args: &LatencyArgs, received: &Received, sent: u64) -> Result<(), CliError> {
    let latencies = &received.latencies;
    let per_second = sent as f64 / received.elapsed.as_secs_f64().max(1e-9);
    let mb = per_second * args.record_size as f64 / MB;
    if args.json {
        let object = json!({
            "records_sent": sent,
            "records_measured": latencies.count(),
            "records_missing": received.missing,
            "records_per_second": rounded(per_second),
            "mb_per_second": rounded(mb),
            "latency_ms": latency_json(latencies),
        });
        return say(&object.to_string());
    }
    let at = |fraction| milliseconds(latencies.percentile(fraction));
    say(&format!(
        "{sent} records sent, {per_second:.1} records/sec ({mb:.2} MB/sec)\nAvg latency: {:.4} ms\nPercentiles: 50th = {:.3}, 99th = \
         {:.3}, 99.9th = {:.3}, max = {:.3}",
        latencies.mean_ms(),
        at(0.5),
        at(0.99),
        at(0.999),
        milliseconds(latencies.max())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_run_number_and_time() {
        let mut payload = [b'A'; 30];
        stamp(&mut payload, 7, 42, 1_000);
        assert_eq!(read_stamp(&payload, 7), Some((42, 1_000)));
        assert_eq!(read_stamp(&payload, 8), None);
        assert_eq!(read_stamp(b"short", 7), None);
        assert_eq!(&payload[24..], b"AAAAAA");
    }
}
