//! Logs of real servers: their rows, applied transaction by transaction, come by what the servers' own `SELECT` said.
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::sources::Sources;
use crate::mysql::binlog::{
    Change, Column, ColumnType, Decoder, Event, Limits, MAGIC, Row, Rows, TableMap, Value, Xid, mariadb,
};
use crate::mysql::gtid::{GtidSet, mariadb as mariadb_gtid};
use crate::mysql::record::Connector;
use crate::mysql::{charset, json, text};

/// What has to be in a case's log beside rows.
const INFLATED_MAX: usize = 1 << 20;

fn folder(case: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/mysql")
        .join(case)
}

pub(super) fn log(case: &str) -> Bytes {
    Bytes::from(std::fs::read(folder(case).join("log.bin")).unwrap())
}

/// The raw events of a file.
pub(in crate::mysql) fn raw_events(log: &Bytes) -> Vec<Bytes> {
    assert_eq!(log[..4], MAGIC);
    let (mut events, mut at) = (Vec::new(), 4);
    while at < log.len() {
        let length = u32::from_le_bytes(log[at + 9..at + 13].try_into().unwrap()) as usize;
        events.push(log.slice(at..at + length));
        at += length;
    }
    events
}

/// One row's values as hex of their text, as `states.tsv` has them.
pub(super) type Texts = Vec<Option<String>>;

#[derive(Default)]
pub(super) struct Expected {
    pub(super) columns: BTreeMap<String, Vec<Described>>,
    states: Vec<(String, Vec<Texts>)>,
    gtids: String,
}

/// A column as the server describes it.
pub(super) struct Described {
    pub(super) name: String,
    unsigned: bool,
    collation: u16,
    labels: Vec<Vec<u8>>,
    pub(super) data_type: String,
}

fn expected(case: &str) -> Expected {
    let mut content = String::new();
    let file = std::fs::File::open(folder(case).join("states.tsv.gz")).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut content)
        .unwrap();
    let mut expected = Expected::default();
    for line in content.lines() {
        let mut fields = line.split('\t');
        match fields.next().unwrap() {
            "columns" => {
                let table = fields.next().unwrap().to_owned();
                expected.columns.insert(table, fields.map(described).collect());
            }
            "state" => expected
                .states
                .push((fields.next().unwrap().to_owned(), Vec::new())),
            "row" => {
                let row = fields
                    .map(|field| (field != "NULL").then(|| field.to_owned()))
                    .collect();
                expected.states.last_mut().unwrap().1.push(row);
            }
            "gtids" => expected.gtids = fields.next().unwrap().to_owned(),
            other => panic!("a line that begins with {other}"),
        }
    }
    expected
}

fn described(field: &str) -> Described {
    let parts: Vec<_> = field.split('|').collect();
    let labels = parts[3].split(',').filter(|_| !parts[3].is_empty());
    let byte = |label: &str, at| u8::from_str_radix(&label[at..at + 2], 16).unwrap();
    Described {
        name: parts[0].to_owned(),
        unsigned: parts[1] == "1",
        collation: parts[2].parse().unwrap(),
        labels: labels
            .map(|label| (0..label.len()).step_by(2).map(|at| byte(label, at)).collect())
            .collect(),
        data_type: parts[4].to_owned(),
    }
}

/// Tables as rows make them.
struct Replay {
    expected: Expected,
    tables: Tables,
    /// As they were when the transaction began.
    before: Tables,
    /// As they come to be when XA transactions are committed; here, nothing else happens until then.
    prepared: HashMap<Xid, Tables>,
    /// All transactions up to here.
    gtids: GtidSet,
    mariadb_gtids: mariadb_gtid::Position,
    statements: usize,
    values: usize,
    /// What values become, whoever says them.
    sources: Sources,
}

type Tables = BTreeMap<String, Vec<Texts>>;

