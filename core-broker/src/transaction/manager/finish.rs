//! Carrying decided transactions through, and deciding those that nobody ends.
//!
//! Invariant: the last record of a transaction is written only after every one of its markers is durable.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Shard, TransactionManager, done};
use crate::ids::TopicPartition;
use crate::transaction::TransactionMarker;
use crate::transaction::config::TransactionConfig;
use crate::transaction::coordinator::{Step, Transaction};

/// How many times as long as the first the longest pause between two attempts is.
const BACKOFF_FACTOR_MAX: u32 = 50;

impl TransactionManager {
    /// Writes the markers of a decided transaction, then its last record; tries until it is done or the broker stops.
    pub(super) fn finish(&self, index: usize, id: Arc<str>) {
        let this = self.this.clone();
        let backoff = Backoff {
            next: Duration::from_millis(u64::from(self.config.retry_backoff_ms.max(1))),
            longest: Duration::from_millis(u64::from(self.config.retry_backoff_ms.max(1)))
                .saturating_mul(BACKOFF_FACTOR_MAX),
        };
        let counted = Counted::new(this.clone(), self);
        self.runtime.spawn(async move {
            finish(this, index, id, backoff).await;
            drop(counted);
        });
    }

    /// What is to be written for a transaction; nothing once the broker stops.
    fn due(&self, index: usize, id: &str) -> Option<(TransactionMarker, Vec<TopicPartition>)> {
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        self.shard(index).get(id)?.due_markers()
    }

    /// Writes the markers, many at a time. Returns the partitions that have none yet.
    async fn write_markers(
        &self,
        marker: TransactionMarker,
        partitions: Vec<TopicPartition>,
    ) -> Vec<TopicPartition> {
        let mut writes = JoinSet::new();
        for partition in partitions.iter().cloned() {
            let permit = self.marker_permits.clone().acquire_owned().await;
            let markers = self.markers.clone();
            writes.spawn_on(
                async move {
                    let written = markers.write(&partition, marker).await;
                    drop(permit);
                    (partition, written)
                },
                &self.runtime,
            );
        }
        let mut left = Vec::new();
        let mut reason = None;
        let mut abandoned = false;
        while let Some(written) = writes.join_next().await {
            match written {
                Ok((_, Ok(()))) => {}
                Ok((partition, Err(error))) => {
                    reason = Some(error);
                    left.push(partition);
                }
                Err(error) => {
                    tracing::error!(%error, "a marker was abandoned");
                    abandoned = true;
                }
            }
        }
        if let Some(error) = reason {
            tracing::warn!(producer_id = marker.producer_id.0, partitions = left.len(), %error,
                "markers were not written and will be tried again");
        }
        // Which one it was is not known; writing the others again changes nothing.
        if abandoned { partitions } else { left }
    }

    /// Proposes and writes the last record of a transaction; true if there is nothing left to do.
    async fn complete(&self, index: usize, id: &Arc<str>) -> bool {
        let written = {
            let mut shard = self.shard(index);
            let Some(transaction) = shard.get_mut(id) else {
                return true;
            };
            match transaction.complete(self.clock.now()) {
                Step::Write => Some(self.write(index, transaction, id)),
                Step::Done => None,
            }
        };
        done(written).await.is_ok()
    }

    /// Aborts transactions that took too long.
    pub(in crate::transaction) fn abort_timed_out(&self) {
        let now = self.clock.now();
        self.sweep(|transaction| {
            let step = transaction.abort_if_timed_out(now);
            if step == Step::Write {
                tracing::info!(
                    transactional_id = transaction.id(),
                    "a transaction that took too long is aborted"
                );
            }
            step
        });
    }

    /// Forgets ids that were not used for long.
    pub(in crate::transaction) fn forget_expired(&self) {
        let (now, expiration_ms) = (self.clock.now(), self.config.id_expiration_ms);
        self.sweep(|transaction| transaction.forget_if_expired(now, expiration_ms));
    }

    /// Shows every transaction to `act` and writes what is proposed; what does not fit waits for the next sweep.
    fn sweep(&self, mut act: impl FnMut(&mut Transaction) -> Step) {
        for index in 0..self.shards.len() {
            let shard: &mut Shard = &mut self.shard(index);
            for (id, transaction) in shard {
                if self.admit().is_err() {
                    return;
                }
                if act(transaction) == Step::Write {
                    // Nobody waits for the answer.
                    drop(self.write(index, transaction, id));
                }
            }
        }
    }
}

async fn finish(this: Weak<TransactionManager>, index: usize, id: Arc<str>, mut backoff: Backoff) {
    let Some((marker, mut partitions)) = this.upgrade().and_then(|manager| manager.due(index, &id)) else {
        return;
    };
    loop {
        let Some(manager) = this.upgrade() else { return };
        partitions = manager.write_markers(marker, partitions).await;
        if partitions.is_empty() {
            break;
        }
        if manager.due(index, &id).is_none() {
            return;
        }
        drop(manager);
        backoff.pause().await;
    }
    loop {
        let Some(manager) = this.upgrade() else { return };
        if manager.complete(index, &id).await || manager.due(index, &id).is_none() {
            return;
        }
        drop(manager);
        backoff.pause().await;
    }
}

/// Pauses that grow.
struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}

/// Counts a transaction that is being carried through.
struct Counted(Weak<TransactionManager>);

impl Counted {
    fn new(this: Weak<TransactionManager>, manager: &TransactionManager) -> Self {
        manager.finishing.fetch_add(1, Ordering::SeqCst);
        Self(this)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(manager) = self.0.upgrade() {
            manager.finishing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Looks through all transactions at the two intervals.
pub(super) fn run_sweeps(
    manager: Weak<TransactionManager>,
    stop: Arc<Notify>,
    config: &TransactionConfig,
) -> impl Future<Output = ()> + Send + use<> {
    let interval = |ms: u32| Duration::from_millis(u64::from(ms.max(1)));
    let abort_every = interval(config.abort_interval_ms);
    let expire_every = interval(config.expire_interval_ms);
    async move {
        let mut abort_at = Instant::now() + abort_every;
        let mut expire_at = Instant::now() + expire_every;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(abort_at.min(expire_at)) => {}
                () = stop.notified() => {}
            }
            let Some(manager) = manager.upgrade().filter(|m| !m.closed.load(Ordering::SeqCst)) else {
                return;
            };
            let now = Instant::now();
            if now >= abort_at {
                manager.abort_timed_out();
                abort_at = now + abort_every;
            }
            if now >= expire_at {
                manager.forget_expired();
                expire_at = now + expire_every;
            }
        }
    }
}
