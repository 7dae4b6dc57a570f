//! Who holds a state: without transactions, a member that was cut off may go on writing to the changelog for an epoch.
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// One time that somebody has held a task's state. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner(pub(crate) u64);

impl Owner {
    /// Who wrote before owners had names.
    pub(super) const UNNAMED: Self = Self(0);

    /// This one, or a greater one than `other`.
    pub(super) fn behind(self, other: Self) -> Self {
        Self(self.0.max(other.0.saturating_add(1)))
    }
}

/// Gives names to owners: all that a process gives differ and grow, whatever the clock does.
///
/// Names of several processes are in the order of their clocks, which need not agree: who finds a greater name in the changelog takes
/// one beyond it.
pub(crate) struct OwnerNames {
    now_ms: fn() -> u64,
    /// Tells processes apart that take a name in the same millisecond.
    salt: u16,
    last: AtomicU64,
}

impl OwnerNames {
    pub(crate) fn new(now_ms: fn() -> u64, salt: u16) -> Self {
        Self {
            now_ms,
            salt,
            last: AtomicU64::new(0),
        }
    }

    /// A name that nobody had before.
    pub(crate) fn next(&self) -> Owner {
        let by_clock = (self.now_ms)() << u16::BITS | u64::from(self.salt);
        let beyond = |last: u64| by_clock.max(last.saturating_add(1));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(beyond(last)));
        Owner(beyond(last.unwrap_or_else(|last| last)))
    }
}

impl Default for OwnerNames {
    /// Counts from 1.
    fn default() -> Self {
        Self::new(|| 0, 0)
    }
}

impl fmt::Debug for OwnerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerNames").field("last", &self.last).finish()
    }
}
