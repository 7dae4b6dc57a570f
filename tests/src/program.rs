//! Programs under test and beside it: where they are, and running them with a limit on time.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long one command may take.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The root of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The release binary, from `MILLSTREAM_BIN`.
pub fn millstream() -> PathBuf {
    from_environment("MILLSTREAM_BIN")
}

/// An example's release binary, from the folder `MILLSTREAM_EXAMPLES`.
pub fn example(name: &str) -> PathBuf {
    from_environment("MILLSTREAM_EXAMPLES").join(name)
}

/// A Python that has the clients of `tests/python/requirements.txt`, from `MILLSTREAM_PYTHON`.
pub fn python() -> PathBuf {
    from_environment("MILLSTREAM_PYTHON")
}

fn from_environment(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: run the tests with ./test, which builds and installs what they need")
    });
    let path = PathBuf::from(path);
    assert!(
        path.exists(),
        "{variable}={} does not exist: run ./test",
        path.display()
    );
    path
}

/// A `millstream` command with these arguments.
pub fn command<A: AsRef<OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(millstream());
    command.args(arguments);
    command
}

/// What a finished program said.
#[derive(Debug)]
pub struct Finished {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its exit code, −1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command with `input` on its standard input; panics when it takes longer than [`TIMEOUT`].
pub fn run(command: &mut Command, input: &[u8]) -> Finished {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that exits early closes the pipe: that is for the test to judge.
        let _ = stdin.write_all(&input);
    });
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    let stdout = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let stderr = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            let said = String::from_utf8_lossy(&stderr.join().unwrap().unwrap()).into_owned();
            panic!("{shown} took longer than {TIMEOUT:?}; it said: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    writer.join().unwrap();
    Output {
        status,
        stdout: stdout.join().unwrap().unwrap(),
        stderr: stderr.join().unwrap().unwrap(),
    }
    .into()
}

/// Runs a command that must succeed, and gives its standard output.
pub fn output_of(command: &mut Command, input: &[u8]) -> String {
    let finished = run(command, input);
    assert!(
        finished.success,
        "{command:?} failed with {}: {}",
        finished.code, finished.stderr
    );
    finished.stdout
}

/// Runs `millstream` with arguments that must succeed.
pub fn millstream_output(arguments: &[&str], input: &str) -> String {
    output_of(&mut command(arguments), input.as_bytes())
}
