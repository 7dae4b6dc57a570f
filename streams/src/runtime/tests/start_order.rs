//! Rows that are looked up are read when the tables are there.
use super::*;
use crate::{Table, key, on, until};

/// Whoever is asked finds everything read.
#[derive(Default)]
struct NothingLeft(Vec<Exhausted>);

impl Probe for NothingLeft {
    fn ask(&mut self, at: TopicPartition, position: Option<i64>, now: Instant) {
        let end = position.unwrap_or(0) + 1;
        self.0.push(Exhausted {
            at,
            position,
            end,
            seen: now,
        });
    }

    fn answers(&mut self) -> Vec<Exhausted> {
        std::mem::take(&mut self.0)
    }
}

fn bench(probe: Box<dyn Probe>) -> Bench {
    let app = Streams::new("shop");
    let users = app.table("users", text("name").with_key("id"), key("id"));
    bench_of(&app, &users, probe)
}

fn bench_of(app: &Streams, users: &Table, probe: Box<dyn Probe>) -> Bench {
    let asks = app.stream("asks", text("ask").with_key("who"));
    asks.join(users, on("who", "id"))
        .left()
        .select([col("name")])
        .to("answers", json());
    Bench::of_app(app, Shelf::default(), Guarantee::AtLeastOnce, (None, None), probe)
}

impl Bench {
    fn record(&self, topic: &str, key: &str, value: &str) {
        let stored = Stored {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
            ..Stored::default()
        };
        self.broker
            .borrow_mut()
            .logs
            .entry(topic.to_owned())
            .or_default()
            .push(stored);
    }

    /// Gives the partitions; the names of topics that were begun, in their order.
    fn assigned(&mut self) {
        let at = |topic: &str| TopicPartition {
            topic: topic.into(),
            partition: 0,
        };
        self.change(Polled::Assigned(vec![at("asks"), at("users")]));
    }

    fn starts(&mut self) -> Vec<String> {
        let starts = self.events().into_iter();
        starts.filter(|event| event.starts_with("start ")).collect()
    }

    fn answers(&self) -> Vec<String> {
        let broker = self.broker.borrow();
        let log = broker.logs.get("answers").map_or(&[][..], Vec::as_slice);
        log.iter()
            .map(|stored| String::from_utf8(stored.value.clone().unwrap()).unwrap())
            .collect()
    }
}

#[test]
fn rows_wait_for_what_the_table_had_when_the_partitions_came() {
    let mut bench = bench(Box::new(NoProbe));
    bench.record("asks", "7", "?");
    for name in ["Ann", "Anna"] {
        bench.record("users", "7", name);
    }
    bench.assigned();
    bench.steps(7);
    let starts = ["start users at 0", "start asks at 0", "start users at 2"];
    assert_eq!(bench.starts(), starts);
    assert_eq!(bench.answers(), [r#"{"name":"Anna"}"#]);
    // From then on all are read as they come, and where nothing is new, at once.
    bench.change(Polled::Revoked { lost: false });
    bench.assigned();
    bench.steps(4);
    assert_eq!(bench.starts(), ["start asks at 1", "start users at 2"]);
}

/// The table's log ends with a mark, for which the rows do not wait.
fn plays_behind_marks(bench: &mut Bench) {
    bench.broker.borrow_mut().marks = 1;
    bench.record("asks", "7", "?");
    bench.record("users", "7", "Ann");
    bench.assigned();
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.answers().is_empty() {
        assert!(Instant::now() < deadline, "the rows are never read");
        bench.steps(1);
    }
    assert_eq!(bench.answers(), [r#"{"name":"Ann"}"#]);
}

#[test]
fn rows_do_not_wait_for_marks_behind_the_last_record() {
    plays_behind_marks(&mut bench(Box::<NothingLeft>::default()));
}

/// It was idle at once, however long it was to be waited for, and event time went on without it.
#[test]
fn a_table_that_is_read_to_a_mark_is_not_idle_for_that() {
    let app = Streams::new("shop");
    let users = app.table("users", text("name").with_key("id"), key("id"));
    let calm = users.suppress("calm", until(Duration::from_secs(1)));
    calm.to("calm-users", json());
    let mut bench = bench_of(&app, &users, Box::<NothingLeft>::default());
    plays_behind_marks(&mut bench);
    bench.steps(4);
    let broker = bench.broker.borrow();
    let users = &broker.committed["users"];
    assert_eq!(users.offset, 2, "the mark is read");
    assert!(users.metadata.contains(" 0 s 0 "), "{}", users.metadata);
}

#[test]
fn rows_do_not_wait_for_a_table_without_records() {
    let mut bench = bench(Box::new(NoProbe));
    bench.record("asks", "7", "?");
    bench.assigned();
    bench.steps(6);
    assert_eq!(bench.answers(), [r#"{"name":null}"#]);
}
