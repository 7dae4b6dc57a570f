//! Rows that depend on each other.
use millstream_connect::plugin::ErrorKind;
use millstream_connect::record::{Datum, Record, SchemaKind, Value};

use super::bench::{Bench, Simple, field, optional, record, row, structure};
use super::proxy::{Proxy, Way};
use crate::servers::{KINDS, Kind, Server};

fn user(offset: i64, id: i64, mail: Option<&str>) -> Record {
    let key = structure(vec![field("id", SchemaKind::Int64.into())]);
    let schema = structure(vec![
        field("id", SchemaKind::Int64.into()),
        field("mail", optional(SchemaKind::String)),
    ]);
    let value = mail.map_or(Datum::NULL, |mail| {
        row(&schema, vec![Value::Int64(id), Value::from(mail)])
    });
    record("t", offset, row(&key, vec![Value::Int64(id)]), value)
}

const USERS: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, mail VARCHAR(20), UNIQUE (mail))";

#[tokio::test]
async fn another_unique_value_may_go_from_row_to_row() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&[USERS, "INSERT INTO t VALUES (1, 'a'), (2, 'b')"])
            .await;
        bench.start(&["t"]).await.unwrap();
        bench
            .take(&[
                user(0, 1, Some("x")),
                user(1, 2, Some("a")),
                user(2, 1, Some("b")),
                user(3, 3, Some("x")),
                user(4, 3, None),
                user(5, 4, Some("x")),
            ])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM t ORDER BY id").await,
            ["1 b", "2 a", "4 x"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_row_in_the_way_by_another_unique_value_is_never_overwritten() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench.run(&[USERS, "INSERT INTO t VALUES (1, 'a')"]).await;
        bench.start(&["t"]).await.unwrap();
        let refused = bench
            .put(&[
                user(0, 5, Some("e")),
                user(1, 2, Some("a")),
                user(2, 1, Some("A2")),
                user(3, 6, Some("f")),
            ])
            .await
            .unwrap();
        assert_eq!(refused.len(), 1, "{kind:?} {refused:?}");
        assert_eq!(refused[0].index, 1);
        let text = refused[0].error.to_string();
        assert!(text.contains("another row with the same value"), "{text}");
        bench.put(&[]).await.unwrap();
        assert_eq!(
            bench.rows("SELECT * FROM t ORDER BY id").await,
            ["1 A2", "5 e", "6 f"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn keys_that_differ_by_case_alone_are_one_row_where_the_table_says_so() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench.run(&["CREATE TABLE t (id VARCHAR(9) CHARACTER SET utf8 COLLATE utf8_general_ci PRIMARY KEY, v INT)"]).await;
        bench.start(&["t"]).await.unwrap();
        let key = structure(vec![field("id", SchemaKind::String.into())]);
        let schema = structure(vec![
            field("id", SchemaKind::String.into()),
            field("v", SchemaKind::Int32.into()),
        ]);
        let make = |offset: i64, id: &str, v: Option<i32>| {
            let value = v.map_or(Datum::NULL, |v| {
                row(&schema, vec![Value::from(id), Value::Int32(v)])
            });
            record("t", offset, row(&key, vec![Value::from(id)]), value)
        };
        // A key that is changed from a to A is a deletion of a, and a row A.
        bench
            .take(&[make(0, "a", Some(1)), make(1, "a", None), make(2, "A", Some(2))])
            .await;
        assert_eq!(bench.rows("SELECT id, v FROM t").await, ["A 2"], "{kind:?}");
    }
}

#[tokio::test]
async fn orders_and_their_lines_come_in_any_mixture() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("max.retries", "0")]).await;
        bench
            .run(&[
                "CREATE TABLE parent (id BIGINT PRIMARY KEY, v VARCHAR(9))",
                "CREATE TABLE child (id BIGINT PRIMARY KEY, v BIGINT, FOREIGN KEY (v) REFERENCES parent (id))",
                "CREATE TABLE tree (id BIGINT PRIMARY KEY, v BIGINT, FOREIGN KEY (v) REFERENCES tree (id))",
            ])
            .await;
        bench.start(&["child", "parent", "tree"]).await.unwrap();
        let simple = Simple::new();
        let write = |topic: &str, offset: i64, id: i64, v: &str| simple.write(topic, offset, id, v);
        bench
            .take(&[
                write("child", 0, 10, "1"),
                write("parent", 0, 1, "x"),
                write("parent", 1, 2, "y"),
                write("child", 1, 20, "2"),
                write("child", 2, 10, "2"),
                simple.delete("parent", 2, 1),
                simple.delete("child", 3, 20),
                simple.delete("child", 4, 10),
                simple.delete("parent", 3, 2),
                write("parent", 4, 3, "z"),
                write("child", 5, 30, "3"),
            ])
            .await;
        let both = "SELECT child.id, child.v, parent.v FROM child JOIN parent ON parent.id = child.v";
        assert_eq!(bench.rows(both).await, ["30 3 z"], "{kind:?}");
        let schema = structure(vec![
            field("id", SchemaKind::Int64.into()),
            field("v", optional(SchemaKind::Int64)),
        ]);
        let node = |offset: i64, id: i64, above: Option<i64>| {
            let above = above.map_or(Value::Null, Value::Int64);
            record(
                "tree",
                offset,
                simple.key(id),
                row(&schema, vec![Value::Int64(id), above]),
            )
        };
        bench
            .take(&[
                node(0, 1, None),
                node(1, 2, Some(1)),
                node(2, 3, Some(2)),
                node(3, 1, Some(3)),
            ])
            .await;
        assert_eq!(
            bench.rows("SELECT * FROM tree ORDER BY id").await,
            ["1 3", "2 1", "3 2"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn keys_of_several_columns_are_deleted_and_replaced() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE t (a VARBINARY(4), b DATETIME(3), v INT, PRIMARY KEY (b, a))"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let key = structure(vec![
            field("a", SchemaKind::Bytes.into()),
            field("b", millstream_connect::record::Schema::timestamp()),
        ]);
        let schema = structure(vec![field("v", optional(SchemaKind::Int32))]);
        let make = |offset: i64, a: &'static [u8], b: i64, v: Option<i32>| {
            let key = row(
                &key,
                vec![Value::Bytes(bytes::Bytes::from_static(a)), Value::Timestamp(b)],
            );
            let value = v.map_or(Datum::NULL, |v| row(&schema, vec![Value::Int32(v)]));
            record("t", offset, key, value)
        };
        bench
            .take(&[
                make(0, b"\0'", 1, Some(1)),
                make(1, b"\0'", 2, Some(2)),
                make(2, b"", 1, Some(3)),
                make(3, b"\0'", 1, None),
                make(4, b"", 1, Some(4)),
            ])
            .await;
        let found = bench.rows("SELECT HEX(a), b, v FROM t ORDER BY b").await;
        assert_eq!(
            found,
            [" 1970-01-01 00:00:00.001 4", "0027 1970-01-01 00:00:00.002 2"],
            "{kind:?}"
        );
        bench
            .take(&[make(5, b"", 1, None), make(6, b"\0'", 2, None)])
            .await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn references_are_known_where_servers_write_names_in_small_letters() {
    let server = Server::start(Kind::MariaDb, &["--lower-case-table-names=1"]);
    let mut bench = Bench::upserting(&server, &[("max.retries", "0")]).await;
    bench
        .run(&[
            "CREATE TABLE Parent (id BIGINT PRIMARY KEY, v VARCHAR(9))",
            "CREATE TABLE Child (id BIGINT PRIMARY KEY, v VARCHAR(9), FOREIGN KEY (id) REFERENCES Parent (id))",
        ])
        .await;
    bench.start(&["Child", "Parent"]).await.unwrap();
    let simple = Simple::new();
    let batch = [
        simple.write("Child", 0, 1, "a"),
        simple.write("Parent", 0, 1, "b"),
    ];
    bench.take(&batch).await;
    assert_eq!(bench.rows("SELECT * FROM child").await, ["1 a"]);
}

