//! What tables are at the place of the stream, and what is compiled for them.
//!
//! A log with `binlog_row_metadata=FULL` says it itself; what the server says adds to it. Of other logs, the server's descriptions are all there is,
//! and what statements made of them ([`computed`](super::computed)): each holds from where it was found to hold until a statement touches its table, and is
//! stored with the offset, so that a source that is started again knows what tables were where it goes on.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use millstream_connect::plugin::{SourceOffset, SourcePartition};

use super::describe::{Described, Known};
use super::error::SourceError;
use crate::mysql::binlog::{Place, TableMap};
use crate::mysql::offset::table_partition;
use crate::mysql::record::{Records, TableRecords};
use crate::mysql::schema::{Table, TableId};
use crate::mysql::stream::ddl::Touched;

/// What is compiled for so many tables is remembered.
const COMPILED_MAX: usize = 4096;

/// A table of the log, and what makes records of its rows.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Keeps its address from being used again.
    _map: Arc<TableMap>,
    pub(super) table: Arc<Table>,
    pub(super) records: Arc<TableRecords>,
}

/// All tables of a source.
#[derive(Debug)]
pub(super) struct Tables {
    records: Arc<Records>,
    prefix: Arc<str>,
    keeps: bool,
    /// By the address of the log's description.
    by_map: HashMap<usize, Arc<Compiled>>,
    /// By the address of the server's description, which they keep.
    by_table: HashMap<usize, (Arc<Table>, Arc<TableRecords>)>,
    known: HashMap<TableId, Known>,
    /// Tables whose stored descriptions are no longer right.
    unstored: BTreeSet<TableId>,
    /// Tables whose descriptions are stored.
    stored: BTreeSet<TableId>,
}

impl Tables {
    /// With `keeps`, descriptions are stored: the log has no other.
    pub(super) fn new(records: &Arc<Records>, prefix: &Arc<str>, keeps: bool) -> Self {
        Self {
            keeps,
            records: Arc::clone(records),
            prefix: Arc::clone(prefix),
            by_map: HashMap::new(),
            by_table: HashMap::new(),
            known: HashMap::new(),
            unstored: BTreeSet::new(),
            stored: BTreeSet::new(),
        }
    }

    /// Takes a stored description. One that cannot be read is asked for again.
    pub(super) fn load(&mut self, partition: &SourcePartition, stored: &SourceOffset) {
        let described = stored.0.get("description").and_then(|fields| fields.as_object());
        // Descriptions of an older topic.prefix are of another place of the log.
        if partition.text("table").is_none() || partition.text("server") != Some(&*self.prefix) {
            return;
        }
        if let Some(Ok(table)) = described.map(Table::from_fields) {
            self.stored.insert(table.id.clone());
            self.known.insert(table.id.clone(), Known::Table(Arc::new(table)));
        }
    }

    /// Descriptions that are to be stored with what is handed over.
    pub(super) fn unstored(&mut self) -> Vec<(SourcePartition, SourceOffset)> {
        let changed = std::mem::take(&mut self.unstored);
        let entries = changed.into_iter().filter_map(|id| {
            let described = match self.known.get(&id) {
                Some(Known::Table(table)) => Some(table.to_fields()),
                _ => None,
            };
            let was_stored = match &described {
                Some(_) => !self.stored.insert(id.clone()),
                None => self.stored.remove(&id),
            };
            (described.is_some() || was_stored).then(|| {
                let fields = described.map_or(serde_json::Value::Null, Into::into);
                let entry = SourceOffset::new().with("description", fields);
                (table_partition(&self.prefix, &id.to_string()), entry)
            })
        });
        entries.collect()
    }

