//! Tables as a server describes them, in `information_schema` and in `SHOW CREATE TABLE`.
//!
//! What it says holds for the moment in which it is asked. Whether rows of a log are rows of these tables is for others to find out.
pub(super) mod declared;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ddl::Collations;
use super::{Column, Index, Structure, Table, TableId};
use crate::mysql::binlog::Collation;
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::client::{Client, ClientError, Row, quoted, quoted_text};
use declared::Declared;

/// Databases of the servers themselves.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Up to so many tables of a database are asked for one by one, which old servers answer without opening all the others.
const SINGLE_MAX: usize = 16;

/// A table, and what else a server says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The table.
    pub table: Table,
    /// Its storage engine, such as `InnoDB`.
    pub engine: Option<String>,
    /// About how many rows it has, by the server's estimate.
    pub rows: Option<u64>,
    /// Whether its key is a primary one, and not a unique one that stands for it.
    pub has_primary_key: bool,
}

/// Tables, and columns whose types are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptions {
    /// By database and name.
    pub tables: Vec<Described>,
    /// Tables that are left out, since nothing is known of one of their types.
    pub unknown: Vec<UnknownType>,
}

/// A column whose values nobody here can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the column {column} of {table} has the type {declared}, which is not known; exclude the table (table.exclude.list)"
)]
pub struct UnknownType {
    /// The table.
    pub table: TableId,
    /// The column.
    pub column: String,
    /// Its type as the server writes it.
    pub declared: String,
}

/// The names of all tables that the account sees, but views and those of the server itself.
///
/// # Errors
/// When the connection breaks.
pub async fn table_ids(client: &mut Client) -> Result<Vec<TableId>, ClientError> {
    let system = SYSTEM.map(quoted_text).join(",");
    let rows = client
        .query(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ({system})"
        ))
        .await?;
    let mut ids: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(TableId::new(&row.text(0)?, &row.text(1)?)))
        .collect();
    ids.sort();
    Ok(ids)
}

/// What these tables are; those that are not there are left out.
///
/// # Errors
/// When the connection breaks.
pub async fn tables(client: &mut Client, ids: &[TableId]) -> Result<Descriptions, ClientError> {
    described(client, ids, false).await
}

/// What these tables are, with their [`Structure`]: a statement more for each of them.
///
/// # Errors
/// When the connection breaks.
pub async fn alterable(client: &mut Client, ids: &[TableId]) -> Result<Descriptions, ClientError> {
    described(client, ids, true).await
}

async fn described(
    client: &mut Client,
    ids: &[TableId],
    with_structure: bool,
) -> Result<Descriptions, ClientError> {
    let is_old = client.flavour() == Flavour::MySql && client.version() < Version::new(8, 0, 0);
    if is_old && client.version() >= Version::new(5, 6, 24) {
        // Types then tell whether times are as they were before MySQL 5.6.4.
        client.execute("SET SESSION show_old_temporals=ON").await?;
    }
    let collations = collations(client).await?;
    let mut by_database: BTreeMap<&str, Vec<&TableId>> = BTreeMap::new();
    for id in ids {
        by_database.entry(&id.database).or_default().push(id);
    }
    let mut all = Descriptions::default();
    for (database, mut ids) in by_database {
        ids.sort();
        ids.dedup();
        let within = |filter: Option<&TableId>| {
            let table = filter.map(|id| format!(" AND TABLE_NAME = {}", quoted_text(&id.table)));
            format!(
                "TABLE_SCHEMA = {}{}",
                quoted_text(database),
                table.unwrap_or_default()
            )
        };
        let mut found = Found {
            with_structure,
            ..Found::default()
        };
        if ids.len() <= SINGLE_MAX {
            for id in &ids {
                found.read(client, &within(Some(id))).await?;
            }
        } else {
            found.read(client, &within(None)).await?;
        }
        for id in ids {
            found.describe(client, id, &collations, &mut all).await?;
        }
    }
    Ok(all)
}

