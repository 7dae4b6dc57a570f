//! End-to-end tests: the release binary, real clients, real text. One test binary, one module a matter.

#![allow(clippy::unwrap_used)]

mod admin;
mod bad_input;
mod card_fraud;
mod connect;
mod connect_faults;
mod connect_load;
mod console;
mod faults;
mod kcat;
mod licences;
mod malformed_frames;
mod mysql;
mod mysql_cdc;
mod mysql_sink;
mod nexmark;
mod peers;
mod perf;
mod python_clients;
mod readme;
mod revenue;
mod streams;
mod word_count;
