//! The text of statements.
use super::arrange::Statement;
use super::batch::{Batch, Operation, Shape};
use super::change::Action;
use super::config::InsertMode;
use super::server::Server;
use super::table::Table;
use super::value::push_identifier;

/// A statement has no more bytes than this, unless a row of it has: larger ones are not faster.
const STATEMENT_BYTES: usize = 4 << 20;

/// The most conditions with OR between them: servers stop looking for an index for too many.
const CONDITIONS_MAX: usize = 500;

/// Writes statements.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub batch: &'a Batch,
    pub tables: &'a [Table],
    pub shapes: &'a [Shape],
    pub server: Server,
    pub mode: InsertMode,
    /// The most rows of a statement.
    pub rows_max: usize,
}

impl Writer<'_> {
    /// How many of `operations` go into the next statement: at least one.
    pub fn next_length(&self, statement: &Statement, operations: &[usize]) -> usize {
        // An update has values of its own for each row.
        let rows_max = match (statement.action, self.mode) {
            (Action::Write, InsertMode::Update) | (Action::Truncate, _) => 1,
            (Action::Delete, _) if self.shapes[statement.shape].key.len() > 1 => {
                self.rows_max.min(CONDITIONS_MAX)
            }
            _ => self.rows_max,
        };
        let names = self.tables[statement.table].statement_bytes;
        let bytes_max = STATEMENT_BYTES.min(self.server.packet_bytes_max.saturating_sub(names));
        let mut bytes = 0;
        let fitting = operations.iter().take(rows_max).take_while(|place| {
            let operation = &self.batch.operations[**place];
            bytes += self.size(operation, statement.action);
            bytes <= bytes_max
        });
        fitting.count().max(1)
    }

    fn size(&self, operation: &Operation, action: Action) -> usize {
        let text = match action {
            Action::Delete => &operation.key,
            _ => &operation.row,
        };
        text.len() + 4
    }

    /// Writes the statement for some of the operations.
    pub fn write(&self, statement: &Statement, operations: &[usize], out: &mut Vec<u8>) {
        out.clear();
        let table = &self.tables[statement.table];
        match (statement.action, self.mode) {
            (Action::Truncate, _) => {
                out.extend_from_slice(b"DELETE FROM ");
                out.extend_from_slice(&table.quoted);
            }
            (Action::Delete, _) => self.delete(statement, operations, out),
            (Action::Write, InsertMode::Update) => self.update(statement, operations, out),
            (Action::Write, mode) => self.insert(statement, operations, mode, out),
        }
    }

    fn text(&self, range: &std::ops::Range<usize>) -> &[u8] {
        &self.batch.text[range.clone()]
    }

    fn delete(&self, statement: &Statement, operations: &[usize], out: &mut Vec<u8>) {
        let (table, shape) = (&self.tables[statement.table], &self.shapes[statement.shape]);
        out.extend_from_slice(b"DELETE FROM ");
        out.extend_from_slice(&table.quoted);
        out.extend_from_slice(b" WHERE ");
        let single = match shape.key.as_slice() {
            [column] => Some(&table.columns[*column].name),
            _ => None,
        };
        if let Some(name) = single {
            push_identifier(out, name);
            out.extend_from_slice(b" IN (");
        }
        // Rows in brackets behind IN are not looked up by an index everywhere.
        let between: &[u8] = if single.is_some() { b"," } else { b" OR " };
        for (number, place) in operations.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(between);
            }
            out.extend_from_slice(self.text(&self.batch.operations[*place].key));
        }
        if single.is_some() {
            out.push(b')');
        }
    }

    fn update(&self, statement: &Statement, operations: &[usize], out: &mut Vec<u8>) {
        let (table, shape) = (&self.tables[statement.table], &self.shapes[statement.shape]);
        let Some(operation) = operations.first().map(|place| &self.batch.operations[*place]) else {
            return;
        };
        out.extend_from_slice(b"UPDATE ");
        out.extend_from_slice(&table.quoted);
        out.extend_from_slice(b" SET ");
        out.extend_from_slice(self.text(&operation.row));
        out.extend_from_slice(b" WHERE ");
        if let [column] = shape.key.as_slice() {
            push_identifier(out, &table.columns[*column].name);
            out.push(b'=');
        }
        out.extend_from_slice(self.text(&operation.key));
    }

    fn insert(&self, statement: &Statement, operations: &[usize], mode: InsertMode, out: &mut Vec<u8>) {
        let (table, shape) = (&self.tables[statement.table], &self.shapes[statement.shape]);
        out.extend_from_slice(b"INSERT INTO ");
        out.extend_from_slice(&table.quoted);
        out.extend_from_slice(b" (");
        for (number, column) in shape.columns.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            push_identifier(out, &table.columns[*column].name);
        }
        out.extend_from_slice(b") VALUES ");
        for (number, place) in operations.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.text(&self.batch.operations[*place].row));
        }
        if mode == InsertMode::Upsert {
            self.on_duplicate(table, shape, out);
        }
    }

    fn on_duplicate(&self, table: &Table, shape: &Shape, out: &mut Vec<u8>) {
        let named = self.server.names_new_rows();
        out.extend_from_slice(match named {
            true => b" AS __new ON DUPLICATE KEY UPDATE ".as_slice(),
            false => b" ON DUPLICATE KEY UPDATE ".as_slice(),
        });
        let begin = out.len();
        // The row that is in the way may be one with another key, which has the same value in another unique index. It must not get this
        // one's values.
        if table.has_other_uniques(&shape.key) {
            let first = &table.columns[shape.key[0]].name;
            push_identifier(out, first);
            out.extend_from_slice(b"=IF(");
            for (number, column) in shape.key.iter().enumerate() {
                if number > 0 {
                    out.extend_from_slice(b" AND ");
                }
                let name = &table.columns[*column].name;
                out.extend_from_slice(&table.quoted);
                out.push(b'.');
                push_identifier(out, name);
                out.extend_from_slice(b"<=>");
                push_new(out, name, named);
            }
            out.push(b',');
            push_new(out, first, named);
            // Two rows where one is wanted are an error of its own: 1242.
            out.extend_from_slice(b",(SELECT 1 UNION ALL SELECT 2))");
        }
        let others = shape.columns.iter().filter(|column| !shape.key.contains(column));
        for column in others {
            if out.len() > begin {
                out.push(b',');
            }
            let name = &table.columns[*column].name;
            push_identifier(out, name);
            out.push(b'=');
            push_new(out, name, named);
        }
        if out.len() == begin
            && let Some(column) = shape.key.first()
        {
            let name = &table.columns[*column].name;
            push_identifier(out, name);
            out.push(b'=');
            push_new(out, name, named);
        }
    }
}

/// A value of the row that was to be inserted.
fn push_new(out: &mut Vec<u8>, name: &str, named: bool) {
    match named {
        true => {
            out.extend_from_slice(b"__new.");
            push_identifier(out, name);
        }
        false => {
            out.extend_from_slice(b"VALUES(");
            push_identifier(out, name);
            out.push(b')');
        }
    }
}
