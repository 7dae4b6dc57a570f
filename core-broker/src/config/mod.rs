//! Configuration of the broker: one struct with Kafka's keys and defaults.
//!
//! Why: whoever knows `server.properties` knows this broker. Owns: the table of keys (name, type, default,
//! range, documentation), reading them from `.properties` files and overrides, and what becomes of keys that are
//! unknown or mean nothing on a single node. Does not own: overrides per topic (see `topic::config`).
//!
//! Invariant: every key of [`BrokerConfig`] stands once, in the table below; the struct, the defaults, the
//! parser and `DescribeConfigs` are all made from it.

mod env;
mod listener;
pub(crate) mod live;
mod load;
mod log_value;
mod properties;
mod protocol_map;
mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use env::CREATE_TOPICS;
pub use listener::Endpoint;
pub(crate) use live::LiveConfig;
pub use live::{AlterError, LiveConfigError};
pub use load::{ConfigError, ConfigWarning};
pub use log_value::{CompressionType, Ratio};
pub use properties::{PropertiesError, Property, parse_properties};
pub use protocol_map::ProtocolMap;
pub(crate) use value::ConfigValue;
pub use value::{CleanupPolicy, ConfigType};

use crate::log::{CleanerOptions, FlushMode, LogConfig, TimestampType};

/// One key of [`BrokerConfig`] as data.
pub(crate) struct Key {
    /// Kafka's name of the key.
    pub name: &'static str,
    /// What it does.
    pub documentation: &'static str,
    /// Its type as clients see it.
    pub kind: ConfigType,
    /// Text of its value in a config.
    pub get: fn(&BrokerConfig) -> Option<String>,
    /// Sets it from text; the error says what was expected.
    pub set: fn(&mut BrokerConfig, &str) -> Result<(), String>,
}

