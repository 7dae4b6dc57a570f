//! Files as a tester would treat them, through the task.
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Budget, OffsetReader, PluginError, SourceOffset, SourcePartition, SourcePlugin, SourceTask,
    SourceTaskContext, TaskId,
};
use millstream_connect::record::{Record, Value};

use super::FileSource;
use super::task::FileSourceTask;

/// Offsets as a worker stores them.
#[derive(Debug, Clone, Default)]
pub(super) struct Offsets(pub Arc<Mutex<Vec<(SourcePartition, SourceOffset)>>>);

impl Offsets {
    pub fn store(&self, offsets: &[(SourcePartition, SourceOffset)]) {
        let mut stored = self.0.lock().unwrap();
        for (partition, offset) in offsets {
            stored.retain(|(its, _)| its != partition);
            stored.push((partition.clone(), offset.clone()));
        }
    }
}

#[async_trait]
impl OffsetReader for Offsets {
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError> {
        let stored = self.0.lock().unwrap();
        let found = stored.iter().find(|(its, _)| its == partition);
        Ok(found.map(|(_, offset)| offset.clone()))
    }

    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A worker with one source task.
pub(super) struct Bench {
    pub folder: tempfile::TempDir,
    pub offsets: Offsets,
    config: ConfigMap,
    task: Option<FileSourceTask>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Reads what `file` in a new folder means.
    pub fn new(file: &str, keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(file);
        let mut config = ConfigMap::from([
            ("file".to_owned(), file.to_str().unwrap().to_owned()),
            ("topic".to_owned(), "lines".to_owned()),
            ("scan.interval.ms".to_owned(), "10".to_owned()),
        ]);
        config.extend(
            keys.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            folder,
            offsets: Offsets::default(),
            config,
            task: None,
            runtime,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn start(&mut self) -> Result<(), PluginError> {
        let mut task = FileSourceTask::default();
        let context = SourceTaskContext {
            task: TaskId {
                connector: "files".to_owned(),
                task: 0,
            },
            offsets: Arc::new(self.offsets.clone()),
        };
        self.runtime.block_on(task.start(&self.config, context))?;
        self.task = Some(task);
        Ok(())
    }

    pub fn stop(&mut self) {
        if let Some(mut task) = self.task.take() {
            self.runtime.block_on(task.stop());
        }
    }

    /// One batch, stored.
    pub fn poll(&mut self, records: usize, wait_ms: u64) -> Result<(Vec<Record>, bool), PluginError> {
        if self.task.is_none() {
            self.start()?;
        }
        let task = self.task.as_mut().unwrap();
        let budget = Budget {
            records,
            bytes: 1 << 20,
            wait: Duration::from_millis(wait_ms),
        };
        let batch = self.runtime.block_on(task.poll(budget))?;
        self.offsets.store(&batch.offsets);
        self.runtime.block_on(task.committed(&batch.offsets))?;
        Ok((batch.records, batch.finished))
    }

    /// How many bytes are done, of how many, and how many were done before.
    fn progress(&self) -> (u64, u64, u64) {
        let progress = self.task.as_ref().unwrap().progress().unwrap();
        (progress.done, progress.total.unwrap(), progress.before)
    }

    fn scans(&self) -> u64 {
        self.task
            .as_ref()
            .map_or(0, FileSourceTask::scans)
            .min(u64::MAX - 10)
    }

    /// Waits until files were looked for again.
    pub fn scan(&mut self) -> Vec<Record> {
        let before = self.scans();
        let mut all = Vec::new();
        while self.scans() < before + 1 {
            all.extend(self.poll(1, 10).unwrap().0);
        }
        all
    }

    /// One batch that is lost with the task, as when a transaction is aborted.
    pub fn poll_and_crash(&mut self) -> Result<(), PluginError> {
        if self.task.is_none() {
            self.start()?;
        }
        let budget = Budget {
            records: 3,
            bytes: 1 << 20,
            wait: Duration::from_millis(15),
        };
        self.runtime
            .block_on(self.task.as_mut().expect("it was started").poll(budget))?;
        self.task = None;
        Ok(())
    }

    /// What comes until nothing has come for a while.
    pub fn drain(&mut self) -> Result<Vec<Record>, PluginError> {
        let mut all = Vec::new();
        let (mut last, mut scans) = (Instant::now(), self.scans());
        // Long enough for a scan to look behind the tick of the file system's clock, and for idle lines.
        while last.elapsed() < Duration::from_millis(60) || self.scans() < scans + 3 {
            let (records, finished) = self.poll(1000, 10)?;
            if !records.is_empty() {
                (last, scans) = (Instant::now(), self.scans());
            }
            all.extend(records);
            if finished {
                break;
            }
        }
        Ok(all)
    }

    pub fn lines(&mut self) -> Vec<String> {
        self.drain().unwrap().iter().map(text).collect()
    }

    pub fn error(&mut self) -> String {
        for _ in 0..200 {
            if let Err(error) = self.poll(1000, 20) {
                return error.to_string();
            }
        }
        panic!("no error came");
    }
}

pub(in crate::file) fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(super) fn text(record: &Record) -> String {
    match &record.value.value {
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_file_grows_and_is_read_on_after_a_restart() {
    let mut bench = Bench::new("a.txt", &[]);
    assert_eq!(bench.lines(), [""; 0], "a file that is not there is waited for");
    bench.write("a.txt", "one\ntwo\r\nthr");
    let records = bench.drain().unwrap();
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["one", "two"]);
    assert!(records[0].key.is_null() && records[0].key.schema.is_none());
    bench.append("a.txt", "ee\r");
    assert_eq!(bench.lines(), [""; 0], "a line feed may follow");
    bench.stop();
    bench.append("a.txt", "\nfour\n\nfive");
    assert_eq!(bench.lines(), ["three", "four", ""]);
    let stored = bench.offsets.0.lock().unwrap().clone();
    let name = bench.path("a.txt").to_str().unwrap().to_owned();
    assert_eq!(
        stored[0].0.0.get("filename").unwrap(),
        &serde_json::Value::from(name)
    );
    assert_eq!(stored[0].1.0.get("position").unwrap(), 22);
}

#[test]
fn once_is_finished_with_the_last_line() {
    let mut bench = Bench::new("*.txt", &[("read.mode", "once")]);
    bench.write("a.txt", "\u{feff}one\ntwo");
    bench.write("b.txt", "");
    bench.write("c.log", "not meant\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    assert!(bench.poll(1000, 0).unwrap().1);
    bench.stop();
    bench.append("a.txt", "\nthree");
    assert_eq!(
        bench.lines(),
        ["", "three"],
        "the line feed came behind the last line"
    );
    let mut missing = Bench::new("missing", &[("read.mode", "once")]);
    assert!(
        missing
            .start()
            .unwrap_err()
            .to_string()
            .contains("does not exist")
    );
}

#[test]
fn truncated_files_begin_again() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\ntwo\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    bench.write("a.txt", "3\n");
    assert_eq!(bench.lines(), ["3"]);
    bench.write("a.txt", "4\n");
    assert_eq!(bench.lines(), ["4"], "of the same size");
    bench.stop();
    bench.write("a.txt", "5\n6\n");
    assert_eq!(
        bench.lines(),
        ["5", "6"],
        "truncated and longer, while nobody looked"
    );
}

#[test]
fn renamed_files_are_read_before_their_successors() {
    let mut bench = Bench::new("app.log", &[]);
    bench.write("app.log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.append("app.log", "2\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log.1", "3\n");
    bench.write("app.log", "4\n");
    assert_eq!(bench.lines(), ["2", "3", "4"]);
    bench.append("app.log.1", "late\n");
    assert_eq!(
        bench.lines(),
        ["late"],
        "whoever writes still has the old file open"
    );
    bench.stop();
    bench.append("app.log", "5\n");
    bench.rename("app.log", "app.log.2");
    bench.write("app.log", "6\n");
    assert_eq!(bench.lines(), ["5", "6"], "renamed while nobody looked");
}

#[test]
fn chains_of_rotations_that_match_are_followed() {
    let mut bench = Bench::new("app.log*", &[]);
    let mut expected = Vec::new();
    for round in 0..6 {
        for number in (0..4).rev() {
            let from = if number == 0 {
                "app.log".to_owned()
            } else {
                format!("app.log.{number}")
            };
            if bench.path(&from).exists() {
                bench.rename(&from, &format!("app.log.{}", number + 1));
            }
        }
        for line in 0..3 {
            bench.append("app.log", &format!("{round}-{line}\n"));
            expected.push(format!("{round}-{line}"));
        }
        if round % 2 == 1 {
            assert_eq!(bench.lines(), std::mem::take(&mut expected));
        }
        if round == 3 {
            bench.stop();
        }
    }
}

#[test]
fn copies_that_rotation_makes_are_not_read_twice() {
    for pattern in ["app.log", "app.log*"] {
        let mut bench = Bench::new(pattern, &[]);
        bench.write("app.log", "1\n2\n");
        assert_eq!(bench.lines(), ["1", "2"]);
        bench.append("app.log", "3\n");
        fs::copy(bench.path("app.log"), bench.path("app.log.1")).unwrap();
        bench.write("app.log", "4\n");
        assert_eq!(
            bench.lines(),
            ["3", "4"],
            "{pattern}: what was not read is in the copy"
        );
        bench.append("app.log", "5\n");
        assert_eq!(bench.lines(), ["5"]);
        fs::copy(bench.path("app.log"), bench.path("app.log.2")).unwrap();
        assert_eq!(bench.lines(), [""; 0], "{pattern}: a copy");
        bench.append("app.log", "6\n");
        assert_eq!(bench.lines(), ["6"]);
        bench.stop();
        fs::copy(bench.path("app.log"), bench.path("app.log.3")).unwrap();
        bench.write("app.log", "a\nb\nc\nd\n");
        assert_eq!(bench.lines(), ["a", "b", "c", "d"], "{pattern}");
    }
}

#[test]
fn a_rotated_file_that_is_compressed_is_not_read_twice() {
    let mut bench = Bench::new("app.log*", &[]);
    bench.write("app.log", "1\n2\n");
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.append("app.log", "3\n");
    bench.rename("app.log", "app.log.1");
    bench.write("app.log", "4\n");
    bench.stop();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed
        .write_all(&fs::read(bench.path("app.log.1")).unwrap())
        .unwrap();
    bench.write("app.log.1.gz", packed.finish().unwrap());
    fs::remove_file(bench.path("app.log.1")).unwrap();
    assert_eq!(bench.lines(), ["3", "4"]);
}

#[test]
fn deleted_and_made_anew() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["same"]);
    bench.append("a.txt", "unread\n");
    fs::remove_file(bench.path("a.txt")).unwrap();
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["unread", "same"]);
    bench.stop();
    fs::remove_file(bench.path("a.txt")).unwrap();
    bench.write("a.txt", "same\n");
    assert_eq!(bench.lines(), ["same"], "told apart by its birth");
}

#[test]
fn bytes_that_are_no_text() {
    let bad = b"good\nb\xffd\nend\n";
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", bad);
    assert_eq!(text(&bench.poll(1000, 100).unwrap().0[0]), "good");
    let error = bench.error();
    assert!(
        error.contains("byte 5") && error.contains("invalid.utf8"),
        "{error}"
    );
    for (policy, expected) in [
        ("replace", vec!["good", "b\u{fffd}d", "end"]),
        ("skip", vec!["good", "end"]),
        ("bytes", vec!["b\"good\"", "b\"b\\xffd\"", "b\"end\""]),
    ] {
        let mut bench = Bench::new("a.txt", &[("invalid.utf8", policy)]);
        bench.write("a.txt", bad);
        assert_eq!(bench.lines(), expected);
    }
    let mut wide = Bench::new("a.txt", &[]);
    wide.write("a.txt", b"\xff\xfea\0\n\0");
    assert!(wide.error().contains("UTF-16"));
    let mut nul = Bench::new("a.txt", &[]);
    nul.write("a.txt", b"a\0b\n");
    assert_eq!(nul.lines(), ["a\0b"]);
}

#[test]
fn long_lines_are_refused_or_left_out() {
    let long = "x".repeat(3_000_000);
    let file = format!("a\n{long}\r\nb\n");
    let mut bench = Bench::new("a.txt", &[("max.line.bytes", "2000000")]);
    bench.write("a.txt", &file);
    assert_eq!(text(&bench.poll(1000, 100).unwrap().0[0]), "a");
    let error = bench.error();
    assert!(
        error.contains("max.line.bytes") && error.contains("byte 2 "),
        "{error}"
    );
    let mut bench = Bench::new("a.txt", &[("max.line.bytes", "1024"), ("long.lines", "skip")]);
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), ["a", "b"]);
    bench.append("a.txt", &long);
    assert_eq!(bench.lines(), [""; 0]);
    bench.stop();
    bench.append("a.txt", "end of it\nc\n");
    assert_eq!(bench.lines(), ["c"], "within the long line when it stopped");
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), ["a", &long, "b"]);
}

