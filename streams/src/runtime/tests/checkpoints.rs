//! Workers with local stores: restarts, crashes, rebalances, damage.
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::checkpoints::Why;
use super::*;
use crate::store::{Slot, StoreMemory};

pub(super) fn stores(directory: &Path) -> LocalStores {
    let slot = Arc::new(Slot::take(directory, "wc").unwrap());
    LocalStores::open(slot, String::new(), || 0, StoreMemory::default()).unwrap()
}

impl Bench {
    fn checkpoint(&mut self) {
        let worker = &mut self.worker;
        worker.checkpoints.write(Why::Left, &mut worker.restore).unwrap();
    }

    /// As a process that is killed, and another that begins in its place.
    pub(super) fn restarted(self, directory: &Path) -> Self {
        let (broker, state_bytes_max) = (Rc::clone(&self.broker), self.state_bytes_max);
        drop(self);
        // Nobody knows of a transaction that was open.
        if let Some(staged) = &mut broker.borrow_mut().staged {
            staged.clear();
        }
        broker.borrow_mut().changes.clear();
        let bench = Self::stored(broker, Some(stores(directory)), state_bytes_max);
        bench.events();
        bench.change(Polled::Assigned(Bench::all_partitions()));
        bench
    }

    fn restored(&self) -> (u64, u64) {
        let metrics = self.shared.metrics.snapshot(|_| 0);
        assert_eq!(metrics.restore_left, 0);
        (metrics.states_loaded, metrics.records_restored)
    }
}

/// A worker that has counted two words.
pub(super) fn begun(guarantee: Guarantee) -> (TempDir, Bench) {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::of(guarantee).restarted(directory.path());
    bench.line("a b a");
    bench.steps(8);
    assert_eq!(bench.table(), counts(&[("a", 2), ("b", 1)]));
    (directory, bench)
}

#[test]
fn a_restart_reads_only_what_came_after_the_checkpoint() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let (directory, mut bench) = begun(guarantee);
        bench.checkpoint();
        // Acknowledged by the brokers, and lost with the process before it came to the disk.
        bench.line("b c");
        bench.steps(3);
        let mut bench = bench.restarted(directory.path());
        bench.line("a c");
        bench.steps(12);
        // The words, and what they mean; then the changes of b and c.
        assert_eq!(bench.restored(), (3, 2));
        assert!(
            bench
                .events()
                .contains(&"restore wc-counts-changelog behind 3".to_owned())
        );
        assert_eq!(bench.table(), counts(&[("a", 3), ("b", 2), ("c", 2)]));

        bench.shared.stop();
        bench.worker.run().unwrap();
        let mut bench = bench.restarted(directory.path());
        bench.steps(4);
        assert_eq!(bench.restored(), (4, 0), "the end writes a checkpoint");
    }
}

#[test]
fn an_answer_that_comes_late_is_a_checkpoint_of_the_log_as_it_was() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let (directory, mut bench) = begun(guarantee);
        bench.worker.checkpoints.ask(Why::Left, &mut bench.worker.restore);
        bench.line("b c");
        bench.steps(3);
        assert_eq!(bench.table(), counts(&[("a", 2), ("b", 2), ("c", 1)]));
        bench.worker.restore.answers = true;
        bench.line("c");
        bench.steps(3);
        let mut bench = bench.restarted(directory.path());
        bench.line("a c");
        bench.steps(12);
        // All that was committed when the answer came is in the checkpoint, and what came after the look is read again.
        assert_eq!(bench.restored(), (4, 3), "{guarantee:?}");
        assert_eq!(bench.table(), counts(&[("a", 3), ("b", 2), ("c", 3)]));
    }
}

