//! Whose turn it is to be read.
//!
//! Files are read in the order in which they asked, but of the files of one family (a file and what rotation made of it) the oldest comes first,
//! whoever asked first: its lines were written before those of its successors. A file that has to be looked for holds up those behind it.
//!
//! Owns: the ages of the files within their families, and who waits. Does not own: which files are a family, and which of them is older
//! ([`arrival`](super::arrival)).
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::file::source::place::FileKey;

/// A file and its rotations: the hash of the name that they have in common. Two that have the same are in an order without need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family(pub u64);

/// The place of a file in the order in which its family is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is nothing to read in it, as far as is known.
    Idle,
    Waits,
    /// There is something to read in it, but it has to be found first.
    Held,
}

#[derive(Debug)]
struct Member {
    family: Family,
    rank: Rank,
    state: State,
    /// Its key is in the queue; perhaps it does not wait any more.
    in_queue: bool,
}

/// The files, and which of them wait.
#[derive(Debug, Default)]
pub(super) struct Turns {
    members: HashMap<FileKey, Member>,
    queue: VecDeque<FileKey>,
    /// Those that wait or are held.
    unread: BTreeMap<(Family, Rank), FileKey>,
    held: usize,
    ranks: u64,
}

impl Turns {
    fn next_rank(&mut self) -> Rank {
        self.ranks += 1;
        Rank(self.ranks)
    }

    /// A file comes, the youngest of its family.
    pub fn join(&mut self, key: FileKey, family: Family) {
        self.leave(&key);
        let member = Member {
            family,
            rank: self.next_rank(),
            state: State::Idle,
            in_queue: false,
        };
        self.members.insert(key, member);
    }

    /// The file is not read any more.
    pub fn leave(&mut self, key: &FileKey) {
        self.set(*key, State::Idle);
        self.members.remove(key);
    }

