//! A `millstream broker` process of a test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{self, SpawnTied};

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct BrokerProcess {
    child: Child,
    address: String,
}

/// A loopback address that nobody listens on.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

impl BrokerProcess {
    /// Starts a broker with its log in `directory` on a free port; groups form without delay.
    pub fn start(directory: &Path) -> Self {
        Self::start_at(directory, "127.0.0.1:0", &[])
    }

    /// Starts a broker on `address` with further `--override` settings; returns once it is ready.
    pub fn start_at(directory: &Path, address: &str, overrides: &[&str]) -> Self {
        let mut command = Command::new(program::millstream());
        command
            .arg("broker")
            .arg("--data-dir")
            .arg(directory)
            .args(["--listener", address]);
        command.args(["--override", "group.initial.rebalance.delay.ms=0"]);
        for property in overrides {
            command.args(["--override", property]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .strip_prefix("millstream broker ready on ")
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or_else(|| {
                panic!("the broker did not come up; it said {line:?}, and on standard error see above")
            })
            .to_owned();
        Self { child, address }
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Kills it as a power cut of the process would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and gives its exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "the broker did not stop within 30 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
