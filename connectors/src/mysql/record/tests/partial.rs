//! Rows that an image does not hold whole.
use std::sync::Arc;

use millstream_connect::record::{Record, Value};

use super::{column, compiled, key, made, named, operation, people, plain, row, text};
use crate::mysql::binlog::{Change, ColumnType, Value as Log};
use crate::mysql::config::Filters;
use crate::mysql::record::fixtures;

#[test]
fn what_an_update_leaves_as_it_was_is_told_from_before() {
    let before = [Log::Int(1), text("a"), Log::Int(7), Log::Null];
    let after = [Log::Absent, Log::Absent, Log::Int(8), Log::Absent];
    let records = made(&plain(), Change::Update, &before, &after).unwrap();
    assert_eq!((records.len(), operation(&records[0])), (1, Some("u")));
    let fields = [
        ("id", Value::Int32(1)),
        ("name", Value::from("a")),
        ("n", Value::Int32(8)),
        ("doc", Value::Null),
    ];
    assert_eq!(row(&records[0], "after"), named(&fields));
}

#[test]
fn what_no_image_says_is_the_placeholder_or_left_out_but_never_null() {
    let table = plain();
    let before = [Log::Int(1), Log::Absent, Log::Absent, Log::Absent];
    let after = [Log::Absent, text("b"), Log::Absent, Log::Absent];
    let unknown = Value::from("__debezium_unavailable_value");
    let records = made(&table, Change::Update, &before, &after).unwrap();
    assert_eq!(
        row(&records[0], "before"),
        named(&[
            ("id", Value::Int32(1)),
            ("name", unknown.clone()),
            ("doc", unknown.clone())
        ])
    );
    assert_eq!(
        row(&records[0], "after"),
        named(&[
            ("id", Value::Int32(1)),
            ("name", Value::from("b")),
            ("doc", unknown)
        ])
    );
    assert_eq!(key(&records[0]), Value::Int32(1));
    // The same shape has the same schema, and whole rows have their own.
    let again = made(&table, Change::Update, &before, &after).unwrap();
    let schema = |records: &[Record]| records[0].value.schema.clone().unwrap();
    assert!(Arc::ptr_eq(&schema(&records), &schema(&again)));
    let whole = made(
        &table,
        Change::Insert,
        &[],
        &[Log::Int(1), Log::Null, Log::Null, Log::Null],
    )
    .unwrap();
    assert!(Arc::ptr_eq(&schema(&whole), table.value_schema()));
    assert_ne!(schema(&records), schema(&whole));
}

#[test]
fn shapes_of_partial_rows_are_bounded() {
    let mut wide = people();
    wide.columns
        .extend((0..12).map(|number| column(&format!("c{number}"), ColumnType::Long, true)));
    let table = compiled(&wide, fixtures::config(), Filters::default());
    for bits in 0..4096_u32 {
        let mut after = vec![Log::Int(1), Log::Null, Log::Null, Log::Null];
        after.extend((0..12).map(|bit| match bits >> bit & 1 {
            0 => Log::Int(bit),
            _ => Log::Absent,
        }));
        let records = made(&table, Change::Insert, &[], &after).unwrap();
        assert_eq!(row(&records[0], "after").len(), 16 - bits.count_ones() as usize);
    }
}

#[test]
fn an_inserted_row_has_the_defaults_that_are_known() {
    let mut table = people();
    table.columns[1].default = Some("nobody".to_owned());
    for column in &mut table.columns {
        column.declared = Some("known".to_owned());
    }
    let table = compiled(&table, fixtures::config(), Filters::default());
    let records = made(
        &table,
        Change::Insert,
        &[],
        &[Log::Int(1), Log::Absent, Log::Absent, Log::Absent],
    )
    .unwrap();
    let fields = [
        ("id", Value::Int32(1)),
        ("name", Value::from("nobody")),
        ("n", Value::Null),
        ("doc", Value::Null),
    ];
    assert_eq!(row(&records[0], "after"), named(&fields));
    // Where nothing is described, nothing is known.
    let records = made(
        &plain(),
        Change::Insert,
        &[],
        &[Log::Int(1), Log::Null, Log::Absent, Log::Null],
    )
    .unwrap();
    assert_eq!(row(&records[0], "after").len(), 3);
}

#[test]
fn differences_of_json_are_applied_to_the_document_before() {
    // {"a": 1}, then replace $.a by 2; as MySQL stores them.
    let document = [
        0x00, 0x01, 0x00, 0x0c, 0x00, 0x0b, 0x00, 0x01, 0x00, 0x05, 0x01, 0x00, b'a',
    ];
    let differences = [0x00, 0x03, b'$', b'.', b'a', 0x03, 0x05, 0x02, 0x00];
    let after = [Log::Int(1), Log::Null, Log::Null, Log::JsonDiff(&differences)];
    let with = |before: Log<'static>| {
        let before = [Log::Int(1), Log::Null, Log::Null, before];
        made(&plain(), Change::Update, &before, &after).map(|records| row(&records[0], "after")[3].1.clone())
    };
    let document: &'static [u8] = document.to_vec().leak();
    assert_eq!(with(Log::Json(document)), Ok(Value::from("{\"a\": 2}")));
    assert_eq!(with(Log::Absent), Ok(Value::from("__debezium_unavailable_value")));
    let error = with(Log::Json(&[0x04])).unwrap_err().to_string();
    assert!(error.starts_with("d.people.doc at log.1:77 row 0: "), "{error}");
}

#[test]
fn a_row_that_moves_is_told_whole_or_not_at_all() {
    let table = plain();
    let before = [Log::Int(1), Log::Absent, Log::Absent, Log::Absent];
    let after = [Log::Int(2), Log::Absent, Log::Int(8), Log::Absent];
    let error = made(&table, Change::Update, &before, &after).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("d.people.name") && message.contains("binlog_row_image = FULL"),
        "{message}"
    );
    // What either image says is enough.
    let before = [Log::Int(1), text("a"), Log::Int(7), Log::Null];
    let records = made(&table, Change::Update, &before, &after).unwrap();
    assert_eq!(records.len(), 3);
    let fields = [
        ("id", Value::Int32(2)),
        ("name", Value::from("a")),
        ("n", Value::Int32(8)),
        ("doc", Value::Null),
    ];
    assert_eq!(row(&records[2], "after"), named(&fields));
}
