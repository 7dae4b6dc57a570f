//! Changes of MySQL and MariaDB as records: `io.debezium.connector.mysql.MySqlConnector` and its sister for MariaDB.
//!
//! One task reads the server's log as a replica does (`connection`, `link`), makes transactions of it ([`stream`](super::stream)) and records of their
//! rows ([`record`](super::record)), while readers on connections of their own tell what tables held already ([`snapshot`](super::snapshot)).
//!
//! * `task`: waits, hands over, and is told when to stop. `running`: the parts, driven without waiting. `telling`, `change`: steps as records.
//! * `ready`: whether the server can be read. `start`: where to begin: what is stored, and what the server still has; `prepared`: XA
//!   transactions across that place. `connection`, `link`, `backoff`: reading, and reading again.
//! * `tables`, `describe`: what tables are where the stream stands. `announce`: the same as statements, where a source begins.
//!   `side`: the statement that runs with heartbeats. `batch`: what is handed over. `progress`: lines of the log on snapshots.
//!
//! Offsets, records and the state of snapshots go into one transaction of Kafka: nothing is told twice, and nothing is lost.
pub(in crate::mysql) mod announce;
mod backoff;
mod batch;
mod change;
mod computed;
mod connection;
mod describe;
mod error;
mod link;
mod prepared;
mod progress;
mod ready;
mod running;
mod scout;
mod side;
mod start;
mod tables;
mod task;
mod telling;

#[cfg(test)]
mod tests;

use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, ExactlyOnceSupport, Plugin, PluginError, SameForAll, SourceOffset, SourcePartition,
    SourcePlugin, SourceTask, Validated,
};

use super::client::server::Flavour;
use super::config;
use super::offset::Offset;

/// The source of changes of MySQL.
#[derive(Debug, Clone, Copy)]
pub struct MySqlSource;

/// The source of changes of MariaDB. It reads the same logs, with the defaults of Debezium's connector for MariaDB.
#[derive(Debug, Clone, Copy)]
pub struct MariaDbSource;

macro_rules! source {
    ($source:ident, $flavour:expr, $class:literal, $aliases:expr) => {
        impl Plugin for $source {
            fn class(&self) -> &'static str {
                $class
            }

            fn aliases(&self) -> &'static [&'static str] {
                $aliases
            }

            fn config_def(&self) -> ConfigDef {
                config::definition($flavour)
            }
        }

        impl SourcePlugin for $source {
            fn validate(&self, given: &ConfigMap) -> Validated {
                let mut values = config::validate($flavour, given);
                ready::validate($flavour, given, &mut values);
                values
            }

            /// Positions say exactly what was read, down to the row.
            fn exactly_once(&self, _config: &ConfigMap) -> ExactlyOnceSupport {
                ExactlyOnceSupport::Supported
            }

            /// Transactions of the server.
            fn defines_transaction_boundaries(&self, _config: &ConfigMap) -> bool {
                true
            }

            fn alter_offsets(
                &self,
                given: &ConfigMap,
                offsets: &[(SourcePartition, Option<SourceOffset>)],
            ) -> Result<(), PluginError> {
                alter_offsets(given, offsets)
            }

            fn new_connector(&self) -> Box<dyn Connector> {
                Box::new(SameForAll::new(1))
            }

            fn new_task(&self) -> Box<dyn SourceTask> {
                Box::new(task::MySqlTask::new($flavour))
            }
        }
    };
}

source!(
    MySqlSource,
    Flavour::MySql,
    "io.debezium.connector.mysql.MySqlConnector",
    &["mysql", "MySqlSource", "MySqlSourceConnector"]
);
source!(
    MariaDbSource,
    Flavour::MariaDb,
    "io.debezium.connector.mariadb.MariaDbConnector",
    &["mariadb", "MariaDbSource", "MariaDbSourceConnector"]
);

fn alter_offsets(
    given: &ConfigMap,
    offsets: &[(SourcePartition, Option<SourceOffset>)],
) -> Result<(), PluginError> {
    let prefix = given.get("topic.prefix").map_or("", |prefix| prefix.trim());
    offsets.iter().try_for_each(|(partition, offset)| {
        Offset::check(prefix, partition, offset.as_ref())
            .map_err(|error| PluginError::user_config(error.to_string()))
    })
}
