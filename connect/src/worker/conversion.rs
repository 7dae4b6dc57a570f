//! The converters and transforms of a task.
use std::sync::Arc;

use crate::config::ConfigMap;
use crate::plugin::{Converter, HeaderConverter, PluginError, ReadsAsIs, Registry};
use crate::transform::TransformChain;
use crate::worker::WorkerConfig;

/// The converters of a task with their names, and its transforms.
pub(super) struct Conversion {
    pub(super) key: Box<dyn Converter>,
    pub(super) value: Box<dyn Converter>,
    pub(super) header: Box<dyn HeaderConverter>,
    pub(super) key_class: &'static str,
    pub(super) value_class: &'static str,
    pub(super) header_class: &'static str,
    pub(super) chain: TransformChain,
}

/// Kafka Connect's default for headers.
const SIMPLE_HEADERS: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

impl Conversion {
    /// Which values reach a sink as they are read, with nothing done to their records.
    pub(super) fn values_as_is(&self) -> ReadsAsIs {
        // Keys in which a converter may find fault have to be read.
        let free = self.chain.is_empty() && self.key.reads_as_is() != ReadsAsIs::Nothing;
        if free {
            self.value.reads_as_is()
        } else {
            ReadsAsIs::Nothing
        }
    }

    /// As the connector's configuration says, or, for each converter it does not name, the worker's.
    ///
    /// # Errors
    /// When a plugin is unknown or its configuration wrong.
    pub(super) fn new(
        registry: &Arc<Registry>,
        worker: &ConfigMap,
        connector: &ConfigMap,
    ) -> Result<Self, PluginError> {
        let named = |prefix: &str| {
            let source = if connector.contains_key(prefix) {
                connector
            } else {
                worker
            };
            let class = source.get(prefix).cloned();
            let under = format!("{prefix}.");
            let options: ConfigMap = source
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&under)?.to_owned(), value.clone())))
                .collect();
            (class, options)
        };
        let wrong =
            |key: &str, error: &dyn std::fmt::Display| PluginError::user_config(format!("{key}: {error}"));
        let converter = |key: &str, is_key: bool| {
            let (class, options) = named(key);
            let class =
                class.ok_or_else(|| wrong(key, &"neither the worker nor the connector names a converter"))?;
            let plugin = registry.converter(&class).map_err(|error| wrong(key, &error))?;
            let made = plugin
                .new_converter(&options, is_key)
                .map_err(|error| wrong(key, &error))?;
            Ok::<_, PluginError>((made, plugin.class()))
        };
        let (key, key_class) = converter("key.converter", true)?;
        let (value, value_class) = converter("value.converter", false)?;
        let (class, options) = named("header.converter");
        let class = class.unwrap_or_else(|| SIMPLE_HEADERS.to_owned());
        let plugin = registry
            .header_converter(&class)
            .map_err(|error| wrong("header.converter", &error))?;
        let header = plugin.new_header_converter(&options);
        Ok(Self {
            key,
            value,
            header: header.map_err(|error| wrong("header.converter", &error))?,
            key_class,
            value_class,
            header_class: plugin.class(),
            chain: TransformChain::new(connector, registry)?,
        })
    }
}

/// Whether the registry has the worker's converters.
pub(super) fn check_converters(config: &WorkerConfig, registry: &Registry) -> Result<(), PluginError> {
    for key in ["key.converter", "value.converter", "header.converter"] {
        let Some(class) = config.given.get(key).map(|class| class.trim()) else {
            continue;
        };
        let found = match key {
            "header.converter" => registry.header_converter(class).map(drop),
            _ => registry.converter(class).map(drop),
        };
        found.map_err(|error| PluginError::user_config(format!("{key}: {error}")))?;
    }
    Ok(())
}
