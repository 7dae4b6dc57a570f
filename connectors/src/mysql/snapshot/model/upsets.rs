//! What comes in between: the source is killed, its connection breaks, another server answers, and signals ask for something.
use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;

use super::world::{Database, is_captured};
use super::{Life, Snapshot, SnapshotState};
use crate::mysql::schema::TableId;
use crate::mysql::signal::{ExecuteSnapshot, Signal, expression};
use crate::mysql::snapshot::{Run, RunKind};

impl Life {
    /// Whether a signal asked for a table: under another name, nobody did.
    pub(super) fn is_asked_for(&self, table: &TableId) -> bool {
        self.snapshot.state().runs.iter().any(|run| match &run.kind {
            RunKind::Initial => false,
            RunKind::Incremental(asked) => asked.tables.iter().any(|one| matches(one, table)),
        })
    }

    /// Whether somebody promises that all is known of a table that gets another name.
    pub(super) fn is_read(&self, from: &TableId, to: &TableId) -> bool {
        let has = |asked: &[String]| asked.iter().any(|one| matches(one, to));
        is_captured(from)
            || self.snapshot.state().runs.iter().any(|run| match &run.kind {
                RunKind::Initial => true,
                RunKind::Incremental(asked) => has(&asked.tables) && !has(&asked.stopped),
            })
    }

    /// The source dies, and begins anew from what was stored.
    pub(super) fn kill(&mut self) {
        self.kills += 1;
        let stored = self.stored.clone();
        let fields = stored.state.to_fields();
        let state =
            fields.map(|fields| SnapshotState::from_fields(&fields).expect("what was stored is a state"));
        self.snapshot = Snapshot::new(self.settings.clone(), state.unwrap_or_default());
        self.readings.clear();
        self.wholes.clear();
        self.tables.clear();
        self.checked = None;
        self.consumer = stored.consumer;
        (self.transaction, self.row) = (stored.transaction, 0);
        self.passed_over = (stored.transaction, stored.row);
    }

    /// The stream's connection is made again, maybe to another server: all but the stream stays, and what is delivered of the open transaction is
    /// passed over.
    pub(super) fn reconnect(&mut self) {
        self.passed_over = self.delivered();
        self.row = 0;
        if self.random.one_in(3) {
            self.snapshot.forget_pending();
        }
    }

    /// Somebody asks for something, between two transactions or within one.
    pub(super) fn signal(&mut self) {
        let now = &self.world.history[self.transaction + usize::from(self.row > 0)];
        let signal = match self.random.below(6) {
            0 => Signal::Pause,
            1 | 2 => Signal::Resume,
            3 => Signal::Stop(Vec::new()),
            _ if now.is_empty() => return,
            what => {
                let table = self.random.pick(&now.keys().cloned().collect::<Vec<_>>());
                let tables = vec![self.random.pick(&[table.to_string(), r"d\.t.*".to_owned()])];
                match what {
                    4 => Signal::Stop(tables),
                    _ => Signal::Execute(ExecuteSnapshot {
                        id: "1".to_owned(),
                        tables,
                        conditions: Vec::new(),
                        surrogate_key: self.random.one_in(2).then(|| "v0".to_owned()),
                        blocking: self.random.one_in(2),
                    }),
                }
            }
        };
        let asked = |runs: &[Run]| -> Vec<TableId> {
            let asked = runs.iter().filter_map(|run| match &run.kind {
                RunKind::Initial => None,
                RunKind::Incremental(asked) => Some(asked.tables.clone()),
            });
            let asked: Vec<String> = asked.flatten().collect();
            matching(&asked, now)
        };
        match &signal {
            Signal::Stop(tables) => {
                let pending = asked(&self.snapshot.state().runs);
                let stopped = if tables.is_empty() {
                    pending.clone()
                } else {
                    matching(tables, now)
                };
                let stopped = stopped.iter().filter(|table| pending.contains(table));
                stopped.for_each(|table| self.consumer.give_up(table));
            }
            // Until the initial snapshot is done, its rows are still to come.
            Signal::Execute(_) if self.snapshot.state().is_initial() => return,
            Signal::Execute(execute) => self.consumer.forget(&matching(&execute.tables, now)),
            _ => {}
        }
        if self.snapshot.signal(&signal).is_err() {
            // There are too many: what was forgotten is not told again.
            if let Signal::Execute(execute) = &signal {
                matching(&execute.tables, now)
                    .iter()
                    .for_each(|table| self.consumer.give_up(table));
            }
        }
        self.store();
    }

    /// Another server answers now, say.
    pub(super) fn forget(&mut self) {
        if self.row == 0 {
            self.snapshot.forget_pending();
        }
    }
}

thread_local! {
    /// Expressions are made once: nothing else takes as long here.
    static EXPRESSIONS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Whether an expression of a signal means a table.
pub(super) fn matches(text: &str, table: &TableId) -> bool {
    EXPRESSIONS.with_borrow_mut(|known| {
        let made = || expression(text).expect("an expression");
        let one = known.entry(text.to_owned()).or_insert_with(made);
        one.is_match(&table.to_string())
    })
}

fn matching(expressions: &[String], now: &Database) -> Vec<TableId> {
    let has = |table: &&TableId| expressions.iter().any(|one| matches(one, table));
    now.keys().filter(has).cloned().collect()
}
