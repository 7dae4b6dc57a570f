//! Loads that have an end: `millstream connect standalone … --exit-when-done`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millstream_tests::broker::{BrokerProcess, free_address};
use millstream_tests::connect_worker::append;
use millstream_tests::large_files;
use millstream_tests::program::{self, Finished, SpawnTied};
use rustix::process::{Pid, Signal, kill_process};

const LOAD: [&str; 5] = [
    "connect",
    "standalone",
    "worker.properties",
    "source.properties",
    "--exit-when-done",
];

/// The files of a load of `in.txt` into the topic `lines`.
fn write_files(folder: &Path, bootstrap: &str, more: &str) {
    let worker = format!(
        "bootstrap.servers={bootstrap}\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.storage.StringConverter\n\
         offset.storage.file.filename=connect.offsets\n\
         listeners=http://127.0.0.1:0\n"
    );
    std::fs::write(folder.join("worker.properties"), worker).unwrap();
    let source = format!(
        "name=load\nconnector.class=FileStreamSource\nfile=in.txt\ntopic=lines\nread.mode=once\n{more}"
    );
    std::fs::write(folder.join("source.properties"), source).unwrap();
}

fn load(folder: &Path) -> Finished {
    program::run(program::command(&LOAD).current_dir(folder), b"")
}

/// All lines of the topic.
fn consumed(broker: &BrokerProcess, count: usize) -> String {
    let count = count.to_string();
    let words = [
        "consume",
        "--topic",
        "lines",
        "--from-beginning",
        "--max-messages",
        &count,
    ];
    let words = [&words[..], &["--bootstrap-server", broker.address()]].concat();
    program::millstream_output(&words, "")
}

fn end(broker: &BrokerProcess) -> String {
    let words = [
        "offsets",
        "--topic",
        "lines",
        "--time",
        "latest",
        "--bootstrap-server",
        broker.address(),
    ];
    program::millstream_output(&words, "")
}

#[test]
fn a_load_ends_when_all_is_delivered_and_the_next_one_brings_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("broker"));
    write_files(folder.path(), broker.address(), "");
    append(&folder.path().join("in.txt"), "to be\nor not\nto be\n");
    let first = load(folder.path());
    assert!(first.success, "{}", first.stderr);
    assert!(
        first.stdout.starts_with("millstream connect ready on http://"),
        "{}",
        first.stdout
    );
    assert!(
        first.stderr.contains("millstream: done: read 19 bytes in "),
        "{}",
        first.stderr
    );
    assert_eq!(consumed(&broker, 3), "to be\nor not\nto be\n");

    append(&folder.path().join("in.txt"), "that is\n");
    let mut quiet = program::command(&LOAD);
    let second = program::run(quiet.arg("--quiet").current_dir(folder.path()), b"");
    assert!(second.success && second.stderr.is_empty(), "{}", second.stderr);
    assert_eq!(end(&broker), "lines:0:4\n");
}

#[test]
fn a_pipeline_ends_when_its_sink_has_all() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), "given by the embedded broker", "");
    let sink = "name=out\nconnector.class=FileStreamSink\ntopics=lines\ndirectory=out\n";
    std::fs::write(folder.path().join("sink.properties"), sink).unwrap();
    let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    append(&folder.path().join("in.txt"), &text);
    for _ in 0..2 {
        let mut command = program::command(&LOAD);
        command.args(["sink.properties", "--embedded-broker", "--data-dir", "data"]);
        let finished = program::run(command.current_dir(folder.path()), b"");
        assert!(finished.success, "{}", finished.stderr);
        let files = std::fs::read_dir(folder.path().join("out")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
        files.sort();
        let written: String = files
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(
            written == text,
            "{} bytes are in {files:?}, not {}",
            written.len(),
            text.len()
        );
    }
}

#[test]
fn a_load_that_cannot_be_done_fails_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("broker"));
    write_files(folder.path(), broker.address(), "format=jsonl\n");
    append(&folder.path().join("in.txt"), "{\"a\": 1}\nno json\n");
    let failed = load(folder.path());
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    for named in ["load, task 0, failed", "byte 9 of in.txt", "invalid.rows=skip"] {
        assert!(
            failed.stderr.contains(named),
            "{named:?} is not in {}",
            failed.stderr
        );
    }
    write_files(folder.path(), broker.address(), "");
    std::fs::remove_file(folder.path().join("in.txt")).unwrap();
    let missing = load(folder.path());
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("in.txt does not exist"),
        "{}",
        missing.stderr
    );
}

