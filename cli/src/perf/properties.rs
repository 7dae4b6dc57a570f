//! Client properties of the perf commands: defaults that keep the client out of the way, under what the user says.
//!
//! The user's words are those of Kafka's Java clients; what librdkafka calls otherwise is translated here.

use rdkafka::ClientConfig;

use crate::client::{ConnectArgs, DEFAULT_BOOTSTRAP, split_property};
use crate::error::CliError;

/// Java clients' properties that have no meaning for this client.
const WITHOUT_EFFECT: [&str; 11] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "max.poll.records",
    "max.block.ms",
    "metric.reporters",
    "metrics.num.samples",
    "partitioner.class",
    "interceptor.classes",
    "auto.include.jmx.reporter",
];

/// How to reach the cluster, and with which properties.
#[derive(Debug)]
pub struct Client {
    /// The properties.
    pub config: ClientConfig,
    /// The cluster; a property may name it where the option does not.
    pub connect: ConnectArgs,
}

/// Defaults, then the file's properties, then those of `option`.
pub fn client(
    connect: &ConnectArgs,
    defaults: &[(&str, &str)],
    option: &str,
    properties: &[String],
) -> Result<Client, CliError> {
    let mut config = ClientConfig::new();
    config.set("client.id", "millstream-perf");
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    let mut given = connect.common.properties()?;
    for property in properties {
        let (key, value) = split_property(option, property)?;
        given.push((key.to_owned(), value.to_owned()));
    }
    let mut connect = connect.clone();
    let mut idempotence_given = false;
    let mut idempotent = true;
    for (key, value) in given {
        match key.as_str() {
            "bootstrap.servers" if connect.bootstrap_server == DEFAULT_BOOTSTRAP => {
                connect.bootstrap_server = value;
                continue;
            }
            "bootstrap.servers" => continue,
            "enable.idempotence" => idempotence_given = true,
            "acks" if !matches!(value.as_str(), "all" | "-1") => idempotent = false,
            _ => {}
        }
        set(&mut config, &key, value)?;
    }
    // As in Java's client: fewer acknowledgements switch idempotence off unless it was asked for.
    if !idempotent && !idempotence_given {
        config.set("enable.idempotence", "false");
    }
    config.set("bootstrap.servers", &connect.bootstrap_server);
    Ok(Client { config, connect })
}

/// Sets one property of Java's clients or of librdkafka.
fn set(config: &mut ClientConfig, key: &str, value: String) -> Result<(), CliError> {
    if WITHOUT_EFFECT.contains(&key) {
        tracing::warn!("client property {key} has no effect here");
        return Ok(());
    }
    match key {
        "buffer.memory" => {
            let bytes: u64 = value.parse().map_err(|_| {
                CliError::new(format!(
                    "client property buffer.memory={value}: give a number of bytes"
                ))
            })?;
            config.set(
                "queue.buffering.max.kbytes",
                bytes.div_ceil(1024).max(1).to_string(),
            );
        }
        "max.request.size" => {
            config.set("message.max.bytes", value);
        }
        "receive.buffer.bytes" => {
            config.set("socket.receive.buffer.bytes", value);
        }
        "send.buffer.bytes" => {
            config.set("socket.send.buffer.bytes", value);
        }
        "request.timeout.ms" => {
            config.set("socket.timeout.ms", value);
        }
        "fetch.max.wait.ms" => {
            config.set("fetch.wait.max.ms", value);
        }
        _ => {
            config.set(key, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ConnectCommonArgs;

    fn connect(bootstrap: &str) -> ConnectArgs {
        ConnectArgs {
            bootstrap_server: bootstrap.into(),
            common: ConnectCommonArgs {
                command_config: None,
                connect_timeout_ms: 1,
            },
        }
    }

    fn config(bootstrap: &str, properties: &[&str]) -> Client {
        let properties: Vec<String> = properties.iter().map(ToString::to_string).collect();
        let defaults = [("enable.idempotence", "true"), ("linger.ms", "5")];
        client(&connect(bootstrap), &defaults, "--producer-props", &properties).unwrap()
    }

    #[test]
    fn javas_words_are_translated() {
        let found = config(DEFAULT_BOOTSTRAP, &["buffer.memory=67108864", "linger.ms=0"]);
        assert_eq!(found.config.get("queue.buffering.max.kbytes"), Some("65536"));
        assert_eq!(found.config.get("linger.ms"), Some("0"));
        assert_eq!(found.config.get("enable.idempotence"), Some("true"));
    }

    #[test]
    fn fewer_acknowledgements_end_idempotence_unless_it_is_asked_for() {
        let found = config(DEFAULT_BOOTSTRAP, &["acks=1"]);
        assert_eq!(found.config.get("enable.idempotence"), Some("false"));
        let found = config(DEFAULT_BOOTSTRAP, &["acks=1", "enable.idempotence=true"]);
        assert_eq!(found.config.get("enable.idempotence"), Some("true"));
    }

    #[test]
    fn a_property_names_the_cluster_unless_the_option_does() {
        let found = config(DEFAULT_BOOTSTRAP, &["bootstrap.servers=a:1"]);
        assert_eq!(found.connect.bootstrap_server, "a:1");
        let found = config("b:2", &["bootstrap.servers=a:1"]);
        assert_eq!(found.config.get("bootstrap.servers"), Some("b:2"));
    }
}