#[test]
fn an_answer_that_finds_a_store_half_read_does_not_count() {
    for looks_late in [false, true] {
        let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
        bench.worker.restore.looks_late = looks_late;
        bench.worker.checkpoints.ask(Why::Left, &mut bench.worker.restore);
        bench.change(Polled::Revoked { lost: true });
        bench.change(Polled::Assigned(Bench::all_partitions()));
        // The store is claimed anew, and some of the log is read.
        bench.steps(4);
        let waiting = !bench.worker.waiting.is_empty();
        assert!(waiting, "it still reads");
        let worker = &mut bench.worker;
        worker.restore.answers = true;
        worker.checkpoints.write(Why::Ends, &mut worker.restore).unwrap();
        assert!(worker.restore.looks.is_empty(), "the answer came");
        let mut bench = bench.restarted(directory.path());
        bench.line("a");
        bench.steps(12);
        assert_eq!(bench.table(), counts(&[("a", 3), ("b", 1)]));
    }
}

#[test]
fn who_leaves_waits_for_the_answer() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.worker.checkpoints.ask(Why::Left, &mut bench.worker.restore);
    bench.line("c");
    bench.steps(3);
    bench.change(Polled::Revoked { lost: false });
    bench.steps(1);
    let mut bench = bench.restarted(directory.path());
    bench.steps(8);
    assert_eq!(bench.restored(), (4, 1));
    assert_eq!(bench.table(), counts(&[("a", 2), ("b", 1), ("c", 1)]));
}

#[test]
fn what_an_aborted_epoch_wrote_is_not_in_the_checkpoint() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.line("a");
    bench.steps(1);
    bench.broker.borrow_mut().abort = true;
    bench.steps(1);
    bench.checkpoint();
    let mut bench = bench.restarted(directory.path());
    bench.steps(12);
    assert_eq!(bench.table(), counts(&[("a", 3), ("b", 1)]));
    bench.line("a b");
    bench.steps(4);
    assert_eq!(bench.table(), counts(&[("a", 4), ("b", 2)]));
}

#[test]
fn a_task_that_comes_back_goes_on_with_its_store() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.change(Polled::Revoked { lost: false });
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.line("a");
    bench.steps(6);
    bench.checkpoint();
    let mut bench = bench.restarted(directory.path());
    bench.steps(8);
    assert_eq!(bench.restored(), (3, 0));
}

#[test]
fn a_store_is_not_stamped_for_what_another_did_with_its_log() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.change(Polled::Revoked { lost: false });
    bench.steps(1);
    let mut other = Bench::on(Rc::clone(&bench.broker));
    other.line("a b");
    other.change(Polled::Assigned(Bench::all_partitions()));
    other.steps(12);
    other.change(Polled::Revoked { lost: false });
    other.steps(1);
    bench.shared.stop();
    bench.worker.run().unwrap();
    let mut bench = bench.restarted(directory.path());
    bench.line("a");
    bench.steps(12);
    assert_eq!(bench.restored(), (3, 2));
    assert_eq!(bench.table(), counts(&[("a", 4), ("b", 2)]));
}

#[test]
fn a_checkpoint_that_is_torn_is_given_up_and_the_log_read() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.checkpoint();
    let broker = Rc::clone(&bench.broker);
    drop(bench);
    assert!(tear(directory.path()) > 0);
    let mut bench = Bench::on(broker).restarted(directory.path());
    bench.line("a");
    bench.steps(12);
    assert_eq!(bench.restored().1, 3, "all of the log");
    assert_eq!(bench.table(), counts(&[("a", 3), ("b", 1)]));
}

