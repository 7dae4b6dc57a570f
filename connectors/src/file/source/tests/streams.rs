//! Pipes, which cannot be read again.
use std::thread;

use super::*;

fn make_pipe(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
}

/// So many lines, and no more.
fn take(bench: &mut Bench, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let (records, _) = bench.poll(10, 1000).unwrap();
        lines.extend(records.iter().map(text));
    }
    lines.extend(bench.poll(10, 100).unwrap().0.iter().map(text));
    lines
}

#[test]
fn a_pipe_is_read_as_a_stream() {
    let mut bench = Bench::new("pipe", &[("read.mode", "once")]);
    let path = bench.path("pipe");
    make_pipe(&path);
    let writer = thread::spawn(move || append(&path, "one\ntwo"));
    assert_eq!(bench.lines(), ["one", "two"]);
    writer.join().unwrap();
    assert!(bench.offsets.0.lock().unwrap().is_empty());
}

/// A pipe that nobody writes to, and one that takes the place of a file: opening either would wait for ever.
#[test]
fn pipes_never_hold_up_a_task() {
    let mut bench = Bench::new("pipe", &[]);
    make_pipe(&bench.path("pipe"));
    assert!(bench.poll(10, 20).unwrap().0.is_empty());
    bench.stop();
    let mut bench = Bench::new("*.txt", &[("max.open.files", "1")]);
    bench.write("a.txt", "one\n");
    bench.write("b.txt", "two\n");
    assert_eq!(bench.lines().len(), 2);
    for name in ["a.txt", "b.txt"] {
        fs::remove_file(bench.path(name)).unwrap();
        make_pipe(&bench.path(name));
    }
    bench.write("c.txt", "three\n");
    assert_eq!(bench.lines(), ["three"]);
}

/// The reader was a thread of the task: with each restart half a mebibyte that it had read was gone, and the next part that it still read.
#[test]
fn a_task_goes_on_where_its_predecessor_stopped() {
    const LINES: usize = 60_000;
    let mut bench = Bench::new("pipe", &[("read.mode", "once")]);
    let path = bench.path("pipe");
    make_pipe(&path);
    let all: Vec<String> = (0..LINES).map(|line| format!("{line} of the lines")).collect();
    let text_of_all = all.join("\n");
    let writer = thread::spawn(move || append(&path, &text_of_all));
    let (mut lines, mut restarts) = (Vec::new(), 0);
    loop {
        let (records, finished) = bench.poll(1500, 1000).unwrap();
        lines.extend(records.iter().map(text));
        if finished {
            break;
        }
        if !records.is_empty() {
            bench.stop();
            restarts += 1;
        }
    }
    writer.join().unwrap();
    assert!(restarts >= LINES / 1500, "{restarts}");
    assert!(lines == all, "{} lines of {LINES}", lines.len());
    // What has come to its end is opened anew.
    bench.stop();
    let path = bench.path("pipe");
    let writer = thread::spawn(move || append(&path, "again\n"));
    assert_eq!(bench.lines(), ["again"]);
    writer.join().unwrap();
}

#[test]
fn a_pipe_goes_on_with_its_next_writer() {
    let mut bench = Bench::new("pipe", &[]);
    make_pipe(&bench.path("pipe"));
    bench.start().unwrap();
    bench.append("pipe", "one\ntw");
    assert_eq!(take(&mut bench, 1), ["one"]);
    bench.append("pipe", "o\nthree\nfo");
    assert_eq!(take(&mut bench, 2), ["two", "three"]);
    // Nobody reads, but the pipe is open.
    bench.stop();
    bench.append("pipe", "ur\nfive\n");
    assert_eq!(take(&mut bench, 2), ["four", "five"]);
    fs::remove_file(bench.path("pipe")).unwrap();
    assert_eq!(take(&mut bench, 0), [""; 0]);
    make_pipe(&bench.path("pipe"));
    let path = bench.path("pipe");
    let writer = thread::spawn(move || append(&path, "of another pipe\n"));
    assert_eq!(take(&mut bench, 1), ["of another pipe"]);
    writer.join().unwrap();
    fs::remove_file(bench.path("pipe")).unwrap();
    bench.write("pipe", "of a file\n");
    assert!(bench.error().contains("cannot read"));
    bench.stop();
    assert_eq!(bench.lines(), ["of a file"]);
}

/// A task that is given up may still be at work when its successor begins.
#[test]
fn one_task_reads_a_pipe() {
    let mut bench = Bench::new("pipe", &[]);
    make_pipe(&bench.path("pipe"));
    bench.start().unwrap();
    let mut former = bench.task.take().unwrap();
    bench.append("pipe", "one\n");
    bench.start().unwrap();
    let budget = Budget {
        records: 10,
        bytes: 1 << 20,
        wait: Duration::from_secs(10),
    };
    let refused = bench.runtime.block_on(former.poll(budget)).unwrap_err();
    assert!(refused.to_string().contains("a later task"), "{refused}");
    bench.runtime.block_on(former.stop());
    assert_eq!(take(&mut bench, 1), ["one"], "and it takes nothing with it");
    let mut other = FileSourceTask::default();
    let task = TaskId {
        connector: "other".to_owned(),
        task: 0,
    };
    let offsets = Arc::new(bench.offsets.clone());
    let context = SourceTaskContext { task, offsets };
    let start = other.start(&bench.config, context.clone());
    let refused = bench.runtime.block_on(start).unwrap_err();
    assert!(refused.to_string().contains("connector files"), "{refused}");
    bench.append("pipe", "two\nthr");
    assert_eq!(take(&mut bench, 1), ["two"]);
    bench.stop();
    bench
        .runtime
        .block_on(other.start(&bench.config, context))
        .unwrap();
    bench.append("pipe", "ee\n");
    let batch = bench.runtime.block_on(other.poll(budget)).unwrap();
    assert_eq!(text(&batch.records[0]), "three");
}

#[test]
fn a_pipe_is_not_read_exactly_once() {
    use millstream_connect::plugin::ExactlyOnceSupport;
    let bench = Bench::new("pipe", &[]);
    assert_eq!(
        FileSource.exactly_once(&bench.config),
        ExactlyOnceSupport::Supported
    );
    make_pipe(&bench.path("pipe"));
    assert_eq!(
        FileSource.exactly_once(&bench.config),
        ExactlyOnceSupport::Unsupported
    );
}
