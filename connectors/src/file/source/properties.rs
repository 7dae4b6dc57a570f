//! Whatever happens to files, each line comes once: random actions, with the task stopped and started at any point.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use proptest::prelude::*;

use super::tests::{Bench, text};

#[derive(Debug, Clone)]
enum Action {
    Append(u8),
    /// A part of a line, which the next append ends.
    Begin,
    Rename,
    CopyAndTruncate,
    /// What is not read is lost with these, so they come when all is read.
    Truncate,
    Delete,
    Compress,
    Poll(u8),
    Drain,
    Stop,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1_u8..5).prop_map(Action::Append),
        1 => Just(Action::Begin),
        2 => Just(Action::Rename),
        2 => Just(Action::CopyAndTruncate),
        1 => Just(Action::Truncate),
        1 => Just(Action::Delete),
        1 => Just(Action::Compress),
        3 => (1_u8..6).prop_map(Action::Poll),
        2 => Just(Action::Drain),
        2 => Just(Action::Stop),
        1 => Just(Action::Crash),
    ]
}

struct Model {
    bench: Bench,
    /// Rotated files are read, too.
    all: bool,
    written: Vec<String>,
    read: Vec<String>,
    lines: u32,
    rotations: u32,
    unread_rotation: bool,
    begun: bool,
}

impl Model {
    fn new(all: bool) -> Self {
        let bench = Bench::new(if all { "app.log*" } else { "app.log" }, &[]);
        Self {
            bench,
            all,
            written: Vec::new(),
            read: Vec::new(),
            lines: 0,
            rotations: 0,
            unread_rotation: false,
            begun: false,
        }
    }

    fn next_line(&mut self) -> String {
        self.lines += 1;
        let line = format!(
            "line {} {}",
            self.lines,
            "x".repeat((self.lines as usize * 37) % 400)
        );
        self.written.push(line.clone());
        line
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.bench.append("app.log", "\n");
        }
    }

    fn drain(&mut self) {
        let records = self.bench.drain().unwrap();
        self.read.extend(records.iter().map(text));
        self.unread_rotation = false;
    }

    /// Where rotated files are not looked for, one that came and went unseen is not known.
    fn before_rotation(&mut self) {
        self.end_line();
        if !self.all {
            if self.unread_rotation {
                self.drain();
            } else {
                let records = self.bench.scan();
                self.read.extend(records.iter().map(text));
            }
        }
        self.unread_rotation = true;
        self.rotations += 1;
    }

    fn act(&mut self, action: &Action) {
        let exists = self.bench.path("app.log").exists();
        match action {
            Action::Append(lines) => {
                self.end_line();
                for _ in 0..*lines {
                    let line = self.next_line();
                    self.bench.append("app.log", &format!("{line}\n"));
                }
            }
            Action::Begin => {
                self.end_line();
                let line = self.next_line();
                self.bench.append("app.log", &line);
                self.begun = true;
            }
            Action::Rename if exists => {
                self.before_rotation();
                self.bench
                    .rename("app.log", &format!("app.log.{}", self.rotations));
            }
            Action::CopyAndTruncate if exists => {
                self.before_rotation();
                let copy = self.bench.path(&format!("app.log.{}", self.rotations));
                fs::copy(self.bench.path("app.log"), copy).unwrap();
                self.bench.write("app.log", "");
            }
            Action::Truncate if exists => {
                self.end_line();
                self.drain();
                self.bench.write("app.log", "");
            }
            Action::Delete if exists => {
                self.end_line();
                self.drain();
                fs::remove_file(self.bench.path("app.log")).unwrap();
            }
            Action::Compress if self.all => self.compress(),
            Action::Poll(records) => {
                let (records, _) = self.bench.poll((*records).into(), 15).unwrap();
                self.read.extend(records.iter().map(text));
            }
            Action::Drain => self.drain(),
            Action::Stop => self.bench.stop(),
            Action::Crash => self.bench.poll_and_crash().unwrap(),
            _ => {}
        }
    }

    fn compress(&mut self) {
        let rotated = (1..=self.rotations).map(|number| format!("app.log.{number}"));
        let Some(name) = rotated.into_iter().rfind(|name| self.bench.path(name).exists()) else {
            return;
        };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed
            .write_all(&fs::read(self.bench.path(&name)).unwrap())
            .unwrap();
        self.bench.write(&format!("{name}.gz"), packed.finish().unwrap());
        fs::remove_file(self.bench.path(&name)).unwrap();
    }
}

fn counts(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(&line[..line.len().min(10)]).or_default() += 1;
    }
    counts
}

fn check(all: bool, actions: &[Action]) {
    let mut model = Model::new(all);
    for action in actions {
        model.act(action);
    }
    model.end_line();
    model.drain();
    assert_eq!(counts(&model.read), counts(&model.written));
    let mut read = model.read;
    read.sort();
    model.written.sort();
    assert_eq!(read, model.written);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn each_line_comes_once_when_rotated_files_match(actions in proptest::collection::vec(action(), 1..25)) {
        check(true, &actions);
    }

    #[test]
    fn each_line_comes_once_when_they_do_not(actions in proptest::collection::vec(action(), 1..25)) {
        check(false, &actions);
    }
}
