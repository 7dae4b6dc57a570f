//! Local stores: checkpoints of changelogs on disk, so that a start reads only what came after, and states need not fit in memory.
//!
//! A store holds the live content of one changelog partition, byte for byte as the records have it, and the offset before which
//! nothing is missing. It knows nothing of what the bytes mean: a step gets them through the same call as records of the log.
//!
//! Owns: the state directory and the folder of this process in it ([`Slot`]), the stores ([`LocalStores`], [`LocalStore`]), the
//! thread that writes checkpoints. Does not own: when an epoch is committed and how far the log goes (`runtime`, `source`).
//!
//! # Invariants
//! * What is applied is committed: nothing in a store ever has to be taken back, and a crash needs no wipe.
//! * A store holds everything committed before its offset. It may hold more: records that are read again say what it
//!   says already, because each is the whole state of its key.
//! * A checkpoint is written at once with its offset, or not at all.
//! * Two processes never have the same folder, and of two threads only the one that claimed a store last changes it.
//! * Changes that wait for the disk are bounded: when they are many, they are written, and who brings more waits.
//! * A store that nobody here works with may follow its log ([`follow`](LocalStores::follow)); whoever claims it takes it over as it stands.
//! * Others than the owner read a store only when it is whole ([`StoreReader`]), and change nothing in it. Nobody waits for the disk
//!   while he keeps them from it.
mod claim;
mod directory;
mod error;
mod partition;
mod pending;
mod position;
mod reader;
mod spool;
mod standby;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use fjall::Database;

use crate::source::TopicPartition;
use directory::{DATABASE, directory_error};
use partition::PartitionStore;
use pending::Pending;
use writer::{Sealed, Writer};

pub(crate) use claim::{LocalStore, Stored};
pub(crate) use directory::{Slot, process_salt, random_id};
pub use directory::{default_state_dir, delete_local_state, local_state};
pub use error::LocalStoreError;
pub(crate) use position::{FirstRecord, Position};
pub(crate) use reader::StoreReader;

/// How long tombstones stay in changelogs (`delete.retention.ms`).
pub(crate) const TOMBSTONES_KEPT_MS: u64 = 24 * 3_600_000;
/// How old a checkpoint may be: behind an older one, tombstones may be missing. The rest is for clocks that differ.
const AGE_MAX_MS: u64 = TOMBSTONES_KEPT_MS - 4 * 3_600_000;
/// What cache and pending changes may take each, however little there is: with less, most of the time would go into merging files.
const STORE_BYTES_MIN: usize = 4 << 20;
/// What each store may have in any case.
const PENDING_BYTES_MIN: usize = 256 << 10;

/// Changes that are kept by key although nobody looks them up: of few keys only the last changes are to take memory.
const INDEXED_MAX: usize = 50_000;

/// What stores may take of the memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreMemory {
    /// For blocks read from the disk.
    cache_bytes: usize,
    /// For changes of all stores together that wait for the disk, before they are written. While they are, as many more may come.
    pending_bytes: usize,
    /// States are looked up, because memory may not have them.
    lookups: bool,
    /// Changes of a log that is being read, from which on they go into a file if nobody looks them up.
    spooled_from: usize,
    /// What the file holds before it is handed over, so that a restart need not read that again.
    spool_bytes: u64,
    /// States from which on a store that was followed is not loaded when it is taken over.
    looked_up_from: usize,
}

impl Default for StoreMemory {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            pending_bytes: 64 << 20,
            lookups: false,
            spooled_from: 100_000,
            spool_bytes: 1 << 30,
            looked_up_from: 100_000,
        }
    }
}

impl StoreMemory {
    /// Changes that are to wait for the disk.
    fn pending(&self) -> Pending {
        Pending::new(if self.lookups { usize::MAX } else { INDEXED_MAX })
    }

    /// The same, with so many states looked up that were followed.
    #[cfg(test)]
    pub(crate) fn looked_up_from(self, states: usize) -> Self {
        Self {
            looked_up_from: states,
            ..self
        }
    }

    /// Parts of what states may take, if there is a limit: with small ones, checkpoints are written more often.
    pub(crate) fn within(state_bytes_max: Option<usize>) -> Self {
        let whole = Self::default();
        let part = |most: usize| {
            let bytes = state_bytes_max.map_or(most, |bytes| bytes / 4);
            bytes.clamp(STORE_BYTES_MIN, most)
        };
        Self {
            cache_bytes: part(whole.cache_bytes),
            pending_bytes: part(whole.pending_bytes),
            lookups: state_bytes_max.is_some(),
            ..whole
        }
    }
}

/// The stores of this process. Clones are the same stores.
#[derive(Clone)]
pub(crate) struct LocalStores(Arc<Inner>);

/// Dropped in this order: what waits is written, then the database closes, then the folder is free.
struct Inner {
    writer: Writer,
    stores: Mutex<HashMap<TopicPartition, Weak<RwLock<PartitionStore>>>>,
    open: AtomicUsize,
    /// What is being written for stores that nobody holds any more, by their names.
    leaving: Mutex<HashMap<String, Arc<Sealed>>>,
    database: Database,
    /// The cluster's id, as far as it has one.
    cluster: String,
    now_ms: fn() -> u64,
    memory: StoreMemory,
    slot: Arc<Slot>,
}

impl LocalStores {
    /// Opens the stores in `slot` for changelogs of the cluster with the id `cluster`. What cannot be read is given up.
    pub(crate) fn open(
        slot: Arc<Slot>,
        cluster: String,
        now_ms: fn() -> u64,
        memory: StoreMemory,
    ) -> Result<Self, LocalStoreError> {
        let path = slot.path().join(DATABASE);
        let database = open_database(&path, memory).or_else(|cause| {
            tracing::warn!(path = %path.display(), %cause, "local stores cannot be read and are restored from the changelogs");
            if path.exists() {
                std::fs::remove_dir_all(&path).map_err(|error| directory_error(&path, &error))?;
            }
            open_database(&path, memory).map_err(|cause| directory_error(&path, &cause))
        })?;
        Ok(Self(Arc::new(Inner {
            writer: Writer::start(&path, memory.lookups)?,
            stores: Mutex::default(),
            open: AtomicUsize::new(0),
            leaving: Mutex::default(),
            database,
            cluster,
            now_ms,
            memory,
            slot,
        })))
    }

    /// The store of a changelog's partition. Whoever had claimed it before changes it no more.
    pub(crate) fn claim(&self, at: &TopicPartition) -> Result<LocalStore, LocalStoreError> {
        let mut stores = self.0.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        let store = match stores.get(at).and_then(Weak::upgrade) {
            Some(store) => store,
            None => {
                let store = Arc::new(RwLock::new(PartitionStore::open(Arc::clone(&self.0), at)?));
                stores.insert(at.clone(), Arc::downgrade(&store));
                store
            }
        };
        drop(stores);
        LocalStore::claim(store)
    }
}

/// Opens or makes a database. The store's code may panic on files that a disk has damaged.
fn open_database(path: &Path, memory: StoreMemory) -> Result<Database, String> {
    let open = || {
        Database::builder(path)
            .cache_size(memory.cache_bytes as u64)
            .worker_threads(1)
            .open()
    };
    match std::panic::catch_unwind(open) {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_) => Err("its files are damaged".to_owned()),
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock_ms() -> u64 {
    // Only the age of a checkpoint hangs on it, across restarts of the machine.
    #[expect(clippy::disallowed_methods)]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
