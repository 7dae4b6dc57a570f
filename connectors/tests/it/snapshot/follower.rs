//! Follows a server's log event by event, with a snapshot beside it, and keeps what whoever applies their records would have.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_connectors::mysql::binlog::{Change, Decoder, Event, Limits, Row, Value};
use millstream_connectors::mysql::client::{Client, DumpStart, EventStream, Gtids as EndGtids};
use millstream_connectors::mysql::config::{Filters, Selection as Choice, SnapshotConfig, SnapshotMode};
use millstream_connectors::mysql::record::{Snapshot as Marker, select_expression};
use millstream_connectors::mysql::schema::{Table, describe};
use millstream_connectors::mysql::snapshot::{
    Readers, ReadersConfig, Selection, Settings, Snapshot, SnapshotState, TableChange, Told,
};
use millstream_connectors::mysql::stream::{Gtids, LogPosition};

use super::values::{cell, key_of, printed};
use crate::log;
use crate::servers::Server;

/// A row's values as text, by a text of its key; values that were never told are nothing.
pub type Known = BTreeMap<String, Vec<Option<String>>>;

pub struct Follower {
    server: &'static Server,
    database: String,
    pub settings: Settings,
    pub snapshot: Snapshot,
    readers: Readers,
    identity: String,
    stream: EventStream,
    decoder: Decoder,
    position: LogPosition,
    within: bool,
    /// What tables are at the stream's place.
    tables: BTreeMap<String, Arc<Table>>,
    pub known: BTreeMap<String, Known>,
    /// Rows of tables without a key, and how often they are there.
    pub bags: BTreeMap<String, BTreeMap<Vec<Option<String>>, i64>>,
    pub markers: Vec<Marker>,
    pub told: BTreeMap<String, usize>,
    pub changes: usize,
}

pub fn settings(database: &str, readers: usize, chunk_rows: usize) -> Settings {
    let database = format!("(?i)^{database}$");
    let pattern = regex::Regex::new(&database).unwrap();
    Settings {
        config: SnapshotConfig {
            mode: SnapshotMode::Initial,
            tables: Choice::All,
            readers,
            chunk_rows,
            chunk_bytes: 1 << 20,
            delay: std::time::Duration::ZERO,
            lock_timeout: std::time::Duration::from_secs(10),
            overrides: Vec::new(),
        },
        filters: Filters {
            databases: Choice::Include(millstream_connectors::mysql::config::Patterns(vec![pattern])),
            ..Filters::default()
        },
        gtid_sources: Choice::All,
        window_bytes: 1 << 20,
        selector: Arc::new(|table| {
            let list: Vec<String> = table.columns.iter().map(select_expression).collect();
            Ok(Selection {
                list: list.join(", "),
                cells: table.columns.len(),
            })
        }),
    }
}

pub async fn described(client: &mut Client, database: &str) -> BTreeMap<String, Arc<Table>> {
    let mut ids = describe::table_ids(client).await.unwrap();
    ids.retain(|id| *id.database == *database);
    let described = describe::tables(client, &ids).await.unwrap();
    assert_eq!(described.unknown, []);
    let tables = described.tables.into_iter();
    tables
        .map(|found| (found.table.id.table.to_string(), Arc::new(found.table)))
        .collect()
}

impl Follower {
    /// Begins at the log's end as it is now.
    pub async fn start(
        server: &'static Server,
        number: u32,
        settings: Settings,
        state: SnapshotState,
        database: &str,
    ) -> Self {
        let mut client = server.root().await;
        let end = client.log_end().await.unwrap();
        let tables = described(&mut client, database).await;
        let identity = client.facts().await.unwrap().identity;
        let request = log::request(number, DumpStart::Place(end.place.clone()));
        let stream = client.dump(&request).await.unwrap();
        let gtids = end.gtids.map(|gtids| match gtids {
            EndGtids::MySql(set) => Gtids::Mysql(set),
            EndGtids::MariaDb(position) => Gtids::Mariadb(position),
        });
        let position = LogPosition {
            gtids,
            ..LogPosition::at(end.place.file.clone(), end.place.position)
        };
        let readers = readers(server, &settings, &identity);
        Self {
            server,
            database: database.to_owned(),
            snapshot: Snapshot::new(settings.clone(), state),
            settings,
            readers,
            identity,
            stream,
            decoder: Decoder::new(&end.place.file, end.place.position, Limits::default()),
            position,
            within: false,
            tables,
            known: BTreeMap::new(),
            bags: BTreeMap::new(),
            markers: Vec::new(),
            told: BTreeMap::new(),
            changes: 0,
        }
    }

    /// The source dies and begins anew from what it stored.
    pub fn begin_anew(&mut self) {
        assert!(!self.within);
        let state = self.snapshot.state().to_fields();
        let state = state.map(|fields| SnapshotState::from_fields(&fields).unwrap());
        self.snapshot = Snapshot::new(self.settings.clone(), state.unwrap_or_default());
        self.readers = readers(self.server, &self.settings, &self.identity);
    }

