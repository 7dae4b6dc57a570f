//! Statements in the log: what they are, and which tables they may touch.
//!
//! This is no parser: it says that tables are no longer as they were, so that a statement that is not understood touches everything that it
//! might, and stops nothing. What they become, where nobody else can say it, is [`schema::ddl`](crate::mysql::schema::ddl)'s.
mod lexer;
mod tables;

pub use lexer::{Quoting, Token};

pub(in crate::mysql) use lexer::Lexer;
use tables::Words;

use crate::mysql::binlog::Xid;
use crate::mysql::schema::TableId;

/// What a statement is.
///
/// ```
/// use millstream_connectors::mysql::stream::ddl::{Quoting, Statement};
/// use millstream_connectors::mysql::schema::TableId;
///
/// let statement = Statement::read("TRUNCATE /* all */ TABLE `orders`", "shop", Quoting::default());
/// assert_eq!(statement, Statement::Truncate(TableId::new("shop", "orders")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// BEGIN.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO a savepoint.
    RollbackTo(String),
    /// XA START.
    XaStart(Xid),
    /// XA COMMIT.
    XaCommit(Xid),
    /// XA ROLLBACK.
    XaRollback(Xid),
    /// All rows of a table go: TRUNCATE TABLE, and DELETE without a condition, which servers log for tables in memory when they start.
    Truncate(TableId),
    /// Rows change, and the log has the statement instead of them.
    Rows(Touched),
    /// Tables or databases may be others behind it.
    Schema {
        /// What it does.
        kind: SchemaKind,
        /// Which descriptions of tables no longer hold.
        touches: Touched,
        /// Tables that are called otherwise behind it: their names before and now, in the order in which they are renamed.
        renames: Vec<(TableId, TableId)>,
    },
    /// Nothing of these.
    Other,
}

/// What a statement does to tables, as Debezium's schema changes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// CREATE TABLE.
    Create,
    /// ALTER TABLE, RENAME TABLE, CREATE INDEX, DROP INDEX.
    Alter,
    /// DROP TABLE.
    Drop,
    /// CREATE, ALTER or DROP DATABASE.
    Database,
    /// Not understood.
    Other,
}

/// Which tables a statement may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// These.
    Tables(Vec<TableId>),
    /// All of a database.
    Database(String),
    /// Any.
    Everything,
}

impl Touched {
    /// Whether `table` may be touched. Letters' case does not matter: whether it does on the server is not known here.
    #[must_use]
    pub fn has(&self, table: &TableId) -> bool {
        let same = |left: &str, right: &str| left.to_lowercase() == right.to_lowercase();
        match self {
            Self::Tables(tables) => tables
                .iter()
                .any(|own| same(&own.table, &table.table) && same(&own.database, &table.database)),
            Self::Database(database) => same(database, &table.database),
            Self::Everything => true,
        }
    }
}

impl Statement {
    /// What `text` is, run in `database` (empty: none) with these modes.
    #[must_use]
    pub fn read(text: &str, database: &str, quoting: Quoting) -> Self {
        let mut words = Words::new(Lexer::new(text, quoting), database);
        words.skip_set_statement();
        let verb = words.keyword().to_ascii_uppercase();
        match verb.as_str() {
            "BEGIN" => Self::Begin,
            "START" if words.peek_is("TRANSACTION") => Self::Begin,
            "COMMIT" => Self::Commit,
            "ROLLBACK" => rollback(words),
            "SAVEPOINT" => Self::Savepoint(words.text()),
            "XA" => xa(text).unwrap_or(Self::Other),
            "TRUNCATE" => truncate(words),
            "DELETE" => delete(words),
            "INSERT" | "REPLACE" | "UPDATE" | "LOAD" | "WITH" | "CALL" | "DO" | "SELECT" => {
                Self::Rows(rows(&verb, words))
            }
            "CREATE" => create(words),
            "ALTER" => alter(words),
            "DROP" => drop_object(words),
            "RENAME" => rename(words),
            "IMPORT" => schema(SchemaKind::Other, Touched::Everything),
            _ => Self::Other,
        }
    }
}

fn schema(kind: SchemaKind, touches: Touched) -> Statement {
    let renames = Vec::new();
    Statement::Schema {
        kind,
        touches,
        renames,
    }
}

/// A change of these tables; of any, if they could not be read.
fn of_tables(kind: SchemaKind, tables: Option<Vec<TableId>>) -> Statement {
    match tables {
        Some(tables) if !tables.is_empty() => schema(kind, Touched::Tables(tables)),
        _ => schema(kind, Touched::Everything),
    }
}

fn rollback(mut words: Words<'_>) -> Statement {
    words.take("WORK");
    if !words.take("TO") {
        return Statement::Rollback;
    }
    words.take("SAVEPOINT");
    Statement::RollbackTo(words.text())
}

fn xa(text: &str) -> Option<Statement> {
    if let Some(xid) = Xid::from_statement(text, "XA START") {
        return Some(Statement::XaStart(xid));
    }
    if let Some(xid) = Xid::from_statement(text, "XA COMMIT") {
        return Some(Statement::XaCommit(xid));
    }
    Xid::from_statement(text, "XA ROLLBACK").map(Statement::XaRollback)
}

