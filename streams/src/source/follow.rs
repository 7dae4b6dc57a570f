//! The seam to changelogs that are followed without end, and to the group: what standby copies are made of.
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::kafka::{ends_reading, read_error};
use super::looks::{Look, Looker, Looks};
use super::restore::{Change, place_of};
use super::{SourceError, StartAt, TopicPartition, offset_of};
use millstream_client::{BatchConsumer, GroupMembers, group_members};

/// How long the group's coordinator may take to say who is in it: nothing is followed meanwhile.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(2);

/// What is met in a log that is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Followed<'a> {
    /// A record.
    Change(&'a str, i32, Change<'a>),
    /// Its end: all that counts before this offset was handed out.
    End(&'a str, i32, i64),
}

/// Reads changelogs as they grow.
pub(crate) trait Follow {
    /// Who is in the job's group.
    fn members(&mut self) -> Result<GroupMembers, SourceError>;

    /// Has somebody look at the log of `at`; `first`: at its first record too. There is one answer to each question.
    fn ask(&mut self, at: &TopicPartition, first: bool);

    /// The next answer, if there is one.
    fn answer(&mut self) -> Option<(TopicPartition, Look)>;

    /// Reads these from now on, and no others.
    fn read(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError>;

    /// Hands at most `max` records and ends to `each`; waits up to `timeout` for the first.
    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Followed<'_>),
    ) -> Result<(), SourceError>;
}

/// Changelogs on a Kafka cluster.
pub(crate) struct KafkaFollow {
    consumer: BatchConsumer<DefaultConsumerContext>,
    group: String,
    looks: Looks,
}

impl KafkaFollow {
    /// `config` is that of a client that restores.
    pub(crate) fn new(config: &ClientConfig, group: &str, looker: &Looker) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        // A log that does not go on where a copy ends was made anew: the copy is of no use.
        config.set("auto.offset.reset", "error");
        Ok(Self {
            consumer: config.create().and_then(BatchConsumer::new)?,
            group: group.to_owned(),
            looks: looker.looks(),
        })
    }
}

impl Follow for KafkaFollow {
    fn members(&mut self) -> Result<GroupMembers, SourceError> {
        let members = group_members(self.consumer.client().client(), &self.group, MEMBERS_TIMEOUT);
        members.map_err(|error| read_error(&error))
    }

    fn ask(&mut self, at: &TopicPartition, first: bool) {
        self.looks.ask(at, first);
    }

    fn answer(&mut self) -> Option<(TopicPartition, Look)> {
        self.looks.answer(Duration::ZERO)
    }

    fn read(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for (at, start) in starts {
            list.add_partition_offset(&at.topic, at.partition, offset_of(*start))
                .map_err(|error| read_error(&error))?;
        }
        let assigned = match starts.is_empty() {
            true => self.consumer.unassign(),
            false => self.consumer.assign(&list),
        };
        assigned.map_err(|error| read_error(&error))
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        each: &mut dyn FnMut(Followed<'_>),
    ) -> Result<(), SourceError> {
        let mut wait = timeout;
        for _ in 0..max {
            let failed = match self.consumer.next(wait) {
                Some(Ok(record)) => {
                    let change = Change {
                        at: place_of(&record),
                        key: record.key(),
                        value: record.value(),
                    };
                    each(Followed::Change(record.topic(), record.partition(), change));
                    None
                }
                Some(Err(error)) => Some(error),
                None => break,
            };
            wait = Duration::ZERO;
            match failed {
                None => {}
                Some(KafkaError::PartitionEOF(_)) => {
                    if let Some((topic, partition, offset)) = self.consumer.end() {
                        each(Followed::End(topic, partition, offset));
                    }
                }
                Some(error) if ends_reading(&error) || is_out_of_range(&error) => {
                    return Err(self.failure(&error));
                }
                Some(error) => {
                    let (topic, partition) = self.consumer.failed().unzip();
                    tracing::warn!(%error, topic, partition, "following a changelog");
                }
            }
        }
        Ok(())
    }
}

impl KafkaFollow {
    /// What befell the client just now, with the changelog that it befell.
    fn failure(&self, error: &KafkaError) -> SourceError {
        let mut failure = read_error(error);
        if let (SourceError::Read { cause, .. }, Some((topic, partition))) =
            (&mut failure, self.consumer.failed())
        {
            *cause = format!("{topic}, partition {partition}: {cause}");
        }
        failure
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    matches!(
        error.rdkafka_error_code(),
        Some(AutoOffsetReset | OffsetOutOfRange)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_failure_names_the_changelog() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("app-counts-changelog", 2, 1).unwrap();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("group.id", "app");
        let looker = Looker::start(config.clone()).unwrap();
        let mut follow = KafkaFollow::new(&config, "app", &looker).unwrap();
        let at = TopicPartition {
            topic: "app-counts-changelog".into(),
            partition: 1,
        };
        // The log ends before that.
        follow.read(&[(at, StartAt::Offset(1_000))]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = loop {
            match follow.poll(Duration::from_millis(50), 10, &mut |_| ()) {
                Ok(()) => assert!(Instant::now() < deadline, "nothing is said of it"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("app-counts-changelog, partition 1: "), "{error}");
    }
}
