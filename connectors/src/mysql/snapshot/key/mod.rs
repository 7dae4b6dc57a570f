//! Keys: as expressions and literals of SQL, as the texts that are stored, and as bytes by which a row of a chunk and a row of the log
//! are known to be the same.
//!
//! Texts are compared as the bytes that the server stores, not as what a collation makes of them: the image of a row before its
//! change has the very bytes of the key that a chunk may have read.
mod column;
mod kind;

use std::fmt::Write;

use column::KeyColumn;
use kind::{KeyKind, LENGTH_BYTES};

use crate::mysql::binlog::Value;
use crate::mysql::schema::Table;

/// A place in the order of a key: a text for each of its columns.
pub type Place = Vec<String>;

/// The columns in whose order a table is read, and by which its rows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumns {
    columns: Vec<KeyColumn>,
    /// The first of those by which rows are known; others before it are for the order alone.
    identity: usize,
}

/// Why rows of a table cannot be read in the order of a column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its character set is not known.
    #[error("its collation {0} is not known; leave the table out (snapshot.include.collection.list)")]
    Collation(u16),
    /// Values of such a column have no order.
    #[error("rows cannot be read in the order of such a column")]
    Type,
    /// There is none.
    #[error("the table has no column {0}")]
    Missing(String),
    /// NULL has no place in the order.
    #[error("it may be NULL; name a column that is NOT NULL")]
    Nullable,
}

