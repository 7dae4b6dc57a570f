//! The bound on bytes of requests held at once over all connections (`queued.max.request.bytes`).
//!
//! Why: a thousand connections that each send a large request must not take a thousand times its size. Owns: the
//! count. Does not own: the buffers (`server::frame`).
//!
//! Invariant: bytes are counted when room for them is made, never by a claimed length. When the budget is spent,
//! readers wait; one of them at a time may overdraw it, so that half-read requests can never block one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The shared count.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
    overdraft: Arc<Semaphore>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            freed: Notify::new(),
            overdraft: Arc::new(Semaphore::new(1)),
        })
    }

    /// Bytes counted now.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits)
            .is_ok()
    }
}

/// The bytes that one request holds; given back on drop.
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Holds nothing yet.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
            overdraft: None,
        }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more, waiting for other requests to finish if need be. Safe to cancel.
    pub async fn grow(&mut self, bytes: usize) {
        loop {
            if self.budget.try_take(bytes) {
                break;
            }
            if self.overdraft.is_some() {
                self.budget.used.fetch_add(bytes, Ordering::AcqRel);
                break;
            }
            let freed = self.budget.freed.notified();
            tokio::pin!(freed);
            // Registered before the second look, so that no release is missed.
            freed.as_mut().enable();
            if self.budget.try_take(bytes) {
                break;
            }
            tokio::select! {
                () = freed => {}
                permit = Arc::clone(&self.budget.overdraft).acquire_owned() => self.overdraft = permit.ok(),
            }
        }
        self.bytes += bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
            self.budget.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_reader_may_overdraw_and_the_next_waits() {
        let budget = Budget::new(100);
        let mut first = Reservation::new(&budget);
        first.grow(90).await;
        let mut second = Reservation::new(&budget);
        second.grow(50).await;
        second.grow(1000).await;
        assert_eq!(budget.used(), 1140);
        let mut third = Reservation::new(&budget);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), third.grow(50))
                .await
                .is_err()
        );
        drop(second);
        third.grow(5).await;
        drop((first, third));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_release_wakes_the_waiting() {
        let budget = Budget::new(10);
        let mut a = Reservation::new(&budget);
        a.grow(10).await;
        let mut b = Reservation::new(&budget);
        b.grow(10).await;
        let mut c = Reservation::new(&budget);
        let waiting = tokio::spawn(async move { c.grow(10).await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop((a, b));
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap()
            .unwrap();
    }
}