macro_rules! broker_config {
    ($($(#[doc = $doc:literal])* $key:literal $field:ident: $ty:ty = $default:expr $(, $low:literal ..= $high:expr)?;)*) => {
        /// Settings of one broker; the fields carry Kafka's names with `_` for `.`.
        ///
        /// ```
        /// use millstream_broker::config::BrokerConfig;
        /// let mut config = BrokerConfig::default();
        /// config.num_partitions = 4;
        /// let warnings = config.apply_properties("auto.create.topics.enable=false\nnum.partition=2", "server.properties")?;
        /// assert_eq!(warnings[0].to_string(),
        ///     "unknown key num.partition at server.properties:2, did you mean num.partitions?");
        /// # Ok::<(), millstream_broker::config::ConfigError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        pub struct BrokerConfig {
            $($(#[doc = $doc])* #[doc = ""] #[doc = concat!("Key `", $key, "`.")] pub $field: $ty,)*
        }

        impl Default for BrokerConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// Every key, in the order of the struct.
        pub(crate) const KEYS: &[Key] = &[$(Key {
            name: $key,
            documentation: concat!($($doc,)*).trim_ascii(),
            kind: <$ty as ConfigValue>::TYPE,
            get: |config| config.$field.show(),
            set: |config, text| {
                let value = <$ty as ConfigValue>::read(text)?;
                $(
                    let (low, high): (i64, i64) = ($low, $high as i64);
                    if !value.number().is_some_and(|n| (low..=high).contains(&n)) {
                        return Err(format!("an integer from {low} to {high}"));
                    }
                )?
                config.$field = value;
                Ok(())
            },
        },)*];
    };
}

broker_config! {
    /// Id of this broker in answers to clients; also read from `broker.id`. Default 1.
    "node.id" node_id: i32 = 1, 0..=i32::MAX;
    /// Addresses to listen on, `NAME://host:port` separated by commas. The default is loopback only:
    /// the protocol has no authentication here, so opening it to a network is a decision to take by hand.
    "listeners" listeners: Vec<Endpoint> = vec![Endpoint { name: "PLAINTEXT".into(), host: "127.0.0.1".into(), port: 9092 }];
    /// Address that serves `/metrics` for Prometheus, `/healthz` and `/readyz` over HTTP, `host:port`. Default: unset,
    /// nothing is served. There is no authentication: keep it on loopback or a private network.
    "metrics.listener" metrics_listener: Option<Endpoint> = None;
    /// Addresses that clients are told to use, by listener name. Default: the address that is listened on, or,
    /// for a wildcard listener, the address that the client reached.
    "advertised.listeners" advertised_listeners: Vec<Endpoint> = Vec::new();
    /// Protocol of each listener, `NAME:PROTOCOL` separated by commas. Default: Kafka's, each protocol by its own name.
    /// Only PLAINTEXT is offered; a listener that is mapped to another stops the start.
    "listener.security.protocol.map" listener_security_protocol_map: ProtocolMap = ProtocolMap::default();
    /// Names of listeners that are Kafka's controllers' own; they are not opened here. Default: none.
    "controller.listener.names" controller_listener_names: Vec<String> = Vec::new();
    /// The one data directory; also read from `log.dir`. No default.
    "log.dirs" log_dirs: Option<PathBuf> = None;
    /// Partitions of a topic created without a count. Default 1; more allow more consumers of a group.
    "num.partitions" num_partitions: i32 = 1, 1..=10_000;
    /// Creates a topic when a client asks for its metadata. Default true, as in Kafka; false catches misspelt names.
    "auto.create.topics.enable" auto_create_topics_enable: bool = true;
    /// Allows topics to be deleted. Default true.
    "delete.topic.enable" delete_topic_enable: bool = true;
    /// Largest record batch in bytes, as it stands on the wire. Default 1048588.
    "message.max.bytes" message_max_bytes: u32 = 1_048_588, 0..=i32::MAX;
    /// Size in bytes at which a segment file is closed and a new one begun. Default 1 GiB; smaller segments are
    /// deleted sooner and cost more files.
    "log.segment.bytes" log_segment_bytes: u32 = 1 << 30, 14..=i32::MAX;
    /// Age in milliseconds at which a segment is closed; wins over `log.roll.hours`. Default: unset.
    "log.roll.ms" log_roll_ms: Option<i64> = None, 1..=i64::MAX;
    /// Age in hours at which a segment is closed. Default 168.
    "log.roll.hours" log_roll_hours: i32 = 168, 1..=i32::MAX;
    /// Bytes of records between two index entries. Default 4096; less makes seeks faster and indexes larger.
    "log.index.interval.bytes" log_index_interval_bytes: u32 = 4096, 0..=i32::MAX;
    /// Whether records keep the producer's time (`CreateTime`, default) or get the broker's (`LogAppendTime`).
    "log.message.timestamp.type" log_message_timestamp_type: TimestampType = TimestampType::CreateTime;
    /// What happens to old records of a topic that does not say: `delete` (default), `compact` or both.
    "log.cleanup.policy" log_cleanup_policy: CleanupPolicy = CleanupPolicy::default();
    /// Whether compacted topics are compacted. Default true; without it they grow without bound.
    "log.cleaner.enable" log_cleaner_enable: bool = true;
    /// Logs that are compacted at once. Default 1; more share the memory for keys.
    "log.cleaner.threads" log_cleaner_threads: i32 = 1, 1..=64;
    /// Milliseconds that compaction rests when there is nothing to do. Default 15000.
    "log.cleaner.backoff.ms" log_cleaner_backoff_ms: i64 = 15_000, 0..=i64::MAX;
    /// Bytes of memory for the keys of all compaction threads, at 64 a key; with less a log takes several. Default 134217728.
    "log.cleaner.dedupe.buffer.size" log_cleaner_dedupe_buffer_size: i64 = 134_217_728, 1024..=i64::MAX;
    /// Milliseconds that tombstones and transaction markers stay in a compacted topic. Default 86400000.
    "log.cleaner.delete.retention.ms" log_cleaner_delete_retention_ms: i64 = 86_400_000, 0..=i64::MAX;
    /// Share of uncompacted bytes of a log at which it is compacted. Default 0.5; less saves disk and costs copying.
    "log.cleaner.min.cleanable.ratio" log_cleaner_min_cleanable_ratio: Ratio = Ratio { ppm: 500_000 };
    /// Milliseconds that a record stays uncompacted at least. Default 0.
    "log.cleaner.min.compaction.lag.ms" log_cleaner_min_compaction_lag_ms: i64 = 0, 0..=i64::MAX;
    /// Milliseconds after which a record is compacted whatever the ratio. Default 9223372036854775807, no bound.
    "log.cleaner.max.compaction.lag.ms" log_cleaner_max_compaction_lag_ms: i64 = i64::MAX, 1..=i64::MAX;
    /// Whether a segment takes all its room of the disk at its first record. Default false; true keeps files in one piece.
    "log.preallocate" log_preallocate: bool = false;
    /// Codec that batches are stored in: `producer` (default) keeps theirs, others are recompressed on the broker.
    "compression.type" compression_type: CompressionType = CompressionType::default();
    /// Level of gzip where the broker compresses, 1 to 9. Default −1, gzip's own.
    "compression.gzip.level" compression_gzip_level: i32 = -1, -1..=9;
    /// Level of lz4 where the broker compresses, 1 to 17. Default 9, which is fast; all others search longer.
    "compression.lz4.level" compression_lz4_level: i32 = 9, 1..=17;
    /// Level of zstd where the broker compresses. Default 3.
    "compression.zstd.level" compression_zstd_level: i32 = 3, -131_072..=22;
    /// Milliseconds that a record's time may be behind the broker's clock. Default 9223372036854775807, no bound.
    "log.message.timestamp.before.max.ms" log_message_timestamp_before_max_ms: i64 = i64::MAX, 0..=i64::MAX;
    /// Milliseconds that a record's time may be ahead of the broker's clock. Default 3600000.
    "log.message.timestamp.after.max.ms" log_message_timestamp_after_max_ms: i64 = 3_600_000, 0..=i64::MAX;
    /// Age in milliseconds after which records may be deleted; wins over minutes and hours; −1 keeps them. Default: unset.
    "log.retention.ms" log_retention_ms: Option<i64> = None, -1..=i64::MAX;
    /// Age in minutes after which records may be deleted; wins over hours. Default: unset.
    "log.retention.minutes" log_retention_minutes: Option<i32> = None, -1..=i32::MAX;
    /// Age in hours after which records may be deleted. Default 168.
    "log.retention.hours" log_retention_hours: i32 = 168, -1..=i32::MAX;
    /// Bytes of a partition above which old records may be deleted; −1 (default) means no bound.
    "log.retention.bytes" log_retention_bytes: i64 = -1, -1..=i64::MAX;
    /// Milliseconds between two looks for records to delete. Default 300000.
    "log.retention.check.interval.ms" log_retention_check_interval_ms: i64 = 300_000, 1..=i64::MAX;
    /// Milliseconds that the files of deleted segments stay on disk. Default 60000; on a full disk they go at once.
    "log.segment.delete.delay.ms" log_segment_delete_delay_ms: i64 = 60_000, 0..=i64::MAX;
    /// Bytes of the volume kept from records, so that deletions can still be written: as many are held by a file, and
    /// records are refused when fewer are free beside it. −1 (default) means 16 MiB, or a sixteenth of a volume of less than
    /// 256 MiB; 0 keeps none.
    "log.dir.reserve.bytes" log_dir_reserve_bytes: i64 = -1, -1..=i64::MAX;
    /// Most milliseconds taken from a segment's age at random, so that not all are closed at once; wins over hours. Default:
    /// unset.
    "log.roll.jitter.ms" log_roll_jitter_ms: Option<i64> = None, 0..=i64::MAX;
    /// Most hours taken from a segment's age at random. Default 0.
    "log.roll.jitter.hours" log_roll_jitter_hours: i32 = 0, 0..=i32::MAX;
    /// Size in bytes of a segment's index at which the segment is closed. Default 10485760.
    "log.index.size.max.bytes" log_index_size_max_bytes: u32 = 10_485_760, 4..=i32::MAX;
    /// When an append counts as stored: `sync` after fdatasync, `os` once the system has it. Unset (default)
    /// means `sync`, unless one of Kafka's `log.flush.interval.*` keys asks for less.
    "flush.mode" flush_mode: Option<FlushMode> = None;
    /// Kafka's flush by count: 1 is `flush.mode=sync`, any other value `flush.mode=os`. Default: unset.
    "log.flush.interval.messages" log_flush_interval_messages: Option<i64> = None, 1..=i64::MAX;
    /// Kafka's flush by time: 0 is `flush.mode=sync`, any other value `flush.mode=os`. Default: unset.
    "log.flush.interval.ms" log_flush_interval_ms: Option<i64> = None, 0..=i64::MAX;
    /// Shortest session timeout in milliseconds a group member may ask for. Default 6000.
    "group.min.session.timeout.ms" group_min_session_timeout_ms: i32 = 6_000, 1..=i32::MAX;
    /// Longest session timeout in milliseconds a group member may ask for. Default 1800000.
    "group.max.session.timeout.ms" group_max_session_timeout_ms: i32 = 1_800_000, 1..=i32::MAX;
    /// Milliseconds a new group waits for more members before its first rebalance. Default 3000; 0 suits tests.
    "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i32 = 3_000, 0..=i32::MAX;
    /// Most members of one group. Default 2147483647.
    "group.max.size" group_max_size: i32 = i32::MAX, 1..=i32::MAX;
    /// Partitions of `__consumer_offsets`, fixed when it is first created. Default 50.
    "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = 50, 1..=10_000;
    /// Segment size in bytes of `__consumer_offsets`. Default 104857600.
    "offsets.topic.segment.bytes" offsets_topic_segment_bytes: u32 = 104_857_600, 14..=i32::MAX;
    /// Minutes that offsets of an empty group are kept. Default 10080.
    "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080, 1..=i32::MAX;
    /// Milliseconds between two looks for offsets to expire. Default 600000.
    "offsets.retention.check.interval.ms" offsets_retention_check_interval_ms: i64 = 600_000, 1..=i64::MAX;
    /// Longest metadata text in bytes that may be stored with an offset. Default 4096.
    "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4_096, 0..=32_767;
    /// Partitions of `__transaction_state`, fixed when it is first created. Default 50.
    "transaction.state.log.num.partitions" transaction_state_log_num_partitions: i32 = 50, 1..=10_000;
    /// Segment size in bytes of `__transaction_state`. Default 104857600.
    "transaction.state.log.segment.bytes" transaction_state_log_segment_bytes: u32 = 104_857_600, 14..=i32::MAX;
    /// Longest transaction timeout in milliseconds a producer may ask for. Default 900000; an open transaction holds back
    /// consumers that read committed records.
    "transaction.max.timeout.ms" transaction_max_timeout_ms: i32 = 900_000, 1..=i32::MAX;
    /// Milliseconds that a partition remembers an idle idempotent producer, so that its repeated batches are told from new
    /// ones. Default 86400000; less saves memory.
    "producer.id.expiration.ms" producer_id_expiration_ms: i32 = 86_400_000, 1..=i32::MAX;
    /// Milliseconds that a transactional id is kept without use. Default 604800000.
    "transactional.id.expiration.ms" transactional_id_expiration_ms: i32 = 604_800_000, 1..=i32::MAX;
    /// Milliseconds between two looks for transactions that took too long. Default 1000; Kafka's is 10000.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" transaction_abort_timed_out_transaction_cleanup_interval_ms: i32 = 1_000, 1..=i32::MAX;
    /// Milliseconds between two looks for transactional ids to forget. Default 3600000.
    "transaction.remove.expired.transaction.cleanup.interval.ms" transaction_remove_expired_transaction_cleanup_interval_ms: i32 = 3_600_000, 1..=i32::MAX;
    /// Largest request in bytes; a larger one closes the connection. Default 104857600.
    "socket.request.max.bytes" socket_request_max_bytes: i32 = 104_857_600, 1..=i32::MAX;
    /// Bytes of requests held at once over all connections; further reading waits. Default 268435456 (Kafka: −1, no
    /// bound). One request may overdraw it, so that a large one always gets through.
    "queued.max.request.bytes" queued_max_request_bytes: i64 = 268_435_456, -1..=i64::MAX;
    /// Most connections open at once; further ones are closed at once. Default 2147483647: as many as the process may open
    /// files (`ulimit -Hn`), less what the logs need.
    "max.connections" max_connections: i32 = i32::MAX, 1..=i32::MAX;
    /// Milliseconds after which a connection without requests is closed. Default 600000.
    "connections.max.idle.ms" connections_max_idle_ms: i64 = 600_000, 1..=i64::MAX;
    /// Most bytes of records in one fetch answer, whatever the client asks for. Default 57671680.
    "fetch.max.bytes" fetch_max_bytes: i32 = 57_671_680, 1024..=i32::MAX;
    /// Fetch sessions kept; a consumer of many partitions saves traffic by one. Default 1000; 0 opens none.
    "max.incremental.fetch.session.cache.slots" max_incremental_fetch_session_cache_slots: i32 = 1_000, 0..=i32::MAX;
    /// Most partitions in one answer of DescribeTopicPartitions; clients ask for the rest. Default 2000.
    "max.request.partition.size.limit" max_request_partition_size_limit: i32 = 2_000, 1..=i32::MAX;
}

impl BrokerConfig {
    /// When an append counts as stored.
    #[must_use]
    pub fn effective_flush_mode(&self) -> FlushMode {
        self.flush_mode.unwrap_or(
            match (self.log_flush_interval_messages, self.log_flush_interval_ms) {
                (None, None) | (Some(1), _) | (_, Some(0)) => FlushMode::Sync,
                _ => FlushMode::Os,
            },
        )
    }

    /// Age in milliseconds at which a segment is closed.
    #[must_use]
    pub fn effective_roll_ms(&self) -> i64 {
        self.log_roll_ms
            .unwrap_or(i64::from(self.log_roll_hours) * 3_600_000)
    }

    /// Most milliseconds taken from a segment's age at random.
    #[must_use]
    pub fn effective_roll_jitter_ms(&self) -> i64 {
        self.log_roll_jitter_ms
            .unwrap_or(i64::from(self.log_roll_jitter_hours) * 3_600_000)
    }

    /// Age in milliseconds after which records may be deleted; −1 for never.
    #[must_use]
    pub fn effective_retention_ms(&self) -> i64 {
        let scaled = |n: i32, unit_ms: i64| if n < 0 { -1 } else { i64::from(n) * unit_ms };
        self.log_retention_ms
            .or(self.log_retention_minutes.map(|m| scaled(m, 60_000)))
            .unwrap_or_else(|| scaled(self.log_retention_hours, 3_600_000))
    }

    /// Settings of compaction.
    #[must_use]
    pub fn cleaner_options(&self) -> CleanerOptions {
        CleanerOptions {
            backoff: Duration::from_millis(self.log_cleaner_backoff_ms.unsigned_abs().max(10)),
            dedupe_buffer_bytes: usize::try_from(self.log_cleaner_dedupe_buffer_size).unwrap_or(usize::MAX),
            threads: usize::try_from(self.log_cleaner_threads).unwrap_or(1),
        }
    }

    /// Settings of a log whose topic overrides nothing.
    #[must_use]
    pub fn log_config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: self.log_segment_bytes,
            segment_ms: self.effective_roll_ms(),
            preallocate: self.log_preallocate,
            index_interval_bytes: self.log_index_interval_bytes,
            max_message_bytes: self.message_max_bytes,
            timestamp_type: self.log_message_timestamp_type,
            compact: self.log_cleanup_policy.compact,
            delete: self.log_cleanup_policy.delete,
            retention_ms: self.effective_retention_ms(),
            retention_bytes: self.log_retention_bytes,
            file_delete_delay_ms: self.log_segment_delete_delay_ms,
            segment_jitter_ms: self.effective_roll_jitter_ms(),
            segment_index_bytes: self.log_index_size_max_bytes,
            flush: self.effective_flush_mode(),
            delete_retention_ms: self.log_cleaner_delete_retention_ms,
            min_compaction_lag_ms: self.log_cleaner_min_compaction_lag_ms,
            max_compaction_lag_ms: self.log_cleaner_max_compaction_lag_ms,
            min_cleanable_ratio_ppm: self.log_cleaner_min_cleanable_ratio.ppm,
            compression: self.compression_type.0,
            gzip_level: self.compression_gzip_level,
            lz4_level: self.compression_lz4_level,
            zstd_level: self.compression_zstd_level,
            timestamp_before_max_ms: self.log_message_timestamp_before_max_ms,
            timestamp_after_max_ms: self.log_message_timestamp_after_max_ms,
        }
    }
}
