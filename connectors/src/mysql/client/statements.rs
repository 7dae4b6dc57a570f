//! Statements and their rows.
use bytes::Bytes;

use super::server::Facts;
use super::wire::answer::{Answer, Done, ServerError};
use super::wire::handshake::DEPRECATE_EOF;
use super::{Client, ClientError, ResultColumn, Row, RowStream, State, link_error, malformed};

/// COM_QUERY.
const QUERY: u8 = 3;

/// A name as statements have it.
///
/// ```
/// assert_eq!(millstream_connectors::mysql::client::quoted("or`der"), "`or``der`");
/// ```
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as statements have it, in the modes of these sessions.
///
/// ```
/// assert_eq!(millstream_connectors::mysql::client::quoted_text("it's \\"), r"'it''s \\'");
/// ```
#[must_use]
pub fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

impl Client {
    /// Runs a statement; rows of it are passed over.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn execute(&mut self, statement: &str) -> Result<Done, ClientError> {
        self.execute_for("running a statement", statement).await
    }

    /// Runs a statement that is not all text: values may be bytes as they are. Rows of it are passed over.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn execute_bytes(&mut self, statement: &[u8]) -> Result<Done, ClientError> {
        let what = "running a statement";
        self.start(what, statement).await?;
        self.settle(what).await?;
        Ok(self.done)
    }

    /// All rows of a statement whose answer is small.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn query(&mut self, statement: &str) -> Result<Vec<Row>, ClientError> {
        self.query_for("running a statement", statement).await
    }

    /// Rows of a statement, one after the other: what is not asked for yet stays at the server.
    ///
    /// # Errors
    /// As [`Client::execute`]; and when the statement has no rows.
    pub async fn select_stream(&mut self, statement: &str) -> Result<RowStream<'_>, ClientError> {
        let what = "reading rows";
        match self.start(what, statement.as_bytes()).await? {
            Some(columns) => Ok(RowStream {
                client: self,
                columns: columns.into(),
                what,
            }),
            None => Err(ClientError::Unexpected {
                what,
                reason: "the statement gives no rows".to_owned(),
            }),
        }
    }

    /// How many warnings the last statement left.
    #[must_use]
    pub fn warnings(&self) -> u16 {
        self.done.warnings
    }

    /// What the server is, how it is set up, and what the account may do.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn facts(&mut self) -> Result<Facts, ClientError> {
        Facts::read(self).await
    }

    /// Sets how long statements of this session wait for locks on tables and rows, at least a second.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn set_lock_timeout(&mut self, limit: std::time::Duration) -> Result<(), ClientError> {
        let seconds = limit.as_secs().clamp(1, 31_536_000);
        let statement =
            format!("SET SESSION lock_wait_timeout={seconds}, innodb_lock_wait_timeout={seconds}");
        self.execute_for("setting how long locks are waited for", &statement)
            .await?;
        Ok(())
    }
}

