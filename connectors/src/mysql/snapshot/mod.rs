//! What tables hold already, read in chunks beside the stream of changes, without stopping either.
//!
//! A chunk is some rows of a table in the order of its key, read between two marks in the server's log. The stream tells which rows
//! changes touch from the moment on in which the chunk is asked for. Once it has passed the chunk's high mark, the rows that were not touched
//! are as they are at that place of the stream: they are released, to be told there as `r`. Those that were touched are told by their changes. So whoever
//! applies the records in their order has the rows that the tables had at that place, nothing is told twice, and nothing is locked.
//!
//! # How a task drives it
//!
//! ```text
//! let mut snapshot = Snapshot::new(settings, state);      // the state that the offset has, or SnapshotState::initial()
//! let mut readers = Readers::start(…);                    // connections that read
//! loop {
//!     while let Some(answer) = readers.try_answer() { snapshot.answered(answer)?; }
//!     if the stream stands between two transactions (also when it was moved by a heartbeat or another file, and when nothing came) {
//!         snapshot.passed(stream.position());              // opens chunks, and releases those whose high mark is passed
//!         // but snapshot.resumes(…) where a part of the next transaction is delivered already: nothing is released there
//!         while let Some(request) = snapshot.next_request() { readers.ask(request); }
//!         while let Some(mut release) = snapshot.next_release() {
//!             // records of its rows: release.next_row(); then, in one commit with them:
//!             snapshot.told(release);                      // from now on state() has them
//!         }
//!     }
//!     if snapshot.holds() { wait for readers.answer() alone: no event may be handled }
//!     else { handle events until the transaction's end, or an answer:
//!         rows:  if let Some(touching) = snapshot.touching(&table) { for each row: touching.row(&row, told); }
//!                // also for rows that are passed over, for they are delivered already
//!         other: snapshot.changed(&TableChange::…);
//!     }
//! }
//! ```
//!
//! * [`Snapshot::passed`] has to be called at the end of **every** transaction, before the next one is begun, with all of the transaction
//!   handed over; it costs a comparison when nothing waits. A transaction that is delivered in parts counts at its end.
//! * [`Snapshot::resumes`] is called instead, as often as may be, where the stream went back to the beginning of a transaction of which a part is
//!   delivered: after a restart, or with another connection. At its end comes [`Snapshot::passed`].
//! * What [`Snapshot::state`] gives belongs into the offset of the batch that ends the release, and of all later ones.
//! * After another server was connected to (not the same one again), [`Snapshot::forget_pending`] has what is on its way read again.
//!
//! * [`state`](SnapshotState): what is stored. [`request`](Request): what readers are asked and answer.
//! * `window`, `plan`: chunks on their way, and their order. `key`, `select`: keys as SQL and as bytes.
mod chunk;
mod key;
mod machine;
mod mark;
mod opening;
mod readers;
mod refusal;
mod release;
mod request;
mod rows;
mod run;
mod select;
mod settings;
mod signals;
mod state;
mod touch;
mod work;

#[cfg(test)]
mod model;

pub use key::{KeyColumns, KeyError, Place};
pub use machine::Snapshot;
pub use mark::Mark;
pub(in crate::mysql) use readers::until_visible;
pub use readers::{Readers, ReadersConfig};
pub use release::Release;
pub use request::{Answer, ChunkRead, ChunkWork, Outcome, Request, RequestId, Surveyed, Work};
pub use rows::Rows;
pub use settings::{Selection, Selector, Settings, SnapshotError, SnapshotProgress, TableChange, Told};
pub use state::{Asked, Run, RunKind, SnapshotState, TableState};
pub use touch::Touching;
