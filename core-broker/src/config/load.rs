//! Putting text into a [`BrokerConfig`]: files, overrides, and what to say about keys that do not fit.
//!
//! Why: a misspelt key that is silently ignored costs an afternoon; a Kafka file full of cluster keys must still
//! start. Owns: aliases, the list of Kafka keys without meaning on a single node, the warnings.

use std::collections::BTreeMap;
use std::fmt;

use super::listener::Endpoint;
use super::properties::{PropertiesError, parse_properties};
use super::{BrokerConfig, KEYS};

/// Keys of other names for the same thing.
const ALIASES: &[(&str, &str)] = &[("broker.id", "node.id"), ("log.dir", "log.dirs")];

/// Kafka keys that mean nothing here, by prefix: quorum, replication, security, quotas, thread counts.
const NOT_APPLICABLE: &[&str] = &[
    "alter.config.",
    "authorizer.",
    "auto.include.jmx",
    "auto.leader.",
    "background.threads",
    "broker.heartbeat.",
    "broker.id.generation",
    "broker.rack",
    "broker.session.",
    "client.quota.",
    "compression.",
    "connection.failed.",
    "connections.max.reauth.",
    "control.plane.",
    "controlled.shutdown.",
    "controller.",
    "create.topic.",
    "default.replication.",
    "delegation.token.",
    "delete.records.",
    "early.start.",
    "eligible.leader.",
    "fetch.purgatory.",
    "follower.",
    "group.consumer.",
    "group.coordinator.",
    "group.share.",
    "group.streams.",
    "initial.broker.",
    "inter.broker.",
    "internal.",
    "kafka.",
    "leader.",
    "log.cleaner.",
    "log.delete.delay.",
    "log.dir.failure.",
    "log.flush.offset.",
    "log.flush.scheduler.",
    "log.flush.start.",
    "log.initial.",
    "log.local.",
    "log.message.format.",
    "log.message.timestamp.difference.",
    "log.message.downconversion.",
    "max.connection.creation.",
    "max.connections.per.",
    "metadata.",
    "metric",
    "min.insync.",
    "num.io.",
    "num.network.",
    "num.quota.",
    "num.recovery.",
    "num.replica.",
    "offsets.commit.",
    "offsets.load.",
    "offsets.topic.compression.",
    "offsets.topic.replication.",
    "password.",
    "principal.",
    "process.roles",
    "producer.id.",
    "producer.purgatory.",
    "queued.max.requests",
    "quota.",
    "remote.",
    "replica.",
    "replication.",
    "request.timeout.",
    "reserved.broker.",
    "sasl.",
    "security.",
    "server.max.",
    "share.",
    "socket.connection.",
    "socket.listen.",
    "socket.receive.",
    "socket.send.",
    "ssl.",
    "streams.",
    "telemetry.",
    "transaction.partition.",
    "transaction.state.log.load.",
    "transaction.state.log.min.",
    "transaction.state.log.replication.",
    "transaction.two.phase.",
    "unclean.",
    "unstable.",
    "zookeeper.",
];

/// A setting that stops the start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The value does not fit the key.
    #[error("{key}={value} at {place}: expected {expected}")]
    Value {
        /// The key as written.
        key: String,
        /// The value as written.
        value: String,
        /// File and line, or the name of the override.
        place: String,
        /// What would have fitted.
        expected: String,
    },
    /// The text is not a `.properties` file.
    #[error("{file}: {source}")]
    Syntax {
        /// Name of the file.
        file: String,
        /// Where and why.
        source: PropertiesError,
    },
    /// A listener speaks a protocol that is not offered.
    #[error(
        "listener.security.protocol.map maps listener {listener} to {protocol}, only PLAINTEXT is offered; \
         put a TLS proxy in front or listen on a private address"
    )]
    Protocol {
        /// The listener's name.
        listener: String,
        /// What it is mapped to.
        protocol: String,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Conflict(String),
}

/// A setting that does not stop the start but deserves a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigWarning {
    /// Nobody knows this key.
    Unknown {
        /// The key as written.
        key: String,
        /// File and line, or the name of the override.
        place: String,
        /// The nearest key that exists, if one is near.
        nearest: Option<&'static str>,
    },
    /// Keys of Kafka that mean nothing on a single node.
    NotApplicable {
        /// The keys, in the order of the file.
        keys: Vec<String>,
        /// The file, or `overrides`.
        place: String,
    },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown {
                key,
                place,
                nearest: Some(nearest),
            } => {
                write!(f, "unknown key {key} at {place}, did you mean {nearest}?")
            }
            Self::Unknown {
                key,
                place,
                nearest: None,
            } => write!(f, "unknown key {key} at {place}, it has no effect"),
            Self::NotApplicable { keys, place } => {
                write!(
                    f,
                    "keys of Kafka in {place} that have no effect on this single-node broker: {}",
                    keys.join(", ")
                )
            }
        }
    }
}

