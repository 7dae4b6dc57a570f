//! The connection of a task, made anew when it is lost.
use std::time::{Duration, Instant};

use millstream_connect::plugin::{ErrorKind, PluginError};
use tracing::{debug, info, warn};

use super::config::SinkConfig;
use super::offsets::text;
use super::refusal::Refusal;
use super::server::Server;
use super::table::Cells;
use crate::mysql::client::{Client, ClientError, Done};
use crate::mysql::config::ConnectionConfig;

/// How long a server keeps a session whose task says nothing, also in the middle of a statement, and with it what the session locks: a task that
/// hangs must not be in its successor's way for longer.
const IDLE_SECONDS: u32 = 60;

/// How long a session may have been idle to be taken for alive without a question.
const TRUSTED: Duration = Duration::from_secs(IDLE_SECONDS as u64 / 4);

/// How long statements wait for rows that others lock, and for tables.
const LOCK_SECONDS: u32 = 20;

/// The pause before a table that somebody is changing is asked for again.
const CHANGING_PAUSE: Duration = Duration::from_millis(100);

/// The warning that a table is left out, since its definition is being changed.
const SKIPPED_TABLE: &str = "1684";

const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// How long they wait where the holder is ended then.
const SHORT_LOCK_SECONDS: u32 = 3;

/// How long to wait for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Usual,
    Short,
}

/// A connection, or the lack of one.
pub(super) struct Session {
    connection: ConnectionConfig,
    /// The task's own name, by which its sessions are found.
    owner: String,
    client: Option<Client>,
    server: Option<Server>,
    /// A session was lost, and may still run on the server.
    bereft: bool,
    first: bool,
    /// When the server last answered.
    answered: Instant,
}

impl Session {
    pub fn new(config: &SinkConfig, owner: &str) -> Self {
        Self {
            connection: config.connection.clone(),
            owner: owner.to_owned(),
            client: None,
            server: None,
            bereft: false,
            first: true,
            answered: Instant::now(),
        }
    }

    /// What the server is.
    ///
    /// # Errors
    /// When there is no connection, and none can be made.
    pub async fn server(&mut self) -> Result<Server, ClientError> {
        self.client().await?;
        self.server.ok_or(ClientError::Unexpected {
            what: "connecting",
            reason: "the server was not asked what it is".to_owned(),
        })
    }

    /// Makes sure of a session that was idle for long: servers end those, and that is no failure. To be called where no transaction runs.
    ///
    /// # Errors
    /// When the connection is lost, and none can be made.
    pub async fn wake(&mut self) -> Result<(), ClientError> {
        if self.client.is_some() && self.answered.elapsed() >= TRUSTED {
            // What is wrong with it does not matter: it is made anew.
            if let Err(error) = self.execute(b"DO 0").await {
                debug!("an idle session has ended: {error}");
                (self.client, self.bereft) = (None, true);
            }
        }
        self.client().await.map(drop)
    }

    /// What the server's packets hold, as far as is known: any server's hold a row of some size.
    pub fn packet_bytes_max(&self) -> usize {
        self.server.map_or(1 << 20, |server| server.packet_bytes_max)
    }

    async fn client(&mut self) -> Result<&mut Client, ClientError> {
        if self.client.is_none() {
            let client = self.connect().await?;
            if !self.first {
                debug!("connected again to {:?}", self.connection);
            }
            (self.client, self.first, self.bereft) = (Some(client), false, false);
            self.answered = Instant::now();
        }
        self.client.as_mut().ok_or(ClientError::Unexpected {
            what: "connecting",
            reason: "there is no connection".to_owned(),
        })
    }