fn truncate(mut words: Words<'_>) -> Statement {
    words.take("TABLE");
    match words.table() {
        Some(table) if words.skip_wait().is_end() => Statement::Truncate(table),
        Some(table) => Statement::Rows(Touched::Tables(vec![table])),
        None => Statement::Rows(Touched::Everything),
    }
}

fn delete(mut words: Words<'_>) -> Statement {
    let mut whole = words.clone();
    if whole.take("FROM")
        && let Some(table) = whole.table()
        && whole.is_end()
    {
        return Statement::Truncate(table);
    }
    words.skip_modifiers(&["LOW_PRIORITY", "QUICK", "IGNORE"]);
    Statement::Rows(words.tables_until(&["WHERE", "ORDER", "LIMIT", "RETURNING"]))
}

/// The tables whose rows a statement may change.
fn rows(verb: &str, mut words: Words<'_>) -> Touched {
    match verb {
        "INSERT" | "REPLACE" => {
            words.skip_modifiers(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]);
            words
                .table()
                .map_or(Touched::Everything, |table| Touched::Tables(vec![table]))
        }
        "LOAD" => {
            while !words.is_end() && !words.take("TABLE") {
                words.next();
            }
            words
                .table()
                .map_or(Touched::Everything, |table| Touched::Tables(vec![table]))
        }
        "UPDATE" => {
            words.skip_modifiers(&["LOW_PRIORITY", "IGNORE"]);
            words.tables_until(&["SET"])
        }
        _ => Touched::Everything,
    }
}

fn create(mut words: Words<'_>) -> Statement {
    if words.take("OR") {
        words.take("REPLACE");
    }
    if words.take("TEMPORARY") {
        return Statement::Other;
    }
    if words.take("TABLE") {
        words.skip_if_exists();
        return of_tables(SchemaKind::Create, words.table().map(|table| vec![table]));
    }
    if words.take("DATABASE") || words.take("SCHEMA") {
        words.skip_if_exists();
        return database(words);
    }
    index(words)
}

/// CREATE or DROP INDEX … ON a table; anything else has no tables.
fn index(mut words: Words<'_>) -> Statement {
    words.skip_modifiers(&["ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"]);
    if !words.take("INDEX") {
        return Statement::Other;
    }
    while !words.is_end() && !words.take("ON") {
        words.next();
    }
    of_tables(SchemaKind::Alter, words.table().map(|table| vec![table]))
}

fn database(mut words: Words<'_>) -> Statement {
    let name = match words.name() {
        // ALTER DATABASE without a name is the session's.
        Some(name) => name,
        None => words.database().to_owned(),
    };
    schema(SchemaKind::Database, Touched::Database(name))
}

fn alter(mut words: Words<'_>) -> Statement {
    words.skip_modifiers(&["ONLINE", "OFFLINE", "IGNORE"]);
    if words.take("DATABASE") || words.take("SCHEMA") {
        return database(words);
    }
    if !words.take("TABLE") {
        return Statement::Other;
    }
    words.skip_if_exists();
    let Some(table) = words.table() else {
        return schema(SchemaKind::Alter, Touched::Everything);
    };
    let mut tables = vec![table.clone()];
    let mut renames = Vec::new();
    while !words.is_end() {
        let renamed = words.take("RENAME");
        if renamed && !["COLUMN", "INDEX", "KEY"].iter().any(|kind| words.peek_is(kind)) {
            words.skip_modifiers(&["TO", "AS"]);
            let name = words.table();
            renames = name.iter().map(|name| (table.clone(), name.clone())).collect();
            tables.extend(name);
        } else if words.take("EXCHANGE") {
            while !words.is_end() && !words.take("TABLE") {
                words.next();
            }
            tables.extend(words.table());
        } else if !renamed {
            words.next();
        }
    }
    Statement::Schema {
        kind: SchemaKind::Alter,
        touches: Touched::Tables(tables),
        renames,
    }
}

fn drop_object(mut words: Words<'_>) -> Statement {
    if words.take("TEMPORARY") {
        return Statement::Other;
    }
    if words.take("TABLE") || words.take("TABLES") {
        words.skip_if_exists();
        return of_tables(SchemaKind::Drop, words.list());
    }
    if words.take("DATABASE") || words.take("SCHEMA") {
        words.skip_if_exists();
        return database(words);
    }
    index(words)
}

fn rename(mut words: Words<'_>) -> Statement {
    if !words.take("TABLE") && !words.take("TABLES") {
        return Statement::Other;
    }
    words.skip_if_exists();
    let (mut tables, mut renames) = (Vec::new(), Vec::new());
    loop {
        let from = words.table();
        words.skip_wait();
        let to = words.take("TO").then(|| words.table()).flatten();
        let (Some(from), Some(to)) = (from, to) else {
            return schema(SchemaKind::Alter, Touched::Everything);
        };
        tables.extend([from.clone(), to.clone()]);
        renames.push((from, to));
        if !words.take_sign(',') {
            return Statement::Schema {
                kind: SchemaKind::Alter,
                touches: Touched::Tables(tables),
                renames,
            };
        }
    }
}

#[cfg(test)]
mod tests;
