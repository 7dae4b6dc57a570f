//! One transaction: offsets first, which locks and checks them, then rows, then the commit.
use millstream_connect::plugin::PluginError;

use super::arrange::Statement;
use super::offsets::{Move, Offsets};
use super::refusal::{ANOTHER_ROW, Refusal};
use super::session::{Session, failed, is_lost};
use super::statement::Writer;
use crate::mysql::client::ClientError;

/// What is to be written.
pub(super) struct Transaction<'a> {
    pub writer: Writer<'a>,
    pub statements: &'a [Statement],
    pub offsets: &'a Offsets,
    pub moves: &'a [Move],
    pub owner: &'a str,
    /// Whether rows whose references are not there are refused; otherwise they are waited for.
    pub refuse_references: bool,
    /// Whether it is only to be found out which rows are refused.
    pub trial: bool,
}

/// A row that the server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedRow {
    /// Its operation's place in the batch.
    pub operation: usize,
    pub reason: String,
}

/// Why a transaction is not committed; or not known to be.
#[derive(Debug)]
pub(super) enum Failure {
    /// The offsets are not where they were, or another's.
    Moved,
    /// A deadlock, or a lock that was waited for too long: the same may succeed at once.
    Again(ClientError),
    /// Rows that are referred to are not there yet.
    Reference(ClientError),
    /// A table is not what it was.
    Table(ClientError),
    /// The connection is lost, and with it what became of the transaction.
    Lost(ClientError),
    /// Anything else.
    Other(PluginError),
}

impl Failure {
    fn of(what: &str, error: ClientError) -> Self {
        let ClientError::Server { code, ref state, .. } = error else {
            return match is_lost(&error) && error.is_disconnected() {
                true => Self::Lost(error),
                false => Self::Other(failed(what, error)),
            };
        };
        match Refusal::of(code, state) {
            Refusal::Again => Self::Again(error),
            Refusal::Table => Self::Table(error),
            Refusal::Connection => Self::Lost(error),
            Refusal::Reference => Self::Reference(error),
            Refusal::Row | Refusal::Server => Self::Other(failed(what, error)),
        }
    }
}

impl Transaction<'_> {
    /// Writes rows and offsets, and commits them if the server takes all of them. Gives those that it does not take; then nothing is changed.
    ///
    /// # Errors
    /// Why not. The transaction is undone, but for [`Failure::Lost`].
    pub async fn run(&self, session: &mut Session) -> Result<Vec<RefusedRow>, Failure> {
        let mut text = Vec::new();
        let result = self.write(session, &mut text).await;
        let result = match result {
            Ok(refused) if refused.is_empty() && !self.trial => {
                let committed = session.execute(b"COMMIT").await;
                committed
                    .map(|_| refused)
                    .map_err(|error| Failure::of("committing", error))
            }
            other => {
                session.roll_back().await;
                return other;
            }
        };
        if result.is_err() {
            session.roll_back().await;
        }
        result
    }

    async fn write(&self, session: &mut Session, text: &mut Vec<u8>) -> Result<Vec<RefusedRow>, Failure> {
        let begun = session.execute(b"START TRANSACTION").await;
        begun.map_err(|error| Failure::of("beginning a transaction", error))?;
        if !self.moves.is_empty() {
            let advance = self.offsets.advance(self.moves, self.owner);
            let moved = session.execute(advance.as_bytes()).await;
            let moved = moved.map_err(|error| Failure::of("storing offsets", error))?;
            if moved.affected_rows != self.moves.len() as u64 {
                return Err(Failure::Moved);
            }
        }
        let mut refused = Vec::new();
        for statement in self.statements {
            let mut rest = statement.operations.as_slice();
            while !rest.is_empty() {
                let (now, behind) = rest.split_at(self.writer.next_length(statement, rest));
                self.rows(session, statement, now, text, &mut refused).await?;
                rest = behind;
            }
        }
        Ok(refused)
    }

    /// Writes rows with one statement. If the server refuses it for a row, halves of it are tried, so that all others are written in their order.
    async fn rows(
        &self,
        session: &mut Session,
        statement: &Statement,
        operations: &[usize],
        text: &mut Vec<u8>,
        refused: &mut Vec<RefusedRow>,
    ) -> Result<(), Failure> {
        let mut waiting: Vec<&[usize]> = vec![operations];
        while let Some(now) = waiting.pop() {
            self.writer.write(statement, now, text);
            let Err(error) = session.execute(text).await else {
                continue;
            };
            let is_of_a_row = match &error {
                ClientError::Server { code, state, .. } => match Refusal::of(*code, state) {
                    Refusal::Row => true,
                    Refusal::Reference => self.refuse_references,
                    _ => false,
                },
                _ => false,
            };
            let shown = self.writer.tables[statement.table].id.to_string();
            match (is_of_a_row, now) {
                (false, _) => return Err(Failure::of(&format!("writing to {shown}"), error)),
                (true, [operation]) => refused.push(RefusedRow {
                    operation: *operation,
                    reason: reason(&shown, &error),
                }),
                (true, several) => {
                    let (first, second) = several.split_at(several.len() / 2);
                    waiting.push(second);
                    waiting.push(first);
                }
            }
        }
        Ok(())
    }
}

fn reason(table: &str, error: &ClientError) -> String {
    match error {
        ClientError::Server {
            code: ANOTHER_ROW, ..
        } => format!(
            "{table} has another row with the same value in one of its other unique indexes; where topics have several partitions, rows \
             of different keys may come in another order than they were written"
        ),
        ClientError::Server {
            code, state, message, ..
        } if Refusal::of(*code, state) == Refusal::Reference => format!(
            "{table} does not take it, and what it refers to did not come, or what refers to it did not go, while it was waited for: \
             {message} ({code}, {state}); where topics are too far from each other, add sessionVariables=foreign_key_checks=0 to connection.url"
        ),
        ClientError::Server {
            code, state, message, ..
        } => format!("{table} does not take it: {message} ({code}, {state})"),
        error => format!("{table}: {error}"),
    }
}
