//! From bytes to records: converters, then transforms.
//!
//! A chunk's bytes are copied out of the client library into one buffer, of which keys, values and headers are slices: converters that
//! take text or bytes as they are copy nothing more.
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{HeaderLookup, Record as ClientRecord};

use crate::plugin::{PartitionOffset, PluginError, RawValue, ReadsAsIs, TopicPartition};
use crate::record::{Header, Origin, Record};
use crate::worker::control::Control;
use crate::worker::conversion::Conversion;
use crate::worker::dead_letters::RawRecord;
use crate::worker::errors::{ErrorPolicy, RecordFailure, Stage};

/// Records as they were read.
#[derive(Default)]
pub(super) struct Chunk {
    buffer: Vec<u8>,
    /// The buffer, once no more is added.
    shared: Bytes,
    rows: Vec<Row>,
    /// Topics that came so far, by the order in which they did. Rows have their places.
    topics: Vec<Arc<str>>,
    /// How many of them were told.
    told: usize,
}

type Place = Option<Range<usize>>;

struct Row {
    topic: usize,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Place,
    value: Place,
    headers: Vec<(Arc<str>, Place)>,
}

/// Topics whose names are kept.
const TOPICS_MAX: usize = 10_000;

impl Chunk {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.buffer.clear();
        // Records may still hold the last buffer.
        self.shared = Bytes::new();
        if self.topics.len() >= TOPICS_MAX {
            (self.topics, self.told) = (Vec::new(), 0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn push(&mut self, record: &ClientRecord<'_>) {
        let topic = self.topic(record.topic());
        let key = self.put(record.key());
        let value = self.put(record.value());
        let mut headers = Vec::new();
        record.each(&mut |name, value| headers.push((Arc::from(name), self.put(value))));
        self.rows.push(Row {
            topic,
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key,
            value,
            headers,
        });
    }

    #[inline]
    fn put(&mut self, bytes: Option<&[u8]>) -> Place {
        bytes.map(|bytes| {
            let begin = self.buffer.len();
            self.buffer.extend_from_slice(bytes);
            begin..self.buffer.len()
        })
    }

    /// The place of a topic.
    #[inline]
    fn topic(&mut self, name: &str) -> usize {
        let last = self.rows.last().map(|row| row.topic);
        if let Some(last) = last.filter(|last| *self.topics[*last] == *name) {
            return last;
        }
        let known = self.topics.iter().position(|known| **known == *name);
        known.unwrap_or_else(|| {
            self.topics.push(Arc::from(name));
            self.topics.len() - 1
        })
    }

    fn topic_of(&self, row: &Row) -> &Arc<str> {
        &self.topics[row.topic]
    }

    /// Topics that came for the first time.
    pub(super) fn new_topics(&mut self) -> Vec<Arc<str>> {
        let new = self.topics[self.told..].to_vec();
        self.told = self.topics.len();
        new
    }

    fn share(&mut self) {
        let capacity = self.buffer.len();
        self.shared = std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity)).into();
    }

    fn content(&self) -> &[u8] {
        if self.shared.is_empty() {
            &self.buffer
        } else {
            &self.shared
        }
    }

    fn slice(&self, place: &Place) -> Option<Bytes> {
        place.as_ref().map(|range| self.shared.slice(range.clone()))
    }

    pub(super) fn origin(&self, index: usize) -> Origin {
        let row = &self.rows[index];
        Origin {
            topic: Arc::clone(self.topic_of(row)),
            partition: row.partition,
            offset: row.offset,
        }
    }

    /// A row as it was read.
    pub(super) fn raw(&self, index: usize) -> RawRecord<'_> {
        let (row, content) = (&self.rows[index], self.content());
        let bytes = |place: &Place| place.clone().map(|range| &content[range]);
        RawRecord {
            key: bytes(&row.key),
            value: bytes(&row.value),
            headers: row
                .headers
                .iter()
                .map(|(name, value)| (Arc::clone(name), bytes(value)))
                .collect(),
            timestamp: row.timestamp,
        }
    }

    /// Behind the last row of each partition, in the order of the rows; a partition may come several times.
    pub(super) fn ends(&self) -> impl Iterator<Item = PartitionOffset> {
        let same = |a: &Row, b: &Row| a.partition == b.partition && a.topic == b.topic;
        let runs = self.rows.chunk_by(same).filter_map(<[Row]>::last);
        runs.map(|row| PartitionOffset {
            partition: TopicPartition {
                topic: Arc::clone(self.topic_of(row)),
                partition: row.partition,
            },
            next: row.offset + 1,
        })
    }
}

