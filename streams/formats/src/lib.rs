//! Avro and Protobuf for Streams: [`avro`], [`protobuf`], and Debezium's envelopes in both, [`debezium_avro`] and [`debezium_protobuf`].
//!
//! Bytes are made and read by Connect's converters, so that they are those that Confluent's serializers and Kafka Connect write, byte for byte.
//! Schemas come from the program, a file, or a schema registry, which may be a file, too.
//!
//! Records become values one by one, and these become columns: some microseconds a record, where [`json_schema`](millstream_streams::json_schema) takes a fraction of
//! one. What is read in masses and needs no schema of others is better JSON.
//!
//! | module | role |
//! |---|---|
//! | `format` | what users say: [`SchemaFormat`] |
//! | `converters` | the converters, and how errors of theirs are a record's, or nobody's |
//! | `decode`, `encode` | records to columns, and back |
//! | `envelope` | which row of Debezium's envelope counts |
//! | `conform` | values of one schema as those of another |
//!
//! Owns: the way between columns and converters. Does not own: what bytes mean, and registries (`connect`).
#![warn(missing_docs)]
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
mod conform;
mod converters;
mod decode;
mod encode;
mod envelope;
mod format;
#[cfg(test)]
mod tests;

pub use format::{SchemaFormat, avro, debezium_avro, debezium_protobuf, protobuf};
