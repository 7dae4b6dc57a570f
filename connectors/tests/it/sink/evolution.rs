//! Tables and columns that the sink makes.
use std::sync::Arc;

use millstream_connect::plugin::ErrorKind;
use millstream_connect::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Value};

use super::bench::{Bench, Simple, field, optional, record, row, structure};
use crate::servers::{KINDS, Kind, Server};

async fn types(bench: &mut Bench, table: &str) -> Vec<String> {
    let select = format!(
        "SELECT CONCAT(column_name, ' ', column_type, IF(is_nullable = 'YES', ' NULL', ' NOT NULL'), IF(column_key = 'PRI', ' KEY', ''), \
         IF(column_default IS NULL OR column_default = 'NULL', '', CONCAT(' = ', column_default))) \
         FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY ordinal_position"
    );
    bench.rows(&select).await
}

fn propagated(kind: SchemaKind, declared: &str, length: Option<&str>, scale: Option<&str>) -> Schema {
    let mut schema = optional(kind).with_parameter("__debezium.source.column.type", declared);
    if let Some(length) = length {
        schema = schema.with_parameter("__debezium.source.column.length", length);
    }
    if let Some(scale) = scale {
        schema = schema.with_parameter("__debezium.source.column.scale", scale);
    }
    schema
}

#[tokio::test]
async fn tables_are_made_as_schemas_say() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("schema.evolution", "basic")]).await;
        bench.start(&["t"]).await.unwrap();
        let named = |kind: SchemaKind, name: &str| optional(kind).named(name);
        let fields = vec![
            field("tiny", optional(SchemaKind::Int8)),
            field(
                "flag",
                Schema::from(SchemaKind::Boolean).with_default(Value::Boolean(true)),
            ),
            field(
                "price",
                Schema::decimal(2).with_parameter("connect.decimal.precision", "10"),
            ),
            field("any", Schema::decimal(4).optional()),
            field("at", named(SchemaKind::Int64, "io.debezium.time.MicroTimestamp")),
            field(
                "zoned",
                named(SchemaKind::String, "io.debezium.time.ZonedTimestamp"),
            ),
            field("when", Schema::timestamp().optional()),
            field(
                "bits",
                named(SchemaKind::Bytes, "io.debezium.data.Bits").with_parameter("length", "9"),
            ),
            field(
                "label",
                named(SchemaKind::String, "io.debezium.data.Enum").with_parameter("allowed", "a,it's,x\\,y"),
            ),
            field(
                "name",
                Schema::from(SchemaKind::String).with_default(Value::from("x")),
            ),
            field(
                "count",
                Schema::from(SchemaKind::Int32).with_default(Value::Int32(-3)),
            ),
            field("blob", optional(SchemaKind::Bytes)),
        ];
        let schema = structure(fields);
        let key = structure(vec![
            field("id", SchemaKind::Int64.into()),
            field("region", SchemaKind::String.into()),
        ]);
        let mut values: Vec<Value> = schema.fields().iter().map(|_| Value::Null).collect();
        values[2] = Value::Decimal(Box::new("1.50".parse().unwrap()));
        values[8] = Value::from("x,y");
        let key = row(&key, vec![Value::Int64(1), Value::from("eu")]);
        bench.take(&[record("t", 0, key, row(&schema, values))]).await;
        let found = types(&mut bench, "t").await;
        let old = kind == Kind::MySql56;
        let width = |name: &str, width: &str| match kind {
            Kind::MySql97 => name.to_owned(),
            _ => format!("{name}({width})"),
        };
        let expected = [
            format!("id {} NOT NULL KEY", width("bigint", "20")),
            format!("region varchar({}) NOT NULL KEY", if old { 191 } else { 255 }),
            format!("tiny {} NULL", width("tinyint", "4")),
            "flag tinyint(1) NOT NULL = 1".to_owned(),
            "price decimal(10,2) NOT NULL".to_owned(),
            "any decimal(65,4) NULL".to_owned(),
            "at datetime(6) NULL".to_owned(),
            "zoned datetime(6) NULL".to_owned(),
            "when datetime(3) NULL".to_owned(),
            "bits bit(9) NULL".to_owned(),
            "label enum('a','it''s','x,y') NULL".to_owned(),
            "name longtext NOT NULL".to_owned(),
            format!("count {} NOT NULL = -3", width("int", "11")),
            "blob longblob NULL".to_owned(),
        ];
        assert_eq!(found, expected, "{kind:?}");
        let rows = bench
            .rows("SELECT id, region, flag, price, label, name, count FROM t")
            .await;
        assert_eq!(rows, ["1 eu 1 1.50 x,y x -3"], "{kind:?}");
        let table = bench.rows("SHOW CREATE TABLE t").await.concat();
        assert!(
            table.contains("ENGINE=InnoDB") && table.contains("bin"),
            "{table}"
        );
    }
}

