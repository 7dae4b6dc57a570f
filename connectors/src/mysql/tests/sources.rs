//! A value is the same whether a log says it or a `SELECT`.
use std::collections::HashMap;
use std::sync::Arc;

use millstream_connect::record::{Record, Value};

use super::golden::{Described, Expected, Texts};
use crate::mysql::binlog::{self, Change};
use crate::mysql::config::{BinaryMode, DecimalMode, Filters, RecordConfig, TimeMode, UnsignedBigintMode};
use crate::mysql::record::{Connector, Moment, Origin, Records, TableRecords, fixtures};
use crate::mysql::schema::{Column, Table, TableId};

/// What the values of columns became, by table, column and text, in every mode. Each column is a table of its own here, so that a value
/// that a mode cannot tell hides no other.
pub(super) struct Sources {
    modes: Vec<Arc<Records>>,
    columns: HashMap<(String, usize), Vec<TableRecords>>,
    /// Of texts in hex, as states have them.
    told: HashMap<(String, usize, String), Vec<Option<Value>>>,
    pub(super) compared: usize,
}

impl Sources {
    pub(super) fn new(connector: Connector) -> Self {
        let modes = [
            TimeMode::AdaptiveTimeMicroseconds,
            TimeMode::Connect,
            TimeMode::IsoString,
            TimeMode::Microseconds,
            TimeMode::Nanoseconds,
        ];
        let modes = modes.into_iter().enumerate().map(|(index, times)| {
            let config = RecordConfig {
                times,
                decimals: [DecimalMode::Precise, DecimalMode::Double, DecimalMode::String][index % 3],
                unsigned_bigint: [UnsignedBigintMode::Long, UnsignedBigintMode::Precise][index % 2],
                binary: [
                    BinaryMode::Bytes,
                    BinaryMode::Base64,
                    BinaryMode::Base64UrlSafe,
                    BinaryMode::Hex,
                ][index % 4],
                adjust_years: index % 2 == 0,
                ..fixtures::config()
            };
            Records::new(config, Filters::default(), connector)
        });
        Self {
            modes: modes.collect(),
            columns: HashMap::new(),
            told: HashMap::new(),
            compared: 0,
        }
    }

    fn columns(&mut self, table: &str, index: usize, column: &binlog::Column, described: &Described) {
        let column = Column {
            name: described.name.as_str().into(),
            log: column.clone(),
            declared: Some(described.data_type.clone()),
            default: None,
            generated: false,
            auto_increment: false,
            comment: None,
        };
        let table_of_it = Table {
            id: TableId::new("g", table),
            columns: vec![column],
            key: Vec::new(),
            comment: None,
            charset: None,
            structure: None,
        };
        let modes = self
            .modes
            .iter()
            .map(|records| TableRecords::new(&table_of_it, records).unwrap());
        let columns = modes.collect();
        self.columns.insert((table.to_owned(), index), columns);
    }

    /// A log says a row, whose texts are these then.
    pub(super) fn of_row(
        &mut self,
        expected: &Expected,
        table: &str,
        columns: &[binlog::Column],
        row: &binlog::Row<'_>,
        texts: &Texts,
    ) {
        // Hidden columns of indexes stand behind those that tables list.
        let described = expected.columns[table].iter();
        for (index, (described, value)) in described.zip(&row.after).enumerate() {
            if !matches!(value, binlog::Value::Absent) {
                let place = (table, index);
                self.of_log(
                    place,
                    (&columns[index], described),
                    (row.before.get(index), value),
                    &texts[index],
                );
            }
        }
    }

    /// A log says a value, whose text is `text`.
    fn of_log(
        &mut self,
        (table, index): (&str, usize),
        (column, described): (&binlog::Column, &Described),
        (before, value): (Option<&binlog::Value<'_>>, &binlog::Value<'_>),
        text: &Option<String>,
    ) {
        let key = (table.to_owned(), index);
        if !self.columns.contains_key(&key) {
            self.columns(table, index, column, described);
        }
        let Some(text) = text else {
            return;
        };
        let told = self.columns[&key].iter().map(|records| {
            let mut out = Vec::new();
            let (change, before) = match before {
                Some(before) if matches!(value, binlog::Value::JsonDiff(_)) => {
                    (Change::Update, vec![*before])
                }
                _ => (Change::Insert, Vec::new()),
            };
            let origin = Origin::default();
            let done = records.change(
                change,
                &before,
                &[*value],
                &origin,
                None,
                Moment::default(),
                &mut out,
            );
            done.ok().map(|()| field(&out))
        });
        let told = told.collect();
        let before = self.told.insert((table.to_owned(), index, text.clone()), told);
        let now = &self.told[&(table.to_owned(), index, text.clone())];
        assert!(
            before.is_none_or(|before| before == *now),
            "{table}.{}: {text}",
            described.name
        );
    }

    /// A `SELECT` said these rows, and the log has led to them.
    pub(super) fn of_select(&mut self, table: &str, described: &[Described], rows: &[Texts]) {
        for row in rows {
            for (index, text) in row.iter().enumerate() {
                let Some(text) = text else {
                    continue;
                };
                let said = cell(text, &described[index].data_type);
                let columns = &self.columns[&(table.to_owned(), index)];
                let read = columns.iter().map(|records| {
                    let mut out = Vec::new();
                    let (origin, now) = (Origin::default(), Moment::default());
                    let done = records.read(&[Some(&said)], &origin, now, &mut out);
                    done.ok().map(|()| field(&out))
                });
                let read: Vec<_> = read.collect();
                // A row of nothing but what a minimal image leaves out has values that the log never said.
                let Some(told) = self.told.get(&(table.to_owned(), index, text.clone())) else {
                    continue;
                };
                assert_eq!(read, *told, "{table}.{}: {text}", described[index].name);
                assert!(read[0].is_some(), "{table}.{}: {text}", described[index].name);
                self.compared += 1;
            }
        }
    }
}

/// The one field of the row in the last record.
fn field(out: &[Record]) -> Value {
    let Value::Struct(envelope) = &out.last().unwrap().value.value else {
        panic!("no envelope")
    };
    let Some(Value::Struct(row)) = envelope.get("after") else {
        panic!("no row")
    };
    row.values()[0].clone()
}

/// What a cell would hold that the golden files have in hex: BIT was asked for as a number.
fn cell(text: &str, data_type: &str) -> Vec<u8> {
    let bytes: Vec<u8> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect();
    match data_type {
        "bit" => {
            let number: u64 = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
            number.to_be_bytes().to_vec()
        }
        _ => bytes,
    }
}
