//! `RecordIsTombstone`: records without a value.
use crate::config::{ConfigDef, ConfigMap};
use crate::plugin::{Plugin, PluginError, Predicate, PredicatePlugin};
use crate::record::Record;

/// The plugin `RecordIsTombstone`.
pub(crate) struct RecordIsTombstonePlugin;

impl Plugin for RecordIsTombstonePlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"
    }

    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
    }
}

impl PredicatePlugin for RecordIsTombstonePlugin {
    fn new_predicate(&self, _config: &ConfigMap) -> Result<Box<dyn Predicate>, PluginError> {
        Ok(Box::new(RecordIsTombstone))
    }
}

struct RecordIsTombstone;

impl Predicate for RecordIsTombstone {
    fn test(&mut self, record: &Record) -> bool {
        record.value.is_null()
    }
}
