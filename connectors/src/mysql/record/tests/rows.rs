//! What changes of rows become, beyond what a server's logs show.
use millstream_connect::record::{Record, Value};
use regex::Regex;

use super::{column, compiled, key, made, named, operation, origin, payload, people, plain, row, text};
use crate::mysql::binlog::{Change, ColumnType, Damage, Value as Log};
use crate::mysql::config::{
    FailureMode, Filters, Mask, NameAdjustment, Patterns, RecordConfig, Selection, SkippedOperations,
};
use crate::mysql::record::{Connector, Moment, RecordError, Records, TableRecords, Transactions, fixtures};
use crate::mysql::schema::TableId;

#[test]
fn an_update_of_the_key_is_a_deletion_and_a_creation() {
    let table = plain();
    let before = [Log::Int(1), text("a"), Log::Null, Log::Null];
    let after = [Log::Int(2), text("a"), Log::Null, Log::Null];
    let records = made(&table, Change::Update, &before, &after).unwrap();
    let [deleted, tombstone, created] = &records[..] else {
        panic!("{} records", records.len())
    };
    assert_eq!((operation(deleted), operation(created)), (Some("d"), Some("c")));
    assert!(tombstone.value.is_null() && tombstone.value.schema.is_none());
    assert_eq!(
        [key(deleted), key(tombstone), key(created)],
        [1, 1, 2].map(Value::Int32)
    );
    let header = |record: &Record| {
        (
            record.headers[0].name.to_string(),
            record.headers[0].datum.clone(),
        )
    };
    let new_key = ("__debezium.newkey".to_owned(), created.key.clone());
    assert_eq!([header(deleted), header(tombstone)], [new_key.clone(), new_key]);
    assert_eq!(
        header(created),
        ("__debezium.oldkey".to_owned(), deleted.key.clone())
    );
    assert_eq!(
        payload(deleted).get("after"),
        Some(&Value::Null),
        "the row is told as it was"
    );
}

#[test]
fn times_of_records_are_now_and_sources_say_where() {
    let records = made(
        &plain(),
        Change::Insert,
        &[],
        &[Log::Int(1), Log::Null, Log::Null, Log::Null],
    )
    .unwrap();
    let payload = payload(&records[0]);
    assert_eq!(payload.get("ts_ms"), Some(&Value::Int64(5_000)));
    assert_eq!(payload.get("ts_us"), Some(&Value::Int64(5_000_001)));
    assert_eq!(payload.get("ts_ns"), Some(&Value::Int64(5_000_001_000)));
    let Some(Value::Struct(source)) = payload.get("source") else {
        panic!("no source")
    };
    assert_eq!(source.get("pos"), Some(&Value::Int64(77)));
    assert_eq!(
        (source.get("db"), source.get("table")),
        (Some(&Value::from("d")), Some(&Value::from("people")))
    );
    assert_eq!(source.get("snapshot"), Some(&Value::Null));
}

/// `binlog_row_image=MINIMAL`: the key before, what changed after.
#[test]
fn errors_name_column_place_and_remedy_and_leave_nothing() {
    let table = plain();
    let mut out = Vec::new();
    let bad = [Log::Int(1), Log::Null, Log::Double(1.0), Log::Null];
    let error = table.change(
        Change::Insert,
        &[],
        &bad,
        &origin(),
        None,
        Moment::default(),
        &mut out,
    );
    let error = error.unwrap_err();
    assert!(matches!(
        &error,
        RecordError::Value {
            damage: Damage::Unsupported(_),
            ..
        }
    ));
    let words = error.to_string();
    assert!(
        words.starts_with("d.people.n at log.1:77 row 0: ") && words.contains("column.exclude.list"),
        "{words}"
    );
    let error = made(&table, Change::Insert, &[], &[Log::Int(1)])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a row of 1 values where the table has 4 columns"),
        "{error}"
    );
    let mut keyed = people();
    keyed.key = vec![2];
    let keyed = compiled(&keyed, fixtures::config(), Filters::default());
    let absent = [Log::Int(1), Log::Null, Log::Absent, Log::Null];
    let error = made(&keyed, Change::Delete, &absent, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("d.people.n") && error.contains("binlog_row_image = FULL"),
        "{error}"
    );
    let error = table.read(
        &[Some(b"x"), None, None, None],
        &origin(),
        Moment::default(),
        &mut out,
    );
    assert!(error.unwrap_err().to_string().starts_with("d.people.id at "));
    assert!(out.is_empty());
}

#[test]
fn what_cannot_be_told_is_null_where_that_is_forgiven_but_never_in_a_key() {
    let config = RecordConfig {
        failures: FailureMode::Warn,
        ..fixtures::config()
    };
    let table = compiled(&people(), config, Filters::default());
    let bad = Log::Double(1.0);
    let records = made(
        &table,
        Change::Insert,
        &[],
        &[Log::Int(1), Log::Null, bad, Log::Null],
    )
    .unwrap();
    assert_eq!(row(&records[0], "after")[2].1, Value::Null);
    assert!(
        made(
            &table,
            Change::Insert,
            &[],
            &[bad, Log::Null, Log::Null, Log::Null]
        )
        .is_err()
    );
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let mut names = people();
    names.columns[1].name = "a-b".into();
    names.columns[2].name = "a_b".into();
    let config = RecordConfig {
        field_names: NameAdjustment::Avro,
        ..fixtures::config()
    };
    let records = Records::new(config, Filters::default(), Connector::MySql);
    let error = TableRecords::new(&names, &records).unwrap_err();
    assert!(
        error.to_string().contains("field.name.adjustment.mode=none"),
        "{error}"
    );
    let mask = Mask::Hash {
        algorithm: "CRC32".to_owned(),
        salt: String::new(),
        v2: true,
    };
    let config = RecordConfig {
        masks: vec![(patterns("d.people.name"), mask)],
        ..fixtures::config()
    };
    let records = Records::new(config, Filters::default(), Connector::MySql);
    let error = TableRecords::new(&people(), &records).unwrap_err();
    assert!(error.to_string().contains("CRC32"), "{error}");
}

