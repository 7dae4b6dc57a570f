//! Tables that are written to, as the database describes them.
use std::collections::HashMap;

use super::column::{Column, Described, Kind};
use super::value::{push_identifier, push_text};
use crate::mysql::schema::TableId;

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub id: TableId,
    /// Its name as statements have it.
    pub quoted: Vec<u8>,
    pub columns: Vec<Column>,
    /// Where columns are, by their names in small letters.
    places: HashMap<String, usize>,
    /// Its unique indexes over whole columns, by their columns' places in ascending order.
    pub uniques: Vec<Vec<usize>>,
    /// How many unique indexes it has, those over parts of columns and over expressions included.
    pub unique_count: usize,
    /// Whose rows its rows refer to.
    pub parents: Vec<ForeignKey>,
    /// Nothing for a view.
    pub engine: Option<String>,
    /// The most bytes of a statement that are not its rows.
    pub statement_bytes: usize,
}

/// All names of a table can be in a statement five times: the columns, the guard that compares keys, what becomes of rows that are there.
fn statement_bytes(quoted: &[u8], columns: &[Column]) -> usize {
    let mut name = Vec::new();
    let columns = columns.iter().map(|column| {
        name.clear();
        push_identifier(&mut name, &column.name);
        5 * name.len() + quoted.len() + 48
    });
    columns.sum::<usize>() + quoted.len() + 256
}

/// A reference to another table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub parent: TableId,
    /// The parent's columns, in ascending order.
    pub columns: Vec<String>,
}

/// A row of an answer.
pub(super) type Cells = Vec<Option<String>>;

/// What is asked of `information_schema` about a table, in the order of [`Answers`].
pub(super) struct Questions {
    pub table: String,
    pub columns: String,
    pub uniques: String,
    pub parents: String,
}

/// What it answers.
pub(super) struct Answers {
    pub table: Vec<Cells>,
    pub columns: Vec<Cells>,
    pub uniques: Vec<Cells>,
    pub parents: Vec<Cells>,
}

impl Questions {
    /// About a table.
    pub fn about(id: &TableId) -> Self {
        let of_it = |database: &str, table: &str| {
            let mut text = Vec::new();
            text.extend_from_slice(format!(" WHERE {database} = ").as_bytes());
            push_text(&mut text, &id.database);
            text.extend_from_slice(format!(" AND {table} = ").as_bytes());
            push_text(&mut text, &id.table);
            String::from_utf8_lossy(&text).into_owned()
        };
        let own = of_it("table_schema", "table_name");
        Self {
            table: format!("SELECT engine, table_schema, table_name FROM information_schema.tables{own}"),
            columns: format!(
                "SELECT column_name, column_type, is_nullable, column_default IS NULL, extra, character_set_name, \
                 character_maximum_length, character_octet_length FROM information_schema.columns{own} ORDER BY ordinal_position"
            ),
            uniques: format!(
                "SELECT index_name, column_name, sub_part FROM information_schema.statistics{own} AND non_unique = 0 \
                 ORDER BY index_name, seq_in_index"
            ),
            parents: format!(
                "SELECT constraint_name, referenced_table_schema, referenced_table_name, referenced_column_name \
                 FROM information_schema.key_column_usage{own} AND referenced_table_name IS NOT NULL ORDER BY constraint_name, ordinal_position"
            ),
        }
    }
}

impl Table {
    /// The table that was described; nothing when there is none.
    pub fn read(id: &TableId, answers: &Answers) -> Option<Self> {
        let described = answers.table.first()?;
        let engine = described.first().cloned().flatten();
        // As the server calls it, which is how others refer to it.
        let id = match (described.get(1), described.get(2)) {
            (Some(Some(database)), Some(Some(table))) => TableId::new(database, table),
            _ => id.clone(),
        };
        let columns: Vec<Column> = answers.columns.iter().map(column).collect();
        let places = columns.iter().enumerate();
        let places: HashMap<String, usize> = places
            .map(|(place, column)| (column.name.to_lowercase(), place))
            .collect();
        let mut quoted = Vec::new();
        push_identifier(&mut quoted, &id.database);
        quoted.push(b'.');
        push_identifier(&mut quoted, &id.table);
        let mut table = Self {
            statement_bytes: statement_bytes(&quoted, &columns),
            id,
            quoted,
            columns,
            places,
            uniques: Vec::new(),
            unique_count: 0,
            parents: parents(&answers.parents),
            engine,
        };
        table.read_uniques(&answers.uniques);
        Some(table)
    }

