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
use super::store::KeyedRecord;
use super::time::{MonotonicMs, Now};

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
struct QueuedWrite {
    group: GroupId,
    write: WriteId,
    records: Arc<[Record]>,
    bytes: usize,
}

/// Writes gathered into one batch, in order; those that cannot be written have failed already.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub records: Vec<KeyedRecord>,
    pub writes: Vec<(GroupId, WriteId, Result<(), GroupError>)>,
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
                    if let Some(sender) = self.waiting.remove(&token) {
                        // A caller that has gone away does not want the answer any more.
                        let _ = sender.send(response);
                    }
                }
                Effect::Append { write, records } => {
                    let bytes = records.iter().map(Record::size).sum();
                    self.queue.push_back(QueuedWrite {
                        group: id.clone(),
                        write,
                        records,
                        bytes,
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

    /// Takes the next writes out of the queue, as many as make one batch.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(next) = self.queue.front() {
            if !batch.writes.is_empty() && bytes + next.bytes > GATHERED_BYTES_MAX {
                break;
            }
            bytes += next.bytes;
            if let Some(next) = self.queue.pop_front() {
                let encoded: Result<Vec<KeyedRecord>, _> = next.records.iter().map(Record::encode).collect();
                let result = encoded.map(|records| batch.records.extend(records));
                let result = result.map_err(|error| GroupError::Storage {
                    reason: error.to_string(),
                });
                batch.writes.push((next.group, next.write, result));
            }
        }
        (!batch.writes.is_empty()).then_some(batch)
    }

    /// Turns away everybody who waits, now and later.
    pub fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.queue.clear();
    }
}
