//! The groups of one partition of `__consumer_offsets`, with the answers they owe and the writes that wait.
//!
//! Owns: which group exists; whom to answer; the order of writes. Does not own: the lock around it, the log.
//! Invariants: writes leave in the order in which the groups asked; a group is forgotten only when nothing of
//! it is on disk or under way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::config::GroupConfig;
use super::coordinator::{Effect, Group, Response, Token, WriteId};
use super::error::GroupError;
use super::names::GroupId;
use super::record::Record;
use super::store::{KeyedRecord, LogWrite, TransactionalProducer};
use super::time::{MonotonicMs, Now};
use crate::ids::ProducerId;
use crate::transaction::TransactionMarker;

/// Bytes that writes are gathered up to; a larger one goes alone.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// One group with the deadline that the timer knows of.
#[derive(Debug)]
pub(super) struct Entry {
    pub group: Group,
    pub registered: Option<MonotonicMs>,
}

/// A write that waits for its turn.
#[derive(Debug)]
enum QueuedWrite {
    Records {
        group: GroupId,
        write: WriteId,
        records: Arc<[Record]>,
        bytes: usize,
        transaction: Option<TransactionalProducer>,
    },
    Marker {
        marker: TransactionMarker,
        token: Token,
    },
}

/// Writes gathered into one batch, in order; those that cannot be written have failed already.
#[derive(Debug)]
pub(super) struct Batch {
    pub write: LogWrite,
    pub writes: Vec<(GroupId, WriteId, Result<(), GroupError>)>,
    /// The marker that this batch is, and who waits for it.
    pub marker: Option<(TransactionMarker, Token)>,
}

/// The groups of one partition.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub groups: HashMap<GroupId, Entry>,
    waiting: HashMap<Token, oneshot::Sender<Response>>,
    tokens: u64,
    queue: VecDeque<QueuedWrite>,
    /// A task is writing.
    pub writing: bool,
    closed: bool,
}

impl Shard {
    /// Opens a request: the token for the group, the other end for the caller.
    pub fn open(&mut self) -> (Token, oneshot::Receiver<Response>) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let (sender, receiver) = oneshot::channel();
        if !self.closed {
            self.waiting.insert(token, sender);
        }
        (token, receiver)
    }

    /// Takes a request back that no group got to see.
    pub fn cancel(&mut self, token: Token) {
        self.waiting.remove(&token);
    }

    /// Requests that wait for an answer.
    #[cfg(test)]
    pub fn requests_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The group, made if need be.
    pub fn entry(&mut self, id: &GroupId, config: &Arc<GroupConfig>, now: Now) -> &mut Entry {
        let make = || Entry {
            group: Group::new(id.clone(), config.clone(), now),
            registered: None,
        };
        self.groups.entry(id.clone()).or_insert_with(make)
    }

    /// Does what a group has asked for; says whether there is something to write.
    pub fn carry_out(&mut self, id: &GroupId) -> bool {
        let Some(entry) = self.groups.get_mut(id) else {
            return false;
        };
        while let Some(effect) = entry.group.poll_effect() {
            match effect {
                Effect::Respond { token, response } => {
                    respond(&mut self.waiting, token, response);
                }
                Effect::Append {
                    write,
                    records,
                    transaction,
                } => {
                    let bytes = records.iter().map(Record::size).sum();
                    self.queue.push_back(QueuedWrite::Records {
                        group: id.clone(),
                        write,
                        records,
                        bytes,
                        transaction,
                    });
                }
            }
        }
        !self.queue.is_empty()
    }

    /// Writes that wait.
    pub fn writes_waiting(&self) -> usize {
        self.queue.len()
    }

    /// Queues the marker of a transaction behind all that was written in it.
    pub fn push_marker(&mut self, marker: TransactionMarker, token: Token) {
        if !self.closed {
            self.queue.push_back(QueuedWrite::Marker { marker, token });
        }
    }

    /// Answers a request that no group answers.
    pub fn respond(&mut self, token: Token, response: Response) {
        respond(&mut self.waiting, token, response);
    }

    /// Groups with offsets that a transaction of the producer holds back.
    pub fn groups_awaiting(&self, producer: ProducerId) -> Vec<GroupId> {
        let awaiting = self
            .groups
            .iter()
            .filter(|(_, entry)| entry.group.awaits(producer));
        awaiting.map(|(id, _)| id.clone()).collect()
    }

    /// Takes the next writes out of the queue, as many as make one batch: all of the same transaction, or of none.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let producer = match self.queue.front()? {
            QueuedWrite::Marker { marker, token } => {
                let (marker, token) = (*marker, *token);
                self.queue.pop_front();
                return Some(Batch {
                    write: LogWrite::Marker(marker),
                    writes: Vec::new(),
                    marker: Some((marker, token)),
                });
            }
            QueuedWrite::Records { transaction, .. } => transaction.clone(),
        };
        let (mut gathered, mut writes, mut bytes_so_far) = (Vec::new(), Vec::new(), 0);
        while let Some(QueuedWrite::Records {
            bytes, transaction, ..
        }) = self.queue.front()
        {
            let full = !writes.is_empty() && bytes_so_far + bytes > GATHERED_BYTES_MAX;
            if full || *transaction != producer {
                break;
            }
            bytes_so_far += bytes;
            if let Some(QueuedWrite::Records {
                group,
                write,
                records,
                ..
            }) = self.queue.pop_front()
            {
                let encoded: Result<Vec<KeyedRecord>, _> = records.iter().map(Record::encode).collect();
                let result = encoded.map(|records| gathered.extend(records));
                let result = result.map_err(|error| GroupError::Storage {
                    reason: error.to_string(),
                });
                writes.push((group, write, result));
            }
        }
        let write = match producer {
            Some(producer) => LogWrite::Transactional {
                producer,
                records: gathered,
            },
            None => LogWrite::Plain(gathered),
        };
        Some(Batch {
            write,
            writes,
            marker: None,
        })
    }

    /// Turns away everybody who waits, now and later.
    pub fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.queue.clear();
    }
}

fn respond(waiting: &mut HashMap<Token, oneshot::Sender<Response>>, token: Token, response: Response) {
    if let Some(sender) = waiting.remove(&token) {
        // A caller that has gone away does not want the answer any more.
        let _ = sender.send(response);
    }
}
