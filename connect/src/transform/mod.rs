//! Transforms: what changes records one by one, between a connector and its topics.
//!
//! Kafka Connect's own, by their class names and with their keys, and the [`TransformChain`] of a connector. A transform prepares itself for
//! each schema it meets ([`plans`]) and then only moves values: no schema is made per record, and text and bytes keep their buffers.
//!
//! Owns: the transforms, the chain and its keys. Does not own: predicates ([`predicate`](crate::predicate)), and what becomes of records that
//! fail ([`worker`](crate::worker)).
mod chain;
mod drop_headers;
mod extract_field;
mod field_path;
mod fields;
mod filter;
mod hoist_field;
mod plans;
mod regex_router;
mod side;
mod value_to_key;

pub use chain::{StageName, TransformChain, config_def_for};

use crate::plugin::Registry;
use side::Side::{Key, Value};

/// Adds all of Kafka Connect's.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with_transform(drop_headers::DropHeadersPlugin)
        .with_transform(extract_field::ExtractFieldPlugin(Key))
        .with_transform(extract_field::ExtractFieldPlugin(Value))
        .with_transform(filter::FilterPlugin)
        .with_transform(hoist_field::HoistFieldPlugin(Key))
        .with_transform(hoist_field::HoistFieldPlugin(Value))
        .with_transform(regex_router::RegexRouterPlugin)
        .with_transform(value_to_key::ValueToKeyPlugin)
}
