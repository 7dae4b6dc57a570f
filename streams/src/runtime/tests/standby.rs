//! Two processes with local stores: one works, the other keeps a copy, and they change places.
use std::path::Path;
use std::sync::mpsc::channel;

use millstream_client::{GroupMember, GroupMembers};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::standby::{Parts, Standby};
use super::warnings::warnings;
use super::*;
use crate::source::{Follow, Followed};
use crate::store::{LocalStore, Slot, StoreMemory};

/// Follows the changelogs of the shelf.
struct MemoryFollow {
    broker: Shelf,
    /// Which of the two processes the group has given all partitions to; none while it changes.
    active: Rc<RefCell<Option<usize>>>,
    positions: BTreeMap<TopicPartition, usize>,
    looks: VecDeque<(TopicPartition, Look)>,
    /// Nobody is told yet what was seen.
    looks_late: bool,
    /// Nobody says who is in the group.
    silent: bool,
    /// Polls fail from now on.
    fails: bool,
}

impl MemoryFollow {
    fn end(&self, at: &TopicPartition) -> usize {
        self.broker.borrow().logs.get(&*at.topic).map_or(0, Vec::len)
    }
}

impl Follow for MemoryFollow {
    fn members(&mut self) -> Result<GroupMembers, SourceError> {
        if self.silent {
            let (cause, remedy) = ("it timed out".to_owned(), "");
            return Err(SourceError::Read { cause, remedy });
        }
        let active = *self.active.borrow();
        let member = |process: usize| GroupMember {
            instance_id: Some(format!("p{process}-stream-1")),
            partitions: match active == Some(process) {
                true => vec![(LINES.to_owned(), 0), (SHUFFLED.to_owned(), 0)],
                false => Vec::new(),
            },
            ..GroupMember::default()
        };
        Ok(GroupMembers {
            stable: active.is_some(),
            members: (0..2).map(member).collect(),
        })
    }

    fn ask(&mut self, at: &TopicPartition, first: bool) {
        let end = self.end(at) as i64;
        let look = Look {
            end: Some(end),
            first: (first && end > 0).then(|| MemoryRestore::place(0)),
        };
        self.looks.push_back((at.clone(), look));
    }

    fn answer(&mut self) -> Option<(TopicPartition, Look)> {
        match self.looks_late {
            true => None,
            false => self.looks.pop_front(),
        }
    }

