//! Questions to a worker's stores.
use std::thread::JoinHandle;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use tempfile::TempDir;

use super::super::queries::{QueryError, StoreView};
use super::checkpoints::{begun, stores};
use super::*;
use crate::operator::Asked;
use crate::{Emit, lit, record_time, tumbling};

fn n(rows: &RecordBatch) -> i64 {
    assert_eq!(rows.num_rows(), 1);
    rows.column_by_name("n")
        .unwrap()
        .as_primitive::<Int64Type>()
        .value(0)
}

/// All rows by their word.
fn all(rows: &RecordBatch) -> BTreeMap<String, i64> {
    let words = rows.column_by_name("word").unwrap().as_string_view();
    let counts = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>();
    let pairs = words.iter().zip(counts.iter());
    pairs
        .map(|(word, n)| (word.unwrap().to_owned(), n.unwrap()))
        .collect()
}

fn words(expected: &[(&str, i64)]) -> BTreeMap<String, i64> {
    expected
        .iter()
        .map(|(word, n)| ((*word).to_owned(), *n))
        .collect()
}

impl Bench {
    fn view(&self) -> StoreView {
        let view = StoreView::new(&self.shared, "counts").unwrap();
        view.patience(Duration::from_secs(60))
    }

    /// Asks on another thread, while the worker goes on.
    fn ask<T: Send + 'static>(&mut self, ask: impl FnOnce(StoreView) -> T + Send + 'static) -> T {
        let view = self.view();
        let asking: JoinHandle<T> = std::thread::spawn(move || ask(view));
        while !asking.is_finished() {
            // It looks for questions, and finds nothing else to do.
            self.worker.answer_questions().unwrap();
            std::thread::yield_now();
        }
        asking.join().unwrap()
    }

    fn count(&mut self, word: &'static str) -> Option<i64> {
        self.ask(move |view| view.get(&[lit(word)]).unwrap().as_ref().map(n))
    }

    fn words(&mut self) -> BTreeMap<String, i64> {
        self.ask(|view| all(&view.range(&[], &[], 1_000).unwrap()))
    }
}

/// A worker that has counted `a b a`: with local stores, or without.
fn counted(guarantee: Guarantee, local: bool) -> (Option<TempDir>, Bench) {
    if local {
        let (directory, bench) = begun(guarantee);
        return (Some(directory), bench);
    }
    let mut bench = Bench::of(guarantee);
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench.line("a b a");
    bench.steps(8);
    (None, bench)
}

#[test]
fn only_what_is_committed_is_seen() {
    for local in [true, false] {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let (_directory, mut bench) = counted(guarantee, local);
            assert_eq!(bench.words(), words(&[("a", 2), ("b", 1)]));
            bench.slow();
            bench.line("a c");
            bench.steps(3);
            assert_eq!(
                (bench.count("a"), bench.count("c")),
                (Some(2), None),
                "{guarantee:?}"
            );
            bench.worker.end_epoch().unwrap();
            // The words came to the repartition topic.
            bench.steps(2);
            assert_eq!(bench.words(), words(&[("a", 2), ("b", 1)]));
            bench.worker.end_epoch().unwrap();
            assert_eq!(bench.words(), words(&[("a", 3), ("b", 1), ("c", 1)]));
            assert_eq!(bench.count("c"), Some(1));
            assert_eq!(bench.count("d"), None);
        }
    }
}

#[test]
fn an_aborted_epoch_is_never_seen() {
    for local in [true, false] {
        let (_directory, mut bench) = counted(Guarantee::ExactlyOnce, local);
        bench.line("a");
        bench.steps(1);
        let mut answers = vec![bench.count("a").unwrap()];
        bench.broker.borrow_mut().abort = true;
        for _ in 0..12 {
            bench.worker.step().unwrap();
            // The output is written in the same transactions.
            let committed: i64 = match &*bench.table()["a"] {
                r#"{"n":2}"# => 2,
                r#"{"n":3}"# => 3,
                other => panic!("{other}"),
            };
            let patience = Duration::from_millis(100);
            let answer = bench.ask(move |view| view.patience(patience).get(&[lit("a")]));
            match answer {
                Ok(row) => {
                    assert_eq!(n(&row.unwrap()), committed, "{local}");
                    answers.push(committed);
                }
                Err(error) => assert_eq!(error.kind(), crate::ErrorKind::Retry, "{error}"),
            }
        }
        assert_eq!((answers.first(), answers.last()), (Some(&2), Some(&3)));
        assert!(!bench.broker.borrow().abort, "an epoch was aborted");
        assert_eq!(bench.words(), words(&[("a", 3), ("b", 1)]));
    }
}

