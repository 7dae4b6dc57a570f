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

use crate::native::{Batch, Bell, Queue, Record};

/// A consumer whose partitions are read in batches.
pub(super) struct BatchConsumer<C: ConsumerContext> {
    batch: Batch,
    /// The number of the queue that the batch is of.
    of: usize,
    /// One for each partition that was ever assigned.
    queues: Vec<PartitionQueue>,
    /// Those that are assigned now.
    assigned: Vec<usize>,
    /// Whose turn among them it is.
    turn: usize,
    /// Rebalances, statistics, errors.
    events: Queue,
    bell: Arc<Bell>,
    /// Dropped after its queues.
    consumer: BaseConsumer<C>,
}

struct PartitionQueue {
    topic: Arc<str>,
    partition: i32,
    queue: Queue,
}

impl<C: ConsumerContext> BatchConsumer<C> {
    pub(super) fn new(consumer: BaseConsumer<C>) -> KafkaResult<Self> {
        let bell = Arc::<Bell>::default();
        let mut events = Queue::events(consumer.client())?;
        events.ring(&bell);
        Ok(Self {
            batch: Batch::new(),
            of: 0,
            queues: Vec::new(),
            assigned: Vec::new(),
            turn: 0,
            events,
            bell,
            consumer,
        })
    }

    /// The client, for all but records and assignments.
    pub(super) fn client(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Reads these partitions from now on. What was read and not handed out is forgotten.
    pub(super) fn assign(&mut self, list: &TopicPartitionList) -> KafkaResult<()> {
        self.batch.clear();
        self.assigned.clear();
        for element in list.elements() {
            let queue = self.queue(element.topic(), element.partition())?;
            self.assigned.push(queue);
        }
        self.consumer.assign(list)
    }

    /// Reads nothing from now on.
    pub(super) fn unassign(&mut self) -> KafkaResult<()> {
        self.batch.clear();
        self.assigned.clear();
        self.consumer.unassign()
    }

    /// The number of the partition's queue.
    fn queue(&mut self, topic: &str, partition: i32) -> KafkaResult<usize> {
        let known = |queue: &PartitionQueue| *queue.topic == *topic && queue.partition == partition;
        if let Some(number) = self.queues.iter().position(known) {
            return Ok(number);
        }
        let mut queue = Queue::of_partition(self.consumer.client(), topic, partition)?;
        queue.ring(&self.bell);
        self.queues.push(PartitionQueue {
            topic: topic.into(),
            partition,
            queue,
        });
        Ok(self.queues.len() - 1)
    }

    /// The next record or error; none if there is none within `wait`, or an event came instead.
    #[inline]
    pub(super) fn next(&mut self, wait: Duration) -> Option<KafkaResult<Record<'_>>> {
        if !self.batch.has_more()
            && let Err(error) = self.fill(wait)
        {
            return Some(Err(error));
        }
        let queue = self.queues.get(self.of)?;
        self.batch.next(&queue.topic)
    }

    /// Takes records of the queue whose turn it is, if one has any.
    fn fill(&mut self, wait: Duration) -> KafkaResult<()> {
        let mut waited = wait.is_zero();
        loop {
            self.bell.silence();
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Err(error)) => return Err(error),
                // All partitions have queues of their own.
                Some(Ok(_)) => return Err(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::State)),
            }
            for _ in 0..self.assigned.len() {
                self.turn = (self.turn + 1) % self.assigned.len();
                self.of = self.assigned[self.turn];
                if self.batch.take(&self.queues[self.of].queue) {
                    return Ok(());
                }
            }
            // A poll takes one event, and the bell rings for the first one only.
            if std::mem::replace(&mut waited, true) || self.events.length() > 0 {
                return Ok(());
            }
            self.bell.wait(wait);
        }
    }
}
