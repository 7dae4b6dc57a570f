//! Debezium's properties, read as a source reads them.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mysql::client::server::Flavour;
use crate::mysql::config::{FailureMode, parse};
use crate::mysql::record::{Connector, Records};

/// What a run of Debezium was told.
pub(super) fn records(properties: &BTreeMap<String, String>, connector: Connector) -> Arc<Records> {
    let flavour = match connector {
        Connector::MySql => Flavour::MySql,
        Connector::MariaDb => Flavour::MariaDb,
    };
    let mut given = properties.clone();
    // It is refused; the one run that has it is compared without the records that it drops.
    given.remove("skip.messages.without.change");
    let told = parse(flavour, &given.into_iter().collect()).unwrap().config;
    let mut config = told.records;
    // What Debezium does of itself (event.converting.failure.handling.mode).
    config.failures = FailureMode::Warn;
    Records::new(config, told.filters, connector)
}
