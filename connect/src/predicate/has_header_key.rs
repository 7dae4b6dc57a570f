//! `HasHeaderKey`: records with a header of a name.
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::plugin::{Plugin, PluginError, Predicate, PredicatePlugin};
use crate::record::Record;

/// The plugin `HasHeaderKey`.
pub(crate) struct HasHeaderKeyPlugin;

impl Plugin for HasHeaderKeyPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.transforms.predicates.HasHeaderKey"
    }

    fn config_def(&self) -> ConfigDef {
        let name = ConfigKey::required("name", ConfigType::String, Importance::Medium, "The header name.");
        ConfigDef::new().with(name.not_empty())
    }
}

impl PredicatePlugin for HasHeaderKeyPlugin {
    fn new_predicate(&self, config: &ConfigMap) -> Result<Box<dyn Predicate>, PluginError> {
        let config = self.config_def().parse(config)?;
        Ok(Box::new(HasHeaderKey {
            name: config.string("name").to_owned(),
        }))
    }
}

struct HasHeaderKey {
    name: String,
}

impl Predicate for HasHeaderKey {
    fn test(&mut self, record: &Record) -> bool {
        record.headers.iter().any(|header| *header.name == *self.name)
    }
}
