//! The state machine of a session: tables, and a seeded simulation of a client that must know at every answer what it
//! would know without a session.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::*;

type Found = (i64, usize);

fn topic(number: usize) -> TopicRef {
    TopicRef::Name(StrBytes::from_string(format!("t{number}")))
}

fn asked(offset: i64) -> Asked {
    Asked {
        leader_epoch: -1,
        offset,
        bytes_max: 1 << 20,
    }
}

fn marks(high_watermark: i64) -> Marks {
    Marks {
        high_watermark,
        last_stable: high_watermark,
        log_start: 0,
    }
}

/// A session of partitions 0 to `count` of one topic.
fn session(count: i32) -> Session<i32> {
    let mut session = Session::new(false, 0);
    for index in 0..count {
        session.ask(&topic(0), index, asked(0));
    }
    session
}

/// Looks at what is due in logs that end at `ends`, one byte a record; which partitions were looked at.
fn look(session: &mut Session<i32>, round: &mut Round<Found>, ends: &[i64], bytes_max: usize) -> Vec<i32> {
    let mut seen = Vec::new();
    let due = session.due();
    session.look(round, due, |_, entry, taken| {
        seen.push(entry.index);
        entry.handle = Some(entry.index);
        let end = ends[entry.index as usize];
        let size = (end - entry.asked.offset) as usize;
        let outcome = match size {
            0 => Outcome::Nothing,
            _ if taken.bytes >= bytes_max => Outcome::Later { full: true },
            _ => Outcome::Records {
                size,
                more: false,
                content: (entry.asked.offset, size),
            },
        };
        Some(Look {
            marks: marks(end),
            outcome,
        })
    });
    seen
}

fn answer(session: &mut Session<i32>, round: Round<Found>, all: bool) -> Vec<(i32, Option<Found>)> {
    let mut given = Vec::new();
    session.answer(round, all, |entry, found| given.push((entry.index, found)));
    given
}

#[test]
fn only_what_changed_is_looked_at_and_told() {
    let mut session = session(3);
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[0, 5, 0], 100), [0, 1, 2]);
    assert_eq!(
        answer(&mut session, round, true),
        [(0, None), (1, Some((0, 5))), (2, None)]
    );

    // The second partition gave records, so that it is due again; the client has not moved.
    session.begin(0);
    session.ask(&topic(0), 1, asked(5));
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[0, 5, 0], 100), [1]);
    assert!(look(&mut session, &mut round, &[0, 5, 0], 100).is_empty());
    assert_eq!(answer(&mut session, round, false), []);

    session.begin(0);
    session.mark(2);
    session.mark(2);
    session.mark(77);
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[0, 5, 4], 100), [2]);
    // It grows while the request waits for more.
    session.mark(2);
    assert_eq!(look(&mut session, &mut round, &[0, 5, 9], 100), [2]);
    assert_eq!(round.bytes(), 9);
    assert_eq!(answer(&mut session, round, false), [(2, Some((0, 9)))]);
}

#[test]
fn marks_alone_are_told_once_and_found_by_a_sweep() {
    let mut session = session(2);
    let mut round = Round::default();
    look(&mut session, &mut round, &[0, 0], 100);
    answer(&mut session, round, true);
    session.begin(0);
    session.ask(&topic(0), 0, asked(3));
    session.sweep(|index| (*index == 0).then_some(marks(0)));
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[3, 0], 100), [0, 1], "1 is gone");
    assert_eq!(answer(&mut session, round, false), [(0, None)]);
    session.begin(0);
    session.sweep(|index| Some(marks([3, 0][*index as usize])));
    assert_eq!(session.due(), 0);
}

#[test]
fn an_error_is_told_until_it_goes_away_and_then_its_absence() {
    let mut session = session(1);
    let fail = |session: &mut Session<i32>, marks| {
        let mut round = Round::default();
        session.look(&mut round, 1, |_, _, _| {
            Some(Look {
                marks,
                outcome: Outcome::Failed((-1, 0)),
            })
        });
        assert!(round.failed());
        answer(session, round, false)
    };
    for _ in 0..2 {
        session.begin(0);
        assert_eq!(fail(&mut session, marks(4)), [(0, Some((-1, 0)))]);
    }
    session.begin(0);
    session.ask(&topic(0), 0, asked(4));
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[4], 100), [0]);
    assert_eq!(answer(&mut session, round, false), [(0, None)]);
    session.begin(0);
    assert_eq!(session.due(), 0);
}