    /// A table of the log; nothing if the server has to be asked first.
    pub(super) fn of_map(
        &mut self,
        map: &Arc<TableMap>,
        place: impl FnOnce() -> Place,
    ) -> Result<Option<Arc<Compiled>>, SourceError> {
        let address = Arc::as_ptr(map) as usize;
        if let Some(compiled) = self.by_map.get(&address) {
            return Ok(Some(Arc::clone(compiled)));
        }
        let id = TableId::new(&map.database, &map.table);
        let Some(known) = self.known.get(&id) else {
            return Ok(None);
        };
        let table = match (known, map.has_names) {
            (Known::Table(described), true) => Arc::new(Table::from_log(map)?.merged(described)),
            (_, true) => Arc::new(Table::from_log(map)?),
            (Known::Table(described), false) => {
                described
                    .agrees_with(map)
                    .map_err(|error| SourceError::UnknownTable {
                        table: id.clone(),
                        place: place(),
                        reason: error.to_string(),
                    })?;
                self.unstored
                    .extend((!self.stored.contains(&id)).then(|| id.clone()));
                Arc::clone(described)
            }
            (Known::Gone, false) => return Err(unknown(id, place(), "there is no such table now")),
            (Known::Changed, false) => return Err(unknown(id, place(), "it was changed since")),
            (Known::Unknown(reason), false) => {
                let reason = reason.clone();
                return Err(unknown(id, place(), &reason));
            }
        };
        let records = Arc::new(TableRecords::new(&table, &self.records)?);
        if self.by_map.len() >= COMPILED_MAX {
            self.by_map.clear();
        }
        let compiled = Arc::new(Compiled {
            _map: Arc::clone(map),
            table,
            records,
        });
        self.by_map.insert(address, Arc::clone(&compiled));
        Ok(Some(compiled))
    }

    /// What makes records of a table that the server described.
    pub(super) fn of_table(&mut self, table: &Arc<Table>) -> Result<Arc<TableRecords>, SourceError> {
        let address = Arc::as_ptr(table) as usize;
        if let Some((_, records)) = self.by_table.get(&address) {
            return Ok(Arc::clone(records));
        }
        let records = Arc::new(TableRecords::new(table, &self.records)?);
        if self.by_table.len() >= COMPILED_MAX {
            self.by_table.clear();
        }
        self.by_table
            .insert(address, (Arc::clone(table), Arc::clone(&records)));
        Ok(records)
    }

    /// What is known of a table; nothing if the server was not asked since something touched it.
    pub(super) fn known(&self, id: &TableId) -> Option<&Known> {
        self.known.get(id)
    }

    /// The server answered.
    pub(super) fn learn(&mut self, described: Described) {
        for (id, known) in described.tables {
            if self.keeps || self.stored.contains(&id) {
                self.unstored.insert(id.clone());
            }
            self.known.insert(id, known);
        }
    }

    /// A statement touched tables, and is told with this: what was known of them no longer holds.
    pub(super) fn touched(&mut self, touched: &Touched) {
        self.known.retain(|id, _| !touched.has(id));
        self.by_map.retain(|_, compiled| !touched.has(&compiled.table.id));
        self.by_table.retain(|_, (table, _)| !touched.has(&table.id));
        let stored = self.stored.iter().filter(|id| touched.has(id));
        self.unstored.extend(stored.cloned());
    }

    /// Tables that something is known of and that may be touched.
    pub(super) fn among(&self, touched: &Touched) -> Vec<TableId> {
        let mut tables: Vec<_> = self.known.keys().filter(|id| touched.has(id)).cloned().collect();
        tables.sort();
        tables
    }
}

fn unknown(table: TableId, place: Place, reason: &str) -> SourceError {
    SourceError::UnknownTable {
        table,
        place,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::config::Filters;
    use crate::mysql::record::{Connector, fixtures};

    #[test]
    fn descriptions_of_another_prefix_are_not_taken() {
        let records = Records::new(fixtures::config(), Filters::default(), Connector::MySql);
        let mut tables = Tables::new(&records, &Arc::from("p"), true);
        let stored = |comment: &str| {
            let table = Table {
                id: TableId::new("d", "t"),
                columns: Vec::new(),
                key: Vec::new(),
                comment: Some(comment.to_owned()),
                charset: None,
                structure: None,
            };
            SourceOffset::new().with("description", serde_json::Value::from(table.to_fields()))
        };
        tables.load(&table_partition("p", "d.t"), &stored("ours"));
        tables.load(&table_partition("before", "d.t"), &stored("another's"));
        let known = tables.known(&TableId::new("d", "t"));
        assert!(matches!(known, Some(Known::Table(table)) if table.comment.as_deref() == Some("ours")));
    }
}