impl Replay {
    fn rows(&mut self, mut rows: Rows<'_>) {
        let table = Arc::clone(&rows.table);
        let columns = self.columns(&table);
        let kinds: Vec<_> = self.expected.columns[&table.table]
            .iter()
            .map(|column| column.data_type.clone())
            .collect();
        let shown = |column: &Column, value: &Value<'_>| {
            let index = columns.iter().position(|own| std::ptr::eq(own, column)).unwrap();
            shown(column, value, kinds.get(index).map_or("", String::as_str))
        };
        let state = self.tables.entry(table.table.clone()).or_default();
        let mut row = Row::default();
        while rows.read_row(&mut row).unwrap() {
            let before: Vec<_> = columns
                .iter()
                .zip(&row.before)
                .map(|(column, value)| shown(column, value))
                .collect();
            self.values += row.before.len() + row.after.len();
            let place = state.iter().position(|known| {
                before
                    .iter()
                    .zip(known)
                    .all(|(value, known)| value.as_ref().is_none_or(|value| value == known))
            });
            match rows.change {
                Change::Insert => {
                    let values = columns
                        .iter()
                        .zip(&row.after)
                        .map(|(column, value)| shown(column, value).flatten());
                    state.push(values.collect());
                    self.sources.of_row(
                        &self.expected,
                        &table.table,
                        &columns,
                        &row,
                        &state[state.len() - 1],
                    );
                }
                Change::Update => {
                    let place =
                        place.unwrap_or_else(|| panic!("{} has no row {before:?} in {state:?}", table.table));
                    for (index, value) in row.after.iter().enumerate() {
                        if let Value::JsonDiff(differences) = value {
                            let Value::Json(document) = row.before[index] else {
                                panic!("no JSON before")
                            };
                            let mut text = String::new();
                            json::patched(document, differences, &mut text).unwrap();
                            state[place][index] = Some(hex(&text));
                        } else if let Some(value) = shown(&columns[index], value) {
                            state[place][index] = value;
                        }
                    }
                    self.sources
                        .of_row(&self.expected, &table.table, &columns, &row, &state[place]);
                }
                Change::Delete => {
                    let place = place.unwrap_or_else(|| panic!("{} has no row {before:?}", table.table));
                    state.remove(place);
                }
            }
        }
    }

    /// Columns with what the log may leave out. What it says is what the server says.
    fn columns(&self, table: &TableMap) -> Vec<Column> {
        let described = &self.expected.columns[&table.table];
        let mut columns = table.columns.clone();
        // Hidden columns of indexes stand behind those that tables list.
        for (column, described) in columns.iter_mut().zip(described) {
            let kind = column.column_type;
            if let Some(unsigned) = column.unsigned
                && !matches!(kind, ColumnType::Year)
            {
                assert_eq!(unsigned, described.unsigned, "{}.{}", table.table, described.name);
            }
            column.unsigned = Some(described.unsigned);
            if let Some(name) = &column.name {
                assert_eq!(*name, described.name);
            }
            let has_labels = matches!(kind, ColumnType::Enum { .. } | ColumnType::Set { .. });
            if !has_labels && described.collation != 0 && column.collation != 0 {
                let names = (
                    charset::name(column.collation),
                    charset::name(described.collation),
                );
                assert_eq!(names.0, names.1, "{}.{}", table.table, described.name);
            }
            if column.collation == 0 {
                column.collation = described.collation;
            }
            if has_labels && column.labels.is_empty() {
                column.labels.clone_from(&described.labels);
                column.collation = 255;
            }
            let mut label = String::new();
            for (own, said) in column.labels.iter().zip(&described.labels) {
                label.clear();
                charset::decode(column.collation, own, &mut label).unwrap();
                assert_eq!(label.as_bytes(), *said);
            }
        }
        columns
    }

    fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::PreviousGtids(set) => self.gtids = set,
            Event::MariadbGtids(position) => self.mariadb_gtids = position,
            Event::Start(start) => {
                self.gtids.insert(&start.gtid.expect("gtid_mode is on"));
                self.before.clone_from(&self.tables);
            }
            Event::MariadbStart(start) => {
                self.mariadb_gtids.advance(start.gtid);
                self.before.clone_from(&self.tables);
            }
            Event::RowsQuery(statement) => {
                let words = ["insert", "update", "delete", "replace"];
                let text = String::from_utf8_lossy(statement);
                assert!(words.iter().any(|word| text.starts_with(word)), "{text}");
                self.statements += 1;
            }
            Event::Rows(rows) => self.rows(rows),
            Event::Commit(_) => self.settle(),
            Event::XaPrepare(prepare) if prepare.one_phase => self.settle(),
            Event::XaPrepare(prepare) => {
                let tables = std::mem::replace(&mut self.tables, self.before.clone());
                self.prepared.insert(prepare.xid, tables);
            }
            Event::Query(query) => {
                let statement = std::str::from_utf8(query.statement).unwrap_or_default();
                if let Some(xid) = Xid::from_statement(statement, "XA COMMIT") {
                    self.tables = self.prepared.remove(&xid).expect("it was prepared");
                    self.settle();
                } else if let Some(xid) = Xid::from_statement(statement, "XA ROLLBACK") {
                    self.prepared.remove(&xid).expect("it was prepared");
                    self.settle();
                }
            }
            _ => {}
        }
    }

    /// A transaction ended: the next states are reached, if the tables have come to them. They may be several transactions away.
    fn settle(&mut self) {
        while let Some((table, rows)) = self.expected.states.first() {
            let own = self.tables.get(table).cloned().unwrap_or_default();
            if sorted(&own) != sorted(rows) {
                break;
            }
            self.sources.of_select(table, &self.expected.columns[table], rows);
            self.expected.states.remove(0);
        }
    }
}

