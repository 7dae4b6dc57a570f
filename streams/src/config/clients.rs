//! The clients of a job, as the configuration wants them.
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::{ConfigError, Guarantee, StreamsConfig, invalid};

/// How long a transaction may be open, unless told: as in Kafka Streams. Longer if the epoch is.
const TRANSACTION_TIMEOUT_MS: u128 = 10_000;
/// Brokers allow no longer ones unless `transaction.max.timeout.ms` says so.
const TRANSACTION_TIMEOUT_MAX_MS: u128 = 900_000;

/// librdkafka's default of `message.max.bytes`.
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// The least that a client may queue: a few of the largest fetches.
const QUEUE_KILOBYTES_MIN: usize = 2 << 10;
/// Records that a client queues where memory is short.
const QUEUED_MESSAGES_SHORT: usize = 20_000;
/// Records that a consumer queues of a partition: each takes 350 bytes besides its own, so that librdkafka's default of 100,000 takes
/// 35 MB, and these last for a tenth of a second of the fastest jobs. With 20,000, fetching pauses during commits, which shows in latencies.
const QUEUED_MESSAGES: usize = 50_000;

/// The least that a partition may queue of it, and of records: of a fetch, which is queued as a whole, enough is left while the next comes.
const PARTITION_KILOBYTES_MIN: usize = 256;
const PARTITION_MESSAGES_MIN: usize = 2_000;

/// Among how many changelogs that are followed a client shares what it may queue at least: what is behind is read a little slower.
const FOLLOWED_MIN: usize = 16;
/// The least that one of them may queue, however many there are, and of records.
const FOLLOWED_KILOBYTES_MIN: usize = 64;
const FOLLOWED_MESSAGES_MIN: usize = 200;

/// librdkafka's names for what a fetch may bring of a partition, and its default.
const FETCH_BYTES_KEYS: [&str; 2] = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];
const FETCH_BYTES: usize = 1 << 20;

/// Among how many partitions a worker's consumer shares what it may queue: each has a queue of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueShares {
    /// Those of topics that others write, a record a row.
    pub(crate) sources: usize,
    /// All.
    pub(crate) partitions: usize,
}

