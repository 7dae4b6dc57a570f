//! What single answers, signals and statements do, one after the other.
use super::reading::{chunk, survey};
use super::world::{Cell, Kind, Rows as TableRows, name};
use super::*;
use crate::mysql::binlog::Value;
use crate::mysql::signal::Signal;

/// A server at rest, and all that is told of it.
struct AtRest {
    snapshot: Snapshot,
    settings: Settings,
    database: Database,
    told: Vec<(TableId, Vec<String>)>,
    /// Of this table nothing may be read.
    refuses: Option<TableId>,
}

fn rows(count: i64, base: i64) -> TableRows {
    let rows = (0..count).map(|key| (vec![Cell::Int(key)], vec![base + key, key]));
    TableRows {
        kind: Kind::Dense,
        columns: 2,
        rows: rows.collect(),
    }
}

fn execute(tables: &str, surrogate: Option<&str>) -> Signal {
    Signal::Execute(ExecuteSnapshot {
        id: "1".to_owned(),
        tables: vec![tables.to_owned()],
        conditions: Vec::new(),
        surrogate_key: surrogate.map(str::to_owned),
        blocking: false,
    })
}

fn renamed(from: &str, to: &str) -> TableChange {
    TableChange::Renamed {
        from: name(from),
        to: name(to),
    }
}

impl AtRest {
    fn new(state: SnapshotState, tables: &[(&str, TableRows)]) -> Self {
        let mut settings = settings(&mut Random(0));
        settings.config.readers = 1;
        settings.config.chunk_rows = 5;
        settings.config.chunk_bytes = 100_000;
        settings.config.delay = Duration::ZERO;
        let tables = tables.iter();
        Self {
            snapshot: Snapshot::new(settings.clone(), state),
            settings,
            database: tables.map(|(table, rows)| (name(table), rows.clone())).collect(),
            told: Vec::new(),
            refuses: None,
        }
    }

    fn begin_anew(&mut self) {
        let state = self.snapshot.state().to_fields();
        let state = state.map(|fields| SnapshotState::from_fields(&fields).expect("it was stored"));
        self.snapshot = Snapshot::new(self.settings.clone(), state.unwrap_or_default());
    }

    fn stand(&mut self) -> Option<Request> {
        let position = LogPosition::at("bin.000001", 9);
        self.snapshot.passed(&position);
        while let Some(release) = self.snapshot.next_release() {
            let mut cells = Vec::new();
            for index in 0..release.len() {
                release.row(index, &mut cells);
                let texts = cells
                    .iter()
                    .map(|cell| String::from_utf8_lossy(cell.expect("a value")).into_owned());
                self.told.push((release.table.id.clone(), texts.collect()));
            }
            self.snapshot.told(release);
        }
        self.snapshot.passed(&position);
        self.snapshot.next_request()
    }

    fn outcome(&self, work: &Work) -> Outcome {
        let mark = Mark::of_place("bin.000001", 9);
        let table = match work {
            Work::Survey { table, .. } => Some(table),
            Work::Chunk(work) => Some(&work.table),
            _ => None,
        };
        if let Some(table) = table.filter(|table| self.refuses.as_ref() == Some(*table)) {
            let message = "SELECT command denied".to_owned();
            let table = table.clone();
            return Outcome::Failed(SnapshotError::Refused { table, message });
        }
        match work {
            Work::List => Outcome::Listed {
                tables: self.database.keys().map(|table| (table.clone(), 0)).collect(),
                high: mark,
            },
            Work::Survey { table, surrogate } => survey(table, surrogate.as_deref(), &self.database, mark),
            Work::Chunk(work) => match sql::select(&work.sql, &self.database) {
                Some(rows) => chunk(work, mark.clone(), mark, &rows),
                None => Outcome::Changed("no such column".to_owned()),
            },
            work => unreachable!("{work:?}"),
        }
    }

    /// Answers requests until it is so, or nothing more is asked for.
    fn until(&mut self, so: impl Fn(&Self) -> bool) -> Result<(), SnapshotError> {
        while !so(self) {
            let Some(request) = self.stand() else { break };
            let (id, outcome) = (request.id, self.outcome(&request.work));
            self.snapshot.answered(Answer { id, outcome })?;
        }
        Ok(())
    }

    fn is_in_midst_of(&self, table: &str) -> bool {
        let open = self.snapshot.state().runs.first().map(|run| &run.open);
        let open = open.into_iter().flatten();
        open.into_iter()
            .any(|open| open.table == name(table) && open.last.is_some())
    }

    fn told_of(&self, table: &str) -> BTreeSet<Vec<String>> {
        let own = self.told.iter().filter(|(id, _)| *id == name(table));
        own.map(|(_, row)| row.clone()).collect()
    }

