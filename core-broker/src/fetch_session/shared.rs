//! Sessions of real logs, shared between connections.
//!
//! Locks: that of a session, then that of the cache, then those of watched partitions; none is held over an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache::{PARTITIONS_MAX, SessionCache};
use super::session::{Marks, Session};
use crate::log::{Partition, Signal, Watch};

/// A change that logs do not tell of, such as that of the log start, is found after this time.
const SWEEP: Duration = Duration::from_secs(1);

/// A partition of a session whose log is known.
#[derive(Debug)]
pub(crate) struct Handle {
    pub log: Arc<Partition>,
    /// Present once changes are to be told.
    watch: Option<Watch>,
}

impl Handle {
    /// Its changes are told to `signal` as `slot`, if there is one.
    pub fn new(log: Arc<Partition>, signal: Option<&Arc<Signal>>, slot: u32) -> Self {
        Self {
            watch: signal.map(|signal| Watch::new(&log, signal, slot)),
            log,
        }
    }

    /// Before looking at the log.
    pub fn arm(&self) {
        if let Some(watch) = &self.watch {
            watch.arm();
        }
    }

    /// How the log is now; the watermark first, since what is below it when we look stays readable.
    pub fn marks(&self) -> Marks {
        let high_watermark = self.log.high_watermark().0;
        Marks {
            high_watermark,
            last_stable: self.log.last_stable_offset().0.min(high_watermark),
            log_start: self.log.log_start_offset().0,
        }
    }

    fn present(&self) -> Option<Marks> {
        (!self.log.is_deleted()).then(|| self.marks())
    }
}

/// What the lock of a session guards.
#[derive(Debug)]
pub(crate) struct View {
    pub session: Session<Handle>,
    /// Whether changes of its partitions are told.
    watched: bool,
    swept: Instant,
    changed: Vec<u32>,
}

/// A session, kept or not.
#[derive(Debug)]
pub(crate) struct Shared {
    view: Mutex<View>,
    /// Which of its partitions changed.
    pub signal: Arc<Signal>,
}

impl Shared {
    pub fn new(session: Session<Handle>) -> Arc<Self> {
        Arc::new(Self {
            view: Mutex::new(View {
                session,
                watched: false,
                swept: Instant::now(),
                changed: Vec::new(),
            }),
            signal: Arc::default(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Has changes told from now on, and finds those since the last look.
    pub fn watch(&mut self, signal: &Arc<Signal>) {
        if self.watched {
            return;
        }
        self.watched = true;
        for (slot, handle) in self.session.handles() {
            handle.watch = Some(Watch::new(&handle.log, signal, slot));
        }
        self.sweep();
    }

    /// Where new partitions tell their changes.
    pub fn watching<'a>(&self, signal: &'a Arc<Signal>) -> Option<&'a Arc<Signal>> {
        self.watched.then_some(signal)
    }

    /// Takes what was told since the last time.
    pub fn take_changes(&mut self, signal: &Signal) {
        signal.take(&mut self.changed);
        for slot in self.changed.drain(..) {
            self.session.mark(slot);
        }
    }

    /// Finds changes that are not told.
    pub fn sweep(&mut self) {
        self.session.sweep(Handle::present);
        self.swept = Instant::now();
    }

    /// The same, if it has not been done for a while.
    pub fn sweep_if_overdue(&mut self) {
        if self.swept.elapsed() >= SWEEP {
            self.sweep();
        }
    }
}

/// All sessions that are kept.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    cache: Mutex<SessionCache<Shared>>,
    begun: Instant,
}

impl FetchSessions {
    /// Keeps at most `slots_max` sessions.
    pub fn new(slots_max: usize) -> Self {
        Self {
            cache: Mutex::new(SessionCache::new(slots_max, PARTITIONS_MAX)),
            begun: Instant::now(),
        }
    }

    /// Sessions kept, their partitions, and how many sessions made room for others.
    pub fn counts(&self) -> (usize, usize, u64) {
        let cache = self.lock();
        (cache.len(), cache.partitions(), cache.evictions())
    }

    pub fn get(&self, id: i32) -> Option<Arc<Shared>> {
        self.lock().get(id)
    }

    pub fn remove(&self, id: i32) {
        // Dropped outside of the lock: it leaves its partitions one by one.
        let removed = self.lock().remove(id);
        drop(removed);
    }

    /// Keeps a session if there is room; its id.
    pub fn insert(&self, session: &Arc<Shared>, size: usize) -> Option<i32> {
        let mut evicted = Vec::new();
        let now = self.now();
        self.lock().insert(session, size, now, random, &mut evicted)
    }

    /// A session was used. False if it has become too large, and is gone.
    pub fn touch(&self, id: i32, size: usize) -> bool {
        let now = self.now();
        let fits = self.lock().touch(id, size, now);
        if !fits {
            self.remove(id);
        }
        fits
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, SessionCache<Shared>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hard to guess, so that one client does not meddle with another's session by mistake.
fn random() -> i32 {
    let mut bytes = [0; 4];
    let mut filled = 0;
    while filled < bytes.len() {
        // Fails only on kernels without getrandom(2), older than any this runs on.
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .expect("getrandom(2) of at most 256 bytes cannot fail once the system is up");
    }
    i32::from_ne_bytes(bytes) & i32::MAX
}
