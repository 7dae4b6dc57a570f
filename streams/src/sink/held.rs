//! A sink that keeps records back until the offsets behind them are committed: at-most-once.
//!
//! Why states go first: what follows from a state must not be seen if the state is lost, or the next row of that key would make the same
//! result again.
use rdkafka::consumer::ConsumerGroupMetadata;

use super::{Destination, RecordBuffer, Sink, SinkError};
use crate::source::TopicPartition;
use crate::task::Position;

/// Hands records on at once, or holds them back until [`Sink::deliver`].
pub(crate) struct HeldSink<K> {
    inner: K,
    /// None if nothing is held back.
    held: Option<Vec<RecordBuffer>>,
    bytes: usize,
}

impl<K: Sink> HeldSink<K> {
    pub(crate) fn new(inner: K, holds: bool) -> Self {
        Self {
            inner,
            held: holds.then(Vec::new),
            bytes: 0,
        }
    }
}

impl<K: Sink> Sink for HeldSink<K> {
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError> {
        match &mut self.held {
            None => self.inner.send(records),
            Some(held) => {
                self.bytes += records.bytes();
                held.push(records.clone());
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.inner.flush()
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Position)],
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), SinkError> {
        self.inner.commit(offsets, member)
    }

    fn recover(&mut self) -> Result<(), SinkError> {
        self.forget();
        self.inner.recover()
    }

    fn deliver(&mut self) -> Result<(), SinkError> {
        let held = self.held.as_mut().map(std::mem::take).unwrap_or_default();
        self.bytes = 0;
        let (outputs, own): (Vec<_>, Vec<_>) = held
            .into_iter()
            .partition(|records| matches!(records.destination(), Destination::ByKey(_)));
        own.iter().try_for_each(|records| self.inner.send(records))?;
        self.inner.flush()?;
        outputs.iter().try_for_each(|records| self.inner.send(records))?;
        self.inner.flush()
    }

    fn forget(&mut self) {
        if let Some(held) = &mut self.held {
            held.clear();
        }
        self.bytes = 0;
    }

    fn held_bytes(&self) -> usize {
        self.bytes
    }
}
