//! The statements that read rows.
use super::chunk::Rule;
use super::key::KeyColumns;
use super::settings::Selection;
use crate::mysql::client::quoted;
use crate::mysql::schema::TableId;

/// What rows are read from: a table, or a user's own `SELECT` over it, with a condition that they have to meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    from: String,
    derived: bool,
    condition: Option<String>,
}

impl Source {
    pub(super) fn new(table: &TableId, statement: Option<&str>, condition: Option<&str>) -> Self {
        let from = match statement {
            // Whatever its columns are called, they are those of a table of the same name.
            Some(statement) => format!(
                "({}) AS {}",
                statement.trim().trim_end_matches(';'),
                quoted(&table.table)
            ),
            None => qualified(table),
        };
        Self {
            from,
            derived: statement.is_some(),
            condition: condition.map(str::to_owned),
        }
    }

    /// Whether it is a user's own statement.
    pub(super) fn is_derived(&self) -> bool {
        self.derived
    }

    /// The statement for a chunk.
    pub(super) fn chunk(&self, selection: &Selection, key: &KeyColumns, rule: &Rule, limit: usize) -> String {
        let mut conditions = Vec::with_capacity(3);
        match rule {
            Rule::Range { after, up_to } => {
                conditions.extend(after.as_ref().map(|place| key.behind(place)));
                conditions.push(key.up_to(up_to));
            }
            Rule::Keys(keys) => conditions.push(key.among(keys)),
        }
        conditions.extend(self.condition.clone());
        format!(
            "SELECT {},{} FROM {} WHERE ({}) ORDER BY {} LIMIT {limit}",
            selection.list,
            key.expressions(),
            self.from,
            conditions.join(") AND ("),
            key.order("")
        )
    }

    /// The statement for all rows of a table without a key.
    pub(super) fn whole(&self, selection: &Selection) -> String {
        let condition = self.condition.as_ref();
        let condition = condition.map(|condition| format!(" WHERE ({condition})"));
        format!(
            "SELECT {} FROM {}{}",
            selection.list,
            self.from,
            condition.unwrap_or_default()
        )
    }
}

/// A table's name with its database's, in backticks.
pub(super) fn qualified(table: &TableId) -> String {
    format!("{}.{}", quoted(&table.database), quoted(&table.table))
}

/// The statement for a table's first key, or its last.
pub(super) fn first_key(table: &TableId, key: &KeyColumns, last: bool) -> String {
    format!(
        "SELECT {} FROM {} ORDER BY {} LIMIT 1",
        key.expressions(),
        qualified(table),
        key.order(if last { " DESC" } else { "" })
    )
}
