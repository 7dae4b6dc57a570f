//! The keys of `JsonConverter`.
use super::DecimalFormat;
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance, Width};
use crate::converter::{Role, converter_keys};
use crate::plugin::PluginError;

const SCHEMAS_ENABLE: &str = "schemas.enable";
const SCHEMAS_CACHE_SIZE: &str = "schemas.cache.size";
const SCHEMA_CONTENT: &str = "schema.content";
const DECIMAL_FORMAT: &str = "decimal.format";
const REPLACE_NULL: &str = "replace.null.with.default";

/// What was configured.
pub(super) struct JsonConfig {
    pub(super) envelope: bool,
    pub(super) schemas_kept: usize,
    pub(super) schema_content: Option<String>,
    pub(super) decimals: DecimalFormat,
    pub(super) replace_null: bool,
}

/// The keys.
pub(super) fn keys() -> ConfigDef {
    let schemas = "Schemas";
    let serialization = "Serialization";
    converter_keys()
        .with(
            ConfigKey::with_default(
                SCHEMAS_ENABLE,
                ConfigType::Boolean,
                "true",
                Importance::High,
                "Include schemas within each of the serialized values and keys.",
            )
            .grouped(schemas, 0, Width::Medium, "Enable Schemas"),
        )
        .with(
            ConfigKey::with_default(
                SCHEMAS_CACHE_SIZE,
                ConfigType::Int,
                "1000",
                Importance::High,
                "The maximum number of schemas that can be cached in this converter instance.",
            )
            .grouped(schemas, 1, Width::Medium, "Schema Cache Size"),
        )
        .with(
            ConfigKey::optional(
                SCHEMA_CONTENT,
                ConfigType::String,
                Importance::High,
                "When set, this is used as the schema for all messages, and the schemas within each of the messages are ignored. \
                 Otherwise the schema is part of each message. It applies only if schemas.enable is true, and only to sinks.",
            )
            .grouped(schemas, 2, Width::Medium, "Schema Content"),
        )
        .with(
            ConfigKey::with_default(
                DECIMAL_FORMAT,
                ConfigType::String,
                "BASE64",
                Importance::Low,
                "Controls which format this converter will serialize decimals in. This value is case insensitive and can be \
                 either 'BASE64' (default) or 'NUMERIC'",
            )
            .grouped(serialization, 0, Width::Medium, "Decimal Format")
            .one_of(&["BASE64", "NUMERIC"]),
        )
        .with(
            ConfigKey::with_default(
                REPLACE_NULL,
                ConfigType::Boolean,
                "true",
                Importance::Low,
                "Whether to replace fields that have a default value and that are null to the default value. When set to true, \
                 the default value is used, otherwise null is used.",
            )
            .grouped(serialization, 1, Width::Medium, "Replace null with default"),
        )
}

impl JsonConfig {
    pub(super) fn new(config: &ConfigMap, role: Role) -> Result<Self, PluginError> {
        let config = keys().parse(&role.within(config))?;
        let numeric = config.string(DECIMAL_FORMAT).eq_ignore_ascii_case("NUMERIC");
        let content = config.optional_string(SCHEMA_CONTENT);
        Ok(Self {
            envelope: config.boolean(SCHEMAS_ENABLE),
            schemas_kept: usize::try_from(config.int(SCHEMAS_CACHE_SIZE))
                .unwrap_or(0)
                .max(1),
            schema_content: content.filter(|content| !content.is_empty()).map(str::to_owned),
            decimals: match numeric {
                true => DecimalFormat::Numeric,
                false => DecimalFormat::Base64,
            },
            replace_null: config.boolean(REPLACE_NULL),
        })
    }
}
