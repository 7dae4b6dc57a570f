//! What the golden files hold.
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value as Json;

use crate::mysql::record::Connector;
use crate::mysql::record::declared::Declared;
use crate::mysql::schema::{Column, Table};

/// A case.
pub(super) struct Golden {
    folder: PathBuf,
    pub(super) connector: Connector,
    /// The name of `log.bin` on the server.
    pub(super) file: String,
    /// The properties of each run of Debezium.
    pub(super) variants: BTreeMap<String, BTreeMap<String, String>>,
    described: Json,
}

impl Golden {
    pub(super) fn load(case: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("golden/debezium")
            .join(case);
        let read = |name: &str| -> Json {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let about = read("case.json");
        Self {
            connector: match about["kind"].as_str() {
                Some("mariadb") => Connector::MariaDb,
                _ => Connector::MySql,
            },
            file: about["file"].as_str().unwrap().to_owned(),
            variants: serde_json::from_value(about["variants"].clone()).unwrap(),
            described: read("columns.json"),
            folder,
        }
    }

    /// A log: `setup.bin` or `log.bin`.
    pub(super) fn log(&self, name: &str) -> Bytes {
        Bytes::from(std::fs::read(self.folder.join(name)).unwrap())
    }

    /// The records of a run, with the schemas that they refer to.
    pub(super) fn records(&self, variant: &str) -> Vec<Json> {
        let mut text = String::new();
        let file = std::fs::File::open(self.folder.join(format!("{variant}.jsonl.gz"))).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        let mut schemas: Vec<Json> = Vec::new();
        let mut whole = |datum: &mut Json| {
            let Some(schema) = datum.get_mut("schema") else {
                return;
            };
            match schema.get("ref").and_then(Json::as_u64) {
                Some(known) => *schema = schemas[known as usize].clone(),
                None => schemas.push(schema.clone()),
            }
        };
        let lines = text.lines().map(|line| {
            let mut record: Json = serde_json::from_str(line).unwrap();
            whole(&mut record["key"]);
            whole(&mut record["value"]);
            if record["headers"].is_null() {
                record["headers"] = Json::Array(Vec::new());
            }
            for header in record["headers"].as_array_mut().into_iter().flatten() {
                whole(&mut header["value"]);
            }
            record
        });
        lines.collect()
    }

    /// A table of a log with what the server's descriptions add: `before` the changes, or `after` them.
    pub(super) fn described(&self, mut table: Table, whens: &[&str]) -> Table {
        // The files do not describe it; it is the server's.
        table.charset = Some(match self.connector {
            Connector::MySql => "utf8mb4".to_owned(),
            Connector::MariaDb => "latin1".to_owned(),
        });
        whens.iter().fold(table, |table, when| {
            let columns = table
                .columns
                .iter()
                .filter_map(|column| self.describe(&table, column, when))
                .collect();
            let described = Table {
                columns,
                ..table.clone()
            };
            match described.columns.len() == table.columns.len() {
                true => table.merged(&described),
                false => table,
            }
        })
    }

    fn describe(&self, table: &Table, column: &Column, when: &str) -> Option<Column> {
        let all = self.described[when]["columns"].as_array().unwrap();
        let its = all.iter().find(|its| {
            its["database"] == *table.id.database
                && its["table"] == *table.id.table
                && its["name"] == *column.name
        })?;
        let text = |key: &str| its[key].as_str().map(str::to_owned);
        let extra = text("extra").unwrap_or_default().to_ascii_lowercase();
        let described = Column {
            declared: text("type"),
            default: self.default(its["default"].as_str(), &extra),
            generated: extra.contains("generated") && !extra.contains("default_generated"),
            auto_increment: extra.contains("auto_increment"),
            comment: text("comment").filter(|comment| !comment.is_empty()),
            ..column.clone()
        };
        let same = Declared::of(&described).base() == Declared::of(column).base()
            || Declared::of(column).base() == "BINARY"
            || Declared::of(column).base() == "GEOMCOLLECTION";
        same.then_some(described)
    }

    /// A default as a literal: MySQL marks expressions, MariaDB writes literals as SQL.
    fn default(&self, text: Option<&str>, extra: &str) -> Option<String> {
        let text = text?;
        let now = text.to_ascii_lowercase().starts_with("current_timestamp");
        if self.connector == Connector::MySql {
            return (now || !extra.contains("default_generated")).then(|| text.to_owned());
        }
        if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Some(quoted.replace("''", "'").replace("\\0", "\0"));
        }
        (now || !text.contains('(') && text != "NULL").then(|| text.to_owned())
    }
}