/// What was read when the user stops it is delivered and remembered: the next run brings the rest, and no line twice.
#[test]
fn a_load_that_is_interrupted_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("broker"));
    write_files(folder.path(), broker.address(), "batch.size=10\n");
    let lines = 400_000;
    let text: String = (0..lines).map(|number| format!("line {number}\n")).collect();
    append(&folder.path().join("in.txt"), &text);
    let child = program::command(&LOAD)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn_tied();
    let mut child = child.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let some = |shown: &str| {
        shown
            .trim()
            .rsplit(':')
            .next()
            .unwrap()
            .parse::<u64>()
            .is_ok_and(|end| end > 0)
    };
    let ask = [
        "offsets",
        "--topic",
        "lines",
        "--time",
        "latest",
        "--bootstrap-server",
        broker.address(),
    ];
    while !some(&program::run(&mut program::command(&ask), b"").stdout) {
        assert!(Instant::now() < until, "nothing comes");
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let code = child.wait().unwrap().code();
    // On a fast machine it may have been done just before.
    assert!(code == Some(130) || code == Some(0), "{code:?}");
    let rest = load(folder.path());
    assert!(rest.success, "{}", rest.stderr);
    assert_eq!(end(&broker), format!("lines:0:{lines}\n"));
    assert!(
        consumed(&broker, lines) == text,
        "the lines are in their order, each once"
    );
}

/// At a terminal there is a bar, with how much, how fast and how long; it is gone at the end.
#[test]
fn at_a_terminal_a_bar_shows_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("broker"));
    write_files(folder.path(), broker.address(), "batch.size=100\n");
    append(
        &folder.path().join("in.txt"),
        &"a line that is read once\n".repeat(1_200_000),
    );
    let spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let mut command = Command::new(program::python());
    command.args(["-c", spawn]).arg(program::millstream()).args(LOAD);
    let shown = program::run(command.current_dir(folder.path()), b"");
    assert!(shown.success, "{} {}", shown.stdout, shown.stderr);
    for part in ["[=", " % read ", " MB of 30.0 MB", " MB/s", " s left"] {
        assert!(
            shown.stdout.contains(part),
            "{part:?} is not in {:?}",
            shown.stdout
        );
    }
    assert!(
        shown.stdout.contains("done: read 30.0 MB in "),
        "{:?}",
        shown.stdout
    );
}

/// The long harness in little; tests/README.md says how to run it with 10 GB.
#[test]
fn a_large_file_needs_little_memory_and_a_line_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let report = large_files::run(folder.path(), 100_000_000, 64_000_000);
    let most = 150 << 20;
    assert!(
        report.worker_peak_bytes < most
            && report.refusing_peak_bytes < most
            && report.skipping_peak_bytes < most,
        "{report:?}"
    );
}

/// The commands of the README, in a copy of the example's folder; and the same as a program.
#[test]
fn the_example_of_the_readme_masks_what_it_copies() {
    let readme = std::fs::read_to_string(program::repository().join("README.md")).unwrap();
    let section = readme.split_once("## A file pipeline").unwrap().1;
    let script = section
        .split("```console\n")
        .map(|part| part.split_once("```").map_or("", |(block, _)| block))
        .find(|block| block.starts_with("cd examples/file_to_file\n"))
        .unwrap();
    let example = program::repository().join("examples/file_to_file");
    let expected = "{\"order\":1001,\"customer\":\"Ada\",\"card\":\"hidden\",\"amount\":19.99}\n\
         {\"order\":1002,\"customer\":\"Hopper, Grace\",\"card\":\"hidden\",\"amount\":120.5}\n\
         {\"order\":1003,\"customer\":\"Mary\",\"card\":\"hidden\",\"amount\":7.0}\n\
         {\"order\":1004,\"customer\":\"Katherine \\\"Kay\\\"\",\"card\":\"hidden\",\"amount\":64.25}\n";
    for as_program in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("examples/file_to_file");
        std::fs::create_dir_all(&copy).unwrap();
        for name in [
            "orders.csv",
            "worker.properties",
            "source.properties",
            "sink.properties",
        ] {
            let text = std::fs::read_to_string(example.join(name)).unwrap();
            let text = text.replace("127.0.0.1:8083", &free_address());
            std::fs::write(copy.join(name), text).unwrap();
        }
        // The second run finds that all is done.
        for before in [0, 192] {
            if as_program {
                let mut run = Command::new(program::example("file_to_file"));
                let shown = program::output_of(run.arg(&copy), b"");
                let read =
                    format!("orders-in runs\norders-out runs\n192 bytes are read, {before} of them before\n");
                assert_eq!(shown, read);
            } else {
                let path = program::millstream().parent().unwrap().display().to_string();
                let path = format!("{path}:{}", std::env::var("PATH").unwrap());
                let mut bash = Command::new("bash");
                bash.args(["-euo", "pipefail", "-c", script]).env("PATH", path);
                let shown = program::output_of(bash.current_dir(folder.path()), b"");
                assert!(shown.ends_with(expected), "{shown}");
            }
            let file = "out/orders+0+0000000000-0000000003.jsonl";
            assert_eq!(std::fs::read_to_string(copy.join(file)).unwrap(), expected);
        }
    }
}