    async fn connect(&mut self) -> Result<Client, ClientError> {
        let mut client = Client::connect(&self.connection).await?;
        let rows = client.query("SELECT @@session.max_allowed_packet").await?;
        let packet = rows.first().and_then(|row| row.text(0));
        let server = Server {
            flavour: client.flavour(),
            version: client.version(),
            packet_bytes_max: packet.and_then(|bytes| bytes.parse().ok()).unwrap_or(1 << 20),
        };
        for statement in set_up(&mut client).await? {
            client.execute(&statement).await?;
        }
        self.server = Some(server);
        self.find_former(&mut client).await?;
        Ok(client)
    }

    /// Ends this task's session before, if it still runs: it may hold rows, or be in the middle of a commit.
    async fn find_former(&mut self, client: &mut Client) -> Result<(), ClientError> {
        let name = lock_name(&self.owner);
        if self.bereft {
            end_session(client, &name).await?;
        }
        // Clusters do not know such locks; sessions end there when their time is over.
        match client.query(&format!("SELECT GET_LOCK({name}, 2)")).await {
            Ok(_) | Err(ClientError::Server { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the session of another task, which holds what this one needs.
    pub async fn end_other(&mut self, owner: &str) -> Result<(), ClientError> {
        let name = lock_name(owner);
        end_session(self.client().await?, &name).await
    }

    /// Sets how long statements wait for rows that others lock.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn wait_for_locks(&mut self, patience: Patience) -> Result<(), ClientError> {
        let seconds = match patience {
            Patience::Usual => LOCK_SECONDS,
            Patience::Short => SHORT_LOCK_SECONDS,
        };
        let statement = format!("SET SESSION innodb_lock_wait_timeout={seconds}");
        self.execute(statement.as_bytes()).await.map(drop)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When the server refuses; and when the connection is lost, which is made anew with the next statement.
    pub async fn execute(&mut self, statement: &[u8]) -> Result<Done, ClientError> {
        let done = self.client().await?.execute_bytes(statement).await;
        self.judged(done)
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn rows(&mut self, statement: &str) -> Result<Vec<Cells>, ClientError> {
        let rows = self.client().await?.query(statement).await;
        let rows = self.judged(rows)?;
        let cells = |cell: Option<&[u8]>| cell.map(|cell| String::from_utf8_lossy(cell).into_owned());
        Ok(rows.iter().map(|row| row.cells().map(cells).collect()).collect())
    }

    /// The rows of a statement about a table, once nobody is changing it: servers that open tables for such statements leave them out then, with a warning,
    /// for sessions that hold a lock, be it the one by which this one is found.
    ///
    /// # Errors
    /// As [`Self::execute`]; and when the table is changed for longer than others are waited for.
    pub async fn rows_about(&mut self, statement: &str) -> Result<Vec<Cells>, ClientError> {
        let until = Instant::now() + Duration::from_secs(LOCK_SECONDS.into());
        loop {
            let rows = self.rows(statement).await?;
            let warnings = self.client.as_ref().map_or(0, Client::warnings);
            if warnings == 0 || !self.has_left_out().await? {
                return Ok(rows);
            }
            if Instant::now() >= until {
                return Err(ClientError::Server {
                    what: "asking for a table",
                    code: LOCK_WAIT_TIMEOUT,
                    state: "HY000".to_owned(),
                    message: format!("somebody has been changing it for {LOCK_SECONDS} seconds"),
                });
            }
            debug!("a table is being changed: it is asked for again");
            tokio::time::sleep(CHANGING_PAUSE).await;
        }
    }

    /// Whether the last statement left a table out.
    async fn has_left_out(&mut self) -> Result<bool, ClientError> {
        let warnings = self.rows("SHOW WARNINGS").await?;
        let code = |row: &Cells| row.get(1).cloned().flatten();
        Ok(warnings
            .iter()
            .any(|row| code(row).as_deref() == Some(SKIPPED_TABLE)))
    }

    /// Gives the connection up where it is of no use.
    fn judged<T>(&mut self, result: Result<T, ClientError>) -> Result<T, ClientError> {
        self.answered = Instant::now();
        if let Err(error) = &result
            && is_lost(error)
        {
            debug!("the connection is given up: {error}");
            (self.client, self.bereft) = (None, true);
        }
        result
    }

    /// Undoes a transaction; a connection on which that fails is given up.
    pub async fn roll_back(&mut self) {
        if self.client.is_some()
            && let Err(error) = self.execute(b"ROLLBACK").await
        {
            debug!("a transaction is undone with its connection: {error}");
            (self.client, self.bereft) = (None, true);
        }
    }

    /// Ends the connection.
    pub async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.close().await;
        }
    }
}

/// What sets a session up. Whatever the user or the server says, texts are escaped as `NO_BACKSLASH_ESCAPES` asks for, errors are errors, and
/// a key of 0 is 0.
async fn set_up(client: &mut Client) -> Result<Vec<String>, ClientError> {
    let modes = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,NO_BACKSLASH_ESCAPES";
    let mut statements = vec![format!(
        "SET SESSION sql_mode='{modes}', autocommit=1, time_zone='+00:00', sql_safe_updates=0, sql_notes=0, \
         wait_timeout={IDLE_SECONDS}, net_read_timeout={IDLE_SECONDS}, innodb_lock_wait_timeout={LOCK_SECONDS}, lock_wait_timeout={LOCK_SECONDS}"
    )];
    let binlog = client
        .query("SHOW VARIABLES WHERE Variable_name IN ('binlog_format', 'log_bin')")
        .await?;
    let value = |name: &str| {
        let row = binlog
            .iter()
            .find(|row| row.text(0).is_some_and(|its| its.eq_ignore_ascii_case(name)));
        row.and_then(|row| row.text(1)).unwrap_or_default()
    };
    // Gaps between keys are not locked, so that tasks are less in each other's way. Statements in a log would not repeat that.
    let logs_statements = value("binlog_format").eq_ignore_ascii_case("statement")
        && !value("log_bin").eq_ignore_ascii_case("off");
    if !logs_statements {
        statements.push("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned());
    }
    Ok(statements)
}

/// The name of the lock that a task's session holds.
fn lock_name(owner: &str) -> String {
    text(&format!("millstream:{owner}"))
}

/// Ends the session that holds a lock. It is another account's perhaps, which may not be ended: then its time has to run out.
async fn end_session(client: &mut Client, name: &str) -> Result<(), ClientError> {
    let rows = match client.query(&format!("SELECT IS_USED_LOCK({name})")).await {
        Err(ClientError::Server { .. }) => return Ok(()),
        rows => rows?,
    };
    let Some(session) = rows.first().and_then(|row| row.text(0)?.parse::<u64>().ok()) else {
        return Ok(());
    };
    match client.execute(&format!("KILL {session}")).await {
        Ok(_) => {
            info!("ended session {session} on the server, whose task has lost it");
            Ok(())
        }
        Err(ClientError::Server { message, .. }) => {
            warn!("session {session} on the server holds rows, and could not be ended: {message}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a connection is of no use after an error.
pub(super) fn is_lost(error: &ClientError) -> bool {
    match error {
        ClientError::Server { code, state, .. } => Refusal::of(*code, state) == Refusal::Connection,
        _ => true,
    }
}

/// An error of the connection, or of the server beyond what a record can be blamed for.
pub(super) fn failed(what: &str, error: ClientError) -> PluginError {
    let kind = match (&error, error.kind()) {
        // A task that is started again may find it mended; a configuration does not change by itself.
        (ClientError::Server { .. }, ErrorKind::UserConfig) => ErrorKind::Fatal,
        (_, kind) => kind,
    };
    PluginError::new(kind, format!("{what}: {}", said(&error)))
}

/// What an error says. The connection's own words are of a source's keys.
pub(super) fn said(error: &ClientError) -> String {
    error
        .to_string()
        .replace("database.hostname and database.port", "connection.url")
        .replace("database.hostname", "connection.url")
        .replace(
            "database.user and database.password",
            "connection.username and connection.password",
        )
}