#[test]
fn ranges_have_limits_and_bounds() {
    for local in [true, false] {
        let (_directory, mut bench) = counted(Guarantee::AtLeastOnce, local);
        bench.line("c d e");
        bench.steps(3);
        let found = bench.ask(|view| all(&view.range(&[lit("b")], &[lit("d")], 10).unwrap()));
        assert_eq!(found, words(&[("b", 1), ("c", 1), ("d", 1)]));
        assert_eq!(bench.ask(|view| view.range(&[], &[], 2).unwrap().num_rows()), 2);
    }
}

#[test]
fn a_partition_that_leaves_is_not_answered_for_until_it_comes_back() {
    for local in [true, false] {
        let (_directory, mut bench) = counted(Guarantee::AtLeastOnce, local);
        bench.change(Polled::Revoked { lost: false });
        bench.steps(1);
        let view = bench.view().patience(Duration::ZERO);
        let error = view.get(&[lit("a")]).unwrap_err();
        assert!(
            matches!(error, QueryError::NotHere { partition: 0, .. }),
            "{error}"
        );
        assert_eq!(error.kind(), crate::ErrorKind::Retry);
        // All of what is here is not nothing because it is on its way.
        let error = view.range(&[], &[], 10).unwrap_err();
        assert!(matches!(error, QueryError::Rebalancing { .. }), "{error}");
        assert_eq!(error.kind(), crate::ErrorKind::Retry);
        // Who waits has the answer once the partition is here again.
        let (view, other) = (bench.view(), bench.view());
        let asking = std::thread::spawn(move || n(&view.get(&[lit("a")]).unwrap().unwrap()));
        let asking_all = std::thread::spawn(move || all(&other.range(&[], &[], 10).unwrap()));
        bench.change(Polled::Assigned(Bench::all_partitions()));
        while !asking.is_finished() || !asking_all.is_finished() {
            bench.steps(1);
        }
        assert_eq!(asking.join().unwrap(), 2);
        assert_eq!(asking_all.join().unwrap(), words(&[("a", 2), ("b", 1)]));
    }
}

#[test]
fn who_was_given_no_partitions_has_no_rows_and_waits_for_none() {
    let mut bench = Bench::of(Guarantee::ExactlyOnce);
    let now = |bench: &Bench| bench.view().patience(Duration::ZERO).range(&[], &[], 10);
    // Who has just joined may yet be given all.
    assert!(matches!(now(&bench), Err(QueryError::Rebalancing { .. })));
    bench.change(Polled::Assigned(Vec::new()));
    bench.steps(1);
    assert_eq!(now(&bench).unwrap().num_rows(), 0);
}

#[test]
fn a_restart_answers_what_was_committed() {
    let (directory, mut bench) = begun(Guarantee::ExactlyOnce);
    bench.line("a c");
    bench.steps(4);
    let mut bench = bench.restarted(directory.path());
    bench.steps(12);
    assert_eq!(bench.words(), words(&[("a", 3), ("b", 1), ("c", 1)]));
    let view = bench.view();
    drop(bench);
    let error = view.patience(Duration::ZERO).get(&[lit("a")]).unwrap_err();
    assert!(matches!(error, QueryError::NotHere { .. }), "{error}");
    // Nobody who looked at it keeps the folder.
    drop(stores(directory.path()));
}

#[test]
fn errors_say_what_can_be_asked() {
    let (_directory, bench) = counted(Guarantee::AtLeastOnce, true);
    let error = StoreView::new(&bench.shared, "count").unwrap_err().to_string();
    assert_eq!(
        error,
        "the job wc has no store count: there is counts; did you mean \"counts\"?"
    );
    let view = bench.view();
    let unfit = |result: Result<RecordBatch, QueryError>| result.unwrap_err().to_string();
    let get = view.get(&[]).unwrap_err().to_string();
    assert_eq!(
        get,
        "the store counts cannot be asked that: 0 values, its key is word Utf8View"
    );
    assert!(unfit(view.range(&[lit("a"), lit(1_i64)], &[], 1)).contains("2 values"));
    assert!(unfit(view.windows(&[lit("a")], 0..1)).contains("it has no windows"));
    assert!(unfit(view.all_windows(0..1, 1)).contains("it has no windows"));
    bench.shared.worker_ended("stream-1", Ok(()));
    drop(bench);
    let error = view.get(&[lit("a")]).unwrap_err();
    assert!(matches!(error, QueryError::Stopped { .. }), "{error}");
}

