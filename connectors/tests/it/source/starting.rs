//! Where a source begins, and what it says when it cannot.
use millstream_connect::plugin::{ErrorKind, SourcePlugin};
use millstream_connectors::mysql::source::MySqlSource;

use super::harness::{Delivered, run};
use crate::servers::{KINDS, Kind, Server, purge_logs};

#[tokio::test]
async fn without_an_offset_it_begins_now_or_at_the_first_log() {
    for kind in KINDS {
        for (mode, expected) in [("no_data", vec!["c3"]), ("never", vec!["c1", "c2", "c3"])] {
            let server = Server::lent(kind, &[]);
            let mut client = server.database("d").await;
            run(
                &mut client,
                &[
                    "CREATE TABLE t (id INT PRIMARY KEY)",
                    "INSERT INTO t VALUES (1)",
                    "FLUSH LOGS",
                    "INSERT INTO t VALUES (2)",
                ],
            )
            .await;
            let settings = [("database.include.list", "d"), ("snapshot.mode", mode)];
            let mut delivered = Delivered::new(&server, &settings);
            let mut running = delivered.start().await;
            run(&mut client, &["INSERT INTO t VALUES (3)"]).await;
            running.until_count("d.t", expected.len()).await;
            running.stop().await;
            assert_eq!(delivered.changes("d.t", "id"), expected, "{kind:?} {mode}");
        }
    }
}