#[test]
fn sparse_files_are_lines_of_nul() {
    let mut bench = Bench::new("a.txt", &[("long.lines", "skip"), ("max.line.bytes", "1024")]);
    let file = fs::File::create(bench.path("a.txt")).unwrap();
    file.set_len(50 << 20).unwrap();
    bench.append("a.txt", "\nend\n");
    assert_eq!(bench.lines(), ["end"]);
}

#[test]
fn line_ends_and_characters_across_reads() {
    let mut bench = Bench::new("a.txt", &[]);
    let mut expected = Vec::new();
    let mut file = String::new();
    for number in 0..60_000 {
        let line = format!("{number} ä€😀{}", "z".repeat(number % 40));
        file.push_str(&line);
        file.push_str(["\n", "\r\n", "\r"][number % 3]);
        expected.push(line);
    }
    file.push_str("|\n");
    expected.push("|".to_owned());
    bench.write("a.txt", &file);
    assert_eq!(bench.lines(), expected);
}

#[test]
fn the_last_line_when_nothing_comes() {
    let mut bench = Bench::new("a.txt", &[("last.line.idle.ms", "30")]);
    bench.write("a.txt", "one\ntw");
    assert_eq!(bench.lines(), ["one", "tw"]);
    bench.append("a.txt", "o\n");
    assert_eq!(bench.lines(), ["o"]);
}

