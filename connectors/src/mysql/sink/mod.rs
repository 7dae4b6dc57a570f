//! Writes rows of MySQL and MariaDB, each change once: `io.debezium.connector.jdbc.JdbcSinkConnector`, for these servers.
//!
//! The offsets of what was written are kept in a table beside the rows, and change in the same transactions (`offsets`); a task begins where
//! they say, whatever happened to the one before it. So each record is written once, with InnoDB.
//!
//! # Layout
//!
//! A record's way: `change` says what it asks for, `catalog` which table that is (`table`, `column`; `ddl` makes it) and how it becomes a row
//! (`plan`), `batch` makes text of it (`value`), `arrange` puts rows together, `statement` makes statements of them, `transaction` runs them in
//! a `session`, and `writing` sees to it that this happens once. Only `catalog` and the last three know of a connection.
mod arrange;
mod batch;
mod catalog;
mod change;
mod column;
mod config;
mod ddl;
mod deferred;
mod lanes;
mod naming;
mod offsets;
mod partitions;
mod plan;
mod recovery;
mod refusal;
mod server;
mod session;
mod spellings;
mod statement;
mod stored;
mod table;
mod task;
mod transaction;
mod value;
mod writing;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, ExactlyOnceSupport, PartitionOffset, Plugin, PluginError, SameForAll, SinkPlugin, SinkTask,
    TopicPartition, Validated,
};

use config::SinkConfig;

/// The sink that writes rows of MySQL and MariaDB.
#[derive(Debug, Clone, Copy)]
pub struct MySqlSink;

impl Plugin for MySqlSink {
    fn class(&self) -> &'static str {
        "io.debezium.connector.jdbc.JdbcSinkConnector"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[
            "mysql-sink",
            "MySqlSink",
            "MySqlSinkConnector",
            "io.confluent.connect.jdbc.JdbcSinkConnector",
        ]
    }

    fn config_def(&self) -> ConfigDef {
        config::definition()
    }
}

fn config_error(errors: Vec<(String, String)>) -> PluginError {
    let errors: Vec<String> = errors
        .iter()
        .map(|(key, error)| format!("{key}: {error}"))
        .collect();
    PluginError::user_config(errors.join("; "))
}

/// A name that no other task has, in this process or another.
fn new_owner() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let random = || BuildHasher::hash_one(&RandomState::new(), number);
    format!("{:016x}{:016x}-{number}", random(), random())
}

impl SinkPlugin for MySqlSink {
    fn validate(&self, config: &ConfigMap) -> Validated {
        let mut values = self.config_def().validate(config);
        if let Err(errors) = SinkConfig::parse(config) {
            for (key, error) in errors {
                let value = values.iter_mut().find(|value| value.name == key);
                if let Some(value) = value.filter(|value| value.errors.is_empty()) {
                    value.errors.push(error);
                }
            }
        }
        // A URL may have a password in it.
        for value in values.iter_mut().filter(|value| value.name == "connection.url") {
            let url = value.value.take();
            value.value = url.map(|url| config::shown_url(&url));
        }
        values
    }

    /// Into tables of InnoDB, which are the only ones unless others are allowed.
    fn exactly_once(&self, config: &ConfigMap) -> ExactlyOnceSupport {
        match SinkConfig::parse(config).is_ok_and(|config| !config.non_transactional) {
            true => ExactlyOnceSupport::Supported,
            false => ExactlyOnceSupport::Unsupported,
        }
    }

    fn alter_offsets(
        &self,
        config: &ConfigMap,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), PluginError> {
        stored::alter(config, offsets)
    }

    fn owned_offsets(&self, config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
        stored::owned(config)
    }

    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(usize::MAX))
    }

    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(task::MySqlSinkTask::default())
    }
}
