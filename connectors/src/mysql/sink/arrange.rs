//! In which statements operations go, and in which order.
//!
//! The order of the topic is always right, and slow. Tables that have nothing to do with each other, whose rows are told apart by their key
//! alone, need it only within a key: of each key the last row is written, deletions first (a collation may call two keys the same). Where
//! another unique index or a foreign key makes rows of different keys depend on each other, what is alike and follows each other goes
//! together; tables that others refer to come first, and with deletions last.
use std::collections::HashMap;

use super::batch::{Batch, Shape};
use super::change::Action;
use super::config::InsertMode;
use super::lanes::{Lane, lanes};
use super::spellings::Spellings;
use super::table::Table;

/// Operations that are alike: rows for one statement, or several when they are many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub action: Action,
    pub table: usize,
    pub shape: usize,
    /// Their places in the batch.
    pub operations: Vec<usize>,
}

/// The statements for those of a batch's operations that are `wanted`, in their order.
pub(super) fn arrange(
    batch: &Batch,
    wanted: &[usize],
    (tables, shapes): (&[Table], &[Shape]),
    mode: InsertMode,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    let lanes = lanes(batch, wanted, tables, shapes);
    let lane_of: HashMap<usize, usize> = lanes
        .iter()
        .enumerate()
        .flat_map(|(number, lane)| lane.ranks.keys().map(move |table| (*table, number)))
        .collect();
    let mut operations: Vec<Vec<usize>> = vec![Vec::new(); lanes.len()];
    for place in wanted {
        operations[lane_of[&batch.operations[*place].table]].push(*place);
    }
    for (lane, operations) in lanes.iter().zip(&operations) {
        let free = lane.ranks.len() == 1
            && !lane.strict
            && mode != InsertMode::Insert
            && !depend(batch, operations, tables, shapes);
        let mut arranging = Arranging {
            batch,
            shapes,
            statements: &mut statements,
        };
        match free {
            true => arranging.freely(operations, tables),
            false => arranging.in_stretches(operations, lane, tables, mode),
        }
    }
    statements
}

/// Whether rows of other keys can be in the way of one of these.
fn depend(batch: &Batch, operations: &[usize], tables: &[Table], shapes: &[Shape]) -> bool {
    let operations = operations.iter().map(|place| &batch.operations[*place]);
    let mut of_rows: Vec<usize> = operations
        .filter(|operation| operation.action != Action::Truncate)
        .map(|operation| operation.shape)
        .collect();
    of_rows.sort_unstable();
    of_rows.dedup();
    let mut shapes = of_rows.into_iter().map(|shape| &shapes[shape]);
    shapes.any(|shape| tables[shape.table].has_other_uniques(&shape.key))
}

fn key_of<'a>(batch: &'a Batch, shapes: &'a [Shape], place: usize) -> (&'a [usize], &'a [u8]) {
    let operation = &batch.operations[place];
    (&shapes[operation.shape].key, &batch.text[operation.key.clone()])
}

struct Arranging<'a> {
    batch: &'a Batch,
    shapes: &'a [Shape],
    statements: &'a mut Vec<Statement>,
}

/// What is to be done about a key.
#[derive(Default)]
struct OfKey {
    delete: Option<usize>,
    write: Option<usize>,
}

