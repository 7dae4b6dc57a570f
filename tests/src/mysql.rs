//! A real MySQL or MariaDB server of a test, by `tests/mysql/server`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::program;

/// A running server; stopped when dropped, and killed should this process be.
#[derive(Debug)]
pub struct MysqlServer {
    kind: String,
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
}

impl MysqlServer {
    /// Starts a server of `kind` (`mysql97`, `mysql56`, `mariadb`) with its data in `folder`.
    pub fn start(kind: &str, folder: &Path, options: &[&str]) -> Self {
        let mut server = Self {
            kind: kind.to_owned(),
            folder: folder.to_owned(),
            port: 0,
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        server.port = server.launch();
        server
    }

    fn launch(&self) -> u16 {
        let mut command = Command::new(program::repository().join("tests/mysql/server"));
        command.args(["start", &self.kind]).arg(&self.folder);
        command.arg(self.port.to_string()).arg("--").args(&self.options);
        command.env("MILLSTREAM_TEST_OWNER", std::process::id().to_string());
        let said = program::output_of(&mut command, b"");
        let port = said.lines().last().and_then(|line| line.trim().parse().ok());
        port.unwrap_or_else(|| panic!("tests/mysql/server said no port: {said:?}"))
    }

    /// Its port on 127.0.0.1, which stays through restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it as a power cut of the process would, and starts it again on its data.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.launch();
    }

    fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        kill_process(pid, Signal::KILL).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while test_kill_process(pid).is_ok() {
            assert!(Instant::now() < until, "the server does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.folder.join("pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }
}

impl Drop for MysqlServer {
    fn drop(&mut self) {
        let script = program::repository().join("tests/mysql/server");
        let _ = Command::new(script).arg("stop").arg(&self.folder).status();
    }
}
