//! How much is fetched ahead of a sink.
//!
//! Each partition has a queue of its own in the client, whose size cannot be changed any more once there is a client: what a task may hold is
//! shared among all partitions that it may get. Where they become far more than those it was shared among, the client is made anew.
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use super::Subscription;

/// How long to wait for the number of a sink's partitions, and how many there are if it is not known.
const PARTITIONS_WAIT: Duration = Duration::from_secs(10);
const PARTITIONS_GUESSED: usize = 16;
/// The client's options, with what all partitions may hold together, and what each may in any case. What is fetched ahead is to stay in the
/// processor's caches until it is read: 50,000 records cost a third more each.
const QUEUES: [(&str, usize, usize); 2] = [
    ("queued.max.messages.kbytes", 8_192, 256),
    ("queued.min.messages", 5_000, 100),
];
/// So many times as many partitions as were reckoned with are too many.
const OUTGROWN: usize = 2;

/// Among how many partitions a client's queues are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) struct QueueShare {
    partitions: usize,
    /// Not where the configuration says how long queues are.
    shared: bool,
}

fn share(all: usize, least: usize, partitions: usize) -> usize {
    (all / partitions.max(1)).max(least)
}

impl QueueShare {
    /// Shares a consumer's queues among the partitions that `subscription` means now, or among more of them if that is known.
    pub(in crate::worker) fn set(
        consumer: &mut ClientConfig,
        subscription: &Subscription,
        at_least: usize,
    ) -> Self {
        let partitions = match partitions(consumer, subscription) {
            Ok(partitions) => partitions.max(at_least).max(1),
            Err(_) if at_least > 0 => at_least,
            Err(_) => PARTITIONS_GUESSED,
        };
        let mut shared = false;
        for (key, all, least) in QUEUES {
            if consumer.get(key).is_none() {
                consumer.set(key, share(all, least, partitions).to_string());
                shared = true;
            }
        }
        Self { partitions, shared }
    }

    /// Whether so many partitions together would hold far more than they may.
    pub(super) fn is_outgrown_by(&self, partitions: usize) -> bool {
        let less = |(_, all, least): (&str, usize, usize)| {
            share(all, least, partitions) < share(all, least, self.partitions)
        };
        self.shared && partitions > self.partitions * OUTGROWN && QUEUES.into_iter().any(less)
    }
}

/// How many partitions the topics have.
fn partitions(consumer: &ClientConfig, subscription: &Subscription) -> KafkaResult<usize> {
    let asking: BaseConsumer = consumer.create()?;
    let metadata = asking.fetch_metadata(None, PARTITIONS_WAIT)?;
    let topics = metadata.topics().iter();
    let meant = topics.filter(|topic| subscription.means(topic.name()));
    Ok(meant.map(|topic| topic.partitions().len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_outgrown_where_another_would_hold_less() {
        let of = |partitions| QueueShare {
            partitions,
            shared: true,
        };
        assert!(of(1).is_outgrown_by(3));
        assert!(!of(1).is_outgrown_by(2));
        assert!(of(20).is_outgrown_by(41));
        // Each has what it has in any case.
        assert!(!of(60).is_outgrown_by(1_000));
        let given = QueueShare {
            partitions: 1,
            shared: false,
        };
        assert!(!given.is_outgrown_by(1_000));
    }
}
