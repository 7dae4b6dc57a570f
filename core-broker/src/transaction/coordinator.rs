//! The rules of one transactional id, without IO.
//!
//! Why: fencing and the two steps of an end must hold under every interleaving of requests, failures and crashes; a
//! plain value can be tested for all of them. Each method answers at once, or proposes a change; the caller writes the
//! proposed record and reports through [`Transaction::on_written`].
//!
//! Owns: who is fenced, which state follows which, epochs. Does not own: locks, writes, timers, markers (`manager`).
//! Invariants: `durable` is what the log holds; at most one change is proposed at a time, and whoever comes in the
//! meantime is told to retry; once an end is proposed, nothing else can happen until it is complete.

use std::sync::Arc;

use super::error::TransactionError;
use super::marker::TransactionMarker;
use super::metadata::{EPOCH_MAX, Metadata, NO_EPOCH, NO_PRODUCER, NO_TIME, TransactionState};
use crate::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// The epoch of this coordinator: there is never another one.
const COORDINATOR_EPOCH: i32 = 0;

/// A producer as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

/// What a request comes to, unless it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing has to change.
    Done,
    /// A change is proposed: write its record, then answer.
    Write,
}

/// What an InitProducerId comes to, unless it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initialized {
    /// Ask again with a new producer id.
    NeedsProducerId,
    /// A change is proposed: write its record, then give this to the producer.
    Give(Producer),
    /// A change is proposed: the transaction under way is aborted. Write its record, then let the producer retry.
    Abort,
}

/// A proposed change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proposal {
    Set(Metadata),
    Forget,
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Transaction {
    id: Arc<str>,
    durable: Option<Metadata>,
    proposal: Option<Proposal>,
}

impl Transaction {
    /// One that nobody has initialized yet.
    pub fn new(id: Arc<str>) -> Self {
        Self {
            id,
            durable: None,
            proposal: None,
        }
    }

    /// One as the log holds it.
    pub fn load(id: Arc<str>, metadata: Metadata) -> Self {
        Self {
            durable: Some(metadata),
            ..Self::new(id)
        }
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the log holds.
    pub fn durable(&self) -> Option<&Metadata> {
        self.durable.as_ref()
    }

    /// Whether nothing is left or under way, so that it may be dropped.
    pub fn is_vacant(&self) -> bool {
        self.durable.is_none() && self.proposal.is_none()
    }

    /// Whether a transaction is under way.
    pub fn is_open(&self) -> bool {
        self.durable.as_ref().is_some_and(|m| m.state.is_open())
    }

    /// The state to write for the proposed change; the inner `None` deletes.
    pub fn proposed(&self) -> Option<Option<&Metadata>> {
        self.proposal.as_ref().map(|proposal| match proposal {
            Proposal::Set(metadata) => Some(metadata),
            Proposal::Forget => None,
        })
    }

    /// The proposed record is on disk, or is not. Says whether markers are due now.
    pub fn on_written(&mut self, written: bool) -> bool {
        match self.proposal.take() {
            Some(Proposal::Set(metadata)) if written => {
                let prepared = metadata.state.is_prepared();
                self.durable = Some(metadata);
                prepared
            }
            Some(Proposal::Forget) if written => {
                self.durable = None;
                false
            }
            _ => false,
        }
    }

    /// Gives a producer its id and epoch, and fences those before it. `expected` is what a producer says that it is
    /// (KIP-360); `fresh` is a new producer id, if the caller has one.
    pub fn initialize(
        &mut self,
        expected: Option<Producer>,
        timeout_ms: i32,
        fresh: Option<ProducerId>,
        now: Timestamp,
    ) -> Result<Initialized, TransactionError> {
        self.check_idle()?;
        let Some(current) = &self.durable else {
            let Some(id) = fresh else {
                return Ok(Initialized::NeedsProducerId);
            };
            return Ok(self.give(initialized(id, NO_PRODUCER, NO_EPOCH, timeout_ms, now)));
        };
        if let Some(expected) = expected {
            // A retry may still name the id that was replaced when its epochs were used up.
            let replaced = expected.id == current.previous_producer_id && expected.epoch >= EPOCH_MAX;
            if expected.id != current.producer_id && !replaced {
                return Err(self.fenced(current, expected.epoch));
            }
        }
        match current.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(self.concurrent(current)),
            TransactionState::Ongoing => {
                // Stricter than Kafka: one that is fenced already must not abort its successor's transaction.
                if let Some(expected) = expected.filter(|e| e.epoch != current.producer_epoch) {
                    return Err(self.fenced(current, expected.epoch));
                }
                let aborted = aborted_and_fenced(current, now);
                self.propose(aborted);
                Ok(Initialized::Abort)
            }
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort
            | TransactionState::Dead => self.initialize_idle(expected, timeout_ms, fresh, now),
        }
    }

