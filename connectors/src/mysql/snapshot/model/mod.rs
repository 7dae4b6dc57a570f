//! Random lives of a snapshot: a database that is changed all the time, readers that take their time, and a source that is killed and begins
//! anew from what was stored, or that connects again in the midst of a transaction.
//!
//! What must hold: each row that is told is the row that the table has at that place of the stream; the rows up to a table's place are
//! exactly known to whoever applies the records; and when writing ends, so does the snapshot, and all is known.
mod answers;
mod consumer;
mod reading;
mod sql;
mod upsets;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use consumer::Consumer;
use reading::{Reading, Whole};
use regex::Regex;
use world::{Database, Event, Random, World, described, image};

use super::*;
use crate::mysql::binlog::Row;
use crate::mysql::config::{Filters, Patterns, Selection as Choice, SnapshotConfig, SnapshotMode};
use crate::mysql::record::Snapshot as Marker;
use crate::mysql::schema::{Table, TableId};
use crate::mysql::signal::{ExecuteSnapshot, Signal};
use crate::mysql::stream::{Gtids, LogPosition};

/// What is done wrong on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Nothing,
    /// Changes are not told to the snapshot.
    NoTouches,
    /// Nor are those that are passed over after a restart, or with another connection.
    NoTouchesOfPassedOver,
    /// Partial images are taken for whole ones.
    PartsAreWhole,
    /// The low mark is how far the log is, not what is visible, and nobody waits for it.
    LowMarkOfTheLog,
    /// Rows are released before a transaction of which a part is told.
    NoResumes,
    /// The stream goes on when it should stand still.
    NoHold,
    /// Changes of tables are not told.
    NoDefinitions,
}

/// By what marks are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    Transactions,
    Places,
    Both,
}

/// What is stored: records and offset are committed at once.
#[derive(Clone)]
struct Stored {
    transaction: usize,
    row: usize,
    state: SnapshotState,
    consumer: Consumer,
}

struct Life {
    random: Random,
    world: World,
    marks: Marks,
    mistake: Mistake,
    snapshot: Snapshot,
    readings: Vec<Reading>,
    wholes: BTreeMap<RequestId, Whole>,
    /// Tables without a key of which no row is told yet.
    begun: BTreeSet<TableId>,
    /// The stream's transaction, and how many of its events are handled.
    transaction: usize,
    row: usize,
    /// Up to here events were delivered before.
    passed_over: (usize, usize),
    tables: BTreeMap<TableId, Arc<Table>>,
    consumer: Consumer,
    /// Where all was right: the transaction, the state's revision, and what was visible.
    checked: Option<(usize, u64, usize)>,
    stored: Stored,
    kills: usize,
    settings: Settings,
}

fn settings(random: &mut Random) -> Settings {
    Settings {
        config: SnapshotConfig {
            mode: SnapshotMode::Initial,
            tables: Choice::All,
            readers: 1 + random.below(4),
            chunk_rows: random.pick(&[1, 3, 8, 30]),
            chunk_bytes: random.pick(&[40, 200, 100_000]),
            delay: random.pick(&[Duration::ZERO, Duration::from_secs(1)]),
            lock_timeout: Duration::from_secs(1),
            overrides: Vec::new(),
        },
        filters: Filters {
            tables: Choice::Exclude(Patterns(vec![Regex::new(r"^d\.x.*$").expect("an expression")])),
            ..Filters::default()
        },
        gtid_sources: Choice::All,
        window_bytes: random.pick(&[0, 200, 100_000]),
        selector: Arc::new(|table| {
            let names: Vec<String> = table
                .columns
                .iter()
                .map(|column| format!("`{}`", column.name))
                .collect();
            Ok(Selection {
                list: names.join(","),
                cells: names.len(),
            })
        }),
    }
}

