//! The events of Nexmark: people, auctions and bids of an auction house, as the model of Apache Beam's suite makes them.
//!
//! Of 50 events one is a person, three are auctions and 46 are bids; most bids go to a few hot auctions, come from hot bidders, and most
//! auctions are of hot sellers. One event happens each millisecond, so that orders by time are total. Events come out of order: each is
//! up to [`DISORDER_MS`] late. Behind them each partition gets [`CLOSING`] events of two days later, with numbers below
//! [`FIRST_ID`], so that windows, joins and sessions close wherever their keys are shuffled to.
//!
//! Owns: the model ([`Model`]), and the files of a topic's partitions ([`Files`]): a line a record, key, tab, JSON. Does not own: what
//! queries answer; that is asked of DuckDB by `benches/nexmark.py`.
//!
//! Invariant: equal seeds and numbers of events give equal bytes, whatever the machine.

mod files;
mod model;
mod strings;
#[cfg(test)]
mod tests;

pub use files::{Difference, Files, Layout};
pub use model::{Event, Model, Topic};

/// Event time of the first event: ten seconds before the midnight in front of 2015-07-15, so that there are two days.
pub const BEGIN_MS: u64 = 1_436_918_400_000 - 10_000;
/// How late an event may come, in milliseconds of event time.
pub const DISORDER_MS: u64 = 4_000;
/// Persons and auctions are numbered from here.
pub const FIRST_ID: u64 = 1_000;
/// Events of each partition that only close what is open. So many that each of some partitions gets one, however their numbers are hashed.
pub const CLOSING: u64 = 32;
/// How long after the last event they are.
pub const CLOSING_AFTER_MS: u64 = 2 * 24 * 3_600_000;
/// Rows of the side input.
pub const SIDE_ROWS: u64 = 10_000;
