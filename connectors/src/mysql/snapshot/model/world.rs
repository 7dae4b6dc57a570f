//! A database that is changed at random: its log, and what it was after each transaction.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mysql::binlog::{self, ColumnType, Value};
use crate::mysql::schema::{Column, Table, TableId};

/// A small generator (SplitMix64), so that a failure can be repeated from its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// What a table's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dense,
    Sparse,
    Composite,
    Text,
    Keyless,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Int(i64),
    Text(String),
}

pub(super) type Key = Vec<Cell>;

/// A table's rows. Those without a key are numbered, so that they have one here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    pub(super) kind: Kind,
    pub(super) columns: usize,
    pub(super) rows: BTreeMap<Key, Vec<i64>>,
}

pub(super) type Database = BTreeMap<TableId, Rows>;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Insert {
        table: TableId,
        key: Key,
        values: Vec<i64>,
    },
    /// What is nothing is not in the image after.
    Update {
        table: TableId,
        old: Key,
        new: Key,
        before: Vec<i64>,
        after: Vec<Option<i64>>,
    },
    Delete {
        table: TableId,
        key: Key,
        values: Vec<i64>,
    },
    AddColumn(TableId),
    DropColumn(TableId),
    Truncate(TableId),
    Drop(TableId),
    Rename(TableId, TableId),
    Create(TableId),
}

/// The database, its log, and how much of that is visible.
pub(super) struct World {
    /// What it was after so many transactions.
    pub(super) history: Vec<Database>,
    pub(super) log: Vec<Vec<Event>>,
    /// So many transactions are visible; the log may be further.
    pub(super) visible: usize,
    created: usize,
}

pub(super) fn name(table: &str) -> TableId {
    TableId::new("d", table)
}

/// Tables whose names begin so are not captured.
pub(super) fn is_captured(table: &TableId) -> bool {
    !table.table.starts_with('x')
}

pub(super) fn column_name(kind: Kind, index: usize) -> String {
    let keys = kind.columns();
    if index < keys {
        format!("k{index}")
    } else {
        format!("v{}", index - keys)
    }
}

impl Kind {
    pub(super) fn columns(self) -> usize {
        match self {
            Self::Keyless => 0,
            Self::Composite => 2,
            _ => 1,
        }
    }

    fn key(self, random: &mut Random) -> Key {
        let text = |random: &mut Random| {
            let length = random.below(4);
            (0..length)
                .map(|_| random.pick(&['a', 'B', 'ß', '\'', ' ']))
                .collect()
        };
        match self {
            Self::Dense => vec![Cell::Int(random.below(40) as i64 - 5)],
            Self::Sparse => vec![Cell::Int(
                (random.below(30) as i64 - 3) * random.pick(&[1, 1_000_003, 1 << 40]),
            )],
            Self::Composite => vec![Cell::Int(random.below(4) as i64), Cell::Text(text(random))],
            Self::Text => vec![Cell::Text(text(random))],
            Self::Keyless => vec![Cell::Int((random.next() >> 8) as i64)],
        }
    }
}

impl World {
    pub(super) fn new(random: &mut Random) -> Self {
        let kinds = [
            Kind::Dense,
            Kind::Sparse,
            Kind::Composite,
            Kind::Text,
            Kind::Keyless,
        ];
        let mut database = Database::new();
        for number in 0..2 + random.below(4) {
            let kind = random.pick(&kinds);
            let mut rows = Rows {
                kind,
                columns: 2,
                rows: BTreeMap::new(),
            };
            for _ in 0..random.below(60) {
                rows.rows.insert(
                    kind.key(random),
                    vec![random.below(100) as i64, random.below(100) as i64],
                );
            }
            let prefix = if number > 1 && random.one_in(4) { "x" } else { "t" };
            database.insert(name(&format!("{prefix}{number}")), rows);
        }
        Self {
            history: vec![database],
            log: Vec::new(),
            visible: 0,
            created: 0,
        }
    }

    pub(super) fn now(&self) -> &Database {
        self.history.last().expect("there is a beginning")
    }

    pub(super) fn at_visible(&self) -> &Database {
        &self.history[self.visible]
    }

    /// A transaction is written; it is visible later.
    pub(super) fn write(&mut self, random: &mut Random) {
        let mut database = self.now().clone();
        let mut events = Vec::new();
        if random.one_in(25) {
            events.extend(self.definition(&mut database, random).unwrap_or_default());
        } else {
            for _ in 0..1 + random.below(5) {
                events.extend(change(&mut database, random));
            }
        }
        self.log.push(events);
        self.history.push(database);
    }

