//! Predicates: which records a transform is for.
//!
//! Kafka Connect's three, by their class names. Java's regular expressions are read here too, for them and for transforms.
//!
//! Owns: the predicates. Does not own: which transform asks which one ([`transform`](crate::transform)).
mod has_header_key;
pub mod java_regex;
mod record_is_tombstone;
mod topic_name_matches;

use crate::plugin::Registry;

/// Adds all of Kafka Connect's.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .with_predicate(has_header_key::HasHeaderKeyPlugin)
        .with_predicate(record_is_tombstone::RecordIsTombstonePlugin)
        .with_predicate(topic_name_matches::TopicNameMatchesPlugin)
}