#[tokio::test]
async fn many_rows_with_keys_of_several_columns_are_deleted_at_once() {
    for kind in KINDS {
        let mut bench = Bench::upserting(
            Server::shared(kind),
            &[("batch.size", "5000"), ("schema.evolution", "basic")],
        )
        .await;
        bench.start(&["t"]).await.unwrap();
        let key = structure(vec![
            field("a", SchemaKind::Int64.into()),
            field("b", SchemaKind::String.into()),
        ]);
        let schema = structure(vec![field("v", optional(SchemaKind::Int32))]);
        let make = |offset: i64, id: i64, v: Value| {
            let value = if v.is_null() {
                Datum::NULL
            } else {
                row(&schema, vec![v])
            };
            record(
                "t",
                offset,
                row(&key, vec![Value::Int64(id), Value::from(format!("k{id}"))]),
                value,
            )
        };
        let writes: Vec<Record> = (0..3_000).map(|id| make(id, id, Value::Int32(1))).collect();
        bench.take(&writes).await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["3000"], "{kind:?}");
        let deletions: Vec<Record> = (0..2_999).map(|id| make(3_000 + id, id, Value::Null)).collect();
        bench.take(&deletions).await;
        assert_eq!(bench.rows("SELECT a, b FROM t").await, ["2999 k2999"], "{kind:?}");
    }
}

