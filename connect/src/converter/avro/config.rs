//! The keys of `AvroConverter`.
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::converter::registry;

/// What is wanted beyond the registry. The defaults are Confluent's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) meta_data: bool,
    pub(super) enhanced: bool,
    pub(super) ignore_default: bool,
    pub(super) scrub_names: bool,
    pub(super) discard_doc: bool,
    pub(super) optional_map_keys: bool,
    pub(super) flatten_unions: bool,
}

const SWITCHES: [(&str, &str, &str); 7] = [
    (
        "connect.meta.data",
        "true",
        "Whether names, versions, parameters, defaults and documentation of Connect's schemas are kept in Avro's as properties.",
    ),
    (
        "enhanced.avro.schema.support",
        "false",
        "Whether enums stay enums, and branches of unions are named with their namespaces.",
    ),
    (
        "ignore.default.for.nullables",
        "false",
        "Whether null is written for a field that is null and has a default.",
    ),
    (
        "scrub.invalid.names",
        "false",
        "Whether characters that Avro does not allow in names are replaced.",
    ),
    (
        "discard.type.doc.default",
        "false",
        "Whether documentation and defaults of fields are those of their schemas, and not kept as parameters.",
    ),
    (
        "allow.optional.map.keys",
        "false",
        "Whether maps with optional texts for keys are written as maps.",
    ),
    (
        "flatten.singleton.unions",
        "true",
        "Whether a union of one type is read as that type.",
    ),
];

/// How many schemas are prepared at a time.
pub(super) const CACHE_SIZE: &str = "schemas.cache.config";

/// The keys.
pub(super) fn keys() -> ConfigDef {
    let low = Importance::Low;
    let cache = ConfigKey::with_default(
        CACHE_SIZE,
        ConfigType::Int,
        "1000",
        low,
        "How many schemas are kept prepared.",
    );
    let keys = registry::keys().with(cache.between(1, i32::MAX.into()));
    SWITCHES.iter().fold(keys, |keys, (name, default, doc)| {
        keys.with(ConfigKey::with_default(
            name,
            ConfigType::Boolean,
            default,
            low,
            doc,
        ))
    })
}

impl Options {
    /// From values of the keys.
    pub(super) fn new(config: &Config) -> Self {
        let [
            meta_data,
            enhanced,
            ignore_default,
            scrub_names,
            discard_doc,
            optional_map_keys,
            flatten_unions,
        ] = SWITCHES.map(|(name, _, _)| config.boolean(name));
        Self {
            meta_data,
            enhanced,
            ignore_default,
            scrub_names,
            discard_doc,
            optional_map_keys,
            flatten_unions,
        }
    }
}
