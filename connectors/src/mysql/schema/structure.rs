//! What statements that change a table build on, beyond what its rows need.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Column;
use crate::mysql::binlog::{Collation, ColumnType};

/// The name of every primary key.
pub const PRIMARY: &str = "PRIMARY";

/// A table's defaults and indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// The collation of columns that say none.
    pub collation: Collation,
    /// All indexes: the primary key, unique ones without nullable columns, other unique ones, each in their order, then the rest by name.
    pub indexes: Vec<Index>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Whether it has each value once.
    pub unique: bool,
    /// Whether it has only the beginning of a column; not said of those that are not unique.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefix: bool,
    /// Its columns in their order; nothing for an expression.
    pub columns: Vec<Option<Arc<str>>>,
}

impl Index {
    /// Whether it is the primary key.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.name == PRIMARY
    }

    /// Its columns' places among `columns`; nothing if one is an expression, or is not there.
    pub(super) fn places(&self, columns: &[Column]) -> Option<Vec<usize>> {
        let place = |name: &Option<Arc<str>>| {
            let name = name.as_ref()?;
            columns.iter().position(|column| same_name(&column.name, name))
        };
        self.columns.iter().map(place).collect()
    }

    fn has(&self, columns: &[Column], is_it: impl Fn(&Column) -> bool) -> bool {
        self.columns.iter().flatten().any(|name| {
            let mut named = columns.iter().filter(|column| same_name(&column.name, name));
            named.any(&is_it)
        })
    }

    /// Which of two comes first; those with the same rank are in their own order.
    fn rank(&self, columns: &[Column]) -> (u8, u8, Option<&str>) {
        if self.is_primary() {
            return (0, 0, None);
        }
        if !self.unique {
            return (3, 0, Some(&self.name));
        }
        let nullable = self.has(columns, |column| column.log.nullable);
        let is_long = |column: &Column| {
            matches!(
                column.log.column_type,
                ColumnType::Blob { .. } | ColumnType::CompressedBlob { .. }
            )
        };
        let rank = if nullable { 2 } else { 1 };
        match self.prefix {
            true => (rank, 1, None),
            // Of hashes, which MariaDB has for whole texts, it keeps no order.
            false if self.has(columns, is_long) => (rank, 2, Some(&self.name)),
            false => (rank, 0, None),
        }
    }
}

impl Structure {
    /// Puts indexes in the order in which servers keep them.
    pub(super) fn sort(&mut self, columns: &[Column]) {
        self.indexes
            .sort_by(|left, right| left.rank(columns).cmp(&right.rank(columns)));
    }

    /// The columns that tell rows apart: those of the primary key, or of the first unique one in whose columns there is always something.
    pub(super) fn key(&self, columns: &[Column]) -> Vec<usize> {
        let mut unique = self.indexes.iter().filter(|index| index.unique);
        let whole = unique.find_map(|index| {
            let places = index.places(columns)?;
            let never_null = places.iter().all(|place| !columns[*place].log.nullable);
            (index.is_primary() || never_null).then_some(places)
        });
        whole.unwrap_or_default()
    }
}

/// Whether two names of columns or indexes are the same: letters' case does not matter.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}
