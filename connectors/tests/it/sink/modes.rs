//! Insert, upsert, update, delete and truncate; keys from everywhere.
use std::sync::Arc;

use millstream_connect::record::{Datum, Header, Record, Schema, SchemaKind, Value};

use super::bench::{Bench, Simple, field, optional, record, row, structure};
use crate::servers::{KINDS, Kind, Server};

const TABLE: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(20), other INT DEFAULT 7)";

#[tokio::test]
async fn upserts_and_deletions_leave_the_last_of_each_row() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&[TABLE, "INSERT INTO t VALUES (1, 'old', 1), (9, 'stays', 1)"])
            .await;
        assert_eq!(bench.start(&["t"]).await.unwrap(), []);
        let simple = Simple::new();
        bench
            .take(&[
                simple.write("t", 0, 1, "a"),
                simple.write("t", 1, 2, "b"),
                simple.write("t", 2, 2, "c"),
                simple.write("t", 3, 3, "d"),
                simple.delete("t", 4, 3),
                simple.delete("t", 5, 77),
                simple.write("t", 6, 4, "e"),
                simple.delete("t", 7, 4),
                simple.write("t", 8, 4, "f"),
                simple.write("t", 9, 0, "zero"),
            ])
            .await;
        let expected = ["0 zero 7", "1 a 1", "2 c 7", "4 f 7", "9 stays 1"];
        assert_eq!(
            bench.rows("SELECT * FROM t ORDER BY id").await,
            expected,
            "{kind:?}"
        );
        assert_eq!(bench.stored("t"), Some(10));
        // What came before does not come again.
        bench
            .take(&[simple.write("t", 9, 0, "again"), simple.write("t", 10, 1, "new")])
            .await;
        assert_eq!(
            bench.rows("SELECT v FROM t WHERE id < 2 ORDER BY id").await,
            ["zero", "new"]
        );
        let again = bench.start(&["t"]).await.unwrap();
        assert_eq!(again[0].next, 11, "{kind:?}");
    }
}

#[tokio::test]
async fn a_row_that_comes_back_has_nothing_of_the_old_one() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench.run(&[TABLE, "INSERT INTO t VALUES (1, 'old', 1)"]).await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        bench
            .take(&[simple.delete("t", 0, 1), simple.write("t", 1, 1, "new")])
            .await;
        assert_eq!(bench.rows("SELECT * FROM t").await, ["1 new 7"], "{kind:?}");
    }
}

#[tokio::test]
async fn updates_change_only_rows_that_are_there() {
    for kind in KINDS {
        let keys = [
            ("insert.mode", "update"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ];
        let mut bench = Bench::new(Server::shared(kind), &keys).await;
        bench.run(&[TABLE, "INSERT INTO t VALUES (1, 'old', 1)"]).await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        bench
            .take(&[
                simple.write("t", 0, 1, "it's new"),
                simple.write("t", 1, 2, "not there"),
            ])
            .await;
        assert_eq!(bench.rows("SELECT * FROM t").await, ["1 it's new 1"], "{kind:?}");
    }
}

#[tokio::test]
async fn inserts_are_rows_of_their_own() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[("batch.size", "2")]).await;
        bench
            .run(&["CREATE TABLE t (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT, v VARCHAR(20))"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        let records: Vec<Record> = (0..5)
            .map(|offset| simple.write("t", offset, offset / 2, "x"))
            .collect();
        bench.take(&records).await;
        bench.take(&records).await;
        assert_eq!(
            bench.rows("SELECT * FROM t").await,
            ["1 0 x", "2 0 x", "3 1 x", "4 1 x", "5 2 x"],
            "{kind:?}"
        );
        // A tombstone is nothing to insert.
        bench.take(&[simple.delete("t", 5, 1)]).await;
        assert_eq!(bench.stored("t"), Some(6));
    }
}

