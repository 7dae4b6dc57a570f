//! Between records and Arrow's columns.
//!
//! | Connect | Arrow, written | Arrow, read |
//! |---|---|---|
//! | int8 … int64, float, double, boolean | Int8 … Int64, Float32, Float64, Boolean | the same; UInt8 … UInt32 as the next wider, Float16 as float, Duration as int64 |
//! | string, bytes | Utf8, Binary | all of their kinds, dictionaries and runs of them |
//! | Decimal | Decimal128(38, scale) | decimals of all widths, UInt64 with scale 0 |
//! | Date, Time, Timestamp | Date32, Time32(ms), Timestamp(ms, UTC) | Date32, Date64; times of seconds and milliseconds |
//! | int64 named `io.debezium.time.Micro…`, `Nano…` | Int64 | finer times, unless they are to be cut to milliseconds ([`Times`]) |
//! | array, map, struct | List, Map, Struct | all kinds of lists, Map, Struct |
//!
//! Owns: types and values. Does not own: files.
mod columns;
mod rows;

pub use columns::{batch, columns};
pub use rows::{Times, rows, schema};
