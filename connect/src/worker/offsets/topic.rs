//! Offsets in a compacted topic (`offset.storage.topic`).
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::{OffsetChange, OffsetMap, OffsetStore, key, value};
use crate::cluster::table::TopicTable;
use crate::cluster::{Outgoing, OutgoingRow, Producer};
use crate::plugin::{PluginError, SourceOffset, SourcePartition};

/// How long the topic may take to be read to its end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Offsets in a compacted topic.
pub(crate) struct TopicOffsets {
    topic: String,
    producer: ClientConfig,
    state: Mutex<State>,
}

struct State {
    table: TopicTable,
    map: OffsetMap,
    /// Made when first used: tasks that deliver exactly once write offsets themselves.
    writer: Option<Producer>,
}

impl TopicOffsets {
    /// A store on `topic`, which is there. With `committed_only`, what open or aborted transactions wrote does not count.
    ///
    /// # Errors
    /// When a client's configuration is wrong.
    pub(crate) fn new(
        topic: &str,
        consumer: &ClientConfig,
        producer: &ClientConfig,
        committed_only: bool,
    ) -> Result<Self, PluginError> {
        Ok(Self {
            topic: topic.to_owned(),
            producer: producer.clone(),
            state: Mutex::new(State {
                table: TopicTable::new(consumer, topic, committed_only)?,
                map: OffsetMap::default(),
                writer: None,
            }),
        })
    }
}

/// Offsets as records of the topic they are kept in.
pub(crate) fn rows(topic: &str, connector: &str, changes: &[OffsetChange], out: &mut Outgoing) {
    let topic = std::sync::Arc::<str>::from(topic);
    for (partition, offset) in changes {
        let mut put = |bytes: &[u8]| {
            let begin = out.bytes.len();
            out.bytes.extend_from_slice(bytes);
            begin..out.bytes.len()
        };
        let row = OutgoingRow {
            number: 0,
            topic: std::sync::Arc::clone(&topic),
            partition: None,
            key: Some(put(&key(connector, partition))),
            value: value(offset.as_ref()).map(|bytes| put(&bytes)),
            timestamp: None,
            headers: Vec::new(),
        };
        out.rows.push(row);
    }
}

impl OffsetStore for TopicOffsets {
    fn read(&self, connector: &str) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { table, map, .. } = &mut *state;
        let topic = &self.topic;
        table.read_to_end(PATIENCE, &mut |key, value| {
            if !map.apply(key, value) {
                tracing::warn!(topic, "a record that is not a source's offset is passed over");
            }
        })?;
        Ok(map.of(connector))
    }

    fn write(&self, connector: &str, changes: &[OffsetChange]) -> Result<(), PluginError> {
        let failed =
            |why: String| PluginError::retriable(format!("storing offsets in {}: {why}", self.topic));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.writer.is_none() {
            let writer = Producer::new(&self.producer).map_err(|error| failed(error.to_string()))?;
            state.writer = Some(writer);
        }
        let writer = state.writer.as_mut().expect("made above");
        let mut batch = Outgoing::default();
        rows(&self.topic, connector, changes, &mut batch);
        let until = Instant::now() + WRITE_PATIENCE;
        let late = || Instant::now() > until;
        let sent = writer.send(&mut batch, &late);
        let sent = sent.and_then(|refused| writer.flush(&late).map(|()| refused));
        let failures = writer.failures().kept;
        let error = match (sent, failures.first()) {
            (Ok(refused), None) if refused.is_empty() => return Ok(()),
            (Ok(refused), None) => refused[0].error.to_string(),
            (Err(error), _) => error.to_string(),
            (Ok(_), Some(failure)) => failure.error.to_string(),
        };
        // A producer that failed fatally is made anew at the next try.
        state.writer = None;
        Err(failed(error))
    }
}
