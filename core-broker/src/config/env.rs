//! `KAFKA_…` environment variables, as container images of Kafka use them.
//!
//! Why: a compose file written for Kafka's image configures the broker by its environment alone. Owns: from the
//! name of a variable to a key, and which variables steer the image and not the broker. Does not own: what a key
//! means (`load`).
//!
//! Invariants: variables are taken in the order of their names, so the same environment gives the same warnings.

use std::collections::BTreeMap;

use super::BrokerConfig;
use super::load::{ConfigError, ConfigWarning};

const PREFIX: &str = "KAFKA_";

/// The variable that lists topics to make at the start; see [`crate::InitialTopic::parse_list`].
pub const CREATE_TOPICS: &str = "KAFKA_CREATE_TOPICS";

/// Variables for scripts and virtual machines of images, by prefix.
const IMAGE_CONTROL: &[&str] = &[
    CREATE_TOPICS,
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_JMX_",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_",
    "KAFKA_OPTS",
    "KAFKA_VERSION",
];

impl BrokerConfig {
    /// Applies the `KAFKA_…` variables among `variables` over the present values: `KAFKA_LOG_RETENTION_MS` is
    /// `log.retention.ms`, two underscores stand for one, three for a dash.
    ///
    /// # Errors
    /// The first value that does not fit its key; the config is then partly changed.
    pub fn apply_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<ConfigWarning>, ConfigError> {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .filter(|(name, _)| !IMAGE_CONTROL.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        let items: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| Some((key(name)?, value.as_str(), format!("environment {name}"))))
            .collect();
        let items = items
            .iter()
            .map(|(key, value, place)| (key.as_str(), *value, place.clone()));
        self.apply(items, "environment")
    }
}

/// The key a variable stands for, if it is one of Kafka's.
fn key(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX).filter(|rest| !rest.is_empty())?;
    let lower = rest.to_ascii_lowercase();
    // Through characters no variable holds, longest run first, as Kafka's image does it.
    let marked = lower.replace("___", "-").replace("__", "\0").replace('_', ".");
    Some(marked.replace('\0', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(list: &[(&str, &str)]) -> (BrokerConfig, Result<Vec<ConfigWarning>, ConfigError>) {
        let mut config = BrokerConfig::default();
        let owned = list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let result = config.apply_environment(owned);
        (config, result)
    }

    #[test]
    fn names_become_keys() {
        for (name, expected) in [
            ("KAFKA_NUM_PARTITIONS", Some("num.partitions")),
            ("KAFKA_A__B_C", Some("a_b.c")),
            ("KAFKA_A___B", Some("a-b")),
            ("KAFKA_A____B", Some("a-.b")),
            ("KAFKA_", None),
            ("PATH", None),
        ] {
            assert_eq!(key(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn values_apply_and_what_steers_the_image_is_passed_over() {
        let (config, result) = apply(&[
            ("KAFKA_NUM_PARTITIONS", "7"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("KAFKA_LOG4J_ROOT_LOGLEVEL", "WARN"),
            ("HOME", "/root"),
        ]);
        assert_eq!(result.unwrap(), Vec::new());
        assert_eq!(config.num_partitions, 7);
    }

    /// What the compose files of Kafka's own image say, in the order of names that `apply_environment` makes of it.
    #[test]
    fn the_listeners_of_an_image_for_one_node() {
        let image = [
            (
                "KAFKA_ADVERTISED_LISTENERS",
                "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092",
            ),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            (CREATE_TOPICS, "orders:4:1,users:2:1:compact"),
            (
                "KAFKA_LISTENERS",
                "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
            ),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "CONTROLLER:SSL,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
            ),
        ];
        let (config, result) = apply(&image);
        assert_eq!(result.unwrap(), Vec::new());
        assert_eq!(config.check(), Ok(()));
        let opened: Vec<_> = config.opened_listeners().map(|l| l.name.as_str()).collect();
        assert_eq!(opened, ["PLAINTEXT_HOST", "PLAINTEXT"]);

        // The file maps what only the environment opens.
        let mut config = BrokerConfig::default();
        let file = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:SSL";
        config.apply_properties(file, "f").unwrap();
        assert_eq!(config.check(), Ok(()));
        let listeners = ("KAFKA_LISTENERS".to_owned(), "OUT://:9092".to_owned());
        config.apply_environment([listeners]).unwrap();
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("maps listener OUT to SSL"), "{text}");
    }

    #[test]
    fn mistakes_name_the_variable() {
        let (_, result) = apply(&[("KAFKA_NUM_PARTITONS", "7")]);
        let text = result.unwrap()[0].to_string();
        assert!(
            text.contains("environment KAFKA_NUM_PARTITONS") && text.contains("did you mean num.partitions"),
            "{text}"
        );
        let (_, result) = apply(&[("KAFKA_NUM_PARTITIONS", "many")]);
        let text = result.unwrap_err().to_string();
        assert!(text.contains("environment KAFKA_NUM_PARTITIONS"), "{text}");
    }
}
