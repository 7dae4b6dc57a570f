//! Each change once, whatever happens to connections, servers and other tasks.
use std::time::Duration;

use millstream_connect::plugin::{ErrorKind, PartitionOffset};
use millstream_connect::record::Record;

use super::bench::{Bench, Oracle, Simple, partition};
use super::proxy::{Proxy, Way};
use crate::servers::{KINDS, Kind, Server};

/// A row for each record that was written, so that what is written twice shows.
const LOG: &str = "CREATE TABLE log (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL)";
const TABLE: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(40))";

/// Writes and deletions of a few rows, and what they leave.
fn changes(count: i64) -> (Vec<Record>, Oracle) {
    let (simple, mut oracle) = (Simple::new(), Oracle::default());
    let mut records = Vec::new();
    let mut random = 7_u64;
    for offset in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let id = (random % 7) as i64;
        if random.is_multiple_of(4) {
            oracle.0.remove(&id);
            records.push(simple.delete("t", offset, id));
        } else {
            let v = format!("{id} it's at {offset}");
            records.push(simple.write("t", offset, id, &v));
            oracle.0.insert(id, v);
        }
    }
    (records, oracle)
}

/// Puts all records of a topic in batches, as the runtime does: what is retriable is put again, anything else starts the task again. Gives how
/// often it was started.
async fn deliver(bench: &mut Bench, topic: &str, records: &[Record], batch: usize) -> usize {
    let mut starts = 0;
    'start: loop {
        starts += 1;
        assert!(starts < 50, "it gets nowhere");
        let known = match bench.start(&[topic]).await {
            Ok(known) => known,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Disconnected | ErrorKind::Retriable | ErrorKind::Fatal
                    ),
                    "{error}"
                );
                continue;
            }
        };
        let mut next = known.first().map_or(0, |known| known.next);
        loop {
            let begin = usize::try_from(next).unwrap();
            let now = &records[begin..records.len().min(begin + batch)];
            if now.is_empty() {
                let taken = PartitionOffset {
                    partition: partition(topic, 0),
                    next,
                };
                if bench.task.flush(&[taken]).await.is_err() {
                    continue 'start;
                }
                return starts;
            }
            match bench.put(now).await {
                Ok(refused) => assert!(refused.is_empty(), "{refused:?}"),
                Err(error) if error.kind() == ErrorKind::Retriable => continue,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Disconnected), "{error}");
                    continue 'start;
                }
            }
            next += now.len() as i64;
        }
    }
}

/// How many bytes pass when nothing is cut.
async fn passed(server: &Server, keys: &[(&str, &str)], tables: &[&str], way: Way, count: i64) -> usize {
    let proxy = Proxy::start(server.port).await;
    let mut bench = Bench::upserting(server, keys).await.through(proxy.port);
    bench.run(tables).await;
    let (records, _) = changes(count);
    deliver(&mut bench, "t", &records, 4).await;
    proxy.passed(way)
}