fn sorted(rows: &[Texts]) -> Vec<&Texts> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort();
    rows
}

fn hex(value: &str) -> String {
    let mut digits = String::new();
    text::hex(value.as_bytes(), &mut digits);
    digits
}

/// A value as `states.tsv` has it; nothing where the image lacks it.
fn shown(column: &Column, value: &Value<'_>, data_type: &str) -> Option<Option<String>> {
    let mut printed = String::new();
    // Types that the log takes for BINARY.
    if let Value::Binary { bytes, length } = *value
        && let Some(kind) = mariadb::FixedType::of_name(data_type)
    {
        return Some(Some(hex(&kind.text(bytes, length).unwrap())));
    }
    // Text of a log without character sets, which the server's description has.
    let value = match *value {
        Value::Text { bytes, .. } if column.collation == 63 => match column.column_type {
            ColumnType::Char { length_max } => Value::Binary {
                bytes,
                length: length_max,
            },
            _ => Value::Bytes(bytes),
        },
        Value::Text { bytes, collation: 0 } => Value::Text {
            bytes,
            collation: column.collation,
        },
        Value::Compressed { bytes, collation: 0 } => Value::Compressed {
            bytes,
            collation: column.collation,
        },
        Value::Int(number) if column.unsigned == Some(true) => Value::UInt(unsigned(column, number)),
        other => other,
    };
    match value {
        Value::Absent => return None,
        Value::Null => return Some(None),
        // The server was asked for the double that the float is.
        Value::Float(number) => text::double(f64::from(number), &mut printed),
        _ => text::print(column, &value, INFLATED_MAX, &mut printed).unwrap(),
    }
    let binary = match value {
        Value::Bytes(_) | Value::Binary { .. } | Value::Geometry(_) | Value::Vector(_) => true,
        Value::Compressed { collation, .. } => collation == 63,
        _ => false,
    };
    Some(Some(if binary { printed } else { hex(&printed) }))
}

fn unsigned(column: &Column, number: i64) -> u64 {
    let bits = match column.column_type {
        ColumnType::Tiny => 8,
        ColumnType::Short => 16,
        ColumnType::Int24 => 24,
        ColumnType::Long => 32,
        _ => 64,
    };
    number as u64 & (u64::MAX >> (64 - bits))
}

fn replay(case: &str) {
    let log = log(case);
    let mut replay = Replay {
        expected: expected(case),
        tables: BTreeMap::new(),
        before: BTreeMap::new(),
        prepared: HashMap::new(),
        gtids: GtidSet::default(),
        mariadb_gtids: mariadb_gtid::Position::default(),
        statements: 0,
        values: 0,
        sources: Sources::new(match case.starts_with("mariadb") {
            true => Connector::MariaDb,
            false => Connector::MySql,
        }),
    };
    let states = replay.expected.states.len();
    assert!(states > 5, "{states} states");
    let mut decoder = Decoder::new("log.bin", 4, Limits::default());
    let mut position = 4;
    for event in raw_events(&log) {
        let length = event.len() as u64;
        decoder.push(event);
        while let Some(event) = decoder.next().unwrap() {
            let rotates = matches!(event, Event::Rotate { .. });
            replay.handle(event);
            if rotates {
                continue;
            }
            assert_eq!(
                (decoder.place().position, decoder.next_position()),
                (position, position + length)
            );
        }
        position += length;
    }
    // The last event leads to the next file.
    assert_eq!(
        (decoder.place().file != "log.bin", decoder.next_position()),
        (true, 4)
    );
    let left = &replay.expected.states;
    let next = left
        .first()
        .map(|(table, rows)| (table, rows, replay.tables.get(table)));
    assert!(
        left.is_empty(),
        "{} of {states} states are not reached; the next is {next:#?}",
        left.len()
    );
    assert!(replay.values > 20);
    assert!(replay.sources.compared > 20, "{}", replay.sources.compared);
    let mariadb = case.starts_with("mariadb");
    let gtids = if mariadb {
        replay.mariadb_gtids.to_string()
    } else {
        replay.gtids.to_string()
    };
    assert_eq!(gtids, replay.expected.gtids);
    let annotated =
        matches!(case, "mysql97-plain" | "mysql56-minimal") || mariadb && case != "mariadb-old-times";
    assert_eq!(
        replay.statements > 50,
        annotated,
        "{} statements",
        replay.statements
    );
}

