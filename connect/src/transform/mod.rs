//! Transforms: what changes records one by one, between a connector and its topics.
//!
//! Kafka Connect's own, by their class names and with their keys, and the [`TransformChain`] of a connector. A transform prepares itself for
//! each schema it meets and then only moves values: no schema is made per record, and text and bytes keep their buffers.
//!
//! Owns: the transforms, the chain and its keys. Does not own: predicates ([`predicate`](crate::predicate)), and what becomes of records that
//! fail ([`worker`](crate::worker)).
mod cast;
mod chain;
mod chain_keys;
mod date_format;
mod drop_headers;
mod extract_field;
mod field_path;
mod fields;
mod filter;
mod flatten;
#[cfg(test)]
mod golden;
mod header_from;
mod hoist_field;
mod insert_field;
mod insert_header;
mod mask_field;
mod number;
mod plans;
mod regex_router;
mod replace_field;
#[cfg(test)]
mod reuse;
mod set_schema_metadata;
mod side;
mod timestamp_converter;
mod timestamp_router;
mod value_to_key;

pub use chain::{StageName, TransformChain};
pub use chain_keys::config_def_for;
/// What other crates' transforms are written with, too.
pub use plans::Plans;

pub use crate::predicate::java_regex::{JavaRegex, Replacement};

use crate::plugin::Registry;
use side::Side::{Key, Value};

/// Adds all of Kafka Connect's.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with_transform(cast::CastPlugin(Key))
        .with_transform(cast::CastPlugin(Value))
        .with_transform(drop_headers::DropHeadersPlugin)
        .with_transform(extract_field::ExtractFieldPlugin(Key))
        .with_transform(extract_field::ExtractFieldPlugin(Value))
        .with_transform(filter::FilterPlugin)
        .with_transform(flatten::FlattenPlugin(Key))
        .with_transform(flatten::FlattenPlugin(Value))
        .with_transform(header_from::HeaderFromPlugin(Key))
        .with_transform(header_from::HeaderFromPlugin(Value))
        .with_transform(hoist_field::HoistFieldPlugin(Key))
        .with_transform(hoist_field::HoistFieldPlugin(Value))
        .with_transform(insert_field::InsertFieldPlugin(Key))
        .with_transform(insert_field::InsertFieldPlugin(Value))
        .with_transform(insert_header::InsertHeaderPlugin)
        .with_transform(mask_field::MaskFieldPlugin(Key))
        .with_transform(mask_field::MaskFieldPlugin(Value))
        .with_transform(regex_router::RegexRouterPlugin)
        .with_transform(replace_field::ReplaceFieldPlugin(Key))
        .with_transform(replace_field::ReplaceFieldPlugin(Value))
        .with_transform(set_schema_metadata::SetSchemaMetadataPlugin(Key))
        .with_transform(set_schema_metadata::SetSchemaMetadataPlugin(Value))
        .with_transform(timestamp_converter::TimestampConverterPlugin(Key))
        .with_transform(timestamp_converter::TimestampConverterPlugin(Value))
        .with_transform(timestamp_router::TimestampRouterPlugin)
        .with_transform(value_to_key::ValueToKeyPlugin)
}
