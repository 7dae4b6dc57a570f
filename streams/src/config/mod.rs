//! The configuration of a job at run time, in Kafka's keys.
mod clients;
mod state;

pub(crate) use clients::QueueShares;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use thiserror::Error;

use crate::plan::name_fault;
use crate::suggest::did_you_mean;
use clients::split_prefix;
use state::StateDir;

/// The keys of this library; all others go to librdkafka.
const OWN_KEYS: [&str; 16] = [
    "application.id",
    "bootstrap.servers",
    "client.id",
    "commit.interval.ms",
    "connect.timeout.ms",
    "errors.dead.letter.queue.topic.name",
    "metrics.listener",
    "num.standby.replicas",
    "num.stream.threads",
    "processing.guarantee",
    "queries.advertised",
    "queries.listener",
    "repartition.purge.interval.ms",
    "replication.factor",
    "state.dir",
    "statestore.cache.max.bytes",
];

/// Keys that the guarantee depends on; the library sets them itself.
const RESERVED_KEYS: [&str; 9] = [
    "acks",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.protocol",
    "partition.assignment.strategy",
    "transactional.id",
];

/// Client keys that come up in "did you mean".
const CLIENT_KEYS: [&str; 20] = [
    "auto.offset.reset",
    "batch.size",
    "compression.type",
    "delivery.timeout.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "isolation.level",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "queue.buffering.max.kbytes",
    "queued.max.messages.kbytes",
    "request.timeout.ms",
    "sasl.mechanism",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "statistics.interval.ms",
];

const COMMIT_INTERVAL_DEFAULT: Duration = Duration::from_millis(200);
const STREAM_THREADS_MAX: usize = 1024;
const STANDBYS_MAX: usize = 16;
/// An hour: beyond it an epoch would outlast max.poll.interval.ms many times over.
const MILLIS_MAX: u64 = 3_600_000;

/// What holds when a process or a broker dies (`processing.guarantee`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Guarantee {
    /// Every record has its effect; some have it twice (`at_least_once`). When a process dies, the records of its last epoch are read again, together
    /// with others that have come since: counts and sums count them again, rows come out again, and a table's deletions are told
    /// also of keys that have no row. What only the epoch that died has shown, and nobody would show again, may stay: a row in a group
    /// that it has left since, a session that is part of a longer one since, a rank beyond the first ones among ties. States are written
    /// when everything that followed from them is acknowledged; until then they wait in memory, and epochs end early if they exceed 64 MiB.
    #[default]
    AtLeastOnce,
    /// Every record has its effect once: outputs, state and offsets of an epoch are one transaction (`exactly_once_v2`). Readers
    /// of the outputs see it with `isolation.level=read_committed`.
    ExactlyOnce,
    /// Every record has its effect once, or not at all (`at_most_once`): the offsets of an epoch are committed before anything made of it
    /// is sent. What a process that dies in between had not sent is lost, within one epoch: rows on their way to a repartition topic,
    /// changes of state, outputs. No row counts twice, and no output tells of a row that the state has lost, because states are
    /// acknowledged first. An epoch's records wait in memory until it ends, early if they exceed 64 MiB: but all that follows from one batch of input, or from
    /// the end of an epoch itself, waits as a whole, however many rows a join makes of it. Kafka Streams has no such mode.
    AtMostOnce,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that its key does not take.
    #[error("{key} = {value:?} is not {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What the key takes.
        expected: String,
    },
    /// A necessary key that is missing.
    #[error("{key} is missing; {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to give.
        remedy: &'static str,
    },
}

