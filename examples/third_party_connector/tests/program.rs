//! The program of this crate: all of `millstream`, with its connectors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use server::Server;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_http-lines"))
}

/// A running worker; killed when dropped.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path) -> Self {
        let files = ["worker.properties", "source.properties", "sink.properties"];
        let child = program()
            .args(["connect", "standalone", "--embedded-broker", "--data-dir", "data"])
            .args(files)
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn await_posted(server: &Server, expected: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while server.posted() != expected {
        let posted = server.posted();
        assert!(
            Instant::now() < until,
            "{posted:?} was posted instead of {expected:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lines_go_from_one_server_to_another_and_each_once_into_the_topic() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (Server::start("one\ntwo\n"), Server::start(""));
    let files = [
        (
            "worker.properties",
            "bootstrap.servers=given by the embedded broker\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             offset.storage.file.filename=connect.offsets\n\
             offset.flush.interval.ms=50\n\
             exactly.once.source.support=enabled\n\
             listeners=http://127.0.0.1:0\n"
                .to_owned(),
        ),
        (
            "source.properties",
            format!(
                "name=from\nconnector.class=HttpLinesSource\nurl={}\ntopic=lines\npoll.interval.ms=20\n",
                from.url("app.log")
            ),
        ),
        (
            "sink.properties",
            format!(
                "name=to\nconnector.class=com.example.HttpLinesSink\nurl={}\ntopics=lines\n\
                 consumer.override.session.timeout.ms=6000\n",
                to.url("in")
            ),
        ),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let worker = Worker::start(folder.path());
    await_posted(&to, "one\ntwo\n");
    // Half a line waits for its end.
    from.append("three\nfo");
    await_posted(&to, "one\ntwo\nthree\n");
    // Killed, the next one goes on where this one stopped. What the sink posts may come twice, so that one is left out here.
    drop(worker);
    from.append("ur\nfive\n");
    let mut worker = Worker::start(folder.path());
    let until = Instant::now() + Duration::from_secs(60);
    while !to.posted().ends_with("four\nfive\n") {
        assert!(Instant::now() < until, "{:?} was posted", to.posted());
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    for line in ["one", "two", "three"] {
        assert!(to.posted().contains(line));
    }
    assert_eq!(to.posted().matches("four").count(), 1);
}

#[test]
fn a_wrong_url_is_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let worker = "bootstrap.servers=x\nkey.converter=StringConverter\nvalue.converter=StringConverter\n\
                  offset.storage.file.filename=connect.offsets\nlisteners=http://127.0.0.1:0\n";
    std::fs::write(folder.path().join("worker.properties"), worker).unwrap();
    let source = "name=from\nconnector.class=HttpLinesSource\nurl=logs.example\ntopic=lines\n";
    std::fs::write(folder.path().join("source.properties"), source).unwrap();
    let run = program()
        .args(["connect", "standalone", "worker.properties", "source.properties"])
        .arg("--embedded-broker")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success());
    assert!(
        said.contains("url") && said.contains("http://HOST:PORT/PATH"),
        "{said}"
    );
}
