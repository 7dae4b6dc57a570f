//! Whatever happens to files, each line comes once, and in its order: random actions, with the task stopped and started at any point.
use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::tests::{Bench, text};

#[derive(Debug, Clone)]
enum Action {
    Append(u8),
    /// A part of a line, which the next append ends.
    Begin,
    Rename,
    CopyAndTruncate,
    /// What was read is taken away, and the file grows again and is renamed before anybody looks.
    TruncateAndRename(u8),
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
        1 => (1_u8..5).prop_map(Action::TruncateAndRename),
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
    /// Each rotation gives all rotated files the next greater number, so that the oldest has the greatest.
    shifts: bool,
    written: Vec<String>,
    read: Vec<String>,
    lines: u32,
    rotations: u32,
    unread_rotation: bool,
    begun: bool,
}

impl Model {
    fn new(all: bool, shifts: bool) -> Self {
        let bench = Bench::new(if all { "app.log*" } else { "app.log" }, &[]);
        Self {
            bench,
            all,
            shifts,
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
        self.await_tick();
    }

    /// Waits until what is written now has another time than what was.
    fn await_tick(&self) {
        let probe = self.bench.path("probe");
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let before = modified(&self.bench.path("app.log"));
        while fs::write(&probe, "").is_err() || modified(&probe) <= before {
            std::thread::yield_now();
        }
    }

    /// The name of the file that is rotated now, once those that were rotated before have theirs.
    fn rotated_name(&self) -> String {
        if !self.shifts {
            return format!("app.log.{}", self.rotations);
        }
        for number in (1..self.rotations).rev() {
            for end in ["", ".gz"] {
                let from = format!("app.log.{number}{end}");
                if self.bench.path(&from).exists() {
                    self.bench.rename(&from, &format!("app.log.{}{end}", number + 1));
                }
            }
        }
        "app.log.1".to_owned()
    }

    fn append_lines(&mut self, lines: u8) {
        for _ in 0..lines {
            let line = self.next_line();
            self.bench.append("app.log", &format!("{line}\n"));
        }
    }

    fn act(&mut self, action: &Action) {
        let exists = self.bench.path("app.log").exists();
        match action {
            Action::Append(lines) => {
                self.end_line();
                self.append_lines(*lines);
            }
            Action::Begin => {
                self.end_line();
                let line = self.next_line();
                self.bench.append("app.log", &line);
                self.begun = true;
            }
            Action::Rename if exists => {
                self.before_rotation();
                let rotated = self.rotated_name();
                self.bench.rename("app.log", &rotated);
            }
            Action::TruncateAndRename(lines) if exists => {
                self.end_line();
                self.drain();
                self.before_rotation();
                self.bench.write("app.log", "");
                self.append_lines(*lines);
                self.await_tick();
                let rotated = self.rotated_name();
                self.bench.rename("app.log", &rotated);
            }
            Action::CopyAndTruncate if exists => {
                self.before_rotation();
                let copy = self.bench.path(&self.rotated_name());
                fs::copy(self.bench.path("app.log"), copy).unwrap();
                self.bench.write("app.log", "");
                // That what was written before is in a copy cannot be seen in a file of which nothing was read: the copy has to be.
                if self.bench.runs() {
                    let records = self.bench.scan();
                    self.read.extend(records.iter().map(text));
                }
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
        let mut there = rotated.filter(|name| self.bench.path(name).exists());
        let newest = if self.shifts { there.next() } else { there.last() };
        let Some(name) = newest else {
            return;
        };
        let written = fs::metadata(self.bench.path(&name)).unwrap().modified().unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed
            .write_all(&fs::read(self.bench.path(&name)).unwrap())
            .unwrap();
        let target = format!("{name}.gz");
        self.bench.write(&target, packed.finish().unwrap());
        // As gzip does.
        let target = fs::File::options().write(true).open(self.bench.path(&target));
        target.unwrap().set_modified(written).unwrap();
        fs::remove_file(self.bench.path(&name)).unwrap();
    }
}

fn check(all: bool, shifts: bool, actions: &[Action]) {
    let mut model = Model::new(all, shifts);
    for action in actions {
        model.act(action);
    }
    model.end_line();
    model.drain();
    let short = |line: &String| line[..line.len().min(10)].to_owned();
    let (read, written) = (&model.read, &model.written);
    let (numbers, wanted): (Vec<_>, Vec<_>) = (
        read.iter().map(short).collect(),
        written.iter().map(short).collect(),
    );
    assert_eq!(numbers, wanted);
    assert_eq!(read, written);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn each_line_comes_once_when_rotated_files_match(
        shifts in any::<bool>(),
        actions in proptest::collection::vec(action(), 1..25),
    ) {
        check(true, shifts, &actions);
    }

    #[test]
    fn each_line_comes_once_when_they_do_not(
        shifts in any::<bool>(),
        actions in proptest::collection::vec(action(), 1..25),
    ) {
        check(false, shifts, &actions);
    }
}