/// A change as Debezium's sources tell it.
fn change(offset: i64, operation: &str, before: Option<(i64, &str)>, after: Option<(i64, &str)>) -> Record {
    let simple = Simple::new();
    let mut rows = (*simple.value).clone();
    rows.optional = true;
    let rows = Arc::new(rows);
    let source = structure(vec![
        field("db", SchemaKind::String.into()),
        field("table", SchemaKind::String.into()),
    ]);
    let part = |name: &str, schema: &Arc<Schema>| millstream_connect::record::Field {
        name: Arc::from(name),
        schema: Arc::clone(schema),
    };
    let envelope = Schema::try_struct(vec![
        part("before", &rows),
        part("after", &rows),
        part("source", &source),
        field("op", SchemaKind::String.into()),
    ])
    .unwrap()
    .named("server.shop.t.Envelope");
    let of = |values: Option<(i64, &str)>| match values {
        Some((id, v)) => row(&rows, vec![Value::Int64(id), Value::from(v)]).value,
        None => Value::Null,
    };
    let values = vec![
        of(before),
        of(after),
        row(&source, vec![Value::from("shop"), Value::from("t")]).value,
        Value::from(operation),
    ];
    let key = before.or(after).map_or(Datum::NULL, |(id, _)| simple.key(id));
    record("server.shop.t", offset, key, row(&Arc::new(envelope), values))
}

#[tokio::test]
async fn changes_of_debezium_s_sources_are_followed() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE server_shop_t (id BIGINT PRIMARY KEY, v VARCHAR(20))"])
            .await;
        bench.start(&["server.shop.t"]).await.unwrap();
        bench
            .take(&[
                change(0, "r", None, Some((1, "a"))),
                change(1, "c", None, Some((2, "b"))),
                change(2, "u", Some((1, "a")), Some((1, "c"))),
                change(3, "d", Some((2, "b")), None),
                Simple::new().delete("server.shop.t", 4, 2),
                change(5, "c", None, Some((3, "d"))),
                change(6, "m", None, None),
            ])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM server_shop_t ORDER BY id").await,
            ["1 c", "3 d"],
            "{kind:?}"
        );
        bench
            .take(&[change(7, "t", None, None), change(8, "c", None, Some((4, "e")))])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM server_shop_t").await,
            ["4 e"],
            "{kind:?}"
        );
        assert_eq!(bench.stored("server.shop.t"), Some(9));
    }
}

#[tokio::test]
async fn tables_are_named_by_where_changes_come_from() {
    let server = Server::shared(KINDS[0]);
    let mut bench = Bench::upserting(server, &[("schema.evolution", "basic")]).await;
    let format = format!("{}.copy_${{source.db}}_${{source.table}}", bench.database);
    bench.config.insert("collection.name.format".to_owned(), format);
    bench.start(&["server.shop.t"]).await.unwrap();
    bench.take(&[change(0, "c", None, Some((1, "a")))]).await;
    assert_eq!(bench.rows("SELECT * FROM copy_shop_t").await, ["1 a"]);
    // The source tells of each deletion twice, the second time without saying where.
    let deleted = [
        change(1, "c", None, Some((2, "b"))),
        change(2, "d", Some((1, "a")), None),
        Simple::new().delete("server.shop.t", 3, 1),
    ];
    bench.take(&deleted).await;
    assert_eq!(bench.rows("SELECT * FROM copy_shop_t").await, ["2 b"]);
    assert_eq!(bench.stored("server.shop.t"), Some(4));
    // A row by itself does not say where it comes from.
    let refused = bench
        .put(&[Simple::new().write("server.shop.t", 4, 1, "x")])
        .await
        .unwrap();
    assert!(
        refused[0].error.to_string().contains("source.db"),
        "{:?}",
        refused[0]
    );
}

