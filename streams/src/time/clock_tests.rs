//! The event time of a task, step by step.
use super::*;
use crate::time::Bound;

fn bound(time: u32, out_of_orderness_ms: i64) -> Bound {
    Bound {
        time,
        out_of_orderness_ms,
    }
}

fn source(out_of_orderness_ms: &[i64]) -> InputTime {
    InputTime::Source {
        bounds: out_of_orderness_ms.iter().map(|ms| bound(7, *ms)).collect(),
        idle_after: Some(Duration::from_secs(10)),
    }
}

fn says(task: u32, watermark: i64, idle: bool) -> Announcement {
    Announcement {
        plan: 1,
        task,
        tasks: 2,
        watermark: Watermark::at(watermark),
        idle,
        was_idle: false,
    }
}

#[test]
fn the_slowest_input_holds_the_others_until_it_is_idle() {
    let mut clock = TaskClock::new(&[source(&[0]), source(&[5]), InputTime::Untimed]);
    let start = Instant::now();
    clock.observe(0, 0, &[100]);
    assert_eq!(clock.watermark(), Watermark::NONE, "the other has said nothing");
    clock.observe(1, 0, &[50]);
    assert_eq!(clock.watermark(), Watermark::at(45));
    assert_eq!(clock.settle(), Some((Watermark::at(45), false)));
    assert_eq!(clock.settle(), None, "it is announced once");

    assert!(clock.silent(start).is_empty());
    clock.came(0);
    assert!(clock.silent(start + Duration::from_secs(9)).is_empty());
    assert_eq!(clock.silent(start + Duration::from_secs(10)), [1]);
    assert!(!clock.is_unsettled());
    clock.set_idle(1, start + Duration::from_secs(10));
    assert_eq!(clock.watermark(), Watermark::at(100));
    assert!(clock.is_unsettled());
    assert_eq!(clock.settle(), Some((Watermark::at(100), false)));

    clock.came(1);
    clock.observe(1, 0, &[60]);
    assert_eq!(clock.watermark(), Watermark::at(100), "it never goes back");
    assert_eq!(clock.silent(start + Duration::from_secs(19)), [0]);
    clock.set_idle(0, start + Duration::from_secs(19));
    assert_eq!(clock.silent(start + Duration::from_secs(40)), [1]);
    clock.came(1);
    clock.set_idle(1, start + Duration::from_secs(40));
    assert_eq!(clock.settle(), None, "what came in the meantime keeps it awake");
    assert_eq!(clock.silent(start + Duration::from_secs(40)), [] as [usize; 0]);
    // Somebody asked who did not look for silence.
    clock.set_idle(1, start + Duration::from_secs(49));
    assert_eq!(clock.silent(start + Duration::from_secs(50)), [1]);
    clock.set_idle(1, start + Duration::from_secs(50));
    assert_eq!(clock.settle(), Some((Watermark::at(100), true)));
    assert!(clock.was_idle());
}

#[test]
fn upstream_tasks_count_together() {
    let mut clock = TaskClock::new(&[InputTime::Upstream]);
    clock.take(0, &says(0, 10, false));
    assert_eq!(clock.watermark(), Watermark::NONE, "task 1 has said nothing");
    clock.take(0, &says(1, 30, false));
    assert_eq!(clock.watermark(), Watermark::at(10));
    clock.take(0, &says(0, 10, true));
    assert_eq!(clock.watermark(), Watermark::at(30));
    clock.take(0, &says(1, 20, true));
    assert_eq!(
        clock.settle(),
        Some((Watermark::at(30), true)),
        "the greatest word of each counts"
    );
    clock.take(
        0,
        &Announcement {
            plan: 2,
            ..says(0, 5, false)
        },
    );
    assert_eq!(clock.watermark(), Watermark::at(30));
    assert_eq!(clock.settle(), Some((Watermark::at(30), false)));
}

#[test]
fn a_new_owner_goes_on_where_the_old_one_was() {
    let inputs = [source(&[0, 3]), InputTime::Upstream];
    let mut clock = TaskClock::new(&inputs);
    clock.observe(0, 0, &[100]);
    clock.observe(0, 1, &[100]);
    clock.take(1, &says(0, 90, false));
    clock.take(1, &says(1, 80, true));
    clock.settle();
    let mut next = TaskClock::new(&inputs);
    assert!(!next.is_unsettled());
    for input in 0..2 {
        next.resume(input, &clock.metadata(input));
    }
    assert_eq!(
        (next.watermark(), next.settled()),
        (Watermark::at(90), Watermark::at(90))
    );
    assert_eq!(
        next.settle(),
        Some((Watermark::at(90), false)),
        "it announces first"
    );
    next.take(1, &says(0, 99, false));
    assert_eq!(next.watermark(), Watermark::at(97));
    for input in 0..2 {
        clock.take(1, &says(0, 99, false));
        assert_eq!(next.metadata(input), clock.metadata(input));
    }
}

