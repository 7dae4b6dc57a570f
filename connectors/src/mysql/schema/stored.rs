//! Tables as they are stored beside offsets, where the log does not say what they are.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Column, Structure, Table, TableId};
use crate::mysql::binlog;

#[derive(Serialize, Deserialize)]
struct StoredTable {
    id: TableId,
    columns: Vec<StoredColumn>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    key: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    structure: Option<Structure>,
}

#[derive(Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    log: binlog::Column,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    declared: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    generated: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    auto_increment: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl Table {
    /// The table as fields that can be stored.
    #[must_use]
    pub fn to_fields(&self) -> Map<String, Json> {
        let columns = self.columns.iter().map(|column| StoredColumn {
            name: column.name.to_string(),
            log: column.log.clone(),
            declared: column.declared.clone(),
            default: column.default.clone(),
            generated: column.generated,
            auto_increment: column.auto_increment,
            comment: column.comment.clone(),
        });
        let stored = StoredTable {
            id: self.id.clone(),
            columns: columns.collect(),
            key: self.key.clone(),
            comment: self.comment.clone(),
            charset: self.charset.clone(),
            structure: self.structure.clone(),
        };
        match serde_json::to_value(stored) {
            Ok(Json::Object(fields)) => fields,
            _ => unreachable!("a struct of texts and numbers is an object"),
        }
    }

    /// What [`Table::to_fields`] gave.
    ///
    /// # Errors
    /// With fields that are no table.
    pub fn from_fields(fields: &Map<String, Json>) -> Result<Self, serde_json::Error> {
        let stored: StoredTable = serde_json::from_value(Json::Object(fields.clone()))?;
        let count = stored.columns.len();
        if stored.key.iter().any(|index| *index >= count) {
            return Err(serde::de::Error::custom("the key has a column that is none"));
        }
        let columns = stored.columns.into_iter().map(|column| Column {
            name: column.name.into(),
            log: column.log,
            declared: column.declared,
            default: column.default,
            generated: column.generated,
            auto_increment: column.auto_increment,
            comment: column.comment,
        });
        Ok(Self {
            id: stored.id,
            columns: columns.collect(),
            key: stored.key,
            comment: stored.comment,
            charset: stored.charset,
            structure: stored.structure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::binlog::{Decoder, Event, Limits};
    use crate::mysql::tests::golden::{log, raw_events};

    /// Every kind of column comes back.
    #[test]
    fn tables_come_back() {
        let mut tables = 0;
        for case in ["mysql97", "mariadb"] {
            let mut decoder = Decoder::new("log.bin", 4, Limits::default());
            for raw in raw_events(&log(case)) {
                decoder.push(raw);
                while let Some(event) = decoder.next().unwrap() {
                    let Event::Table(map) = event else { continue };
                    let mut table = Table::from_log(&map).unwrap();
                    table.comment = Some("what it is for".to_owned());
                    table.columns[0].auto_increment = true;
                    table.columns[0].default = Some("7".to_owned());
                    assert_eq!(Table::from_fields(&table.to_fields()).unwrap(), table);
                    tables += 1;
                }
            }
        }
        assert!(tables > 100);
        let error = Table::from_fields(&Map::new()).unwrap_err().to_string();
        assert!(error.contains("missing field"), "{error}");
    }
}