#[tokio::test]
async fn keys_come_from_topics_values_and_headers() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let simple = Simple::new();
        let mut bench = Bench::new(
            server,
            &[
                ("insert.mode", "upsert"),
                ("pk.mode", "kafka"),
                ("auto.create", "true"),
            ],
        )
        .await;
        bench.start(&["t"]).await.unwrap();
        bench
            .take(&[simple.write("t", 0, 1, "a"), simple.write("t", 1, 1, "b")])
            .await;
        let found = bench.rows("SELECT * FROM t ORDER BY __connect_offset").await;
        assert_eq!(found, ["t 0 0 1 a", "t 0 1 1 b"], "{kind:?}");
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_header"),
            ("pk.fields", "h"),
            ("delete.enabled", "true"),
        ];
        let mut bench = Bench::new(server, &keys).await;
        bench
            .run(&["CREATE TABLE t (h VARCHAR(9) PRIMARY KEY, id BIGINT, v VARCHAR(9))"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let with_header = |offset: i64, h: &str, v: &str| {
            let mut record = simple.write("t", offset, 1, v);
            record.headers.push(Header {
                name: Arc::from("h"),
                datum: Datum::text(h.to_owned()),
            });
            record
        };
        bench
            .take(&[
                with_header(0, "x", "a"),
                with_header(1, "y", "b"),
                with_header(2, "x", "c"),
            ])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM t ORDER BY h").await,
            ["x 1 c", "y 1 b"],
            "{kind:?}"
        );
        let refused = bench.put(&[simple.write("t", 3, 1, "d")]).await.unwrap();
        assert!(
            refused[0].error.to_string().contains("headers"),
            "{:?}",
            refused[0]
        );
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "k"),
        ];
        let mut bench = Bench::new(server, &keys).await;
        bench
            .run(&["CREATE TABLE t (k INT PRIMARY KEY, id BIGINT, v VARCHAR(9))"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let mut whole = simple.write("t", 0, 5, "a");
        whole.key = Datum::new(Arc::new(Schema::from(SchemaKind::Int32)), Value::Int32(3));
        bench.take(&[whole]).await;
        assert_eq!(bench.rows("SELECT * FROM t").await, ["3 5 a"], "{kind:?}");
    }
}

#[tokio::test]
async fn rows_without_a_schema_go_to_tables_that_are_there() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE t (id INT PRIMARY KEY, d DATE, at DATETIME(6), price DECIMAL(9,2), b VARBINARY(9), v VARCHAR(9), f DOUBLE)"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let map = |entries: Vec<(&str, Value)>| {
            let entries = entries
                .into_iter()
                .map(|(name, value)| (Value::from(name), value));
            Datum::schemaless(Value::Map(entries.collect()))
        };
        let key = |id: i64| map(vec![("id", Value::Int64(id))]);
        let full = map(vec![
            ("id", Value::Int64(1)),
            ("d", Value::Int64(19_849)),
            ("at", Value::Int64(1_714_978_089_000_001)),
            ("price", Value::from("12.50")),
            ("b", Value::from("AP8=")),
            ("v", Value::from("x")),
            ("f", Value::Float64(0.5)),
        ]);
        let less = map(vec![("v", Value::from("y")), ("id", Value::Int64(1))]);
        let wrong = map(vec![("id", Value::Int64(2)), ("unknown", Value::Null)]);
        let refused = bench
            .put(&[
                record("t", 0, key(1), full),
                record("t", 1, key(1), less),
                record("t", 2, key(2), wrong),
                record("t", 3, key(3), map(vec![("id", Value::Int64(3))])),
                record("t", 4, key(3), Datum::NULL),
            ])
            .await
            .unwrap();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(
            refused[0].error.to_string().contains("no columns unknown"),
            "{}",
            refused[0].error
        );
        bench.put(&[]).await.unwrap();
        let found = bench.rows("SELECT id, d, at, price, HEX(b), v, f FROM t").await;
        assert_eq!(
            found,
            ["1 2024-05-06 2024-05-06 06:48:09.000001 12.50 00FF y 0.5"],
            "{kind:?}"
        );
        assert_eq!(bench.stored("t"), Some(5));
    }
}

