//! What tables are where a source begins, as the statements that would make them: Debezium's snapshots begin with these (`include.schema.changes`).
//!
//! Owns: which statements there are, and their order. Does not own: that what the server says is of the place where the source begins; who asks
//! looks through the log for changes behind it ([`start`](super::start)).
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::describe::Known;
use super::error::SourceError;
use crate::mysql::client::{Client, Row, quoted};
use crate::mysql::config::{SnapshotMode, SourceConfig};
use crate::mysql::record::{SchemaChange, TableChange};
use crate::mysql::schema::{Table, TableId, describe};

/// So many tables are named in a line of the log.
const NAMED: usize = 20;

/// Whether a server that answers so cannot open a table: damaged, without its files or its engine, or a part of it is elsewhere.
fn is_broken(code: u16) -> bool {
    matches!(
        code,
        1016 | 1017 | 1033 | 1168 | 1194 | 1195 | 1286 | 1296 | 1429..=1431 | 1812 | 1813 | 1932 | 145
    )
}

/// Of each table the statement that would make it. The server gives it once nobody alters the table: what it says of the table behind that has
/// all that was in the log before.
pub(super) async fn statements(
    config: &SourceConfig,
    ids: &[TableId],
) -> Result<HashMap<TableId, String>, SourceError> {
    let mut client = Client::connect(&config.connection).await?;
    let mut statements = HashMap::new();
    for id in ids {
        match describe::show_create(&mut client, id).await {
            Ok(Some(statement)) => drop(statements.insert(id.clone(), statement)),
            Ok(None) => {}
            Err(error) if error.code().is_some_and(is_broken) => tracing::warn!(
                table = %id,
                %error,
                "the server cannot open a captured table, whose CREATE TABLE is not known; repair the table, or leave it out (table.exclude.list)"
            ),
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    Ok(statements)
}

/// A server, its databases and their tables, as far as they are captured.
#[derive(Debug, Default)]
pub(in crate::mysql) struct Announcement {
    /// Of the server: the names of a character set and a collation.
    pub(in crate::mysql) defaults: (String, String),
    /// Each database with captured tables, and its defaults.
    pub(in crate::mysql) databases: Vec<(String, (String, String))>,
    /// Each table in the order of their names, with the statement that makes it.
    pub(in crate::mysql) tables: Vec<(Arc<Table>, String)>,
}

/// One of its statements: a database or a table by its place.
#[derive(Debug, Clone, Copy)]
enum Statement {
    Defaults,
    DropTable(usize),
    DropDatabase(usize),
    CreateDatabase(usize),
    Use(usize),
    CreateTable(usize),
}

/// An announcement that is being told.
#[derive(Debug)]
pub(in crate::mysql) struct Announcing {
    announcement: Announcement,
    statements: std::vec::IntoIter<Statement>,
}

impl Announcement {
    /// Whether a source that begins anew tells it. Who reads no table, and takes the server's word or the first log, begins with nothing.
    pub(super) fn is_wanted(config: &SourceConfig) -> bool {
        let silent = matches!(config.snapshot.mode, SnapshotMode::Never | SnapshotMode::Recovery);
        config.records.schema_changes && !silent
    }

    /// What the server says now of itself and its databases.
    pub(super) async fn read(config: &SourceConfig, ids: &[TableId]) -> Result<Self, SourceError> {
        let mut client = Client::connect(&config.connection).await?;
        let text = |row: &Row, place| row.text(place).unwrap_or_default();
        let mut announcement = Self::default();
        let defaults = client
            .query("SELECT @@character_set_server, @@collation_server")
            .await?;
        if let Some(row) = defaults.first() {
            announcement.defaults = (text(row, 0), text(row, 1));
        }
        let captured: HashSet<&str> = ids.iter().map(|id| &*id.database).collect();
        let databases = client
            .query("SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA")
            .await?;
        for row in &databases {
            let name = text(row, 0);
            if captured.contains(name.as_str()) {
                announcement.databases.push((name, (text(row, 1), text(row, 2))));
            }
        }
        announcement.databases.sort();
        client.close().await;
        Ok(announcement)
    }

    /// Takes what the tables are. Those that are not known, or gone, are not told.
    pub(super) fn learn(&mut self, tables: &[(TableId, Known)], mut statements: HashMap<TableId, String>) {
        let untold = tables.iter().filter_map(|(id, known)| match known {
            Known::Changed | Known::Unknown(_) => Some(id.to_string()),
            Known::Table(_) | Known::Gone => None,
        });
        let untold: Vec<String> = untold.collect();
        if !untold.is_empty() {
            tracing::warn!(
                count = untold.len(),
                tables = untold[..untold.len().min(NAMED)].join(", "),
                "captured tables whose CREATE TABLE is not told: they changed while the server said what they are, or have types that are not known. \
                 Their changes are told from now on"
            );
        }
        let known = tables.iter().filter_map(|(id, known)| match known {
            Known::Table(table) => Some((Arc::clone(table), statements.remove(id)?)),
            Known::Gone | Known::Changed | Known::Unknown(_) => None,
        });
        self.tables = known.collect();
        self.tables.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    }

    /// Begins to tell it.
    pub(in crate::mysql) fn tell(self) -> Announcing {
        let mut statements = vec![Statement::Defaults];
        statements.extend((0..self.tables.len()).map(Statement::DropTable));
        for (place, (name, _)) in self.databases.iter().enumerate() {
            statements.extend([
                Statement::DropDatabase(place),
                Statement::CreateDatabase(place),
                Statement::Use(place),
            ]);
            let tables = self.tables.iter().enumerate();
            let within = tables.filter(|(_, (table, _))| *table.id.database == **name);
            statements.extend(within.map(|(place, _)| Statement::CreateTable(place)));
        }
        Announcing {
            announcement: self,
            statements: statements.into_iter(),
        }
    }
}

impl Announcing {
    /// The next statement as a change, if there is one left.
    pub(in crate::mysql) fn tell_next<T>(&mut self, tell: impl FnOnce(&SchemaChange<'_>) -> T) -> Option<T> {
        let Announcement {
            defaults,
            databases,
            tables,
        } = &self.announcement;
        let statement = self.statements.next()?;
        let (database, ddl, change) = match statement {
            Statement::Defaults => {
                let (charset, collation) = defaults;
                let ddl = format!("SET character_set_server={charset}, collation_server={collation}");
                ("", ddl, None)
            }
            Statement::DropTable(place) => {
                let id = &tables[place].0.id;
                let ddl = format!(
                    "DROP TABLE IF EXISTS {}.{}",
                    quoted(&id.database),
                    quoted(&id.table)
                );
                (&*id.database, ddl, Some(TableChange::Drop(id)))
            }
            Statement::CreateTable(place) => {
                let (table, ddl) = &tables[place];
                let created = TableChange::Create(table);
                (&*table.id.database, ddl.clone(), Some(created))
            }
            Statement::DropDatabase(place) => {
                let name = &databases[place].0;
                let ddl = format!("DROP DATABASE IF EXISTS {}", quoted(name));
                (name.as_str(), ddl, None)
            }
            Statement::CreateDatabase(place) => {
                let (name, (charset, collation)) = &databases[place];
                let name_quoted = quoted(name);
                let ddl = format!("CREATE DATABASE {name_quoted} CHARSET {charset} COLLATE {collation}");
                (name.as_str(), ddl, None)
            }
            Statement::Use(place) => {
                let name = &databases[place].0;
                (name.as_str(), format!("USE {}", quoted(name)), None)
            }
        };
        Some(tell(&SchemaChange {
            database,
            ddl: Some(&ddl),
            tables: change.as_slice(),
        }))
    }
}
