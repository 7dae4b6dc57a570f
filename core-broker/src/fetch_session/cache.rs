//! Which sessions are kept, and which make room for others.
//!
//! Kafka's rules: a session that nobody used for [`EVICTION_MS`] goes first; failing that, one that has been there so
//! long and is smaller than the new one, since a large one saves more. Sans-IO: time and ids come in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How long a session is left alone after its creation and after its use.
pub(crate) const EVICTION_MS: i64 = 120_000;

/// Most partitions of all sessions: each costs some 300 bytes.
pub(crate) const PARTITIONS_MAX: usize = 250_000;

/// The sessions by id.
#[derive(Debug)]
pub(crate) struct SessionCache<T> {
    slots_max: usize,
    partitions_max: usize,
    partitions: usize,
    sessions: HashMap<i32, Cached<T>>,
    /// By last use.
    by_use: BTreeSet<(i64, i32)>,
    /// By size; only sessions that were used longer than [`EVICTION_MS`] after their creation.
    by_size: BTreeSet<(usize, i32)>,
    evictions: u64,
}

#[derive(Debug)]
struct Cached<T> {
    session: Arc<T>,
    created: i64,
    used: i64,
    size: usize,
}

impl<T> SessionCache<T> {
    pub fn new(slots_max: usize, partitions_max: usize) -> Self {
        Self {
            slots_max,
            partitions_max,
            partitions: 0,
            sessions: HashMap::new(),
            by_use: BTreeSet::new(),
            by_size: BTreeSet::new(),
            evictions: 0,
        }
    }

    /// Sessions kept.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Partitions of all of them.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sessions that made room for others.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// A session by id.
    pub fn get(&self, id: i32) -> Option<Arc<T>> {
        self.sessions.get(&id).map(|cached| Arc::clone(&cached.session))
    }

