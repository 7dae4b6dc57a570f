//! The async shell around the groups: locks, timers, answers, writes.
//!
//! Why: the state machines must not know tasks or sockets. One lock and one writer per partition of
//! `__consumer_offsets`, one timer task for everything.
//! Owns: the groups, the mapping of groups to partitions, the limits over all groups.
//! Does not own: the rules of the protocol (`coordinator`), the log (`store`).
//! Invariants: no lock is held across an await; at most one write per partition is under way, so writes become
//! durable in the order of the state changes; each group has at most one entry among the deadlines, never later
//! than the group's own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::config::GroupConfig;
use super::coordinator::{Group, Response, Token};
use super::error::GroupError;
use super::names::GroupId;
use super::partition::partition_for;
use super::shard::{Batch, Entry, Shard};
use super::store::{LogWrite, OffsetsLog};
use super::time::{MonotonicMs, Now};
use crate::ids::TopicName;
use crate::log::Clock;
use crate::transaction::TransactionMarker;

mod api;
mod replay;

/// The group coordinator of the broker.
pub struct GroupManager {
    store: Arc<dyn OffsetsLog>,
    config: Arc<GroupConfig>,
    clock: Arc<dyn Clock>,
    started: Instant,
    runtime: Handle,
    this: Weak<GroupManager>,
    shards: Vec<Mutex<Shard>>,
    deadlines: Mutex<BTreeSet<(MonotonicMs, usize, GroupId)>>,
    earlier: Arc<Notify>,
    groups: AtomicUsize,
    members: AtomicUsize,
    closed: AtomicBool,
}

impl std::fmt::Debug for GroupManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupManager")
            .field("groups", &self.groups)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// What a caller may do to a group that does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Create,
    Refuse,
}

impl GroupManager {
    /// Replays all group state and starts the timers. Reads files: call it where that may block, within the
    /// tokio runtime that is to run the coordinator.
    ///
    /// # Errors
    /// If the internal topic cannot be read.
    pub fn start(
        store: Arc<dyn OffsetsLog>,
        config: GroupConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, GroupError> {
        let config = Arc::new(config);
        let now = Now {
            at: MonotonicMs(0),
            wall: clock.now(),
        };
        let mut shards = Vec::new();
        for partition in 0..store.partition_count().max(1) {
            shards.push(replay::read(store.as_ref(), partition, &config, now)?);
        }
        let groups = shards.iter().map(|s| s.groups.len()).sum();
        let members = shards
            .iter()
            .flat_map(|s| s.groups.values())
            .map(|e| e.group.member_count())
            .sum();
        let manager = Arc::new_cyclic(|this| Self {
            store,
            config,
            clock,
            started: Instant::now(),
            runtime: Handle::current(),
            this: this.clone(),
            shards: shards.into_iter().map(Mutex::new).collect(),
            deadlines: Mutex::default(),
            earlier: Arc::default(),
            groups: AtomicUsize::new(groups),
            members: AtomicUsize::new(members),
            closed: AtomicBool::new(false),
        });
        for index in 0..manager.shards.len() {
            let mut shard = manager.shard(index);
            let ids: Vec<GroupId> = shard.groups.keys().cloned().collect();
            for id in ids {
                manager.register(index, &mut shard, &id);
            }
        }
        tracing::info!(groups, members, "group state replayed");
        manager
            .runtime
            .spawn(run_timers(manager.this.clone(), manager.earlier.clone()));
        Ok(manager)
    }

    /// Makes sure that the internal topic exists, as FindCoordinator does before it names a coordinator.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn prepare(&self) -> Result<(), GroupError> {
        self.store.prepare().await
    }

    /// The partition of the internal topic that holds a group.
    #[must_use]
    pub fn partition_for(&self, group: &str) -> i32 {
        partition_for(group, i32::try_from(self.shards.len()).unwrap_or(i32::MAX))
    }

