//! The keys of workers: those of `connect-standalone.properties` and `connect-distributed.properties`, as Kafka Connect 4.2 has them.
//!
//! Owns: the declarations, and which keys nobody knows. Does not own: what a worker makes of them
//! ([`WorkerConfig`](crate::worker::WorkerConfig)).
use super::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use ConfigType::{Boolean, Class, Int, List, Long, Short, String as Text};
use Importance::{High, Low, Medium};

/// Which kind of worker a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerMode {
    /// One process, which keeps connectors in memory and source offsets in a file.
    Standalone,
    /// A group of processes, which keep everything in topics.
    Distributed,
}

/// A declaration: name, type, default (`None` is nothing), importance, documentation.
type Row = (
    &'static str,
    ConfigType,
    Option<&'static str>,
    Importance,
    &'static str,
);

/// Keys of both kinds of workers.
const SHARED: &[Row] = &[
    (
        "client.dns.lookup",
        Text,
        Some("use_all_dns_ips"),
        Medium,
        "How names of brokers become addresses.",
    ),
    (
        "key.converter.plugin.version",
        Text,
        None,
        Low,
        "Version of the key converter. There is one of each.",
    ),
    (
        "value.converter.plugin.version",
        Text,
        None,
        Low,
        "Version of the value converter. There is one of each.",
    ),
    (
        "task.shutdown.graceful.timeout.ms",
        Long,
        Some("5000"),
        Low,
        "How long tasks may take to stop, all together.",
    ),
    (
        "offset.flush.interval.ms",
        Long,
        Some("60000"),
        Low,
        "How often offsets are stored. Rarer costs less; more is repeated after a crash.",
    ),
    (
        "offset.flush.timeout.ms",
        Long,
        Some("5000"),
        Low,
        "How long storing offsets may take before it is tried again later.",
    ),
    (
        "plugin.path",
        List,
        None,
        Low,
        "Accepted for the sake of files written for Java: plugins are part of this program.",
    ),
    (
        "plugin.discovery",
        Text,
        Some("hybrid_warn"),
        Low,
        "Accepted for the sake of files written for Java.",
    ),
    (
        "metrics.sample.window.ms",
        Long,
        Some("30000"),
        Low,
        "Accepted for the sake of files written for Java.",
    ),
    (
        "metrics.num.samples",
        Int,
        Some("2"),
        Low,
        "Accepted for the sake of files written for Java.",
    ),
    (
        "metrics.recording.level",
        Text,
        Some("INFO"),
        Low,
        "Accepted for the sake of files written for Java.",
    ),
    (
        "metric.reporters",
        List,
        Some(""),
        Low,
        "Accepted for the sake of files written for Java; GET /metrics has the figures.",
    ),
    (
        "header.converter",
        Class,
        Some("org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        Low,
        "Between headers and their bytes.",
    ),
    (
        "header.converter.plugin.version",
        Text,
        None,
        Low,
        "Version of the header converter. There is one of each.",
    ),
    (
        "config.providers",
        List,
        Some(""),
        Low,
        "Names of config providers; config.providers.NAME.class says which (file, directory, env).",
    ),
    (
        "topic.creation.enable",
        Boolean,
        Some("true"),
        Low,
        "Whether sources may say in topic.creation.* how their topics are made.",
    ),
    (
        "topic.tracking.enable",
        Boolean,
        Some("true"),
        Low,
        "Whether GET /connectors/NAME/topics tells the topics a connector uses.",
    ),
    (
        "topic.tracking.allow.reset",
        Boolean,
        Some("true"),
        Low,
        "Whether PUT /connectors/NAME/topics/reset may forget them.",
    ),
    (
        "listeners",
        List,
        Some("http://:8083"),
        Low,
        "Where the REST API listens: http://HOST:PORT, separated by commas; without HOST everywhere.",
    ),
    (
        "rest.advertised.host.name",
        Text,
        None,
        Low,
        "The host name that other workers reach this one by.",
    ),
    (
        "rest.advertised.port",
        Int,
        None,
        Low,
        "The port that other workers reach this one by.",
    ),
    (
        "rest.advertised.listener",
        Text,
        None,
        Low,
        "http or https: which listener other workers use.",
    ),
    (
        "access.control.allow.origin",
        Text,
        Some(""),
        Low,
        "What Access-Control-Allow-Origin says; * is everybody, nothing is nobody.",
    ),
    (
        "access.control.allow.methods",
        Text,
        Some(""),
        Low,
        "What Access-Control-Allow-Methods says; GET, POST and HEAD without it.",
    ),
    (
        "response.http.headers.config",
        Text,
        Some(""),
        Low,
        "Headers of answers: rules such as set X-Frame-Options: DENY, separated by commas.",
    ),
    (
        "rest.extension.classes",
        List,
        Some(""),
        Low,
        "Accepted for the sake of files written for Java; there are no extensions.",
    ),
    (
        "admin.listeners",
        List,
        None,
        Low,
        "Where /admin is served: without it with everything else, empty nowhere.",
    ),
];

/// Keys of distributed workers only, beyond the required ones.
const DISTRIBUTED: &[Row] = &[
    (
        "session.timeout.ms",
        Int,
        Some("10000"),
        High,
        "After so long without a heartbeat a worker's tasks go to others.",
    ),
    (
        "rebalance.timeout.ms",
        Int,
        Some("60000"),
        High,
        "How long a worker may take to stop tasks in a rebalance.",
    ),
    (
        "heartbeat.interval.ms",
        Int,
        Some("3000"),
        High,
        "How often a worker says that it lives.",
    ),
    (
        "metadata.max.age.ms",
        Long,
        Some("300000"),
        Low,
        "How old what is known of the cluster may be.",
    ),
    (
        "client.id",
        Text,
        Some(""),
        Low,
        "The name that brokers log requests under.",
    ),
    (
        "send.buffer.bytes",
        Int,
        Some("131072"),
        Medium,
        "The socket's send buffer; -1 is the system's default.",
    ),
    (
        "receive.buffer.bytes",
        Int,
        Some("32768"),
        Medium,
        "The socket's receive buffer; -1 is the system's default.",
    ),
    (
        "reconnect.backoff.ms",
        Long,
        Some("50"),
        Low,
        "The first pause before connecting again.",
    ),
    (
        "reconnect.backoff.max.ms",
        Long,
        Some("1000"),
        Low,
        "The longest pause before connecting again.",
    ),
    (
        "socket.connection.setup.timeout.ms",
        Long,
        Some("10000"),
        Low,
        "How long a connection may take.",
    ),
    (
        "socket.connection.setup.timeout.max.ms",
        Long,
        Some("30000"),
        Low,
        "How long a connection may take at most.",
    ),
    (
        "retry.backoff.ms",
        Long,
        Some("100"),
        Low,
        "The first pause before a request is repeated.",
    ),
    (
        "retry.backoff.max.ms",
        Long,
        Some("1000"),
        Low,
        "The longest pause before a request is repeated.",
    ),
    (
        "request.timeout.ms",
        Int,
        Some("40000"),
        Medium,
        "How long an answer may take.",
    ),
    (
        "connections.max.idle.ms",
        Long,
        Some("540000"),
        Medium,
        "After so long without use connections are closed.",
    ),
    (
        "worker.sync.timeout.ms",
        Int,
        Some("3000"),
        Medium,
        "How long a worker tries to catch up with the others.",
    ),
    (
        "worker.unsync.backoff.ms",
        Int,
        Some("300000"),
        Medium,
        "How long a worker that could not catch up stays away.",
    ),
    (
        "connect.protocol",
        Text,
        Some("sessioned"),
        Low,
        "Accepted for the sake of files written for Java.",
    ),
    (
        "inter.worker.key.ttl.ms",
        Int,
        Some("3600000"),
        Low,
        "How long a key for requests between workers lives.",
    ),
    (
        "inter.worker.key.generation.algorithm",
        Text,
        Some("HmacSHA256"),
        Low,
        "What keys between workers are for.",
    ),
    (
        "inter.worker.key.size",
        Int,
        None,
        Low,
        "The size of keys between workers.",
    ),
    (
        "inter.worker.signature.algorithm",
        Text,
        Some("HmacSHA256"),
        Low,
        "How requests between workers are signed.",
    ),
    (
        "inter.worker.verification.algorithms",
        List,
        Some("HmacSHA256"),
        Low,
        "Which signatures of other workers are taken.",
    ),
    (
        "metadata.recovery.strategy",
        Text,
        Some("rebootstrap"),
        Low,
        "What happens when no broker is known any more.",
    ),
    (
        "metadata.recovery.rebootstrap.trigger.ms",
        Long,
        Some("300000"),
        Low,
        "After so long without a broker the first addresses are tried again.",
    ),
];

/// Keys that begin so belong to clients, converters, providers, topics and the like, and are theirs to check.
const PREFIXES: &[&str] = &[
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "config.providers.",
    "listeners.https.",
    "admin.listeners.https.",
    "metrics.context.",
    "offset.storage.",
    "config.storage.",
    "status.storage.",
    "ssl.",
    "sasl.",
    "security.",
];

fn declared(rows: &[Row]) -> ConfigDef {
    rows.iter().fold(
        ConfigDef::new(),
        |def, &(name, kind, default, importance, documentation)| {
            let key = match default {
                Some(default) => ConfigKey::with_default(name, kind, default, importance, documentation),
                None => ConfigKey::optional(name, kind, importance, documentation),
            };
            def.with(match (kind, name) {
                (Int | Long, "send.buffer.bytes" | "receive.buffer.bytes") => key.between(-1, i64::MAX),
                (Int | Long, _) => key.between(0, i64::MAX),
                _ => key,
            })
        },
    )
}

/// The keys of a worker.
///
/// ```
/// use millstream_connect::config::worker::{WorkerMode, worker_def};
///
/// let keys = worker_def(WorkerMode::Standalone);
/// assert!(keys.key("offset.storage.file.filename").is_some());
/// assert_eq!(keys.suggest("offset.flush.intervall.ms"), Some("offset.flush.interval.ms"));
/// ```
pub fn worker_def(mode: WorkerMode) -> ConfigDef {
    let required =
        |name, kind, documentation| ConfigKey::required(name, kind, High, documentation).not_empty();
    let policies = "Which producer.override.*, consumer.override.* and admin.override.* keys connectors may have: All, None, Principal \
        (who they are: SASL and security.protocol), Allowlist.";
    let shared = ConfigDef::new()
        .with(required(
            "bootstrap.servers",
            List,
            "Brokers to begin with: HOST:PORT, separated by commas.",
        ))
        .with(required(
            "key.converter",
            Class,
            "Between keys and their bytes, for connectors that do not say it themselves.",
        ))
        .with(required(
            "value.converter",
            Class,
            "Between values and their bytes, for connectors that do not say it themselves.",
        ))
        .and(declared(SHARED))
        .with(
            ConfigKey::with_default(
                "connector.client.config.override.policy",
                Text,
                "All",
                Medium,
                policies,
            )
            .checked(override_policy),
        );
    match mode {
        WorkerMode::Standalone => shared.with(required(
            "offset.storage.file.filename",
            Text,
            "The file that source offsets are kept in.",
        )),
        WorkerMode::Distributed => distributed(shared),
    }
}

fn distributed(shared: ConfigDef) -> ConfigDef {
    let required = |name, documentation| ConfigKey::required(name, Text, High, documentation).not_empty();
    let number = |name: &str, kind, default, documentation| {
        ConfigKey::with_default(name, kind, default, Low, documentation).checked(positive_or_default)
    };
    let exactly_once = "Whether sources can deliver exactly once: disabled, preparing (the first step of enabling it in a running \
        group), enabled.";
    shared
        .with(required("group.id", "The name that workers of one group share."))
        .and(declared(DISTRIBUTED))
        .with(
            ConfigKey::with_default(
                "exactly.once.source.support",
                Text,
                "disabled",
                High,
                exactly_once,
            )
            .checked(|value| {
                let known = ["disabled", "preparing", "enabled"];
                match known.iter().any(|word| word.eq_ignore_ascii_case(value.trim())) {
                    true => Ok(()),
                    false => Err(
                        "String must be one of (case insensitive): DISABLED, ENABLED, PREPARING".to_owned(),
                    ),
                }
            }),
        )
        .with(required(
            "offset.storage.topic",
            "The compacted topic that source offsets are kept in.",
        ))
        .with(number(
            "offset.storage.partitions",
            Int,
            "25",
            "Partitions of that topic when it is made; -1 is the broker's default.",
        ))
        .with(number(
            "offset.storage.replication.factor",
            Short,
            "3",
            "Replicas of that topic when it is made; -1 is the broker's default.",
        ))
        .with(required(
            "config.storage.topic",
            "The compacted topic of one partition that connectors are kept in.",
        ))
        .with(number(
            "config.storage.replication.factor",
            Short,
            "3",
            "Replicas of that topic when it is made; -1 is the broker's default.",
        ))
        .with(required(
            "status.storage.topic",
            "The compacted topic that states are kept in.",
        ))
        .with(number(
            "status.storage.partitions",
            Int,
            "5",
            "Partitions of that topic when it is made; -1 is the broker's default.",
        ))
        .with(number(
            "status.storage.replication.factor",
            Short,
            "3",
            "Replicas of that topic when it is made; -1 is the broker's default.",
        ))
        .with(
            ConfigKey::with_default(
                "scheduled.rebalance.max.delay.ms",
                Int,
                "300000",
                Low,
                "How long tasks of a worker that left wait for it to come back before others take them.",
            )
            .between(0, i64::from(i32::MAX)),
        )
}

fn positive_or_default(value: &str) -> Result<(), String> {
    match value.trim().parse::<i64>() {
        Ok(number) if number == 0 || number < -1 => {
            Err("give a positive number, or -1 for the broker's default".to_owned())
        }
        _ => Ok(()),
    }
}

fn override_policy(value: &str) -> Result<(), String> {
    match super::overrides::OverridePolicy::parse(value) {
        Some(_) => Ok(()),
        None => Err("give All, None, Principal or Allowlist".to_owned()),
    }
}

/// A line for each key that no worker has, with the one that was probably meant.
pub fn warnings(mode: WorkerMode, given: &ConfigMap) -> Vec<String> {
    let def = worker_def(mode);
    let other = worker_def(match mode {
        WorkerMode::Standalone => WorkerMode::Distributed,
        WorkerMode::Distributed => WorkerMode::Standalone,
    });
    let unknown = given.keys().filter(|key| {
        let prefixed = PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        def.key(key).is_none() && !prefixed && *key != super::overrides::ALLOWLIST
    });
    unknown
        .map(|key| match (def.suggest(key), other.key(key)) {
            (_, Some(_)) => format!("{key} is not for this kind of worker, and has no effect"),
            (Some(meant), None) => format!("{key} is unknown and has no effect; did you mean {meant}?"),
            (None, None) => format!("{key} is unknown and has no effect"),
        })
        .collect()
}
