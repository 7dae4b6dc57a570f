//! Values as texts: what Java's `toString` and Kafka Connect's `Values` make of them, and what they read back.
//!
//! Numbers are written as Java writes them, because what is downstream compares texts. Times are in UTC, whatever the zone of the
//! machine (Java takes the zone of its process).
mod calendar;
mod number;
mod parse;
mod to_string;
mod values;

pub(super) use calendar::Day;
pub(super) use number::{write_decimal, write_f32, write_f64, write_integer};
pub(super) use parse::parse;
pub(super) use to_string::write_to_string;
pub(super) use values::write_values;
