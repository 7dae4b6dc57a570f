//! Tables that change, and logs that do not say what tables are.
use millstream_connect::record::{Record, Value};

use super::harness::{Commits, Delivered, field, run};
use crate::servers::{Kind, Server};

/// The value of a column in the last record of a table.
fn last(delivered: &Delivered, table: &str, column: &str) -> String {
    let record = delivered.of(table).into_iter().last().unwrap();
    let after = super::harness::field(&record.value.value, "after").unwrap();
    format!("{:?}", super::harness::field(after, column))
}

#[tokio::test]
async fn tables_change_while_they_are_read() {
    for kind in [Kind::MySql97, Kind::MariaDb, Kind::MySql56] {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY, a INT)"]).await;
        let mut delivered = Delivered::new(
            &server,
            &[("database.include.list", "d"), ("include.schema.changes", "true")],
        );
        let mut running = delivered.start().await;
        run(&mut client, &["INSERT INTO t VALUES (1, 10)"]).await;
        running.until_count("d.t", 1).await;
        assert_eq!(last(running.delivered(), "d.t", "a"), "Some(Int32(10))");
        run(
            &mut client,
            &[
                "ALTER TABLE t CHANGE a b BIGINT, ADD c INT",
                "INSERT INTO t VALUES (2, 20, 30)",
            ],
        )
        .await;
        running.until_count("d.t", 2).await;
        assert_eq!(last(running.delivered(), "d.t", "b"), "Some(Int64(20))");
        assert_eq!(last(running.delivered(), "d.t", "a"), "None");
        run(
            &mut client,
            &[
                "RENAME TABLE t TO u",
                "INSERT INTO u VALUES (3, 1, 1)",
                "DROP TABLE u",
                "CREATE TABLE t (id INT PRIMARY KEY, z INT)",
                "INSERT INTO t VALUES (1, 5)",
            ],
        )
        .await;
        // Rows of a table that is gone: the log says what it was, or the statements up to there.
        running.until_count("d.t", 3).await;
        assert_eq!(last(running.delivered(), "d.u", "b"), "Some(Int64(1))");
        assert_eq!(last(running.delivered(), "d.t", "z"), "Some(Int32(5))");
        running.stop().await;
        let statements = delivered
            .records
            .iter()
            .filter(|record| &*record.topic == "p")
            .count();
        // Six where it began: of the server, the database and the table.
        assert_eq!(statements, 6 + 4, "changes of tables");
    }
}

/// The statements that were told.
pub fn statements(delivered: &Delivered) -> Vec<String> {
    let told = delivered.records.iter().filter(|record| &*record.topic == "p");
    let statement = |record: &Record| match field(&record.value.value, "ddl") {
        Some(Value::String(ddl)) => ddl.to_string(),
        other => panic!("{other:?}"),
    };
    told.map(statement).collect()
}

