//! A consumer whose records come in batches.
//!
//! librdkafka's event interface, which the binding's `poll` uses, takes two looks at the clock, locks and an allocation a record: a
//! quarter of what counting words costs. Its batch interface does without, but on the queue of a group's member it answers
//! rebalances by itself. So each partition is read from a queue of its own, while events, those of the group among
//! them, go on being polled by the binding.
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::{Batch, Bell, Queue, Record};

/// A consumer whose partitions are read in batches.
pub struct BatchConsumer<C: ConsumerContext> {
    batch: Batch,
    /// One for each partition that is assigned. They are taken anew at each assignment: a client that has not seen a topic for a while
    /// forgets its partitions, with their queues.
    queues: Vec<PartitionQueue>,
    /// Whose turn among them it is: the batch is its.
    turn: usize,
    /// Rebalances, statistics, errors.
    events: Queue,
    bell: Arc<Bell>,
    /// Dropped after its queues.
    consumer: BaseConsumer<C>,
}

struct PartitionQueue {
    topic: String,
    queue: Queue,
}

impl<C: ConsumerContext> BatchConsumer<C> {
    /// Reads what `consumer` is assigned from now on.
    pub fn new(consumer: BaseConsumer<C>) -> KafkaResult<Self> {
        let bell = Arc::<Bell>::default();
        let mut events = Queue::events(consumer.client())?;
        events.ring(&bell);
        Ok(Self {
            batch: Batch::new(),
            queues: Vec::new(),
            turn: 0,
            events,
            bell,
            consumer,
        })
    }

    /// The client, for all but records and assignments.
    pub fn client(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Reads these partitions from now on. What was read and not handed out is forgotten.
    pub fn assign(&mut self, list: &TopicPartitionList) -> KafkaResult<()> {
        self.forget();
        for element in list.elements() {
            let (topic, client) = (element.topic().to_owned(), self.consumer.client());
            let mut queue = Queue::of_partition(client, &topic, element.partition())?;
            queue.ring(&self.bell);
            self.queues.push(PartitionQueue { topic, queue });
        }
        self.consumer.assign(list)
    }

    /// Reads nothing from now on.
    pub fn unassign(&mut self) -> KafkaResult<()> {
        self.forget();
        self.consumer.unassign()
    }

    /// Hands out nothing until the next assignment, but for events.
    pub fn forget(&mut self) {
        self.batch.clear();
        self.queues.clear();
    }

    /// The next record or error; none if there is none within `wait`, or an event came instead.
    #[inline]
    pub fn next(&mut self, wait: Duration) -> Option<KafkaResult<Record<'_>>> {
        if !self.batch.has_more()
            && let Err(error) = self.fill(wait)
        {
            self.batch.failed = None;
            return Some(Err(error));
        }
        let queue = self.queues.get(self.turn)?;
        self.batch.next(&queue.topic)
    }

    /// The partition whose end [`next`](Self::next) has just told of (topic, number), and the offset of what comes there next.
    pub fn end(&self) -> Option<(&str, i32, i64)> {
        let (partition, offset) = self.batch.end?;
        Some((&self.queues.get(self.turn)?.topic, partition, offset))
    }

    /// The partition (topic, number) of which [`next`](Self::next) has just given an error; none if it was the client's.
    pub fn failed(&self) -> Option<(&str, i32)> {
        let partition = self.batch.failed?;
        Some((&self.queues.get(self.turn)?.topic, partition))
    }

    /// Serves an event, if there is one; else takes records of the queue whose turn it is, if one has any.
    fn fill(&mut self, wait: Duration) -> KafkaResult<()> {
        let mut waited = wait.is_zero();
        loop {
            self.bell.silence();
            let has_event = self.events.length() > 0;
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Err(error)) => return Err(error),
                // All partitions have queues of their own.
                Some(Ok(_)) => return Err(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::State)),
            }
            if has_event {
                // It may have been a rebalance, behind which nothing is to be handed out before it is confirmed.
                return Ok(());
            }
            for _ in 0..self.queues.len() {
                self.turn = (self.turn + 1) % self.queues.len();
                if self.batch.take(&self.queues[self.turn].queue) {
                    return Ok(());
                }
            }
            if std::mem::replace(&mut waited, true) {
                return Ok(());
            }
            self.bell.wait(wait);
        }
    }
}