/// A row that another partition's held-back row has to come before waits with it: it is none for the dead letters.
#[tokio::test]
async fn rows_that_need_what_waits_behind_a_refused_record_wait_as_well() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("max.retries", "1")]).await;
        bench
            .run(&[
                "CREATE TABLE parent (id BIGINT PRIMARY KEY, v VARCHAR(3))",
                "CREATE TABLE child (id BIGINT PRIMARY KEY, v BIGINT, FOREIGN KEY (v) REFERENCES parent (id))",
                "CREATE TABLE once (id BIGINT PRIMARY KEY, v VARCHAR(9) UNIQUE)",
            ])
            .await;
        bench.start(&["parent", "child", "once"]).await.unwrap();
        let simple = Simple::new();
        bench.take(&[simple.write("once", 0, 1, "x")]).await;
        let batch = [
            simple.write("parent", 0, 5, "too long"),
            simple.write("parent", 1, 6, "ok"),
            simple.write("child", 0, 60, "6"),
            simple.write("once", 1, 3, "too long, too"),
            simple.delete("once", 2, 1),
            // Of another partition, with the value that the deleted row had.
            Record {
                partition: Some(1),
                ..simple.write("once", 0, 2, "x")
            },
        ];
        let mut batch = batch;
        if let Some(origin) = &mut batch[5].origin {
            origin.partition = 1;
        }
        bench
            .task
            .open(&[super::bench::partition("once", 1)])
            .await
            .unwrap();
        let refused = bench.put(&batch).await.unwrap();
        let places: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
        assert_eq!(places, [0, 3], "{kind:?}: {refused:?}");
        assert_eq!(
            (bench.stored("parent"), bench.stored("child")),
            (Some(0), Some(0))
        );
        bench.take(&[]).await;
        assert_eq!(bench.rows("SELECT * FROM child").await, ["60 6"], "{kind:?}");
        assert_eq!(bench.rows("SELECT * FROM once").await, ["2 x"], "{kind:?}");
        assert_eq!(
            (bench.stored("parent"), bench.stored("child")),
            (Some(2), Some(1))
        );
    }
}

/// Trouble with the server before says nothing of rows that are waited for.
#[tokio::test]
async fn lost_connections_do_not_shorten_the_wait_for_parents() {
    let server = Server::shared(Kind::MySql97);
    let proxy = Proxy::start(server.port).await;
    let mut bench = Bench::upserting(server, &[("max.retries", "3")])
        .await
        .through(proxy.port);
    bench
        .run(&[
            "CREATE TABLE parent (id BIGINT PRIMARY KEY)",
            "CREATE TABLE child (id BIGINT PRIMARY KEY, v BIGINT, FOREIGN KEY (id) REFERENCES parent (id))",
        ])
        .await;
    bench.start(&["child"]).await.unwrap();
    let simple = Simple::new();
    let child = [simple.write("child", 0, 1, "2")];
    assert_eq!(bench.put(&child).await.unwrap_err().kind(), ErrorKind::Retriable);
    for _ in 0..2 {
        proxy.cut_after(Way::ToServer, 0);
        assert_eq!(bench.put(&child).await.unwrap_err().kind(), ErrorKind::Retriable);
    }
    bench.run(&["INSERT INTO parent VALUES (1)"]).await;
    bench.take(&child).await;
    // One that never comes, and what helps.
    let orphan = [simple.write("child", 1, 2, "2")];
    for _ in 0..3 {
        assert_eq!(bench.put(&orphan).await.unwrap_err().kind(), ErrorKind::Retriable);
    }
    let refused = bench.put(&orphan).await.unwrap();
    assert!(
        refused[0].error.to_string().contains("foreign_key_checks=0"),
        "{refused:?}"
    );
    let url = bench.config["connection.url"].clone() + "&sessionVariables=foreign_key_checks=0";
    bench.config.insert("connection.url".to_owned(), url);
    bench.start(&["child"]).await.unwrap();
    bench.take(&orphan).await;
    assert_eq!(bench.rows("SELECT id FROM child").await, ["1", "2"]);
}
