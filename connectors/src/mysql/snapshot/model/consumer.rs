//! Who applies the records in their order, and what has to be true of what it has then.
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::upsets::matches;
use super::world::{Cell, Database, Event, Key, Kind, is_captured};
use crate::mysql::schema::TableId;
use crate::mysql::snapshot::{Run, RunKind, SnapshotState};

/// What is known of a table; values that were never told are nothing.
#[derive(Clone, Debug, Default)]
struct Known {
    rows: BTreeMap<Key, Vec<Option<i64>>>,
    /// Rows without a key that were read.
    read: usize,
}

/// What is known of a database from its records alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumer {
    /// Shared with what is stored, which is often.
    tables: BTreeMap<TableId, Rc<Known>>,
    given_up: BTreeSet<TableId>,
}

impl Consumer {
    fn of(&mut self, table: &TableId) -> &mut Known {
        Rc::make_mut(self.tables.entry(table.clone()).or_default())
    }

    /// Whoever was told of all that there is.
    pub(super) fn knowing(database: &Database) -> Self {
        let mut consumer = Self::default();
        for (table, rows) in database.iter().filter(|(table, _)| is_captured(table)) {
            let rows = rows.rows.iter().map(|(key, values)| {
                let values = values.iter().copied().map(Some).collect();
                (key.clone(), values)
            });
            consumer.of(table).rows = rows.collect();
        }
        consumer
    }

    pub(super) fn change(&mut self, event: &Event) {
        match event {
            Event::Insert { table, .. } | Event::Update { table, .. } | Event::Delete { table, .. }
                if !is_captured(table) => {}
            Event::Insert { table, key, values } => {
                let values = values.iter().copied().map(Some).collect();
                self.of(table).rows.insert(key.clone(), values);
            }
            Event::Update {
                table,
                old,
                new,
                after,
                ..
            } => {
                let known = self.of(table);
                let before = known.rows.remove(old).unwrap_or_default();
                let after = after.iter().enumerate();
                let values = after.map(|(at, value)| value.or_else(|| before.get(at).copied().flatten()));
                known.rows.insert(new.clone(), values.collect());
            }
            Event::Delete { table, key, .. } => {
                self.of(table).rows.remove(key);
            }
            Event::AddColumn(table) => self.each_row(table, |values| values.push(Some(0))),
            Event::DropColumn(table) => {
                self.each_row(table, |values| values.truncate(values.len().saturating_sub(1)))
            }
            Event::Truncate(table) => drop(self.tables.remove(table)),
            Event::Drop(table) => {
                self.tables.remove(table);
                self.given_up.remove(table);
            }
            Event::Rename(from, to) => {
                // Nobody tells of what is not captured.
                let known = self.tables.remove(from).filter(|_| is_captured(from));
                self.tables.insert(to.clone(), known.unwrap_or_default());
                self.given_up.remove(to);
                if self.given_up.remove(from) && is_captured(from) {
                    self.given_up.insert(to.clone());
                }
            }
            Event::Create(..) => {}
        }
    }

    fn each_row(&mut self, table: &TableId, each: impl FnMut(&mut Vec<Option<i64>>)) {
        self.of(table).rows.values_mut().for_each(each);
    }

    /// A row of a snapshot: it has to be the row that there is at this place of the stream.
    pub(super) fn read(
        &mut self,
        table: &TableId,
        kind: Kind,
        cells: &[String],
        now: &Database,
        begins: bool,
    ) -> Result<(), String> {
        let keys = kind.columns();
        let values: Vec<i64> = cells[keys..]
            .iter()
            .map(|cell| cell.parse().expect("a number"))
            .collect();
        let rows = now
            .get(table)
            .ok_or_else(|| format!("{table} is told of and not there"))?;
        let known = self.of(table);
        let key = if kind == Kind::Keyless {
            if begins {
                // What changes told before is among what is read.
                *known = Known::default();
            }
            // Rows are read in one order.
            let key = rows.rows.keys().nth(known.read).cloned().unwrap_or_default();
            known.read += 1;
            key
        } else {
            let texts = cells[..keys].iter().enumerate();
            let cell = |(index, text): (usize, &String)| match (kind, index) {
                (Kind::Text, 0) | (Kind::Composite, 1) => Cell::Text(text.clone()),
                _ => Cell::Int(text.parse().expect("a number")),
            };
            texts.map(cell).collect()
        };
        if rows.rows.get(&key) != Some(&values) {
            return Err(format!(
                "{table}: {key:?} is told as {values:?} where it is {:?}",
                rows.rows.get(&key)
            ));
        }
        known.rows.insert(key, values.into_iter().map(Some).collect());
        Ok(())
    }