impl Life {
    fn new(seed: u64, mistake: Mistake) -> Self {
        let mut random = Random(seed);
        let world = World::new(&mut random);
        let settings = settings(&mut random);
        let marks = random.pick(&[Marks::Transactions, Marks::Places, Marks::Both]);
        let (state, consumer) = match random.one_in(3) {
            true => (SnapshotState::default(), Consumer::knowing(world.now())),
            false => (SnapshotState::initial(), Consumer::default()),
        };
        let stored = Stored {
            transaction: 0,
            row: 0,
            state: state.clone(),
            consumer: consumer.clone(),
        };
        let snapshot = Snapshot::new(settings.clone(), state);
        Self {
            random,
            world,
            marks,
            mistake,
            snapshot,
            readings: Vec::new(),
            wholes: BTreeMap::new(),
            begun: BTreeSet::new(),
            transaction: 0,
            row: 0,
            passed_over: (0, 0),
            tables: BTreeMap::new(),
            consumer,
            checked: None,
            stored,
            kills: 0,
            settings,
        }
    }

    fn gtids(&self, number: usize) -> Gtids {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let text = if number == 0 {
            String::new()
        } else {
            format!("{uuid}:1-{number}")
        };
        Gtids::Mysql(text.parse().expect("a set"))
    }

    fn position(&self, number: usize) -> LogPosition {
        let gtids = (self.marks != Marks::Places).then(|| self.gtids(number));
        LogPosition {
            gtids,
            ..LogPosition::at("bin.000001", number as u64)
        }
    }

    /// All that is visible.
    fn low(&self) -> Mark {
        let number = if self.mistake == Mistake::LowMarkOfTheLog {
            self.world.log.len()
        } else {
            self.world.visible
        };
        match self.marks {
            Marks::Places => Mark::of_place("bin.000001", number as u64),
            _ => Mark::of_transactions(self.gtids(number)),
        }
    }

    /// Nothing that is visible is behind it.
    fn high(&self) -> Mark {
        let place = Mark::of_place("bin.000001", self.world.log.len() as u64);
        match self.marks {
            Marks::Places => place,
            Marks::Transactions => Mark::of_transactions(self.gtids(self.world.visible)),
            Marks::Both => Mark {
                gtids: Some(self.gtids(self.world.visible)),
                ..place
            },
        }
    }

    /// The stream stands between two transactions.
    fn boundary(&mut self) -> Result<(), String> {
        let position = self.position(self.transaction);
        let told_in_part = self.passed_over.0 == self.transaction && self.passed_over.1 > 0;
        if told_in_part && self.mistake != Mistake::NoResumes {
            self.snapshot.resumes(&position);
            self.ask();
            return Ok(());
        }
        self.snapshot.passed(&position);
        while let Some(release) = self.snapshot.next_release() {
            self.release(&release)?;
            self.snapshot.told(release);
            self.store();
        }
        self.snapshot.passed(&position);
        self.ask();
        self.store();
        if told_in_part {
            // Whoever applies the records is ahead of this place.
            return Ok(());
        }
        let here = (self.transaction, self.snapshot.revision(), self.world.visible);
        if self.checked.replace(here) == Some(here) {
            return Ok(());
        }
        self.consumer.check(
            self.snapshot.state(),
            (&self.world.history[self.transaction], self.world.at_visible()),
        )
    }

    fn release(&mut self, release: &Release) -> Result<(), String> {
        let now = &self.world.history[self.transaction];
        let table = &release.table.id;
        let rows = now
            .get(table)
            .ok_or_else(|| format!("{table} is told of and not there"))?;
        if *described(table, rows) != *release.table {
            return Err(format!("{table} is told of as it is not at this place"));
        }
        let begins = self.begun.remove(table);
        let mut cells = Vec::new();
        for index in 0..release.len() {
            let marker = release.row(index, &mut cells);
            assert_ne!(marker, Marker::No);
            let texts: Vec<String> = cells
                .iter()
                .map(|cell| String::from_utf8_lossy(cell.unwrap_or_default()).into_owned())
                .collect();
            self.consumer
                .read(table, rows.kind, &texts, now, begins && index == 0)?;
        }
        Ok(())
    }