impl StreamsConfig {
    /// A client that reads changelogs, and finds their ends.
    pub(crate) fn restore_client(
        &self,
        application_id: &str,
        worker: &str,
        guarantee: Guarantee,
    ) -> ClientConfig {
        let mut client = self.base(application_id, &format!("{worker}-restore"));
        client
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", self.queue_kilobytes(32 << 10))
            .set("queued.min.messages", self.queue_messages(QUEUED_MESSAGES));
        self.extend(&mut client, Role::Consumer);
        client
            .set("group.id", application_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // Nobody reads them.
            .set("statistics.interval.ms", "0");
        client.remove("group.instance.id");
        if guarantee == Guarantee::ExactlyOnce {
            client.set("isolation.level", "read_committed");
        }
        client
    }

    /// A client that follows so many changelogs at most, each in a queue of its own.
    pub(crate) fn follow_client(
        &self,
        application_id: &str,
        guarantee: Guarantee,
        changelogs: usize,
    ) -> ClientConfig {
        let mut client = self.restore_client(application_id, "standby", guarantee);
        let parts = changelogs.max(FOLLOWED_MIN);
        let kilobytes = (self.kilobytes(32 << 10) / parts).max(FOLLOWED_KILOBYTES_MIN);
        let messages = (self.messages(QUEUED_MESSAGES) / parts).max(FOLLOWED_MESSAGES_MIN);
        // A fetch is queued as a whole; brokers give a batch that is larger than that none the less.
        let told = FETCH_BYTES_KEYS.iter().find_map(|key| client.get(key));
        let fetched = told
            .and_then(|told| told.parse().ok())
            .unwrap_or(FETCH_BYTES)
            .min(kilobytes << 10);
        for key in FETCH_BYTES_KEYS {
            client.remove(key);
        }
        client
            .set(FETCH_BYTES_KEYS[0], fetched.to_string())
            .set("queued.max.messages.kbytes", kilobytes.to_string())
            .set("queued.min.messages", messages.to_string());
        client
    }

    /// Whether an epoch of this length can be a transaction: the brokers abort one that takes too long, again and again.
    pub(crate) fn check_epoch(&self, guarantee: Guarantee, epoch: Duration) -> Result<(), ConfigError> {
        if guarantee != Guarantee::ExactlyOnce {
            return Ok(());
        }
        let mut client = ClientConfig::new();
        self.extend(&mut client, Role::Producer);
        let told = client
            .get("transaction.timeout.ms")
            .and_then(|text| text.parse().ok());
        let timeout: u128 = told.unwrap_or_else(|| derived_timeout(epoch));
        let longest = timeout.min(TRANSACTION_TIMEOUT_MAX_MS.max(told.unwrap_or(0))) / 2;
        if epoch.as_millis() <= longest {
            return Ok(());
        }
        Err(invalid(
            "commit.interval.ms",
            &epoch.as_millis().to_string(),
            format!("at most {longest}, half of transaction.timeout.ms, which exactly-once needs"),
        ))
    }

    /// Bytes of the largest record that the producer takes.
    pub(crate) fn record_bytes_max(&self) -> usize {
        let mut client = ClientConfig::new();
        self.extend(&mut client, Role::Producer);
        let told = client.get("message.max.bytes").and_then(|text| text.parse().ok());
        told.unwrap_or(MESSAGE_BYTES_MAX)
    }

    /// A client without a group, for questions about the cluster.
    pub(crate) fn observer_client(&self, application_id: &str) -> ClientConfig {
        let mut client = self.base(application_id, "observer");
        self.extend(&mut client, Role::Shared);
        client
            // Nobody polls it, so statistics meant for the workers' clients would pile up here.
            .set("statistics.interval.ms", "0")
            // What is written counts, decided or not: a commit is acknowledged before its markers are in the log.
            .set("isolation.level", "read_uncommitted");
        client
    }

    /// A client that asks for the group's committed offsets without joining it.
    pub(crate) fn group_client(&self, application_id: &str) -> ClientConfig {
        let mut client = self.observer_client(application_id);
        client
            .set("group.id", application_id)
            .set("enable.auto.commit", "false");
        client
    }

    /// A worker's consumer.
    pub(crate) fn consumer_client(
        &self,
        application_id: &str,
        worker: &str,
        guarantee: Guarantee,
        identity: &str,
        shares: QueueShares,
    ) -> ClientConfig {
        let mut client = self.base(application_id, worker);
        let kilobytes = self.kilobytes(32 << 10) / shares.partitions.max(1);
        let messages = self.messages(QUEUED_MESSAGES) / shares.sources.max(1);
        client
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            // With the default of 1 s a full local queue stalls fetching far longer than the queue lasts.
            // Looking up where a partition begins waits behind the long poll of another one on the same connection.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set(
                "queued.max.messages.kbytes",
                kilobytes.max(PARTITION_KILOBYTES_MIN).to_string(),
            )
            .set(
                "queued.min.messages",
                messages.max(PARTITION_MESSAGES_MIN).to_string(),
            )
            .set("statistics.interval.ms", "1000");
        self.extend(&mut client, Role::Consumer);
        client
            .set("group.id", application_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "range");
        if client.get("fetch.max.bytes").is_none() {
            // A response holds records of all partitions; the client would take what one may queue for its limit.
            let record = client.get("message.max.bytes").and_then(|text| text.parse().ok());
            let bytes = (self.kilobytes(32 << 10) << 10).max(record.unwrap_or(MESSAGE_BYTES_MAX));
            client.set("fetch.max.bytes", bytes.to_string());
        }
        if guarantee == Guarantee::ExactlyOnce {
            client.set("isolation.level", "read_committed");
        }
        // Each worker is a static member of its own; with one id they would fence each other. Exactly-once needs the id in any
        // case: without it, offsets sent while the group changes hands are not held against the member. Standby copies need it to tell
        // which members are one process.
        let instance = client.get("group.instance.id").map(str::to_owned);
        match instance {
            Some(instance) if self.threads > 1 || self.standbys() > 0 => {
                client.set("group.instance.id", format!("{instance}-{worker}"));
            }
            None if guarantee == Guarantee::ExactlyOnce || self.standbys() > 0 => {
                client.set("group.instance.id", format!("{identity}-{worker}"));
            }
            _ => {}
        }
        client
    }

