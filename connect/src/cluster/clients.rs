//! The options of clients, in the names of Java's, for librdkafka.
//!
//! Many names are the same. Some are called differently, some mean nothing here (serializers, interceptors, JMX) and are
//! passed over, and what neither knows is warned about: as Java's clients do, so that property files carry over.
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::ConfigMap;
use crate::plugin::PluginError;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    Admin,
}

impl Role {
    /// What stands before the worker's keys for such clients.
    fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.",
            Self::Consumer => "consumer.",
            Self::Admin => "admin.",
        }
    }
}

/// Options that librdkafka calls differently.
const RENAMED: &[(&str, &str)] = &[
    ("max.request.size", "message.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("compression.gzip.level", "compression.level"),
    ("compression.lz4.level", "compression.level"),
    ("compression.zstd.level", "compression.level"),
];

/// Options that Java's clients have and that mean nothing here.
const MEANINGLESS: &[&str] = &[
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "interceptor.classes",
    "metric.reporters",
    "max.block.ms",
    "max.poll.records",
    "partitioner.class",
    "partitioner.ignore.keys",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "partition.assignment.strategy",
    "default.api.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.connection.setup.timeout.max.ms",
    "exclude.internal.topics",
    "auto.include.jmx.reporter",
    "security.providers",
    "enable.metrics.push",
    "metadata.max.idle.ms",
    "metadata.recovery.strategy",
    "metadata.recovery.rebootstrap.trigger.ms",
    "group.protocol",
    "group.remote.assignor",
    "enable.auto.commit",
    "config.providers",
];

/// Keys of the worker that every client gets, as in Java's workers.
const SHARED: &[&str] = &[
    "security.protocol",
    "client.rack",
    "client.dns.lookup",
    "metadata.max.age.ms",
];
/// What stands before more of them.
const SHARED_PREFIXES: &[&str] = &["sasl.", "ssl."];

/// A client's options: the worker's for that role, then those of the connector (`producer.override.` and the like).
///
/// # Errors
/// When an option's value is not understood; the message names the key.
pub(crate) fn client(
    role: Role,
    bootstrap: &str,
    name: &str,
    worker: &ConfigMap,
    connector: &ConfigMap,
) -> Result<ClientConfig, PluginError> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", bootstrap).set("client.id", name);
    client.set_log_level(RDKafkaLogLevel::Warning);
    defaults(role, &mut client);
    for (key, value) in worker {
        let shared = SHARED.contains(&&**key) || SHARED_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        if shared && !value.is_empty() {
            apply(&mut client, key, key, value)?;
        }
    }
    for (key, value) in worker {
        if let Some(bare) = key.strip_prefix(role.prefix()) {
            apply(&mut client, key, bare, value)?;
        }
    }
    let prefix = format!("{}override.", role.prefix());
    for (key, value) in connector {
        if let Some(bare) = key.strip_prefix(&prefix) {
            apply(&mut client, key, bare, value)?;
        }
    }
    Ok(client)
}

fn defaults(role: Role, client: &mut ClientConfig) {
    match role {
        Role::Producer => client
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Java's placement of keyed records.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", "32768")
            // One batch: while it is on its way the next one is encoded. With more, the client's threads and the task's wait for each other's
            // locks record by record, for a quarter of the CPU time.
            .set("queue.buffering.max.messages", "10000")
            // As Kafka Connect: an outage of the cluster is waited out.
            .set("delivery.timeout.ms", "2147483647")
            .set("message.max.bytes", "1048576")
            .set("delivery.report.only.error", "true"),
        Role::Consumer => client
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "true")
            // With the default of 1 s a full local queue stalls fetching far longer than the queue lasts.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "5"),
        Role::Admin => client,
    };
}

