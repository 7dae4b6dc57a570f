//! The stream job: lines → words → counts.

use std::time::Duration;

use millstream_streams::prelude::*;
use millstream_streams::{StreamsConfig, StreamsHandle};
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::load::Loaded;
use super::progress::Progress;
use super::topics::Admin;
use super::{Names, WordCountArgs};
use crate::error::CliError;
use crate::stop::StopSignal;

/// Time between two commits. A word that occurs in every commit is written once a commit, so rare commits are cheap, and
/// nobody reads the counts before the end.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long one look at the job's progress lasts.
const LOOK: Duration = Duration::from_millis(100);
/// How long the job may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// The running job.
#[derive(Debug)]
pub struct Job {
    handle: StreamsHandle,
}

impl Job {
    /// Starts counting whatever arrives in the lines topic.
    pub fn start(args: &WordCountArgs, names: &Names, bootstrap: &str) -> Result<Self, CliError> {
        let app = Streams::new(&names.application_id).commit_every(COMMIT_INTERVAL);
        app.stream(&names.lines, text("line"))
            .flat_map(split_words(col("line")).alias("word"))
            .select([lower(col("word")).alias("word")])
            .group_by([col("word")])
            .aggregate("counts", [count_all().alias("count")])
            .to(&names.counts, json());
        let mut config = StreamsConfig::new(bootstrap)
            .threads(usize::from(args.threads))
            // Nothing of the job is left when it ends.
            .state_dir("")
            .connect_timeout(args.connect.timeout());
        for (key, value) in args.connect.properties()? {
            config = config
                .set(&key, &value)
                .map_err(|error| CliError::new(error.to_string()))?;
        }
        let handle = app
            .start(config)
            .map_err(|error| CliError::new(error.to_string()))?;
        Ok(Self { handle })
    }

    /// The job's failure, as soon as it has one.
    pub fn check(&self) -> Result<(), CliError> {
        self.handle
            .check()
            .map_err(|error| CliError::new(error.to_string()))
    }

    /// Waits until every loaded line is counted and the counts are in their topic.
    pub fn finish(&self, loaded: &Loaded, progress: &Progress, stop: &StopSignal) -> Result<(), CliError> {
        progress.start_counting(loaded.records);
        loop {
            stop.check()?;
            if self
                .handle
                .drained_within(LOOK)
                .map_err(|error| CliError::new(error.to_string()))?
            {
                return Ok(());
            }
            progress.counted(self.handle.metrics().records_in, loaded.records);
        }
    }

    /// Stops the job.
    pub fn stop(self) -> Result<(), CliError> {
        self.handle
            .stop(STOP_TIMEOUT)
            .map_err(|error| CliError::new(error.to_string()))
    }
}

/// Creates the topics of the counts and of the lines. They must be new: old records would be counted, too.
pub fn create_topics(admin: &Admin, names: &Names, partitions: u16) -> Result<(), CliError> {
    let partitions = i32::from(partitions);
    let counts =
        NewTopic::new(&names.counts, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
    let lines = NewTopic::new(&names.lines, partitions, TopicReplication::Fixed(-1));
    create_topic(admin, &counts)?;
    create_topic(admin, &lines).inspect_err(|_| {
        // The error that is reported is the one that matters.
        let _ = admin.delete_topic(&names.counts);
    })
}

fn create_topic(admin: &Admin, topic: &NewTopic<'_>) -> Result<(), CliError> {
    let name = topic.name;
    match admin.create_topic(topic)? {
        Ok(()) => Ok(()),
        Err(RDKafkaErrorCode::TopicAlreadyExists) => Err(CliError::new(format!(
            "topic {name} exists already; choose another --application-id, or delete it with `millstream topics delete --topic {name}`"
        ))),
        Err(code) => Err(CliError::new(format!("cannot create topic {name}: {code}"))),
    }
}

/// Deletes what only this run needed: the lines, the job's own topics and, unless they are to stay, the counts.
pub fn delete_topics(admin: &Admin, names: &Names, keep_counts: bool) -> Result<(), CliError> {
    let mut topics = vec![
        names.lines.clone(),
        format!("{}-counts-repartition", names.application_id),
        format!("{}-counts-changelog", names.application_id),
    ];
    if !keep_counts {
        topics.push(names.counts.clone());
    }
    for topic in topics {
        match admin.delete_topic(&topic)? {
            Ok(()) | Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
            Err(code) => {
                return Err(CliError::new(format!(
                    "cannot delete topic {topic}, which is no longer needed: {code}"
                )));
            }
        }
    }
    Ok(())
}