impl Arranging<'_> {
    /// Which columns are the key, and what they have.
    fn key(&self, place: usize) -> (&[usize], &[u8]) {
        key_of(self.batch, self.shapes, place)
    }

    /// Of each key the last, deletions first.
    fn freely(&mut self, operations: &[usize], tables: &[Table]) {
        // What is before a truncation leaves nothing behind.
        let begin = operations
            .iter()
            .rposition(|place| self.batch.operations[*place].action == Action::Truncate);
        if let Some(begin) = begin {
            self.push(operations[begin]);
        }
        let mut keys: Vec<OfKey> = Vec::new();
        let mut spellings = Spellings::default();
        let mut places: HashMap<(&[usize], &[u8]), usize> = HashMap::new();
        let (batch, shapes) = (self.batch, self.shapes);
        // Rows of one statement are written in their order anyway.
        let first = operations.last().map(|place| batch.operations[*place].shape);
        let mixed = operations.iter().any(|place| {
            let operation = &batch.operations[*place];
            operation.action != Action::Write || Some(operation.shape) != first
        });
        for place in &operations[begin.map_or(0, |begin| begin + 1)..] {
            let operation = &batch.operations[*place];
            let key = key_of(batch, shapes, *place);
            let mut number = *places.entry(key).or_insert(keys.len());
            let before = keys.get(number).and_then(|of_key| of_key.write);
            // A row with other columns does not stand for the one before it.
            let apart = before.is_some_and(|before| {
                operation.action == Action::Write
                    && !self.shapes[operation.shape].covers(&self.shapes[batch.operations[before].shape])
            });
            let writes = operation.action == Action::Write;
            let columns = (&tables[operation.table], key.0);
            let conflicts = |spellings: &mut Spellings, number| {
                mixed && spellings.conflict(columns, (key.1, number, operation.shape), writes)
            };
            if apart || conflicts(&mut spellings, number) {
                spellings = Spellings::default();
                conflicts(&mut spellings, 0);
                self.end(&std::mem::take(&mut keys));
                places.clear();
                places.insert(key, 0);
                number = 0;
            }
            if number == keys.len() {
                keys.push(OfKey::default());
            }
            let of_key = &mut keys[number];
            match operation.action {
                // A row that comes back has nothing of the old one.
                Action::Delete => (of_key.delete, of_key.write) = (Some(*place), None),
                _ => of_key.write = Some(*place),
            }
        }
        self.end(&keys);
    }

    fn end(&mut self, keys: &[OfKey]) {
        // In the order of the topic: the last of those that a collation calls the same is the one that stays.
        let in_order = |of: fn(&OfKey) -> Option<usize>| {
            let mut places: Vec<usize> = keys.iter().filter_map(of).collect();
            places.sort_unstable();
            places
        };
        let first = self.statements.len();
        for place in in_order(|of_key| of_key.delete) {
            self.push_after(first, place);
        }
        let first = self.statements.len();
        for place in in_order(|of_key| of_key.write) {
            self.push_after(first, place);
        }
    }

    /// In the order of the topic, but that tables take turns only where what is done changes.
    fn in_stretches(&mut self, operations: &[usize], lane: &Lane, tables: &[Table], mode: InsertMode) {
        let mut begin = 0;
        while begin < operations.len() {
            let first = &self.batch.operations[operations[begin]];
            let same = |place: &&usize| {
                let operation = &self.batch.operations[**place];
                operation.action == first.action && (!lane.strict || operation.table == first.table)
            };
            let length = operations[begin..].iter().take_while(same).count();
            let stretch = &operations[begin..begin + length];
            begin += length;
            let mut present: Vec<usize> = stretch
                .iter()
                .map(|place| self.batch.operations[*place].table)
                .collect();
            present.sort_unstable_by_key(|table| (lane.ranks[table], *table));
            present.dedup();
            if first.action != Action::Write {
                present.reverse();
            }
            for table in present {
                let its: Vec<usize> = stretch
                    .iter()
                    .copied()
                    .filter(|place| self.batch.operations[*place].table == table)
                    .collect();
                let its = self.without_repetitions(its, lane, &tables[table], mode);
                let first = self.statements.len();
                for place in its {
                    self.push_behind(first, place);
                }
            }
        }
    }

    /// Of each key the last row, where that leads to the same; and each deletion once.
    fn without_repetitions(
        &self,
        operations: Vec<usize>,
        lane: &Lane,
        table: &Table,
        mode: InsertMode,
    ) -> Vec<usize> {
        let Some(first) = operations.first().map(|place| &self.batch.operations[*place]) else {
            return operations;
        };
        let dependent = table.has_other_uniques(&self.shapes[first.shape].key) || lane.strict;
        let reducible = match first.action {
            Action::Write => {
                mode != InsertMode::Insert
                    && !dependent
                    && operations
                        .iter()
                        .all(|place| self.batch.operations[*place].shape == first.shape)
            }
            Action::Delete => true,
            Action::Truncate => return vec![operations[operations.len() - 1]],
        };
        if !reducible {
            return operations;
        }
        let last: HashMap<(&[usize], &[u8]), usize> = operations
            .iter()
            .map(|place| (self.key(*place), *place))
            .collect();
        operations
            .into_iter()
            .filter(|place| last[&self.key(*place)] == *place)
            .collect()
    }

    fn push(&mut self, place: usize) {
        let operation = &self.batch.operations[place];
        self.statements.push(Statement {
            action: operation.action,
            table: operation.table,
            shape: operation.shape,
            operations: vec![place],
        });
    }

    fn is_alike(&self, statement: &Statement, place: usize) -> bool {
        let operation = &self.batch.operations[place];
        (statement.action, statement.table, statement.shape)
            == (operation.action, operation.table, operation.shape)
    }

    /// Adds to any statement from the `first` one on that is alike: order does not matter among them.
    fn push_after(&mut self, first: usize, place: usize) {
        let alike =
            (first..self.statements.len()).find(|number| self.is_alike(&self.statements[*number], place));
        match alike {
            Some(number) => self.statements[number].operations.push(place),
            None => self.push(place),
        }
    }

    /// Adds to the last statement if it is alike, and not before the `first` one.
    fn push_behind(&mut self, first: usize, place: usize) {
        let last = self.statements.len().checked_sub(1).filter(|last| *last >= first);
        match last.filter(|last| self.is_alike(&self.statements[*last], place)) {
            Some(last) => self.statements[last].operations.push(place),
            None => self.push(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Operation;
    use super::super::table::tests::table;
    use super::*;

    /// Operations such as `w0:1` (write, table 0, key 1), `d`, `t`, and `p` for a row of fewer columns.
    fn arranged(tables: &[Table], mode: InsertMode, operations: &str) -> Vec<String> {
        let mut batch = Batch::default();
        let mut shapes = Vec::new();
        for table in 0..tables.len() {
            for columns in [vec![0, 1], vec![0]] {
                shapes.push(Shape {
                    table,
                    columns,
                    kept: Vec::new(),
                    key: vec![0],
                });
            }
        }
        for (index, text) in operations.split_whitespace().enumerate() {
            let (action, rest) = text.split_at(1);
            let (table, key) = rest.split_once(':').unwrap_or((rest, ""));
            let table: usize = table.parse().unwrap();
            let begin = batch.text.len();
            batch.text.extend_from_slice(key.as_bytes());
            batch.operations.push(Operation {
                index,
                partition: 0,
                offset: index as i64,
                action: match action {
                    "d" => Action::Delete,
                    "t" => Action::Truncate,
                    _ => Action::Write,
                },
                table,
                shape: table * 2 + usize::from(action == "p" || action == "d"),
                key: begin..batch.text.len(),
                row: begin..begin,
            });
        }
        let wanted: Vec<usize> = (0..batch.operations.len()).collect();
        let statements = arrange(&batch, &wanted, (tables, &shapes), mode);
        let shown = statements.iter().map(|statement| {
            let places: Vec<String> = statement.operations.iter().map(ToString::to_string).collect();
            let action = match statement.action {
                Action::Write => "w",
                Action::Delete => "d",
                Action::Truncate => "t",
            };
            format!("{action}{} {}", statement.table, places.join(","))
        });
        shown.collect()
    }

    fn plain(name: &str) -> Table {
        table(name, &["id int", "v int?"], &[&["id"]], &[])
    }

    fn child_of(name: &str, parent: &str) -> Table {
        table(name, &["id int", "v int?"], &[&["id"]], &[parent])
    }

    #[test]
    fn of_each_key_the_last_is_written() {
        let tables = [plain("a"), plain("b")];
        let upsert = |operations| arranged(&tables, InsertMode::Upsert, operations);
        assert_eq!(upsert("w0:1 w1:1 w0:2 w0:1"), ["w0 2,3", "w1 1"]);
        assert_eq!(upsert("w0:1 d0:1 w0:2 d0:2 w0:2"), ["d0 1,3", "w0 4"]);
        assert_eq!(upsert("w0:1 w0:2 t0 w0:3 d0:3 d0:4"), ["t0 2", "d0 4,5"]);
        assert_eq!(upsert("t0 w0:1 t0"), ["t0 2"]);
        // A row of fewer columns goes behind the one before it; one of more stands for it.
        assert_eq!(upsert("w0:1 w0:2 p0:1 w0:1"), ["w0 0,1", "w0 3"]);
        assert_eq!(upsert("w0:1 p0:1 p0:1"), ["w0 0", "w0 2"]);
        assert_eq!(upsert(""), [""; 0]);
    }

    #[test]
    fn keys_that_a_collation_calls_the_same_keep_their_order() {
        let tables = [table("a", &["id varchar(9)", "v int?"], &[&["id"]], &[])];
        let upsert = |operations| arranged(&tables, InsertMode::Upsert, operations);
        assert_eq!(upsert("w0:Bob w0:bob w0:Bob"), ["w0 1,2"]);
        assert_eq!(upsert("w0:bob d0:Bob"), ["w0 0", "d0 1"]);
        assert_eq!(upsert("w0:bob w0:x d0:Bob w0:y"), ["w0 0,1", "d0 2", "w0 3"]);
        assert_eq!(upsert("d0:Bob w0:bob d0:x w0:y"), ["d0 0,2", "w0 1,3"]);
        assert_eq!(upsert("w0:bob d0:bob w0:x d0:y"), ["d0 1,3", "w0 2"]);
        // Some collations take these for the same, too.
        assert_eq!(upsert("w0:Straße d0:strasse"), ["w0 0", "d0 1"]);
        // Rows of other columns do not go past each other.
        assert_eq!(upsert("p0:bob w0:Bob p0:BOB"), ["w0 0", "w0 1", "w0 2"]);
        // Numbers are what they look like.
        let tables = [plain("a")];
        assert_eq!(
            arranged(&tables, InsertMode::Upsert, "w0:1 d0:2 w0:3"),
            ["d0 1", "w0 0,2"]
        );
    }

    #[test]
    fn inserts_are_all_there_and_in_order() {
        let tables = [plain("a")];
        assert_eq!(
            arranged(&tables, InsertMode::Insert, "w0:1 w0:2 d0:1 w0:1"),
            ["w0 0,1", "d0 2", "w0 3"]
        );
    }

    #[test]
    fn another_unique_index_keeps_all_rows_in_order() {
        let tables = [table("a", &["id int", "mail int"], &[&["id"], &["mail"]], &[])];
        assert_eq!(
            arranged(&tables, InsertMode::Upsert, "w0:1 w0:2 w0:1 d0:2 d0:2 w0:3"),
            ["w0 0,1,2", "d0 4", "w0 5"]
        );
    }

    #[test]
    fn parents_come_first_and_go_last() {
        let tables = [child_of("line", "order"), plain("order"), plain("other")];
        assert_eq!(
            arranged(
                &tables,
                InsertMode::Upsert,
                "w1:1 w0:1 w2:1 w1:2 w0:2 w1:1 d0:1 d1:1 d0:2"
            ),
            ["w1 3,5", "w0 1,4", "d0 6,8", "d1 7", "w2 2"]
        );
    }

    #[test]
    fn rows_that_refer_to_rows_of_their_own_table_keep_the_topic_s_order() {
        let tables = [child_of("tree", "tree")];
        assert_eq!(
            arranged(&tables, InsertMode::Upsert, "w0:1 w0:2 w0:1"),
            ["w0 0,1,2"]
        );
        let circle = [child_of("a", "b"), child_of("b", "a")];
        assert_eq!(
            arranged(&circle, InsertMode::Upsert, "w0:1 w0:2 w1:1 w0:3"),
            ["w0 0,1", "w1 2", "w0 3"]
        );
    }

    #[test]
    fn a_reference_to_what_is_not_the_key_keeps_the_topic_s_order() {
        let parent = table("p", &["id int", "v int?"], &[&["id"]], &[]);
        let mut child = child_of("c", "p");
        child.parents[0].columns = vec!["v".to_owned()];
        assert_eq!(
            arranged(&[parent, child], InsertMode::Upsert, "w0:1 w1:1 w0:2"),
            ["w0 0", "w1 1", "w0 2"]
        );
    }
}