macro_rules! cases {
    ($($name:ident: $case:literal,)*) => {
        $(#[test] fn $name() { replay($case); })*
        pub(super) const CASES: &[&str] = &[$($case),*];
    };
}

cases! {
    mysql_97: "mysql97",
    mysql_97_with_tags_and_generated_columns: "mysql97-tagged",
    mysql_97_with_minimal_images: "mysql97-minimal",
    mysql_97_without_blobs: "mysql97-noblob",
    mysql_97_with_compressed_transactions: "mysql97-compressed",
    mysql_97_with_partial_json: "mysql97-partial",
    mysql_97_without_checksums: "mysql97-plain",
    mysql_56: "mysql56",
    mysql_56_with_minimal_images: "mysql56-minimal",
    mysql_56_with_rows_of_version_1: "mysql56-v1",
    mariadb_1011: "mariadb",
    mariadb_1011_with_minimal_images: "mariadb-minimal",
    mariadb_1011_with_compressed_events: "mariadb-compressed",
    mariadb_1011_with_times_of_old: "mariadb-old-times",
}

/// The description of a table in a case's log.
fn table(case: &str, name: &str) -> Arc<TableMap> {
    let log = log(case);
    let mut decoder = Decoder::new("log.bin", 4, Limits::default());
    for event in raw_events(&log) {
        decoder.push(event);
        while let Some(event) = decoder.next().unwrap() {
            if let Event::Table(table) = event
                && table.table == name
            {
                return table;
            }
        }
    }
    panic!("{case} has no table {name}")
}

/// What the statements of the cases say: `primary key (b, id, a(3))`, `primary key (a, id)`.
#[test]
fn primary_keys_have_their_own_order() {
    let key = |case: &str, name: &str| -> Vec<(String, u64)> {
        let table = table(case, name);
        let name = |column: usize| table.columns[column].name.clone().unwrap();
        table
            .primary_key
            .iter()
            .map(|part| (name(part.column), part.prefix))
            .collect()
    };
    for case in ["mysql97", "mariadb"] {
        let parts = [("b", 0), ("id", 0), ("a", 3)].map(|(name, prefix)| (name.to_owned(), prefix));
        assert_eq!(key(case, "keyed"), parts);
        assert_eq!(key(case, "ordered"), [("a".to_owned(), 0), ("id".to_owned(), 0)]);
        assert_eq!(key(case, "keyless"), []);
        assert_eq!(table(case, "keyed").database, "g");
    }
    // Without names nobody can say whether there is a key.
    assert!(!table("mysql97-minimal", "numbers").has_names && !table("mysql56", "numbers").has_names);
}

#[test]
fn columns_say_what_they_are() {
    let shown = table("mysql97", "shown");
    assert_eq!(
        shown
            .columns
            .iter()
            .map(|column| column.visible)
            .collect::<Vec<_>>(),
        [true, false, true]
    );
    assert_eq!(
        shown
            .columns
            .iter()
            .map(|column| column.nullable)
            .collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(table("mysql97", "vectors").columns[1].vector_dimensions, Some(3));
    for case in ["mysql97", "mariadb"] {
        let kinds: Vec<_> = table(case, "shapes")
            .columns
            .iter()
            .map(|column| column.geometry_type)
            .collect();
        assert_eq!(kinds, [None, Some(0), Some(1), Some(7), Some(4)]);
    }
}