    fn is_told(&self, table: &str) -> bool {
        let rows = &self.database[&name(table)].rows;
        let told = self.told_of(table);
        rows.iter().all(|(key, values)| {
            let Cell::Int(key) = key[0] else { return false };
            let row = [key].iter().chain(values).map(i64::to_string).collect::<Vec<_>>();
            told.contains(&row)
        })
    }
}

/// A tool that changes a table without locking it copies its rows to another, and swaps the two in the end.
#[test]
fn a_table_that_takes_the_name_of_one_that_is_being_read_is_read() {
    for (signal, new) in [(false, "x_new"), (true, "x_new"), (false, "a_new")] {
        let state = if signal {
            SnapshotState::default()
        } else {
            SnapshotState::initial()
        };
        let mut one = AtRest::new(state, &[(new, rows(20, 500)), ("t", rows(20, 100))]);
        if signal {
            one.snapshot.signal(&execute(r"d\.t", None)).expect("it is taken");
        }
        one.until(|one| one.is_in_midst_of("t")).unwrap();
        assert!(one.is_in_midst_of("t"));
        let old = one.database.remove(&name("t")).unwrap();
        one.database.insert(name("x_old"), old);
        let swapped = one.database.remove(&name(new)).unwrap();
        one.database.insert(name("t"), swapped);
        one.snapshot.changed(&renamed("t", "x_old"));
        one.snapshot.changed(&renamed(new, "t"));
        one.until(|_| false).unwrap();
        assert!(one.snapshot.is_done());
        assert!(one.is_told("t"), "{new}: {:?}", one.told_of("t"));
    }
}

#[test]
fn that_a_table_went_away_untold_is_stored() {
    let tables = [
        ("a_new", rows(20, 500)),
        ("t", rows(20, 100)),
        ("z", rows(20, 100)),
    ];
    let mut one = AtRest::new(SnapshotState::initial(), &tables);
    one.until(|one| one.is_in_midst_of("t")).unwrap();
    one.database.remove(&name("t"));
    one.snapshot.changed(&TableChange::Dropped(name("t")));
    one.until(|one| one.is_in_midst_of("z")).unwrap();
    one.begin_anew();
    assert!(one.is_in_midst_of("z"));
    one.stand();
    let swapped = one.database.remove(&name("a_new")).unwrap();
    one.database.insert(name("t"), swapped);
    one.snapshot.changed(&renamed("a_new", "t"));
    one.begin_anew();
    one.until(|_| false).unwrap();
    assert!(one.snapshot.is_done() && one.is_told("t") && one.is_told("z"));
}

/// The run must not end between the two statements with which a table is replaced.
#[test]
fn a_table_that_takes_the_name_of_the_last_one_in_a_statement_of_its_own_is_read() {
    for ahead in [false, true] {
        let mut one = AtRest::new(SnapshotState::initial(), &[("t", rows(20, 100))]);
        one.until(|one| one.is_in_midst_of("t")).unwrap();
        one.database.remove(&name("t"));
        if ahead {
            // The server says so before the log does.
            one.until(|one| !one.is_in_midst_of("t")).unwrap();
        }
        one.snapshot.changed(&TableChange::Dropped(name("t")));
        one.begin_anew();
        one.database.insert(name("t"), rows(20, 500));
        one.until(|_| false).unwrap();
        assert!(one.snapshot.is_done());
        assert!(one.is_told("t"), "{ahead}: {:?}", one.told_of("t"));
    }
}

/// Who changes a row so has it stand elsewhere in the order in which rows are read, and need not tell all of it.
#[test]
fn a_row_with_another_surrogate_key_is_read_again() {
    let mut one = AtRest::new(SnapshotState::default(), &[("t", rows(20, 100))]);
    let signal = execute(r"d\.t", Some("v0"));
    one.snapshot.signal(&signal).expect("it is taken");
    one.until(|one| one.is_in_midst_of("t")).unwrap();
    let table = described(&name("t"), &one.database[&name("t")]);
    let minimal = |key, value| Row {
        before: vec![Value::Int(key), Value::Absent, Value::Absent],
        after: vec![Value::Absent, value, Value::Absent],
    };
    let mut touching = one.snapshot.touching(&table).expect("it is being read");
    touching.row(&minimal(17, Value::Int(3)), Told::Part);
    // The order of the others stays.
    touching.row(
        &Row {
            before: vec![Value::Int(16), Value::Int(116), Value::Int(1)],
            after: vec![Value::Int(16), Value::Int(116), Value::Absent],
        },
        Told::Part,
    );
    assert_eq!(one.snapshot.state().runs[0].open[0].again, [["17"]]);
}

