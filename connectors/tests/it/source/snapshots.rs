//! What tables held already, beside changes that go on.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_connect::record::Value;
use millstream_connectors::mysql::client::Client;

use super::harness::{Delivered, field, rand, run};
use crate::servers::{KINDS, Kind, Server, purge_logs};

/// A table with so many rows.
async fn fill(client: &mut Client, table: &str, key: &str, doublings: u32) {
    run(
        client,
        &[
            &format!("CREATE TABLE {table} (id INT NOT NULL{key}, v INT, w VARCHAR(40))"),
            "SET @n = 0",
        ],
    )
    .await;
    run(client, &[&format!("INSERT INTO {table} VALUES (1, 0, 'x')")]).await;
    for power in 0..doublings {
        let step = 1_u32 << power;
        run(
            client,
            &[&format!(
                "INSERT INTO {table} SELECT id + {step}, v, w FROM {table}"
            )],
        )
        .await;
    }
}

/// Changes rows of a table, until it is told to stop.
async fn writer(server: &Server, table: &str, rows: u32, stop: Arc<AtomicBool>) -> u32 {
    let mut client = server.root().await;
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = rand() % rows + 1;
        let statement = match rand() % 8 {
            0 => format!("DELETE FROM {table} WHERE id = {id}"),
            1 => format!("UPDATE {table} SET id = id + {} WHERE id = {id}", rows * 2),
            2 | 3 => format!("REPLACE INTO {table} VALUES ({id}, {changes}, 'new')"),
            _ => format!("UPDATE {table} SET v = {changes} WHERE id = {id}"),
        };
        // A key may be taken already.
        if let Err(error) = client.execute(&statement).await {
            assert_eq!(error.code(), Some(1062), "{error}");
        }
        changes += 1;
    }
    changes
}

/// The rows of a table as the server has them: `id v w`.
async fn rows_of(client: &mut Client, table: &str) -> Vec<String> {
    let rows = client
        .query(&format!("SELECT CONCAT_WS(' ', id, v, w) FROM {table}"))
        .await
        .unwrap();
    let mut rows: Vec<_> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    rows.sort();
    rows
}

fn shown(row: &Value) -> String {
    let number = |name| match field(row, name) {
        Some(Value::Int32(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let Some(Value::String(w)) = field(row, "w") else {
        panic!("{row:?}")
    };
    format!("{} {} {w}", number("id"), number("v"))
}

fn delivered_rows(delivered: &Delivered, table: &str) -> Vec<String> {
    let mut rows: Vec<_> = delivered.rows(table).values().map(shown).collect();
    rows.sort();
    rows
}

/// The markers of the rows that were read, as `source.snapshot` says them.
fn markers(delivered: &Delivered, table: &str) -> Vec<String> {
    let read = delivered.of(table).into_iter().filter_map(|record| {
        let value = &record.value.value;
        match field(value, "op") {
            Some(Value::String(op)) if &**op == "r" => match field(field(value, "source")?, "snapshot") {
                Some(Value::String(marker)) => Some(marker.to_string()),
                other => Some(format!("{other:?}")),
            },
            _ => None,
        }
    });
    read.collect()
}

#[tokio::test]
async fn tables_are_read_while_they_change_and_workers_die() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        fill(&mut client, "t", " PRIMARY KEY", 12).await;
        let rows = 1 << 12;
        let settings = [
            ("database.include.list", "d"),
            ("snapshot.mode", "initial"),
            ("snapshot.max.threads", "2"),
            ("incremental.snapshot.chunk.size", "100"),
            ("skipped.operations", "none"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        let stop = Arc::new(AtomicBool::new(false));
        let reading = async {
            for life in 1..=4 {
                let mut running = delivered.start().await;
                let wanted = rows as usize / 5 * life;
                running
                    .until("more rows", |delivered| markers(delivered, "d.t").len() > wanted)
                    .await;
                // It is dropped without a word.
            }
            let mut running = delivered.start().await;
            let done = |delivered: &Delivered| {
                !delivered.partitions().is_empty() && !delivered.offset().0.contains_key("chunks")
            };
            running.until("the end of the snapshot", done).await;
            stop.store(true, Ordering::Relaxed);
            run(
                &mut server.root().await,
                &["CREATE TABLE d.z (id INT PRIMARY KEY)"],
            )
            .await;
        };
        let writing = writer(&server, "d.t", rows, Arc::clone(&stop));
        let ((), changes) = tokio::join!(reading, writing);
        run(&mut client, &["INSERT INTO z VALUES (1)"]).await;
        let mut running = delivered.start().await;
        running.until_count("d.z", 1).await;
        running.stop().await;
        assert_eq!(
            delivered_rows(&delivered, "d.t"),
            rows_of(&mut client, "t").await,
            "{kind:?}, {changes} changes"
        );
        let read = markers(&delivered, "d.t");
        assert!(
            changes > 20 && read.len() <= rows as usize + changes as usize,
            "{changes} changes, {} rows read",
            read.len()
        );
        assert!(
            read.iter()
                .all(|marker| marker != "incremental" && marker != "Some(Null)"),
            "{read:?}"
        );
    }
}

#[tokio::test]
async fn a_table_without_a_key_is_read_as_it_is_at_one_place() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        fill(&mut client, "t", "", 9).await;
        let mut delivered = Delivered::new(
            &server,
            &[("database.include.list", "d"), ("snapshot.mode", "initial")],
        );
        let mut running = delivered.start().await;
        running.until_count("d.t", 512).await;
        run(&mut client, &["INSERT INTO t VALUES (1000, 1, 'y')"]).await;
        running.until_count("d.t", 513).await;
        running.stop().await;
        let mut rows: Vec<_> = delivered
            .of("d.t")
            .into_iter()
            .map(|record| shown(field(&record.value.value, "after").unwrap()))
            .collect();
        rows.sort();
        assert_eq!(rows, rows_of(&mut client, "t").await, "{kind:?}");
    }
}

#[tokio::test]
async fn a_snapshot_alone_ends() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut client = server.database("d").await;
    fill(&mut client, "t", " PRIMARY KEY", 8).await;
    let mut delivered = Delivered::new(
        &server,
        &[("database.include.list", "d"), ("snapshot.mode", "initial_only")],
    );
    let mut running = delivered.start().await;
    while !running.finished {
        running.poll().await.unwrap();
    }
    running.stop().await;
    assert_eq!(delivered_rows(&delivered, "d.t"), rows_of(&mut client, "t").await);
    let markers = markers(&delivered, "d.t");
    assert_eq!((&*markers[0], &*markers[255]), ("first", "last"));
    let mut running = delivered.start().await;
    running.poll().await.unwrap();
    assert!(running.finished);
}

