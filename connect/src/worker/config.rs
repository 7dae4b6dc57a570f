//! The worker's own configuration.
use std::path::PathBuf;
use std::time::Duration;

use crate::config::overrides::OverridePolicy;
use crate::config::providers::ConfigProviders;
use crate::config::secrets::Secrets;
use crate::config::worker::{WorkerMode, worker_def};
use crate::config::{Config, ConfigErrors, ConfigMap};
use crate::rest::RestConfig;
use crate::worker::stall::{StallAction, StallPolicy};

/// What a worker is told: the parsed keys of `connect-standalone.properties` or `connect-distributed.properties`.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Everything as it was given: `producer.*`, `consumer.*`, `admin.*`, `key.converter.*` and the like are read from here.
    pub given: ConfigMap,
    /// What stands in it for references; nothing that is shown holds it.
    pub secrets: Secrets,
    /// Where source offsets are kept: `offset.storage.file.filename` (standalone) or `offset.storage.topic` (distributed).
    pub offset_storage: OffsetStorage,
    /// `offset.flush.interval.ms`.
    pub offset_flush_interval: Duration,
    /// `offset.flush.timeout.ms`.
    pub offset_flush_timeout: Duration,
    /// `task.shutdown.graceful.timeout.ms`.
    pub task_shutdown_timeout: Duration,
    /// `task.stall.timeout.ms` and `task.stall.action`, for connectors that do not say it themselves.
    pub task_stall: StallPolicy,
    /// `exactly.once.source.support=enabled`.
    pub exactly_once_source: bool,
    /// `group.id`, of distributed workers.
    pub group_id: Option<String>,
    /// `topic.creation.enable`.
    pub topic_creation: bool,
    /// `topic.tracking.enable`.
    pub topic_tracking: bool,
    /// `topic.tracking.allow.reset`.
    pub topic_tracking_reset: bool,
    /// `connector.client.config.override.policy`.
    pub client_overrides: OverridePolicy,
    /// The topics of a distributed worker, and how it makes them.
    pub storage_topics: Option<StorageTopics>,
    /// `scheduled.rebalance.max.delay.ms`, of distributed workers.
    pub scheduled_rebalance_delay: Duration,
    /// Where and how the REST API is served.
    pub rest: RestConfig,
}

/// Where source offsets are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetStorage {
    /// A file of this worker.
    File(PathBuf),
    /// A compacted topic.
    Topic(String),
}

/// The topics that a group of workers keeps everything in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageTopics {
    /// `config.storage.topic`, which has one partition.
    pub config: StorageTopic,
    /// `offset.storage.topic`.
    pub offset: StorageTopic,
    /// `status.storage.topic`.
    pub status: StorageTopic,
}

/// A topic, and how it is made if it does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageTopic {
    /// Its name.
    pub name: String,
    /// `….storage.partitions`; -1 is the broker's default.
    pub partitions: i32,
    /// `….storage.replication.factor`; -1 is the broker's default.
    pub replication_factor: i32,
}