impl BrokerConfig {
    /// Applies the text of a `.properties` file over the present values.
    ///
    /// # Errors
    /// The first value that does not fit its key, or broken syntax; the config is then partly changed.
    pub fn apply_properties(&mut self, text: &str, file: &str) -> Result<Vec<ConfigWarning>, ConfigError> {
        let list = parse_properties(text).map_err(|source| ConfigError::Syntax {
            file: file.to_owned(),
            source,
        })?;
        let items = list
            .iter()
            .map(|p| (p.key.as_str(), p.value.as_str(), format!("{file}:{}", p.line)));
        self.apply(items, file)
    }

    /// Applies `key=value` overrides, as given on a command line, over the present values.
    ///
    /// # Errors
    /// The first value that does not fit its key; the config is then partly changed.
    pub fn apply_overrides(
        &mut self,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Vec<ConfigWarning>, ConfigError> {
        let items = overrides
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str(), format!("override {k}")));
        self.apply(items, "overrides")
    }

    pub(super) fn apply<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a str, &'a str, String)>,
        source: &str,
    ) -> Result<Vec<ConfigWarning>, ConfigError> {
        let mut warnings = Vec::new();
        let mut not_applicable = Vec::new();
        for (key, value, place) in items {
            let name = ALIASES
                .iter()
                .find(|(alias, _)| *alias == key)
                .map_or(key, |(_, name)| name);
            let value = value.trim();
            if let Some(known) = KEYS.iter().find(|k| k.name == name) {
                // Kafka's files write an unset value as an empty one.
                if value.is_empty() && (known.get)(&Self::default()).is_none() {
                    continue;
                }
                (known.set)(self, value).map_err(|expected| ConfigError::Value {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    place,
                    expected,
                })?;
            } else if is_kafkas(key) {
                not_applicable.push(key.to_owned());
            } else {
                warnings.push(ConfigWarning::Unknown {
                    key: key.to_owned(),
                    place,
                    nearest: nearest(key),
                });
            }
        }
        if !not_applicable.is_empty() {
            warnings.push(ConfigWarning::NotApplicable {
                keys: not_applicable,
                place: source.to_owned(),
            });
        }
        Ok(warnings)
    }

    /// Looks for settings that contradict each other; called when everything is read.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] names both, [`ConfigError::Protocol`] a listener that would have to be encrypted.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_protocols()?;
        let conflict = |text: String| Err(ConfigError::Conflict(text));
        for advertised in &self.advertised_listeners {
            if !self.listeners.iter().any(|l| l.name == advertised.name) {
                return conflict(format!(
                    "advertised.listeners names {advertised}, but listeners has no {}",
                    advertised.name
                ));
            }
            if advertised.is_wildcard() {
                return conflict(format!(
                    "advertised.listeners={advertised}: clients cannot connect to every interface, name a host"
                ));
            }
        }
        let (min, max) = (
            self.group_min_session_timeout_ms,
            self.group_max_session_timeout_ms,
        );
        if min > max {
            return conflict(format!(
                "group.min.session.timeout.ms={min} is above group.max.session.timeout.ms={max}"
            ));
        }
        Ok(())
    }

    /// The listeners that are opened: all but those of Kafka's controllers, which files for one node name too.
    pub(crate) fn opened_listeners(&self) -> impl Iterator<Item = &Endpoint> {
        let controllers = &self.controller_listener_names;
        self.listeners
            .iter()
            .filter(|listener| !controllers.iter().any(|c| c.eq_ignore_ascii_case(&listener.name)))
    }

    /// Once everything is read: a file may map listeners that the environment names.
    fn check_protocols(&self) -> Result<(), ConfigError> {
        for listener in self.opened_listeners() {
            match self.listener_security_protocol_map.protocol(&listener.name) {
                None | Some("PLAINTEXT") => {}
                Some(protocol) => {
                    return Err(ConfigError::Protocol {
                        listener: listener.name.clone(),
                        protocol: protocol.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether Kafka has such a key, without meaning here.
pub(super) fn is_kafkas(key: &str) -> bool {
    NOT_APPLICABLE.iter().any(|prefix| key.starts_with(prefix))
}

/// The known key nearest to a misspelt one, if it is near enough to be meant.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|k| (strsim::damerau_levenshtein(key, k.name), k.name))
        .min()
        .filter(|(distance, _)| *distance <= 1 + key.len() / 5)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::FlushMode;

    fn load(text: &str) -> (BrokerConfig, Vec<ConfigWarning>) {
        let mut config = BrokerConfig::default();
        let warnings = config.apply_properties(text, "f").unwrap();
        (config, warnings)
    }

    #[test]
    fn a_kafka_file_starts_with_one_line_about_cluster_keys() {
        let (config, warnings) = load(
            "process.roles=broker,controller\nnode.id=3\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
             listeners=PLAINTEXT://:9092\nnum.network.threads=3\nlog.dirs=/tmp/x\nnum.partitions=2\n\
             zookeeper.connect=localhost:2181\nlog.retention.hours=24\nmin.insync.replicas=1\n\
             listener.security.protocol.map=CONTROLLER:SSL,PLAINTEXT:PLAINTEXT\n",
        );
        assert_eq!((config.node_id, config.num_partitions), (3, 2));
        assert_eq!(config.effective_retention_ms(), 24 * 3_600_000);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0]
                .to_string()
                .contains("process.roles, controller.quorum"),
            "{}",
            warnings[0]
        );
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let (_, warnings) = load("\nnum.partition=1\ncompletely.else=1");
        assert_eq!(
            warnings[0].to_string(),
            "unknown key num.partition at f:2, did you mean num.partitions?"
        );
        assert_eq!(
            warnings[1].to_string(),
            "unknown key completely.else at f:3, it has no effect"
        );
    }

    #[test]
    fn bad_values_name_key_value_and_form() {
        for (text, says) in [
            (
                "num.partitions=0",
                "num.partitions=0 at f:1: expected an integer from 1 to 10000",
            ),
            (
                "num.partitions=x",
                "num.partitions=x at f:1: expected an integer from",
            ),
            ("flush.mode=fast", "expected sync"),
            ("listeners=SASL_SSL://h:1", "not offered"),
            ("listener.security.protocol.map=PLAINTEXT", "NAME:PROTOCOL"),
            ("log.dirs=/a,/b", "exactly one directory"),
            ("auto.create.topics.enable=yes", "true or false"),
            ("a=\\uzzzz", "line 1"),
        ] {
            let error = BrokerConfig::default()
                .apply_properties(text, "f")
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn flush_keys_map_to_a_mode() {
        for (text, mode) in [
            ("", FlushMode::Sync),
            ("log.flush.interval.messages=1", FlushMode::Sync),
            ("log.flush.interval.messages=10000", FlushMode::Os),
            ("log.flush.interval.ms=1000", FlushMode::Os),
            ("log.flush.interval.ms=1000\nflush.mode=sync", FlushMode::Sync),
            ("flush.mode=os", FlushMode::Os),
            ("log.flush.interval.ms=", FlushMode::Sync),
        ] {
            assert_eq!(load(text).0.effective_flush_mode(), mode, "{text}");
        }
    }

    #[test]
    fn overrides_and_aliases() {
        let mut config = BrokerConfig::default();
        let map = BTreeMap::from([
            ("broker.id".to_owned(), "9".to_owned()),
            ("log.dir".to_owned(), "/d".to_owned()),
        ]);
        assert!(config.apply_overrides(&map).unwrap().is_empty());
        assert_eq!((config.node_id, config.log_dirs), (9, Some("/d".into())));
    }

    #[test]
    fn contradictions_are_named() {
        for (text, says) in [
            (
                "listener.security.protocol.map=PLAINTEXT:SSL",
                "maps listener PLAINTEXT to SSL, only PLAINTEXT",
            ),
            (
                "listener.security.protocol.map=OUT:sasl_ssl\nlisteners=out://:1",
                "maps listener OUT to SASL_SSL",
            ),
            ("advertised.listeners=OTHER://h:1", "listeners has no OTHER"),
            ("advertised.listeners=PLAINTEXT://0.0.0.0:1", "name a host"),
            (
                "group.min.session.timeout.ms=10\ngroup.max.session.timeout.ms=9",
                "above",
            ),
        ] {
            let error = load(text).0.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(BrokerConfig::default().check(), Ok(()));
    }

    #[test]
    fn every_default_reads_back() {
        for key in KEYS {
            if let Some(text) = (key.get)(&BrokerConfig::default()) {
                let mut config = BrokerConfig::default();
                (key.set)(&mut config, &text).unwrap_or_else(|e| panic!("{}: {e}", key.name));
                assert_eq!(config, BrokerConfig::default());
            }
            assert!(!key.documentation.is_empty(), "{}", key.name);
        }
    }
}