#[tokio::test]
async fn fields_are_left_out_and_values_that_are_not_known_stay() {
    for kind in KINDS {
        let mut bench =
            Bench::upserting(Server::shared(kind), &[("field.exclude.list", "secret,other:v")]).await;
        bench
            .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, b BLOB)"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let schema = structure(vec![
            field("id", SchemaKind::Int64.into()),
            field("secret", SchemaKind::String.into()),
            field("v", optional(SchemaKind::String)),
            field("b", optional(SchemaKind::Bytes)),
        ]);
        let key = Simple::new();
        let make = |offset: i64, v: &str, b: &'static str| {
            let values = vec![
                Value::Int64(1),
                Value::from("s"),
                Value::from(v),
                Value::Bytes(b.into()),
            ];
            record("t", offset, key.key(1), row(&schema, values))
        };
        let unknown = "__debezium_unavailable_value";
        bench
            .take(&[
                make(0, "a", "b"),
                make(1, unknown, "c"),
                make(2, "d", unknown),
                make(3, unknown, unknown),
            ])
            .await;
        assert_eq!(bench.rows("SELECT * FROM t").await, ["1 d c"], "{kind:?}");
    }
}

#[tokio::test]
async fn values_that_are_not_known_stay_in_columns_that_must_have_one() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT NOT NULL, b BLOB NOT NULL)"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let schema = structure(vec![
            field("id", SchemaKind::Int64.into()),
            field("v", SchemaKind::String.into()),
            field("b", SchemaKind::Bytes.into()),
        ]);
        let key = Simple::new();
        let make = |offset: i64, id: i64, v: &str, b: &'static str| {
            let values = vec![Value::Int64(id), Value::from(v), Value::Bytes(b.into())];
            record("t", offset, key.key(id), row(&schema, values))
        };
        let unknown = "__debezium_unavailable_value";
        bench
            .take(&[
                make(0, 1, "a", "b"),
                make(1, 1, unknown, "c"),
                make(2, 2, "x", "y"),
            ])
            .await;
        bench
            .take(&[make(3, 1, "d", unknown), make(4, 2, "z", unknown)])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM t ORDER BY id").await,
            ["1 d c", "2 z y"],
            "{kind:?}"
        );
        // Without the row there is nothing that could stay.
        let refused = bench.put(&[make(5, 3, "e", unknown)]).await.unwrap();
        assert_eq!(refused.len(), 1, "{kind:?}");
        assert!(
            refused[0].error.to_string().contains("(1048,"),
            "{kind:?}: {}",
            refused[0].error
        );
    }
}

#[tokio::test]
async fn updates_leave_alone_what_they_do_not_have() {
    let server = Server::shared(Kind::MySql97);
    let mut bench = Bench::upserting(server, &[]).await;
    bench
        .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT NOT NULL, n INT NOT NULL)"])
        .await;
    bench.start(&["t"]).await.unwrap();
    let map = |fields: &[(&str, Value)]| {
        let fields = fields.iter();
        Value::Map(
            fields
                .map(|(name, value)| (Value::from(*name), value.clone()))
                .collect(),
        )
    };
    let change = |offset: i64, id: i64, op: &str, fields: &[(&str, Value)]| {
        let mut fields = fields.to_vec();
        fields.push(("id", Value::Int64(id)));
        let parts = [
            ("before", Value::Null),
            ("after", map(&fields)),
            ("op", Value::from(op)),
        ];
        record("t", offset, Simple::new().key(id), Datum::schemaless(map(&parts)))
    };
    let (v, n) = (|v: &str| ("v", Value::from(v)), |n: i64| ("n", Value::Int64(n)));
    bench
        .take(&[
            change(0, 1, "c", &[v("a"), n(1)]),
            change(1, 1, "u", &[v("b")]),
            change(2, 1, "u", &[n(2)]),
        ])
        .await;
    assert_eq!(bench.rows("SELECT * FROM t").await, ["1 b 2"]);
    let refused = bench
        .put(&[change(3, 2, "u", &[v("x")]), change(4, 3, "c", &[v("x")])])
        .await
        .unwrap();
    let texts: Vec<String> = refused.iter().map(|refused| refused.error.to_string()).collect();
    assert!(texts.len() == 2 && texts[0].contains("(1048,"), "{texts:?}");
    assert!(texts[1].contains("NOT NULL without a default"), "{texts:?}");
}