impl WorkerConfig {
    /// The configuration that a properties file says, with what its references stand for.
    ///
    /// ```
    /// use millstream_connect::config::{properties, providers::ConfigProviders, worker::WorkerMode};
    /// use millstream_connect::worker::WorkerConfig;
    ///
    /// let given = properties::parse(
    ///     "bootstrap.servers=localhost:9092\n\
    ///      key.converter=org.apache.kafka.connect.json.JsonConverter\n\
    ///      value.converter=org.apache.kafka.connect.json.JsonConverter\n\
    ///      config.providers=env\n\
    ///      config.providers.env.class=EnvVarConfigProvider\n\
    ///      offset.storage.file.filename=/tmp/offsets.${env:CARGO_PKG_NAME}\n",
    /// )?;
    /// let providers = ConfigProviders::of_worker(&given)?;
    /// let config = WorkerConfig::resolved(WorkerMode::Standalone, &given, &providers)?;
    /// assert_eq!(config.given["offset.storage.file.filename"], "/tmp/offsets.millstream-connect");
    /// assert_eq!(config.secrets.hidden("no millstream-connect"), "no [hidden]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn resolved(
        mode: WorkerMode,
        given: &ConfigMap,
        providers: &ConfigProviders,
    ) -> Result<Self, ConfigErrors> {
        let secrets = providers.secrets(given);
        let parsed = Self::parse(mode, providers.resolve(given)?);
        let hidden = |errors: ConfigErrors| {
            let errors = errors.0.into_iter();
            ConfigErrors(errors.map(|(key, why)| (key, secrets.hidden(&why))).collect())
        };
        let parsed = parsed.map_err(hidden)?;
        Ok(Self { secrets, ..parsed })
    }

    /// The configuration that a properties file says; references to secrets are resolved before.
    ///
    /// ```
    /// use millstream_connect::config::{properties, worker::WorkerMode};
    /// use millstream_connect::worker::WorkerConfig;
    ///
    /// let given = properties::parse(
    ///     "bootstrap.servers=localhost:9092\n\
    ///      key.converter=org.apache.kafka.connect.json.JsonConverter\n\
    ///      value.converter=org.apache.kafka.connect.json.JsonConverter\n\
    ///      offset.storage.file.filename=/tmp/connect.offsets\n",
    /// )?;
    /// let config = WorkerConfig::parse(WorkerMode::Standalone, given)?;
    /// assert_eq!(config.offset_flush_interval.as_secs(), 60);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(mode: WorkerMode, given: ConfigMap) -> Result<Self, ConfigErrors> {
        let parsed = worker_def(mode).parse(&given);
        let rest = RestConfig::parse(&given);
        let (parsed, rest) = match (parsed, rest) {
            (Ok(parsed), Ok(rest)) => (parsed, rest),
            (parsed, rest) => {
                let mut all = parsed.err().map_or_else(Vec::new, |errors| errors.0);
                let more = rest.err().map_or_else(Vec::new, |errors| errors.0);
                let new = more
                    .into_iter()
                    .filter(|(key, _)| !all.iter().any(|(its, _)| its == key));
                let new: Vec<_> = new.collect();
                all.extend(new);
                return Err(ConfigErrors(all));
            }
        };
        let millis = |key| Duration::from_millis(u64::try_from(parsed.long(key)).unwrap_or_default());
        let distributed = mode == WorkerMode::Distributed;
        Ok(Self {
            bootstrap_servers: parsed.list("bootstrap.servers").join(","),
            offset_storage: if distributed {
                OffsetStorage::Topic(parsed.string("offset.storage.topic").to_owned())
            } else {
                OffsetStorage::File(parsed.string("offset.storage.file.filename").into())
            },
            offset_flush_interval: millis("offset.flush.interval.ms"),
            offset_flush_timeout: millis("offset.flush.timeout.ms"),
            task_shutdown_timeout: millis("task.shutdown.graceful.timeout.ms"),
            task_stall: StallPolicy {
                after: None,
                action: StallAction::Report,
            }
            .but(&parsed),
            exactly_once_source: parsed
                .string("exactly.once.source.support")
                .eq_ignore_ascii_case("enabled"),
            group_id: distributed.then(|| parsed.string("group.id").to_owned()),
            topic_creation: parsed.boolean("topic.creation.enable"),
            topic_tracking: parsed.boolean("topic.tracking.enable"),
            topic_tracking_reset: parsed.boolean("topic.tracking.allow.reset"),
            client_overrides: OverridePolicy::of_worker(&given).unwrap_or(OverridePolicy::All),
            storage_topics: distributed.then(|| StorageTopics::of(&parsed)),
            scheduled_rebalance_delay: if distributed {
                millis("scheduled.rebalance.max.delay.ms")
            } else {
                Duration::ZERO
            },
            rest,
            given,
            secrets: Secrets::default(),
        })
    }
}

