//! The keys of `ProtobufConverter`.
use crate::config::{Config, ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::converter::registry;
use crate::plugin::PluginError;

/// What is wanted beyond the registry. The defaults are Confluent's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) enhanced: bool,
    pub(super) scrub_names: bool,
    pub(super) enums_as_ints: bool,
    pub(super) optional_for_nullables: bool,
    pub(super) optional_for_proto2: bool,
    pub(super) wrapper_for_nullables: bool,
    pub(super) wrapper_for_primitives: bool,
    pub(super) struct_for_nulls: bool,
    pub(super) index_for_unions: bool,
    pub(super) flatten_unions: bool,
    pub(super) ignore_default: bool,
    pub(super) latest_strict: bool,
}

const SWITCHES: [(&str, &str, &str); 12] = [
    (
        "enhanced.protobuf.schema.support",
        "false",
        "Whether names of packages are kept in the names of schemas that are read.",
    ),
    (
        "scrub.invalid.names",
        "false",
        "Whether characters that Protobuf does not allow in names are replaced.",
    ),
    (
        "int.for.enums",
        "false",
        "Whether enums are read as their numbers instead of their names.",
    ),
    (
        "optional.for.nullables",
        "false",
        "Whether fields that may be null are labelled optional.",
    ),
    (
        "optional.for.proto2",
        "true",
        "Whether optional fields of proto2 are null where they are not given, and not their defaults.",
    ),
    (
        "wrapper.for.nullables",
        "false",
        "Whether fields that may be null are wrapped in messages such as google.protobuf.StringValue.",
    ),
    (
        "wrapper.for.raw.primitives",
        "true",
        "Whether messages such as google.protobuf.StringValue are read as the value in them.",
    ),
    (
        "generate.struct.for.nulls",
        "false",
        "Whether messages and optional fields that are not given are read as their defaults.",
    ),
    (
        "generate.index.for.unions",
        "true",
        "Whether the fields for oneofs have the number of the oneof at the end of their names.",
    ),
    (
        "flatten.unions",
        "false",
        "Whether members of oneofs are read as fields of the message.",
    ),
    (
        "ignore.default.for.nullables",
        "false",
        "Whether nothing is written for a field that is null and has a default.",
    ),
    (
        "latest.compatibility.strict",
        "true",
        "Whether use.latest.version=true refuses data whose fields do not agree with the latest schema.",
    ),
];

/// What writes the id before the data, and not into a header.
const PREFIX_SERIALIZER: &str = "io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer";

/// Keys of Confluent's that would change what is written or read, with the values that change nothing.
const REFUSED: [(&str, &str); 12] = [
    ("generalized.sum.type.support", "false"),
    ("schema.backup.enabled", "false"),
    ("skip.known.types", "true"),
    ("reference.lookup.only", "false"),
    ("use.schema.id", "-1"),
    ("use.schema.guid", ""),
    ("use.latest.with.metadata", ""),
    ("schema.format", ""),
    ("auto.register.schemas.with.tags", "false"),
    ("validation.rules.execution", "disabled"),
    ("key.schema.id.serializer", PREFIX_SERIALIZER),
    ("value.schema.id.serializer", PREFIX_SERIALIZER),
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

/// Refuses what this converter does not do.
pub(super) fn check_supported(config: &ConfigMap) -> Result<(), PluginError> {
    for (key, harmless) in REFUSED {
        let given = config.get(key).map(|value| value.trim());
        if let Some(value) = given
            && !value.is_empty()
            && !value.eq_ignore_ascii_case(harmless)
        {
            return Err(PluginError::user_config(format!(
                "{key}={value} is not supported by this ProtobufConverter; leave it out"
            )));
        }
    }
    Ok(())
}

impl Options {
    /// From values of the keys.
    pub(super) fn new(config: &Config) -> Self {
        let [
            enhanced,
            scrub_names,
            enums_as_ints,
            optional_for_nullables,
            optional_for_proto2,
            wrapper_for_nullables,
            wrapper_for_primitives,
            struct_for_nulls,
            index_for_unions,
            flatten_unions,
            ignore_default,
            latest_strict,
        ] = SWITCHES.map(|(name, _, _)| config.boolean(name));
        Self {
            enhanced,
            scrub_names,
            enums_as_ints,
            optional_for_nullables,
            optional_for_proto2,
            wrapper_for_nullables,
            wrapper_for_primitives,
            struct_for_nulls,
            index_for_unions,
            flatten_unions,
            ignore_default,
            latest_strict,
        }
    }
}
