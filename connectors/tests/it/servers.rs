//! Servers for tests.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::config::{ConnectionConfig, TlsConfig, TlsMode};

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    MySql97,
    MySql56,
    MariaDb,
}

pub const KINDS: [Kind; 3] = [Kind::MySql97, Kind::MySql56, Kind::MariaDb];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::MySql97 => "mysql97",
            Self::MySql56 => "mysql56",
            Self::MariaDb => "mariadb",
        }
    }
}

/// A server with a folder of its own; dropping it ends it. Should this process be killed, a process that waits for its end does.
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    options: Vec<String>,
    /// Whether another test may have it afterwards.
    lent: bool,
    /// There until it goes to another test.
    folder: Option<tempfile::TempDir>,
}

/// Servers that wait for the next test: to start one takes longer than most tests.
static IDLE: Mutex<Vec<Server>> = Mutex::new(Vec::new());
const IDLE_MAX: usize = 6;

/// Who kills a process need not wait for the disk.
const FAST: [&str; 2] = ["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"];

/// The statements after which nothing is left of what a test did, but for its variables.
const CLEAR: &str = "SELECT CONCAT('KILL ', id) FROM information_schema.processlist \
    WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler') \
    UNION ALL SELECT CONCAT('DROP DATABASE `', schema_name, '`') FROM information_schema.schemata \
    WHERE schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
    UNION ALL SELECT CONCAT('DROP USER ', QUOTE(user), '@', QUOTE(host)) FROM mysql.user \
    WHERE user NOT IN ('', 'root', 'mysql') AND user NOT LIKE 'mysql.%' AND user NOT LIKE 'mariadb.%'";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mysql/server")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(script())
        .args(arguments)
        .env("MILLSTREAM_TEST_OWNER", std::process::id().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "tests/mysql/server {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

impl Server {
    /// One with these options, and nothing in it.
    #[allow(
        clippy::zombie_processes,
        reason = "who watches lives longer than this process"
    )]
    pub fn start(kind: Kind, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let watch = "while kill -0 \"$1\" 2>/dev/null && [ -d \"$3\" ]; do sleep 2; done; \"$2\" drop \"$3\"; rm -rf \"$3\"";
        Command::new("setsid")
            .args(["bash", "-c", watch, "watch", &std::process::id().to_string()])
            .args([script().to_str().unwrap(), &path])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            kind,
            port: 0,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            lent: false,
            folder: Some(folder),
        };
        server.start_again(options);
        server
    }

    /// One with these options for a test alone, and nothing in it, which may have been another's before: for tests that leave the variables of all
    /// sessions as they are.
    pub fn lent(kind: Kind, options: &[&str]) -> Self {
        loop {
            let idle = {
                let mut idle = IDLE.lock().unwrap();
                let fits = |server: &Self| server.kind == kind && server.options == options;
                let place = idle.iter().position(fits);
                place.map(|place| idle.remove(place))
            };
            match idle {
                Some(mut server) => {
                    if server.clear() {
                        server.lent = true;
                        return server;
                    }
                }
                None => {
                    let mut server = Self::start(kind, options);
                    server.lent = true;
                    return server;
                }
            }
        }
    }

    /// Whether nothing is left in it.
    fn clear(&self) -> bool {
        let ask = |statements: &str| {
            let output = Command::new(script())
                .args(["sql", self.kind.name(), self.path()])
                .args(["--force", "-N", "-B", "-e", statements])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let left = ask(CLEAR).lines().collect::<Vec<_>>().join(";\n");
        let reset = match self.kind {
            Kind::MySql97 => "RESET BINARY LOGS AND GTIDS",
            _ => "RESET MASTER",
        };
        let left = ask(&format!(
            "SET lock_wait_timeout=10;\n{left};\n{reset};\n{CLEAR} UNION ALL SELECT 'clear'"
        ));
        // What waits for a transaction that is prepared is not dropped.
        left.contains("clear") && !left.contains("DROP ")
    }

    /// The one that tests share who need nothing but a database of their own.
    pub fn shared(kind: Kind) -> &'static Self {
        static SERVERS: [OnceLock<Server>; 3] = [const { OnceLock::new() }; 3];
        SERVERS[kind as usize].get_or_init(|| Self::start(kind, &[]))
    }

    pub fn stop(&self) {
        run(&["stop", self.path()]);
    }

    /// Ends it at once.
    pub fn end(&self) {
        run(&["drop", self.path()]);
    }

    /// Starts it after it was stopped, at the same port.
    pub fn start_again(&mut self, options: &[&str]) {
        self.lent = false;
        let port = self.port.to_string();
        let mut arguments = vec!["start", self.kind.name(), self.path(), &port, "--"];
        arguments.extend(FAST);
        arguments.extend_from_slice(options);
        self.port = run(&arguments).trim().parse().unwrap();
    }

    fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is there until the end").path()
    }

    pub fn path(&self) -> &str {
        self.folder().to_str().unwrap()
    }

    /// A file of its data.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder().join("data").join(name)
    }

    pub fn config(&self, user: &str, password: &str) -> ConnectionConfig {
        ConnectionConfig {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: user.to_owned(),
            password: password.to_owned(),
            tls: TlsConfig {
                mode: TlsMode::Preferred,
                ca: None,
                identity: None,
            },
            connect_timeout: Duration::from_secs(60),
            query_timeout: Duration::from_secs(300),
            initial_statements: Vec::new(),
        }
    }

    pub async fn root(&self) -> Client {
        Client::connect(&self.config("root", "")).await.unwrap()
    }

    /// An empty database.
    pub async fn database(&self, name: &str) -> Client {
        let mut client = self.root().await;
        for statement in [format!("CREATE DATABASE {name}"), format!("USE {name}")] {
            client.execute(&statement).await.unwrap();
        }
        client
    }
}

/// Deletes all logs but the one that is written to. One that is still sent to somebody who is gone already stays until the server notices.
pub async fn purge_logs(client: &mut Client) {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let logs = client.query("SHOW BINARY LOGS").await.unwrap();
        if logs.len() == 1 {
            return;
        }
        assert!(Instant::now() < until, "{} logs are in use", logs.len());
        let last = logs.last().unwrap().text(0).unwrap();
        let purge = format!("PURGE BINARY LOGS TO '{last}'");
        client.execute(&purge).await.unwrap();
        tokio::task::yield_now().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else {
            return;
        };
        if self.lent && !std::thread::panicking() {
            let mut idle = IDLE.lock().unwrap();
            if idle.len() < IDLE_MAX {
                idle.push(Self {
                    kind: self.kind,
                    port: self.port,
                    options: std::mem::take(&mut self.options),
                    lent: false,
                    folder: Some(folder),
                });
                return;
            }
        }
        let _ = Command::new(script())
            .args(["drop", folder.path().to_str().unwrap()])
            .output();
    }
}

/// A certificate that the tests of https have, too.
pub fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../connect/golden/tls")
        .join(name)
        .canonicalize()
        .unwrap()
}

/// It would write into files that nobody sees, until the disk is full.
#[test]
fn a_server_ends_whose_folder_is_gone() {
    let server = Server::start(Kind::MariaDb, &[]);
    let pid = std::fs::read_to_string(server.folder().join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim()).join("stat");
    let runs = || {
        let stat = std::fs::read_to_string(&process).unwrap_or_default();
        stat.contains(") ") && !stat.contains(") Z ")
    };
    assert!(runs());
    std::fs::remove_dir_all(server.folder()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while runs() {
        assert!(Instant::now() < until, "{} still runs", process.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