#[test]
fn what_gave_records_queues_behind_what_had_to_wait() {
    let mut session = session(3);
    let mut served = Vec::new();
    for _ in 0..6 {
        session.begin(0);
        let mut round = Round::default();
        look(&mut session, &mut round, &[1, 1, 1], 1);
        served.extend(
            answer(&mut session, round, false)
                .into_iter()
                .filter(|(_, found)| found.is_some())
                .map(|(index, _)| index),
        );
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_look_that_stops_goes_on_where_it_stopped() {
    let mut session = session(4);
    let mut round: Round<Found> = Round::default();
    let mut seen = Vec::new();
    let mut stop = true;
    let mut step = |_: u32, entry: &mut Entry<i32>, _: Taken| {
        if entry.index == 2 && std::mem::take(&mut stop) {
            return None;
        }
        seen.push(entry.index);
        let outcome = if entry.index == 0 {
            Outcome::Later { full: false }
        } else {
            Outcome::Nothing
        };
        Some(Look {
            marks: marks(1),
            outcome,
        })
    };
    let left = session.look(&mut round, 4, &mut step);
    assert_eq!(left, 2);
    assert_eq!(session.look(&mut round, left, &mut step), 0);
    assert_eq!((seen, session.due()), (vec![0, 1, 2, 3], 1));
}

#[test]
fn a_request_that_was_dropped_loses_nothing() {
    let mut session = session(2);
    let mut round = Round::default();
    look(&mut session, &mut round, &[3, 0], 100);
    drop(round);
    session.begin(0);
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[3, 0], 100), [0, 1]);
    assert_eq!(answer(&mut session, round, false), [(0, Some((0, 3))), (1, None)]);
}

#[test]
fn partitions_come_and_go_and_the_isolation_changes() {
    let mut session = session(3);
    let mut round = Round::default();
    look(&mut session, &mut round, &[0, 0, 0], 100);
    answer(&mut session, round, true);
    session.begin(0);
    session.forget(&topic(0), 1);
    session.forget(&topic(0), 1);
    session.forget(&topic(9), 0);
    assert_eq!((session.len(), session.due()), (2, 0));
    session.ask(&topic(0), 1, asked(0));
    let mut round = Round::default();
    assert_eq!(look(&mut session, &mut round, &[0, 2, 0], 100), [1]);
    assert_eq!(answer(&mut session, round, false), [(1, Some((0, 2)))]);
    session.begin(1);
    assert_eq!(session.due(), 3);
    (0..3).for_each(|index| session.forget(&topic(0), index));
    assert!(session.is_empty());
    let mut round = Round::default();
    assert!(look(&mut session, &mut round, &[0, 0, 0], 100).is_empty());
    assert_eq!(answer(&mut session, round, false), []);
}

#[test]
fn epochs_pass_over_zero() {
    let mut session = session(1);
    session.advance_epoch();
    assert_eq!(session.epoch, 1);
    session.epoch = i32::MAX;
    session.advance_epoch();
    assert_eq!(session.epoch, 1);
}

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

#[derive(Clone, Copy)]
struct Log {
    marks: Marks,
    gone: bool,
}

/// What the client knows of a partition.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    position: i64,
    marks: Option<Marks>,
    failed: bool,
    /// Answers since it was last served although there was something.
    waited: usize,
}

const TOPICS: usize = 4;
const PARTITIONS: usize = 4;
const UNKNOWN: Marks = Marks::UNKNOWN;

