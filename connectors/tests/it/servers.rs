//! Servers for tests.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

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

/// A server with a folder of its own; dropping it stops it. Should this process be killed, a process that waits for its end does.
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    folder: tempfile::TempDir,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mysql/server")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(script())
        .args(arguments)
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
        let watch = "while kill -0 \"$1\" 2>/dev/null; do sleep 1; done; \"$2\" stop \"$3\"; rm -rf \"$3\"";
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
            folder,
        };
        server.start_again(options);
        server
    }

    /// The one that tests share who need nothing but a database of their own.
    pub fn shared(kind: Kind) -> &'static Self {
        static SERVERS: [OnceLock<Server>; 3] = [const { OnceLock::new() }; 3];
        SERVERS[kind as usize].get_or_init(|| Self::start(kind, &[]))
    }

    pub fn stop(&self) {
        run(&["stop", self.path()]);
    }

    /// Starts it after it was stopped, at the same port.
    pub fn start_again(&mut self, options: &[&str]) {
        let port = self.port.to_string();
        let mut arguments = vec!["start", self.kind.name(), self.path(), &port];
        if !options.is_empty() {
            arguments.push("--");
            arguments.extend_from_slice(options);
        }
        self.port = run(&arguments).trim().parse().unwrap();
    }

    pub fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// A file of its data.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(script()).args(["stop", self.path()]).output();
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