    /// As where it began from a file and a position alone.
    pub fn forget_gtids(&mut self) {
        self.position.gtids = None;
    }

    pub fn is_within(&self) -> bool {
        self.within
    }

    /// Goes on until the snapshot is done.
    pub async fn follow(&mut self) {
        while !self.snapshot.is_done() {
            self.step().await;
        }
    }

    /// Goes on until all is told that is in the log now.
    pub async fn follow_to_end(&mut self) {
        let end = log::end(self.server).await;
        let end = LogPosition::at(end.file, end.position);
        while self.within || !self.position.has_passed(&end) {
            self.step().await;
        }
    }

    pub async fn step(&mut self) {
        while let Some(answer) = self.readers.try_answer() {
            self.snapshot.answered(answer).unwrap();
        }
        if !self.within {
            self.stand();
        }
        if self.snapshot.is_done() {
            // There may be nothing more in the log.
            let next = tokio::time::timeout(std::time::Duration::from_millis(20), self.stream.next()).await;
            if let Ok(event) = next {
                self.event(event.unwrap().expect("the stream goes on"));
            }
        } else if self.snapshot.holds() {
            let answer = self.readers.answer().await;
            self.snapshot.answered(answer).unwrap();
        } else {
            tokio::select! {
                answer = self.readers.answer() => self.snapshot.answered(answer).unwrap(),
                event = self.stream.next() => self.event(event.unwrap().expect("the stream goes on")),
            }
        }
    }

    fn stand(&mut self) {
        self.snapshot.passed(&self.position);
        while let Some(release) = self.snapshot.next_release() {
            let table = Arc::clone(&release.table);
            let name = table.id.table.to_string();
            let mut cells = Vec::new();
            for index in 0..release.len() {
                let marker = release.row(index, &mut cells);
                let values: Vec<_> = table
                    .columns
                    .iter()
                    .zip(&cells)
                    .map(|(column, text)| cell(column, *text))
                    .collect();
                if table.key.is_empty() {
                    if matches!(marker, Marker::First | Marker::FirstInTable) {
                        // What changes told before is among what is read.
                        self.bags.remove(&name);
                    }
                    *self
                        .bags
                        .entry(name.clone())
                        .or_default()
                        .entry(values)
                        .or_default() += 1;
                } else {
                    let key = key_of(&table, &values);
                    self.known.entry(name.clone()).or_default().insert(key, values);
                }
                self.markers.push(marker);
                *self.told.entry(name.clone()).or_default() += 1;
            }
            self.snapshot.told(release);
        }
        self.snapshot.passed(&self.position);
        while let Some(request) = self.snapshot.next_request() {
            self.readers.ask(request);
        }
    }