    fn initialize_idle(
        &mut self,
        expected: Option<Producer>,
        timeout_ms: i32,
        fresh: Option<ProducerId>,
        now: Timestamp,
    ) -> Result<Initialized, TransactionError> {
        let Some(current) = &self.durable else {
            return Ok(Initialized::NeedsProducerId);
        };
        let epoch = current.producer_epoch;
        let expected = expected.map(|expected| expected.epoch);
        if current.is_epoch_exhausted() && expected.is_none_or(|expected| expected == epoch) {
            let Some(id) = fresh else {
                return Ok(Initialized::NeedsProducerId);
            };
            let last = if expected.is_some() { epoch } else { NO_EPOCH };
            let next = initialized(id, current.producer_id, last, timeout_ms, now);
            return Ok(self.give(next));
        }
        let (next_epoch, last) = match expected {
            None => (ProducerEpoch(epoch.0 + 1), NO_EPOCH),
            Some(expected) if expected == epoch => (ProducerEpoch(epoch.0 + 1), epoch),
            // The answer to the same request got lost.
            Some(expected) if expected == current.last_producer_epoch => (epoch, current.last_producer_epoch),
            Some(expected) => return Err(self.fenced(current, expected)),
        };
        let next = Metadata {
            producer_epoch: next_epoch,
            ..initialized(
                current.producer_id,
                current.previous_producer_id,
                last,
                timeout_ms,
                now,
            )
        };
        Ok(self.give(next))
    }

    fn give(&mut self, next: Metadata) -> Initialized {
        let producer = Producer {
            id: next.producer_id,
            epoch: next.producer_epoch,
        };
        self.propose(next);
        Initialized::Give(producer)
    }

    /// Adds partitions to the transaction under way, or begins one.
    pub fn add(
        &mut self,
        producer: Producer,
        partitions: &[TopicPartition],
        partitions_max: usize,
        now: Timestamp,
    ) -> Result<Step, TransactionError> {
        let current = self.known()?;
        self.check_idle()?;
        self.check_producer(current, producer)?;
        if current.state.is_prepared() {
            return Err(self.concurrent(current));
        }
        let ongoing = current.state == TransactionState::Ongoing;
        if ongoing && partitions.iter().all(|p| current.partitions.contains(p)) {
            return Ok(Step::Done);
        }
        let mut next = Metadata {
            state: TransactionState::Ongoing,
            started: if ongoing { current.started } else { now },
            updated: now,
            ..current.clone()
        };
        if !ongoing {
            next.partitions.clear();
        }
        next.partitions.extend(partitions.iter().cloned());
        if next.partitions.len() > partitions_max {
            return Err(TransactionError::TooMany {
                what: "partitions in one transaction",
                limit: partitions_max,
                setting: "partitions_per_transaction_max",
            });
        }
        self.propose(next);
        Ok(Step::Write)
    }

    /// Decides the transaction under way, for its producer.
    pub fn end(
        &mut self,
        producer: Producer,
        commit: bool,
        now: Timestamp,
    ) -> Result<Step, TransactionError> {
        let current = self.known()?;
        self.check_producer(current, producer)?;
        self.check_idle()?;
        let wanted = if commit { "committed" } else { "aborted" };
        match (current.state, commit) {
            (TransactionState::Ongoing, _) => {
                let next = Metadata {
                    state: if commit {
                        TransactionState::PrepareCommit
                    } else {
                        TransactionState::PrepareAbort
                    },
                    updated: now,
                    ..current.clone()
                };
                self.propose(next);
                Ok(Step::Write)
            }
            // The answer to the same request got lost.
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => {
                Ok(Step::Done)
            }
            (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => {
                Err(self.concurrent(current))
            }
            (state, _) => Err(TransactionError::InvalidState {
                id: self.id.clone(),
                state,
                wanted,
            }),
        }
    }

    /// Aborts the transaction under way if it took too long, and fences its producer.
    pub fn abort_if_timed_out(&mut self, now: Timestamp) -> Step {
        match &self.durable {
            Some(current) if self.proposal.is_none() && current.is_timed_out(now) => {
                let aborted = aborted_and_fenced(current, now);
                self.propose(aborted);
                Step::Write
            }
            _ => Step::Done,
        }
    }

    /// Forgets an id that was not used for long.
    pub fn forget_if_expired(&mut self, now: Timestamp, expiration_ms: i64) -> Step {
        match &self.durable {
            Some(current)
                if self.proposal.is_none()
                    && current.state.may_become(TransactionState::Dead)
                    && now.0.saturating_sub(current.updated.0) >= expiration_ms =>
            {
                self.proposal = Some(Proposal::Forget);
                Step::Write
            }
            _ => Step::Done,
        }
    }

    /// The marker of a decided transaction and the partitions that need it.
    pub fn due_markers(&self) -> Option<(TransactionMarker, Vec<TopicPartition>)> {
        let current = self.durable.as_ref().filter(|m| m.state.is_prepared())?;
        let marker = TransactionMarker {
            producer_id: current.producer_id,
            producer_epoch: current.producer_epoch,
            commit: current.state == TransactionState::PrepareCommit,
            coordinator_epoch: COORDINATOR_EPOCH,
        };
        Some((marker, current.partitions.iter().cloned().collect()))
    }

    /// All markers are written: the transaction is over.
    pub fn complete(&mut self, now: Timestamp) -> Step {
        let Some(current) = self.durable.as_ref().filter(|_| self.proposal.is_none()) else {
            return Step::Done;
        };
        let state = match current.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            _ => return Step::Done,
        };
        let next = Metadata {
            state,
            partitions: Default::default(),
            updated: now,
            ..current.clone()
        };
        self.propose(next);
        Step::Write
    }

