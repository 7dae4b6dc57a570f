//! The job that `tests/benches/queries.py` asks while it works: the last line of each key, and how many there were.
//!
//! `bench_queries INPUT OUTPUT application.id=ID bootstrap.servers=HOST:PORT queries.listener=HOST:PORT KEY=VALUE…`. A line of the input
//! is a key. It prints "started ADDRESS" when its threads have their partitions. A line `read READS THREADS KEYS` of its standard input has
//! it read so many keys `key0`, `key1`, … in process, at random, from so many threads, and print percentiles in microseconds; `keys` has it
//! print how many keys there are. It ends when its standard input does.
use std::error::Error;
use std::io::{BufRead, stdin};
use std::time::{Duration, Instant};

use millstream_streams::{JobState, QueryError, StoreView, StreamsConfig, prelude::*};

const USAGE: &str = "usage: bench_queries INPUT OUTPUT KEY=VALUE…";
/// Short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The step of the generator of keys: xorshift* of 64 bits.
const FACTOR: u64 = 0x2545_f491_4f6c_dd1d;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, pairs @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|pair| pair.split_once('=').ok_or(USAGE))
        .collect::<Result<_, _>>()?;
    let id = pairs.iter().find(|(key, _)| *key == "application.id");
    let app = Streams::new(id.map_or("bench", |(_, id)| id));
    app.stream(input.as_str(), text("key"))
        .group_by([col("key")])
        .aggregate("counts", [count_all().alias("n")])
        .to(output.as_str(), json());
    let job = app.start(StreamsConfig::from_properties(pairs)?)?;
    while job.state() == JobState::Starting {
        std::thread::sleep(LOOK_EVERY);
    }
    let address = job.queries_address().map(|address| address.to_string());
    println!("started {}", address.unwrap_or_default());
    let store = job.store("counts")?;
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["keys"] => {
                job.check()?;
                let keys: u64 = job
                    .metrics()
                    .sub_topologies
                    .iter()
                    .map(|sub| sub.state_keys)
                    .sum();
                println!("{keys}");
            }
            ["read", reads, threads, keys] => read(&store, reads.parse()?, threads.parse()?, keys.parse()?)?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(job.stop(Duration::from_secs(60))?)
}

/// Reads keys at random, and prints how long it took.
fn read(store: &StoreView, reads: usize, threads: usize, keys: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let readers: Vec<_> = (1..=threads as u64)
        .map(|number| {
            let store = store.clone();
            std::thread::spawn(move || read_some(&store, reads / threads, number, keys))
        })
        .collect();
    let (mut times, mut found) = (Vec::new(), 0);
    for reader in readers {
        let read = reader.join().map_err(|_| "a reader panicked")?;
        let (own, there) = read?;
        times.extend(own);
        found += there;
    }
    let took = begun.elapsed();
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1e3;
    println!(
        r#"{{"reads":{},"found":{found},"per_s":{:.0},"p50":{:.1},"p99":{:.1},"p99.9":{:.1},"max":{:.1}}}"#,
        times.len(),
        times.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}

/// The time of each read, and how many found a row.
fn read_some(
    store: &StoreView,
    reads: usize,
    seed: u64,
    keys: u64,
) -> Result<(Vec<Duration>, usize), QueryError> {
    let (mut random, mut times, mut found) = (seed.wrapping_mul(FACTOR) | 1, Vec::with_capacity(reads), 0);
    for _ in 0..reads {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        let key = format!("key{}", random.wrapping_mul(FACTOR) % keys);
        let begun = Instant::now();
        let row = store.get(&[lit(key)])?;
        times.push(begun.elapsed());
        found += usize::from(row.is_some());
    }
    Ok((times, found))
}
