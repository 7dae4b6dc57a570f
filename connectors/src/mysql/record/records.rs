//! What all records of a source share.
use std::sync::Arc;

use crate::mysql::config::{Filters, RecordConfig};

/// Whose connector's records these are: Debezium has one for each, and its name stands in schemas and in `source`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Connector {
    /// `mysql`.
    #[default]
    MySql,
    /// `mariadb`.
    MariaDb,
}

/// What all records of a source share: settings, names, and the schemas that no table decides. It is made once.
#[derive(Debug)]
pub struct Records {
    pub(super) config: RecordConfig,
    pub(super) filters: Filters,
    pub(super) connector: Connector,
}

impl Records {
    /// Of a source that is told this.
    #[must_use]
    pub fn new(config: RecordConfig, filters: Filters, connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            config,
            filters,
            connector,
        })
    }
}
