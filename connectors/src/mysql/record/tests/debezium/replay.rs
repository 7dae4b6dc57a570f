//! Logs to records, and the records of Debezium that they stand beside.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::Record;
use serde_json::{Value as Json, json};

use super::Written;
use super::golden::Golden;
use crate::mysql::binlog::{Decoder, Event, Limits, Query, Row, Rows, TableMap};
use crate::mysql::config::{Filters, SkippedOperations};
use crate::mysql::record::{
    Moment, Origin, Records, SchemaChange, SchemaChanges, Snapshot, TableChange, TableRecords, Transactions,
};
use crate::mysql::schema::{Table, TableId};
use crate::mysql::source::announce::Announcement;
use crate::mysql::tests::golden::raw_events;

/// Ours and Debezium's.
pub(super) type Sides = (Vec<Json>, Vec<Json>);

/// Where a raw event is, and what its header says.
#[derive(Clone, Copy, Default)]
struct Raw {
    position: u64,
    timestamp_s: u32,
    server_id: u32,
}

/// Reads a log.
struct Replay<'g> {
    golden: &'g Golden,
    records: Arc<Records>,
    /// When the tables' descriptions are of.
    whens: &'static [&'static str],
    tables: HashMap<TableId, (Arc<TableMap>, TableRecords)>,
    described: HashMap<TableId, Table>,
    transactions: Option<Transactions>,
    raw: Raw,
    origin: Origin,
    /// When the transaction was committed, where the log says it.
    committed: Option<Moment>,
    out: Vec<Record>,
}

impl<'g> Replay<'g> {
    fn new(golden: &'g Golden, records: &Arc<Records>, whens: &'static [&'static str]) -> Self {
        let transactions = records.config.transactions.then(|| Transactions::new(records));
        Self {
            golden,
            records: Arc::clone(records),
            whens,
            tables: HashMap::new(),
            described: HashMap::new(),
            transactions,
            raw: Raw::default(),
            origin: Origin::default(),
            committed: None,
            out: Vec::new(),
        }
    }

    fn read(&mut self, log: &str, file: &str) {
        let log = self.golden.log(log);
        let mut decoder = Decoder::new(file, 4, Limits::default());
        self.origin.file = file.into();
        self.raw.position = 4;
        for event in raw_events(&log) {
            let length = event.len() as u64;
            let word = |at: usize| u32::from_le_bytes(event[at..at + 4].try_into().unwrap());
            (self.raw.timestamp_s, self.raw.server_id) = (word(0), word(5));
            decoder.push(event);
            while let Some(event) = decoder.next().unwrap() {
                self.event(event);
            }
            self.raw.position += length;
        }
    }

    fn moment(&self) -> Moment {
        self.committed
            .unwrap_or(Moment::from_seconds(self.raw.timestamp_s))
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(start) => {
                self.origin.gtid = start.gtid.map(|gtid| gtid.to_string().into());
                let micros = start
                    .originally_committed_us
                    .filter(|_| self.origin.gtid.is_some());
                self.committed = micros.map(|micros| Moment::from_micros(micros as i64));
            }
            Event::MariadbStart(start) => {
                self.origin.gtid = Some(start.gtid.to_string().into());
                if !start.standalone {
                    self.begin();
                }
            }
            Event::Query(query) => self.query(&query),
            Event::RowsQuery(text) => {
                self.origin.query = Some(String::from_utf8_lossy(text).into_owned().into());
            }
            Event::Rows(rows) => self.rows(rows),
            Event::Commit(_) => self.end(),
            _ => {}
        }
    }

    fn begin(&mut self) {
        let moment = self.moment();
        if let Some(transactions) = &mut self.transactions {
            let id = self
                .origin
                .gtid
                .clone()
                .unwrap_or_else(|| Transactions::id_without_gtid(&self.origin.file, self.raw.position));
            transactions.begin(id, moment, &mut self.out);
        }
    }

    fn end(&mut self) {
        let moment = self.moment();
        if let Some(transactions) = &mut self.transactions {
            transactions.end(moment, &mut self.out);
        }
        (self.origin.thread, self.origin.query) = (None, None);
    }

    fn query(&mut self, query: &Query<'_>) {
        if query.is("BEGIN") {
            self.origin.thread = Some(query.thread_id);
            return self.begin();
        }
        if query.is("COMMIT") {
            return self.end();
        }
        let statement = String::from_utf8_lossy(query.statement).to_ascii_lowercase();
        let truncated = statement
            .strip_prefix("truncate table ")
            .or_else(|| statement.strip_prefix("truncate "));
        if let Some(table) = truncated {
            let table = table.trim().trim_matches('`').replace("`.`", ".");
            let (database, table) = table.split_once('.').unwrap_or((query.database, &table));
            self.at(0);
            // Debezium tells the times of statements to the millisecond.
            self.origin.moment = Moment::from_micros(self.moment().millis() * 1000);
            if let Some((_, records)) = self.tables.get(&TableId::new(database, table)) {
                records.truncate(&self.origin, None, Moment::default(), &mut self.out);
            }
        }
    }