    fn read(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<(), SourceError> {
        let starts = starts.iter().map(|(at, start)| match start {
            StartAt::Offset(offset) => (at.clone(), *offset as usize),
            _ => (at.clone(), 0),
        });
        self.positions = starts.collect();
        Ok(())
    }

    /// A record of each, or its end.
    fn poll(&mut self, _: Duration, _: usize, each: &mut dyn FnMut(Followed<'_>)) -> Result<(), SourceError> {
        if std::mem::take(&mut self.fails) {
            let (cause, remedy) = ("died".to_owned(), "");
            return Err(SourceError::Read { cause, remedy });
        }
        let broker = self.broker.borrow();
        for (at, next) in &mut self.positions {
            let log = broker.logs.get(&*at.topic).map_or(&[][..], Vec::as_slice);
            match log.get(*next) {
                Some(stored) => {
                    let change = Change {
                        at: MemoryRestore::place(*next),
                        key: stored.key.as_deref(),
                        value: stored.value.as_deref(),
                    };
                    *next += 1;
                    each(Followed::Change(&at.topic, at.partition, change));
                }
                None => each(Followed::End(&at.topic, at.partition, *next as i64)),
            }
        }
        Ok(())
    }
}

/// A process: its worker, the copies it keeps, and its disk.
struct Process {
    number: usize,
    bench: Bench,
    standby: Standby<MemoryFollow>,
    directory: TempDir,
}

/// Two processes on one broker.
struct Pair {
    broker: Shelf,
    active: Rc<RefCell<Option<usize>>>,
    memory: StoreMemory,
    processes: Vec<Process>,
}

impl Pair {
    /// The first one has everything; states are looked up from so many on that the other takes over.
    fn new(looked_up_from: usize) -> Self {
        let broker = Shelf::default();
        broker.borrow_mut().staged = Some(Vec::new());
        let mut pair = Self {
            broker,
            active: Rc::new(RefCell::new(Some(0))),
            memory: StoreMemory::default().looked_up_from(looked_up_from),
            processes: Vec::new(),
        };
        for number in 0..2 {
            let process = pair.process(number, tempfile::tempdir().unwrap());
            pair.processes.push(process);
        }
        pair.processes[0]
            .bench
            .change(Polled::Assigned(Bench::all_partitions()));
        pair.processes[0].bench.steps(8);
        pair
    }

    fn process(&self, number: usize, directory: TempDir) -> Process {
        let stores = stores(directory.path(), self.memory);
        let bench = Bench::stored(Rc::clone(&self.broker), Some(stores.clone()), None);
        let follow = MemoryFollow {
            broker: Rc::clone(&self.broker),
            active: Rc::clone(&self.active),
            positions: BTreeMap::new(),
            looks: VecDeque::new(),
            looks_late: false,
            silent: false,
            fails: false,
        };
        let standby = Standby::new(Parts {
            topology: Arc::clone(&bench.topology),
            shared: Arc::clone(&bench.shared),
            stores,
            follow,
            replicas: 1,
            instance: format!("p{number}-stream-7"),
        });
        Process {
            number,
            bench,
            standby,
            directory,
        }
    }

    fn active(&mut self) -> &mut Process {
        let active = self.active.borrow().unwrap();
        &mut self.processes[active]
    }

    fn other(&mut self) -> &mut Process {
        let active = self.active.borrow().unwrap();
        &mut self.processes[1 - active]
    }

    /// Lets the copy begin, once what was left of the store is on the disk.
    fn begin(&mut self) {
        let standby = &mut self.other().standby;
        standby.step();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !standby.has_begun() {
            assert!(Instant::now() < deadline, "no copy can be begun");
            standby.step();
        }
    }

    /// Lets the copy take what there is, and some more.
    fn follow(&mut self) {
        self.begin();
        let records = self.broker.borrow().logs.get(CHANGELOG).map_or(0, Vec::len);
        let standby = &mut self.other().standby;
        (0..records + 8).for_each(|_| standby.step());
    }

    /// The active one dies, or leaves, and the other is given all; it comes back with nothing to do.
    fn change_places(&mut self, dies: bool) {
        let before = self.active.borrow().unwrap();
        if dies {
            let died = self.processes.remove(before);
            let (number, directory) = (died.number, died.directory);
            drop((died.bench, died.standby));
            self.broker.borrow_mut().staged.as_mut().unwrap().clear();
            self.broker.borrow_mut().changes.clear();
            let process = self.process(number, directory);
            self.processes.insert(before, process);
        } else {
            let bench = &mut self.processes[before].bench;
            bench.change(Polled::Revoked { lost: false });
            let changes = self.broker.borrow().changes.len();
            bench.steps(changes);
            bench.change(Polled::Assigned(Vec::new()));
            bench.steps(1);
        }
        *self.active.borrow_mut() = Some(1 - before);
        let active = self.active();
        active.bench.change(Polled::Assigned(Bench::all_partitions()));
        active.bench.steps(1);
        // It hears of the group before the worker has taken anything over.
        active.standby.step();
    }

    fn line(&mut self, line: &str) {
        self.active().bench.line(line);
    }

    fn steps(&mut self, steps: usize) {
        self.active().bench.steps(steps);
    }

    /// States loaded, looked up to be exact, and records read of the log by whoever works now.
    fn restored(&mut self) -> (u64, u64) {
        let metrics = self.active().bench.shared.metrics.snapshot(|_| 0);
        assert_eq!(metrics.restore_left, 0);
        (metrics.states_loaded, metrics.records_restored)
    }

    fn lag(&mut self) -> Option<Option<u64>> {
        self.other().standby.report();
        let standbys = self.other().bench.shared.metrics.standbys_now();
        let standby = standbys.get(&(CHANGELOG.to_owned(), 0));
        standby.map(|standby| standby.lag)
    }
}

const CHANGELOG: &str = "wc-counts-changelog";

fn stores(directory: &Path, memory: StoreMemory) -> LocalStores {
    let slot = Arc::new(Slot::take(directory, "wc").unwrap());
    LocalStores::open(slot, String::new(), || 0, memory).unwrap()
}

/// As many states as there are are loaded.
const LOADED: usize = usize::MAX;
/// None is.
const LOOKED_UP: usize = 0;

#[test]
fn whoever_has_followed_takes_over_without_reading_the_log() {
    for looked_up_from in [LOADED, LOOKED_UP] {
        let mut pair = Pair::new(looked_up_from);
        pair.line("a b a c");
        pair.steps(8);
        pair.follow();
        pair.line("c d");
        pair.steps(8);
        pair.follow();
        assert_eq!(pair.lag(), Some(Some(0)));
        // Two more epochs, of which the copy has seen one when it is needed.
        for _ in 0..2 {
            pair.line("a");
            pair.steps(4);
        }
        pair.change_places(true);
        pair.line("a b d");
        pair.steps(20);
        // Four words and what they mean; the last epoch's word.
        let loaded = if looked_up_from == LOADED { 5 } else { 0 };
        assert_eq!(pair.restored(), (loaded, 1));
        let expected = counts(&[("a", 5), ("b", 2), ("c", 2), ("d", 2)]);
        assert_eq!(pair.active().bench.table(), expected);
        let active = pair.active();
        active.standby.step();
        active.standby.report();
        assert!(
            active.bench.shared.metrics.standbys_now().is_empty(),
            "it works now"
        );
    }
}

#[test]
fn whoever_worked_before_follows_from_where_it_was() {
    let mut pair = Pair::new(LOOKED_UP);
    pair.line("a b c d e f");
    pair.steps(8);
    pair.follow();
    pair.change_places(false);
    pair.line("a");
    pair.steps(8);
    pair.follow();
    assert_eq!(pair.lag(), Some(Some(0)));
    let metrics = pair.other().bench.shared.metrics.snapshot(|_| 0);
    assert_eq!(metrics.standby_records, 1, "the rest of the log");
    pair.change_places(true);
    pair.line("b");
    pair.steps(20);
    assert_eq!(pair.restored(), (0, 0));
    let expected = counts(&[("a", 2), ("b", 2), ("c", 1), ("d", 1), ("e", 1), ("f", 1)]);
    assert_eq!(pair.active().bench.table(), expected);
}

#[test]
fn an_aborted_epoch_never_comes_into_a_copy() {
    let mut pair = Pair::new(LOOKED_UP);
    pair.line("a b");
    pair.steps(8);
    pair.follow();
    pair.line("a a a");
    pair.steps(1);
    pair.broker.borrow_mut().abort = true;
    pair.steps(1);
    pair.follow();
    // The epoch was never committed; whoever takes over reads its records again.
    pair.change_places(true);
    pair.broker.borrow_mut().abort = false;
    pair.steps(20);
    assert_eq!(pair.active().bench.table(), counts(&[("a", 4), ("b", 1)]));
}

#[test]
fn a_copy_that_has_read_half_of_the_log_goes_on_from_there() {
    let mut pair = Pair::new(LOOKED_UP);
    let words: Vec<String> = (0..40).map(|n| format!("w{n}")).collect();
    pair.line(&words.join(" "));
    pair.steps(8);
    let standby = &mut pair.other().standby;
    // It hears of the group and looks at the log first.
    (0..20).for_each(|_| standby.step());
    assert!(
        matches!(pair.lag(), Some(Some(lag)) if lag > 0),
        "{:?}",
        pair.lag()
    );
    pair.change_places(true);
    let taken = pair.active().bench.shared.metrics.snapshot(|_| 0).standby_records;
    assert!((10..30).contains(&taken), "{taken}");
    pair.steps(80);
    assert_eq!(pair.restored(), (taken, 41 - taken));
}

#[test]
fn a_log_that_was_made_anew_is_copied_anew() {
    let mut pair = Pair::new(LOOKED_UP);
    pair.line("a b c");
    pair.steps(8);
    pair.follow();
    pair.other().standby.follower().fails = true;
    // Shorter than what the copy has of the old one.
    let log = pair
        .broker
        .borrow_mut()
        .logs
        .get_mut(CHANGELOG)
        .unwrap()
        .split_off(2);
    assert_eq!(log.len(), 2);
    pair.follow();
    pair.follow();
    let metrics = pair.other().bench.shared.metrics.snapshot(|_| 0);
    assert_eq!((metrics.standby_records, pair.lag()), (4 + 2, Some(Some(0))));
}

#[test]
fn a_copy_that_cannot_be_read_is_given_up_when_it_is_needed() {
    for looked_up_from in [LOADED, LOOKED_UP] {
        let mut pair = Pair::new(looked_up_from);
        // More than a block, lest what is torn was read with the stamp already.
        let words: Vec<String> = (0..400).map(|n| format!("wordofsomelength{n}")).collect();
        pair.line(&words.join(" "));
        pair.steps(8);
        pair.follow();
        pair.other().standby.release_all();
        // Whoever begins again waits until what was left is on the disk.
        pair.follow();
        let torn = super::checkpoints::tear(pair.other().directory.path());
        assert!(torn > 0);
        pair.follow();
        pair.change_places(true);
        pair.line("wordofsomelength7");
        pair.steps(900);
        assert_eq!(pair.restored().1, 401, "all of the log");
        let expected = words.iter().enumerate();
        let expected: Vec<(&str, usize)> = expected
            .map(|(n, word)| (&**word, if n == 7 { 2 } else { 1 }))
            .collect();
        assert_eq!(pair.active().bench.table(), counts(&expected));
    }
}

/// The worker stood still with all of its tasks while the disk merged what the copy had read, and ended if that failed.
#[test]
fn whoever_takes_over_works_on_while_the_copy_is_merged() {
    for looked_up_from in [LOADED, LOOKED_UP] {
        for fails in [false, true] {
            let mut pair = Pair::new(looked_up_from);
            pair.line("a b");
            pair.steps(8);
            pair.follow();
            let merged: Vec<_> = pair.other().standby.stores().map(LocalStore::hold_up).collect();
            assert_eq!(merged.len(), 1);
            let (tell, told) = channel();
            let merging = std::thread::spawn(move || {
                // Whoever waits for it finds it done, late.
                let outcome = told.recv_timeout(Duration::from_secs(60)).unwrap_or(Ok(()));
                merged.into_iter().for_each(|merged| merged(outcome.clone()));
            });
            let shuffled = |pair: &Pair| pair.broker.borrow().logs[SHUFFLED].len();
            let before = shuffled(&pair);
            pair.change_places(true);
            pair.line("a c");
            pair.steps(12);
            assert!(!pair.active().bench.worker.waiting.is_empty());
            assert!(shuffled(&pair) > before, "the other task works");
            let outcome = match fails {
                true => Err("no room".to_owned()),
                false => Ok(()),
            };
            tell.send(outcome).unwrap();
            merging.join().unwrap();
            pair.steps(40);
            // Two words and what they mean.
            let expected = match (fails, looked_up_from) {
                (true, _) => (0, 3),
                (false, LOADED) => (3, 0),
                (false, _) => (0, 0),
            };
            assert_eq!(pair.restored(), expected, "{looked_up_from} {fails}");
            let expected = counts(&[("a", 2), ("b", 1), ("c", 1)]);
            assert_eq!(pair.active().bench.table(), expected);
        }
    }
}

/// A store that was whole was emptied, because the log had been shorter when somebody looked for the copy before.
#[test]
fn what_was_seen_for_one_copy_says_nothing_of_the_next() {
    let mut pair = Pair::new(LOOKED_UP);
    pair.line("a b c");
    pair.steps(8);
    pair.other().standby.follower().looks_late = true;
    pair.begin();
    pair.other().standby.step();
    assert_eq!(pair.other().standby.follower().looks.len(), 1);
    pair.change_places(false);
    pair.line("d e f");
    pair.steps(20);
    pair.active().standby.step();
    pair.change_places(false);
    pair.begin();
    pair.other().standby.follower().looks_late = false;
    pair.follow();
    let metrics = pair.other().bench.shared.metrics.snapshot(|_| 0);
    assert_eq!((metrics.standby_records, pair.lag()), (0, Some(Some(0))));
}

/// Panics as soon as it is asked anything.
struct Panics;

impl Follow for Panics {
    fn members(&mut self) -> Result<GroupMembers, SourceError> {
        panic!("a panic that a test wants")
    }

    fn ask(&mut self, _: &TopicPartition, _: bool) {}

    fn answer(&mut self) -> Option<(TopicPartition, Look)> {
        None
    }

    fn read(&mut self, _: &[(TopicPartition, StartAt)]) -> Result<(), SourceError> {
        Ok(())
    }

    fn poll(&mut self, _: Duration, _: usize, _: &mut dyn FnMut(Followed<'_>)) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The files of a copy may be damaged, which no worker would have touched.
#[test]
fn a_panic_among_copies_ends_no_job() {
    let (bench, directory) = (Bench::new(), tempfile::tempdir().unwrap());
    let shared = Arc::clone(&bench.shared);
    let copy = crate::StandbyMetrics { lag: Some(1) };
    let at = (CHANGELOG.to_owned(), 0);
    shared.metrics.standbys(BTreeMap::from([(at, copy)]));
    let standby = Standby::new(Parts {
        topology: Arc::clone(&bench.topology),
        shared: Arc::clone(&shared),
        stores: stores(directory.path(), StoreMemory::default()),
        follow: Panics,
        replicas: 1,
        instance: "p0-stream-1".to_owned(),
    });
    standby.start().unwrap().join().unwrap();
    assert!(shared.failure().is_none() && !shared.is_stopping());
    assert!(
        shared.metrics.standbys_now().is_empty(),
        "there are none any more"
    );
}

/// Only who had asked for it in the log was told, and without the group's name.
#[test]
fn it_is_told_once_that_nobody_says_who_is_in_the_group() {
    let mut pair = Pair::new(LOADED);
    let standby = &mut pair.other().standby;
    let look = |standby: &mut Standby<MemoryFollow>| {
        warnings(|| {
            for _ in 0..30 {
                // At once, as after a failure.
                standby.release_all();
                standby.step();
            }
        })
    };
    standby.follower().silent = true;
    let told = look(standby);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("group=\"wc\"") && told[0].contains("needs Describe on the group"),
        "{told:?}"
    );
    // Now and then nobody answers, which is nothing to be told.
    standby.follower().silent = false;
    assert!(look(standby).is_empty());
    standby.follower().silent = true;
    assert_eq!(look(standby).len(), 1, "it was answered in between");
}

#[derive(Debug, Clone)]
enum Act {
    Line(String),
    Steps(usize),
    Follow(usize),
    Lose,
    Abort,
    ChangePlaces { dies: bool },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => "[abcd]( [abcd]){0,4}".prop_map(Act::Line),
        5 => (1..8_usize).prop_map(Act::Steps),
        4 => (1..8_usize).prop_map(Act::Follow),
        1 => Just(Act::Lose),
        1 => Just(Act::Abort),
        3 => any::<bool>().prop_map(|dies| Act::ChangePlaces { dies }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_exact_however_often_places_change(
        acts in prop::collection::vec(act(), 1..40),
        looks_up in any::<bool>(),
    ) {
        let mut pair = Pair::new(if looks_up { LOOKED_UP } else { LOADED });
        let mut oracle = BTreeMap::<String, usize>::new();
        for act in acts {
            match act {
                Act::Line(line) => {
                    for word in line.split(' ') {
                        *oracle.entry(word.to_owned()).or_default() += 1;
                    }
                    pair.line(&line);
                }
                Act::Steps(steps) => pair.steps(steps),
                Act::Follow(steps) => (0..steps).for_each(|_| pair.other().standby.step()),
                Act::Lose => pair.other().standby.release_all(),
                Act::Abort => pair.broker.borrow_mut().abort = true,
                Act::ChangePlaces { dies } => pair.change_places(dies),
            }
        }
        pair.broker.borrow_mut().abort = false;
        pair.line("end");
        *oracle.entry("end".to_owned()).or_default() += 1;
        pair.steps(300);
        let expected: Vec<(&str, usize)> = oracle.iter().map(|(word, n)| (word.as_str(), *n)).collect();
        prop_assert_eq!(pair.active().bench.table(), counts(&expected));
    }
}