    fn event(&mut self, raw: bytes::Bytes) {
        self.decoder.push(raw);
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new("", 4, Limits::default()));
        while let Some(event) = decoder.next().unwrap() {
            let ends = self.handle(event);
            if ends {
                self.within = false;
            }
        }
        if !self.within {
            self.position.file = decoder.place().file.clone().into();
            self.position.position = decoder.next_position();
        }
        self.decoder = decoder;
    }

    /// Whether a transaction ends with it.
    fn handle(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::Start(start) => {
                self.within = true;
                if let (Some(gtid), Some(Gtids::Mysql(set))) = (start.gtid, &mut self.position.gtids) {
                    set.insert(&gtid);
                }
                false
            }
            Event::MariadbStart(start) => {
                self.within = true;
                if let Some(Gtids::Mariadb(position)) = &mut self.position.gtids {
                    position.advance(start.gtid);
                }
                false
            }
            Event::Query(query) if query.is("BEGIN") => {
                self.within = true;
                false
            }
            Event::Query(query) if query.is("COMMIT") || query.is("ROLLBACK") => true,
            Event::Query(query) => {
                let statement = String::from_utf8_lossy(query.statement).into_owned();
                self.statement(&statement);
                true
            }
            Event::Commit(_) => true,
            Event::Rows(rows) if rows.table.database == self.database => {
                self.rows(rows);
                false
            }
            _ => false,
        }
    }

    /// The one definition that these tests have: a column more.
    fn statement(&mut self, statement: &str) {
        let Some(rest) = statement.strip_prefix("ALTER TABLE ") else {
            return;
        };
        let name = rest
            .split(' ')
            .next()
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned();
        let mut table = (*self.tables[&name]).clone();
        let mut column = table
            .columns
            .iter()
            .find(|column| *column.name == *"n")
            .unwrap()
            .clone();
        column.name = "extra".into();
        table.columns.push(column);
        self.tables.insert(name.clone(), Arc::new(table));
        if let Some(known) = self.known.get_mut(&name) {
            known
                .values_mut()
                .for_each(|values| values.push(Some("7".to_owned())));
        }
        self.snapshot.changed(&TableChange::Everything);
    }

    fn rows(&mut self, mut rows: millstream_connectors::mysql::binlog::Rows<'_>) {
        let name = rows.table.table.clone();
        let table = Arc::clone(&self.tables[&name]);
        assert_eq!(table.columns.len(), rows.table.columns.len(), "{name}");
        let change = rows.change;
        let mut row = Row::default();
        while rows.read_row(&mut row).unwrap() {
            self.changes += 1;
            let told = match row.after.contains(&Value::Absent) {
                true => Told::Part,
                false => Told::Whole,
            };
            if let Some(mut touching) = self.snapshot.touching(&table) {
                touching.row(&row, told);
            }
            self.apply(&table, change, &row);
        }
    }

    fn apply(&mut self, table: &Table, change: Change, row: &Row<'_>) {
        let name = table.id.table.to_string();
        let print = |values: &[Value<'_>]| -> Vec<Option<String>> {
            table
                .columns
                .iter()
                .zip(values)
                .map(|(column, value)| printed(column, value))
                .collect()
        };
        let (before, mut after) = (print(&row.before), print(&row.after));
        if table.key.is_empty() {
            let bag = self.bags.entry(name).or_default();
            if change != Change::Insert {
                *bag.entry(before).or_default() -= 1;
            }
            if change != Change::Delete {
                *bag.entry(after).or_default() += 1;
            }
            bag.retain(|_, count| *count != 0);
            return;
        }
        let known = self.known.entry(name).or_default();
        let old = (change != Change::Insert).then(|| known.remove(&key_of(table, &before)));
        if change == Change::Delete {
            return;
        }
        let old = old.flatten();
        for (index, value) in after.iter_mut().enumerate() {
            if row.after[index] == Value::Absent {
                // A minimal image of an insertion leaves out what has its default.
                let default = (&*table.columns[index].name == "extra").then(|| "7".to_owned());
                *value = match (before.get(index).cloned().flatten(), &old) {
                    (Some(said), _) => Some(said),
                    (None, Some(old)) => old[index].clone(),
                    (None, None) => default,
                };
            }
        }
        known.insert(key_of(table, &after), after);
    }

    /// What the server has now.
    pub async fn actual(
        &self,
    ) -> (
        BTreeMap<String, Known>,
        BTreeMap<String, BTreeMap<Vec<Option<String>>, i64>>,
    ) {
        let mut client = self.server.root().await;
        let (mut known, mut bags) = (BTreeMap::new(), BTreeMap::new());
        for (name, table) in described(&mut client, &self.database).await {
            let list: Vec<String> = table.columns.iter().map(select_expression).collect();
            let statement = format!("SELECT {} FROM `{}`.`{name}`", list.join(","), self.database);
            let (mut rows, mut bag) = (Known::new(), BTreeMap::new());
            for row in client.query(&statement).await.unwrap() {
                let values: Vec<_> = table
                    .columns
                    .iter()
                    .zip(row.cells())
                    .map(|(column, text)| cell(column, text))
                    .collect();
                if table.key.is_empty() {
                    *bag.entry(values).or_default() += 1;
                } else {
                    rows.insert(key_of(&table, &values), values);
                }
            }
            match table.key.is_empty() {
                true => drop(bags.insert(name, bag)),
                false => drop(known.insert(name, rows)),
            }
        }
        (known, bags)
    }

    /// Compares what is known with what there is.
    pub async fn assert_all_known(&self) {
        let (known, bags) = self.actual().await;
        let names: BTreeSet<&String> = known.keys().collect();
        for name in names {
            let none = Known::new();
            let own = self.known.get(name).unwrap_or(&none);
            let theirs = &known[name];
            let wrong: Vec<_> = theirs
                .iter()
                .filter(|(key, values)| own.get(*key) != Some(values))
                .take(3)
                .collect();
            assert!(
                wrong.is_empty() && own.len() == theirs.len(),
                "{name}: {} rows are known, {} there are, {:?} are not; {:?} are known as {:?}",
                own.len(),
                theirs.len(),
                own.keys()
                    .filter(|key| !theirs.contains_key(*key))
                    .take(3)
                    .collect::<Vec<_>>(),
                wrong,
                wrong.iter().map(|(key, _)| own.get(*key)).collect::<Vec<_>>()
            );
        }
        for (name, bag) in &bags {
            let own = self.bags.get(name).cloned().unwrap_or_default();
            assert_eq!(&own, bag, "{name}");
        }
    }
}

fn readers(server: &Server, settings: &Settings, identity: &str) -> Readers {
    let config = ReadersConfig {
        connection: server.config("root", ""),
        readers: settings.config.readers,
        lock_timeout: settings.config.lock_timeout,
        patience: Readers::PATIENCE,
    };
    Readers::start(config, identity)
}
