//! Programs under test and beside it: where they are, and running them with a limit on time.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
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

/// Starts processes that end with this one.
pub trait SpawnTied {
    /// As [`Command::spawn`]; should this process be killed, so is that one, whoever it has become then.
    ///
    /// # Errors
    /// When it cannot be started.
    fn spawn_tied(&mut self) -> std::io::Result<Child>;
}

impl SpawnTied for Command {
    fn spawn_tied(&mut self) -> std::io::Result<Child> {
        let child = self.spawn()?;
        tie(&child);
        Ok(child)
    }
}

/// Waits until its standard input ends, which nobody else has open, and kills what was named there and is still the same: a process, and when it began.
const WATCH: &str = r#"
trap '' HUP INT TERM
all=()
while read -r line; do all+=("$line"); done
for line in "${all[@]}"; do
    read -r pid began <<<"$line"
    read -r stat 2>/dev/null <"/proc/$pid/stat" || continue
    read -ra fields <<<"${stat##*) }"
    [ "${fields[19]}" != "$began" ] || kill -9 "$pid"
done
"#;

/// Tells who waits for the end of this process of a child. The kernel's own way (`PR_SET_PDEATHSIG`) counts the end of the thread that started it,
/// and threads of tests end before what they share.
fn tie(child: &Child) {
    static WATCHER: OnceLock<Mutex<Child>> = OnceLock::new();
    // Nobody has waited for it yet, so that the number is its own.
    let Some(began) = began(child.id()) else { return };
    let watcher = WATCHER.get_or_init(|| {
        let mut command = Command::new("bash");
        command.args(["-c", WATCH]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.process_group(0).spawn().expect("cannot run bash"))
    });
    let mut watcher = watcher.lock().unwrap();
    let told = watcher.stdin.as_mut().expect("it is piped");
    writeln!(told, "{} {began}", child.id()).expect("who watches has ended");
}

/// When a process began, by the system's clock; nothing if it has ended, or where there is no `/proc`.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have spaces and parentheses.
    let fields = stat.rsplit_once(") ")?.1;
    let is_left = fields.starts_with('Z');
    fields
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
        .filter(|_| !is_left)
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
        .spawn_tied()
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    const STARTS: &str = "MILLSTREAM_TEST_STARTS";

    /// No test: a process that starts another one, says which, and waits to be killed.
    #[test]
    fn who_starts_another() {
        if std::env::var_os(STARTS).is_some() {
            let mut child = Command::new("sleep").arg("1000").spawn_tied().unwrap();
            println!("started {}", child.id());
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_was_started_ends_with_who_started_it() {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program::tests::who_starts_another", "--nocapture"])
            .env(STARTS, "1")
            .stdout(Stdio::piped())
            .spawn_tied()
            .unwrap();
        let said = BufReader::new(parent.stdout.take().unwrap());
        let started = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("started ")?.1.parse().ok());
        let started: u32 = started.unwrap();
        let since = began(started).expect("it runs");
        parent.kill().unwrap();
        parent.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while began(started) == Some(since) {
            assert!(Instant::now() < until, "process {started} still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