    /// Whether the producer may write to the partition now, as part of its transaction.
    pub fn verify(&self, producer: Producer, partition: &TopicPartition) -> Result<(), TransactionError> {
        let current = self.known()?;
        self.check_producer(current, producer)?;
        let ends = match &self.proposal {
            Some(Proposal::Set(next)) => next.state.is_prepared(),
            _ => false,
        };
        if ends || current.state.is_prepared() {
            return Err(self.concurrent(current));
        }
        if current.state == TransactionState::Ongoing && current.partitions.contains(partition) {
            return Ok(());
        }
        Err(TransactionError::NotIncluded {
            id: self.id.clone(),
            partition: partition.clone(),
        })
    }

    fn propose(&mut self, next: Metadata) {
        debug_assert!(
            self.durable
                .as_ref()
                .is_none_or(|m| m.state.may_become(next.state)),
            "{:?} cannot become {next:?}",
            self.durable
        );
        self.proposal = Some(Proposal::Set(next));
    }

    fn known(&self) -> Result<&Metadata, TransactionError> {
        self.durable
            .as_ref()
            .ok_or_else(|| TransactionError::UnknownId { id: self.id.clone() })
    }

    fn check_idle(&self) -> Result<(), TransactionError> {
        let next = match &self.proposal {
            None => return Ok(()),
            Some(Proposal::Set(next)) => next.state,
            Some(Proposal::Forget) => TransactionState::Dead,
        };
        Err(TransactionError::Concurrent {
            id: self.id.clone(),
            state: self.durable.as_ref().map_or(next, |current| current.state),
        })
    }

    fn check_producer(&self, current: &Metadata, producer: Producer) -> Result<(), TransactionError> {
        if producer.id != current.producer_id {
            return Err(TransactionError::OtherProducer {
                id: self.id.clone(),
                current: current.producer_id,
                found: producer.id,
            });
        }
        if producer.epoch != current.producer_epoch {
            return Err(self.fenced(current, producer.epoch));
        }
        Ok(())
    }

    fn fenced(&self, current: &Metadata, found: ProducerEpoch) -> TransactionError {
        TransactionError::Fenced {
            id: self.id.clone(),
            current: current.producer_epoch,
            found,
        }
    }

    fn concurrent(&self, current: &Metadata) -> TransactionError {
        TransactionError::Concurrent {
            id: self.id.clone(),
            state: current.state,
        }
    }
}

/// A producer that has not begun anything, with epoch 0.
fn initialized(
    id: ProducerId,
    previous: ProducerId,
    last_epoch: ProducerEpoch,
    timeout_ms: i32,
    now: Timestamp,
) -> Metadata {
    Metadata {
        state: TransactionState::Empty,
        producer_id: id,
        producer_epoch: ProducerEpoch(0),
        previous_producer_id: previous,
        last_producer_epoch: last_epoch,
        timeout_ms,
        partitions: Default::default(),
        started: NO_TIME,
        updated: now,
    }
}

/// An aborted transaction whose producer cannot go on: nobody is ever given its epoch.
fn aborted_and_fenced(current: &Metadata, now: Timestamp) -> Metadata {
    Metadata {
        state: TransactionState::PrepareAbort,
        // Epochs are given up to one below the last, so this never overflows.
        producer_epoch: ProducerEpoch(current.producer_epoch.0.saturating_add(1)),
        last_producer_epoch: NO_EPOCH,
        updated: now,
        ..current.clone()
    }
}