    /// What is delivered: while events are passed over, more than is handled.
    fn delivered(&self) -> (usize, usize) {
        (self.transaction, self.row).max(self.passed_over)
    }

    fn store(&mut self) {
        let (transaction, row) = self.delivered();
        self.stored = Stored {
            transaction,
            row,
            state: self.snapshot.state().clone(),
            consumer: self.consumer.clone(),
        };
    }

    /// The stream goes one event on.
    fn stream(&mut self) -> Result<(), String> {
        if self.row == 0 {
            self.boundary()?;
        }
        if (self.snapshot.holds() && self.mistake != Mistake::NoHold)
            || self.transaction == self.world.log.len()
        {
            return Ok(());
        }
        match self.event() {
            Some(event) => {
                self.handle(&event);
                // What one statement does is handled as a whole.
                while let (Event::Rename(..), Some(next)) = (&event, self.event()) {
                    self.handle(&next);
                }
                if self.random.one_in(3) {
                    self.store();
                }
            }
            None => {
                (self.transaction, self.row) = (self.transaction + 1, 0);
                self.boundary()?;
            }
        }
        Ok(())
    }

    /// The event that comes next of the open transaction.
    fn event(&self) -> Option<Event> {
        self.world.log[self.transaction].get(self.row).cloned()
    }

    fn handle(&mut self, event: &Event) {
        let before = (self.transaction, self.row) < self.passed_over;
        // The run may end with this event.
        let gives_up = match event {
            Event::Rename(from, to) if self.is_asked_for(from) || !self.is_read(from, to) => Some(to),
            _ => None,
        };
        self.touch(event, before);
        if !before {
            self.consumer.change(event);
            gives_up.into_iter().for_each(|to| self.consumer.give_up(to));
        }
        self.row += 1;
    }

    fn touch(&mut self, event: &Event, before: bool) {
        let history = &self.world.history;
        let (table, was, is, told) = match event {
            Event::Insert { table, key, values } => (
                table,
                None,
                Some((key, values.iter().copied().map(Some).collect())),
                Told::Whole,
            ),
            Event::Delete { table, key, values } => (table, Some((key, values)), None, Told::Whole),
            Event::Update {
                table,
                old,
                new,
                before,
                after,
            } => {
                let partial = after.contains(&None) && self.mistake != Mistake::PartsAreWhole;
                (
                    table,
                    Some((old, before)),
                    Some((new, after.clone())),
                    if partial { Told::Part } else { Told::Whole },
                )
            }
            event => {
                if self.mistake != Mistake::NoDefinitions {
                    self.define(event);
                }
                return;
            }
        };
        let rows = history[self.transaction]
            .get(table)
            .or_else(|| history[self.transaction + 1].get(table));
        let rows = rows.expect("it is changed");
        let described = described(table, rows);
        let log = self
            .tables
            .entry(table.clone())
            .or_insert_with(|| Arc::clone(&described));
        if **log != *described {
            *log = described;
        }
        let mut row = Row::default();
        if let Some((key, values)) = was {
            row.before = image(rows.kind, key, values.iter().copied().map(Some));
        }
        let is: Option<(_, Vec<Option<i64>>)> = is;
        if let Some((key, values)) = &is {
            row.after = image(rows.kind, key, values.iter().copied());
        }
        let untold =
            self.mistake == Mistake::NoTouches || (before && self.mistake == Mistake::NoTouchesOfPassedOver);
        if let Some(mut touching) = self.snapshot.touching(log).filter(|_| !untold) {
            touching.row(&row, told);
        }
    }

