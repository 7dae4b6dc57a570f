//! Fetch sessions (KIP-227): what a client fetches, remembered between its requests.
//!
//! Why: a consumer of many partitions names only those that it wants something else of, is told only of those that
//! changed, and costs the broker only what changed. Owns: the cache of sessions, the state of each. Does not own: the
//! layout of requests and answers (`api::fetch`), the logs.
//!
//! - `session`: one session, a sans-IO state machine; `cache`: which are kept, likewise.
//! - `shared`: both behind locks, with partitions of real logs that tell when they change.

mod cache;
mod session;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use session::{Asked, Entry, Look, Marks, Outcome, Round, Session, Taken, TopicRef};
pub(crate) use shared::{FetchSessions, Handle, Shared, View};