/// The statement that would make a table; nothing if there is none of this name.
///
/// # Errors
/// When the connection breaks, or the account may not see it.
pub async fn show_create(client: &mut Client, id: &TableId) -> Result<Option<String>, ClientError> {
    let statement = format!("SHOW CREATE TABLE {}.{}", quoted(&id.database), quoted(&id.table));
    match client.query(&statement).await {
        Ok(rows) => Ok(rows.first().and_then(|row| row.text(1))),
        Err(error) if matches!(error.code(), Some(1146 | 1049)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The numbers of collations. MariaDB has some that every character set has under its own number.
async fn collations(client: &mut Client) -> Result<HashMap<String, Collation>, ClientError> {
    let by_charset = client.flavour() == Flavour::MariaDb && client.version() >= Version::new(10, 10, 1);
    let statement = match by_charset {
        true => {
            "SELECT FULL_COLLATION_NAME, ID FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        }
        false => "SELECT COLLATION_NAME, ID FROM information_schema.COLLATIONS",
    };
    let rows = client.query(statement).await?;
    Ok(rows
        .iter()
        .filter_map(|row| Some((row.text(0)?, row.text(1)?.parse().ok()?)))
        .collect())
}

/// What `information_schema` says of tables of one database.
#[derive(Default)]
struct Found {
    tables: HashMap<String, Row>,
    columns: HashMap<String, Vec<Row>>,
    keys: HashMap<String, Vec<Row>>,
    with_structure: bool,
}

impl Found {
    async fn read(&mut self, client: &mut Client, filter: &str) -> Result<(), ClientError> {
        let tables = "SELECT TABLE_NAME, ENGINE, TABLE_ROWS, TABLE_COMMENT, TABLE_COLLATION FROM information_schema.TABLES WHERE";
        for row in client.query(&format!("{tables} {filter}")).await? {
            self.tables.insert(row.text(0).unwrap_or_default(), row);
        }
        let columns = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, CHARACTER_OCTET_LENGTH, \
                       CHARACTER_SET_NAME, COLLATION_NAME, EXTRA, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE";
        let statement = format!("{columns} {filter} ORDER BY TABLE_NAME, ORDINAL_POSITION");
        for row in client.query(&statement).await? {
            let table = row.text(0).unwrap_or_default();
            self.columns.entry(table).or_default().push(row);
        }
        let keys = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE INDEX_NAME = 'PRIMARY' AND";
        let statement = format!("{keys} {filter} ORDER BY TABLE_NAME, SEQ_IN_INDEX");
        for row in client.query(&statement).await? {
            let table = row.text(0).unwrap_or_default();
            self.keys.entry(table).or_default().push(row);
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        client: &mut Client,
        id: &TableId,
        collations: &HashMap<String, Collation>,
        all: &mut Descriptions,
    ) -> Result<(), ClientError> {
        let name: &str = &id.table;
        let (Some(row), Some(column_rows)) = (self.tables.get(name), self.columns.get(name)) else {
            return Ok(());
        };
        let mut columns = Vec::with_capacity(column_rows.len());
        for row in column_rows {
            match column(row, client.flavour(), client.version(), collations) {
                Some(column) => columns.push(column),
                None => {
                    all.unknown.push(UnknownType {
                        table: id.clone(),
                        column: row.text(1).unwrap_or_default(),
                        declared: row.text(5).unwrap_or_default(),
                    });
                    return Ok(());
                }
            }
        }
        let primary: Vec<String> = self
            .keys
            .get(name)
            .map(|rows| rows.iter().filter_map(|row| row.text(1)).collect())
            .unwrap_or_default();
        let has_primary_key = !primary.is_empty();
        let indexes = match has_primary_key && !self.with_structure {
            true => Vec::new(),
            false => indexes(client, id).await?,
        };
        // A collation without a number is none that could be read.
        let collation = row.text(4).and_then(|name| collations.get(&name).copied());
        let mut structure = Structure {
            collation: collation.unwrap_or(0),
            indexes,
        };
        structure.sort(&columns);
        let key = match has_primary_key {
            true => places(&columns, &primary),
            false => structure.key(&columns),
        };
        all.tables.push(Described {
            table: Table {
                id: id.clone(),
                columns,
                key,
                comment: row.text(3).filter(|comment| !comment.is_empty()),
                // Names of collations begin with that of their character set.
                charset: row
                    .text(4)
                    .and_then(|collation| collation.split('_').next().map(str::to_owned)),
                structure: (self.with_structure && collation.is_some()).then_some(structure),
            },
            engine: row.text(1),
            rows: row.text(2).and_then(|rows| rows.parse().ok()),
            has_primary_key,
        });
        Ok(())
    }
}

fn places(columns: &[Column], names: &[String]) -> Vec<usize> {
    let place = |name: &String| columns.iter().position(|column| *column.name == **name);
    names.iter().filter_map(place).collect()
}

/// All indexes, in the table's order.
async fn indexes(client: &mut Client, id: &TableId) -> Result<Vec<Index>, ClientError> {
    let statement = format!("SHOW INDEX FROM {}.{}", quoted(&id.database), quoted(&id.table));
    let rows = match client.query(&statement).await {
        Ok(rows) => rows,
        // It was dropped meanwhile.
        Err(error) if error.code() == Some(1146) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut indexes: Vec<Index> = Vec::new();
    for row in &rows {
        let name = row.text(2).unwrap_or_default();
        let column = row.text(4).map(Arc::from);
        let unique = row.get(1) == Some(b"0");
        let prefix = unique && row.get(7).is_some();
        match indexes.last_mut().filter(|last| last.name == name) {
            Some(last) => {
                last.columns.push(column);
                last.prefix |= prefix;
            }
            None => indexes.push(Index {
                name,
                unique,
                prefix,
                columns: vec![column],
            }),
        }
    }
    Ok(indexes)
}

/// All collations of a server.
///
/// # Errors
/// When the connection breaks.
pub async fn all_collations(client: &mut Client) -> Result<Collations, ClientError> {
    let numbers = collations(client).await?;
    let rows = client
        .query("SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE IS_DEFAULT = 'Yes'")
        .await?;
    let defaults: Vec<String> = rows.iter().filter_map(|row| row.text(0)).collect();
    Ok(Collations::new(numbers.into_iter().map(|(name, number)| {
        let is_default = defaults.contains(&name);
        (name, number, is_default)
    })))
}

/// The name of a database's default collation; nothing if there is no such database.
///
/// # Errors
/// When the connection breaks.
pub async fn database_collation(client: &mut Client, database: &str) -> Result<Option<String>, ClientError> {
    let statement = format!(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        quoted_text(database)
    );
    let rows = client.query(&statement).await?;
    Ok(rows.first().and_then(|row| row.text(0)))
}

/// A row of `information_schema.columns`; nothing for a type that is not known.
fn column(
    row: &Row,
    flavour: Flavour,
    version: Version,
    collations: &HashMap<String, Collation>,
) -> Option<Column> {
    let texts: Vec<Option<String>> = row
        .cells()
        .map(|cell| cell.map(|cell| String::from_utf8_lossy(cell).into_owned()))
        .collect();
    let text = |index: usize| texts.get(index).and_then(Option::as_deref);
    let extra = text(9).unwrap_or_default().to_ascii_uppercase();
    let (data_type, column_type) = (text(4)?.to_ascii_lowercase(), text(5)?);
    let declared = Declared {
        data_type: &data_type,
        column_type,
        octets: text(6).and_then(|octets| octets.parse().ok()),
        charset: text(7),
        collation: text(8).and_then(|name| collations.get(name).copied()),
        nullable: text(3) == Some("YES"),
        visible: !extra.contains("INVISIBLE"),
        flavour,
    };
    let name = text(1)?;
    let is_time = matches!(&*data_type, "timestamp" | "datetime");
    let is_expression = extra.contains("DEFAULT_GENERATED");
    let default = match flavour {
        Flavour::MySql => {
            let now = |default: &&str| is_time && default.starts_with("CURRENT_TIMESTAMP");
            text(2)
                .filter(|default| !is_expression || now(default))
                .map(str::to_owned)
        }
        Flavour::MariaDb if version < Version::new(10, 2, 7) => text(2).map(str::to_owned),
        Flavour::MariaDb => text(2).and_then(|default| literal(default, is_time)),
    };
    let generated = ["VIRTUAL", "STORED GENERATED", "PERSISTENT"];
    Some(Column {
        name: Arc::from(name),
        log: declared.column(name)?,
        declared: Some(without_comment(column_type)),
        default,
        auto_increment: extra.contains("AUTO_INCREMENT"),
        generated: generated.iter().any(|word| extra.contains(word)),
        comment: text(10).filter(|comment| !comment.is_empty()).map(str::to_owned),
    })
}

/// A default as MariaDB writes it, which is an expression; nothing for those that are no literal.
fn literal(text: &str, is_time: bool) -> Option<String> {
    if text.starts_with('\'') {
        let mut chars = text.chars().peekable();
        return declared::quoted(&mut chars).filter(|_| chars.next().is_none());
    }
    let number = text.starts_with(|char: char| char.is_ascii_digit() || char == '-' || char == '.')
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '+'));
    let is_bits = text.starts_with("b'");
    let is_now = is_time && text.to_ascii_lowercase().starts_with("current_timestamp");
    match text {
        "NULL" => None,
        _ if is_now => Some(text.to_ascii_uppercase().replace("()", "")),
        _ if number || is_bits => Some(text.to_owned()),
        _ => None,
    }
}

/// A type without what servers say of its storage.
fn without_comment(column_type: &str) -> String {
    let comment = column_type
        .find(" /*")
        .filter(|at| !column_type[*at..].contains('\''));
    column_type[..comment.unwrap_or(column_type.len())].to_owned()
}