#[tokio::test]
async fn a_source_begins_with_the_statements_of_what_is_there() {
    for (kind, options) in [
        (Kind::MySql97, &[][..]),
        (Kind::MySql97, &["--binlog-row-metadata=MINIMAL"]),
        (Kind::MariaDb, &[]),
        (Kind::MySql56, &[]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        run(
            &mut client,
            &[
                "ALTER DATABASE d CHARACTER SET latin1",
                "CREATE TABLE b (id INT PRIMARY KEY, a VARCHAR(10) COMMENT 'it''s')",
                "CREATE TABLE `a ``quoted``` (id INT)",
                "CREATE TABLE other (id INT PRIMARY KEY)",
                "INSERT INTO b VALUES (1, 'x')",
            ],
        )
        .await;
        let mut shown = Vec::new();
        for table in ["`a ``quoted```", "b"] {
            let rows = client.query(&format!("SHOW CREATE TABLE {table}")).await.unwrap();
            shown.push(rows[0].text(1).unwrap());
        }
        let defaults = "SELECT CONCAT('SET character_set_server=', @@character_set_server, ', collation_server=', @@collation_server)";
        let defaults = client.query(defaults).await.unwrap()[0].text(0).unwrap();
        let mut expected = vec![
            defaults,
            "DROP TABLE IF EXISTS `d`.`a ``quoted```".to_owned(),
            "DROP TABLE IF EXISTS `d`.`b`".to_owned(),
            "DROP DATABASE IF EXISTS `d`".to_owned(),
            "CREATE DATABASE `d` CHARSET latin1 COLLATE latin1_swedish_ci".to_owned(),
            "USE `d`".to_owned(),
        ];
        expected.extend(shown);
        let mut delivered = Delivered::new(
            &server,
            &[
                ("table.include.list", "d\\.a.*,d\\.b"),
                ("include.schema.changes", "true"),
                ("snapshot.mode", "initial"),
                // Several batches.
                ("max.batch.size", "3"),
            ],
        );
        // Who dies in the midst of it begins again.
        delivered.commits = Commits::EachPoll;
        let mut running = delivered.start().await;
        assert_eq!(running.poll().await.unwrap(), 3);
        running.stop().await;
        assert_eq!(statements(&delivered), expected[..3]);
        assert!(delivered.partitions().is_empty(), "nothing is stored of a part");
        delivered.records.clear();
        delivered.commits = Commits::WhereItSays;
        let mut running = delivered.start().await;
        running.until_count("d.b", 1).await;
        running.stop().await;
        assert_eq!(statements(&delivered), expected, "{kind:?} {options:?}");
        assert!(
            delivered.records[..expected.len()]
                .iter()
                .all(|record| &*record.topic == "p"),
            "before all rows"
        );
        let created = field(&delivered.records[7].value.value, "tableChanges");
        assert!(format!("{created:?}").contains("CREATE"), "{created:?}");
        // Once.
        let mut running = delivered.start().await;
        run(
            &mut client,
            &["ALTER TABLE b ADD c INT", "INSERT INTO b VALUES (2, 'y', 3)"],
        )
        .await;
        running.until_count("d.b", 2).await;
        running.stop().await;
        expected.push("ALTER TABLE b ADD c INT".to_owned());
        assert_eq!(statements(&delivered), expected);
    }
}

/// Without names in the log, what a table was is known from before, also after a restart.
#[tokio::test]
async fn what_tables_were_is_stored_where_the_log_does_not_say_it() {
    for (kind, options) in [
        (Kind::MySql56, &[][..]),
        (Kind::MySql97, &["--binlog-row-metadata=MINIMAL"]),
        (Kind::MariaDb, &["--binlog-row-metadata=MINIMAL"]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        run(
            &mut client,
            &["CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, a VARCHAR(10))"],
        )
        .await;
        let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
        let mut running = delivered.start().await;
        run(&mut client, &["INSERT INTO t VALUES (4000000000, 'x')"]).await;
        running.until_count("d.t", 1).await;
        assert_eq!(last(running.delivered(), "d.t", "id"), "Some(Int64(4000000000))");
        running.stop().await;
        assert!(
            delivered
                .partitions()
                .iter()
                .any(|partition| partition.text("table") == Some("d.t"))
        );
        // Rows before and behind a change that it was not there for.
        run(
            &mut client,
            &[
                "INSERT INTO t VALUES (2, 'y')",
                "ALTER TABLE t CHANGE a b VARCHAR(10), ADD c INT",
                "INSERT INTO t VALUES (3, 'z', 7)",
            ],
        )
        .await;
        let mut running = delivered.start().await;
        running.until_count("d.t", 3).await;
        assert_eq!(last(running.delivered(), "d.t", "c"), "Some(Int32(7))");
        running.stop().await;
        let rows: Vec<_> = delivered
            .rows("d.t")
            .into_values()
            .map(|row| format!("{row:?}"))
            .collect();
        assert!(
            rows.iter().any(|row| row.contains("\"y\"") || row.contains("y")),
            "{rows:?}"
        );
        // Two changes with rows between them, of which one is not understood: what the table was there, nobody knows.
        run(
            &mut client,
            &[
                "ALTER TABLE t ADD d DOUBLE DEFAULT 1e3",
                "INSERT INTO t VALUES (4, 'a', 1, 2)",
                "ALTER TABLE t ADD e INT",
                "INSERT INTO t VALUES (5, 'b', 1, 2, 3)",
            ],
        )
        .await;
        let mut running = delivered.start().await;
        let error = running.until_failure().await.to_string();
        assert!(
            error.contains("not known what its columns were")
                && error
                    .contains("it was changed since, and what \"ALTER TABLE t ADD d DOUBLE DEFAULT 1e3\""),
            "{kind:?}: {error}"
        );
        drop(running);
        // Who knows that it does not matter says so.
        delivered.set("snapshot.mode", "recovery");
        delivered.set("event.processing.failure.handling.mode", "warn");
        let mut running = delivered.start().await;
        let error = running.until_failure().await.to_string();
        assert!(
            error.contains("5 columns are described where the log has 4"),
            "{error}"
        );
    }
}

/// Statements and rows in turn while nobody reads: what the server says is of the end, and each statement says what its table became.
#[tokio::test]
async fn tables_change_several_times_while_nobody_reads() {
    for (kind, options) in [
        (Kind::MySql56, &[][..]),
        (Kind::MySql97, &["--binlog-row-metadata=MINIMAL"]),
        (Kind::MariaDb, &["--binlog-row-metadata=MINIMAL"]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        let create =
            "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b INT UNSIGNED) DEFAULT CHARSET latin1";
        run(&mut client, &[create]).await;
        let more = [("database.include.list", "d"), ("max.batch.size", "1")];
        let mut delivered = Delivered::new(&server, &more);
        let mut running = delivered.start().await;
        run(&mut client, &["INSERT INTO t VALUES (1, 'x', 4000000000)"]).await;
        running.until_count("d.t", 1).await;
        running.stop().await;
        run(
            &mut client,
            &[
                "INSERT INTO t VALUES (2, 'y', 7)",
                "ALTER TABLE t ADD c INT UNSIGNED NOT NULL DEFAULT 9 FIRST, MODIFY a VARCHAR(20) CHARACTER SET utf8 AFTER b",
                "INSERT INTO t VALUES (4000000001, 3, 8, 'é')",
                "ALTER TABLE t CHANGE b name CHAR(12), DROP PRIMARY KEY, ADD PRIMARY KEY (id, c)",
                "INSERT INTO t VALUES (4, 4, 'n', 'z')",
                "ALTER TABLE t DROP a, ADD e ENUM('one','two') DEFAULT 'two' AFTER id",
                "INSERT INTO t VALUES (5, 5, 'two', 'm')",
                "CREATE TABLE w (k INT, v TEXT)",
                "INSERT INTO w VALUES (1, 'ü')",
                "RENAME TABLE w TO old, t TO w",
                "ALTER TABLE w ADD f INT",
                "INSERT INTO w VALUES (6, 6, 'one', 'm', 66)",
                "INSERT INTO old VALUES (2, 'v')",
                "DROP TABLE old",
                "ALTER TABLE w DROP f, DROP e",
                "INSERT INTO w VALUES (7, 7, 'm')",
            ],
        )
        .await;
        // It stops and goes on between, with what is stored.
        for count in 2..=5 {
            let mut running = delivered.start().await;
            running.until_count("d.t", count).await;
            running.stop().await;
        }
        let mut running = delivered.start().await;
        running.until_count("d.w", 3).await;
        running.stop().await;
        let shown = |table: &str, columns: &[&str]| -> Vec<String> {
            let records = delivered.of(table);
            let after = records
                .iter()
                .map(|record| super::harness::field(&record.value.value, "after").unwrap());
            after
                .map(|row| {
                    let field = |name: &&str| format!("{:?}", super::harness::field(row, name));
                    columns.iter().map(field).collect::<Vec<_>>().join(" ")
                })
                .collect()
        };
        let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        assert_eq!(
            shown("d.t", &["id", "c", "a", "b"]),
            texts(&[
                "Some(Int32(1)) None Some(String(\"x\")) Some(Int64(4000000000))",
                "Some(Int32(2)) None Some(String(\"y\")) Some(Int64(7))",
                "Some(Int32(3)) Some(Int64(4000000001)) Some(String(\"é\")) Some(Int64(8))",
                "Some(Int32(4)) Some(Int64(4)) Some(String(\"z\")) None",
                "Some(Int32(5)) Some(Int64(5)) None None",
            ]),
            "{kind:?}"
        );
        assert_eq!(
            shown("d.w", &["k", "v", "id", "e", "name", "f"]),
            texts(&[
                "Some(Int32(1)) Some(String(\"ü\")) None None None None",
                "None None Some(Int32(6)) Some(String(\"one\")) Some(String(\"m\")) Some(Int32(66))",
                "None None Some(Int32(7)) None Some(String(\"m\")) None",
            ]),
            "{kind:?}"
        );
        assert_eq!(
            shown("d.old", &["k", "v"]),
            texts(&["Some(Int32(2)) Some(String(\"v\"))"])
        );
        let key = format!("{:?}", delivered.of("d.t")[3].key.value);
        assert!(key.contains("Int64(4)"), "{kind:?}: {key}");
    }
}

/// A server may know of transactions that are in no log of its: who looks ahead for statements neither asks for them nor waits for them.
#[tokio::test]
async fn tables_are_described_though_the_server_knows_of_more_transactions_than_its_log_has() {
    const ELSEWHERE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let server = Server::lent(Kind::MySql97, &["--binlog-row-metadata=MINIMAL"]);
    let mut client = server.database("d").await;
    let more = [
        ("database.include.list", "d"),
        ("gtid.source.excludes", ELSEWHERE),
    ];
    let mut delivered = Delivered::new(&server, &more);
    let mut running = delivered.start().await;
    run(
        &mut client,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
            "INSERT INTO t VALUES (1, 10)",
        ],
    )
    .await;
    running.until_count("d.t", 1).await;
    run(
        &mut client,
        &[
            &format!("SET GLOBAL gtid_purged='+{ELSEWHERE}:1-5'"),
            "CREATE TABLE u (id INT PRIMARY KEY, b INT)",
            "INSERT INTO u VALUES (1, 20)",
        ],
    )
    .await;
    running.until_count("d.u", 1).await;
    assert_eq!(last(running.delivered(), "d.u", "b"), "Some(Int32(20))");
    running.stop().await;
}