    /// Keeps a session of `size` partitions under an id that `draw` gives, if there is room or can be made. What was
    /// evicted for it is added to `evicted`, to be dropped outside of any lock.
    pub fn insert(
        &mut self,
        session: &Arc<T>,
        size: usize,
        now: i64,
        mut draw: impl FnMut() -> i32,
        evicted: &mut Vec<Arc<T>>,
    ) -> Option<i32> {
        if size == 0 || self.slots_max == 0 || size > self.partitions_max {
            return None;
        }
        while self.sessions.len() >= self.slots_max || self.partitions + size > self.partitions_max {
            let victim = self.victim(size, now)?;
            evicted.extend(self.remove(victim));
            self.evictions += 1;
        }
        let id = loop {
            let id = draw();
            if id > 0 && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let cached = Cached {
            session: Arc::clone(session),
            created: now,
            used: now,
            size,
        };
        self.by_use.insert((now, id));
        self.partitions += size;
        self.sessions.insert(id, cached);
        Some(id)
    }

    /// A session was used and has `size` partitions now. False if they are too many; the session should be removed then.
    pub fn touch(&mut self, id: i32, size: usize, now: i64) -> bool {
        let Some(cached) = self.sessions.get_mut(&id) else {
            // Evicted a moment ago: this answer is still right, the next request is told.
            return true;
        };
        self.by_use.remove(&(cached.used, id));
        self.by_size.remove(&(cached.size, id));
        self.partitions = self.partitions - cached.size + size;
        cached.used = now;
        cached.size = size;
        self.by_use.insert((now, id));
        if now - cached.created > EVICTION_MS {
            self.by_size.insert((size, id));
        }
        self.partitions <= self.partitions_max
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: i32) -> Option<Arc<T>> {
        let cached = self.sessions.remove(&id)?;
        self.by_use.remove(&(cached.used, id));
        self.by_size.remove(&(cached.size, id));
        self.partitions -= cached.size;
        Some(cached.session)
    }

    /// Who makes room for a session of `size` partitions.
    fn victim(&self, size: usize, now: i64) -> Option<i32> {
        let &(used, id) = self.by_use.first()?;
        if now - used > EVICTION_MS {
            return Some(id);
        }
        let &(smallest, id) = self.by_size.first()?;
        (smallest < size).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache, and a way to add a session of a size at a time.
    struct Bench {
        cache: SessionCache<()>,
        next: i32,
        evicted: usize,
    }

    impl Bench {
        fn new(slots: usize, partitions: usize) -> Self {
            Self {
                cache: SessionCache::new(slots, partitions),
                next: 0,
                evicted: 0,
            }
        }

        fn add(&mut self, size: usize, now: i64) -> Option<i32> {
            let mut evicted = Vec::new();
            let next = &mut self.next;
            let draw = || {
                *next += 1;
                *next
            };
            let id = self.cache.insert(&Arc::new(()), size, now, draw, &mut evicted);
            self.evicted += evicted.len();
            id
        }

        fn check(&self) {
            let sizes: usize = self.cache.sessions.values().map(|c| c.size).sum();
            assert_eq!(self.cache.partitions, sizes);
            assert_eq!(self.cache.by_use.len(), self.cache.len());
            assert!(self.cache.len() <= self.cache.slots_max);
            assert!(self.cache.by_size.len() <= self.cache.len());
        }
    }

    #[test]
    fn a_full_cache_refuses_until_a_session_is_stale() {
        let mut bench = Bench::new(2, 100);
        assert_eq!(bench.add(1, 0), Some(1));
        assert_eq!(bench.add(1, 10), Some(2));
        assert_eq!(bench.add(50, 20), None);
        assert!(bench.cache.touch(1, 1, 50));
        // The second was used last at 10, the first at 50.
        assert_eq!(bench.add(1, 10 + EVICTION_MS), None);
        assert_eq!(bench.add(1, 11 + EVICTION_MS), Some(3));
        assert!(bench.cache.get(2).is_none() && bench.cache.get(1).is_some());
        assert_eq!((bench.evicted, bench.cache.evictions()), (1, 1));
        bench.check();
    }

    #[test]
    fn an_old_session_makes_room_for_a_larger_one_only() {
        let mut bench = Bench::new(2, 1000);
        bench.add(5, 0);
        bench.add(8, 0);
        let later = EVICTION_MS + 1;
        assert!(bench.cache.touch(1, 5, later) && bench.cache.touch(2, 8, later));
        assert_eq!(bench.add(5, later), None);
        assert_eq!(bench.add(6, later), Some(3));
        assert!(bench.cache.get(1).is_none());
        // The third is too young, the second larger.
        assert_eq!(bench.add(7, later), None);
        assert_eq!(bench.add(9, later), Some(4));
        assert_eq!(bench.add(500, later), None);
        bench.check();
    }

    #[test]
    fn partitions_are_bounded() {
        let mut bench = Bench::new(10, 10);
        assert_eq!(bench.add(0, 0), None);
        assert_eq!(bench.add(11, 0), None);
        assert_eq!(bench.add(6, 0), Some(1));
        assert_eq!(bench.add(5, 0), None);
        assert_eq!(bench.add(4, 0), Some(2));
        assert!(!bench.cache.touch(2, 5, 1));
        assert!(bench.cache.remove(2).is_some() && bench.cache.remove(2).is_none());
        assert!(bench.cache.touch(2, 99, 1), "one that is gone");
        assert_eq!((bench.cache.partitions(), bench.cache.len()), (6, 1));
        // Stale ones go until there is room.
        assert_eq!(bench.add(2, 10), Some(3));
        assert_eq!(bench.add(10, 11 + EVICTION_MS), Some(4));
        assert_eq!(bench.cache.len(), 1);
        bench.check();
    }

    #[test]
    fn ids_are_positive_and_new() {
        let mut cache = SessionCache::new(9, 9);
        let mut drawn = [0, -4, 7, 7, 8].into_iter();
        let mut draw = || drawn.next().unwrap();
        let mut evicted = Vec::new();
        let session = Arc::new(());
        assert_eq!(cache.insert(&session, 1, 0, &mut draw, &mut evicted), Some(7));
        assert_eq!(cache.insert(&session, 1, 0, &mut draw, &mut evicted), Some(8));
        assert_eq!(
            SessionCache::new(0, 9).insert(&session, 1, 0, || 1, &mut evicted),
            None
        );
    }
}
