//! Predicates.
use crate::plugin::Registry;

/// Adds all of Kafka Connect's.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
}