struct World {
    dice: Dice,
    /// Every log there ever was; those that are there now by place.
    logs: Vec<Log>,
    present: BTreeMap<(usize, i32), usize>,
    session: Session<usize>,
    client: BTreeMap<(usize, i32), Known>,
    isolation: i8,
    /// Changes of log starts are not told.
    silent: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: Dice(seed * 2 + 1),
            logs: Vec::new(),
            present: BTreeMap::new(),
            session: Session::new(false, 0),
            client: BTreeMap::new(),
            isolation: 0,
            silent: false,
        };
        (0..TOPICS).for_each(|t| world.create(t));
        for place in world.places() {
            world.client.insert(
                place,
                Known {
                    position: 0,
                    marks: None,
                    failed: false,
                    waited: 0,
                },
            );
            world.session.ask(&topic(place.0), place.1, asked(0));
        }
        world
    }

    fn places(&self) -> Vec<(usize, i32)> {
        self.present.keys().copied().collect()
    }

    fn create(&mut self, t: usize) {
        for p in 0..PARTITIONS as i32 {
            self.present.insert((t, p), self.logs.len());
            self.logs.push(Log {
                marks: marks(0),
                gone: false,
            });
        }
    }

    fn tell(&mut self, log: usize) {
        let slots: Vec<u32> = self
            .session
            .handles()
            .filter_map(|(slot, handle)| (*handle == log).then_some(slot))
            .collect();
        slots.into_iter().for_each(|slot| self.session.mark(slot));
    }

    fn change(&mut self) {
        let t = self.dice.below(TOPICS as u64) as usize;
        let place = (t, self.dice.below(PARTITIONS as u64) as i32);
        let what = self.dice.below(12);
        let Some(&at) = self.present.get(&place) else {
            if what < 4 {
                self.create(t);
            }
            return;
        };
        let log = &mut self.logs[at].marks;
        match what {
            0..=4 => log.high_watermark += 1 + self.dice.below(3) as i64,
            5..=8 => log.last_stable = log.high_watermark,
            9 | 10 => {
                let room = (log.last_stable - log.log_start).max(0) as u64;
                log.log_start += self.dice.below(room + 1) as i64;
                self.silent = true;
                return;
            }
            _ => {
                for p in 0..PARTITIONS as i32 {
                    let gone = self.present.remove(&(t, p)).unwrap();
                    self.logs[gone].gone = true;
                    self.tell(gone);
                }
                return;
            }
        }
        self.tell(at);
    }

    /// What a look at a place gives to one that is at `offset`.
    fn read(&self, log: Option<usize>, offset: i64, room: usize, first: bool) -> Look<Found> {
        let Some(marks) = log.map(|at| self.logs[at].marks) else {
            return Look {
                marks: UNKNOWN,
                outcome: Outcome::Failed((-1, 0)),
            };
        };
        let limit = if self.isolation == 1 {
            marks.last_stable
        } else {
            marks.high_watermark
        };
        let outcome = if offset < marks.log_start || offset > marks.high_watermark {
            Outcome::Failed((-1, 0))
        } else if offset >= limit {
            Outcome::Nothing
        } else {
            match room.max(usize::from(first)).min((limit - offset) as usize) {
                0 => Outcome::Later { full: true },
                size => Outcome::Records {
                    size,
                    more: false,
                    content: (offset, size),
                },
            }
        };
        Look { marks, outcome }
    }

    fn look(&mut self, round: &mut Round<Found>, bytes_max: usize) {
        let mut session = std::mem::replace(&mut self.session, Session::new(false, 0));
        let due = session.due();
        session.look(round, due, |_, entry, taken| {
            let TopicRef::Name(name) = &entry.topic else {
                panic!()
            };
            let place = (name[1..].parse().unwrap(), entry.index);
            let held = entry.handle.filter(|at| !self.logs[*at].gone);
            entry.handle = held.or_else(|| self.present.get(&place).copied());
            let room = bytes_max.saturating_sub(taken.bytes);
            Some(self.read(entry.handle, entry.asked.offset, room, taken.bytes == 0))
        });
        self.session = session;
    }

    fn request(&mut self, all: bool) {
        if self.dice.below(30) == 0 {
            self.isolation ^= 1;
        }
        if !all {
            self.session.begin(self.isolation);
            for place in (0..TOPICS).flat_map(|t| (0..PARTITIONS as i32).map(move |p| (t, p))) {
                match (self.client.contains_key(&place), self.dice.below(20)) {
                    (true, 0) if self.client.len() > 1 => {
                        self.client.remove(&place);
                        self.session.forget(&topic(place.0), place.1);
                    }
                    (false, 0..4) => {
                        self.client.insert(
                            place,
                            Known {
                                position: 0,
                                marks: None,
                                failed: false,
                                waited: 0,
                            },
                        );
                        self.session.ask(&topic(place.0), place.1, asked(0));
                    }
                    _ => {}
                }
            }
        }
        let bytes_max = [1, 5, 1000][self.dice.below(3) as usize];
        let mut round = Round::default();
        let swept = self.dice.below(2) == 0;
        for _ in 0..=self.dice.below(3) {
            if swept {
                let logs = &self.logs;
                self.session
                    .sweep(|at| (!logs[*at].gone).then_some(logs[*at].marks));
            }
            self.look(&mut round, bytes_max);
            if round.failed() || self.dice.below(3) == 0 {
                break;
            }
            (0..self.dice.below(5)).for_each(|_| self.change());
        }
        // The last look, after all changes.
        if swept {
            let logs = &self.logs;
            self.session
                .sweep(|at| (!logs[*at].gone).then_some(logs[*at].marks));
            self.silent = false;
        }
        self.look(&mut round, bytes_max);
        if !all && self.dice.below(20) == 0 {
            // The connection broke.
            return;
        }
        self.take(round, all, bytes_max);
    }

    fn take(&mut self, round: Round<Found>, all: bool, bytes_max: usize) {
        assert!(round.bytes() <= bytes_max.max(1));
        let mut given = Vec::new();
        self.session.answer(round, all, |entry, found| {
            let TopicRef::Name(name) = &entry.topic else {
                panic!()
            };
            given.push((
                (name[1..].parse::<usize>().unwrap(), entry.index),
                entry.seen,
                found,
            ));
        });
        if all {
            assert_eq!(given.len(), self.client.len());
        }
        for known in self.client.values_mut() {
            known.waited += 1;
        }
        let mut moved = Vec::new();
        for (place, marks, found) in given {
            let known = self
                .client
                .get_mut(&place)
                .expect("nothing is told that was not asked");
            assert!(
                all || found.is_some() || known.marks != Some(marks),
                "{place:?} did not change"
            );
            known.failed = found.is_some_and(|(offset, _)| offset < 0);
            known.marks = (!known.failed).then_some(marks);
            match found {
                Some((-1, _)) => {
                    // As clients do: from the start of what is there.
                    known.waited = 0;
                    known.position = marks.log_start.max(0);
                    moved.push((place, known.position));
                }
                Some((offset, size)) => {
                    known.waited = 0;
                    assert_eq!(offset, known.position);
                    known.position += size as i64;
                    moved.push((place, known.position));
                }
                None => {}
            }
        }
        self.check();
        self.session.begin(self.isolation);
        for (place, position) in moved {
            if self.dice.below(8) > 0 {
                self.session.ask(&topic(place.0), place.1, asked(position));
            } else {
                // Forgotten and asked for again.
                self.session.forget(&topic(place.0), place.1);
                self.session.ask(&topic(place.0), place.1, asked(position));
                self.client.get_mut(&place).unwrap().marks = None;
            }
        }
    }

    /// The client knows what a fetch of everything would tell it.
    fn check(&mut self) {
        let places: Vec<_> = self.client.keys().copied().collect();
        for place in places {
            let known = self.client[&place];
            let log = self.present.get(&place).copied();
            let mut truth = log.map(|at| self.logs[at].marks);
            let mut seen = known.marks;
            if self.silent {
                truth
                    .iter_mut()
                    .chain(&mut seen)
                    .for_each(|marks| marks.log_start = 0);
            }
            if !known.failed {
                assert_eq!(seen, truth, "{place:?}");
            }
            let look = self.read(log, known.position, 1, true);
            match look.outcome {
                Outcome::Failed(_) if !self.silent => assert!(known.failed, "{place:?}: {known:?}"),
                Outcome::Records { .. } => {
                    let turns = 2 * TOPICS * PARTITIONS + 2;
                    assert!(known.waited < turns, "{place:?} starves");
                }
                _ => self.client.get_mut(&place).unwrap().waited = 0,
            }
        }
    }
}

#[test]
fn a_client_with_a_session_knows_what_one_without_would() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.request(true);
        for _ in 0..200 {
            (0..world.dice.below(6)).for_each(|_| world.change());
            world.request(false);
        }
    }
}