/// Sets `key` to `value`; `given` is the key as the user wrote it.
fn apply(client: &mut ClientConfig, given: &str, key: &str, value: &str) -> Result<(), PluginError> {
    let wrong = |why: String| PluginError::user_config(format!("{given}: {why}"));
    if MEANINGLESS.contains(&key) || key.starts_with("metrics.") {
        return Ok(());
    }
    match key {
        "buffer.memory" => {
            let bytes: u64 = value
                .trim()
                .parse()
                .map_err(|_| wrong("not a number of bytes".to_owned()))?;
            client.set("queue.buffering.max.kbytes", (bytes / 1024).max(1).to_string());
            return Ok(());
        }
        "sasl.jaas.config" => return jaas(client, given, value),
        "ssl.truststore.location" | "ssl.keystore.location" if !value.ends_with(".pem") => {
            return Err(wrong(
                "Java key stores are not read here; export the certificates as PEM and name them with ssl.ca.location, \
                 ssl.certificate.location and ssl.key.location"
                    .to_owned(),
            ));
        }
        "ssl.truststore.location" => return probed(client, given, "ssl.ca.location", value),
        "ssl.keystore.location" => {
            probed(client, given, "ssl.certificate.location", value)?;
            return probed(client, given, "ssl.key.location", value);
        }
        "ssl.truststore.type" | "ssl.keystore.type" => return Ok(()),
        // "none" is an error where no offset is stored.
        "auto.offset.reset" if value.trim() == "none" => return probed(client, given, key, "error"),
        _ => {}
    }
    let renamed = RENAMED
        .iter()
        .find(|(java, _)| *java == key)
        .map_or(key, |(_, ours)| *ours);
    probed(client, given, renamed, value.trim())
}

/// Sets an option if librdkafka takes it.
fn probed(client: &mut ClientConfig, given: &str, key: &str, value: &str) -> Result<(), PluginError> {
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;
    let mut probe = ClientConfig::new();
    match probe.set(key, value).create_native_config() {
        Ok(_) => {
            client.set(key, value);
            Ok(())
        }
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            tracing::warn!(
                key = given,
                "the client library has no such option; it is passed over"
            );
            Ok(())
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => Err(PluginError::user_config(format!(
            "{given}: the client library does not take it: {reason}"
        ))),
        Err(error) => Err(PluginError::user_config(format!("{given}: {error}"))),
    }
}

/// `org.apache.kafka.common.security.plain.PlainLoginModule required username="…" password="…";`
fn jaas(client: &mut ClientConfig, given: &str, value: &str) -> Result<(), PluginError> {
    let option = |name: &str| {
        let at = value.find(&format!("{name}=\""))? + name.len() + 2;
        let mut text = String::new();
        let mut characters = value[at..].chars();
        loop {
            match characters.next()? {
                '"' => return Some(text),
                '\\' => text.push(characters.next()?),
                other => text.push(other),
            }
        }
    };
    let (Some(username), Some(password)) = (option("username"), option("password")) else {
        return Err(PluginError::user_config(format!(
            "{given}: only a login module with username=\"…\" and password=\"…\" is understood"
        )));
    };
    client
        .set("sasl.username", username)
        .set("sasl.password", password);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        role: Role,
        worker: &[(&str, &str)],
        connector: &[(&str, &str)],
    ) -> Result<ClientConfig, PluginError> {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        client(role, "localhost:9092", "test", &map(worker), &map(connector))
    }

    #[test]
    fn the_names_of_javas_clients_are_understood() {
        let worker = [
            ("producer.max.request.size", "2000000"),
            ("producer.buffer.memory", "33554432"),
            (
                "producer.key.serializer",
                "org.apache.kafka.common.serialization.ByteArraySerializer",
            ),
            ("producer.unheard.of", "1"),
            ("consumer.fetch.max.wait.ms", "77"),
            ("offset.flush.interval.ms", "10000"),
        ];
        let client = of(Role::Producer, &worker, &[("producer.override.linger.ms", "50")]).unwrap();
        assert_eq!(client.get("message.max.bytes"), Some("2000000"));
        assert_eq!(client.get("queue.buffering.max.kbytes"), Some("32768"));
        assert_eq!(client.get("linger.ms"), Some("50"));
        assert_eq!(client.get("key.serializer"), None);
        assert_eq!(client.get("unheard.of"), None);
        assert_eq!(
            of(Role::Consumer, &worker, &[]).unwrap().get("fetch.wait.max.ms"),
            Some("77")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = of(Role::Producer, &[], &[("producer.override.acks", "many")]).unwrap_err();
        assert!(
            error.to_string().starts_with("producer.override.acks: "),
            "{error}"
        );
        let error = of(Role::Admin, &[("ssl.truststore.location", "/a/b.jks")], &[]).unwrap_err();
        assert!(error.to_string().contains("ssl.ca.location"), "{error}");
    }

    #[test]
    fn a_login_module_gives_name_and_password() {
        let jaas = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="a\"b";"#;
        let client = of(Role::Admin, &[("sasl.jaas.config", jaas)], &[]).unwrap();
        assert_eq!(
            (client.get("sasl.username"), client.get("sasl.password")),
            (Some("me"), Some("a\"b"))
        );
        let error = of(Role::Admin, &[("sasl.jaas.config", "x password=\"secret\"")], &[]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