    fn read_uniques(&mut self, rows: &[Cells]) {
        let mut indexes: Vec<(&str, Option<Vec<usize>>)> = Vec::new();
        for row in rows {
            let name = text(row, 0);
            // A part of a column, or an expression, says nothing of whole values.
            let place = match row.get(2).is_none_or(Option::is_none) {
                true => self.place(text(row, 1)),
                false => None,
            };
            match indexes.last_mut() {
                Some((last, places)) if *last == name => match (places.as_mut(), place) {
                    (Some(places), Some(place)) => places.push(place),
                    _ => *places = None,
                },
                _ => indexes.push((name, place.map(|place| vec![place]))),
            }
        }
        self.unique_count = indexes.len();
        self.uniques = indexes.into_iter().filter_map(|(_, places)| places).collect();
        self.uniques.iter_mut().for_each(|places| places.sort_unstable());
    }

    /// Where the column `name` is.
    pub fn place(&self, name: &str) -> Option<usize> {
        match self.places.get(name) {
            Some(place) => Some(*place),
            None => self.places.get(&name.to_lowercase()).copied(),
        }
    }

    /// Whether rows are told apart by these columns. Indexes with columns that may be null do not.
    pub fn is_unique(&self, columns: &[usize]) -> bool {
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        self.uniques.contains(&sorted) && sorted.iter().all(|place| !self.columns[*place].nullable)
    }

    /// Whether a row can be in the way of another one although their keys differ.
    pub fn has_other_uniques(&self, key: &[usize]) -> bool {
        self.unique_count > usize::from(self.is_unique(key))
    }

    /// Whether a transaction is one for it.
    pub fn is_transactional(&self) -> bool {
        self.engine
            .as_deref()
            .is_some_and(|engine| engine.eq_ignore_ascii_case("innodb"))
    }
}

fn text(row: &Cells, place: usize) -> &str {
    row.get(place).and_then(Option::as_deref).unwrap_or_default()
}

fn column(cells: &Cells) -> Column {
    let number = |place: usize| text(cells, place).parse::<u64>().ok();
    let declared = text(cells, 1).to_owned();
    let extra = text(cells, 4).to_lowercase();
    let kind = Kind::read(Described {
        declared: &declared,
        charset: cells.get(5).and_then(Option::as_deref),
        chars: number(6),
        bytes: number(7),
    });
    let nullable = text(cells, 2).eq_ignore_ascii_case("yes");
    Column {
        name: text(cells, 0).to_owned(),
        kind,
        declared,
        nullable,
        filled: nullable || text(cells, 3) == "0" || extra.contains("auto_increment"),
        // A column with a default that is an expression is DEFAULT_GENERATED, and takes values.
        generated: extra.contains("virtual generated")
            || extra.contains("stored generated")
            || extra.contains("persistent"),
    }
}

