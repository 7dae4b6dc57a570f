//! Files as sources and sinks, under the names of Kafka's `FileStreamSource` and `FileStreamSink`.
//!
//! Kafka's property files run unchanged; what Kafka's connectors lose, repeat or hide is what these are for: byte-exact offsets that
//! survive rotation, truncation and replacement (docs/adr/0017), and files that hold each record exactly once after any crash.
//!
//! * [`sink`]: writes records to one file, or to rolling files that appear when they are complete;
//! * [`source`]: finds files, tells them apart, and makes records of their lines and rows.
#[cfg(test)]
mod conforming;
#[cfg(test)]
mod round_trip;
pub mod sink;
pub mod source;
