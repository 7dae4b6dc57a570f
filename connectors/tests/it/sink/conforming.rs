//! The sink does what any sink has to.
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_connect::plugin::{SinkPlugin, conformance};
use millstream_connect::record::Record;
use millstream_connectors::mysql::sink::MySqlSink;

use super::bench::{Bench, Simple};
use crate::servers::{KINDS, Server};

const TABLE: &str = "CREATE TABLE t (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT, v VARCHAR(20))";

fn records(count: i64) -> Vec<Record> {
    let simple = Simple::new();
    (0..count)
        .map(|offset| simple.write("t", offset, offset, "x"))
        .collect()
}

#[test]
fn the_plugin_says_what_it_is() {
    assert_eq!(conformance::declarations(&MySqlSink), Ok(()));
}

#[tokio::test]
async fn it_says_what_is_durable_and_goes_on_behind_it() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[]).await;
        bench.run(&[TABLE]).await;
        let found = conformance::sink(&MySqlSink, &bench.config, &records(20)).await;
        assert_eq!(found, Ok(()), "{kind:?}");
        assert_eq!(
            bench.rows("SELECT COUNT(*), COUNT(DISTINCT id) FROM t").await,
            ["20 20"],
            "{kind:?}"
        );
        bench.config.insert("name".to_owned(), "conformance".to_owned());
        assert_eq!(bench.stored("t"), Some(20));
    }
}

#[tokio::test]
async fn partitions_that_are_lost_are_written_once() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut bench = Bench::new(server, &[]).await;
        bench.run(&[TABLE]).await;
        let (config, database) = (server.config("root", ""), bench.database.clone());
        let calls = AtomicUsize::new(0);
        // It is asked for within the runtime.
        let written = || {
            calls.fetch_add(1, Ordering::Relaxed);
            let count = async {
                let mut client = millstream_connectors::mysql::client::Client::connect(&config)
                    .await
                    .unwrap();
                let rows = client
                    .query(&format!("SELECT COUNT(*) FROM {database}.t"))
                    .await
                    .unwrap();
                rows[0].text(0).unwrap().parse::<usize>().unwrap()
            };
            std::thread::scope(|scope| {
                let run = || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .unwrap()
                        .block_on(count)
                };
                scope.spawn(run).join().unwrap()
            })
        };
        let found = conformance::lost_membership(&MySqlSink, &bench.config, &records(20), &written).await;
        assert_eq!(found, Ok(()), "{kind:?}");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn offsets_are_shown_set_and_forgotten() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[]).await;
        assert_eq!(
            bench.stored("t"),
            None,
            "nothing is there yet, not even the table"
        );
        let partition = super::bench::partition("t", 0);
        MySqlSink
            .alter_offsets(&bench.config, &[(partition.clone(), Some(3))])
            .unwrap();
        bench.run(&[TABLE]).await;
        bench.start(&["t"]).await.unwrap();
        bench.take(&records(5)).await;
        assert_eq!(bench.stored("t"), Some(5));
        MySqlSink
            .alter_offsets(&bench.config, &[(partition.clone(), Some(2))])
            .unwrap();
        let simple = Simple::new();
        let fenced = bench.put(&[simple.write("t", 5, 5, "x")]).await.unwrap_err();
        assert!(
            fenced.to_string().contains("another task owns t-0"),
            "{kind:?}: {fenced}"
        );
        assert_eq!(bench.start(&["t"]).await.unwrap()[0].next, 2);
        bench.take(&records(5)).await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["8"]);
        MySqlSink
            .alter_offsets(&bench.config, &[(partition, None)])
            .unwrap();
        assert_eq!(bench.stored("t"), None);
        assert_eq!(bench.start(&["t"]).await.unwrap(), []);
    }
}
