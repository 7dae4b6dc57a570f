//! A sink that keeps records back until what must come before them is done.
//!
//! With at-most-once it keeps everything, until the offsets are committed. Why states go first then: what follows from a state must not be seen if
//! the state is lost, or the next row of that key would make the same result again.
//!
//! With at-least-once it keeps changelog records, until everything else of the epoch is acknowledged. Why states go last then, see
//! [`StateOrder`]: offsets that were not committed have their records read again, and what a state knows of them already is not said twice.
use rdkafka::consumer::ConsumerGroupMetadata;

use super::{Destination, RecordBuffer, Sink, SinkError};
use crate::config::Guarantee;
use crate::plan::{StateOrder, Topology};
use crate::source::TopicPartition;
use crate::task::Position;

/// What is kept back.
#[derive(Debug, Clone)]
pub(crate) enum Holds {
    /// Nothing: a transaction makes all of it count at once.
    Nothing,
    /// Changelog records: at-least-once.
    States(StateOrder),
    /// Everything: at-most-once.
    All,
}

impl Holds {
    pub(crate) fn of(guarantee: Guarantee, topology: &Topology) -> Self {
        match guarantee {
            Guarantee::AtLeastOnce => Self::States(StateOrder::of(topology)),
            Guarantee::AtMostOnce => Self::All,
            Guarantee::ExactlyOnce => Self::Nothing,
        }
    }
}

/// Hands records on at once, or holds them back until [`Sink::deliver`].
pub(crate) struct HeldSink<K> {
    inner: K,
    holds: Holds,
    held: Vec<RecordBuffer>,
    bytes: usize,
}

impl<K: Sink> HeldSink<K> {
    pub(crate) fn new(inner: K, holds: Holds) -> Self {
        Self {
            inner,
            holds,
            held: Vec::new(),
            bytes: 0,
        }
    }

    fn hold(&mut self, records: &RecordBuffer) {
        self.bytes += records.bytes();
        self.held.push(records.clone());
    }

    /// Sends what was held, in the order of `stage`, each after those before it are acknowledged.
    fn deliver_by(
        &mut self,
        held: Vec<RecordBuffer>,
        stage: impl Fn(&Destination) -> usize,
    ) -> Result<(), SinkError> {
        let mut held: Vec<(usize, RecordBuffer)> = held
            .into_iter()
            .map(|records| (stage(records.destination()), records))
            .collect();
        // Those of one stage stay in their order.
        held.sort_by_key(|(stage, _)| *stage);
        for same in held.chunk_by(|one, other| one.0 == other.0) {
            same.iter()
                .try_for_each(|(_, records)| self.inner.send(records))?;
            self.inner.flush()?;
        }
        Ok(())
    }
}

fn topic_of(destination: &Destination) -> &str {
    match destination {
        Destination::ByKey(topic) | Destination::Partition { topic, .. } => topic,
    }
}

impl<K: Sink> Sink for HeldSink<K> {
    fn send(&mut self, records: &RecordBuffer) -> Result<(), SinkError> {
        let is_held = match &self.holds {
            Holds::Nothing => false,
            Holds::States(order) => order.rank(topic_of(records.destination())).is_some(),
            Holds::All => true,
        };
        if is_held {
            self.hold(records);
            return Ok(());
        }
        self.inner.send(records)
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
        let held = std::mem::take(&mut self.held);
        self.bytes = 0;
        match &self.holds {
            Holds::Nothing => self.inner.flush(),
            Holds::States(order) => {
                let order = order.clone();
                self.inner.flush()?;
                self.deliver_by(held, |to| order.rank(topic_of(to)).unwrap_or(0))
            }
            Holds::All => {
                self.deliver_by(held, |to| usize::from(matches!(to, Destination::ByKey(_))))?;
                self.inner.flush()
            }
        }
    }

    fn forget(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    fn held_bytes(&self) -> usize {
        self.bytes
    }
}
