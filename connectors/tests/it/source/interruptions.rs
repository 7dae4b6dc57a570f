//! Connections that break, servers that stop, workers that die: each row is told once.
use millstream_connect::record::Value;

use super::harness::{Commits, Delivered, dumps, field, run};
use crate::servers::{KINDS, Kind, Server};

/// A table with so many rows, made by one statement that doubles it.
async fn fill(client: &mut millstream_connectors::mysql::client::Client, table: &str, doublings: u32) {
    run(
        client,
        &[&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))"
        )],
    )
    .await;
    run(
        client,
        &[
            "BEGIN",
            &format!("INSERT INTO {table} (v) VALUES (repeat('x', 60))"),
        ],
    )
    .await;
    for _ in 0..doublings {
        run(
            client,
            &[&format!("INSERT INTO {table} (v) SELECT v FROM {table}")],
        )
        .await;
    }
    run(client, &["COMMIT"]).await;
}

/// All rows came, each once.
fn each_once(delivered: &Delivered, table: &str, count: usize) {
    let mut changes = delivered.changes(table, "id");
    assert_eq!(changes.len(), count);
    changes.sort();
    changes.dedup();
    assert_eq!(changes.len(), count, "some rows came twice");
}

#[tokio::test]
async fn a_connection_that_is_killed_within_a_transaction_is_made_again() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        // Little is read ahead, and the transaction is told in parts.
        let settings = [
            ("max.queue.size.in.bytes", "65536"),
            ("max.batch.size", "500"),
            ("database.include.list", "d"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        let mut running = delivered.start().await;
        fill(&mut client, "t", 15).await;
        let count = 1 << 15;
        for part in 1..5 {
            running.until_count("d.t", part * count / 6).await;
            for id in dumps(&mut client).await {
                run(&mut client, &[&format!("KILL {id}")]).await;
            }
        }
        running.until_count("d.t", count).await;
        run(&mut client, &["INSERT INTO t (v) VALUES ('last')"]).await;
        running.until_count("d.t", count + 1).await;
        running.stop().await;
        each_once(&delivered, "d.t", count + 1);
    }
}

