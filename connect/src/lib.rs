//! The Connect runtime: the plugin API for sources and sinks, converters, transforms and the workers that run them.
//!
//! Nothing of it exists yet; the crate holds the place that `ARCHITECTURE.md` gives it. It will own the record model,
//! the plugin traits and their registry, converters, transforms, the standalone and distributed workers and the REST
//! API of Kafka Connect. It reaches a cluster only through the Kafka protocol and never into the broker's inside.