    /// Waits until nothing is left to write. Some answers, LeaveGroup's among them, do not wait for the disk; a clean
    /// stop should not lose what they said.
    pub async fn flush(&self) {
        let busy = |index: usize| {
            let shard = self.shard(index);
            shard.writing || shard.writes_waiting() > 0
        };
        while (0..self.shards.len()).any(busy) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops the timers and turns away everybody who waits. What was answered is on disk already.
    pub fn shutdown(&self) {
        self.closed.store(true, Ordering::SeqCst);
        (0..self.shards.len()).for_each(|index| self.shard(index).close());
        self.earlier.notify_one();
    }

    /// Drops the offsets of a deleted topic; when this returns, they do not come back.
    ///
    /// # Errors
    /// If that could not be written, or the coordinator is shutting down.
    pub async fn forget_topic(&self, topic: &TopicName) -> Result<(), GroupError> {
        let mut result = Ok(());
        for written in self.forget(&|name| name == topic) {
            result = result.and(match written.await {
                Ok(Response::Partitions(written)) => written.map(drop),
                _ => Err(GroupError::NotAvailable),
            });
        }
        result
    }

    /// Drops the offsets of topics that are not there any more, as a crash in the middle of a deletion leaves them.
    pub fn forget_unknown_topics(&self, exists: impl Fn(&TopicName) -> bool) {
        // Nobody waits: what is not written now is dropped again at the next start.
        drop(self.forget(&|name| !exists(name)));
    }

    /// Has every group drop its offsets of topics that are gone; each answers once that is durable.
    fn forget(&self, gone: &dyn Fn(&TopicName) -> bool) -> Vec<oneshot::Receiver<Response>> {
        let mut receivers = Vec::new();
        for index in 0..self.shards.len() {
            let mut shard = self.shard(index);
            let affected = shard.groups.iter().filter(|(_, entry)| entry.group.knows(gone));
            let ids: Vec<GroupId> = affected.map(|(id, _)| id.clone()).collect();
            for id in ids {
                let (token, receiver) = shard.open();
                let acted = self.act(index, &mut shard, &id, Absent::Refuse, |group, _| {
                    group.forget_topics(token, gone);
                });
                if acted.is_err() {
                    shard.cancel(token);
                }
                receivers.push(receiver);
            }
        }
        receivers
    }

    fn sweep_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.offsets_retention_check_interval_ms.max(1)))
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            at: MonotonicMs(ms),
            wall: self.clock.now(),
        }
    }

    fn index_of(&self, group: &GroupId) -> usize {
        usize::try_from(self.partition_for(group.as_str())).unwrap_or(0)
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `act` loose on a group and carries out what comes of it. `None` if the group does not exist.
    fn with_group<T>(
        &self,
        id: &GroupId,
        absent: Absent,
        act: impl FnOnce(&mut Group, Now) -> T,
    ) -> Result<Option<T>, GroupError> {
        let index = self.index_of(id);
        let mut shard = self.shard(index);
        self.act(index, &mut shard, id, absent, act)
    }

    /// The same for a request whose answer may take its time.
    async fn ask(
        &self,
        id: &GroupId,
        absent: Absent,
        act: impl FnOnce(&mut Group, Now, Token),
    ) -> Result<Option<Response>, GroupError> {
        let receiver: oneshot::Receiver<Response> = {
            let index = self.index_of(id);
            let mut shard = self.shard(index);
            let (waiting, waiting_max) = (shard.writes_waiting(), self.config.writes_waiting_max);
            if waiting >= waiting_max {
                return Err(GroupError::Overloaded { waiting });
            }
            if absent == Absent::Refuse && !shard.groups.contains_key(id) {
                return Ok(None);
            }
            let (token, receiver) = shard.open();
            let acted = self.act(index, &mut shard, id, absent, |group, now| act(group, now, token));
            if let Err(error) = acted {
                shard.cancel(token);
                return Err(error);
            }
            receiver
        };
        receiver.await.map(Some).map_err(|_| GroupError::NotAvailable)
    }

    fn act<T>(
        &self,
        index: usize,
        shard: &mut Shard,
        id: &GroupId,
        absent: Absent,
        act: impl FnOnce(&mut Group, Now) -> T,
    ) -> Result<Option<T>, GroupError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(GroupError::NotAvailable);
        }
        let now = self.now();
        if !shard.groups.contains_key(id) {
            if absent == Absent::Refuse {
                return Ok(None);
            }
            let limit = self.config.groups_max;
            if self.groups.load(Ordering::Relaxed) >= limit {
                return Err(GroupError::TooMany {
                    what: "groups",
                    limit,
                    setting: "groups_max",
                });
            }
            self.groups.fetch_add(1, Ordering::Relaxed);
        }
        let group = &mut shard.entry(id, &self.config, now).group;
        let members_before = group.member_count();
        let outcome = act(group, now);
        self.count_members(members_before, group.member_count());
        self.settle(index, shard, id);
        Ok(Some(outcome))
    }

    fn count_members(&self, before: usize, after: usize) {
        if after > before {
            self.members.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.members.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// After a group has changed: answers, writes, deadline, and whether it still exists.
    fn settle(&self, index: usize, shard: &mut Shard, id: &GroupId) {
        if shard.carry_out(id) {
            self.start_writing(index, shard);
        }
        self.register(index, shard, id);
        if shard
            .groups
            .get(id)
            .is_some_and(|entry| entry.group.is_disposable())
        {
            if let Some(Entry {
                registered: Some(at), ..
            }) = shard.groups.remove(id)
            {
                self.deadlines().remove(&(at, index, id.clone()));
            }
            self.groups.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes sure that a task writes what waits.
    fn start_writing(&self, index: usize, shard: &mut Shard) {
        if !shard.writing && !self.closed.load(Ordering::SeqCst) {
            shard.writing = true;
            self.runtime
                .spawn(write_all(self.this.clone(), self.store.clone(), index));
        }
    }

    fn deadlines(&self) -> MutexGuard<'_, BTreeSet<(MonotonicMs, usize, GroupId)>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the timer of a deadline that is earlier than the one it knows of. Later ones (each heartbeat moves
    /// one) are found out when the timer fires.
    fn register(&self, index: usize, shard: &mut Shard, id: &GroupId) {
        let Some(entry) = shard.groups.get_mut(id) else {
            return;
        };
        let Some(at) = entry.group.next_deadline() else {
            return;
        };
        if entry.registered.is_some_and(|known| known <= at) {
            return;
        }
        let mut deadlines = self.deadlines();
        if let Some(known) = entry.registered.replace(at) {
            deadlines.remove(&(known, index, id.clone()));
        }
        let first = deadlines.first().is_none_or(|(first, ..)| at < *first);
        deadlines.insert((at, index, id.clone()));
        drop(deadlines);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Lets the timers fire that are due; returns the next deadline.
    fn fire(&self) -> Option<MonotonicMs> {
        loop {
            let now = self.now();
            let (index, id) = {
                let mut deadlines = self.deadlines();
                match deadlines.first() {
                    Some((at, ..)) if *at <= now.at => {}
                    first => return first.map(|(at, ..)| *at),
                }
                match deadlines.pop_first() {
                    Some((_, index, id)) => (index, id),
                    None => return None,
                }
            };
            let mut shard = self.shard(index);
            if let Some(entry) = shard.groups.get_mut(&id) {
                entry.registered = None;
            }
            // A refusal means that the coordinator is shutting down.
            let _ = self.act(index, &mut shard, &id, Absent::Refuse, |group, now| {
                group.on_time(now)
            });
        }
    }

    fn for_each_group(&self, mut act: impl FnMut(&mut Group, Now)) {
        for index in 0..self.shards.len() {
            let mut shard = self.shard(index);
            let ids: Vec<GroupId> = shard.groups.keys().cloned().collect();
            for id in ids {
                // A refusal means that the coordinator is shutting down.
                let _ = self.act(index, &mut shard, &id, Absent::Refuse, &mut act);
            }
        }
    }

    /// The next writes of a partition; without any, its writer is gone.
    fn next_batch(&self, index: usize) -> Option<Batch> {
        let mut shard = self.shard(index);
        let batch = shard.next_batch();
        shard.writing = batch.is_some();
        batch
    }

    fn on_written(&self, index: usize, batch: Batch, written: &Result<(), GroupError>) {
        let mut shard = self.shard(index);
        for (id, write, encoded) in batch.writes {
            let result = encoded.and_then(|()| written.clone());
            // A refusal means that the coordinator is shutting down.
            let _ = self.act(index, &mut shard, &id, Absent::Refuse, |group, now| {
                group.on_appended(now, write, result);
            });
        }
        if let Some((marker, token)) = batch.marker {
            if written.is_ok() {
                self.on_transaction_end(index, &mut shard, &marker);
            }
            shard.respond(token, Response::Done(written.clone()));
        }
    }

    fn on_transaction_end(&self, index: usize, shard: &mut Shard, marker: &TransactionMarker) {
        for id in shard.groups_awaiting(marker.producer_id) {
            // A refusal means that the coordinator is shutting down.
            let _ = self.act(index, shard, &id, Absent::Refuse, |group, now| {
                group.on_transaction_end(now, marker.producer_id, marker.commit);
            });
        }
    }
}

/// Writes what waits in one partition, then ends; the next write starts it again.
async fn write_all(manager: Weak<GroupManager>, store: Arc<dyn OffsetsLog>, index: usize) {
    let partition = i32::try_from(index).unwrap_or(i32::MAX);
    loop {
        let Some(mut batch) = manager.upgrade().and_then(|manager| manager.next_batch(index)) else {
            return;
        };
        let write = std::mem::replace(&mut batch.write, LogWrite::Plain(Vec::new()));
        let written = if write.is_empty() {
            Ok(())
        } else {
            store.append(partition, write).await
        };
        match &written {
            Ok(()) => {}
            Err(error @ GroupError::Transaction { .. }) => {
                tracing::debug!(partition, %error, "transactional write refused");
            }
            Err(error) => tracing::error!(partition, %error, "group state was not written"),
        }
        match manager.upgrade() {
            Some(manager) => manager.on_written(index, batch, &written),
            None => return,
        }
    }
}

/// Sleeps until a deadline, or until there is an earlier one, or until offsets are to be looked through.
async fn run_timers(manager: Weak<GroupManager>, earlier: Arc<Notify>) {
    let Some(mut sweep) = manager.upgrade().map(|m| m.started + m.sweep_interval()) else {
        return;
    };
    loop {
        let deadline = {
            let Some(manager) = manager.upgrade().filter(|m| !m.closed.load(Ordering::SeqCst)) else {
                return;
            };
            if Instant::now() >= sweep {
                manager.for_each_group(Group::expire_offsets);
                sweep = Instant::now() + manager.sweep_interval();
            }
            let next = manager
                .fire()
                .map(|at| manager.started + Duration::from_millis(at.0));
            next.map_or(sweep, |next| next.min(sweep))
        };
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = earlier.notified() => {}
        }
    }
}

impl Drop for GroupManager {
    fn drop(&mut self) {
        // Wakes the timer task, which finds nobody to work for.
        self.earlier.notify_one();
    }
}

#[cfg(test)]
mod tests;
