//! A `millstream broker` of one test, and `millstream` commands against it.

use crate::broker::BrokerProcess;
use crate::program::{self, command, millstream_output};

/// A broker in a directory of its own.
#[derive(Debug)]
pub struct Cluster {
    /// The broker.
    pub broker: BrokerProcess,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// Starts it.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            broker: BrokerProcess::start(&directory.path().join("data")),
            directory,
        }
    }

    /// Writes a file that commands may read, and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `words` with the cluster's address behind them.
    pub fn arguments<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let mut all = words.to_vec();
        all.extend(["--bootstrap-server", self.broker.address()]);
        all
    }

    /// Standard output of a command that must succeed.
    pub fn run(&self, words: &[&str], input: &str) -> String {
        millstream_output(&self.arguments(words), input)
    }

    /// Standard output of the command on this line, split at blanks, which must succeed.
    pub fn line(&self, line: &str) -> String {
        self.run(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Standard error of a command that must fail.
    pub fn fails(&self, words: &[&str]) -> String {
        let finished = program::run(&mut command(&self.arguments(words)), b"");
        assert!(!finished.success, "{words:?} should fail");
        finished.stderr
    }

    /// Standard error of the command on this line, split at blanks, which must fail.
    pub fn line_fails(&self, line: &str) -> String {
        self.fails(&line.split_whitespace().collect::<Vec<_>>())
    }
}
