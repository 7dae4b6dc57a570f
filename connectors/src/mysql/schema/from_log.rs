//! Tables as a log describes them.
use super::{Column, Table, TableId};
use crate::mysql::binlog::{self, TableMap};
use crate::mysql::charset;

/// Why a table is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The log does not say the names of its columns.
    #[error(
        "{table}: the log does not say what its columns are: SET GLOBAL binlog_row_metadata = FULL on the server"
    )]
    Unnamed {
        /// `database.table`.
        table: TableId,
    },
    /// Another number of columns.
    #[error("{table}: {described} columns are described where the log has {logged}")]
    Columns {
        /// `database.table`.
        table: TableId,
        /// Those of the description.
        described: usize,
        /// Those of the log.
        logged: usize,
    },
    /// A column that is another.
    #[error("{table}.{column}: its {what} is {described} by its description, {logged} by the log")]
    Column {
        /// `database.table`.
        table: TableId,
        /// The column's name.
        column: String,
        /// What differs.
        what: &'static str,
        /// The description's.
        described: String,
        /// The log's.
        logged: String,
    },
}

impl Table {
    /// A table as a log with `binlog_row_metadata=FULL` describes it: without defaults, comments and declared types, which it does not
    /// have ([`Self::merged`] adds them).
    ///
    /// # Errors
    /// [`TableError::Unnamed`] with other logs.
    pub fn from_log(map: &TableMap) -> Result<Self, TableError> {
        let id = TableId::new(&map.database, &map.table);
        let named = map.columns.iter().map(|column| {
            Some(Column {
                name: column.name.as_deref()?.into(),
                log: column.clone(),
                declared: None,
                default: None,
                generated: false,
                auto_increment: false,
                comment: None,
            })
        });
        match named.collect::<Option<Vec<_>>>() {
            Some(columns) => Ok(Self {
                id,
                columns,
                key: map.primary_key.iter().map(|part| part.column).collect(),
                comment: None,
                charset: None,
                structure: None,
            }),
            None => Err(TableError::Unnamed { table: id }),
        }
    }

    /// Whether rows of `map` are rows of this table: the same columns, as far as the log says what they are.
    ///
    /// # Errors
    /// [`TableError`] with what differs.
    pub fn agrees_with(&self, map: &TableMap) -> Result<(), TableError> {
        let (described, logged) = (self.columns.len(), map.columns.len());
        if described != logged {
            let table = self.id.clone();
            return Err(TableError::Columns {
                table,
                described,
                logged,
            });
        }
        let mut columns = self.columns.iter().zip(&map.columns);
        columns.try_for_each(|(column, logged)| match column.difference(logged) {
            None => Ok(()),
            Some((what, described, logged)) => Err(TableError::Column {
                table: self.id.clone(),
                column: column.name.to_string(),
                what,
                described,
                logged,
            }),
        })
    }

    /// A table of the log with what only the server's description has (declared types, defaults, comments, what is generated), for the
    /// columns whose name and type are the same in both.
    #[must_use]
    pub fn merged(mut self, described: &Self) -> Self {
        for column in &mut self.columns {
            let same = described.columns.iter().find(|its| its.name == column.name);
            let Some(same) = same.filter(|its| its.difference(&column.log).is_none()) else {
                continue;
            };
            column.declared.clone_from(&same.declared);
            column.default.clone_from(&same.default);
            column.comment.clone_from(&same.comment);
            (column.generated, column.auto_increment) = (same.generated, same.auto_increment);
        }
        self.comment.clone_from(&described.comment);
        self.charset.clone_from(&described.charset);
        self
    }
}

