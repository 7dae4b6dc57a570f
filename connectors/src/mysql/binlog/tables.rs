//! The tables that rows refer to.
use std::collections::HashMap;
use std::sync::Arc;

use super::Damage;
use super::table_map::TableMap;

/// Tables that are remembered beyond their statement, so that the next one with them need not be read again.
const REMEMBERED_MAX: usize = 1024;

/// Tables that one statement may change: triggers and cascades included, far more than any does.
const OF_STATEMENT_MAX: usize = 65_536;

/// Descriptions of tables by their id.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: HashMap<u64, Known>,
    /// The number of the current statement; a table is of it that was described in it.
    statement: u64,
    of_statement: usize,
}

#[derive(Debug)]
struct Known {
    /// The event's bytes, which tell whether the next description is the same.
    body: Box<[u8]>,
    table: Arc<TableMap>,
    statement: u64,
}

impl Tables {
    /// The table that a TABLE_MAP describes.
    pub(crate) fn describe(
        &mut self,
        body: &[u8],
        id_bytes: usize,
        mariadb: bool,
    ) -> Result<Arc<TableMap>, Damage> {
        let head = body.get(..id_bytes);
        let id = head.map(|bytes| bytes.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte)));
        let statement = self.statement;
        if let Some(known) = id.and_then(|id| self.known.get_mut(&id))
            && *known.body == *body
        {
            self.of_statement += usize::from(known.statement != statement);
            known.statement = statement;
            return Ok(Arc::clone(&known.table));
        }
        let table = Arc::new(TableMap::read(body, id_bytes, mariadb)?);
        self.of_statement += 1;
        if self.of_statement > OF_STATEMENT_MAX {
            let (value, rule) = (self.of_statement as u64, "more than a statement can change");
            return Err(Damage::Invalid {
                what: "the number of tables of a statement",
                value,
                rule,
            });
        }
        let known = Known {
            body: body.into(),
            table: Arc::clone(&table),
            statement,
        };
        self.known.insert(table.table_id, known);
        Ok(table)
    }

    /// The table of rows, which their statement has to describe.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<TableMap>> {
        let known = self.known.get(&id)?;
        (known.statement == self.statement).then(|| Arc::clone(&known.table))
    }

    /// The statement ends.
    pub(crate) fn end_statement(&mut self) {
        self.statement += 1;
        self.of_statement = 0;
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
    }

    /// Ids begin anew.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.end_statement();
    }
}