/// While a snapshot waits, rows get other keys as ever.
#[test]
fn a_snapshot_that_waits_knows_of_changes_after_a_restart() {
    let mut one = AtRest::new(SnapshotState::default(), &[("t", rows(20, 100))]);
    let signal = execute(r"d\.t", None);
    one.snapshot.signal(&signal).expect("it is taken");
    one.until(|one| one.is_in_midst_of("t")).unwrap();
    one.snapshot.signal(&Signal::Pause).expect("it is taken");
    one.begin_anew();
    let told = one.told.len();
    one.until(|_| false).unwrap();
    assert_eq!(one.told.len(), told);
    assert!(!one.snapshot.holds());
    let table = described(&name("t"), &one.database[&name("t")]);
    let moved = Row {
        before: vec![Value::Int(19), Value::Absent, Value::Absent],
        after: vec![Value::Int(-1), Value::Absent, Value::Absent],
    };
    let touching = one.snapshot.touching(&table);
    touching.expect("it waits").row(&moved, Told::Part);
    assert_eq!(one.snapshot.state().runs[0].open[0].again, [["-1"]]);
}

#[test]
fn what_a_signal_asks_for_in_vain_ends_alone() {
    let tables = [("a", rows(20, 100)), ("t", rows(20, 100))];
    let mut one = AtRest::new(SnapshotState::default(), &tables);
    one.refuses = Some(name("a"));
    one.snapshot
        .signal(&execute(r"d\..*", None))
        .expect("it is taken");
    one.until(|_| false).unwrap();
    assert!(one.snapshot.is_done());
    assert!(one.told_of("a").is_empty() && one.is_told("t"));
    // There is no such column.
    one.refuses = None;
    one.snapshot.signal(&execute(r"d\.t", None)).expect("it is taken");
    one.until(|one| one.is_in_midst_of("t")).unwrap();
    while let Some(Request { id, .. }) = one.stand() {
        let outcome = Outcome::Changed("unknown column".to_owned());
        one.snapshot.answered(Answer { id, outcome }).unwrap();
    }
    assert!(one.snapshot.is_done());
    // Not even tables may be listed.
    one.snapshot.signal(&execute(r"d\.t", None)).expect("it is taken");
    let Request { id, .. } = one.stand().expect("tables are asked for");
    let outcome = Outcome::Failed(SnapshotError::Denied("no".to_owned()));
    one.snapshot.answered(Answer { id, outcome }).unwrap();
    assert!(one.snapshot.is_done());
}

#[test]
fn what_all_of_the_source_begins_with_may_not_be_refused() {
    let mut one = AtRest::new(SnapshotState::initial(), &[("a", rows(20, 100))]);
    one.refuses = Some(name("a"));
    let refused = one.until(|_| false).unwrap_err();
    assert!(matches!(refused, SnapshotError::Refused { table, .. } if table == name("a")));
}

#[test]
fn what_is_asked_for_after_a_pause_of_nothing_does_not_wait() {
    let mut one = AtRest::new(SnapshotState::default(), &[("t", rows(20, 100))]);
    let pause = |one: &mut AtRest| one.snapshot.signal(&Signal::Pause).expect("it is taken");
    pause(&mut one);
    assert_eq!(one.snapshot.state(), &SnapshotState::default());
    let signal = execute(r"d\.t", None);
    one.snapshot.signal(&signal).expect("it is taken");
    pause(&mut one);
    assert!(one.snapshot.state().paused);
    let stop = Signal::Stop(Vec::new());
    one.snapshot.signal(&stop).expect("it is taken");
    assert_eq!(one.snapshot.state(), &SnapshotState::default());
    one.snapshot.signal(&signal).expect("it is taken");
    one.until(|_| false).unwrap();
    assert!(one.snapshot.is_done() && one.is_told("t"));
    // As older offsets may have it.
    let sticking = SnapshotState {
        paused: true,
        ..SnapshotState::default()
    };
    let one = AtRest::new(sticking, &[]);
    assert!(!one.snapshot.state().paused);
}

#[test]
fn what_is_not_told_need_not_be_visible() {
    let (counts, other) = (
        "3e11fa47-71ca-11e1-9e33-c80aa9429562",
        "4e11fa47-71ca-11e1-9e33-c80aa9429562",
    );
    let mut settings = settings(&mut Random(0));
    settings.config.delay = Duration::ZERO;
    let pattern = Regex::new(&format!("^{counts}$")).expect("an expression");
    settings.gtid_sources = Choice::Include(Patterns(vec![pattern]));
    let mut snapshot = Snapshot::new(settings, SnapshotState::initial());
    let gtids = format!("{counts}:1-7,{other}:1-9").parse::<Gtids>();
    snapshot.passed(&LogPosition {
        gtids: Some(gtids.expect("a set")),
        ..LogPosition::at("bin.000001", 9)
    });
    let request = snapshot.next_request().expect("tables are asked for");
    let there = format!("{counts}:1-8").parse::<Gtids>().expect("a set");
    assert!(
        Mark::of_transactions(there).covers(&request.after),
        "{:?}",
        request.after
    );
}
