//! `DropHeaders`: removes headers by name.
use std::collections::HashSet;

use super::fields::some_names;
use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::Record;

plugin_for_records!(DropHeadersPlugin, "DropHeaders", keys, DropHeaders::new);

fn keys() -> ConfigDef {
    ConfigDef::new().with(
        ConfigKey::required(
            "headers",
            ConfigType::List,
            Importance::High,
            "The name of the headers to be removed.",
        )
        .checked(some_names),
    )
}

struct DropHeaders {
    names: HashSet<String>,
}

impl DropHeaders {
    fn new(config: &Config) -> Result<Self, PluginError> {
        let names = config.list("headers").iter().cloned().collect();
        Ok(Self { names })
    }
}

impl Transform for DropHeaders {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        record
            .headers
            .retain(|header| !self.names.contains(&*header.name));
        Ok(Some(record))
    }
}