    /// A worker's producer.
    pub(crate) fn producer_client(
        &self,
        application_id: &str,
        worker: &str,
        guarantee: Guarantee,
        identity: &str,
        epoch: Duration,
    ) -> ClientConfig {
        let mut client = self.base(application_id, worker);
        client
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("delivery.timeout.ms", "120000")
            // Java's default placement of keyed records.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", self.queue_kilobytes(64 << 10))
            .set("queue.buffering.max.messages", self.queue_messages(100_000))
            .set("delivery.report.only.error", "true");
        if guarantee == Guarantee::ExactlyOnce {
            // As Kafka Streams: what a dead process left open holds up readers until then, and until the broker looks for such ones.
            client.set("transaction.timeout.ms", derived_timeout(epoch).to_string());
            client.remove("delivery.timeout.ms");
        }
        self.extend(&mut client, Role::Producer);
        if guarantee == Guarantee::ExactlyOnce && client.get("delivery.timeout.ms").is_none() {
            // A record that comes later than the transaction ends is of no use.
            let timeout = client.get("transaction.timeout.ms").map(str::to_owned);
            let timeout = timeout.unwrap_or_else(|| derived_timeout(epoch).to_string());
            client.set("delivery.timeout.ms", timeout);
        }
        client.set("enable.idempotence", "true").set("acks", "all");
        if guarantee == Guarantee::ExactlyOnce {
            client.set(
                "transactional.id",
                format!("{application_id}-{identity}-{worker}"),
            );
        }
        client
    }

    /// What a client's queue may take, at most `most`: less where memory for states is short.
    fn queue_kilobytes(&self, most: usize) -> String {
        // The producer's queue has to take the largest record.
        self.kilobytes(most)
            .max(self.record_bytes_max() / 512)
            .to_string()
    }

    fn kilobytes(&self, most: usize) -> usize {
        let part = |bytes: usize| (bytes / 4 / 1024).clamp(QUEUE_KILOBYTES_MIN, most);
        self.cache_bytes_max.map_or(most, part)
    }

    /// How many records a client may queue, at most `most`: fewer where memory is short, since each takes some hundred bytes besides its own.
    fn queue_messages(&self, most: usize) -> String {
        self.messages(most).to_string()
    }

    fn messages(&self, most: usize) -> usize {
        let short = |_| most.min(QUEUED_MESSAGES_SHORT);
        self.cache_bytes_max.map_or(most, short)
    }

    fn base(&self, application_id: &str, part: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        let name = self.client_id.as_deref().unwrap_or(application_id);
        client
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", format!("{name}-{part}"));
        client.set_log_level(RDKafkaLogLevel::Warning);
        client
    }

    fn extend(&self, client: &mut ClientConfig, role: Role) {
        // Plain keys first, so that a prefixed key wins.
        let (plain, prefixed): (Vec<_>, Vec<_>) = self
            .client
            .iter()
            .partition(|(key, _)| split_prefix(key).0 == Role::Shared);
        for (key, value) in plain.into_iter().chain(prefixed) {
            let (of, bare) = split_prefix(key);
            if of == role || of == Role::Shared {
                client.set(bare, value);
            }
        }
    }
}

/// How long the transactions of epochs of this length may be open.
fn derived_timeout(epoch: Duration) -> u128 {
    TRANSACTION_TIMEOUT_MS.max(2 * epoch.as_millis())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Shared,
    Consumer,
    Producer,
}

pub(super) fn split_prefix(key: &str) -> (Role, &str) {
    if let Some(bare) = key.strip_prefix("consumer.") {
        (Role::Consumer, bare)
    } else if let Some(bare) = key.strip_prefix("producer.") {
        (Role::Producer, bare)
    } else {
        (Role::Shared, key)
    }
}