fn patterns(text: &str) -> Patterns {
    Patterns(vec![Regex::new(&format!("^(?:{text})$")).unwrap()])
}

#[test]
fn columns_that_are_left_out_are_read_for_keys_alone() {
    let filters = Filters {
        columns: Selection::Include(patterns("d.people.(name|doc)")),
        ..Filters::default()
    };
    let table = compiled(&people(), fixtures::config(), filters);
    assert_eq!(table.selected(), [0, 1, 3]);
    assert_eq!(table.select_list(), "`id`, `name`, `doc`");
    let mut out = Vec::new();
    let cells: [Option<&[u8]>; 3] = [Some(b"7"), Some(b"a"), None];
    table
        .read(&cells, &origin(), Moment::default(), &mut out)
        .unwrap();
    assert_eq!((operation(&out[0]), key(&out[0])), (Some("r"), Value::Int32(7)));
    assert_eq!(
        row(&out[0], "after"),
        named(&[("name", Value::from("a")), ("doc", Value::Null)])
    );
    let mut odd = people();
    odd.columns[2] = column("a`b", ColumnType::Float, true);
    let odd = compiled(&odd, fixtures::config(), Filters::default());
    assert_eq!(odd.select_list(), "`id`, `name`, `a``b` * 1e0, `doc`");
}

#[test]
fn operations_are_skipped_by_the_change_and_not_by_the_record() {
    let filters = Filters {
        skipped: SkippedOperations {
            updates: true,
            ..SkippedOperations::default()
        },
        ..Filters::default()
    };
    let table = compiled(&people(), fixtures::config(), filters);
    let before = [Log::Int(1), Log::Null, Log::Null, Log::Null];
    let after = [Log::Int(2), Log::Null, Log::Null, Log::Null];
    assert_eq!(made(&table, Change::Update, &before, &after).unwrap().len(), 0);
    assert_eq!(made(&table, Change::Delete, &before, &[]).unwrap().len(), 2);
    let mut out = Vec::new();
    table.truncate(&origin(), None, Moment::default(), &mut out);
    assert!(out.is_empty());
    let filters = Filters {
        skipped: SkippedOperations {
            truncates: false,
            ..SkippedOperations::default()
        },
        ..Filters::default()
    };
    let table = compiled(&people(), fixtures::config(), filters);
    table.truncate(&origin(), None, Moment::default(), &mut out);
    assert_eq!((operation(&out[0]), out[0].key.is_null()), (Some("t"), true));
}

#[test]
fn records_are_counted_in_their_transaction() {
    let records = Records::new(fixtures::config(), Filters::default(), Connector::MySql);
    let table = TableRecords::new(&people(), &records).unwrap();
    let mut other = people();
    other.id = TableId::new("d", "other");
    let other = TableRecords::new(&other, &records).unwrap();
    let before = [Log::Int(1), Log::Null, Log::Null, Log::Null];
    let moved = [Log::Int(2), Log::Null, Log::Null, Log::Null];
    let orders = |passed_over: bool| {
        let mut transactions = Transactions::new(&records);
        let mut out = Vec::new();
        transactions.begin("g:1".into(), Moment::default(), &mut out);
        let steps = [
            (&table, Change::Update),
            (&other, Change::Delete),
            (&table, Change::Delete),
        ];
        for (index, (table, change)) in steps.into_iter().enumerate() {
            let after: &[Log<'_>] = if change == Change::Update { &moved } else { &[] };
            if passed_over && index == 0 {
                table
                    .pass_over(change, &before, after, &origin(), &mut transactions)
                    .unwrap();
            } else {
                let now = Moment::default();
                table
                    .change(
                        change,
                        &before,
                        after,
                        &origin(),
                        Some(&mut transactions),
                        now,
                        &mut out,
                    )
                    .unwrap();
            }
        }
        transactions.end(Moment::default(), &mut out);
        assert_eq!(transactions.count(&TableId::new("d", "people")), None);
        out
    };
    let place = |record: &Record| match record.value.value {
        Value::Struct(ref value) => match value.get("transaction") {
            Some(Value::Struct(block)) => Some(block.values().to_vec()),
            _ => None,
        },
        _ => None,
    };
    let places = |out: &[Record]| out.iter().filter_map(place).collect::<Vec<_>>();
    let all = orders(false);
    let of = |total, of_table| vec![Value::from("g:1"), Value::Int64(total), Value::Int64(of_table)];
    assert_eq!(places(&all), [of(1, 1), of(2, 2), of(3, 1), of(4, 3)]);
    assert_eq!(places(&orders(true)), [of(3, 1), of(4, 3)]);
    let Value::Struct(end) = &all.last().unwrap().value.value else {
        panic!("no END")
    };
    assert_eq!(
        (end.get("status"), end.get("event_count")),
        (Some(&Value::from("END")), Some(&Value::Int64(4)))
    );
    let Some(Value::Array(tables)) = end.get("data_collections") else {
        panic!("no tables")
    };
    assert_eq!(tables.len(), 2);
}