#[test]
fn state_that_memory_has_no_room_for_is_read_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let limit = 200_000;
    let mut bench = Bench::of(Guarantee::ExactlyOnce);
    bench.state_bytes_max = Some(limit);
    let mut bench = bench.restarted(directory.path());
    let mut oracle = BTreeMap::<String, usize>::new();
    let mut largest = 0;
    for round in 0..120_usize {
        // Some words come again and again, most after a long while.
        let words = (0..300).map(|n| match n % 3 {
            0 => format!("often{}", n % 60),
            _ => format!("a-rare-word-that-takes-some-room-{}", (round * 300 + n) % 9_000),
        });
        let words: Vec<String> = words.collect();
        for word in words.iter().flat_map(|word| word.split('-')) {
            *oracle.entry(word.to_owned()).or_default() += 1;
        }
        bench.line(&words.join(" "));
        bench.steps(3);
        let metrics = bench.shared.metrics.snapshot(|_| 0);
        largest = largest.max(metrics.sub_topologies[1].state_bytes);
        if round % 20 == 7 {
            bench.checkpoint();
        }
        if round == 50 {
            bench = bench.restarted(directory.path());
            bench.steps(20_000);
            assert!(bench.restored().0 < 4_000, "{:?}", bench.restored());
        }
    }
    bench.steps(10);
    let expected: Vec<(&str, usize)> = oracle.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    assert_eq!(bench.table(), counts(&expected));
    // What comes in one epoch, or in one batch of a checkpoint, comes on top.
    assert!(largest as usize <= limit * 5 / 4, "{largest} bytes in memory");
}

/// Damages states on the disk, which shows only when they are read; gives how many files have some.
pub(super) fn tear(directory: &Path) -> usize {
    let mut torn = 0;
    for table in files(directory) {
        let mut bytes = std::fs::read(&table).unwrap();
        if let Some(at) = bytes.windows(6).position(|bytes| bytes == b"\xffstore") {
            bytes[at + 1] ^= 1;
            std::fs::write(&table, bytes).unwrap();
            torn += 1;
        }
    }
    torn
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}

#[derive(Debug, Clone)]
enum Act {
    Line(String),
    Steps(usize),
    Abort,
    Checkpoint,
    Revoke {
        lost: bool,
    },
    Crash,
    /// Another process works for a while, then this one again.
    Other(String),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => "[abcd]( [abcd]){0,4}".prop_map(Act::Line),
        5 => (1..8_usize).prop_map(Act::Steps),
        2 => Just(Act::Abort),
        3 => Just(Act::Checkpoint),
        2 => any::<bool>().prop_map(|lost| Act::Revoke { lost }),
        2 => Just(Act::Crash),
        1 => "[abcd]( [abcd]){0,4}".prop_map(Act::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_exact_whatever_happens(
        acts in prop::collection::vec(act(), 1..40),
        // All of it, one epoch's keys, and something between.
        state_bytes_max in prop::option::of(prop_oneof![Just(0), 1_000..20_000_usize]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = Bench::of(Guarantee::ExactlyOnce);
        bench.state_bytes_max = state_bytes_max;
        let mut bench = bench.restarted(directory.path());
        let mut oracle = BTreeMap::<String, usize>::new();
        let mut count = |line: &str| {
            for word in line.split(' ') {
                *oracle.entry(word.to_owned()).or_default() += 1;
            }
        };
        for act in acts {
            match act {
                Act::Line(line) => {
                    count(&line);
                    bench.line(&line);
                }
                Act::Steps(steps) => bench.steps(steps),
                Act::Abort => bench.broker.borrow_mut().abort = true,
                Act::Checkpoint => bench.checkpoint(),
                Act::Revoke { lost } => {
                    bench.change(Polled::Revoked { lost });
                    bench.change(Polled::Assigned(Bench::all_partitions()));
                }
                Act::Crash => bench = bench.restarted(directory.path()),
                Act::Other(line) => {
                    bench.change(Polled::Revoked { lost: false });
                    let steps = bench.broker.borrow().changes.len();
                    bench.steps(steps);
                    count(&line);
                    let mut other = Bench::on(Rc::clone(&bench.broker));
                    other.line(&line);
                    other.change(Polled::Assigned(Bench::all_partitions()));
                    other.steps(80);
                    other.change(Polled::Revoked { lost: false });
                    other.steps(1);
                    bench.change(Polled::Assigned(Bench::all_partitions()));
                }
            }
        }
        bench.broker.borrow_mut().abort = false;
        bench.line("end");
        count("end");
        bench.steps(200);
        let expected: Vec<(&str, usize)> = oracle.iter().map(|(word, n)| (word.as_str(), *n)).collect();
        prop_assert_eq!(bench.table(), counts(&expected));
    }
}