impl Client {
    /// The session is about to hold locks, or does not any more: with locks, a client that says nothing for two minutes loses them, so that nobody
    /// waits for one that is gone.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn set_locking(&mut self, locking: bool) -> Result<(), ClientError> {
        let statement = super::session::patience(locking);
        self.execute_for("setting how long the server keeps locks", &statement)
            .await?;
        Ok(())
    }

    /// Asks for nothing, so that the server keeps the session.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.execute_for("keeping a session", "DO 0").await?;
        Ok(())
    }

    pub(super) async fn execute_for(
        &mut self,
        what: &'static str,
        statement: &str,
    ) -> Result<Done, ClientError> {
        self.start(what, statement.as_bytes()).await?;
        self.settle(what).await?;
        Ok(self.done)
    }

    pub(super) async fn query_for(
        &mut self,
        what: &'static str,
        statement: &str,
    ) -> Result<Vec<Row>, ClientError> {
        let mut rows = Vec::new();
        if let Some(columns) = self.start(what, statement.as_bytes()).await? {
            while let Some(row) = self.next_row(columns.len(), what).await? {
                rows.push(row);
            }
        }
        self.settle(what).await?;
        Ok(rows)
    }

    /// The only row of a statement.
    pub(super) async fn row_for(&mut self, what: &'static str, statement: &str) -> Result<Row, ClientError> {
        let rows = self.query_for(what, statement).await?;
        rows.into_iter().next().ok_or(ClientError::Protocol {
            what,
            reason: "a row is missing",
        })
    }

    /// Sends a statement; gives the columns of its rows.
    async fn start(
        &mut self,
        what: &'static str,
        statement: &[u8],
    ) -> Result<Option<Vec<ResultColumn>>, ClientError> {
        self.settle(what).await?;
        let mut command = Vec::with_capacity(statement.len() + 1);
        command.push(QUERY);
        command.extend_from_slice(statement);
        self.send_command(what, &command).await?;
        self.answer(what).await
    }

    /// Sends a command, within the time that is set: a server that hangs does not read. Until its answer has been read, nothing else can be asked.
    pub(super) async fn send_command(
        &mut self,
        what: &'static str,
        command: &[u8],
    ) -> Result<(), ClientError> {
        self.state = State::Broken;
        let sent = self.link.command(command);
        let sent = match self.query_timeout {
            None => sent.await,
            Some(limit) => match tokio::time::timeout(limit, sent).await {
                Ok(sent) => sent,
                Err(_) => return Err(timed_out(what, limit)),
            },
        };
        sent.map_err(|error| link_error(what, error))
    }

    /// The beginning of an answer.
    async fn answer(&mut self, what: &'static str) -> Result<Option<Vec<ResultColumn>>, ClientError> {
        let packet = self.receive(what).await?;
        match Answer::read(&packet).map_err(|error| malformed(what, error))? {
            Answer::Ok(done) => {
                self.finish(done);
                Ok(None)
            }
            Answer::Error(error) => {
                self.state = State::Ready;
                Err(self.refusal(what, error))
            }
            Answer::Columns(count) => {
                let mut columns = Vec::with_capacity(count);
                for _ in 0..count {
                    let packet = self.receive(what).await?;
                    columns.push(ResultColumn::read(&packet).map_err(|error| malformed(what, error))?);
                }
                if !self.ends_with_ok() {
                    self.receive(what).await?;
                }
                self.state = State::Rows(count);
                Ok(Some(columns))
            }
        }
    }

    /// Whether rows end with an OK packet rather than EOF.
    fn ends_with_ok(&self) -> bool {
        self.capabilities & DEPRECATE_EOF != 0
    }

    fn finish(&mut self, done: Done) {
        self.done = done;
        self.state = match done.more_results() {
            true => State::MoreResults,
            false => State::Ready,
        };
    }

    pub(super) async fn next_row(
        &mut self,
        columns: usize,
        what: &'static str,
    ) -> Result<Option<Row>, ClientError> {
        if !matches!(self.state, State::Rows(_)) {
            return Ok(None);
        }
        let packet = self.receive(what).await?;
        let end = match (packet.first(), self.ends_with_ok()) {
            (Some(0xfe), true) if packet.len() < 0xff_ffff => Done::read(&packet),
            (Some(0xfe), false) if packet.len() < 9 => Done::read_end(&packet),
            (Some(0xff), _) => {
                let error = ServerError::read(&packet).map_err(|error| malformed(what, error))?;
                self.state = State::Ready;
                return Err(self.refusal(what, error));
            }
            _ => {
                return Row::read(packet, columns)
                    .map(Some)
                    .map_err(|error| malformed(what, error));
            }
        };
        self.finish(end.map_err(|error| malformed(what, error))?);
        Ok(None)
    }

    /// Passes over what is left of the last answer.
    async fn settle(&mut self, what: &'static str) -> Result<(), ClientError> {
        loop {
            match self.state {
                State::Ready => return Ok(()),
                State::Rows(columns) => while self.next_row(columns, what).await?.is_some() {},
                State::MoreResults => {
                    self.state = State::Broken;
                    self.answer(what).await?;
                }
                State::Broken => {
                    return Err(ClientError::Lost {
                        what,
                        reason: "an earlier statement was given up before its answer".to_owned(),
                    });
                }
            }
        }
    }

    /// The next payload, within the time that is set.
    pub(super) async fn receive(&mut self, what: &'static str) -> Result<Bytes, ClientError> {
        let lost = |error| link_error(what, error);
        if let Some(payload) = self.link.take().map_err(lost)? {
            return Ok(payload);
        }
        let received = match self.query_timeout {
            None => self.link.receive().await.map_err(lost),
            Some(limit) => match tokio::time::timeout(limit, self.link.receive()).await {
                Ok(received) => received.map_err(lost),
                Err(_) => Err(timed_out(what, limit)),
            },
        };
        if received.is_err() {
            self.state = State::Broken;
        }
        received
    }

    /// The server's refusal. Its words can hold parts of statements that were configured.
    pub(super) fn refusal(&self, what: &'static str, error: ServerError) -> ClientError {
        let message = match self.password.len() {
            0..=3 => error.message,
            _ => error.message.replace(&self.password, "***"),
        };
        ClientError::Server {
            what,
            code: error.code,
            state: error.state,
            message,
        }
    }
}

fn timed_out(what: &'static str, limit: std::time::Duration) -> ClientError {
    ClientError::TimedOut {
        what,
        limit,
        key: "database.query.timeout.ms",
    }
}