#[tokio::test]
async fn a_source_s_own_types_come_back() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[("auto.create", "true")]).await;
        bench.start(&["t"]).await.unwrap();
        let fields = vec![
            field("a", propagated(SchemaKind::Int64, "BIGINT UNSIGNED", None, None)),
            field("b", propagated(SchemaKind::String, "VARCHAR", Some("17"), None)),
            field(
                "c",
                propagated(SchemaKind::String, "DECIMAL", Some("12"), Some("3")),
            ),
            field("d", propagated(SchemaKind::Int16, "TINYINT", Some("1"), None)),
            field(
                "e",
                propagated(SchemaKind::Int64, "DATETIME", Some("4"), None)
                    .named("io.debezium.time.MicroTimestamp"),
            ),
            field(
                "f",
                propagated(SchemaKind::String, "TIMESTAMP", Some("2"), None)
                    .named("io.debezium.time.ZonedTimestamp"),
            ),
            field("g", propagated(SchemaKind::Bytes, "BINARY", Some("16"), None)),
            field("h", propagated(SchemaKind::String, "MEDIUMTEXT", None, None)),
            field(
                "i",
                propagated(SchemaKind::String, "SET", Some("1"), None)
                    .named("io.debezium.data.EnumSet")
                    .with_parameter("allowed", "p,q"),
            ),
            field(
                "j",
                propagated(SchemaKind::Int32, "MEDIUMINT UNSIGNED ZEROFILL", Some("8"), None),
            ),
            field("k", propagated(SchemaKind::Float32, "FLOAT", None, None)),
            field("l", propagated(SchemaKind::String, "INTERVAL", None, None)),
        ];
        let schema = structure(fields);
        let mut values: Vec<Value> = schema.fields().iter().map(|_| Value::Null).collect();
        values[0] = Value::Int64(-1);
        values[4] = Value::Int64(1_234_500);
        values[5] = Value::from("2024-05-06T07:08:09.25Z");
        values[8] = Value::from("p,q");
        bench
            .take(&[record("t", 0, Datum::NULL, row(&schema, values))])
            .await;
        let found: Vec<String> = types(&mut bench, "t").await;
        let expected: &[&str] = match kind {
            Kind::MySql97 => &["bigint unsigned", "tinyint(1)", "mediumint unsigned"],
            _ => &["bigint(20) unsigned", "tinyint(1)", "mediumint(8) unsigned"],
        };
        let expected = [
            format!("a {} NULL", expected[0]),
            "b varchar(17) NULL".to_owned(),
            "c decimal(12,3) NULL".to_owned(),
            format!("d {} NULL", expected[1]),
            "e datetime(4) NULL".to_owned(),
            "f timestamp(2) NULL".to_owned(),
            "g binary(16) NULL".to_owned(),
            "h mediumtext NULL".to_owned(),
            "i set('p','q') NULL".to_owned(),
            format!("j {} NULL", expected[2]),
            "k float NULL".to_owned(),
            "l longtext NULL".to_owned(),
        ];
        assert_eq!(found, expected, "{kind:?}");
        bench.run(&["SET time_zone = '+00:00'"]).await;
        let found = bench.rows("SELECT a, e, f, i FROM t").await;
        assert_eq!(
            found,
            ["18446744073709551615 1970-01-01 00:00:01.2345 2024-05-06 07:08:09.25 p,q"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn columns_are_added_as_they_come() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("schema.evolution", "basic")]).await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        let wider = |fields: Vec<Field>| -> SchemaRef {
            let mut all: Vec<Field> = simple.value.fields().to_vec();
            all.extend(fields);
            structure(all)
        };
        let second = wider(vec![field("n", SchemaKind::Int32.into())]);
        let third = wider(vec![
            field("n", SchemaKind::Int32.into()),
            field(
                "d",
                Schema::from(SchemaKind::String)
                    .with_parameter("__debezium.source.column.type", "VARCHAR")
                    .with_parameter("__debezium.source.column.length", "9")
                    .with_default(Value::from("it's")),
            ),
        ]);
        let make = |offset: i64, id: i64, schema: &SchemaRef, more: Vec<Value>| -> Record {
            let mut values = vec![Value::Int64(id), Value::from("v")];
            values.extend(more);
            record("t", offset, simple.key(id), row(schema, values))
        };
        // Old and new rows in one batch, in any order.
        bench
            .take(&[
                simple.write("t", 0, 1, "a"),
                make(1, 2, &second, vec![Value::Int32(5)]),
                simple.write("t", 2, 3, "b"),
                make(3, 4, &third, vec![Value::Int32(6), Value::from("x")]),
                simple.write("t", 4, 2, "c"),
                make(5, 5, &second, vec![Value::Int32(7)]),
            ])
            .await;
        let found = bench.rows("SELECT id, v, n, d FROM t ORDER BY id").await;
        assert_eq!(
            found,
            [
                "1 a NULL it's",
                "2 c 5 it's",
                "3 b NULL it's",
                "4 v 6 x",
                "5 v 7 it's"
            ],
            "{kind:?}"
        );
        assert_eq!(bench.stored("t"), Some(6));
    }
}