#[test]
fn blocks_of_lines() {
    let mut bench = Bench::new(
        "a.txt",
        &[("multiline.start", "^\\d"), ("last.line.idle.ms", "30")],
    );
    bench.write("a.txt", "1 a\n  at b\n2 c\n");
    assert_eq!(bench.lines(), ["1 a\n  at b", "2 c"]);
}

#[test]
fn one_file_that_cannot_be_read() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\n");
    assert_eq!(bench.lines(), ["one"]);
    fs::set_permissions(bench.path("a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    bench.append("a.txt", "two\n");
    assert_eq!(bench.lines(), ["two"], "it is open");
}

#[test]
fn a_pipe_is_read_as_a_stream() {
    let mut bench = Bench::new("pipe", &[("read.mode", "once")]);
    let path = bench.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let writer = std::thread::spawn(move || append(&path, "one\ntwo"));
    assert_eq!(bench.lines(), ["one", "two"]);
    writer.join().unwrap();
    assert!(bench.offsets.0.lock().unwrap().is_empty());
}

#[test]
fn finished_files_go_when_they_are_stored() {
    let mut bench = Bench::new("*.txt", &[("read.mode", "once"), ("finished.files", "delete")]);
    bench.write("a.txt", "one\n");
    bench.write("b.txt", "two\n");
    assert_eq!(bench.lines(), ["one", "two"]);
    assert!(!bench.path("a.txt").exists() && !bench.path("b.txt").exists());
    let done = tempfile::tempdir().unwrap();
    let target = done.path().join("done");
    let keys = [
        ("finished.files", "move"),
        ("finished.directory", target.to_str().unwrap()),
        ("finished.after.ms", "0"),
    ];
    let mut bench = Bench::new("*.txt", &keys);
    bench.write("a.txt", "one\n");
    assert_eq!(bench.lines(), ["one"]);
    bench.write("a.txt", "two\n");
    assert_eq!(bench.lines(), ["two"]);
    assert!(target.join("a.txt").exists() && target.join("a.txt.1").exists());
}

#[test]
fn offsets_of_kafkas_connector_are_taken_over() {
    let mut bench = Bench::new("a.txt", &[]);
    bench.write("a.txt", "one\ntwo\n");
    let partition = super::place::partition(&bench.path("a.txt"));
    let offset: SourceOffset = serde_json::from_str("{\"position\":4}").unwrap();
    bench.offsets.store(&[(partition.clone(), offset.clone())]);
    assert!(
        FileSource
            .alter_offsets(&bench.config, &[(partition.clone(), Some(offset))])
            .is_ok()
    );
    assert_eq!(bench.lines(), ["two"]);
    let wrong: SourceOffset = serde_json::from_str("{\"position\":-4}").unwrap();
    assert!(
        FileSource
            .alter_offsets(&bench.config, &[(partition, Some(wrong))])
            .is_err()
    );
}

#[test]
fn batches_are_no_larger_than_asked() {
    let mut bench = Bench::new("a.txt", &[("batch.size", "7")]);
    bench.write(
        "a.txt",
        (0..20).map(|line| format!("{line}\n")).collect::<String>(),
    );
    let sizes: Vec<usize> = (0..3).map(|_| bench.poll(1000, 0).unwrap().0.len()).collect();
    assert_eq!(sizes, [7, 7, 6]);
}

#[test]
fn lines_of_json() {
    let mut bench = Bench::new("a.jsonl", &[("format", "jsonl")]);
    bench.write(
        "a.jsonl",
        "{\"a\":1,\"b\":[1.5,null,true,\"\\u00e4\"]}\n\n18446744073709551615\n\"x\"\nnull\n",
    );
    let records = bench.drain().unwrap();
    let array = Value::Array(vec![
        Value::Float64(1.5),
        Value::Null,
        Value::Boolean(true),
        Value::from("ä"),
    ]);
    let map = Value::Map(vec![
        (Value::from("a"), Value::Int64(1)),
        (Value::from("b"), array),
    ]);
    let values: Vec<Value> = records.into_iter().map(|record| record.value.value).collect();
    assert_eq!(
        values,
        [
            map,
            Value::Float64(18446744073709551615.0),
            Value::from("x"),
            Value::Null
        ]
    );
    bench.append("a.jsonl", "{\"a\":\n");
    let error = bench.error();
    assert!(error.contains("no JSON") && error.contains("byte 68"), "{error}");
    let mut bench = Bench::new("a.jsonl", &[("format", "jsonl"), ("invalid.rows", "skip")]);
    bench.write("a.jsonl", "{]\n1\n");
    assert_eq!(bench.lines(), ["Int64(1)"]);
}

#[test]
fn rows_of_csv() {
    let keys = [("format", "csv"), ("csv.types", "id:int64, price:float64")];
    let mut bench = Bench::new("*.csv", &keys);
    bench.write(
        "a.csv",
        "\u{feff}id,name,price\r\n1,\"a, \"\"b\"\"\nc\",1.5\r\n2,,\n",
    );
    let fields = |records: Vec<Record>| -> Vec<Vec<Value>> {
        let structs = records.into_iter().map(|record| {
            record
                .value
                .schema
                .as_ref()
                .unwrap()
                .check(&record.value.value)
                .unwrap();
            match record.value.value {
                Value::Struct(fields) => fields.into_values(),
                other => panic!("{other:?}"),
            }
        });
        structs.collect()
    };
    assert_eq!(
        fields(bench.drain().unwrap()),
        [
            vec![Value::Int64(1), Value::from("a, \"b\"\nc"), Value::Float64(1.5)],
            vec![Value::Int64(2), Value::Null, Value::Null],
        ]
    );
    bench.stop();
    bench.append("a.csv", "3,\"\",2\n");
    assert_eq!(
        fields(bench.drain().unwrap()),
        [vec![Value::Int64(3), Value::from(""), Value::Float64(2.0)]]
    );
    bench.append("a.csv", "4,x\n");
    assert!(bench.error().contains("it has 2 fields"));
    let keys = [
        ("format", "csv"),
        ("csv.header", "false"),
        ("csv.names", "a,b"),
        ("csv.delimiter", ";"),
        ("invalid.rows", "skip"),
    ];
    let mut bench = Bench::new("a.csv", &keys);
    bench.write("a.csv", "1;2\n3\n");
    assert_eq!(
        fields(bench.drain().unwrap()),
        [[Value::from("1"), Value::from("2")]]
    );
    for wrong in [
        ("csv.types", "a"),
        ("csv.delimiter", "ab"),
        ("csv.header", "false"),
        ("multiline.start", "x"),
    ] {
        assert!(
            Bench::new("a.csv", &[("format", "csv"), wrong]).start().is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn compressed_files_have_several_parts_and_grow() {
    let gzip = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let zstandard = |text: &str| {
        let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        packed.include_checksum(true).unwrap();
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    for is_gzip in [true, false] {
        let pack = |text: &str| if is_gzip { gzip(text) } else { zstandard(text) };
        let mut bench = Bench::new("a.packed", &[]);
        let half: String = (0..40_000).map(|line| format!("{line} is a line\n")).collect();
        let whole = [pack(&half), pack("un"), pack("broken\n")].concat();
        bench.write("a.packed", &whole[..whole.len() / 3]);
        let mut lines = bench.lines();
        assert!(!lines.is_empty(), "what is there of it can be read");
        bench.stop();
        bench.write("a.packed", &whole);
        lines.extend(bench.lines());
        assert_eq!(lines.len(), 40_001);
        assert_eq!(lines[39_999..], ["39999 is a line", "unbroken"]);
        let mut longer = whole.clone();
        longer.extend(pack("more\n"));
        bench.write("a.packed", &longer);
        assert_eq!(bench.lines(), ["more"]);
        longer.extend_from_slice(&pack(&half)[..]);
        let damaged = whole.len() / 2;
        longer[damaged] ^= 0x55;
        let mut other = Bench::new("a.packed", &[]);
        other.write("a.packed", &longer);
        assert!(other.error().contains("damaged"));
    }
}

#[test]
fn many_files_with_few_open() {
    let mut bench = Bench::new("**/*.txt", &[("max.open.files", "8"), ("read.mode", "once")]);
    for number in 0..2000 {
        let folder = bench.path(&format!("{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), format!("{number}\n")).unwrap();
    }
    let mut lines = bench.lines();
    lines.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(
        lines,
        (0..2000).map(|number| number.to_string()).collect::<Vec<_>>()
    );
    bench.stop();
    assert_eq!(bench.lines(), [""; 0]);
}

#[test]
fn tasks_share_files_but_not_rotations() {
    use std::collections::BTreeSet;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        for end in ["log", "log.1", "log.2.gz"] {
            fs::write(
                folder.path().join(format!("{number}.{end}")),
                format!("{number}\n"),
            )
            .unwrap();
        }
    }
    let mut connector = FileSource.new_connector();
    let pattern = folder.path().join("*");
    let config = ConfigMap::from([
        ("file".to_owned(), pattern.to_str().unwrap().to_owned()),
        ("topic".to_owned(), "lines".to_owned()),
        ("read.mode".to_owned(), "once".to_owned()),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let context = millstream_connect::plugin::ConnectorContext {
        name: "files".to_owned(),
        request_task_reconfiguration: Arc::new(|| {}),
    };
    runtime.block_on(connector.start(&config, context)).unwrap();
    let configs = connector.task_configs(3).unwrap();
    assert_eq!(configs.len(), 3);
    let mut seen = Vec::new();
    for (number, config) in (0..).zip(&configs) {
        let mut task = FileSource.new_task();
        let id = TaskId {
            connector: "files".to_owned(),
            task: number,
        };
        let offsets = Arc::new(Offsets::default());
        runtime
            .block_on(task.start(config, SourceTaskContext { task: id, offsets }))
            .unwrap();
        let budget = Budget {
            records: 1000,
            bytes: 1 << 20,
            wait: Duration::ZERO,
        };
        let batch = runtime.block_on(task.poll(budget)).unwrap();
        let lines: BTreeSet<String> = batch.records.iter().map(text).collect();
        assert_eq!(batch.records.len(), 3 * lines.len(), "all rotations of a file");
        seen.extend(lines);
    }
    assert_eq!(seen.len(), 20);
}

#[test]
fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let mut bench = Bench::new(
        "*.txt",
        &[("finished.files", "delete"), ("finished.after.ms", "0")],
    );
    let path = bench
        .folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"n\xff.txt"));
    append(&path, "one\n");
    let name = format!("{}/n\\xFF.txt", bench.folder.path().display());
    let batch = bench.poll(1000, 100).unwrap().0;
    assert_eq!(text(&batch[0]), "one");
    assert_eq!(
        bench.offsets.0.lock().unwrap()[0].0.0.get("filename").unwrap(),
        &serde_json::Value::from(name)
    );
    assert_eq!(bench.lines(), [""; 0], "not again");
    assert!(!path.exists());
    append(&path, "two\n");
    assert_eq!(bench.lines(), ["two"]);
}

#[test]
fn a_file_is_waited_for_where_there_is_no_folder_yet() {
    let mut bench = Bench::new("logs/app-*.log", &[]);
    assert_eq!(bench.lines(), [""; 0]);
    fs::create_dir(bench.path("logs")).unwrap();
    bench.write("logs/app-1.log", "one\n");
    assert_eq!(bench.lines(), ["one"]);
}

/// What people who wait are shown: bytes on the disk, of packed files, too, and of those that were done before.
#[test]
fn progress_counts_bytes_of_all_files() {
    let mut bench = Bench::new("*.txt*", &[("read.mode", "once")]);
    bench.write("a.txt", "one\ntwo\nthree\n");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed
        .write_all("packed line\n".repeat(100_000).as_bytes())
        .unwrap();
    let packed = packed.finish().unwrap();
    bench.write("b.txt.gz", &packed);
    let all = 14 + packed.len() as u64;
    let (records, _) = bench.poll(2, 1000).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(bench.progress(), (8, all, 0));
    bench.stop();
    let (mut before, mut steps) = (8, 0);
    loop {
        let (_, finished) = bench.poll(1000, 1000).unwrap();
        let (done, total, earlier) = bench.progress();
        assert_eq!((total, earlier), (all, 8));
        assert!(before <= done, "{done} after {before}");
        steps += usize::from(before < done && done < all);
        before = done;
        if finished {
            break;
        }
    }
    assert_eq!(before, all);
    assert!(steps > 3, "a packed file shows where it is: {steps} steps");
}