    fn set(&mut self, key: FileKey, state: State) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut member.state, state);
        let place = (member.family, member.rank);
        self.held -= usize::from(before == State::Held);
        self.held += usize::from(state == State::Held);
        match state {
            State::Idle => self.unread.remove(&place),
            State::Waits | State::Held => self.unread.insert(place, key),
        };
    }

    /// Gives a file another place in the order.
    fn replace(&mut self, key: FileKey, family: Family, rank: Rank) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        let state = member.state;
        self.set(key, State::Idle);
        if let Some(member) = self.members.get_mut(&key) {
            (member.family, member.rank) = (family, rank);
        }
        self.set(key, state);
    }

    /// What is in the file is younger than all that is in others of its family.
    pub fn make_youngest(&mut self, key: FileKey) {
        let rank = self.next_rank();
        if let Some(family) = self.members.get(&key).map(|member| member.family) {
            self.replace(key, family, rank);
        }
    }

    /// What is in `older` was written before what is in `younger`; they are a family from now on. Says whether `younger` became the youngest.
    pub fn put_before(&mut self, older: FileKey, younger: FileKey) -> bool {
        let place = |key: &FileKey| self.members.get(key).map(|its| (its.family, its.rank));
        let (Some((family, rank)), Some((common, its_rank))) = (place(&older), place(&younger)) else {
            return false;
        };
        if older == younger {
            return false;
        }
        if family != common {
            self.replace(older, common, rank);
        }
        let wrong = rank > its_rank;
        if wrong {
            self.make_youngest(younger);
        }
        wrong
    }

    /// The file waits for its turn, behind those that wait.
    pub fn ask(&mut self, key: FileKey) {
        self.set(key, State::Waits);
        if let Some(member) = self.members.get_mut(&key)
            && !std::mem::replace(&mut member.in_queue, true)
        {
            self.queue.push_back(key);
        }
    }

    /// The file whose turn it was is read again at once.
    pub fn keep(&mut self, key: FileKey) {
        self.set(key, State::Waits);
        if let Some(member) = self.members.get_mut(&key) {
            member.in_queue = true;
            self.queue.push_front(key);
        }
    }

    /// The file has to be looked for. What is younger waits until it [asks](Self::ask) or [leaves](Self::leave).
    pub fn hold(&mut self, key: FileKey) {
        self.set(key, State::Held);
    }

    /// The file has nothing to read after all.
    pub fn release(&mut self, key: FileKey) {
        self.set(key, State::Idle);
    }

    pub fn waits(&self, key: &FileKey) -> bool {
        self.is(key, State::Waits)
    }

    pub fn is_held(&self, key: &FileKey) -> bool {
        self.is(key, State::Held)
    }

    fn is(&self, key: &FileKey, state: State) -> bool {
        self.members.get(key).is_some_and(|member| member.state == state)
    }

    /// Whether files have to be looked for.
    pub fn has_held(&self) -> bool {
        self.held > 0
    }

    /// The next file to read.
    pub fn next(&mut self) -> Option<FileKey> {
        for _ in 0..self.queue.len() {
            let key = self.queue.pop_front()?;
            let Some(member) = self.members.get_mut(&key) else {
                continue;
            };
            if member.state != State::Waits {
                member.in_queue = false;
                continue;
            }
            let family = member.family;
            let mut of_family = self.unread.range((family, Rank(0))..);
            let oldest = of_family.next().map_or(key, |(_, oldest)| *oldest);
            if self.is_held(&oldest) {
                self.queue.push_back(key);
            } else if oldest == key {
                self.set(key, State::Idle);
                if let Some(member) = self.members.get_mut(&key) {
                    member.in_queue = false;
                }
                return Some(key);
            } else {
                // It gives its turn to the oldest, whose own it takes by staying where it is.
                self.queue.push_front(key);
                self.set(oldest, State::Idle);
                return Some(oldest);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> FileKey {
        FileKey {
            device: 1,
            inode,
            birth_ns: None,
        }
    }

    fn of(families: &[(u64, u64)]) -> Turns {
        let mut turns = Turns::default();
        for (inode, family) in families {
            turns.join(key(*inode), Family(*family));
            turns.ask(key(*inode));
        }
        turns
    }

    fn all(turns: &mut Turns) -> Vec<u64> {
        std::iter::from_fn(|| turns.next()).map(|key| key.inode).collect()
    }

    #[test]
    fn files_come_as_they_asked() {
        let mut turns = of(&[(1, 1), (2, 2), (3, 3)]);
        turns.ask(key(1));
        assert_eq!(all(&mut turns), [1, 2, 3]);
        turns.ask(key(3));
        turns.ask(key(2));
        assert!(turns.waits(&key(3)) && !turns.waits(&key(1)));
        assert_eq!(all(&mut turns), [3, 2]);
        turns.ask(key(3));
        turns.leave(&key(3));
        assert_eq!(all(&mut turns), [0; 0]);
    }

    #[test]
    fn the_oldest_of_a_family_comes_first() {
        let mut turns = of(&[(1, 1), (2, 2), (3, 1), (4, 1)]);
        assert_eq!(turns.next(), Some(key(1)));
        turns.ask(key(1));
        assert_eq!(all(&mut turns), [2, 1, 3, 4], "it asks behind its successors");
        turns.ask(key(4));
        turns.ask(key(2));
        turns.ask(key(1));
        assert_eq!(turns.next(), Some(key(1)));
        turns.ask(key(3));
        assert_eq!(all(&mut turns), [3, 4, 2]);
        turns.ask(key(2));
        turns.ask(key(1));
        assert_eq!(turns.next(), Some(key(2)));
        turns.keep(key(2));
        assert_eq!(all(&mut turns), [2, 1]);
        assert!(turns.queue.is_empty() && turns.unread.is_empty());
    }

    #[test]
    fn ages_are_learned_later() {
        let mut turns = of(&[(1, 1), (2, 1), (3, 3)]);
        assert!(turns.put_before(key(3), key(2)), "of another family");
        assert_eq!(all(&mut turns), [1, 3, 2]);
        assert!(!turns.put_before(key(3), key(2)) && !turns.put_before(key(9), key(2)));
        turns.make_youngest(key(1));
        for inode in 1..=3 {
            turns.ask(key(inode));
        }
        assert_eq!(all(&mut turns), [3, 2, 1]);
    }

    #[test]
    fn what_has_to_be_looked_for_holds_up_its_successors() {
        let mut turns = of(&[(1, 1), (2, 1), (3, 3)]);
        assert_eq!(turns.next(), Some(key(1)));
        turns.hold(key(1));
        assert!(turns.has_held());
        assert_eq!(all(&mut turns), [3]);
        turns.ask(key(1));
        assert_eq!(all(&mut turns), [1, 2]);
        turns.ask(key(2));
        turns.hold(key(1));
        turns.leave(&key(1));
        assert_eq!(all(&mut turns), [2], "it is gone");
        assert!(!turns.has_held());
    }
}
