//! Statements in the log: what they are, and which tables they may touch. This is no parser: what it cannot read touches everything
//! that it might, and stops nothing.
use crate::mysql::schema::TableId;

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Tables or databases may be others behind it.
    Schema {
        /// What it does.
        kind: SchemaKind,
        /// Which descriptions of tables no longer hold.
        touches: Touched,
    },
}

/// What a statement does to tables, as Debezium's schema changes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// CREATE TABLE, CREATE VIEW and their kin.
    Create,
    /// ALTER TABLE, RENAME TABLE, CREATE INDEX, DROP INDEX.
    Alter,
    /// DROP TABLE.
    Drop,
    /// Of a database: CREATE, ALTER, DROP.
    Database,
    /// Anything else, or not understood.
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
