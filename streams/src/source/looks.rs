//! Looks at the logs of changelogs that are to be checkpointed: where one ends, and which record is its first.
//!
//! A look takes requests, and the first one of a log a fetch: up to a second in all, while no stream thread may stand still. So
//! workers ask, go on, and find the answer when a later epoch is committed. An end that was seen before that is a lower
//! bound of what the state holds then, which is all that a checkpoint needs.
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::TopicPartition;
use super::restore::first_record;
use crate::store::FirstRecord;
use millstream_client::BatchConsumer;

/// How long one request may take. What it finds is of use, but not needed.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait for a first record at a time.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// What was seen of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Where it ended for readers of what counts; none if the cluster did not say.
    pub(crate) end: Option<i64>,
    /// Its first record, if that was asked for, and there is one.
    pub(crate) first: Option<FirstRecord>,
}

/// A question, and where its answer goes.
struct Question {
    at: TopicPartition,
    first: bool,
    answer: Sender<(TopicPartition, Look)>,
}

/// Starts holds on the thread that looks.
#[derive(Clone)]
pub(crate) struct Looker(Sender<Question>);

/// A worker's hold on the thread. Questions are few: the worker has one under way for each store it holds.
pub(super) struct Looks {
    looker: Looker,
    answer: Sender<(TopicPartition, Look)>,
    answers: Receiver<(TopicPartition, Look)>,
}

impl Looker {
    /// The name of its thread.
    pub(crate) const THREAD: &'static str = "stream-looks";

    /// Starts the thread, whose client reads as those do that restore; it ends when all holds on it are gone.
    pub(crate) fn start(config: ClientConfig) -> std::io::Result<Self> {
        let (ask, questions) = channel::<Question>();
        let look = move || {
            // Most jobs are short, or have no state: the client is made for the first question.
            let mut client = None;
            for Question { at, first, answer } in questions {
                let seen = look(&config, &mut client, &at, first).unwrap_or_else(|error| {
                    tracing::warn!(%error, topic = &*at.topic, partition = at.partition, "looking at a changelog");
                    Look::default()
                });
                // Nobody waits for it any more: the worker has ended.
                drop(answer.send((at, seen)));
            }
        };
        let name = Self::THREAD.to_owned();
        std::thread::Builder::new().name(name).spawn(look)?;
        Ok(Self(ask))
    }

    pub(super) fn looks(&self) -> Looks {
        let (answer, answers) = channel();
        Looks {
            looker: self.clone(),
            answer,
            answers,
        }
    }
}

impl Looks {
    pub(super) fn ask(&self, at: &TopicPartition, first: bool) {
        let question = Question {
            at: at.clone(),
            first,
            answer: self.answer.clone(),
        };
        if self.looker.0.send(question).is_err() {
            tracing::warn!("nobody looks at changelogs: checkpoints keep their offsets");
            drop(self.answer.send((at.clone(), Look::default())));
        }
    }

    pub(super) fn answer(&self, timeout: Duration) -> Option<(TopicPartition, Look)> {
        match timeout.is_zero() {
            true => self.answers.try_recv().ok(),
            false => self.answers.recv_timeout(timeout).ok(),
        }
    }
}

fn look(
    config: &ClientConfig,
    client: &mut Option<BatchConsumer<DefaultConsumerContext>>,
    at: &TopicPartition,
    first: bool,
) -> KafkaResult<Look> {
    let client = match client {
        Some(client) => client,
        None => client.insert(BatchConsumer::new(config.create()?)?),
    };
    let (_, end) = client
        .client()
        .fetch_watermarks(&at.topic, at.partition, LOOK_TIMEOUT)?;
    let first = match first && end > 0 {
        true => look_for_first(client, at)?,
        false => None,
    };
    Ok(Look {
        end: Some(end),
        first,
    })
}

fn look_for_first(
    client: &mut BatchConsumer<DefaultConsumerContext>,
    at: &TopicPartition,
) -> KafkaResult<Option<FirstRecord>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&at.topic, at.partition, Offset::Beginning)?;
    client.assign(&list)?;
    let until = Instant::now() + LOOK_TIMEOUT;
    let mut found = Ok(None);
    while matches!(found, Ok(None)) && Instant::now() < until {
        found = first_record(client, FIRST_WAIT);
    }
    client.unassign()?;
    // That nothing came in time does not say that nothing is there.
    found?.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Copies of a log were emptied because its first record came late.
    #[test]
    fn that_nothing_came_in_time_does_not_say_that_nothing_is_there() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("log", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        let record = BaseRecord::to("log").partition(0).key("key").payload("value");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
        config
            .set("group.id", "looks")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let looks = Looker::start(config).unwrap().looks();
        let at = TopicPartition {
            topic: "log".into(),
            partition: 0,
        };
        let look = || {
            looks.ask(&at, true);
            looks.answer(PATIENCE).unwrap().1
        };
        let none = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 200];
        cluster.request_errors(RDKafkaApiKey::Fetch, &none);
        assert_eq!(look(), Look::default());
        cluster.clear_request_errors(RDKafkaApiKey::Fetch);
        let until = Instant::now() + PATIENCE;
        let mut seen = look();
        while seen.end.is_none() {
            assert!(Instant::now() < until, "nothing is seen of the log");
            seen = look();
        }
        assert_eq!(seen.end, Some(1));
        assert_eq!(seen.first.map(|first| first.offset), Some(0));
    }
}
