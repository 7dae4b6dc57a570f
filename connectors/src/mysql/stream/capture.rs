//! What is captured: decided once for each description of a table, before any of its rows is looked at.
use std::collections::HashMap;
use std::sync::Arc;

use super::ddl::Touched;
use crate::mysql::binlog::{Change, TableMap};
use crate::mysql::config::Filters;
use crate::mysql::schema::TableId;

/// Databases of the servers' own, which are never captured.
const BUILT_IN: [&str; 4] = ["mysql", "sys", "performance_schema", "information_schema"];

/// Decisions that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// What is done with a table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The table is captured.
    pub table: bool,
    /// They become records: the table is captured, and such changes are not left out (`skipped.operations`).
    pub records: bool,
    /// They are signals (`signal.data.collection`).
    pub signals: bool,
}

impl Captured {
    /// Whether they are of use at all.
    #[must_use]
    pub fn any(self) -> bool {
        self.table || self.signals
    }
}

/// Decides by the names of databases and tables.
#[derive(Debug)]
pub struct Capture {
    filters: Filters,
    /// By the description's address, which it keeps from being used again.
    known: HashMap<usize, (Arc<TableMap>, Captured)>,
}

impl Capture {
    /// Of a source that is told this.
    #[must_use]
    pub fn new(filters: Filters) -> Self {
        Self {
            filters,
            known: HashMap::new(),
        }
    }

    /// What is done with the rows of a table.
    ///
    /// ```
    /// use millstream_connectors::mysql::config::Filters;
    /// use millstream_connectors::mysql::stream::Capture;
    ///
    /// let capture = Capture::new(Filters::default());
    /// assert!(capture.table("shop", "orders").records);
    /// assert!(!capture.table("mysql", "user").any());
    /// ```
    #[must_use]
    pub fn table(&self, database: &str, table: &str) -> Captured {
        let name = format!("{database}.{table}");
        let filters = &self.filters;
        let built_in = BUILT_IN.iter().any(|own| own.eq_ignore_ascii_case(database));
        let signals = filters
            .signal_table
            .as_ref()
            .is_some_and(|signals| signals.eq_ignore_ascii_case(&name));
        let table = !built_in && filters.databases.has(database) && filters.tables.has(&name);
        Captured {
            table,
            records: table,
            signals,
        }
    }

    /// Whether anything of a database may be captured.
    #[must_use]
    pub fn database(&self, database: &str) -> bool {
        let built_in = BUILT_IN.iter().any(|own| own.eq_ignore_ascii_case(database));
        !built_in && self.filters.databases.has(database)
    }

    /// What is done with these changes of the rows of a described table.
    pub(super) fn rows(&mut self, table: &Arc<TableMap>, change: Change) -> Captured {
        let address = Arc::as_ptr(table) as usize;
        let mut captured = match self.known.get(&address) {
            Some((_, captured)) => *captured,
            None => self.decide(address, table),
        };
        let skipped = &self.filters.skipped;
        captured.records &= !match change {
            Change::Insert => skipped.creates,
            Change::Update => skipped.updates,
            Change::Delete => skipped.deletes,
        };
        // Signals are rows that are inserted.
        captured.signals &= change == Change::Insert;
        captured
    }

    fn decide(&mut self, address: usize, table: &Arc<TableMap>) -> Captured {
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let captured = self.table(&table.database, &table.table);
        self.known.insert(address, (Arc::clone(table), captured));
        captured
    }

    /// Whether a table is captured among those that a statement may touch.
    #[must_use]
    pub fn touched(&self, touched: &Touched) -> bool {
        match touched {
            Touched::Tables(tables) => tables.iter().any(|table| self.id(table).any()),
            Touched::Database(database) => self.database(database),
            Touched::Everything => true,
        }
    }

    fn id(&self, table: &TableId) -> Captured {
        self.table(&table.database, &table.table)
    }

    /// Whether truncations make records.
    pub(super) fn truncates(&self, table: &TableId) -> bool {
        !self.filters.skipped.truncates && self.id(table).records
    }
}