#[tokio::test]
async fn signals_ask_for_snapshots() {
    for kind in [Kind::MySql97, Kind::MariaDb] {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        fill(&mut client, "t", " PRIMARY KEY", 8).await;
        run(
            &mut client,
            &["CREATE TABLE signals (id VARCHAR(40) PRIMARY KEY, type VARCHAR(40), data VARCHAR(2048))"],
        )
        .await;
        let settings = [
            ("table.include.list", "d.t"),
            ("signal.data.collection", "d.signals"),
        ];
        let mut delivered = Delivered::new(&server, &settings);
        let mut running = delivered.start().await;
        running.poll_times(2).await;
        run(
            &mut client,
            &["INSERT INTO signals VALUES ('s1', 'execute-snapshot', '{\"data-collections\": [\"d.t\"]}')"],
        )
        .await;
        running.until_count("d.t", 256).await;
        running.stop().await;
        assert_eq!(delivered_rows(&delivered, "d.t"), rows_of(&mut client, "t").await);
        assert!(
            markers(&delivered, "d.t")
                .iter()
                .all(|marker| marker == "incremental")
        );
        // Signals make no records.
        assert!(delivered.of("d.signals").is_empty());
    }
}

#[tokio::test]
async fn purged_logs_are_made_up_for_by_a_new_snapshot() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("d").await;
        fill(&mut client, "t", " PRIMARY KEY", 5).await;
        let mut delivered = Delivered::new(
            &server,
            &[("database.include.list", "d"), ("snapshot.mode", "when_needed")],
        );
        let mut running = delivered.start().await;
        running.until_count("d.t", 32).await;
        run(&mut client, &["UPDATE t SET v = 1 WHERE id = 1"]).await;
        running.until_count("d.t", 33).await;
        running.stop().await;
        run(&mut client, &["UPDATE t SET v = 2", "FLUSH LOGS"]).await;
        purge_logs(&mut client).await;
        let mut running = delivered.start().await;
        running.until_count("d.t", 65).await;
        running.stop().await;
        assert_eq!(
            delivered_rows(&delivered, "d.t"),
            rows_of(&mut client, "t").await,
            "{kind:?}"
        );
    }
}