    /// Nothing is known of these tables any more: they are asked for anew.
    pub(super) fn forget(&mut self, tables: &[TableId]) {
        for table in tables {
            // How far a table without a key is read stays: its rows still come.
            self.of(table).rows.clear();
            self.given_up.remove(table);
        }
    }

    /// Nobody promises anything of a table any more.
    pub(super) fn give_up(&mut self, table: &TableId) {
        self.given_up.insert(table.clone());
    }

    /// Whether all that is told to be known is known: of done tables all rows, of begun ones those up to their place.
    pub(super) fn check(
        &self,
        state: &SnapshotState,
        (now, visible): (&Database, &Database),
    ) -> Result<(), String> {
        let none = Rc::default();
        for (table, rows) in now {
            // What is not there any more cannot be read, and the stream will tell of it.
            if !visible.contains_key(table) || self.given_up.contains(table) || !is_captured(table) {
                continue;
            }
            let known = self.tables.get(table).unwrap_or(&none);
            let told = told(state, table);
            for (key, values) in rows.rows.iter().filter(|(key, _)| told(key)) {
                let own: Option<Vec<i64>> = known
                    .rows
                    .get(key)
                    .and_then(|values| values.iter().copied().collect());
                if own.as_ref() != Some(values) {
                    return Err(format!(
                        "{table}: {key:?} is {values:?}, and known as {:?}",
                        known.rows.get(key)
                    ));
                }
            }
            if let Some(surplus) = known
                .rows
                .keys()
                .find(|key| told(key) && !rows.rows.contains_key(*key))
            {
                return Err(format!("{table}: {surplus:?} is known, and not there"));
            }
        }
        Ok(())
    }
}

/// Which rows of a table are known, by the last snapshot that was asked of it.
fn told(state: &SnapshotState, table: &TableId) -> impl Fn(&Key) -> bool + use<> {
    let has = |run: &&Run| match &run.kind {
        RunKind::Initial => true,
        RunKind::Incremental(asked) => asked.tables.iter().any(|one| matches(one, table)),
    };
    let run = state.runs.iter().rev().find(has);
    let open = run.and_then(|run| run.open.iter().find(|open| open.table == *table));
    let begun = run.is_none_or(|run| run.begun.as_ref().is_some_and(|begun| table <= begun));
    let by_key = run.is_none_or(|run| match &run.kind {
        RunKind::Initial => true,
        RunKind::Incremental(asked) => asked.surrogate.is_none(),
    });
    let done = begun && open.is_none();
    let up_to = open.and_then(|open| open.last.as_ref()).filter(|_| by_key);
    let up_to = up_to.map(|last| place(last));
    let again: Vec<Key> = open
        .map(|open| open.again.iter().map(|key| place(key)).collect())
        .unwrap_or_default();
    move |key| done || (up_to.as_ref().is_some_and(|up_to| key <= up_to) && !again.contains(key))
}

fn place(parts: &[String]) -> Key {
    let cell = |part: &String| match part.strip_prefix('\'') {
        Some(text) => Cell::Text(text.to_owned()),
        None => part.parse().map_or_else(|_| Cell::Text(String::new()), Cell::Int),
    };
    parts.iter().map(cell).collect()
}
