//! Changes of tables.
use std::sync::Arc;

use millstream_connect::record::Record;

use super::{Moment, Origin, Records};
use crate::mysql::schema::{Table, TableId};

/// Makes the records of changes of tables (`include.schema.changes`), which go to the topic `topic.prefix`.
#[derive(Debug)]
pub struct SchemaChanges {
    records: Arc<Records>,
}

/// A statement that changed tables, or the database.
#[derive(Debug, Clone, Copy)]
pub struct SchemaChange<'a> {
    /// The database that it changed.
    pub database: &'a str,
    /// Its text.
    pub ddl: Option<&'a str>,
    /// What it did to tables.
    pub tables: &'a [TableChange<'a>],
}

/// What a statement did to a table.
#[derive(Debug, Clone, Copy)]
pub enum TableChange<'a> {
    /// It is new, and so it is.
    Create(&'a Table),
    /// It is another now.
    Alter(&'a Table),
    /// It is gone.
    Drop(&'a TableId),
}

impl SchemaChanges {
    /// Of a source.
    #[must_use]
    pub fn new(records: &Arc<Records>) -> Self {
        Self {
            records: Arc::clone(records),
        }
    }

    /// The record of a change.
    #[must_use]
    pub fn record(&self, change: &SchemaChange<'_>, origin: &Origin, now: Moment) -> Record {
        let _ = (&self.records, change, origin, now);
        todo!()
    }
}