fn parents(rows: &[Cells]) -> Vec<ForeignKey> {
    let mut keys: Vec<(&str, ForeignKey)> = Vec::new();
    for row in rows {
        let column = text(row, 3).to_lowercase();
        match keys.last_mut() {
            Some((name, key)) if *name == text(row, 0) => key.columns.push(column),
            _ => keys.push((
                text(row, 0),
                ForeignKey {
                    parent: TableId::new(text(row, 1), text(row, 2)),
                    columns: vec![column],
                },
            )),
        }
    }
    keys.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::mysql::sink) fn cells(row: &[&str]) -> Cells {
        let cell = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
        row.iter().map(cell).collect()
    }

    /// A table with columns `name type`, nullable with `?` behind, and unique indexes.
    pub(in crate::mysql::sink) fn table(
        name: &str,
        columns: &[&str],
        uniques: &[&[&str]],
        parents: &[&str],
    ) -> Table {
        let column = |text: &&str| {
            let (name, declared) = text.split_once(' ').unwrap();
            let nullable = if declared.ends_with('?') { "YES" } else { "NO" };
            let declared = declared.trim_end_matches('?');
            let length = declared
                .split_once('(')
                .map_or("65535", |(_, rest)| rest.trim_end_matches(')'));
            cells(&[name, declared, nullable, "1", "", "utf8mb4", length, length])
        };
        let mut indexes = Vec::new();
        for (number, index) in uniques.iter().enumerate() {
            let number = number.to_string();
            indexes.extend(index.iter().map(|column| cells(&[&number, column, "NULL"])));
        }
        let parents = parents.iter().map(|parent| cells(&[parent, "d", parent, "id"]));
        let answers = Answers {
            table: vec![cells(&["InnoDB"])],
            columns: columns.iter().map(column).collect(),
            uniques: indexes,
            parents: parents.collect(),
        };
        Table::read(&TableId::new("d", name), &answers).unwrap()
    }

    #[test]
    fn descriptions_are_read() {
        let answers = Answers {
            table: vec![cells(&["MyISAM"])],
            columns: vec![
                cells(&[
                    "Id",
                    "int(11)",
                    "NO",
                    "1",
                    "auto_increment",
                    "NULL",
                    "NULL",
                    "NULL",
                ]),
                cells(&["name", "varchar(20)", "YES", "1", "", "latin1", "20", "20"]),
                cells(&[
                    "made",
                    "int",
                    "YES",
                    "1",
                    "VIRTUAL GENERATED",
                    "NULL",
                    "NULL",
                    "NULL",
                ]),
                cells(&[
                    "at",
                    "datetime",
                    "NO",
                    "0",
                    "DEFAULT_GENERATED on update CURRENT_TIMESTAMP",
                    "NULL",
                    "NULL",
                    "NULL",
                ]),
                cells(&["must", "int", "NO", "1", "", "NULL", "NULL", "NULL"]),
            ],
            uniques: vec![
                cells(&["PRIMARY", "Id", "NULL"]),
                cells(&["both", "must", "NULL"]),
                cells(&["both", "Id", "NULL"]),
                cells(&["expression", "NULL", "NULL"]),
                cells(&["part", "name", "5"]),
                cells(&["name", "name", "NULL"]),
            ],
            parents: vec![
                cells(&["fk", "d", "p", "A"]),
                cells(&["fk", "d", "p", "B"]),
                cells(&["fk2", "d", "q", "id"]),
            ],
        };
        let table = Table::read(&TableId::new("d`", "t"), &answers).unwrap();
        assert_eq!(table.quoted, b"`d```.`t`");
        assert!(
            (256 + 5 * 40..1000).contains(&table.statement_bytes),
            "{}",
            table.statement_bytes
        );
        assert_eq!(
            (table.place("ID"), table.place("NAME"), table.place("x")),
            (Some(0), Some(1), None)
        );
        let filled: Vec<bool> = table.columns.iter().map(|column| column.filled).collect();
        assert_eq!(filled, [true, true, true, true, false]);
        let generated: Vec<bool> = table.columns.iter().map(|column| column.generated).collect();
        assert_eq!(generated, [false, false, true, false, false]);
        assert_eq!(table.uniques, [vec![0], vec![0, 4], vec![1]]);
        assert_eq!(table.unique_count, 5);
        assert!(table.is_unique(&[4, 0]) && table.is_unique(&[0]));
        assert!(!table.is_unique(&[1]), "nulls are not unique");
        assert!(table.has_other_uniques(&[0]));
        assert!(!table.is_transactional());
        assert_eq!(table.parents.len(), 2);
        assert_eq!(table.parents[0].columns, ["a", "b"]);
        let none = Answers {
            table: Vec::new(),
            columns: Vec::new(),
            uniques: Vec::new(),
            parents: Vec::new(),
        };
        assert!(Table::read(&TableId::new("d", "t"), &none).is_none());
    }
}