impl KeyColumns {
    /// Those of a table: its key; nothing if it has none. With a `surrogate`, rows are read in the order of that column first.
    ///
    /// # Errors
    /// With the column's name and what is wrong with it.
    pub fn of(table: &Table, surrogate: Option<&str>) -> Result<Option<Self>, (String, KeyError)> {
        if table.key.is_empty() {
            return Ok(None);
        }
        let mut indexes = table.key.clone();
        let mut identity = 0;
        if let Some(name) = surrogate {
            let missing = || (name.to_owned(), KeyError::Missing(name.to_owned()));
            let index = table.columns.iter().position(|column| *column.name == *name);
            let index = index.ok_or_else(missing)?;
            if table.columns[index].log.nullable {
                return Err((name.to_owned(), KeyError::Nullable));
            }
            if indexes[0] != index {
                indexes.insert(0, index);
                identity = 1;
            }
        }
        let columns: Result<Vec<_>, _> = indexes
            .iter()
            .map(|index| {
                let column = &table.columns[*index];
                KeyColumn::of(&table.id.table, column).map_err(|error| (column.name.to_string(), error))
            })
            .collect();
        Ok(Some(Self {
            columns: columns?,
            identity,
        }))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// What decides the order: a place in one order means nothing in another.
    pub(super) fn signature(&self) -> String {
        let signatures: Vec<&str> = self.columns.iter().map(|column| &*column.signature).collect();
        signatures.join(",")
    }

    /// The expressions whose cells [`KeyColumns::place`] and [`KeyColumns::identity_of_cells`] take.
    pub(super) fn expressions(&self) -> String {
        let each: Vec<String> = self.columns.iter().map(KeyColumn::expression).collect();
        each.join(",")
    }

    /// The list behind `ORDER BY`.
    pub(super) fn order(&self, suffix: &str) -> String {
        let each: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{}{suffix}", column.quoted))
            .collect();
        each.join(",")
    }

    /// The condition that a row is behind a place.
    pub(super) fn behind(&self, place: &Place) -> String {
        self.compared(place, KeyColumn::greater, false)
    }

    /// The condition that a row is not behind a place.
    pub(super) fn up_to(&self, place: &Place) -> String {
        self.compared(place, KeyColumn::less, true)
    }

    /// `a>1 OR a=1 AND (b>2 OR …)`, flat, so that an index is used for it.
    fn compared(
        &self,
        place: &Place,
        differs: impl Fn(&KeyColumn, &str) -> String,
        or_equal: bool,
    ) -> String {
        let mut alternatives = Vec::with_capacity(place.len() + 1);
        let mut equal = String::new();
        for (column, part) in self.columns.iter().zip(place) {
            alternatives.push(format!("({equal}{})", differs(column, part)));
            let _ = write!(equal, "{}={} AND ", column.quoted, column.literal(part));
        }
        if or_equal {
            alternatives.push(format!("({})", equal.trim_end_matches(" AND ")));
        }
        alternatives.join(" OR ")
    }

    /// The condition that a row has one of these identities.
    pub(super) fn among(&self, identities: &[Place]) -> String {
        let each: Vec<String> = identities
            .iter()
            .map(|identity| {
                let columns = self.columns[self.identity..].iter().zip(identity);
                let parts: Vec<String> = columns
                    .map(|(column, part)| format!("{}={}", column.quoted, column.literal(part)))
                    .collect();
                format!("({})", parts.join(" AND "))
            })
            .collect();
        each.join(" OR ")
    }

    /// The place of a row by the cells of [`KeyColumns::expressions`].
    pub(super) fn place(&self, cells: &[Option<&[u8]>]) -> Place {
        let columns = self.columns.iter().zip(cells);
        columns
            .map(|(column, cell)| column.kind.stored(cell.unwrap_or_default()))
            .collect()
    }

    /// The one number that a key of a single whole number is.
    pub(super) fn as_integer(&self, place: &Place) -> Option<i128> {
        match (&self.columns[..], &place[..]) {
            ([column], [part]) if matches!(column.kind, KeyKind::Integer { .. }) => part.parse().ok(),
            _ => None,
        }
    }

    /// Appends the bytes by which a row is known, by the cells of [`KeyColumns::expressions`].
    pub(super) fn identity_of_cells(&self, cells: &[Option<&[u8]>], target: &mut Vec<u8>) {
        for (column, cell) in self.columns.iter().zip(cells).skip(self.identity) {
            let start = target.len();
            target.extend_from_slice(&[0; LENGTH_BYTES]);
            target.extend_from_slice(cell.unwrap_or_default());
            column.kind.normalize(start, target);
        }
    }

    /// For the columns of a table of the log: where those of the row's identity are.
    pub(super) fn indexes_in(&self, table: &Table) -> Option<Vec<usize>> {
        let names = self.columns[self.identity..].iter();
        names
            .map(|key| table.columns.iter().position(|column| *column.name == *key.name))
            .collect()
    }

    /// For the columns of a table of the log: where those are that stand in the order before the row's identity.
    pub(super) fn leading_in(&self, table: &Table) -> Option<Vec<usize>> {
        let names = self.columns[..self.identity].iter();
        names
            .map(|key| table.columns.iter().position(|column| *column.name == *key.name))
            .collect()
    }

    /// Appends the bytes by which a row of the log is known; whether the image has them all.
    pub(super) fn identity_of_values<'v>(
        &self,
        value: impl Fn(usize) -> Value<'v>,
        indexes: &[usize],
        target: &mut Vec<u8>,
    ) -> bool {
        let columns = self.columns[self.identity..].iter().zip(indexes);
        columns.into_iter().all(|(column, index)| {
            let start = target.len();
            target.extend_from_slice(&[0; LENGTH_BYTES]);
            let there = column.cell(&value(*index), target);
            column.kind.normalize(start, target);
            there
        })
    }

    /// What [`KeyColumns::among`] takes for a row of the log.
    pub(super) fn stored_identity<'v>(
        &self,
        value: impl Fn(usize) -> Value<'v>,
        indexes: &[usize],
    ) -> Option<Place> {
        let columns = self.columns[self.identity..].iter().zip(indexes);
        columns
            .map(|(column, index)| {
                let mut cell = Vec::new();
                let there = column.cell(&value(*index), &mut cell);
                there.then(|| column.kind.stored(&cell))
            })
            .collect()
    }

    /// The one number that the key of a row of the log is, if it is a single whole number.
    pub(super) fn integer_of_value(&self, value: &Value<'_>) -> Option<i128> {
        match &self.columns[..] {
            [column] => column.kind.integer(value),
            _ => None,
        }
    }
}