/// How a job runs: where the cluster is, how many threads, how long an epoch lasts.
///
/// Keys are Kafka's. What is not a key of this library goes to librdkafka, to the consumer alone with the prefix
/// `consumer.`, to the producer alone with `producer.`, else to whichever knows it.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `bootstrap.servers` | — | `host:port`, comma-separated: where to find the cluster |
/// | `num.stream.threads` | 1 | worker threads; more than there are partitions idle |
/// | `commit.interval.ms` | 200 | from the end of an epoch to that of the next: shorter shows results sooner, longer merges more |
/// | `connect.timeout.ms` | 10000 | how long starting waits for the cluster |
/// | `errors.dead.letter.queue.topic.name` | — | where records and rows go that a step without a policy cannot work on, upon which the job goes on: see [`dead_letter`](crate::dead_letter); also taken as `errors.deadletterqueue.topic.name`, Kafka Connect's name |
/// | `metrics.listener` | — | `host:port` where `GET /metrics` gives the job's counters to Prometheus |
/// | `queries.listener` | — | `host:port` where this process answers questions to the job's stores over HTTP, and forwards those for others: `GET /stores/NAME?key=[…]`. It asks nobody who they are, so that it belongs to a network whose members may read the state. It makes a topic `<application.id>-instances-changelog`, in which instances find each other |
/// | `queries.advertised` | the listener's | `host:port` where other instances reach it |
/// | `repartition.purge.interval.ms` | 30000 | how often records of repartition topics that were read are deleted |
/// | `replication.factor` | -1 | copies of internal topics; -1: the brokers' default |
/// | `client.id` | application id | name in the brokers' logs and quotas |
/// | `processing.guarantee` | `at_least_once` | or `exactly_once_v2`, or `at_most_once`: see [`Guarantee`] |
/// | `state.dir` | `$XDG_STATE_HOME/millstream/streams` or `~/.local/state/millstream/streams` | local copies of states, so that a start reads only the rest of the changelogs; empty: none. A copy of it must not be used elsewhere: two processes would have the same name |
/// | `statestore.cache.max.bytes` | -1 | memory for the states of all steps, which share it; what is not in use is read from `state.dir` again. Worked on as a whole, and therefore in memory while it is: a group of an aggregate over a table, a window that rows come for, parts of a join's window that rows may meet, and the versions that an epoch asks for. Timers of `process` stay in memory, a time and the key each. Besides, each thread and the checkpoints take up to a quarter of it for what is on its way, and 4 MiB at least. -1: all states stay in memory |
/// | `num.standby.replicas` | 0 | processes that keep a warm copy of each task's state beside the one that works on it, so that one of them goes on at once when that one is known to be dead (`session.timeout.ms`, 45 s unless told). A process copies what the group would give it if others died, `num.standby.replicas` of them at a time; it follows the changelogs into its `state.dir`. All instances should say the same. Workers are static members then (`group.instance.id`), by which processes are told from each other |
/// | `application.id` | — | checked against the job's, for property files shared with Java |
///
/// ```
/// use millstream_streams::StreamsConfig;
/// let config = StreamsConfig::new("localhost:9092").threads(2).set("consumer.fetch.min.bytes", "1024")?;
/// # Ok::<(), millstream_streams::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StreamsConfig {
    bootstrap_servers: String,
    threads: usize,
    commit_interval: Option<Duration>,
    guarantee: Option<Guarantee>,
    connect_timeout: Duration,
    purge_interval: Duration,
    replication_factor: i32,
    client_id: Option<String>,
    application_id: Option<String>,
    state_dir: StateDir,
    cache_bytes_max: Option<usize>,
    standbys: usize,
    dead_letter_topic: Option<String>,
    metrics_listener: Option<String>,
    queries_listener: Option<String>,
    queries_advertised: Option<String>,
    client: BTreeMap<String, String>,
    warnings: Vec<String>,
}

