//! The log: partitions on disk, durable before they are visible.
//!
//! Why: a single node has no replica to fall back on, so nothing is acknowledged, shown to consumers, or
//! part of a committed transaction before it is on the disk ([`FlushMode::Sync`]).
//!
//! The way of a batch: [`Partition::append`] checks it (`batch`), checks its sequence (`producer_state`),
//! gives it offsets and writes it to the active segment (`segment`, `index`); the sync thread (`sync`) makes
//! everything that waits durable with as few calls as it can, moves the high watermarks and wakes
//! [`Partition::wait_durable`]; [`Partition::read`] hands out ranges of segment files (`slice`).
//! After a crash, `recovery` finds out what is intact. Records leave by compaction (`cleaner`) or from the front of the
//! log (`retention`, `trim`); `space` refuses writes before the disk is so full that deletions fail, too.
//!
//! Owns: the data directory ([`LogDir`]) with everything in it. Does not own: which topics there should be
//! (`topic`), and who may write.
//! Invariants: the high watermark never passes what is synced; a log that could not be synced takes no
//! more writes; offsets below the recovery point never need to be checked again.
//!
//! Layout of a data directory: `meta.properties`, `.lock`, `.kafka_cleanshutdown` (only while closed),
//! `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`, `cleaner-offset-checkpoint`, `.reserve` (room for
//! these when the disk is full), the small files of other parts, and for each partition a folder `<topic>-<n>` with `<base offset>.log`, `.index`, `.timeindex` for each
//! segment and `<offset>.snapshot` of the producers, and `compaction-gaps` once it was compacted.

pub mod batch;
mod checkpoint;
mod cleaner;
mod config;
mod dir;
mod durable;
mod error;
mod folders;
mod gaps;
mod graveyard;
mod index;
mod lock;
mod meta;
mod partition;
mod producer_state;
mod recover_all;
mod recovery;
mod retention;
mod segment;
mod shared;
mod slice;
mod space;
mod swap;
mod sync;
mod sync_pool;
mod traffic;
mod trim;
mod txn_index;
mod upkeep;
mod watch;

pub use batch::TimestampType;
pub use cleaner::CleanerOptions;
pub use config::{Clock, Disk, FlushMode, LogConfig, LogOptions, SystemClock, SystemDisk, Volume};
pub use dir::LogDir;
pub use error::{AppendError, LogError, OpenError, ReadError, TrimError};
pub use partition::{Appended, Origin, Partition};
pub use producer_state::{ProducerInfo, Verification, VerificationGuard};
pub use slice::LogSlice;
pub use traffic::Traffic;
pub use txn_index::{AbortedTransaction, TransactionIndex};
pub(crate) use watch::{Signal, Watch};

#[cfg(test)]
mod tests;