#[tokio::test]
async fn purged_logs_are_told() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
        let mut running = delivered.start().await;
        run(&mut client, &["INSERT INTO t VALUES (1)"]).await;
        running.until_count("d.t", 1).await;
        running.stop().await;
        run(
            &mut client,
            &[
                "INSERT INTO t VALUES (2)",
                "FLUSH LOGS",
                "INSERT INTO t VALUES (3)",
                "FLUSH LOGS",
            ],
        )
        .await;
        purge_logs(&mut client).await;
        let error = delivered.try_start().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::UserConfig, "{error}");
        let says = ["deleted the logs", "snapshot.mode=when_needed"];
        assert!(
            says.iter().all(|words| error.to_string().contains(words)),
            "{kind:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_lost_transactions_is_noticed() {
    for kind in [Kind::MySql97, Kind::MariaDb] {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
        let mut running = delivered.start().await;
        run(&mut client, &["INSERT INTO t VALUES (1)"]).await;
        running.until_count("d.t", 1).await;
        running.stop().await;
        let reset = if kind == Kind::MySql97 {
            "RESET BINARY LOGS AND GTIDS"
        } else {
            "RESET MASTER"
        };
        run(&mut client, &[reset]).await;
        let error = delivered.try_start().await.err().unwrap().to_string();
        assert!(
            error.contains("does not have transactions that were read already"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn two_sources_with_one_number_are_told_apart() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut first = Delivered::new(&server, &[("database.server.id", "4711")]);
    let mut second = Delivered::new(&server, &[("database.server.id", "4711")]);
    let mut one = first.start().await;
    one.poll_times(2).await;
    let mut two = second.start().await;
    let error = one.until_failure().await;
    assert_eq!(error.kind(), ErrorKind::UserConfig);
    assert!(error.to_string().contains("database.server.id"), "{error}");
    two.poll_times(3).await;
}

#[tokio::test]
async fn statements_instead_of_rows_are_refused() {
    let server = Server::lent(Kind::MariaDb, &[]);
    let mut client = server.database("d").await;
    run(
        &mut client,
        &[
            "SET SESSION binlog_format=STATEMENT",
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "CREATE DATABASE e",
            "CREATE TABLE e.t (id INT)",
        ],
    )
    .await;
    let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
    let mut running = delivered.start().await;
    run(
        &mut client,
        &[
            "USE e",
            "INSERT INTO e.t VALUES (1)",
            "SET SESSION binlog_format=ROW",
            "INSERT INTO d.t VALUES (1)",
        ],
    )
    .await;
    running.until_count("d.t", 1).await;
    run(
        &mut client,
        &["SET SESSION binlog_format=STATEMENT", "UPDATE d.t SET id = 2"],
    )
    .await;
    let error = running.until_failure().await.to_string();
    assert!(
        error.contains("UPDATE d.t SET id = 2") && error.contains("binlog_format = ROW"),
        "{error}"
    );
}

/// Whoever makes the connector hears it already, and its task does not start.
#[tokio::test]
async fn a_server_that_cannot_be_read_is_refused_with_the_statements_that_mend_it() {
    let server = Server::start(Kind::MySql97, &[]);
    let mut client = server.database("d").await;
    run(
        &mut client,
        &[
            "CREATE TABLE t (id INT)",
            "CREATE USER capture@localhost IDENTIFIED BY 'a secret'",
            "SET GLOBAL binlog_format = MIXED",
        ],
    )
    .await;
    let account = [
        ("database.user", "capture"),
        ("database.password", "a secret"),
        ("database.include.list", "d"),
    ];
    let mut delivered = Delivered::new(&server, &account);
    let errors = |delivered: &Delivered, key: &str| {
        let validated = MySqlSource.validate(&delivered.config);
        let all: Vec<_> = validated
            .iter()
            .filter(|value| !value.errors.is_empty())
            .collect();
        assert!(all.iter().all(|value| value.name == key), "{all:?}");
        all.iter()
            .flat_map(|value| value.errors.clone())
            .collect::<Vec<_>>()
    };
    let mend = [
        "SET GLOBAL binlog_format = 'ROW'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'capture'@'localhost'",
    ];
    let found = errors(&delivered, "database.hostname");
    assert_eq!(found.len(), 2, "{found:?}");
    let error = delivered.try_start().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::UserConfig);
    for statement in mend {
        assert!(found.iter().any(|found| found.contains(statement)), "{found:?}");
        assert!(error.to_string().contains(statement), "{error}");
    }
    run(&mut client, &mend).await;
    assert_eq!(errors(&delivered, "-"), [""; 0]);
    // Tables are looked at where they are going to be read.
    run(&mut client, &["GRANT SELECT ON d.* TO capture@localhost"]).await;
    delivered.set("snapshot.mode", "initial");
    let error = delivered.try_start().await.err().unwrap().to_string();
    assert!(
        error.contains("GRANT LOCK TABLES ON `d`.* TO 'capture'@'localhost'"),
        "{error}"
    );
    delivered.set("snapshot.mode", "no_data");
    delivered.start().await.stop().await;

    delivered.set("database.password", "another secret");
    let found = errors(&delivered, "database.user");
    assert!(
        found[0].contains("may not log in (1045") && !found[0].contains("secret"),
        "{found:?}"
    );
    // That may pass.
    delivered.set("database.port", "1");
    assert_eq!(errors(&delivered, "-"), [""; 0]);
}

/// With the privileges that the check asks for, and no others.
#[tokio::test]
async fn an_account_that_may_do_no_more_than_it_has_to_is_enough() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        let place = match kind {
            Kind::MariaDb => "BINLOG MONITOR",
            _ => "REPLICATION CLIENT",
        };
        let grant = format!("GRANT REPLICATION SLAVE, {place} ON *.* TO capture@localhost");
        run(
            &mut client,
            &[
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "CREATE TABLE u (id INT)",
                "INSERT INTO t VALUES (1)",
                "INSERT INTO u VALUES (1)",
                "CREATE USER capture@localhost IDENTIFIED BY 'a secret'",
                &grant,
                "GRANT SELECT, LOCK TABLES ON d.* TO capture@localhost",
            ],
        )
        .await;
        let settings = [
            ("database.user", "capture"),
            ("database.password", "a secret"),
            ("database.include.list", "d"),
            ("snapshot.mode", "initial"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        let mut running = delivered.start().await;
        running.until_count("d.t", 1).await;
        running.until_count("d.u", 1).await;
        run(&mut client, &["INSERT INTO t VALUES (2)"]).await;
        running.until_count("d.t", 2).await;
        running.stop().await;
        assert_eq!(delivered.changes("d.t", "id"), ["r1", "c2"], "{kind:?}");
        let mut running = delivered.start().await;
        run(&mut client, &["DELETE FROM t WHERE id = 1"]).await;
        running.until_count("d.t", 4).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn offsets_move_on_and_heartbeats_come_while_nothing_is_captured() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut client = server.database("d").await;
    run(
        &mut client,
        &[
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT)",
            "CREATE TABLE beats (id INT PRIMARY KEY AUTO_INCREMENT)",
        ],
    )
    .await;
    let settings = [
        ("table.include.list", "d.nothing"),
        ("heartbeat.interval.ms", "50"),
        ("heartbeat.action.query", "INSERT INTO d.beats VALUES ()"),
    ];
    let mut delivered = Delivered::new(&server, &settings);
    let mut running = delivered.start().await;
    running.poll_times(1).await;
    let first = running.delivered().offset();
    run(&mut client, &["INSERT INTO t VALUES ()"]).await;
    running
        .until("offsets that moved", |delivered| {
            delivered.offset().text("gtids") != first.text("gtids")
        })
        .await;
    let beats = |delivered: &Delivered| {
        delivered
            .records
            .iter()
            .filter(|record| &*record.topic == "__debezium-heartbeat.p")
            .count()
    };
    running
        .until("heartbeats", |delivered| beats(delivered) > 3)
        .await;
    running.stop().await;
    let rows = client.query("SELECT COUNT(*) FROM beats").await.unwrap();
    assert!(rows[0].text(0).unwrap().parse::<u32>().unwrap() > 0);
}

/// An account that may do what is documented, and nothing else.
#[tokio::test]
async fn an_account_with_the_documented_privileges_is_enough() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        run(
            &mut client,
            &[
                "CREATE TABLE t (id INT PRIMARY KEY)",
                "INSERT INTO t VALUES (1)",
                "CREATE USER plain@localhost IDENTIFIED BY 'a secret'",
                "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO plain@localhost",
            ],
        )
        .await;
        if kind == Kind::MySql56 {
            // Its marks are those of locked tables.
            run(&mut client, &["GRANT LOCK TABLES ON d.* TO plain@localhost"]).await;
        }
        for mode in ["initial", "no_data"] {
            let settings = [
                ("database.include.list", "d"),
                ("database.user", "plain"),
                ("database.password", "a secret"),
                ("snapshot.mode", mode),
            ];
            let mut delivered = Delivered::new(&server, &settings);
            let mut running = delivered.start().await;
            let id = if mode == "initial" { 2 } else { 3 };
            run(&mut client, &[&format!("INSERT INTO t VALUES ({id})")]).await;
            let count = if mode == "initial" { 2 } else { 1 };
            running
                .until(&format!("{count} rows of {kind:?}"), |delivered| {
                    delivered.rows("d.t").len() == count
                })
                .await;
            running.stop().await;
        }
    }
}