#[test]
fn strategies_that_look_alike_go_on_each_for_itself() {
    let inputs = [source(&[5, 5])];
    let mut clock = TaskClock::new(&inputs);
    clock.observe(0, 0, &[10]);
    clock.observe(0, 1, &[1000]);
    let mut next = TaskClock::new(&inputs);
    next.resume(0, &clock.metadata(0));
    assert_eq!(next.metadata(0), clock.metadata(0));
    assert_eq!(next.watermark(), Watermark::at(5));
    // One more: the slowest of those it may be holds.
    let mut more = TaskClock::new(&[source(&[5, 5, 5])]);
    more.resume(0, &clock.metadata(0));
    more.observe(0, 0, &[20]);
    assert_eq!(more.watermark(), Watermark::at(5));
}

#[test]
fn nobody_is_waited_for_who_is_never_idle_or_unread() {
    let never = InputTime::Source {
        bounds: vec![bound(0, 0)],
        idle_after: None,
    };
    let mut clock = TaskClock::new(&[never]);
    let start = Instant::now();
    assert!(clock.silent(start).is_empty());
    assert!(clock.silent(start + Duration::from_secs(1_000_000)).is_empty());
    clock.set_idle(0, start + Duration::from_secs(1_000_000));
    assert_eq!(clock.metadata(0), "ms1 - 0 s 0 -:0:0");
}

/// Its rows counted as being in time by their own partition alone, although windows had closed without them, and sessions were cut.
#[test]
fn an_input_that_is_new_to_a_task_may_be_late_for_what_it_closed() {
    let inputs = [source(&[0]), source(&[0])];
    let mut clock = TaskClock::new(&inputs[..1]);
    clock.observe(0, 0, &[100]);
    clock.settle();
    let metadata = clock.metadata(0);
    let goes_on = |inputs: &[InputTime]| {
        let mut clock = TaskClock::new(inputs);
        clock.resume(0, &metadata);
        clock
    };
    assert!(!goes_on(&inputs[..1]).has_awoken(), "nothing is new to it");
    let mut clock = goes_on(&inputs);
    assert!(clock.has_awoken(), "those behind have to hear of it");
    clock.settle();
    assert!(clock.was_idle() && !clock.has_awoken());
    // Or its rows are there first.
    let mut clock = goes_on(&inputs);
    clock.observe(1, 0, &[50]);
    assert!(clock.was_idle());
    assert_eq!(clock.watermark(), Watermark::at(100), "it never goes back");
}

/// What a clock with these bounds makes of the metadata of another: the watermark of its tracker, whether windows may have closed
/// without its rows, and whether those behind have to hear of it first.
fn resumed(metadata: &str, bounds: &[Bound]) -> (Vec<Watermark>, bool, bool) {
    let mut clock = TaskClock::new(&[InputTime::Source {
        bounds: bounds.to_vec(),
        idle_after: None,
    }]);
    clock.resume(0, metadata);
    let InputClock::Source(source) = &clock.inputs[0] else {
        unreachable!("it is a source");
    };
    assert_eq!(clock.watermark(), Watermark::at(90), "it never goes back");
    let marks = source.trackers.iter().map(Tracker::watermark).collect();
    (marks, clock.was_idle(), clock.has_awoken())
}

#[test]
fn another_strategy_goes_on_from_what_was_seen() {
    let mut clock = TaskClock::new(&[source(&[10])]);
    clock.observe(0, 0, &[100]);
    clock.settle();
    let metadata = clock.metadata(0);
    assert_eq!(metadata, "ms1 90 0 s 0 90:10:7");
    let at = |times: &[i64]| times.iter().copied().map(Watermark::at).collect::<Vec<_>>();
    assert_eq!(resumed(&metadata, &[bound(7, 10)]), (at(&[90]), false, false));
    // A smaller bound is ahead; a larger one allows rows for windows that are closed.
    assert_eq!(resumed(&metadata, &[bound(7, 3)]), (at(&[97]), false, false));
    assert_eq!(resumed(&metadata, &[bound(7, 25)]), (at(&[75]), true, true));
    let both = [bound(7, 10), bound(7, 11)];
    assert_eq!(resumed(&metadata, &both), (at(&[90, 89]), true, true));
    // Another event time says nothing of what was read.
    assert_eq!(
        resumed(&metadata, &[bound(8, 10)]),
        (vec![Watermark::NONE], true, true)
    );
    // As it was written at first.
    assert_eq!(
        resumed("ms1 90 0 s 0 90", &[bound(8, 3)]),
        (at(&[90]), false, false)
    );
    assert_eq!(
        resumed("ms1 90 0 s 0 90 95", &[bound(8, 3)]),
        (at(&[90]), false, false)
    );
}
