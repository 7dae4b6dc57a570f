//! Steps of which much follows at once: it is made in parts, none before the steps below have worked on the one before.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::build::{Builder, Output as Built};
use super::{Node, NodeId, NodePlan, PlanError, StepKind, StepPlan};
use crate::operator::{Operator, OperatorError, Output, Place};
use crate::prelude::*;
use crate::rows::Rows;
use crate::{JoinedStream, TestDriver, TestRecord};

/// Gives what it takes several times.
#[derive(Debug, Clone)]
struct Repeat {
    times: usize,
    left: Vec<(usize, Rows)>,
    /// How many batches the step below has seen, and how many it had seen when each part was made.
    seen: Arc<AtomicUsize>,
    made_at: Arc<Mutex<Vec<usize>>>,
}

impl NodePlan for Repeat {
    fn build(&self, builder: &mut Builder, inputs: &[NodeId]) -> Result<Built, PlanError> {
        let above = builder.outputs[inputs[0].0].clone();
        let kind = StepKind::Keyed(Box::new(self.clone()));
        let schema = Arc::clone(&above.schema);
        Ok(builder.step_on(&[&above], kind, "repeat".to_owned(), schema, 0))
    }
}

impl StepPlan for Repeat {
    fn operator(&self, _: &Place<'_>) -> Result<Box<dyn Operator>, OperatorError> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Repeat {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        assert!(self.left.is_empty(), "what came before is done");
        self.left.push((self.times, rows));
        Ok(())
    }

    fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    fn go_on(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (times, rows) = self.left.pop().unwrap();
        self.made_at
            .lock()
            .unwrap()
            .push(self.seen.load(Ordering::SeqCst));
        if times > 1 {
            self.left.push((times - 1, rows.clone()));
        }
        out.push(rows);
        Ok(())
    }
}

#[test]
fn a_part_is_worked_on_before_the_next_is_made() {
    let app = Streams::new("parts");
    let lines = app.stream("lines", text("line"));
    let repeat = Repeat {
        times: 3,
        left: Vec::new(),
        seen: Arc::default(),
        made_at: Arc::default(),
    };
    let (seen, made_at) = (Arc::clone(&repeat.seen), Arc::clone(&repeat.made_at));
    let inputs = vec![lines.node()];
    let make = Arc::new(repeat);
    let repeated = lines.then(Node::Keyed { inputs, make });
    let count = move |_: &_| _ = seen.fetch_add(1, Ordering::SeqCst);
    repeated.peek(count).to("out", json());
    let mut driver = TestDriver::new(&app).unwrap();
    for _ in 0..2 {
        driver.pipe("lines", TestRecord::new("a")).unwrap();
        driver.commit().unwrap();
    }
    assert_eq!(driver.read("out").len(), 6);
    assert_eq!(*made_at.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

/// What a join emits at once in tests.
const OUTPUT_ROWS_MAX: usize = 7;

/// Pairs of a key that all rows of both sides have were one batch, as large as it might be.
#[test]
fn rows_that_meet_many_come_out_in_batches() {
    let app = Streams::new("hot");
    let side = |topic: &str, column: &str| {
        let rows = app.stream(topic, text(column).with_key("key"));
        rows.watermark(record_time(Duration::ZERO))
    };
    let (left, right) = (side("lefts", "l"), side("rights", "r"));
    let window = join_window(Duration::from_millis(100));
    let joined: JoinedStream = left.join(&right, on("key", "key")).within("joined", window);
    let batches: Arc<Mutex<Vec<usize>>> = Arc::default();
    let sizes = Arc::clone(&batches);
    let joined = joined.outer();
    joined
        .peek(move |batch| sizes.lock().unwrap().push(batch.num_rows()))
        .group_by([col("l").is_null().alias("alone")])
        .aggregate("n", [count_all().alias("n")])
        .to("counts", json());
    let mut driver = TestDriver::new(&app).unwrap();
    let mut pipe = |topic: &str, key: &str, rows: usize| {
        for row in 0..rows {
            let record = TestRecord::new(row.to_string()).key(key).at(100);
            driver.pipe(topic, record).unwrap();
        }
        driver.commit().unwrap();
        let counts = driver.read("counts");
        counts
            .iter()
            .map(|row| row.as_text().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(pipe("lefts", "hot", 200), Vec::<String>::new());
    assert_eq!(pipe("rights", "hot", 3), [r#"{"n":600}"#]);
    assert_eq!(pipe("rights", "cold", 100), Vec::<String>::new());
    for topic in ["lefts", "rights"] {
        let record = TestRecord::new("end").key(topic).at(1_000_000);
        driver.pipe(topic, record).unwrap();
    }
    driver.commit().unwrap();
    let alone = driver.read("counts");
    let alone: Vec<&str> = alone.iter().map(|row| row.as_text().1).collect();
    assert_eq!(alone, [r#"{"n":100}"#]);
    let batches = batches.lock().unwrap();
    assert!(batches.iter().all(|rows| *rows <= OUTPUT_ROWS_MAX), "{batches:?}");
    assert!(batches.contains(&OUTPUT_ROWS_MAX), "{batches:?}");
}