/// With semi-synchronous replication, replicas read transactions that the server does not count as executed yet.
#[tokio::test]
async fn transactions_that_are_being_committed_are_not_lost() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut client = server.database("d").await;
    run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
    let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
    let mut running = delivered.start().await;
    run(&mut client, &["INSERT INTO t VALUES (1)"]).await;
    running.until_count("d.t", 1).await;
    running.stop().await;
    let rows = client.query("SELECT @@server_uuid").await.unwrap();
    let uuid = rows[0].text(0).unwrap();
    let rows = client.query("SELECT @@GLOBAL.gtid_executed").await.unwrap();
    let executed = rows[0].text(0).unwrap();
    let last: u64 = executed.rsplit(['-', ':']).next().unwrap().parse().unwrap();
    // As if one more was read.
    let mut offset = delivered.offset();
    offset
        .0
        .insert("gtids".to_owned(), format!("{uuid}:1-{}", last + 1).into());
    delivered.store_offset(offset);
    let error = delivered.try_start().await.err().unwrap().to_string();
    assert!(error.contains("read already"), "{error}");
    let mut session = server.root().await;
    run(
        &mut session,
        &[&format!("SET gtid_next = '{uuid}:{}'", last + 1), "BEGIN"],
    )
    .await;
    let running = delivered.start().await;
    running.stop().await;
}

/// Servers end what the same replica read before: workers of two places may give their connectors the same name.
#[tokio::test]
async fn two_sources_of_one_name_do_not_disturb_each_other() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut client = server.database("d").await;
    run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
    let settings = [("database.include.list", "d")];
    let mut first = Delivered::new(&server, &[("database.server.id", "4711"), settings[0]]);
    let mut second = Delivered::new(&server, &[("database.server.id", "4712"), settings[0]]);
    let mut one = first.start().await;
    one.poll_times(2).await;
    let mut two = second.start().await;
    for id in 0..3 {
        run(&mut client, &[&format!("INSERT INTO t VALUES ({id})")]).await;
        one.until_count("d.t", id + 1).await;
        two.until_count("d.t", id + 1).await;
    }
    one.stop().await;
    two.stop().await;
}