    fn at(&mut self, row: u32) {
        self.origin.moment = self.moment();
        self.origin.position = self.raw.position;
        self.origin.server_id = self.raw.server_id;
        self.origin.row = row;
    }

    fn rows(&mut self, mut rows: Rows<'_>) {
        let map = Arc::clone(&rows.table);
        let id = TableId::new(&map.database, &map.table);
        let filters = &self.records.filters;
        if !filters.databases.has(&map.database) || !filters.tables.has(&id.to_string()) {
            return;
        }
        let known = self
            .tables
            .get(&id)
            .is_some_and(|(known, _)| Arc::ptr_eq(known, &map));
        if !known {
            let table = Table::from_log(&map).unwrap();
            let table = self.golden.described(table, self.whens);
            let compiled = TableRecords::new(&table, &self.records).unwrap();
            self.tables.insert(id.clone(), (map, compiled));
            self.described.insert(id.clone(), table);
        }
        let mut row = Row::default();
        let mut number = 0;
        while rows.read_row(&mut row).unwrap() {
            self.at(number);
            let done = self.tables[&id].1.change(
                rows.change,
                &row.before,
                &row.after,
                &self.origin,
                self.transactions.as_mut(),
                Moment::default(),
                &mut self.out,
            );
            if let Err(error) = done {
                self.out.push(refusal(&error.to_string()));
            }
            number += 1;
        }
    }
}

/// Stands for a row that is refused: its words as a topic.
fn refusal(error: &str) -> Record {
    Record::new(error, millstream_connect::record::Datum::NULL)
}

fn is_read(record: &Json) -> bool {
    record["value"]["payload"]["op"] == json!("r")
}

fn is_schema_change(record: &Json) -> bool {
    let name = record["value"]["schema"]["name"].as_str().unwrap_or_default();
    name.ends_with("SchemaChangeValue")
}

/// Rows of a snapshot, in the order of their keys. Ours are of the log that made them: that a `SELECT` says the same, other tests see.
pub(super) fn snapshot(
    golden: &Golden,
    variant: &str,
    records: &Arc<Records>,
    written: &mut Written,
) -> Sides {
    // These do not read all rows.
    if ["overrides", "snapshot_some", "no_data"].contains(&variant) {
        return Default::default();
    }
    // Snapshots skip nothing.
    let filters = Filters {
        skipped: SkippedOperations::default(),
        ..records.filters.clone()
    };
    let records = Records::new(records.config.clone(), filters, records.connector);
    let mut replay = Replay::new(golden, &records, &["before"]);
    replay.transactions = None;
    replay.read("setup.bin", "setup");
    let mut ours: Vec<Json> = replay.out.iter().map(|record| written.record(record)).collect();
    let mut theirs: Vec<Json> = golden.records(variant).into_iter().filter(is_read).collect();
    for side in [&mut ours, &mut theirs] {
        for record in side.iter_mut() {
            let payload = &mut record["value"]["payload"];
            payload["op"] = json!("r");
            payload["source"] = Json::Null;
        }
        side.sort_by_key(|record| {
            let payload = &record["value"]["payload"];
            let key = match &record["key"] {
                Json::Null => payload["after"].to_string(),
                key => key["payload"].to_string(),
            };
            (record["topic"].to_string(), key)
        });
    }
    (ours, theirs)
}

/// Changes and transactions, in their order.
pub(super) fn stream(golden: &Golden, variant: &str, records: &Arc<Records>, written: &mut Written) -> Sides {
    let mut replay = Replay::new(golden, records, &["before", "after"]);
    replay.read("log.bin", &golden.file);
    let mut ours: Vec<Json> = replay.out.iter().map(|record| written.record(record)).collect();
    if golden.variants[variant].contains_key("skip.messages.without.change") {
        ours.retain(|record| {
            let payload = &record["value"]["payload"];
            payload["op"] != json!("u") || payload["before"] != payload["after"]
        });
    }
    let mut theirs = golden.records(variant);
    theirs.retain(|record| !is_read(record) && !is_schema_change(record));
    without_lone_beginnings(&mut ours);
    without_lone_beginnings(&mut theirs);
    (ours, theirs)
}

