//! Configurations: maps of texts, and what their keys mean.
//!
//! Kafka Connect's `ConfigDef`: each plugin declares its keys with types, defaults, and documentation; the REST API shows the
//! declarations, validation reports every error at once, and unknown keys are warned about with a "did you mean".
//!
//! Owns: declarations ([`ConfigDef`]), parsed values ([`Config`]), secrets ([`Secret`], [`Secrets`](secrets::Secrets)). Does not own: which keys there are.
pub mod connector;
pub mod connector_file;
mod definition;
pub mod overrides;
mod parsed;
pub mod properties;
pub mod providers;
pub mod secrets;
mod validation;
pub mod worker;

use std::collections::BTreeMap;

pub use definition::{ConfigDef, ConfigKey, ConfigType, DefaultValue, Importance, Width};
pub use parsed::{Config, Secret};
pub use validation::{ConfigErrors, ConfigValue};

/// A configuration as files and the REST API give it.
pub type ConfigMap = BTreeMap<String, String>;