async fn cut_everywhere(kind: Kind, way: Way) {
    let server = Server::shared(kind);
    const COUNT: i64 = 12;
    let (records, oracle) = changes(COUNT);
    let all = passed(server, &[], &[TABLE], way, COUNT).await;
    // Enough places that each statement is cut, in it and behind it.
    let step = (all / 80).max(1);
    for bytes in (0..all).step_by(step) {
        let proxy = Proxy::start(server.port).await;
        let mut bench = Bench::upserting(server, &[]).await.through(proxy.port);
        bench.run(&[TABLE]).await;
        proxy.cut_after(way, bytes);
        deliver(&mut bench, "t", &records, 4).await;
        let found = bench.rows("SELECT id, v FROM t ORDER BY id").await;
        assert_eq!(found, oracle.shown(), "{kind:?} {way:?} {bytes} of {all}");
        let url = format!("mysql://127.0.0.1:{}/{}", server.port, bench.database);
        bench.config.insert("connection.url".to_owned(), url);
        assert_eq!(bench.stored("t"), Some(COUNT));
        let name = bench.database.clone();
        bench.run(&[&format!("DROP DATABASE {name}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_after_any_byte_to_mysql_loses_and_repeats_nothing() {
    cut_everywhere(Kind::MySql97, Way::ToServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_after_any_byte_from_mysql_loses_and_repeats_nothing() {
    cut_everywhere(Kind::MySql97, Way::ToClient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_after_any_byte_from_mariadb_loses_and_repeats_nothing() {
    cut_everywhere(Kind::MariaDb, Way::ToClient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_after_any_byte_from_an_old_server_loses_and_repeats_nothing() {
    cut_everywhere(Kind::MySql56, Way::ToClient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserted_rows_are_there_once_wherever_the_answers_end() {
    let server = Server::shared(Kind::MySql97);
    let simple = Simple::new();
    let records: Vec<Record> = (0..8)
        .map(|offset| simple.write("log", offset, offset, ""))
        .collect();
    let keys = [
        ("insert.mode", "insert"),
        ("delete.enabled", "false"),
        ("pk.mode", "none"),
        ("field.include.list", "id"),
    ];
    for bytes in (0..4_000).step_by(61) {
        let proxy = Proxy::start(server.port).await;
        let mut bench = Bench::new(server, &keys).await.through(proxy.port);
        bench.run(&[LOG]).await;
        proxy.cut_after(Way::ToClient, bytes);
        deliver(&mut bench, "log", &records, 2).await;
        let found = bench.rows("SELECT id FROM log ORDER BY n").await;
        assert_eq!(found, ["0", "1", "2", "3", "4", "5", "6", "7"], "{bytes}");
    }
}

/// Ends the sessions of sinks again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_killed_lose_and_repeat_nothing() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut bench = Bench::new(&server, &[("field.include.list", "id"), ("max.retries", "1000")]).await;
        bench.run(&[LOG]).await;
        let simple = Simple::new();
        let records: Vec<Record> = (0..400)
            .map(|offset| simple.write("log", offset, offset, ""))
            .collect();
        let mut killer = server.root().await;
        let own = killer.connection_id();
        let database = bench.database.clone();
        let watched = bench.client.connection_id();
        let killing = tokio::spawn(async move {
            let mut killed = 0;
            loop {
                let rows = killer
                    .query("SELECT id FROM information_schema.processlist WHERE user = 'root'")
                    .await
                    .unwrap();
                for row in rows {
                    let id: u32 = row.text(0).unwrap().parse().unwrap();
                    // A session that is over already is no error that matters.
                    if id != own && id != watched && killer.execute(&format!("KILL {id}")).await.is_ok() {
                        killed += 1;
                    }
                }
                if killed >= 40 {
                    return killed;
                }
                tokio::task::yield_now().await;
            }
        });
        deliver(&mut bench, "log", &records, 5).await;
        killing.abort();
        let expected: Vec<String> = (0..400).map(|id| id.to_string()).collect();
        assert_eq!(
            bench
                .rows(&format!("SELECT id FROM {database}.log ORDER BY n"))
                .await,
            expected,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn an_older_owner_that_wakes_late_writes_nothing() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut bench = Bench::new(server, &[("field.include.list", "id")]).await;
        bench.run(&[LOG]).await;
        let simple = Simple::new();
        let make = |from: i64, to: i64| -> Vec<Record> {
            (from..to)
                .map(|offset| simple.write("log", offset, offset, ""))
                .collect()
        };
        let mut older = bench.new_task().await.unwrap();
        older
            .open(&[partition("log", 0), partition("log", 1)])
            .await
            .unwrap();
        assert!(older.put(&make(0, 3)).await.unwrap().is_empty());
        let known = bench.start(&["log"]).await.unwrap();
        assert_eq!(known[0].next, 3);
        bench.take(&make(3, 6)).await;
        // The same records, and others, before and after the newer one wrote them.
        for records in [make(3, 6), make(3, 9), make(6, 9)] {
            let error = older.put(&records).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
            assert!(error.to_string().contains("another task owns log-0"), "{error}");
        }
        let taken = PartitionOffset {
            partition: partition("log", 0),
            next: 100,
        };
        assert!(older.flush(std::slice::from_ref(&taken)).await.is_err());
        bench.take(&make(6, 9)).await;
        let expected: Vec<String> = (0..9).map(|id| id.to_string()).collect();
        assert_eq!(
            bench.rows("SELECT id FROM log ORDER BY n").await,
            expected,
            "{kind:?}"
        );
        assert_eq!(bench.stored("log"), Some(9));
        // An old task that opens late is the owner then; its successor is told.
        assert_eq!(older.open(&[partition("log", 0)]).await.unwrap()[0].next, 9);
        assert!(bench.put(&make(9, 10)).await.is_err());
        assert!(older.put(&make(9, 10)).await.unwrap().is_empty());
        assert_eq!(bench.rows("SELECT COUNT(*) FROM log").await, ["10"]);
    }
}

#[tokio::test]
async fn an_owner_that_hangs_in_a_transaction_is_put_out() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[("field.include.list", "id")]).await;
        bench.run(&[LOG]).await;
        let simple = Simple::new();
        bench.start(&["log"]).await.unwrap();
        bench.take(&[simple.write("log", 0, 0, "")]).await;
        // Another session holds the row of the offset, with the lock by which its task's sessions are known.
        let owner = bench.rows("SELECT owner FROM millstream_offsets").await[0].clone();
        let mut stuck = Server::shared(kind).root().await;
        bench.task.stop().await;
        for statement in [
            format!("SELECT GET_LOCK('millstream:{owner}', 10)"),
            "START TRANSACTION".to_owned(),
            format!(
                "UPDATE {}.millstream_offsets SET next_offset = 77",
                bench.database
            ),
        ] {
            stuck.execute(&statement).await.unwrap();
        }
        let known = tokio::time::timeout(Duration::from_secs(120), bench.start(&["log"]))
            .await
            .unwrap();
        assert_eq!(known.unwrap()[0].next, 1, "{kind:?}");
        assert!(stuck.execute("COMMIT").await.is_err(), "the session is over");
        bench.take(&[simple.write("log", 1, 1, "")]).await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM log").await, ["2"]);
    }
}

#[tokio::test]
async fn a_server_that_is_started_again_is_gone_on_with() {
    for kind in KINDS {
        let mut server = Server::lent(kind, &[]);
        let mut bench = Bench::new(&server, &[("field.include.list", "id"), ("max.retries", "2")]).await;
        bench.run(&[LOG]).await;
        let simple = Simple::new();
        bench.start(&["log"]).await.unwrap();
        bench.take(&[simple.write("log", 0, 0, "")]).await;
        server.stop();
        let next = [simple.write("log", 1, 1, "")];
        for expected in [ErrorKind::Retriable, ErrorKind::Disconnected] {
            let mut error = bench.put(&next).await.unwrap_err();
            while error.kind() == ErrorKind::Retriable && expected == ErrorKind::Disconnected {
                error = bench.put(&next).await.unwrap_err();
            }
            assert_eq!(error.kind(), expected, "{error}");
            let said = error.to_string();
            assert!(
                said.contains("see that it runs, and connection.url") && !said.contains("database."),
                "{said}"
            );
        }
        server.start_again(&[]);
        bench.take(&next).await;
        bench.client = server.root().await;
        let name = bench.database.clone();
        assert_eq!(
            bench.rows(&format!("SELECT id FROM {name}.log ORDER BY n")).await,
            ["0", "1"],
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_are_in_each_other_s_way_go_on() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("batch.size", "1")]).await;
        bench.run(&[TABLE]).await;
        drop(bench.start(&[]).await.unwrap());
        let mut running = Vec::new();
        for number in 0..3_i32 {
            let mut task = bench.new_task().await.unwrap();
            running.push(tokio::spawn(async move {
                task.open(&[partition("t", number)]).await.unwrap();
                let simple = Simple::new();
                let mut offset = 0;
                for round in 0..20 {
                    // Rows in opposite orders.
                    let ids: Vec<i64> = if number % 2 == 0 {
                        (0..10).collect()
                    } else {
                        (0..10).rev().collect()
                    };
                    let records: Vec<Record> = ids
                        .into_iter()
                        .map(|id| {
                            let mut record = simple.write("t", offset, id, &format!("{number} {round}"));
                            record.origin.as_mut().unwrap().partition = number;
                            offset += 1;
                            record
                        })
                        .collect();
                    loop {
                        match task.put(&records).await {
                            Ok(refused) => break assert!(refused.is_empty()),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Retriable, "{error}"),
                        }
                    }
                }
            }));
        }
        for task in running {
            task.await.unwrap();
        }
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["10"], "{kind:?}");
        let stored = bench.rows("SELECT next_offset FROM millstream_offsets").await;
        assert_eq!(stored, ["200", "200", "200"], "{kind:?}");
    }
}
