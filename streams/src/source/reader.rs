//! The thread that reads a changelog for a worker, so that taking records out of the client and building state from them go on at
//! the same time.
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;

use super::TopicPartition;
use super::restore::{Change, place_of};
use crate::store::FirstRecord;
use millstream_client::{BatchConsumer, Record};

/// Chunks on their way.
const QUEUE: usize = 4;
/// What a chunk takes.
const CHUNK_RECORDS: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;
/// How long the thread waits for a record before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_millis(10);

/// How long nothing may come before somebody asks the cluster why.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long that may take: whoever stops the thread waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) type Consumer = BatchConsumer<DefaultConsumerContext>;

/// A consumer at work. It is given back when it stops.
pub(super) struct Reader {
    chunks: Receiver<Result<Chunk, End>>,
    thread: JoinHandle<Consumer>,
    /// What was received and not handed out.
    chunk: Chunk,
}

/// Why there are no more chunks.
pub(super) enum End {
    /// The log's end is reached.
    Reached,
    /// Reading cannot go on.
    Failed(KafkaError),
}

/// Records, one behind the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    records: Vec<Place>,
    next: usize,
}

/// Where a record lies.
struct Place {
    at: FirstRecord,
    start: usize,
    key: Option<u32>,
    value: Option<u32>,
}

impl Reader {
    /// Has `consumer`, which is assigned the partition `at`, read it to its end on a thread of its own.
    pub(super) fn start(consumer: Consumer, at: TopicPartition) -> std::io::Result<Self> {
        let (send, chunks) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("stream-restore".to_owned())
            .spawn(move || read(consumer, &at, &send))?;
        Ok(Self {
            chunks,
            thread,
            chunk: Chunk::default(),
        })
    }

    /// Hands the next records to `each`, at most `max` and those of a chunk, until it says to stop; waits up to `timeout` for the first.
    pub(super) fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<(), End> {
        if self.chunk.next == self.chunk.records.len() {
            self.chunk = match self.chunks.recv_timeout(timeout) {
                Ok(chunk) => chunk?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                // The thread says how it ends, unless it panics.
                Err(RecvTimeoutError::Disconnected) => return Err(End::Failed(KafkaError::Canceled)),
            };
        }
        for _ in 0..max {
            let Some(change) = self.chunk.next() else { break };
            if each(change).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Stops reading; gives the consumer back unless its thread has panicked.
    pub(super) fn stop(self) -> Option<Consumer> {
        drop(self.chunks);
        self.thread.join().ok()
    }
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.records.len() >= CHUNK_RECORDS || self.bytes.len() >= CHUNK_BYTES
    }

    fn push(&mut self, record: &Record<'_>) {
        let (key, value) = (record.key(), record.value());
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.records.push(Place {
            at: place_of(record),
            start: self.bytes.len(),
            key: key.map(length),
            value: value.map(length),
        });
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    fn next(&mut self) -> Option<Change<'_>> {
        let Place {
            at,
            start,
            key,
            value,
        } = *self.records.get(self.next)?;
        self.next += 1;
        let key_end = start + key.unwrap_or(0) as usize;
        let value_end = key_end + value.unwrap_or(0) as usize;
        Some(Change {
            at,
            key: key.map(|_| &self.bytes[start..key_end]),
            value: value.map(|_| &self.bytes[key_end..value_end]),
        })
    }
}

/// Reads until the end, an error, or nobody wants more.
fn read(mut consumer: Consumer, at: &TopicPartition, chunks: &SyncSender<Result<Chunk, End>>) -> Consumer {
    let mut heard = Instant::now();
    loop {
        let (mut chunk, mut end) = (Chunk::default(), None);
        let mut wait = WAIT;
        while !chunk.is_full() && end.is_none() {
            match consumer.next(wait) {
                Some(Ok(record)) => chunk.push(&record),
                Some(Err(KafkaError::PartitionEOF(_))) => end = Some(End::Reached),
                Some(Err(error)) => end = failure(error),
                None => break,
            }
            wait = Duration::ZERO;
        }
        if !chunk.records.is_empty() {
            heard = Instant::now();
        }
        // An empty chunk asks whether anybody is there.
        let sent = chunks.send(Ok(chunk));
        if sent.is_err() {
            return consumer;
        }
        if end.is_none() && heard.elapsed() > SILENCE_MAX {
            // What befalls a partition is logged by the client, and told nobody.
            let bounds = consumer
                .client()
                .fetch_watermarks(&at.topic, at.partition, REQUEST_TIMEOUT);
            end = bounds.err().and_then(failure);
            heard = Instant::now();
        }
        if let Some(end) = end {
            // Nobody waits for it any more: the worker has ended.
            drop(chunks.send(Err(end)));
            return consumer;
        }
    }
}

/// The end that an error means, unless the client goes on by itself.
fn failure(error: KafkaError) -> Option<End> {
    if super::kafka::ends_reading(&error) {
        return Some(End::Failed(error));
    }
    tracing::warn!(%error, "reading a changelog");
    None
}