    fn definition(&mut self, database: &mut Database, random: &mut Random) -> Option<Vec<Event>> {
        let tables: Vec<TableId> = database.keys().cloned().collect();
        let table = (!tables.is_empty()).then(|| random.pick(&tables))?;
        if random.one_in(4) {
            let other = random.pick(&tables);
            return (other != table).then(|| self.swap(database, table, other, random));
        }
        let rows = database.get_mut(&table)?;
        Some(vec![match random.below(7) {
            0 | 1 => {
                rows.columns += 1;
                rows.rows.values_mut().for_each(|values| values.push(0));
                Event::AddColumn(table)
            }
            2 if rows.columns > 1 => {
                rows.columns -= 1;
                rows.rows
                    .values_mut()
                    .for_each(|values| values.truncate(values.len() - 1));
                Event::DropColumn(table)
            }
            3 => {
                rows.rows.clear();
                Event::Truncate(table)
            }
            4 => {
                database.remove(&table);
                Event::Drop(table)
            }
            5 => {
                self.created += 1;
                let to = name(&format!("{}{}", random.pick(&["a", "s", "x", "z"]), self.created));
                let rows = database.remove(&table)?;
                database.insert(to.clone(), rows);
                Event::Rename(table, to)
            }
            _ => {
                self.created += 1;
                let (kind, created) = (
                    rows.kind,
                    name(&format!("{}{}", random.pick(&["b", "u"]), self.created)),
                );
                database.insert(
                    created.clone(),
                    Rows {
                        kind,
                        columns: 2,
                        rows: BTreeMap::new(),
                    },
                );
                Event::Create(created)
            }
        }])
    }

    /// Another table takes a table's name, as tools do that change tables without locking them.
    fn swap(
        &mut self,
        database: &mut Database,
        table: TableId,
        other: TableId,
        random: &mut Random,
    ) -> Vec<Event> {
        self.created += 1;
        let old = database.remove(&table).expect("it is there");
        let first = match random.below(3) {
            0 => {
                self.log.push(vec![Event::Drop(table.clone())]);
                self.history.push(database.clone());
                None
            }
            what => {
                let to = name(&format!("{}{}", ["x", "s"][what - 1], self.created));
                database.insert(to.clone(), old);
                Some(Event::Rename(table.clone(), to))
            }
        };
        let new = database.remove(&other).expect("it is there");
        database.insert(table.clone(), new);
        first.into_iter().chain([Event::Rename(other, table)]).collect()
    }
}

fn change(database: &mut Database, random: &mut Random) -> Option<Event> {
    let tables: Vec<TableId> = database.keys().cloned().collect();
    let table = (!tables.is_empty()).then(|| random.pick(&tables))?;
    let rows = database.get_mut(&table)?;
    let values = |random: &mut Random| {
        (0..rows.columns)
            .map(|_| random.below(100) as i64)
            .collect::<Vec<_>>()
    };
    let existing: Vec<Key> = rows.rows.keys().cloned().collect();
    let chosen = (!existing.is_empty()).then(|| random.pick(&existing));
    match (random.below(10), chosen) {
        (0..=2, _) | (_, None) => {
            let (key, values) = (rows.kind.key(random), values(random));
            if rows.rows.contains_key(&key) {
                return None;
            }
            rows.rows.insert(key.clone(), values.clone());
            Some(Event::Insert { table, key, values })
        }
        (3 | 4, Some(key)) => {
            let values = rows.rows.remove(&key)?;
            Some(Event::Delete { table, key, values })
        }
        (what, Some(old)) => {
            let new = if what == 5 {
                rows.kind.key(random)
            } else {
                old.clone()
            };
            if new != old && rows.rows.contains_key(&new) {
                return None;
            }
            let before = rows.rows.remove(&old)?;
            let partial = rows.kind != Kind::Keyless && random.one_in(3);
            let mut values = values(random);
            let mut after: Vec<Option<i64>> = values.iter().copied().map(Some).collect();
            if partial {
                let kept = random.below(values.len());
                values[kept] = before[kept];
                after[kept] = None;
            }
            rows.rows.insert(new.clone(), values);
            Some(Event::Update {
                table,
                old,
                new,
                before,
                after,
            })
        }
    }
}

/// How a table stands in the log, and in the server's descriptions.
pub(super) fn described(id: &TableId, rows: &Rows) -> Arc<Table> {
    let keys = rows.kind.columns();
    let columns = (0..keys + rows.columns).map(|index| {
        let text = matches!((rows.kind, index), (Kind::Text, 0) | (Kind::Composite, 1));
        let column_type = if text {
            ColumnType::Varchar { length_max: 40 }
        } else {
            ColumnType::LongLong
        };
        Column {
            name: column_name(rows.kind, index).into(),
            log: binlog::Column {
                column_type,
                nullable: false,
                unsigned: Some(false),
                collation: if text { 46 } else { 0 },
                name: None,
                labels: Vec::new(),
                geometry_type: None,
                vector_dimensions: None,
                visible: true,
            },
            declared: None,
            default: None,
            generated: false,
            auto_increment: false,
            comment: None,
        }
    });
    Arc::new(Table {
        id: id.clone(),
        columns: columns.collect(),
        key: (0..keys).collect(),
        comment: None,
        charset: None,
        structure: None,
    })
}

/// An image of a row.
pub(super) fn image<'a>(
    kind: Kind,
    key: &'a Key,
    values: impl IntoIterator<Item = Option<i64>>,
) -> Vec<Value<'a>> {
    let key = key.iter().take(kind.columns()).map(|cell| match cell {
        Cell::Int(number) => Value::Int(*number),
        Cell::Text(text) => Value::Text {
            bytes: text.as_bytes(),
            collation: 46,
        },
    });
    let values = values
        .into_iter()
        .map(|value| value.map_or(Value::Absent, Value::Int));
    key.chain(values).collect()
}