impl StorageTopics {
    fn of(parsed: &Config) -> Self {
        let topic = |which: &str, partitions: Option<i32>| StorageTopic {
            name: parsed.string(&format!("{which}.storage.topic")).to_owned(),
            partitions: partitions.unwrap_or_else(|| parsed.int(&format!("{which}.storage.partitions"))),
            replication_factor: parsed.int(&format!("{which}.storage.replication.factor")),
        };
        Self {
            config: topic("config", Some(1)),
            offset: topic("offset", None),
            status: topic("status", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::worker::warnings;

    fn standalone(more: &[(&str, &str)]) -> ConfigMap {
        let base = [
            ("bootstrap.servers", "a:1, b:2"),
            ("key.converter", "StringConverter"),
            ("value.converter", "StringConverter"),
            ("offset.storage.file.filename", "/tmp/offsets"),
        ];
        let all = base.iter().chain(more);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_not_given_is_as_in_kafka() {
        let config = WorkerConfig::parse(WorkerMode::Standalone, standalone(&[])).unwrap();
        assert_eq!(config.bootstrap_servers, "a:1,b:2");
        assert_eq!(config.offset_flush_interval, Duration::from_secs(60));
        assert_eq!(config.task_shutdown_timeout, Duration::from_secs(5));
        assert_eq!(config.task_stall.after, Some(Duration::from_secs(300)));
        assert_eq!(config.task_stall.action, StallAction::Report);
        assert_eq!(config.client_overrides, OverridePolicy::All);
        assert!(config.topic_creation && !config.exactly_once_source);
        assert_eq!(config.rest.listeners, ["0.0.0.0:8083"]);
        assert_eq!(config.storage_topics, None);
    }

    #[test]
    fn distributed_workers_have_topics() {
        let mut given = standalone(&[
            ("group.id", "g"),
            ("offset.storage.topic", "o"),
            ("config.storage.topic", "c"),
            ("status.storage.topic", "s"),
            ("status.storage.replication.factor", "1"),
            ("exactly.once.source.support", "ENABLED"),
        ]);
        let config = WorkerConfig::parse(WorkerMode::Distributed, given.clone()).unwrap();
        let topics = config.storage_topics.unwrap();
        assert_eq!((topics.config.partitions, topics.offset.partitions), (1, 25));
        assert_eq!(topics.status.replication_factor, 1);
        assert!(config.exactly_once_source);
        assert_eq!(config.scheduled_rebalance_delay, Duration::from_secs(300));
        given.remove("group.id");
        given.insert("offset.storage.partitions".to_owned(), "0".to_owned());
        let error = WorkerConfig::parse(WorkerMode::Distributed, given).unwrap_err();
        let keys: Vec<_> = error.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["group.id", "offset.storage.partitions"]);
    }

    #[test]
    fn all_errors_come_at_once_and_slips_are_named() {
        let mut given = standalone(&[
            ("offset.flush.intervall.ms", "5"),
            ("listeners", "ftp://x"),
            ("topic.creation.enable", "maybe"),
            ("group.id", "g"),
            ("producer.linger.ms", "5"),
        ]);
        given.remove("bootstrap.servers");
        let error = WorkerConfig::parse(WorkerMode::Standalone, given.clone()).unwrap_err();
        let keys: Vec<_> = error.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["bootstrap.servers", "topic.creation.enable", "listeners"]);
        assert_eq!(
            warnings(WorkerMode::Standalone, &given),
            [
                "group.id is not for this kind of worker, and has no effect",
                "offset.flush.intervall.ms is unknown and has no effect; did you mean offset.flush.interval.ms?"
            ]
        );
    }

    #[test]
    fn what_a_reference_stands_for_is_in_no_error() {
        let mut given = standalone(&[
            ("config.providers", "env"),
            ("config.providers.env.class", "EnvVarConfigProvider"),
            ("offset.flush.interval.ms", "${env:CARGO_PKG_NAME}"),
        ]);
        let providers = ConfigProviders::of_worker(&given).unwrap();
        let wrong = WorkerConfig::resolved(WorkerMode::Standalone, &given, &providers);
        let errors = wrong.unwrap_err().to_string();
        assert!(
            errors.contains("offset.flush.interval.ms") && !errors.contains("millstream-connect"),
            "{errors}"
        );
        given.insert("offset.flush.interval.ms".to_owned(), "1000".to_owned());
        given.insert(
            "producer.client.id".to_owned(),
            "${env:CARGO_PKG_NAME}".to_owned(),
        );
        let config = WorkerConfig::resolved(WorkerMode::Standalone, &given, &providers).unwrap();
        assert_eq!(config.given["producer.client.id"], "millstream-connect");
        assert_eq!(config.secrets.hidden("as millstream-connect"), "as [hidden]");
    }
}