impl Column {
    /// What it is otherwise in a log, and how, where the log says it: what differs, here and there.
    fn difference(&self, logged: &binlog::Column) -> Option<(&'static str, String, String)> {
        let here = &self.log;
        if here.column_type != logged.column_type {
            let [here, there] = [here, logged].map(|column| format!("{:?}", column.column_type));
            return Some(("type", here, there));
        }
        if here.nullable != logged.nullable {
            let [here, there] = [here, logged].map(|column| column.nullable.to_string());
            return Some(("being nullable", here, there));
        }
        if here
            .unsigned
            .zip(logged.unsigned)
            .is_some_and(|(here, there)| here != there)
        {
            let [here, there] = [here, logged].map(|column| format!("{:?}", column.unsigned));
            return Some(("being unsigned", here, there));
        }
        // Labels are described in UTF-8, whatever they are in the log.
        if !here.column_type.has_labels()
            && here.collation != 0
            && logged.collation != 0
            && charset::name(here.collation) != charset::name(logged.collation)
        {
            let [here, there] =
                [here, logged].map(|column| charset::name(column.collation).unwrap_or("unknown").to_owned());
            return Some(("character set", here, there));
        }
        let name = logged.name.as_deref().filter(|name| **name != *self.name)?;
        Some(("name", self.name.to_string(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::binlog::{ColumnType, KeyPart};

    fn logged(name: Option<&str>, column_type: ColumnType) -> binlog::Column {
        binlog::Column {
            column_type,
            nullable: false,
            unsigned: None,
            collation: 0,
            name: name.map(str::to_owned),
            labels: Vec::new(),
            geometry_type: None,
            vector_dimensions: None,
            visible: true,
        }
    }

    fn map(columns: Vec<binlog::Column>) -> TableMap {
        let has_names = columns.iter().all(|column| column.name.is_some());
        TableMap {
            table_id: 1,
            database: "d".to_owned(),
            table: "t".to_owned(),
            columns,
            primary_key: vec![KeyPart { column: 1, prefix: 3 }, KeyPart { column: 0, prefix: 0 }],
            has_names,
        }
    }

    #[test]
    fn a_log_with_names_is_a_description() {
        let columns = vec![
            logged(Some("a"), ColumnType::Long),
            logged(Some("b"), ColumnType::Tiny),
        ];
        let table = Table::from_log(&map(columns)).unwrap();
        assert_eq!(table.id.to_string(), "d.t");
        assert_eq!(
            table
                .columns
                .iter()
                .map(|column| &*column.name)
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(table.key, [1, 0]);
        let error = Table::from_log(&map(vec![logged(None, ColumnType::Long)])).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("SET GLOBAL binlog_row_metadata = FULL"),
            "{error}"
        );
    }

    #[test]
    fn what_differs_is_said() {
        let table = Table::from_log(&map(vec![logged(Some("a"), ColumnType::Long)])).unwrap();
        let differs = |change: &dyn Fn(&mut binlog::Column)| {
            let mut column = logged(None, ColumnType::Long);
            change(&mut column);
            table
                .agrees_with(&map(vec![column]))
                .map_err(|error| error.to_string())
        };
        assert_eq!(differs(&|_| {}), Ok(()));
        let said = |what: &str| Err(format!("d.t.a: its {what} by the log"));
        assert_eq!(
            differs(&|column| column.column_type = ColumnType::Tiny),
            said("type is Long by its description, Tiny")
        );
        assert_eq!(
            differs(&|column| column.nullable = true),
            said("being nullable is false by its description, true")
        );
        assert_eq!(
            differs(&|column| column.name = Some("b".to_owned())),
            said("name is a by its description, b")
        );
        let error = table.agrees_with(&map(Vec::new())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d.t: 1 columns are described where the log has 0"
        );
    }

    #[test]
    fn descriptions_add_what_the_log_has_not() {
        let columns = vec![
            logged(Some("a"), ColumnType::Long),
            logged(Some("b"), ColumnType::Tiny),
        ];
        let mut described = Table::from_log(&map(columns.clone())).unwrap();
        for column in &mut described.columns {
            column.default = Some("7".to_owned());
            column.declared = Some("int".to_owned());
        }
        // This one came to be another.
        described.columns[1].log.column_type = ColumnType::Short;
        described.comment = Some("what for".to_owned());
        let table = Table::from_log(&map(columns)).unwrap().merged(&described);
        assert_eq!(table.columns[0], described.columns[0]);
        assert_eq!(
            (&table.columns[1].default, &table.columns[1].declared),
            (&None, &None)
        );
        assert_eq!(table.comment.as_deref(), Some("what for"));
    }
}
