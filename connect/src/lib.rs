//! The Connect runtime: the plugin API for sources and sinks, converters, transforms and the workers that run them.
//!
//! * [`record`]: what is handed on; [`config`]: maps of texts and what their keys mean;
//! * [`plugin`]: the traits of plugins and their registry; [`converter`], [`transform`], [`predicate`]: Kafka Connect's own;
//! * [`mod@arrow`]: records as columns and back;
//! * [`worker`]: the threads that run tasks, offsets, errors; [`herder`]: which connectors there are; [`rest`]: Kafka Connect's REST API;
//! * [`standalone`]: all of it as a worker inside a program.
//!
//! It reaches a cluster only through the Kafka protocol and never into the broker's inside.
#![deny(unsafe_code)]
pub mod arrow;
mod cluster;
pub mod config;
pub mod converter;
pub mod herder;
pub mod plugin;
pub mod predicate;
pub mod record;
pub mod rest;
pub mod standalone;
pub mod transform;
pub mod worker;
