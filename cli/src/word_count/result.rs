//! The counts, read back from their topic, and how they are printed.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::load::Loaded;
use crate::client::create;
use crate::error::{CliError, output};

/// How long reading the counts may go without a record.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The value of one record of the counts topic.
#[derive(Debug, Deserialize)]
struct CountValue {
    count: u64,
}

/// One word and how often it occurs.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct WordCount {
    word: String,
    count: u64,
}

/// What a run found; serialised, it is the JSON object of `--output json`.
#[derive(Debug, Serialize)]
pub struct Summary {
    words: u64,
    distinct: u64,
    lines: u64,
    elapsed_ms: u64,
    top: Vec<WordCount>,
}

/// Reads the latest count of every word.
pub fn read_counts(config: &ClientConfig, topic: &str) -> Result<HashMap<String, u64>, CliError> {
    let cannot =
        |error: KafkaError| CliError::new(format!("cannot read the counts from topic {topic}: {error}"));
    let mut config = config.clone();
    config
        .set("group.id", "millstream-word-count")
        .set("enable.auto.commit", "false");
    config
        .set("queued.max.messages.kbytes", "32768")
        .set("fetch.queue.backoff.ms", "5");
    config.set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = create(&config)?;
    let metadata = consumer
        .fetch_metadata(Some(topic), READ_TIMEOUT)
        .map_err(cannot)?;
    let mut ends = HashMap::new();
    let mut list = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
    {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), READ_TIMEOUT)
            .map_err(cannot)?;
        if high > low {
            ends.insert(partition.id(), high);
            list.add_partition_offset(topic, partition.id(), Offset::Beginning)
                .map_err(cannot)?;
        }
    }
    consumer.assign(&list).map_err(cannot)?;
    let mut counts = HashMap::new();
    while !ends.is_empty() {
        let message = consumer
            .poll(READ_TIMEOUT)
            .ok_or_else(|| CliError::new(format!("no count came from topic {topic} for {READ_TIMEOUT:?}")))?
            .map_err(cannot)?;
        if ends
            .get(&message.partition())
            .is_some_and(|&end| message.offset() + 1 >= end)
        {
            ends.remove(&message.partition());
        }
        let (word, count) = decode(message.key(), message.payload()).map_err(|reason| {
            CliError::new(format!(
                "topic {topic}, partition {}, offset {}: {reason}; did another program write there?",
                message.partition(),
                message.offset()
            ))
        })?;
        match counts.get_mut(word) {
            Some(known) => *known = count,
            None => {
                counts.insert(word.to_owned(), count);
            }
        }
    }
    Ok(counts)
}

fn decode<'a>(key: Option<&'a [u8]>, value: Option<&[u8]>) -> Result<(&'a str, u64), String> {
    let word = std::str::from_utf8(key.unwrap_or_default()).map_err(|_| "the key is not UTF-8".to_owned())?;
    let value: CountValue = serde_json::from_slice(value.unwrap_or_default())
        .map_err(|error| format!("the value is not a count ({error})"))?;
    Ok((word, value.count))
}

impl Summary {
    /// Adds up; keeps the `top` most frequent words, equally frequent ones in alphabetical order.
    pub fn new(counts: HashMap<String, u64>, loaded: Loaded, top: usize, started: Instant) -> Self {
        let words = counts.values().sum();
        let distinct = counts.len() as u64;
        let mut all: Vec<_> = counts
            .into_iter()
            .map(|(word, count)| WordCount { word, count })
            .collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
        all.truncate(top);
        Self {
            words,
            distinct,
            lines: loaded.seen.lines,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            top: all,
        }
    }

    /// Prints a table or one JSON object on standard output; `left_in` names the topic that keeps the counts.
    pub fn print(&self, as_json: bool, left_in: Option<&str>) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        if as_json {
            let json = serde_json::to_string(self)
                .map_err(|error| CliError::new(format!("cannot write the result as JSON: {error}")))?;
            return writeln!(out, "{json}").map_err(output);
        }
        if !self.top.is_empty() {
            writeln!(out, "{}", self.table()).map_err(output)?;
        }
        writeln!(out, "{}", self.totals()).map_err(output)?;
        match left_in {
            Some(topic) => writeln!(out, "The counts are in topic {topic}.").map_err(output),
            None => Ok(()),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_header(["word", "count"]);
        for row in &self.top {
            table.add_row([row.word.clone(), row.count.to_string()]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn totals(&self) -> String {
        let per_second = |count: u64| count.saturating_mul(1000) / self.elapsed_ms.max(1);
        format!(
            "{} words, {} distinct, in {} lines; {}.{:03} s, {} records/s, {} words/s",
            self.words,
            self.distinct,
            self.lines,
            self.elapsed_ms / 1000,
            self.elapsed_ms % 1000,
            per_second(self.lines),
            per_second(self.words),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(counts: &[(&str, u64)], top: usize) -> Summary {
        let counts = counts
            .iter()
            .map(|&(word, count)| (word.to_owned(), count))
            .collect();
        let loaded = Loaded {
            records: 2,
            seen: super::super::input::Seen {
                lines: 2,
                not_utf8: None,
            },
        };
        let mut summary = Summary::new(counts, loaded, top, Instant::now());
        summary.elapsed_ms = 2_001;
        summary
    }

    #[test]
    fn the_most_frequent_come_first_and_ties_by_name() {
        let summary = summary(&[("b", 2), ("a", 2), ("c", 3), ("d", 1)], 3);
        let words: Vec<_> = summary.top.iter().map(|row| row.word.as_str()).collect();
        assert_eq!(words, ["c", "a", "b"]);
        assert_eq!((summary.words, summary.distinct), (8, 4));
    }

    #[test]
    fn the_json_object_has_exactly_the_documented_keys() {
        let json = serde_json::to_string(&summary(&[("a", 1)], 1)).unwrap();
        assert_eq!(
            json,
            r#"{"words":1,"distinct":1,"lines":2,"elapsed_ms":2001,"top":[{"word":"a","count":1}]}"#
        );
    }

    #[test]
    fn totals_are_one_line() {
        assert_eq!(
            summary(&[("a", 10)], 1).totals(),
            "10 words, 1 distinct, in 2 lines; 2.001 s, 0 records/s, 4 words/s"
        );
        assert!(summary(&[], 1).totals().starts_with("0 words"));
    }

    #[test]
    fn a_foreign_record_is_named_not_counted() {
        assert_eq!(decode(Some(b"a"), Some(br#"{"count":3}"#)), Ok(("a", 3)));
        assert!(decode(Some(b"\xff"), Some(br#"{"count":3}"#)).is_err());
        assert!(decode(Some(b"a"), None).is_err());
    }
}
