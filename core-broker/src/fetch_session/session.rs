//! One session: the partitions a client fetches, what it was told of each, and which are due to be looked at.
//!
//! A partition is due when the client names it, when its log changed, and when the last look at it gave records or an
//! error. All others are at rest: a request does not touch them. Those that gave something queue up behind those that
//! had to wait, so that no partition starves another.
//!
//! A fetch without a session is the first round of one that is not kept. Sans-IO: who looks at logs is passed in.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::protocol::StrBytes;

use crate::ids::TopicId;

/// How the client names a topic: by id from version 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicRef {
    Name(StrBytes),
    Id(TopicId),
}

/// What the client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub leader_epoch: i32,
    pub offset: i64,
    pub bytes_max: i32,
}

/// What a client is told of a partition beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub high_watermark: i64,
    pub last_stable: i64,
    pub log_start: i64,
}

impl Marks {
    pub const UNKNOWN: Self = Self {
        high_watermark: -1,
        last_stable: -1,
        log_start: -1,
    };
}

/// What a look at a partition gave.
pub(crate) struct Look<R> {
    pub marks: Marks,
    pub outcome: Outcome<R>,
}

/// The records side of a look.
pub(crate) enum Outcome<R> {
    /// The client has all there is.
    Nothing,
    /// There is more, but not in this answer; `full` if it has no room for it.
    Later { full: bool },
    /// Records of `size` bytes; `more` of them would have come if they were not left to another answer.
    Records { size: usize, more: bool, content: R },
    /// An error to be told.
    Failed(R),
}

/// One partition of a session. `H` is how its owner gets at the log.
#[derive(Debug)]
pub(crate) struct Entry<H> {
    pub topic: TopicRef,
    pub index: i32,
    pub asked: Asked,
    pub handle: Option<H>,
    /// At the last look.
    pub seen: Marks,
    /// In the last answer that named it, unless that was an error.
    told: Option<Marks>,
    /// Is in the queue of those to be looked at.
    due: bool,
    /// The round it was last looked at in, and where the round has what was found.
    round: u32,
    found: Option<u32>,
}

/// What one request has found so far.
pub(crate) struct Round<R> {
    found: Vec<Option<Found<R>>>,
    bytes: usize,
    failed: bool,
    full: bool,
}

struct Found<R> {
    size: usize,
    content: R,
    failed: bool,
}

impl<R> Default for Round<R> {
    fn default() -> Self {
        Self {
            found: Vec::new(),
            bytes: 0,
            failed: false,
            full: false,
        }
    }
}

impl<R> Round<R> {
    /// Bytes of records found.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is an error to tell.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether some partition has more than the answer takes of it, so that waiting would add nothing there.
    pub fn full(&self) -> bool {
        self.full
    }
}

/// What a round found in other partitions than the one that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes of records.
    pub bytes: usize,
    /// Partitions.
    pub partitions: usize,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session<H> {
    /// The epoch that the next request must carry.
    pub epoch: i32,
    by_id: bool,
    isolation: i8,
    entries: Vec<Option<Entry<H>>>,
    free: Vec<u32>,
    places: HashMap<(TopicRef, i32), u32>,
    due: VecDeque<u32>,
    /// What this round found something in; due again in the next.
    held: Vec<u32>,
    /// What was looked at in this round.
    touched: Vec<u32>,
    round: u32,
}

impl<H> Session<H> {
    pub fn new(by_id: bool, isolation: i8) -> Self {
        Self {
            epoch: 0,
            by_id,
            isolation,
            entries: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            due: VecDeque::new(),
            held: Vec::new(),
            touched: Vec::new(),
            round: 1,
        }
    }