/// Counts of lines in windows of ten milliseconds, where each record has the time of its place in the log.
fn windows(broker: &Shelf, directory: &TempDir, grace: Duration, state_bytes_max: Option<usize>) -> Bench {
    let app = Streams::new("wc");
    app.stream(LINES, text("line"))
        .watermark(record_time(Duration::ZERO))
        .group_by([col("line")])
        .window(tumbling(Duration::from_millis(10)).grace(grace))
        .emit(Emit::OnWindowClose)
        .aggregate("counts", [count_all().alias("n")])
        .to("word-counts", json());
    let stores = Some(stores(directory.path()));
    let bench = Bench::of_app(
        &app,
        Rc::clone(broker),
        Guarantee::ExactlyOnce,
        (stores, state_bytes_max),
        Box::new(NoProbe),
    );
    bench.change(Polled::Assigned(Bench::all_partitions()));
    bench
}

/// How many results of windows were given.
fn results(bench: &Bench) -> usize {
    bench.broker.borrow().logs.get("word-counts").map_or(0, Vec::len)
}

/// Where the windows begin that are said to be open.
fn open(bench: &mut Bench) -> Vec<i64> {
    let rows = bench.ask(|view| view.all_windows(0..1_000, 100).unwrap());
    let starts = rows.column_by_name("window_start").unwrap();
    starts
        .as_primitive::<TimestampMillisecondType>()
        .values()
        .to_vec()
}

#[test]
fn windows_that_were_closed_are_not_there_after_a_restart() {
    let (directory, broker) = (tempfile::tempdir().unwrap(), Shelf::default());
    broker.borrow_mut().staged = Some(Vec::new());
    let mut bench = windows(&broker, &directory, Duration::ZERO, None);
    (0..25).for_each(|_| bench.line("a"));
    bench.steps(10);
    assert_eq!(results(&bench), 2);
    assert_eq!(open(&mut bench), [20]);
    drop(bench);
    // No row comes, so that no epoch ends.
    broker.borrow_mut().changes.clear();
    let mut bench = windows(&broker, &directory, Duration::ZERO, None);
    bench.steps(10);
    assert_eq!(open(&mut bench), [20]);
    // Nothing is closed twice: the window of two keys is, and before it nothing.
    (0..10).for_each(|_| bench.line("b"));
    bench.steps(10);
    assert_eq!(results(&bench), 4);
    assert_eq!(open(&mut bench), [30]);
}

#[test]
fn a_question_that_finds_state_lost_ends_the_task_as_any_other_read_does() {
    let (directory, broker) = (tempfile::tempdir().unwrap(), Shelf::default());
    broker.borrow_mut().staged = Some(Vec::new());
    let mut bench = windows(&broker, &directory, Duration::from_secs(1), Some(0));
    for number in 0..40 {
        bench.line(&format!("line {number}"));
        bench.steps(3);
    }
    bench.steps(6);
    let at = TopicPartition {
        topic: "wc-counts-changelog".into(),
        partition: 0,
    };
    // Another has what windows are read from that memory has no room for.
    let (posted, claimed) = {
        let held = bench.worker.checkpoints.held(&at).unwrap();
        (held.clone(), bench.worker.checkpoints.claim_again(&at))
    };
    assert!(!posted.is_current());
    let view = bench.view().patience(Duration::from_secs(5));
    let asking = std::thread::spawn(move || view.all_windows(0..1_000, 100));
    let failed = loop {
        if let Err(error) = bench.worker.answer_questions() {
            break error;
        }
        assert!(!asking.is_finished(), "nobody heard of it");
    };
    assert!(failed.is_taken_over(), "{failed}");
    assert!(matches!(asking.join().unwrap(), Err(QueryError::Failed { .. })));
    drop(claimed);
}

#[test]
fn windows_are_read_only_as_long_as_somebody_waits() {
    let (directory, broker) = (tempfile::tempdir().unwrap(), Shelf::default());
    broker.borrow_mut().staged = Some(Vec::new());
    let mut bench = windows(&broker, &directory, Duration::from_secs(1), Some(0));
    (0..25).for_each(|_| bench.line("a"));
    bench.steps(10);
    let mut rows = |until: Option<Instant>| {
        let asked = Asked {
            windows: 0..1_000,
            rows_max: 100,
            until,
            ..Asked::default()
        };
        let mut tasks = bench.worker.tasks.tasks.values_mut();
        let (task, step) = tasks
            .find_map(|task| {
                let step = task.stores().next().map(|(step, _)| step)?;
                Some((task, step))
            })
            .unwrap();
        task.answer(step, &asked).unwrap().len()
    };
    assert_eq!(rows(None), 3);
    assert_eq!(rows(Some(Instant::now())), 0);
}
