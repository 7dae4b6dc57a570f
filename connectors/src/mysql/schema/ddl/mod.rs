//! What statements make of tables: the second source, after the server's own word.
//!
//! Of a log that does not name columns, rows are read by what the server says tables are. Where it has changed a table again since, its word is not of the
//! place that is read; then the description that held before a statement, and the statement, give the one that holds behind it. It is computed as
//! servers do it, down to the order of indexes and the text of defaults, and a test compares it with theirs for a corpus of statements
//! (`connectors/tests/it/ddl`). What is not understood is an error: nothing is guessed. Who reads rows by what is computed here checks it against the log's
//! own description of them ([`Table::agrees_with`]).
//!
//! Nothing here asks anybody; what was before comes through [`Before`].
mod alter;
mod apply;
mod collations;
mod create;
mod declaration;
mod default;
mod definition;
mod draft;
mod error;
mod keys;
mod options;
mod reader;
mod statement;
mod types;

pub use collations::Collations;
pub use error::DdlError;

use std::sync::Arc;

use super::{Table, TableId};
use crate::mysql::binlog::Collation;
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::stream::ddl::{Lexer, Quoting};
use reader::Reader;

/// Bits of `sql_mode` by which words mean other types: MAXDB, and ORACLE of MariaDB.
const MAXDB: u64 = 1 << 12;
const ORACLE: u64 = 1 << 9;

/// What a server is, as far as statements mean something else on others.
#[derive(Debug, Clone)]
pub struct Server {
    /// Whose it is.
    pub flavour: Flavour,
    /// Which one.
    pub version: Version,
    /// Its collations.
    pub collations: Arc<Collations>,
    /// `explicit_defaults_for_timestamp`: whether a TIMESTAMP is like other columns.
    pub explicit_timestamps: bool,
    /// Names of tables are in small letters, whatever statements say.
    pub lower_case: bool,
}

impl Server {
    /// Whether types of integers are shown with their width.
    fn has_widths(&self) -> bool {
        self.flavour == Flavour::MariaDb || self.version < Version::new(8, 0, 19)
    }

    /// Whether REFERENCES of a column makes it a foreign key; others pass over it.
    fn has_references(&self) -> bool {
        self.version
            >= match self.flavour {
                Flavour::MySql => Version::new(9, 0, 0),
                Flavour::MariaDb => Version::new(10, 5, 0),
            }
    }
}

/// What the session of a statement had set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Session {
    /// `sql_mode`, a bit for each mode.
    pub sql_mode: u64,
    /// `explicit_defaults_for_timestamp`, where the log says it.
    pub explicit_timestamps: Option<bool>,
    /// `default_collation_for_utf8mb4`, where the log says it.
    pub utf8mb4: Option<Collation>,
}

/// A statement of the log.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// Its text.
    pub text: &'a str,
    /// The database that it ran in; empty for none.
    pub database: &'a str,
    /// What its session had set.
    pub session: Session,
}

/// What a table was before a statement.
#[derive(Debug, Clone, Copy)]
pub enum Was<'a> {
    /// This.
    Table(&'a Table),
    /// There was none.
    Absent,
    /// Nobody knows.
    Unknown,
}

/// What is known of the place before a statement.
pub trait Before {
    /// What a table was.
    fn table(&self, id: &TableId) -> Was<'_>;

    /// The default collation of a database, if it is known.
    fn collation(&self, database: &str) -> Option<Collation>;
}

/// What a table is behind a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// This.
    Table(Arc<Table>),
    /// It is gone.
    Gone,
    /// It is not known, and why.
    Unknown(DdlError),
}

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effects {
    /// These tables are so behind it.
    Tables(Vec<(TableId, After)>),
    /// All tables are as before.
    Nothing,
    /// All tables of the database are gone.
    DatabaseGone,
}

/// What a statement does to tables.
///
/// # Errors
/// [`DdlError`] with what is not understood of it.
pub fn effects(server: &Server, before: &dyn Before, statement: &Statement<'_>) -> Result<Effects, DdlError> {
    let mode = statement.session.sql_mode;
    if mode & MAXDB != 0 || mode & ORACLE != 0 && server.flavour == Flavour::MariaDb {
        return Err(DdlError::Beyond("a statement of another dialect (sql_mode)"));
    }
    if statement.text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(DdlError::Beyond("a text that is not of its character set"));
    }
    let lexer = Lexer::new(statement.text, Quoting::of_mode(mode));
    let lexer = match server.flavour {
        Flavour::MySql => lexer.of_mysql(),
        Flavour::MariaDb => lexer,
    };
    let context = Context {
        server,
        before,
        sql_mode: mode,
        explicit_timestamps: statement
            .session
            .explicit_timestamps
            .unwrap_or(server.explicit_timestamps),
        utf8mb4: statement.session.utf8mb4,
    };
    let reader = Reader::new(lexer, statement.database, server.lower_case);
    statement::run(reader, &context)
}

/// What the meaning of a statement depends on.
#[derive(Clone, Copy)]
struct Context<'a> {
    server: &'a Server,
    before: &'a dyn Before,
    sql_mode: u64,
    explicit_timestamps: bool,
    utf8mb4: Option<Collation>,
}

impl<'a> Context<'a> {
    /// What a table was that a statement builds on.
    fn known(&self, id: &TableId) -> Result<&'a Table, DdlError> {
        match self.before.table(id) {
            Was::Table(table) if table.structure.is_some() => Ok(table),
            _ => Err(DdlError::Before(id.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