/// Of MariaDB, Debezium tells that a transaction begins with each statement that changes tables, and never that it ends. Here it is those
/// of XA: when they end is for the stream to see.
fn without_lone_beginnings(records: &mut Vec<Json>) {
    let is = |record: &Json, status: &str| record["value"]["payload"]["status"] == json!(status);
    let ended: HashSet<String> = records
        .iter()
        .filter(|record| is(record, "END"))
        .map(|record| record["key"]["payload"].to_string())
        .collect();
    records.retain(|record| !is(record, "BEGIN") || ended.contains(&record["key"]["payload"].to_string()));
}

/// Changes of tables: all that the snapshot tells, in its order, and what is gone or concerns no table.
pub(super) fn tables(golden: &Golden, variant: &str, records: &Arc<Records>, written: &mut Written) -> Sides {
    if !records.config.schema_changes {
        return Default::default();
    }
    let mut replay = Replay::new(golden, records, &["before"]);
    replay.read("setup.bin", "setup");
    let changes = SchemaChanges::new(records);
    let id = |payload: &Json| {
        let id = payload["tableChanges"][0]["id"].as_str()?;
        let (database, table) = id.trim_matches('"').split_once("\".\"").unwrap();
        Some(TableId::new(database, table))
    };
    let all = golden.records(variant).into_iter().filter(is_schema_change);
    let (mut announced, rest): (Vec<Json>, Vec<Json>) =
        all.partition(|their| their["value"]["payload"]["source"]["snapshot"] != json!("false"));
    // Of a table without rows the log says nothing.
    announced
        .retain(|their| id(&their["value"]["payload"]).is_none_or(|id| replay.described.contains_key(&id)));
    let (mut ours, mut theirs) = Sides::default();
    let mut announcing = announcement(&announced, &id, &replay.described).tell();
    for their in announced {
        let (origin, now) = origin(&their["value"]["payload"]);
        let record = announcing.tell_next(|change| changes.record(change, &origin, now));
        ours.push(written.record(&record.expect("there are as many")));
        theirs.push(their);
    }
    assert!(
        announcing.tell_next(|_| ()).is_none(),
        "nothing else is announced"
    );
    for their in rest {
        let payload = &their["value"]["payload"];
        let id = id(payload);
        let change = match (&id, payload["tableChanges"][0]["type"].as_str()) {
            (Some(id), Some("DROP")) => vec![TableChange::Drop(id)],
            (None, _) => Vec::new(),
            _ => continue,
        };
        let change = SchemaChange {
            database: payload["databaseName"].as_str().unwrap(),
            ddl: payload["ddl"].as_str(),
            tables: &change,
        };
        let (origin, now) = origin(payload);
        ours.push(written.record(&changes.record(&change, &origin, now)));
        theirs.push(their);
    }
    (ours, theirs)
}

/// What the server had said to Debezium: the defaults of itself and of databases, and statements of tables.
fn announcement(
    announced: &[Json],
    id: &dyn Fn(&Json) -> Option<TableId>,
    described: &HashMap<TableId, Table>,
) -> Announcement {
    let mut announcement = Announcement::default();
    let word = |text: &str| text.to_owned();
    for their in announced {
        let payload = &their["value"]["payload"];
        let ddl = payload["ddl"].as_str().unwrap();
        let words: Vec<&str> = ddl.split([' ', '=', ',']).collect();
        match (words[0], words[1], id(payload)) {
            ("SET", ..) => announcement.defaults = (word(words[2]), word(words[5])),
            ("CREATE", "DATABASE", _) => {
                let name = payload["databaseName"].as_str().unwrap();
                let defaults = (word(words[4]), word(words[6]));
                announcement.databases.push((word(name), defaults));
            }
            ("CREATE", _, Some(id)) => {
                let table = Arc::new(described[&id].clone());
                announcement.tables.push((table, word(ddl)));
            }
            _ => {}
        }
    }
    // In the order of names, as the server is asked for them.
    announcement.databases.sort();
    announcement
        .tables
        .sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    announcement
}

/// Where their record comes from.
fn origin(payload: &Json) -> (Origin, Moment) {
    let source = &payload["source"];
    let number = |key: &str| source[key].as_i64().unwrap();
    let origin = Origin {
        moment: Moment::from_nanos(number("ts_ns")),
        snapshot: match source["snapshot"].as_str() {
            Some("true") => Snapshot::Yes,
            Some("first") => Snapshot::First,
            Some("last") => Snapshot::Last,
            _ => Snapshot::No,
        },
        file: ByteString::from(source["file"].as_str().unwrap()),
        position: number("pos") as u64,
        row: number("row") as u32,
        server_id: number("server_id") as u32,
        gtid: source["gtid"].as_str().map(ByteString::from),
        thread: None,
        query: None,
    };
    (
        origin,
        Moment::from_micros(payload["ts_ms"].as_i64().unwrap() * 1000),
    )
}
