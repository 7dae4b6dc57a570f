//! The sink, against real servers.
mod bench;
mod conforming;
mod errors;
mod evolution;
mod exactly_once;
mod modes;
mod order;
pub mod proxy;
mod texts;
mod types;
