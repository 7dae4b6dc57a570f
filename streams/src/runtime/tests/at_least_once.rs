//! States last: what of an epoch is there when a process dies while it is being written.
use super::*;

const CHANGELOG: &str = "wc-counts-changelog";

impl Bench {
    fn records(&self, topic: &str) -> usize {
        self.broker.borrow().logs.get(topic).map_or(0, Vec::len)
    }

    /// A worker that dies after so many flushes of the epoch that writes the first count.
    fn dies_after(flushes: usize) -> Self {
        let mut bench = Self::of(Guarantee::AtLeastOnce);
        bench.change(Polled::Assigned(Self::all_partitions()));
        bench.steps(3);
        bench.line("a b a");
        while bench.records(SHUFFLED) == 0 {
            bench.steps(1);
        }
        bench.events();
        bench.broker.borrow_mut().flushes_left = Some(flushes);
        assert!((0..10).any(|_| bench.worker.step().is_err()));
        assert!(bench.events().is_empty(), "nothing is committed");
        bench
    }

    fn next(self) -> Self {
        let broker = Rc::clone(&self.broker);
        drop(self);
        broker.borrow_mut().flushes_left = None;
        broker.borrow_mut().unflushed = 0;
        let mut next = Self::with(broker, Guarantee::AtLeastOnce);
        next.change(Polled::Assigned(Self::all_partitions()));
        next.steps(8);
        next
    }
}

#[test]
fn no_state_is_sent_before_its_outputs_are_acknowledged() {
    let bench = Bench::dies_after(0);
    assert_eq!((bench.output().len(), bench.records(CHANGELOG)), (2, 0));
    let next = bench.next();
    assert_eq!(next.output().len(), 4, "they are written again");
    assert_eq!(next.table(), counts(&[("a", 2), ("b", 1)]));
}

#[test]
fn no_offset_is_committed_before_states_are_acknowledged() {
    let bench = Bench::dies_after(1);
    assert_eq!((bench.output().len(), bench.records(CHANGELOG)), (2, 3));
    assert_eq!(
        bench.next().table(),
        counts(&[("a", 4), ("b", 2)]),
        "they count twice"
    );
}
