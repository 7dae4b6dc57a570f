//! Large files through the file source: how much memory the worker needs, and what it says of a line that is too long.
//!
//! The broker keeps little (`retention.bytes`), so that a file may be larger than the disk has room for twice.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::broker::BrokerProcess;
use crate::program::{self, SpawnTied};

/// How often the worker's memory is looked at; the kernel keeps its peak.
const LOOK: Duration = Duration::from_millis(20);

/// What a run found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The file's size.
    pub bytes: u64,
    /// Its lines, all of which the topic got.
    pub lines: u64,
    /// How long the worker ran.
    pub seconds: f64,
    /// The most memory it had.
    pub worker_peak_bytes: u64,
    /// What it said of the line that is too long.
    pub refusal: String,
    /// The most memory it had then.
    pub refusing_peak_bytes: u64,
    /// The most memory it had when it left that line out.
    pub skipping_peak_bytes: u64,
}

/// Loads a file of `bytes` bytes, and one with a line of `line_bytes`, in `directory`, where both are removed again.
pub fn run(directory: &Path, bytes: u64, line_bytes: u64) -> Report {
    let broker = BrokerProcess::start(&directory.join("broker"));
    let load = Load {
        directory,
        broker: &broker,
    };
    load.create("large");
    load.create("long");
    let large = directory.join("large.txt");
    let lines = write_lines(&large, bytes);
    let started = Instant::now();
    let loaded = load.run("large", &large, "");
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(loaded.code, 0, "{}", loaded.said);
    assert_eq!(load.end("large"), lines, "each line is a record");
    let bytes = std::fs::metadata(&large).unwrap().len();
    std::fs::remove_file(&large).unwrap();

    let long = directory.join("long.txt");
    write_long_line(&long, line_bytes);
    let refused = load.run("long", &long, "");
    assert_eq!(refused.code, 1, "{}", refused.said);
    let refusal = refused.said.lines().find(|line| line.starts_with("millstream: "));
    let refusal = refusal.unwrap_or(&refused.said).to_owned();
    for named in [
        long.to_str().unwrap(),
        "byte 7 ",
        "max.line.bytes, 16777216",
        "long.lines=skip",
    ] {
        assert!(refusal.contains(named), "{named:?} is not in {refusal:?}");
    }
    assert_eq!(load.end("long"), 1, "the line before it is delivered");
    let skipped = load.run("long", &long, "long.lines=skip\n");
    assert_eq!(skipped.code, 0, "{}", skipped.said);
    assert_eq!(load.end("long"), 2, "the line behind it, too");
    std::fs::remove_file(&long).unwrap();
    Report {
        bytes,
        lines,
        seconds,
        worker_peak_bytes: loaded.peak_bytes,
        refusal,
        refusing_peak_bytes: refused.peak_bytes,
        skipping_peak_bytes: skipped.peak_bytes,
    }
}

/// Lines of a hundred bytes or so, numbered; how many they are.
fn write_lines(path: &Path, bytes: u64) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let filler =
        "to be or not to be that is the question whether tis nobler in the mind to suffer the slings";
    let (mut written, mut lines) = (0, 0);
    while written < bytes {
        let line = format!("{lines:010} {filler}\n");
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        lines += 1;
    }
    out.flush().unwrap();
    lines
}

fn write_long_line(path: &Path, bytes: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    out.write_all(b"before\n").unwrap();
    let part = vec![b'x'; 1 << 20];
    let mut left = usize::try_from(bytes).unwrap();
    while left > 0 {
        let now = left.min(part.len());
        out.write_all(&part[..now]).unwrap();
        left -= now;
    }
    out.write_all(b"\nafter\n").unwrap();
    out.flush().unwrap();
}

struct Load<'a> {
    directory: &'a Path,
    broker: &'a BrokerProcess,
}

struct Loaded {
    code: i32,
    said: String,
    peak_bytes: u64,
}

impl Load<'_> {
    fn create(&self, topic: &str) {
        let words = [
            "topics",
            "create",
            "--topic",
            topic,
            "--bootstrap-server",
            self.broker.address(),
        ];
        let kept = [
            "--config",
            "retention.bytes=67108864",
            "--config",
            "segment.bytes=16777216",
        ];
        program::millstream_output(&[&words[..], &kept[..]].concat(), "");
    }

    /// The end of a topic.
    fn end(&self, topic: &str) -> u64 {
        let words = [
            "offsets",
            "--topic",
            topic,
            "--time",
            "latest",
            "--bootstrap-server",
            self.broker.address(),
        ];
        let shown = program::millstream_output(&words, "");
        shown.trim().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Runs a worker that loads the file into the topic; `more` are further keys of the connector.
    fn run(&self, topic: &str, file: &Path, more: &str) -> Loaded {
        let at = |name: &str| self.directory.join(name);
        let worker = format!(
            "bootstrap.servers={}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             offset.storage.file.filename={}\n\
             listeners=http://127.0.0.1:0\n",
            self.broker.address(),
            at("connect.offsets").display()
        );
        let source = format!(
            "name={topic}\nconnector.class=FileStreamSource\nread.mode=once\nfile={}\ntopic={topic}\n{more}",
            file.display()
        );
        std::fs::write(at("worker.properties"), worker).unwrap();
        std::fs::write(at("source.properties"), source).unwrap();
        let log = File::create(at("worker.log")).unwrap();
        let child = Command::new(program::millstream())
            .args([
                "connect",
                "standalone",
                "worker.properties",
                "source.properties",
                "--exit-when-done",
            ])
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn_tied();
        let (code, peak_bytes) = watch(child.unwrap());
        let said = std::fs::read_to_string(at("worker.log")).unwrap();
        Loaded {
            code,
            said,
            peak_bytes,
        }
    }
}

/// Waits for a process to end; its exit code and the most memory it had.
fn watch(mut child: Child) -> (i32, u64) {
    let mut peak = 0;
    loop {
        peak = peak_of(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code().unwrap_or(-1), peak);
        }
        std::thread::sleep(LOOK);
    }
}

/// The most resident memory that a process has had, in bytes; none once it has ended.
pub(crate) fn peak_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
