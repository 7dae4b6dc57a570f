//! What users get wrong: each a line that names the thing and the remedy, and a non-zero exit.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use millstream_tests::broker::{BrokerProcess, free_address};
use millstream_tests::program::{self, Finished, command};

/// Runs a command that must fail with one line on standard error.
fn failure(arguments: &[&str]) -> Finished {
    let finished = program::run(&mut command(arguments), b"");
    assert!(!finished.success, "{arguments:?} should fail");
    assert_eq!(
        finished.stderr.trim_end().lines().count(),
        1,
        "{}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    finished
}

fn broker(directory: &Path, arguments: &[&str]) -> String {
    let mut all = vec![
        "broker",
        "--log",
        "error",
        "--data-dir",
        directory.to_str().unwrap(),
    ];
    all.extend(arguments);
    failure(&all).stderr
}

#[test]
fn files_that_cannot_be_counted_are_named() {
    let directory = tempfile::tempdir().unwrap();
    assert!(
        failure(&["word-count", "/no/such/file"])
            .stderr
            .contains("/no/such/file: no such file")
    );
    assert!(
        failure(&["word-count", "/usr"])
            .stderr
            .contains("/usr: is a directory")
    );
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything, so this one runs as nobody.
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("millstream");
        std::fs::copy(program::millstream(), &copy).unwrap();
        let script = format!("exec {} word-count {}", copy.display(), secret.display());
        let finished = program::run(
            Command::new("su").args(["-s", "/bin/sh", "nobody", "-c", &script]),
            b"",
        );
        assert!(
            !finished.success && finished.stderr.contains("permission denied"),
            "{}",
            finished.stderr
        );
    } else {
        assert!(
            failure(&["word-count", secret.to_str().unwrap()])
                .stderr
                .contains("permission denied")
        );
    }
}

#[test]
fn a_word_without_end_is_refused_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endless");
    std::fs::write(&path, format!("fine\n{}", "x".repeat(2_000_000))).unwrap();
    let said = failure(&["word-count", path.to_str().unwrap()]).stderr;
    assert!(said.contains("line 2 holds a word of more than"), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = broker(directory.path(), &["--listener", &address]);
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn a_data_directory_belongs_to_one_broker() {
    let directory = tempfile::tempdir().unwrap();
    let running = BrokerProcess::start(directory.path());
    let said = broker(directory.path(), &["--listener", "127.0.0.1:0"]);
    assert!(
        said.contains(directory.path().to_str().unwrap()) && said.contains("in use by another broker"),
        "{said}"
    );
    let counted = failure(&[
        "word-count",
        "--data-dir",
        directory.path().to_str().unwrap(),
        "/usr/share/common-licenses/BSD",
    ]);
    assert!(
        counted.stderr.contains("in use by another broker"),
        "{}",
        counted.stderr
    );
    assert_eq!(running.stop(), 0);
}

#[test]
fn a_data_directory_of_another_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let properties = directory.path().join("meta.properties");
    std::fs::write(&properties, "version=97\ncluster.id=abc\nnode.id=1\n").unwrap();
    let said = broker(directory.path(), &["--listener", "127.0.0.1:0"]);
    assert!(said.contains("version") && said.contains("97"), "{said}");
    assert_eq!(
        std::fs::read_to_string(&properties).unwrap(),
        "version=97\ncluster.id=abc\nnode.id=1\n"
    );
}