#[tokio::test]
async fn several_tasks_make_a_table_and_its_columns_together() {
    for kind in KINDS {
        let bench = Bench::new(Server::shared(kind), &[("schema.evolution", "basic")]).await;
        let mut running = Vec::new();
        for number in 0..4_i32 {
            let mut task = bench.new_task().await.unwrap();
            running.push(tokio::spawn(async move {
                task.open(&[super::bench::partition("t", number)]).await.unwrap();
                for (offset, name) in (0_i64..).zip(["a", "b", "c"]) {
                    let schema = structure(vec![field(name, optional(SchemaKind::Int32))]);
                    let mut record =
                        record("t", offset, Datum::NULL, row(&schema, vec![Value::Int32(number)]));
                    record.origin.as_mut().unwrap().partition = number;
                    // As the runtime does: who waited for a lock in vain puts again.
                    let mut tries = 0;
                    let refused = loop {
                        match task.put(std::slice::from_ref(&record)).await {
                            Err(error) if error.kind() == ErrorKind::Retriable && tries < 10 => {
                                eprintln!("{kind:?}, task {number}: {error}");
                                tries += 1;
                            }
                            other => {
                                break other.unwrap_or_else(|error| {
                                    panic!("{kind:?}, task {number}, {name}: {:?} {error}", error.kind())
                                });
                            }
                        }
                    };
                    assert!(refused.is_empty(), "{refused:?}");
                }
            }));
        }
        for task in running {
            task.await.unwrap();
        }
        let mut bench = bench;
        assert_eq!(
            bench.rows("SELECT COUNT(*), SUM(a), SUM(b), SUM(c) FROM t").await,
            ["12 6 6 6"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn columns_that_somebody_else_adds_in_part_are_added_for_the_rest() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("schema.evolution", "basic")]).await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        bench.take(&[simple.write("t", 0, 1, "a")]).await;
        bench.run(&["ALTER TABLE t ADD n INT"]).await;
        let mut fields: Vec<Field> = simple.value.fields().to_vec();
        fields.extend(["m", "n"].map(|name| field(name, optional(SchemaKind::Int32))));
        let values = vec![
            Value::Int64(2),
            Value::from("b"),
            Value::Int32(3),
            Value::Int32(4),
        ];
        let wider = record("t", 1, simple.key(2), row(&structure(fields), values));
        bench.take(&[wider]).await;
        let found = bench.rows("SELECT id, v, m, n FROM t ORDER BY id").await;
        assert_eq!(found, ["1 a NULL NULL", "2 b 3 4"], "{kind:?}");
    }
}

/// MariaDB, as MySQL 5.7, then says nothing of the table to who holds a lock of any kind: that is not a table that is not there.
#[tokio::test]
async fn a_table_that_somebody_is_changing_is_waited_for() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut bench = Bench::upserting(server, &[]).await;
        bench
            .run(&[
                "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)",
                "CREATE TABLE z (id INT PRIMARY KEY)",
            ])
            .await;
        bench.start(&["t"]).await.unwrap();
        // Who renames holds the first table while waiting for the second.
        bench
            .run(&["START TRANSACTION", "INSERT INTO z VALUES (1)"])
            .await;
        let mut changer = server.root().await;
        changer.execute(&format!("USE {}", bench.database)).await.unwrap();
        let changing = tokio::spawn(async move {
            let rename = "RENAME TABLE t TO t2, t2 TO t, z TO z2, z2 TO z";
            changer.execute(rename).await.unwrap();
        });
        let waiting = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata%' AND db = '{}'",
            bench.database
        );
        let mut watcher = server.root().await;
        let mut count = async || -> u32 {
            let rows = watcher.query(&waiting).await.unwrap();
            rows[0].text(0).unwrap().parse().unwrap()
        };
        while count().await == 0 {
            tokio::task::yield_now().await;
        }
        let record = [Simple::new().write("t", 0, 1, "a")];
        let (task, client) = (&mut bench.task, &mut bench.client);
        let committing = async {
            // The sink waits for the server, or asks again; either way it has to wait for this.
            let begun = std::time::Instant::now();
            while count().await < 2 && begun.elapsed().as_secs() < 1 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            client.execute("COMMIT").await.unwrap();
        };
        let (refused, ()) = tokio::join!(task.put(&record), committing);
        let refused = refused.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert!(refused.is_empty(), "{refused:?}");
        changing.await.unwrap();
        assert_eq!(bench.rows("SELECT * FROM t").await, ["1 a"], "{kind:?}");
    }
}

#[tokio::test]
async fn deletions_need_no_table() {
    let mut bench = Bench::upserting(Server::shared(Kind::MySql97), &[("schema.evolution", "basic")]).await;
    bench.start(&["t"]).await.unwrap();
    let simple = Simple::new();
    bench
        .take(&[
            simple.delete("t", 0, 1),
            simple.write("t", 1, 2, "a"),
            simple.delete("t", 2, 2),
        ])
        .await;
    assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    let _ = Arc::clone(&simple.key);
}
