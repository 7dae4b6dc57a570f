//! The async shell around the transactions: locks, writes, markers, timers.
//!
//! Why: the rules must not know tasks or disks. Each change runs on a task of its own, so that a caller who goes
//! away leaves nothing half done.
//! Owns: which transactional ids exist, their mapping to partitions of `__transaction_state`, the limits over all of them.
//! Does not own: the rules (`coordinator`), carrying decisions through (`finish`), the log (`store`).
//! Invariants: no lock is held across an await; a change counts once its record is durable; each id has at most one
//! write under way, so records of one id become durable in the order of its changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use super::config::TransactionConfig;
use super::coordinator::{Initialized, Producer, Step, Transaction};
use super::error::TransactionError;
use super::metadata::TransactionState;
use super::record;
use super::store::{MarkerWriter, TransactionLog};
use crate::group::{TransactionalProducer, partition_for};
use crate::ids::{ProducerEpoch, ProducerId, TopicPartition};
use crate::log::Clock;

mod finish;
mod report;
mod verify;

pub use report::{TransactionDescription, TransactionFilter, TransactionListing};
pub(crate) use verify::Verifier;

/// The transaction coordinator of the broker.
pub struct TransactionManager {
    log: Arc<dyn TransactionLog>,
    markers: Arc<dyn MarkerWriter>,
    config: TransactionConfig,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    this: Weak<TransactionManager>,
    shards: Vec<Mutex<Shard>>,
    ids: AtomicUsize,
    open: AtomicUsize,
    /// Writes under way.
    writing: AtomicUsize,
    /// Transactions whose markers are under way.
    finishing: AtomicUsize,
    marker_permits: Arc<Semaphore>,
    closed: AtomicBool,
    stop: Arc<Notify>,
}

/// The transactional ids of one partition of the internal topic.
type Shard = HashMap<Arc<str>, Transaction>;

/// The other end of a write.
type Written = oneshot::Receiver<Result<(), TransactionError>>;

/// A producer that wants to begin transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitializeRequest {
    /// Its `transactional.id`.
    pub transactional_id: Arc<str>,
    /// How long its transactions may take.
    pub timeout_ms: i32,
    /// What it says that it is (KIP-360); −1 if it does not.
    pub producer_id: ProducerId,
    /// The epoch that it says it has; −1 if it does not.
    pub producer_epoch: ProducerEpoch,
}