#[test]
fn unknown_settings_are_warned_about_with_the_nearest_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    std::fs::write(
        &file,
        "num.partition=3\nlisteners=PLAINTEXT://127.0.0.1:1\nprocess.roles=broker,controller\n",
    )
    .unwrap();
    // Port 1 needs rights or is free; either way the warning comes first.
    let data = directory.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = program::run(
        &mut command(&[
            "broker",
            file.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
            "--listener",
            &address,
        ]),
        b"",
    );
    assert!(!finished.success);
    assert!(
        finished.stderr.contains("num.partition") && finished.stderr.contains("num.partitions"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_bad_value_of_a_setting_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let said = broker(directory.path(), &["--override", "num.partitions=many"]);
    assert!(said.contains("num.partitions") && said.contains("many"), "{said}");
    let said = broker(directory.path(), &["--override", "num.partitions"]);
    assert!(said.contains("KEY=VALUE"), "{said}");
    let said = failure(&["broker", "/no/such/server.properties"]).stderr;
    assert!(said.contains("/no/such/server.properties"), "{said}");
}

#[test]
fn a_broker_that_does_not_answer_is_given_up_after_the_stated_time() {
    let address = free_address();
    for words in [
        vec!["topics", "list"],
        vec!["consume", "--topic", "t"],
        vec!["produce", "--topic", "t"],
        vec!["word-count", "/usr/share/common-licenses/BSD"],
    ] {
        let mut all = words.clone();
        all.extend(["--bootstrap-server", &address, "--connect-timeout-ms", "700"]);
        let started = Instant::now();
        let said = failure(&all).stderr;
        assert!(said.contains(&address) && said.contains("700 ms"), "{said}");
        assert!(started.elapsed().as_secs() < 20, "{words:?}");
    }
}

#[test]
fn a_wrong_command_line_names_the_word() {
    for words in [
        vec!["word-cuont"],
        vec!["consume"],
        vec!["consume", "--topic", "t", "--offset", "3"],
        vec!["word-count", "--top", "many"],
    ] {
        let finished = program::run(&mut command(&words), b"");
        assert_eq!(finished.code, 2, "{words:?}: {}", finished.stderr);
    }
    let finished = program::run(&mut command(&["word-cuont"]), b"");
    assert!(finished.stderr.contains("word-count"), "{}", finished.stderr);
}

const WORKER: &str = "key.converter=org.apache.kafka.connect.storage.StringConverter\n\
    value.converter=org.apache.kafka.connect.storage.StringConverter\n\
    offset.storage.file.filename=connect.offsets\nlisteners=http://127.0.0.1:0\n";
const SOURCE: &str = "name=in\nconnector.class=FileStreamSource\nfile=in.txt\ntopic=lines\n";

/// What users of Connect get wrong in files: what is changed in which, and what the one line says.
#[test]
fn what_is_wrong_in_the_files_of_a_pipeline_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let listener = format!("listeners=http://{taken}");
    let mistakes: [(&str, &str, &str, &[&str]); 14] = [
        (
            "worker",
            "storage.StringConverter",
            "storage.StringConvertr",
            &["worker.properties", "key.converter", "did you mean"],
        ),
        (
            "worker",
            "key.converter=",
            "key.convertr=",
            &["worker.properties", "key.converter: missing"],
        ),
        (
            "worker",
            "offset.storage",
            "offset.storag",
            &["offset.storage.file.filename: missing"],
        ),
        (
            "worker",
            "listeners=http://127.0.0.1:0",
            "listeners=localhost",
            &["listeners", "give http://HOST:PORT"],
        ),
        (
            "worker",
            "listeners=http://127.0.0.1:0",
            &listener,
            &["cannot listen on", &taken, "listeners="],
        ),
        (
            "source",
            "FileStreamSource",
            "FileStreamSorce",
            &["source.properties", "did you mean", "FileStreamSourceConnector"],
        ),
        (
            "source",
            "connector.class=FileStreamSource\n",
            "",
            &["source.properties", "no connector.class"],
        ),
        (
            "source",
            "name=in\n",
            "",
            &["source.properties", "there is no name"],
        ),
        (
            "source",
            "topic=",
            "topics=",
            &["source.properties: Missing required configuration \"topic\""],
        ),
        (
            "source",
            "topic=lines",
            "topic=lines\ntasks.max=many",
            &["source.properties", "tasks.max", "many"],
        ),
        (
            "source",
            "topic=lines",
            "topic=lines\nread.mode=onse",
            &["source.properties", "read.mode", "once"],
        ),
        (
            "source",
            "topic=lines",
            "topic=lines\ntransforms=a",
            &["source.properties", "transforms.a.type"],
        ),
        (
            "source",
            "topic=lines",
            "topic=lines\nvalue.converter=JsonConvertor",
            &["source.properties", "value.converter", "JsonConvertor"],
        ),
        (
            "source",
            SOURCE,
            WORKER,
            &["source.properties", "there is no name"],
        ),
    ];
    for (file, from, to, named) in mistakes {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("worker", WORKER), ("source", SOURCE)] {
            let changed = text.replace(from, to);
            assert!(name != file || changed != text, "{from} is in {file}");
            let text = if name == file { &changed } else { text };
            std::fs::write(folder.path().join(format!("{name}.properties")), text).unwrap();
        }
        let mut worker = command(&["connect", "standalone", "worker.properties", "source.properties"]);
        worker.args(["--embedded-broker", "--log", "error"]);
        let finished = program::run(worker.current_dir(folder.path()), b"");
        let said = &finished.stderr;
        assert!(
            !finished.success && said.trim_end().lines().count() == 1,
            "{to}: {said}"
        );
        for part in named {
            assert!(said.contains(part), "{to}: {part:?} is not in {said}");
        }
        assert!(!said.contains("endpoint"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_connects_command_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let worker = format!("bootstrap.servers=localhost:port\n{WORKER}");
    std::fs::write(at("worker.properties"), worker).unwrap();
    std::fs::write(at("source.properties"), SOURCE).unwrap();
    let (worker, source, nothing) = (at("worker.properties"), at("source.properties"), at("nothing"));
    let dead = free_address();
    let mistakes: [(&[&str], &[&str]); 9] = [
        (
            &["standalone", &nothing],
            &["nothing", "name a worker's properties file"],
        ),
        (
            &["standalone", &worker, &nothing],
            &["nothing", "name a connector's file"],
        ),
        (
            &["standalone", &worker],
            &["bootstrap.servers", "localhost:port", "HOST:PORT"],
        ),
        (
            &["standalone", &source, &worker],
            &["source.properties is the file of a connector", "comes first"],
        ),
        (
            &["standalone", &worker, &worker],
            &["worker.properties is the file of a worker"],
        ),
        (
            &[
                "standalone",
                &worker,
                "--broker",
                &dead,
                "--connect-timeout-ms",
                "300",
            ],
            &[&dead, "--broker", "--embedded-broker"],
        ),
        (
            &["standalone", &worker, "--override", "listeners"],
            &["--override listeners", "KEY=VALUE"],
        ),
        (
            &["distributed", &worker, "--broker", &dead],
            &["worker.properties", "group.id: missing"],
        ),
        (&["status", "in", "--url", &dead], &[&dead, "--url"]),
    ];
    for (words, named) in mistakes {
        let mut all = vec!["connect"];
        all.extend_from_slice(words);
        all.extend(["--log", "error"]);
        let said = failure(&all).stderr;
        for part in named {
            assert!(said.contains(part), "{words:?}: {part:?} is not in {said}");
        }
    }
}