#[tokio::test]
async fn a_server_that_stops_is_waited_for() {
    for kind in KINDS {
        let mut server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        let settings = [
            ("max.queue.size.in.bytes", "65536"),
            ("max.batch.size", "500"),
            ("database.include.list", "d"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        let mut running = delivered.start().await;
        fill(&mut client, "t", 14).await;
        let count = 1 << 14;
        running.until_count("d.t", count / 3).await;
        drop(client);
        server.stop();
        running.poll_times(3).await;
        server.start_again(&[]);
        let mut client = server.root().await;
        run(&mut client, &["INSERT INTO d.t (v) VALUES ('last')"]).await;
        running.until_count("d.t", count + 1).await;
        running.stop().await;
        each_once(&delivered, "d.t", count + 1);
    }
}

#[tokio::test]
async fn a_worker_that_dies_within_a_transaction_goes_on_where_it_was() {
    for (kind, commits) in [
        (Kind::MySql97, Commits::EachPoll),
        (Kind::MariaDb, Commits::EachPoll),
        (Kind::MySql56, Commits::WhereItSays),
    ] {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        let settings = [
            ("max.queue.size.in.bytes", "65536"),
            ("max.batch.size", "300"),
            ("database.include.list", "d"),
            ("provide.transaction.metadata", "true"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        delivered.commits = commits;
        delivered
            .start()
            .await
            .until("the first offset", |delivered| !delivered.partitions().is_empty())
            .await;
        fill(&mut client, "t", 13).await;
        let count = 1 << 13;
        let mut lives = 0;
        while delivered.of("d.t").len() < count {
            let before = delivered.of("d.t").len();
            let mut running = delivered.start().await;
            running
                .until("more", |delivered| {
                    delivered.of("d.t").len() > before + 700 || delivered.of("d.t").len() >= count
                })
                .await;
            // It is dropped without a word.
            drop(running);
            lives += 1;
        }
        each_once(&delivered, "d.t", count);
        if commits == Commits::EachPoll {
            assert!(lives > 3, "{lives}");
        }
        // Places within the transaction go on, too.
        let orders = delivered.of("d.t").into_iter().map(|record| {
            let block = super::harness::field(&record.value.value, "transaction").unwrap();
            format!("{:?}", super::harness::field(block, "total_order").unwrap())
        });
        for (index, order) in orders.enumerate() {
            assert_eq!(order, format!("Int64({})", index + 1));
        }
        let marks = delivered
            .records
            .iter()
            .filter(|record| &*record.topic == "p.transaction")
            .count();
        assert_eq!(marks, 2, "BEGIN and END");
    }
}

#[tokio::test]
async fn xa_transactions_that_are_prepared_come_when_they_are_committed() {
    let compressed = ["--binlog-transaction-compression=ON"];
    for (kind, options) in [
        (Kind::MySql97, &[][..]),
        (Kind::MySql97, &compressed),
        (Kind::MariaDb, &[]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
        let prepare = |name: &str, id: u32| {
            [
                format!("XA START '{name}'"),
                format!("INSERT INTO d.t VALUES ({id})"),
                format!("XA END '{name}'"),
                format!("XA PREPARE '{name}'"),
            ]
        };
        let mut running = delivered.start().await;
        // Sessions of their own: MariaDB ends a prepared transaction only once its session is gone.
        for (name, id) in [("a", 10), ("b", 20)] {
            let mut session = server.root().await;
            for statement in prepare(name, id) {
                run(&mut session, &[&statement]).await;
            }
            session.close().await;
        }
        run(&mut client, &["INSERT INTO t VALUES (1)"]).await;
        running.until_count("d.t", 1).await;
        drop(running);
        assert!(
            delivered.offset().0.contains_key("delivered"),
            "{:?}",
            delivered.offset()
        );
        end_xa(&mut client, "XA COMMIT 'a'").await;
        let mut running = delivered.start().await;
        running.until_count("d.t", 2).await;
        drop(running);
        end_xa(&mut client, "XA ROLLBACK 'b'").await;
        run(&mut client, &["INSERT INTO t VALUES (2)"]).await;
        let mut running = delivered.start().await;
        running.until_count("d.t", 3).await;
        running.stop().await;
        assert_eq!(delivered.changes("d.t", "id"), ["c1", "c10", "c2"]);
        assert!(!delivered.offset().0.contains_key("delivered"));
    }
}

/// The session that prepared it may still be about to end.
async fn end_xa(client: &mut millstream_connectors::mysql::client::Client, statement: &str) {
    for _ in 0..200 {
        match client.execute(statement).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code(), Some(1397), "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{statement}: it is not there");
}

/// What a server takes for its time makes no difference to what is told, nor to where a source goes on.
#[tokio::test]
async fn clocks_may_jump() {
    // In 2001 and 2033.
    const BACK: i64 = 1_000_000_000;
    const AHEAD: i64 = 2_000_000_000;
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mut delivered = Delivered::new(&server, &[("database.include.list", "d")]);
        for (row, time) in [BACK, AHEAD, BACK + 1, AHEAD, BACK].into_iter().enumerate() {
            let mut running = delivered.start().await;
            let time = format!("SET timestamp={time}");
            run(&mut client, &[&time, &format!("INSERT INTO t VALUES ({row})")]).await;
            running.until_count("d.t", row + 1).await;
            running.stop().await;
        }
        assert_eq!(
            delivered.changes("d.t", "id"),
            ["c0", "c1", "c2", "c3", "c4"],
            "{kind:?}"
        );
        let times: Vec<i64> = delivered
            .of("d.t")
            .into_iter()
            .map(|record| {
                let source = field(&record.value.value, "source").unwrap();
                match field(source, "ts_ms") {
                    Some(Value::Int64(ms)) => *ms / 1000,
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        // MySQL 8 and later say in the log when the transaction was committed, by another clock.
        if kind != Kind::MySql97 {
            assert_eq!(times, [BACK, AHEAD, BACK + 1, AHEAD, BACK], "{kind:?}");
        }
    }
}