impl StreamsConfig {
    /// The defaults, with the cluster at `bootstrap_servers` (`host:port`, comma-separated).
    ///
    /// ```
    /// let config = millstream_streams::StreamsConfig::new("localhost:9092");
    /// ```
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            threads: 1,
            commit_interval: None,
            guarantee: None,
            connect_timeout: Duration::from_secs(10),
            purge_interval: Duration::from_secs(30),
            replication_factor: -1,
            client_id: None,
            application_id: None,
            state_dir: StateDir::default(),
            cache_bytes_max: None,
            standbys: 0,
            dead_letter_topic: None,
            metrics_listener: None,
            queries_listener: None,
            queries_advertised: None,
            client: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// A configuration from properties.
    ///
    /// # Errors
    /// A bad value, or no `bootstrap.servers`.
    ///
    /// ```
    /// use millstream_streams::StreamsConfig;
    /// let properties = [("bootstrap.servers", "localhost:9092"), ("num.stream.thread", "2")];
    /// let config = StreamsConfig::from_properties(properties)?;
    /// assert_eq!(
    ///     config.warnings(),
    ///     ["unknown key \"num.stream.thread\" is ignored; did you mean \"num.stream.threads\"?"]
    /// );
    /// # Ok::<(), millstream_streams::ConfigError>(())
    /// ```
    pub fn from_properties<K, V>(properties: impl IntoIterator<Item = (K, V)>) -> Result<Self, ConfigError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut config = Self::new("");
        for (key, value) in properties {
            config = config.set(key.as_ref(), value.as_ref())?;
        }
        Ok(config)
    }

    /// Sets one property. Later calls win; an unknown key becomes a [warning](Self::warnings).
    ///
    /// # Errors
    /// A value that the key does not take.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, ConfigError> {
        let value = value.trim();
        match key {
            "bootstrap.servers" => self.bootstrap_servers = value.to_owned(),
            "num.stream.threads" => self.threads = number(key, value, 1, STREAM_THREADS_MAX)?,
            "commit.interval.ms" => self.commit_interval = Some(millis(key, value)?),
            "num.standby.replicas" => self.standbys = number(key, value, 0, STANDBYS_MAX)?,
            "metrics.listener" => self.metrics_listener = Some(address(key, value)?),
            "queries.listener" => self.queries_listener = Some(address(key, value)?),
            "queries.advertised" => self.queries_advertised = Some(address(key, value)?),
            "repartition.purge.interval.ms" => self.purge_interval = millis(key, value)?,
            "connect.timeout.ms" => self.connect_timeout = millis(key, value)?,
            "replication.factor" if value == "-1" => self.replication_factor = -1,
            "replication.factor" => self.replication_factor = number(key, value, 1, i32::from(i16::MAX))?,
            "errors.dead.letter.queue.topic.name" | "errors.deadletterqueue.topic.name" => {
                if let Some(reason) = name_fault(value) {
                    return Err(invalid(key, value, format!("a topic name: {reason}")));
                }
                self.dead_letter_topic = Some(value.to_owned());
            }
            "client.id" => self.client_id = Some(value.to_owned()),
            "application.id" => self.application_id = Some(value.to_owned()),
            "state.dir" => self.state_dir = Path::new(value).into(),
            "statestore.cache.max.bytes" if value == "-1" => self.cache_bytes_max = None,
            "statestore.cache.max.bytes" => {
                self.cache_bytes_max = Some(number(key, value, 0, usize::MAX)?);
            }
            "processing.guarantee" => {
                self.guarantee = Some(match value {
                    "at_least_once" => Guarantee::AtLeastOnce,
                    "at_most_once" => Guarantee::AtMostOnce,
                    "exactly_once_v2" => Guarantee::ExactlyOnce,
                    _ => {
                        return Err(invalid(
                            key,
                            value,
                            "at_least_once, exactly_once_v2 or at_most_once",
                        ));
                    }
                });
            }
            _ => self.set_client(key, value)?,
        }
        Ok(self)
    }

    fn set_client(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let (_, bare) = split_prefix(key);
        if RESERVED_KEYS.contains(&bare) {
            self.warn(format!(
                "{key:?} is ignored; the guarantee depends on it, so the library sets it"
            ));
            return Ok(());
        }
        match probe(bare, value) {
            Probe::Known => {
                self.client.insert(key.to_owned(), value.to_owned());
            }
            Probe::Unknown => {
                let near = did_you_mean(bare, OWN_KEYS.into_iter().chain(CLIENT_KEYS));
                self.warn(format!("unknown key {key:?} is ignored{near}"));
            }
            Probe::Invalid(expected) => return Err(invalid(key, value, expected)),
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }

    /// Worker threads (`num.stream.threads`), from 1 to 1024.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, STREAM_THREADS_MAX);
        self
    }

    /// How long starting waits for the cluster (`connect.timeout.ms`), at most an hour; 10 s unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(Duration::from_millis(MILLIS_MAX));
        self
    }

    /// Keys that were not used, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn check(&self, application_id: &str) -> Result<(), ConfigError> {
        if self.bootstrap_servers.is_empty() {
            let remedy = "give the cluster's address, as host:port";
            return Err(ConfigError::Missing {
                key: "bootstrap.servers",
                remedy,
            });
        }
        self.check_state()?;
        if self.queries_advertised.is_some() && self.queries_listener.is_none() {
            return Err(ConfigError::Missing {
                key: "queries.listener",
                remedy: "queries.advertised says where others reach it; give the host:port to listen at, or leave both out",
            });
        }
        match &self.application_id {
            Some(other) if other != application_id => Err(invalid(
                "application.id",
                other,
                format!("the job's own id, {application_id:?}"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn purge_interval(&self) -> Duration {
        self.purge_interval
    }

    /// Where the counters are served, if they are.
    pub(crate) fn metrics_listener(&self) -> Option<&str> {
        self.metrics_listener.as_deref()
    }

    /// Where questions to the stores are answered, if they are, and where others reach that, if it is said.
    pub(crate) fn queries_listener(&self) -> Option<(&str, Option<&str>)> {
        let listener = self.queries_listener.as_deref()?;
        Some((listener, self.queries_advertised.as_deref()))
    }

    /// Where dead letters go unless a step says it.
    pub(crate) fn dead_letter_topic(&self) -> Option<&str> {
        self.dead_letter_topic.as_deref()
    }

    pub(crate) fn replication_factor(&self) -> i32 {
        self.replication_factor
    }

    /// The epoch's length: the configured one, else the job's, else the default.
    pub(crate) fn commit_interval(&self, of_job: Option<Duration>) -> Duration {
        let interval = self.commit_interval.or(of_job).unwrap_or(COMMIT_INTERVAL_DEFAULT);
        interval.min(Duration::from_millis(MILLIS_MAX))
    }

    /// The guarantee: the configured one, else the job's, else the default.
    pub(crate) fn guarantee(&self, of_job: Option<Guarantee>) -> Guarantee {
        self.guarantee.or(of_job).unwrap_or_default()
    }
}

enum Probe {
    Known,
    Unknown,
    Invalid(String),
}

/// A `host:port`.
fn address(key: &str, value: &str) -> Result<String, ConfigError> {
    let parts = value.rsplit_once(':');
    match parts.map(|(host, port)| (host.is_empty(), port.parse::<u16>())) {
        Some((false, Ok(_))) => Ok(value.to_owned()),
        _ => Err(invalid(key, value, "host:port, like 127.0.0.1:9404".to_owned())),
    }
}

/// Asks librdkafka itself.
fn probe(key: &str, value: &str) -> Probe {
    let mut client = ClientConfig::new();
    match client.set(key, value).create_native_config() {
        Ok(_) => Probe::Known,
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Probe::Unknown,
        Err(KafkaError::ClientConfig(_, reason, ..)) => {
            Probe::Invalid(format!("accepted by librdkafka: {reason}"))
        }
        Err(other) => Probe::Invalid(format!("accepted by librdkafka: {other}")),
    }
}

fn invalid(key: &str, value: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: expected.into(),
    }
}

fn number<T>(key: &str, value: &str, min: T, max: T) -> Result<T, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let parsed = value
        .parse()
        .ok()
        .filter(|number| (&min..=&max).contains(&number));
    parsed.ok_or_else(|| invalid(key, value, format!("a number from {min} to {max}")))
}

fn millis(key: &str, value: &str) -> Result<Duration, ConfigError> {
    Ok(Duration::from_millis(number(key, value, 1, MILLIS_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(list: &[(&str, &str)]) -> Result<StreamsConfig, ConfigError> {
        StreamsConfig::from_properties(list.iter().copied())
    }

    #[test]
    fn values_are_checked_and_named() {
        let error = properties(&[("num.stream.threads", "0")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "num.stream.threads = \"0\" is not a number from 1 to 1024"
        );
        let error = properties(&[("processing.guarantee", "exactly_once")]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("at_least_once, exactly_once_v2 or at_most_once"),
            "{error}"
        );
        let error = properties(&[("errors.dead.letter.queue.topic.name", "a b")]).unwrap_err();
        assert!(error.to_string().contains("is not a topic name"), "{error}");
        let error = properties(&[("consumer.fetch.min.bytes", "many")]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("consumer.fetch.min.bytes = \"many\" is not accepted"),
            "{error}"
        );
        let error = properties(&[]).unwrap().check("job").unwrap_err();
        assert!(
            error.to_string().contains("bootstrap.servers is missing"),
            "{error}"
        );
        let other = properties(&[("bootstrap.servers", "x:1"), ("application.id", "other")]).unwrap();
        assert!(other.check("job").is_err() && other.check("other").is_ok());
    }

    #[test]
    fn exactly_once_makes_transactions_of_fenced_members() {
        let config = properties(&[
            ("bootstrap.servers", "x:1"),
            ("processing.guarantee", "exactly_once_v2"),
        ])
        .unwrap();
        let guarantee = config.guarantee(Some(Guarantee::AtLeastOnce));
        assert_eq!(guarantee, Guarantee::ExactlyOnce, "the configuration wins");
        let producer = config.producer_client("job", "1", guarantee, "x", Duration::from_secs(1));
        assert_eq!(producer.get("transactional.id"), Some("job-x-1"));
        assert_eq!(producer.get("transaction.timeout.ms"), Some("10000"));
        assert_eq!(producer.get("delivery.timeout.ms"), Some("10000"));
        assert!(producer.create_native_config().is_ok());
        let consumer = config.consumer_client("job", "1", guarantee, "x", QueueShares::default());
        assert_eq!(consumer.get("isolation.level"), Some("read_committed"));
        assert_eq!(consumer.get("group.instance.id"), Some("x-1"));
        let restore = config.restore_client("job", "1", guarantee);
        assert_eq!(restore.get("isolation.level"), Some("read_committed"));
        assert_eq!(restore.get("group.instance.id"), None);

        // The brokers must not abort an epoch that goes as it should.
        let seconds = Duration::from_secs;
        let producer = config.producer_client("job", "1", guarantee, "x", seconds(30));
        assert_eq!(producer.get("transaction.timeout.ms"), Some("60000"));
        assert!(config.check_epoch(guarantee, seconds(400)).is_ok());
        let error = config
            .check_epoch(guarantee, seconds(500))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("at most 450000, half of transaction.timeout.ms"),
            "{error}"
        );
        let told = config.set("transaction.timeout.ms", "5000").unwrap();
        assert!(told.check_epoch(guarantee, seconds(2)).is_ok());
        assert!(told.check_epoch(guarantee, seconds(3)).is_err());
        assert!(told.check_epoch(Guarantee::AtLeastOnce, seconds(3000)).is_ok());

        let config = properties(&[("bootstrap.servers", "x:1")]).unwrap();
        let guarantee = config.guarantee(None);
        let producer = config.producer_client("job", "1", guarantee, "x", Duration::from_secs(1));
        assert_eq!(producer.get("transactional.id"), None);
    }

    #[test]
    fn reserved_and_unknown_keys_are_warned_about() {
        let config = properties(&[
            ("enable.auto.commit", "true"),
            ("producer.acks", "0"),
            ("lingerms", "1"),
        ])
        .unwrap();
        assert_eq!(config.warnings().len(), 3);
        assert!(
            config.warnings()[2].ends_with("did you mean \"linger.ms\"?"),
            "{:?}",
            config.warnings()
        );
        let consumer =
            config.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", QueueShares::default());
        assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
    }

    #[test]
    fn a_prefixed_key_wins_over_a_plain_one_for_its_client() {
        let config = properties(&[
            ("consumer.client.rack", "a"),
            ("client.rack", "b"),
            ("socket.keepalive.enable", "true"),
            ("producer.linger.ms", "20"),
        ])
        .unwrap();
        assert!(config.warnings().is_empty(), "{:?}", config.warnings());
        let (consumer, producer) = (
            config.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", QueueShares::default()),
            config.producer_client("job", "1", Guarantee::AtLeastOnce, "x", Duration::from_secs(1)),
        );
        assert_eq!(
            (consumer.get("client.rack"), producer.get("client.rack")),
            (Some("a"), Some("b"))
        );
        assert_eq!(
            (consumer.get("linger.ms"), producer.get("linger.ms")),
            (None, Some("20"))
        );
        assert_eq!(consumer.get("socket.keepalive.enable"), Some("true"));
    }

    #[test]
    fn the_configured_interval_wins() {
        let of_job = Some(Duration::from_secs(1));
        let plain = StreamsConfig::new("x:1");
        assert_eq!(plain.commit_interval(None), Duration::from_millis(200));
        assert_eq!(plain.commit_interval(of_job), Duration::from_secs(1));
        assert_eq!(
            plain.commit_interval(Some(Duration::MAX)),
            Duration::from_secs(3600)
        );
        let set = plain.set("commit.interval.ms", "50").unwrap();
        assert_eq!(set.commit_interval(of_job), Duration::from_millis(50));
    }

    #[test]
    fn only_the_workers_clients_gather_statistics() {
        let config = properties(&[("statistics.interval.ms", "500")]).unwrap();
        let interval = |client: ClientConfig| client.get("statistics.interval.ms").map(str::to_owned);
        assert_eq!(
            interval(config.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", QueueShares::default()))
                .as_deref(),
            Some("500")
        );
        assert_eq!(interval(config.observer_client("job")).as_deref(), Some("0"));
        assert_eq!(interval(config.group_client("job")).as_deref(), Some("0"));
    }

    #[test]
    fn several_workers_are_static_members_of_their_own() {
        let config = properties(&[("group.instance.id", "host")]).unwrap();
        let instance = |config: &StreamsConfig, worker| {
            let client =
                config.consumer_client("job", worker, Guarantee::AtLeastOnce, "x", QueueShares::default());
            client.get("group.instance.id").map(str::to_owned)
        };
        assert_eq!(instance(&config, "stream-1").as_deref(), Some("host"));
        let config = config.threads(2);
        assert_eq!(instance(&config, "stream-1").as_deref(), Some("host-stream-1"));
        assert_eq!(instance(&config, "stream-2").as_deref(), Some("host-stream-2"));
    }

    #[test]
    fn with_standbys_workers_are_static_members_of_their_process() {
        let config = properties(&[("bootstrap.servers", "x:1"), ("num.standby.replicas", "2")]).unwrap();
        let instance = |config: &StreamsConfig| {
            let client = config.consumer_client(
                "job",
                "stream-1",
                Guarantee::AtLeastOnce,
                "x",
                QueueShares::default(),
            );
            client.get("group.instance.id").map(str::to_owned)
        };
        assert_eq!(
            (config.standbys(), instance(&config).as_deref()),
            (2, Some("x-stream-1"))
        );
        // With one thread as well: such names are taken apart at their ends.
        let named = config
            .clone()
            .set("group.instance.id", "orders-stream-0")
            .unwrap();
        assert_eq!(instance(&named).as_deref(), Some("orders-stream-0-stream-1"));
        let without = config.set("num.standby.replicas", "0").unwrap();
        assert_eq!(instance(&without), None);
        let error = without.set("num.standby.replicas", "17").unwrap_err().to_string();
        assert!(error.contains("a number from 0 to 16"), "{error}");
    }

    #[test]
    fn partitions_share_what_the_consumer_may_queue() {
        let config = properties(&[("bootstrap.servers", "x:1")]).unwrap();
        let queued = |config: &StreamsConfig, sources, partitions| {
            let shares = QueueShares { sources, partitions };
            let client = config.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", shares);
            let get = |key| client.get(key).unwrap().parse::<usize>().unwrap();
            (get("queued.min.messages"), get("queued.max.messages.kbytes"))
        };
        assert_eq!(queued(&config, 1, 1), (50_000, 32 << 10));
        assert_eq!(queued(&config, 10, 20), (5_000, (32 << 10) / 20));
        assert_eq!(queued(&config, 1_000, 1_000), (2_000, 256));
        let shares = QueueShares {
            sources: 100,
            partitions: 100,
        };
        let client = config.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", shares);
        assert_eq!(
            client.get("fetch.max.bytes"),
            Some("33554432"),
            "a response is for all"
        );
        let told = config.clone().set("queued.min.messages", "123").unwrap();
        assert_eq!(queued(&told, 10, 20).0, 123, "who says so gets it");
        let told = config.set("message.max.bytes", "40000000").unwrap();
        let client = told.consumer_client("job", "1", Guarantee::AtLeastOnce, "x", shares);
        assert_eq!(client.get("fetch.max.bytes"), Some("40000000"));
        assert!(client.create_native_config().is_ok());
    }

    #[test]
    fn changelogs_that_are_followed_share_what_the_client_may_queue() {
        let config = properties(&[("bootstrap.servers", "x:1")]).unwrap();
        let queued = |config: &StreamsConfig, changelogs| {
            let client = config.follow_client("job", Guarantee::ExactlyOnce, changelogs);
            assert!(client.create_native_config().is_ok());
            let get = |key| client.get(key).unwrap().parse::<usize>().unwrap();
            let kilobytes = get("queued.max.messages.kbytes");
            let fetched = get("fetch.message.max.bytes");
            assert!(
                fetched <= kilobytes << 10,
                "a fetch is more than what may be queued"
            );
            (kilobytes, get("queued.min.messages"), fetched)
        };
        assert_eq!(queued(&config, 1), (2048, 3125, 1 << 20));
        assert_eq!(queued(&config, 128), (256, 390, 256 << 10));
        assert_eq!(queued(&config, 10_000), (64, 200, 64 << 10));
        let short = config
            .clone()
            .set("statestore.cache.max.bytes", "1000000")
            .unwrap();
        assert_eq!(queued(&short, 4), (128, 1250, 128 << 10));
        let told = config
            .set("consumer.max.partition.fetch.bytes", "100000")
            .unwrap();
        assert_eq!(queued(&told, 1).2, 100_000);
    }
}