impl std::fmt::Debug for TransactionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionManager")
            .field("ids", &self.ids)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl TransactionManager {
    /// Replays the state of all transactions, carries the decided ones through and starts the timers. Reads files:
    /// call it where that may block, within the tokio runtime that is to run the coordinator.
    ///
    /// # Errors
    /// If the internal topic cannot be read.
    pub(crate) fn start(
        log: Arc<dyn TransactionLog>,
        markers: Arc<dyn MarkerWriter>,
        config: TransactionConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TransactionError> {
        let mut shards = Vec::new();
        for partition in 0..log.partition_count().max(1) {
            shards.push(read(log.as_ref(), partition)?);
        }
        let all = || shards.iter().flat_map(Shard::values);
        let (ids, open) = (all().count(), all().filter(|t| t.is_open()).count());
        let manager = Arc::new_cyclic(|this| Self {
            log,
            markers,
            clock,
            runtime: Handle::current(),
            this: this.clone(),
            shards: shards.into_iter().map(Mutex::new).collect(),
            ids: AtomicUsize::new(ids),
            open: AtomicUsize::new(open),
            writing: AtomicUsize::new(0),
            finishing: AtomicUsize::new(0),
            marker_permits: Arc::new(Semaphore::new(config.markers_in_flight_max)),
            closed: AtomicBool::new(false),
            stop: Arc::default(),
            config,
        });
        for index in 0..manager.shards.len() {
            let due: Vec<Arc<str>> = manager
                .shard(index)
                .iter()
                .filter(|(_, transaction)| transaction.due_markers().is_some())
                .map(|(id, _)| id.clone())
                .collect();
            due.into_iter().for_each(|id| manager.finish(index, id));
        }
        tracing::info!(ids, open, "transaction state replayed");
        let sweeps = finish::run_sweeps(manager.this.clone(), manager.stop.clone(), &manager.config);
        manager.runtime.spawn(sweeps);
        Ok(manager)
    }

    /// Makes sure that the internal topic exists, as FindCoordinator does before it names a coordinator.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn prepare(&self) -> Result<(), TransactionError> {
        self.log.prepare().await
    }

    /// Gives a producer its id and epoch once that is durable. Every producer that used the transactional id before is
    /// fenced, and its transaction aborted; while that goes on, this is refused and has to be tried again.
    ///
    /// # Errors
    /// If the request is malformed, the producer is fenced itself, a transaction has not ended yet, or the disk failed.
    pub async fn initialize(
        &self,
        request: &InitializeRequest,
    ) -> Result<(ProducerId, ProducerEpoch), TransactionError> {
        self.check_id(&request.transactional_id)?;
        let (timeout_ms, max_ms) = (request.timeout_ms, self.config.timeout_ms_max);
        if !(1..=max_ms).contains(&timeout_ms) {
            return Err(TransactionError::InvalidTimeout { timeout_ms, max_ms });
        }
        let expected = match (request.producer_id, request.producer_epoch) {
            (ProducerId(-1), ProducerEpoch(-1)) => None,
            (id, epoch) if id.0 == -1 || epoch.0 == -1 => {
                return Err(TransactionError::HalfProducer { id, epoch });
            }
            (id, epoch) => Some(Producer { id, epoch }),
        };
        let mut fresh = None;
        loop {
            match self.begin_initialize(&request.transactional_id, expected, timeout_ms, fresh)? {
                (Initialized::NeedsProducerId, _) => fresh = Some(self.log.next_producer_id().await?),
                (Initialized::Give(producer), written) => {
                    done(written).await?;
                    return Ok((producer.id, producer.epoch));
                }
                (Initialized::Abort, written) => {
                    done(written).await?;
                    return Err(TransactionError::Concurrent {
                        id: request.transactional_id.clone(),
                        state: TransactionState::PrepareAbort,
                    });
                }
            }
        }
    }

    fn begin_initialize(
        &self,
        id: &Arc<str>,
        expected: Option<Producer>,
        timeout_ms: i32,
        fresh: Option<ProducerId>,
    ) -> Result<(Initialized, Option<Written>), TransactionError> {
        self.admit()?;
        let index = self.index_of(id);
        let now = self.clock.now();
        let mut shard = self.shard(index);
        if !shard.contains_key(id) {
            let limit = self.config.ids_max;
            if self.ids.load(Ordering::Relaxed) >= limit {
                return Err(TransactionError::TooMany {
                    what: "transactional ids",
                    limit,
                    setting: "ids_max",
                });
            }
            if fresh.is_none() {
                return Ok((Initialized::NeedsProducerId, None));
            }
            self.ids.fetch_add(1, Ordering::Relaxed);
            shard.insert(id.clone(), Transaction::new(id.clone()));
        }
        let transaction = shard.get_mut(id).expect("it was inserted if it was not there");
        match transaction.initialize(expected, timeout_ms, fresh, now)? {
            Initialized::NeedsProducerId => Ok((Initialized::NeedsProducerId, None)),
            initialized => Ok((initialized, Some(self.write(index, transaction, id)))),
        }
    }

    /// Adds partitions to the producer's transaction, or begins one; they are part of it once this returns.
    ///
    /// # Errors
    /// If the producer is unknown or fenced, the last transaction has not ended yet, or the disk failed.
    pub async fn add_partitions(
        &self,
        producer: &TransactionalProducer,
        partitions: &[TopicPartition],
    ) -> Result<(), TransactionError> {
        let limit = self.config.partitions_per_transaction_max;
        let now = self.clock.now();
        let written = self.change(producer, |transaction, producer| {
            transaction.add(producer, partitions, limit, now)
        })?;
        done(written).await
    }

    /// Decides the producer's transaction. When this returns, the decision is durable; the markers follow.
    ///
    /// # Errors
    /// If the producer is unknown or fenced, there is no transaction to end that way, or the disk failed.
    pub async fn end(&self, producer: &TransactionalProducer, commit: bool) -> Result<(), TransactionError> {
        let now = self.clock.now();
        let written = self.change(producer, |transaction, producer| {
            transaction.end(producer, commit, now)
        })?;
        done(written).await
    }

    /// Transactions under way, those whose markers are being written among them.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until no write and no marker is under way; what a clean stop leaves open is carried on at the next start.
    pub async fn flush(&self) {
        while self.writing.load(Ordering::SeqCst) + self.finishing.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops the timers and turns away everybody from now on. What was answered is on disk already.
    pub fn shutdown(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.stop.notify_one();
    }

    /// Lets `act` loose on a transaction and writes what it proposes.
    fn change(
        &self,
        producer: &TransactionalProducer,
        act: impl FnOnce(&mut Transaction, Producer) -> Result<Step, TransactionError>,
    ) -> Result<Option<Written>, TransactionError> {
        let id = &producer.transactional_id;
        self.check_id(id)?;
        self.admit()?;
        let index = self.index_of(id);
        let mut shard = self.shard(index);
        let unknown = || TransactionError::UnknownId { id: id.clone() };
        let transaction = shard.get_mut(id).ok_or_else(unknown)?;
        let (id, epoch) = (producer.id, producer.epoch);
        match act(transaction, Producer { id, epoch })? {
            Step::Done => Ok(None),
            Step::Write => {
                let id = &producer.transactional_id;
                Ok(Some(self.write(index, transaction, id)))
            }
        }
    }

    /// Writes what the transaction proposes, on a task of its own.
    fn write(&self, index: usize, transaction: &mut Transaction, id: &Arc<str>) -> Written {
        let (sender, receiver) = oneshot::channel();
        let encoded = match transaction.proposed() {
            Some(metadata) => record::encode(id, metadata),
            None => return receiver,
        };
        let partition = i32::try_from(index).unwrap_or(i32::MAX);
        let (log, this, id) = (self.log.clone(), self.this.clone(), id.clone());
        self.writing.fetch_add(1, Ordering::SeqCst);
        self.runtime.spawn(async move {
            let written = match encoded {
                Ok(record) => log.append(partition, record).await,
                Err(error) => Err(TransactionError::Storage {
                    reason: error.to_string(),
                }),
            };
            drop(log);
            if let Err(error) = &written {
                tracing::error!(partition, %error, "the state of a transaction was not written");
            }
            if let Some(manager) = this.upgrade() {
                manager.on_written(index, &id, written.is_ok());
            }
            // A caller that has gone away does not want the answer any more.
            let _ = sender.send(written);
        });
        receiver
    }

    fn on_written(&self, index: usize, id: &Arc<str>, written: bool) {
        let mut shard = self.shard(index);
        if let Some(transaction) = shard.get_mut(id) {
            let was_open = transaction.is_open();
            let markers_due = transaction.on_written(written);
            match (was_open, transaction.is_open()) {
                (false, true) => drop(self.open.fetch_add(1, Ordering::Relaxed)),
                (true, false) => drop(self.open.fetch_sub(1, Ordering::Relaxed)),
                _ => {}
            }
            if transaction.is_vacant() {
                shard.remove(id);
                self.ids.fetch_sub(1, Ordering::Relaxed);
            }
            if markers_due {
                self.finish(index, id.clone());
            }
        }
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Refuses what cannot be carried out now.
    fn admit(&self) -> Result<(), TransactionError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(TransactionError::NotAvailable);
        }
        let waiting = self.writing.load(Ordering::SeqCst);
        if waiting >= self.config.writes_waiting_max {
            return Err(TransactionError::Overloaded { waiting });
        }
        Ok(())
    }

    fn check_id(&self, id: &str) -> Result<(), TransactionError> {
        let (bytes, bytes_max) = (id.len(), self.config.id_bytes_max);
        if !(1..=bytes_max).contains(&bytes) {
            return Err(TransactionError::InvalidId { bytes, bytes_max });
        }
        Ok(())
    }

    fn index_of(&self, id: &str) -> usize {
        let partitions = i32::try_from(self.shards.len()).unwrap_or(i32::MAX);
        usize::try_from(partition_for(id, partitions)).unwrap_or(0)
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a write, if there is one.
async fn done(written: Option<Written>) -> Result<(), TransactionError> {
    match written {
        Some(written) => written.await.unwrap_or(Err(TransactionError::NotAvailable)),
        None => Ok(()),
    }
}

/// Reads the transactions of one partition back from its log.
fn read(log: &dyn TransactionLog, partition: i32) -> Result<Shard, TransactionError> {
    let mut found = HashMap::new();
    log.replay(partition, &mut |key, value| {
        let decoded = record::decode(key, value).map_err(|error| TransactionError::Corrupt {
            partition,
            reason: error.to_string(),
        })?;
        match decoded {
            // Dead ones are not kept; Kafka may have written that it was about to delete one.
            Some((id, Some(metadata))) if metadata.state == TransactionState::Dead => drop(found.remove(id)),
            Some((id, Some(metadata))) => drop(found.insert(Arc::from(id), metadata)),
            Some((id, None)) => drop(found.remove(id)),
            None => tracing::debug!("skipped a record of a kind that is not kept here"),
        }
        Ok(())
    })?;
    let load = |(id, metadata): (Arc<str>, _)| (id.clone(), Transaction::load(id, metadata));
    Ok(found.into_iter().map(load).collect())
}

impl Drop for TransactionManager {
    fn drop(&mut self) {
        // Wakes the timer task, which finds nobody to work for.
        self.stop.notify_one();
    }
}
