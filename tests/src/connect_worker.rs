//! A `millstream connect standalone` process of a test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{self, SpawnTied};

/// How long something may take to come.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running worker; killed when dropped.
#[derive(Debug)]
pub struct ConnectWorker {
    child: Child,
    url: String,
    /// Held, for a worker may print more.
    _stdout: BufReader<ChildStdout>,
}

impl ConnectWorker {
    /// Starts a standalone worker in `directory` with the property files there.
    pub fn start(directory: &Path, files: &[&str]) -> Self {
        Self::start_with(directory, files, Stdio::inherit())
    }

    /// The same with options among the files, and with this for its log; returns once it is ready.
    pub fn start_with(directory: &Path, arguments: &[&str], log: Stdio) -> Self {
        let mut child = Command::new(program::millstream())
            .args(["connect", "standalone"])
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn_tied()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line
            .strip_prefix("millstream connect ready on ")
            .and_then(|rest| rest.split_whitespace().next());
        let url = url.unwrap_or_else(|| panic!("the worker did not come up; it said {line:?}"));
        Self {
            child,
            url: url.to_owned(),
            _stdout: stdout,
        }
    }

    /// Where its REST API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a subcommand of `millstream connect`, which must succeed, prints.
    pub fn cli(&self, arguments: &str) -> String {
        let words = ["connect"]
            .into_iter()
            .chain(arguments.split(' '))
            .chain(["--url", &self.url]);
        program::output_of(&mut program::command(&words.collect::<Vec<_>>()), b"")
    }

    /// What a connector and its tasks are doing.
    pub fn status(&self, connector: &str) -> serde_json::Value {
        serde_json::from_str(&self.cli(&format!("status {connector} --output json"))).unwrap()
    }

    /// Waits until a connector's first task is FAILED; gives its trace.
    pub fn await_failure(&self, connector: &str) -> String {
        await_some(&format!("{connector} has not failed"), || {
            let status = self.status(connector);
            let task = &status["tasks"][0];
            let trace = task["trace"].as_str()?.to_owned();
            (task["state"] == "FAILED").then_some(trace)
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Resident memory in kB.
    pub fn resident_kilobytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "it stops cleanly");
    }
}

impl Drop for ConnectWorker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is something, or fails with `what`.
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the file holds this.
pub fn await_file(path: &Path, content: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = std::fs::read_to_string(path).unwrap_or_default();
        if found == content {
            return;
        }
        assert!(
            Instant::now() < until,
            "{} holds {found:?} instead of {content:?}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Appends to a file, which is made if it does not exist.
pub fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