    fn define(&mut self, event: &Event) {
        let known = match event {
            Event::AddColumn(table) | Event::DropColumn(table) => TableChange::Altered(table.clone()),
            Event::Truncate(table) => TableChange::Truncated(table.clone()),
            Event::Drop(table) => TableChange::Dropped(table.clone()),
            Event::Rename(from, to) => TableChange::Renamed {
                from: from.clone(),
                to: to.clone(),
            },
            Event::Create(table) => TableChange::Altered(table.clone()),
            Event::Insert { .. } | Event::Update { .. } | Event::Delete { .. } => return,
        };
        // Statements that nobody understands may change anything.
        let vague = matches!(
            event,
            Event::AddColumn(_) | Event::DropColumn(_) | Event::Create(..)
        );
        let change = match self.random.below(3) {
            0 if vague => TableChange::Everything,
            1 if vague => TableChange::Database("d".to_owned()),
            _ => known,
        };
        self.snapshot.changed(&change);
    }

    fn run(&mut self) -> Result<(), String> {
        let busy = 200 + self.random.below(1500);
        let killing = self.random.one_in(2);
        let signals = self.random.one_in(2) || self.snapshot.is_done();
        let reconnecting = self.random.one_in(2);
        // Servers that commit in groups are slow to show what is in their logs already.
        let showing = self.random.pick(&[12, 15, 25]);
        for _ in 0..busy {
            let what = self.random.below(100);
            match what {
                ..10 => self.world.write(&mut self.random),
                _ if what < showing && self.world.visible < self.world.log.len() => self.world.visible += 1,
                10..60 => self.read()?,
                60 | 62 if killing && (self.row > 0 || self.random.one_in(4)) => self.kill(),
                61 if self.random.one_in(10) => self.forget(),
                64 if reconnecting && (self.row > 0 || self.random.one_in(4)) => self.reconnect(),
                63 if signals => self.signal(),
                _ => self.stream()?,
            }
        }
        // Nobody writes any more: it comes to its end, and the stream to its own.
        self.world.visible = self.world.log.len();
        self.snapshot.signal(&Signal::Resume).expect("it is always taken");
        for _ in 0..20_000 {
            if self.snapshot.is_done() && self.transaction == self.world.log.len() {
                let now: &Database = self.world.now();
                return self.consumer.check(self.snapshot.state(), (now, now));
            }
            self.read()?;
            self.stream()?;
        }
        Err(format!("it does not end: {:?}", self.snapshot.state()))
    }
}

fn life(seed: u64, mistake: Mistake) -> Result<(), String> {
    Life::new(seed, mistake)
        .run()
        .map_err(|error| format!("seed {seed}: {error}"))
}

#[test]
fn whoever_applies_the_records_has_the_tables() {
    for seed in 0..100 {
        life(seed, Mistake::Nothing).unwrap();
    }
}

#[test]
fn each_mistake_is_noticed() {
    for mistake in [
        Mistake::NoTouches,
        Mistake::NoTouchesOfPassedOver,
        Mistake::PartsAreWhole,
        Mistake::LowMarkOfTheLog,
        Mistake::NoResumes,
        Mistake::NoHold,
        Mistake::NoDefinitions,
    ] {
        let noticed = (0..1000).find(|seed| life(*seed, mistake).is_err());
        assert!(noticed.is_some(), "{mistake:?} goes unnoticed");
    }
}

#[test]
fn what_is_asked_for_within_a_transaction_begins_behind_it() {
    let mut snapshot = Snapshot::new(settings(&mut Random(0)), SnapshotState::default());
    let asked = ExecuteSnapshot {
        id: "1".to_owned(),
        tables: vec!["d.t".to_owned()],
        conditions: Vec::new(),
        surrogate_key: None,
        blocking: false,
    };
    snapshot.signal(&Signal::Execute(asked)).expect("it is taken");
    // A chunk that is opened here would leave out rows that were told before anybody asked.
    snapshot.resumes(&LogPosition::at("bin.000001", 4));
    assert_eq!(snapshot.next_request(), None);
    snapshot.passed(&LogPosition::at("bin.000001", 9));
    let request = snapshot.next_request().expect("tables are asked for");
    assert_eq!(request.work, Work::List);
}