    /// Whether topics are named by id.
    pub fn by_id(&self) -> bool {
        self.by_id
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The epoch after `epoch`: after the greatest comes 1, since 0 opens a session.
    pub fn advance_epoch(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    /// Adds a partition, or changes what is wanted of it.
    pub fn ask(&mut self, topic: &TopicRef, index: i32, asked: Asked) {
        let next = match self.free.last() {
            Some(slot) => *slot,
            None => u32::try_from(self.entries.len()).expect("a request holds fewer than 2^32 partitions"),
        };
        let slot = *self.places.entry((topic.clone(), index)).or_insert(next);
        if let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::as_mut) {
            entry.asked = asked;
        } else {
            let entry = Some(Entry {
                topic: topic.clone(),
                index,
                asked,
                handle: None,
                seen: Marks::UNKNOWN,
                told: None,
                due: false,
                round: 0,
                found: None,
            });
            match self.free.pop() {
                Some(free) => self.entries[free as usize] = entry,
                None => self.entries.push(entry),
            }
        }
        self.mark(slot);
    }

    /// Forgets a partition.
    pub fn forget(&mut self, topic: &TopicRef, index: i32) {
        if let Some(slot) = self.places.remove(&(topic.clone(), index)) {
            // Whatever still names the slot passes over it, or looks at its next owner once too often.
            self.entries[slot as usize] = None;
            self.free.push(slot);
        }
    }

    /// Has a partition looked at.
    pub fn mark(&mut self, slot: u32) {
        if let Some(Some(entry)) = self.entries.get_mut(slot as usize)
            && !entry.due
        {
            entry.due = true;
            self.due.push_back(slot);
        }
    }

    /// Has every partition looked at that is not as it was at the last look; `present` says how it is, or nothing if
    /// it is gone.
    pub fn sweep(&mut self, present: impl Fn(&H) -> Option<Marks>) {
        for (slot, entry) in self.entries.iter_mut().enumerate() {
            if let Some(entry) = entry
                && !entry.due
                && let Some(handle) = &entry.handle
                && present(handle) != Some(entry.seen)
            {
                entry.due = true;
                self.due.push_back(slot as u32);
            }
        }
    }

    /// Every partition whose log is known, with its number.
    pub fn handles(&mut self) -> impl Iterator<Item = (u32, &mut H)> {
        let entries = self.entries.iter_mut().enumerate();
        entries.filter_map(|(slot, entry)| Some((slot as u32, entry.as_mut()?.handle.as_mut()?)))
    }

    /// A new request begins. What an earlier one found, answered or not, is due again; so is what it saw but did not
    /// answer.
    pub fn begin(&mut self, isolation: i8) {
        self.round = self.round.wrapping_add(1).max(1);
        let mut held = std::mem::take(&mut self.held);
        held.drain(..).for_each(|slot| self.mark(slot));
        self.held = held;
        let mut touched = std::mem::take(&mut self.touched);
        for slot in touched.drain(..) {
            if let Some(Some(entry)) = self.entries.get(slot as usize)
                && entry.told != Some(entry.seen)
            {
                self.mark(slot);
            }
        }
        self.touched = touched;
        if isolation != self.isolation {
            // Another end of what may be read.
            self.isolation = isolation;
            (0..self.entries.len() as u32).for_each(|slot| self.mark(slot));
        }
    }

    /// How many partitions are due.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// Looks at the first `count` partitions that are due, in order. `look` gets the number of the partition, the
    /// partition, and what was found in others; it gives nothing if it must not be called here. The result is how many of
    /// the `count` are left then, the first of them being that partition.
    pub fn look<R>(
        &mut self,
        round: &mut Round<R>,
        count: usize,
        mut look: impl FnMut(u32, &mut Entry<H>, Taken) -> Option<Look<R>>,
    ) -> usize {
        for left in (1..=count).rev() {
            let Some(slot) = self.due.pop_front() else { break };
            let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
                continue;
            };
            let earlier = entry.found.filter(|_| entry.round == self.round);
            let own = earlier
                .and_then(|at| round.found[at as usize].as_ref())
                .map_or(0, |found| found.size);
            let taken = Taken {
                bytes: round.bytes - own,
                partitions: round.found.len() - usize::from(earlier.is_some()),
            };
            let Some(look) = look(slot, entry, taken) else {
                self.due.push_front(slot);
                return left;
            };
            entry.due = false;
            entry.seen = look.marks;
            if entry.round != self.round {
                entry.round = self.round;
                entry.found = None;
                self.touched.push(slot);
            }
            let found = match look.outcome {
                Outcome::Nothing => {
                    // The topic was deleted and created again since the earlier look.
                    if let Some(at) = earlier {
                        round.found[at as usize] = None;
                        round.bytes -= own;
                    }
                    continue;
                }
                Outcome::Later { full } => {
                    round.full |= full;
                    entry.due = true;
                    self.due.push_back(slot);
                    continue;
                }
                Outcome::Records { size, more, content } => {
                    round.full |= more;
                    Found {
                        size,
                        content,
                        failed: false,
                    }
                }
                Outcome::Failed(content) => Found {
                    size: 0,
                    content,
                    failed: true,
                },
            };
            round.bytes = round.bytes - own + found.size;
            round.failed |= found.failed;
            if let Some(at) = earlier {
                round.found[at as usize] = Some(found);
            } else {
                entry.found = Some(round.found.len() as u32);
                round.found.push(Some(found));
                self.held.push(slot);
            }
        }
        0
    }

    /// Ends a round: gives each partition that the answer names, with what was found in it. The first answer names
    /// `all`; later ones those with something found or with other marks than the client knows.
    pub fn answer<R>(&mut self, mut round: Round<R>, all: bool, mut give: impl FnMut(&Entry<H>, Option<R>)) {
        let present = self.round;
        let mut tell = |entry: &mut Entry<H>| {
            let at = entry.found.filter(|_| entry.round == present);
            let content = at.and_then(|at| round.found[at as usize].take());
            if content.is_none() && !all && entry.told == Some(entry.seen) {
                return;
            }
            let failed = content.as_ref().is_some_and(|found| found.failed);
            // When an error goes away, the client is told.
            entry.told = (!failed).then_some(entry.seen);
            give(entry, content.map(|found| found.content));
        };
        if all {
            self.entries.iter_mut().flatten().for_each(tell);
        } else {
            for slot in &self.touched {
                if let Some(Some(entry)) = self.entries.get_mut(*slot as usize)
                    && entry.round == present
                {
                    tell(entry);
                }
            }
        }
    }
}