impl Chunk {
    /// Whether the rows' values are what the converters would make of them: `as_is` is what they read as it is.
    pub(super) fn is_as_is(&self, as_is: ReadsAsIs) -> bool {
        let plain = match as_is {
            ReadsAsIs::Nothing => false,
            ReadsAsIs::Bytes => true,
            ReadsAsIs::Utf8 => self.is_text(),
        };
        plain && self.rows.iter().all(|row| row.headers.is_empty())
    }

    /// The rows' values as they were read.
    pub(super) fn values(&self) -> Vec<RawValue<'_>> {
        let content = self.content();
        let rows = self.rows.iter().map(|row| RawValue {
            topic: self.topic_of(row),
            partition: row.partition,
            offset: row.offset,
            value: row.value.clone().map(|range| &content[range]),
        });
        rows.collect()
    }

    /// Whether each value is UTF-8: all bytes together are, and none of the values begins or ends in the middle of a character.
    fn is_text(&self) -> bool {
        let Ok(all) = std::str::from_utf8(&self.buffer) else {
            return false;
        };
        let mut values = self.rows.iter().filter_map(|row| row.value.as_ref());
        values.all(|range| all.is_char_boundary(range.start) && all.is_char_boundary(range.end))
    }
}

/// What became of a chunk.
pub(super) struct Decoded {
    pub(super) records: Vec<Record>,
    /// Of which row each is.
    pub(super) rows: Vec<usize>,
    /// Rows that failed.
    pub(super) failures: Vec<(usize, RecordFailure)>,
    /// How many transforms dropped.
    pub(super) filtered: usize,
    /// The task was told to stop while a row was tried again and again: what is here is not all.
    pub(super) interrupted: bool,
}

/// Has the chunk's rows converted and transformed.
pub(super) fn decode(
    chunk: &mut Chunk,
    conversion: &mut Conversion,
    policy: &ErrorPolicy,
    control: &Control,
) -> Decoded {
    chunk.share();
    let mut decoded = Decoded {
        records: Vec::with_capacity(chunk.len()),
        rows: Vec::with_capacity(chunk.len()),
        failures: Vec::new(),
        filtered: 0,
        interrupted: false,
    };
    for (index, row) in chunk.rows.iter().enumerate() {
        let record = convert(chunk, row, conversion, policy, control);
        let transformed = record.and_then(|record| match conversion.chain.is_empty() {
            true => Ok(Some(record)),
            false => conversion
                .chain
                .apply(record)
                .map_err(|(error, stage)| policy.of_transform(stage.class, error)),
        });
        match transformed {
            Ok(Some(record)) => {
                decoded.records.push(record);
                decoded.rows.push(index);
            }
            Ok(None) => decoded.filtered += 1,
            Err(failure) if failure.is_of_stopping(control) => {
                decoded.interrupted = true;
                break;
            }
            Err(failure) => {
                decoded.failures.push((index, failure));
                if !policy.tolerant {
                    break;
                }
            }
        }
    }
    decoded
}

fn convert(
    chunk: &Chunk,
    row: &Row,
    conversion: &mut Conversion,
    policy: &ErrorPolicy,
    control: &Control,
) -> Result<Record, RecordFailure> {
    let topic = chunk.topic_of(row);
    let failure = |stage: Stage, class: &str, error: PluginError| RecordFailure {
        stage,
        class: class.to_owned(),
        error,
    };
    let bytes = chunk.slice(&row.key);
    let key = policy
        .retry(control, || conversion.key.decode(topic, bytes.as_ref()))
        .map_err(|error| failure(Stage::KeyConverter, conversion.key_class, error))?;
    let bytes = chunk.slice(&row.value);
    let value = policy
        .retry(control, || conversion.value.decode(topic, bytes.as_ref()))
        .map_err(|error| failure(Stage::ValueConverter, conversion.value_class, error))?;
    let mut headers = Vec::with_capacity(row.headers.len());
    for (name, place) in &row.headers {
        let bytes = chunk.slice(place);
        let datum = policy
            .retry(control, || conversion.header.decode(topic, name, bytes.as_ref()))
            .map_err(|error| failure(Stage::HeaderConverter, conversion.header_class, error))?;
        let name = Arc::clone(name);
        headers.push(Header { name, datum });
    }
    Ok(Record {
        topic: Arc::clone(topic),
        partition: Some(row.partition),
        key,
        value,
        headers,
        timestamp: row.timestamp,
        origin: Some(Origin {
            topic: Arc::clone(topic),
            partition: row.partition,
            offset: row.offset,
        }),
    })
}
