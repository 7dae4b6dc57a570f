//! Offsets first: what a death costs, and what it never does.
use proptest::prelude::*;

use super::*;

/// How a worker dies in its next epoch.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The commit is refused.
    AtCommit,
    /// The offsets count, and nothing was sent.
    AfterCommit,
    /// States and shuffled rows are sent, outputs are not.
    BeforeOutputs,
    /// Everything is sent, and not acknowledged.
    BeforeTheEnd,
}

fn refused() -> SourceError {
    SourceError::Commit {
        cause: "refused".to_owned(),
        remedy: "",
    }
}

impl Bench {
    fn die(&self, death: Death) {
        let mut broker = self.broker.borrow_mut();
        match death {
            Death::AtCommit => broker.commit_error = Some(refused()),
            Death::AfterCommit => broker.late_commit_error = Some(refused()),
            Death::BeforeOutputs => broker.flushes_left = Some(0),
            Death::BeforeTheEnd => broker.flushes_left = Some(1),
        }
    }

    /// Another process on the same topics.
    fn successor(self) -> Self {
        let broker = Rc::clone(&self.broker);
        drop(self);
        let mut fresh = broker.borrow_mut();
        (fresh.commit_error, fresh.late_commit_error, fresh.flushes_left) = (None, None, None);
        (fresh.unflushed, fresh.flush_error) = (0, None);
        fresh.positions.clear();
        drop(fresh);
        let next = Self::with(broker, Guarantee::AtMostOnce);
        next.change(Polled::Assigned(Self::all_partitions()));
        next
    }

    fn begun() -> Self {
        Self::with(Shelf::default(), Guarantee::AtMostOnce).successor()
    }
}

#[test]
fn offsets_are_committed_before_anything_is_sent() {
    let mut bench = Bench::begun();
    bench.steps(3);
    bench.slow();
    bench.line("a b");
    bench.steps(3);
    let sent = |bench: &Bench| bench.broker.borrow().logs.get(SHUFFLED).map_or(0, Vec::len);
    bench.events();
    bench.die(Death::AfterCommit);
    bench.shared.stop();
    assert!(bench.worker.run().is_err());
    assert_eq!(bench.events(), ["commit lines 1"]);
    assert_eq!(sent(&bench), 0);
    let mut next = bench.successor();
    next.line("b");
    next.steps(12);
    assert_eq!(
        next.table(),
        counts(&[("b", 1)]),
        "the first line is lost, and only it"
    );
}

#[test]
fn a_fenced_commit_leaves_nothing_to_be_sent() {
    let mut bench = Bench::begun();
    bench.steps(3);
    bench.line("a");
    let cause = "another has it".to_owned();
    bench.broker.borrow_mut().commit_error = Some(SourceError::Fenced { cause });
    bench.steps(1);
    assert!(!bench.broker.borrow().logs.contains_key(SHUFFLED));
    bench.change(Polled::Revoked { lost: true });
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.steps(12);
    assert_eq!(bench.table(), counts(&[("a", 1)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However often a process dies: no row counts twice, no result comes twice, and nothing is lost that came after the last death.
    #[test]
    fn nothing_counts_twice(
        steps in proptest::collection::vec(
            prop_oneof![
                4 => (0..3_usize).prop_map(|word| (Some(word), None)),
                3 => Just((None, None)),
                2 => (0..4_usize).prop_map(|death| (None, Some(death))),
            ],
            1..50,
        ),
    ) {
        let words = ["a", "b", "c"];
        let deaths = [Death::AtCommit, Death::AfterCommit, Death::BeforeOutputs, Death::BeforeTheEnd];
        let mut bench = Bench::begun();
        let mut written: BTreeMap<&str, usize> = BTreeMap::new();
        // Lines that were written before the last death.
        let mut lost_at_most = 0;
        let mut before_now = 0;
        for (word, death) in steps {
            if let Some(word) = word {
                bench.line(words[word]);
                *written.entry(words[word]).or_default() += 1;
                before_now += 1;
            }
            if let Some(death) = death {
                bench.die(deaths[death]);
            }
            if bench.worker.step().is_err() {
                lost_at_most = before_now;
                bench = bench.successor();
            }
        }
        for _ in 0..20 {
            if bench.worker.step().is_err() {
                lost_at_most = before_now;
                bench = bench.successor();
            }
        }
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for (word, value) in bench.output() {
            let value: serde_json::Value = serde_json::from_str(&value).unwrap();
            let count = value["n"].as_u64().unwrap() as usize;
            let before = last.insert(word.clone(), count).unwrap_or(0);
            prop_assert!(before < count, "{word} went from {before} to {count}");
            prop_assert!(count <= written[&*word], "{word} counts {count} of {}", written[&*word]);
        }
        let counted: usize = last.values().sum();
        let all: usize = written.values().sum();
        prop_assert!(counted + lost_at_most >= all, "{counted} of {all} count, {lost_at_most} may be lost");
        if lost_at_most == 0 {
            prop_assert_eq!(counted, all);
        }
    }
}
