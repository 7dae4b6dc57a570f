//! What the sink is told. Keys are those of Debezium's JDBC sink, and of Confluent's where they mean the same.
mod definition;
mod parse;
mod url;

#[cfg(test)]
mod tests;

pub(super) use definition::definition;
pub(super) use url::shown_url;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::naming::{FieldFilter, TableFormat};
use super::value::Literals;
use crate::mysql::config::{ConnectionConfig, DecimalMode, TimeMode};

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct SinkConfig {
    /// The connector's name, under which offsets are kept.
    pub name: String,
    pub connection: ConnectionConfig,
    /// Where tables are unless their names say otherwise, and the table of offsets.
    pub database: String,
    pub offsets_table: String,
    pub tables: TableFormat,
    pub insert_mode: InsertMode,
    pub key: KeyMode,
    pub deletes: bool,
    pub truncates: bool,
    pub evolution: Evolution,
    pub fields: FieldFilter,
    /// The most rows of a statement.
    pub batch_rows: usize,
    pub literals: Literals,
    pub schemaless: Schemaless,
    /// What stands for a value that the source does not know.
    pub placeholder: Placeholder,
    /// How often a batch is tried again.
    pub retries: u32,
    /// Whether tables without transactions are written to.
    pub non_transactional: bool,
    /// What is there and has no effect.
    pub warnings: Vec<String>,
}

/// `unavailable.value.placeholder`, as it is and as bytes are written in text.
#[derive(Debug, Clone)]
pub(super) struct Placeholder {
    pub plain: Arc<str>,
    /// In base64, in base64 for URLs, and in hexadecimal digits.
    pub encoded: Arc<[String]>,
}

impl Placeholder {
    pub fn new(plain: &str) -> Self {
        let hex = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
        Self {
            plain: Arc::from(plain),
            encoded: Arc::new([STANDARD.encode(plain), URL_SAFE.encode(plain), hex]),
        }
    }
}

/// `insert.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InsertMode {
    Insert,
    Upsert,
    Update,
}

/// `primary.key.mode`, with `primary.key.fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyMode {
    None,
    /// Topic, partition and offset are columns of these names.
    Kafka([String; 3]),
    /// Fields of the key, all without names; or the key itself under the one name.
    RecordKey(Vec<String>),
    /// Fields of the value, all without names.
    RecordValue(Vec<String>),
    /// Headers, all without names.
    RecordHeader(Vec<String>),
}

/// What is done about tables and columns that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evolution {
    /// Tables are created.
    pub create: bool,
    /// Columns are added.
    pub alter: bool,
}

/// How a source wrote what comes without a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schemaless {
    pub decimals: DecimalMode,
    pub times: TimeMode,
}
