//! Words, counted.
//!
//! For each word the published numbers only grow, and the last of them is the oracle's: a line that was lost leaves it lower, one that
//! was counted twice makes it higher, and an instance that wrote from an old state lets the numbers go back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;

use super::{Instance, PARTITIONS, Report, SETTLE, Write, reader};
use crate::random::Random;

pub(super) const LINES: &str = "lines";
pub(super) const COUNTS: &str = "word-counts";
const WORDS: u64 = 2_000;

/// Words and how often they were written.
type Counts = BTreeMap<String, u64>;

/// What was written.
#[derive(Default)]
pub(super) struct Oracle {
    counts: Counts,
    lines: u64,
}

/// Writes lines until `pause` says that it is enough.
pub(super) fn feed(random: &mut Random, write: Write<'_>, pause: &dyn Fn() -> bool) -> Oracle {
    let mut oracle = Oracle::default();
    while !pause() {
        for _ in 0..50 {
            let mut line = String::new();
            for _ in 0..random.below(12) {
                // Few words are frequent, most are rare.
                let word = format!("w{}", random.below(1 + random.clone().below(WORDS)));
                line.push_str(&word);
                line.push(' ');
                *oracle.counts.entry(word).or_default() += 1;
            }
            write(LINES, random.below(PARTITIONS as u64) as i32, &line);
            oracle.lines += 1;
        }
    }
    oracle
}

impl Oracle {
    /// Reads the published counts until they are the oracle's.
    pub(super) fn check(&self, address: &str, seed: u64, instances: &mut [Instance], report: &mut Report) {
        report.records = self.lines;
        report.counted = self.counts.values().sum();
        let reader = reader(address, &[COUNTS]);
        let mut found = Counts::new();
        let mut deadline = Instant::now() + SETTLE;
        while found != self.counts {
            let Some(record) = reader.poll(Duration::from_millis(200)) else {
                assert!(
                    Instant::now() < deadline,
                    "seed {seed}: the counts do not come about: {}",
                    self.difference(&found)
                );
                instances.iter_mut().for_each(|instance| instance.must_run(seed));
                continue;
            };
            let Ok(record) = record else { continue };
            deadline = Instant::now() + SETTLE;
            report.published += 1;
            let word = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
            let value: serde_json::Value =
                serde_json::from_slice(record.payload().unwrap_or_default()).expect("the value is JSON");
            let count = value["count"].as_u64().expect("the value has a count");
            let before = found.insert(word.clone(), count).unwrap_or(0);
            assert!(
                before < count,
                "seed {seed}: the count of {word} went from {before} to {count} at {}-{}",
                record.partition(),
                record.offset()
            );
            let written = self.counts.get(&word).copied().unwrap_or(0);
            assert!(
                count <= written,
                "seed {seed}: {word} was counted {count} times and written {written} times ({}-{})",
                record.partition(),
                record.offset()
            );
        }
    }

    fn difference(&self, found: &Counts) -> String {
        let wrong = self
            .counts
            .iter()
            .filter(|(word, count)| found.get(*word) != Some(count));
        let wrong: Vec<_> = wrong
            .map(|(word, count)| format!("{word}: {:?} of {count}", found.get(word)))
            .collect();
        format!(
            "{} of {} words, {:?}",
            wrong.len(),
            self.counts.len(),
            &wrong[..wrong.len().min(5)]
        )
    }
}
