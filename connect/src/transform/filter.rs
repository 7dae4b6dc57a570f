//! `Filter`: drops records; a predicate says which.
use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef};
use crate::plugin::{PluginError, Transform};
use crate::record::Record;

plugin_for_records!(FilterPlugin, "Filter", ConfigDef::new, Filter::new);

struct Filter;

impl Filter {
    fn new(_config: &Config) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl Transform for Filter {
    fn apply(&mut self, _record: Record) -> Result<Option<Record>, PluginError> {
        Ok(None)
    }
}
