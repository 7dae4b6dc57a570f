//! Records that are refused, and tables that cannot be written to.
use millstream_connect::plugin::{ErrorKind, PartitionOffset};
use millstream_connect::record::{Datum, Record, Value};

use super::bench::{Bench, Simple, partition, record};
use crate::servers::{KINDS, Kind, Server};

const TABLE: &str = "CREATE TABLE t (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL UNIQUE, v VARCHAR(5) CHARACTER SET latin1)";

fn row(offset: i64, v: &str) -> Record {
    Simple::new().write("t", offset, offset, v)
}

#[tokio::test]
async fn records_that_are_refused_are_named_and_all_others_written_once() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[]).await;
        bench.run(&[TABLE]).await;
        bench.start(&["t"]).await.unwrap();
        let mut batch: Vec<Record> = (0..50).map(|offset| row(offset, "ok")).collect();
        // Too long, of another character set, not a row, a key that is there already.
        batch[7] = row(7, "too long");
        batch[8] = row(8, "日本");
        batch[20] = record("t", 20, Datum::NULL, Datum::text("text"));
        batch[33] = Simple::new().write("t", 33, 5, "again");
        let refused = bench.put(&batch).await.unwrap();
        let places: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
        assert_eq!(places, [7, 8, 20, 33], "{kind:?} {refused:?}");
        for (refused, expected) in refused.iter().zip([
            "8 characters, and the column holds 5",
            "(1366,",
            "its value is of type string",
            "(1062,",
        ]) {
            assert_eq!(refused.error.kind(), ErrorKind::BadRecord);
            assert!(
                refused.error.to_string().contains(expected),
                "{kind:?}: {}",
                refused.error
            );
        }
        // Nothing behind the first of them is stored before it is known that the task goes on.
        assert_eq!(bench.stored("t"), Some(7));
        assert_eq!(bench.rows("SELECT COUNT(*), MAX(id) FROM t").await, ["7 6"]);
        bench.take(&[row(50, "next")]).await;
        assert_eq!(bench.stored("t"), Some(51));
        assert_eq!(
            bench
                .rows("SELECT COUNT(*), MAX(id), SUM(id IN (7, 8, 20, 33)) FROM t")
                .await,
            ["47 50 0"]
        );
    }
}

#[tokio::test]
async fn what_waits_behind_a_refused_record_is_written_by_a_flush_or_comes_again() {
    for kind in KINDS {
        let mut bench = Bench::new(Server::shared(kind), &[]).await;
        bench.run(&[TABLE]).await;
        bench.start(&["t"]).await.unwrap();
        let batch = [row(0, "too long"), row(1, "a")];
        assert_eq!(bench.put(&batch).await.unwrap().len(), 1);
        assert_eq!(bench.stored("t"), Some(0));
        // The task ends here: nothing was said to be taken.
        assert_eq!(bench.start(&["t"]).await.unwrap()[0].next, 0);
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, ["0"], "{kind:?}");
        assert_eq!(bench.put(&batch).await.unwrap().len(), 1);
        let taken = [PartitionOffset {
            partition: partition("t", 0),
            next: 5,
        }];
        assert_eq!(
            bench.task.flush(&taken).await.unwrap(),
            taken,
            "records up to 5 were passed over elsewhere"
        );
        assert_eq!(bench.rows("SELECT id, v FROM t").await, ["1 a"], "{kind:?}");
        assert_eq!(bench.stored("t"), Some(5));
    }
}

#[tokio::test]
async fn rows_whose_parents_come_later_are_waited_for() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("max.retries", "2")]).await;
        bench
            .run(&[
                "CREATE TABLE parent (id BIGINT PRIMARY KEY, v VARCHAR(9))",
                "CREATE TABLE child (id BIGINT PRIMARY KEY, v VARCHAR(9), FOREIGN KEY (id) REFERENCES parent (id))",
            ])
            .await;
        bench.start(&["child", "parent"]).await.unwrap();
        let simple = Simple::new();
        let child = [simple.write("child", 0, 1, "a")];
        let error = bench.put(&child).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retriable, "{kind:?} {error}");
        bench.run(&["INSERT INTO parent VALUES (1, 'x')"]).await;
        bench.take(&child).await;
        // One whose parent never comes is refused in the end.
        let orphan = [simple.write("child", 1, 2, "b"), simple.write("child", 2, 1, "c")];
        for _ in 0..2 {
            assert_eq!(bench.put(&orphan).await.unwrap_err().kind(), ErrorKind::Retriable);
        }
        let refused = bench.put(&orphan).await.unwrap();
        assert_eq!(refused.len(), 1, "{kind:?}");
        assert!(
            refused[0].error.to_string().contains("(1452,"),
            "{}",
            refused[0].error
        );
        bench.put(&[]).await.unwrap();
        assert_eq!(bench.rows("SELECT * FROM child").await, ["1 c"], "{kind:?}");
    }
}

#[tokio::test]
async fn tables_that_are_not_right_are_named_with_what_helps() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let simple = Simple::new();
        let one = [simple.write("t", 0, 1, "a")];
        let cases = [
            (
                "SELECT 1",
                "schema.evolution=basic, or run CREATE TABLE IF NOT EXISTS",
            ),
            (
                "CREATE TABLE t (id BIGINT PRIMARY KEY)",
                "ADD COLUMN `v` longtext NULL",
            ),
            ("CREATE TABLE t (id BIGINT, v TEXT)", "ADD PRIMARY KEY (`id`)"),
            (
                "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, w INT NOT NULL)",
                "`w` of the table",
            ),
            (
                "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT) ENGINE=MyISAM",
                "ENGINE=InnoDB",
            ),
            ("CREATE TABLE t (v TEXT)", "no column id"),
        ];
        for (statement, expected) in cases {
            let mut bench = Bench::upserting(server, &[]).await;
            bench.run(&[statement]).await;
            bench.start(&["t"]).await.unwrap();
            let error = bench.put(&one).await.unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{kind:?} {statement}: {error}"
            );
            assert_eq!(error.kind(), ErrorKind::Fatal);
            assert_eq!(bench.stored("t"), None);
        }
        // A deletion does not say what columns the table has.
        let mut bench = Bench::upserting(server, &[]).await;
        bench.start(&["t"]).await.unwrap();
        let error = bench
            .put(&[simple.delete("t", 0, 1)])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("is not there: create it") && !error.contains("CREATE TABLE"),
            "{error}"
        );
        // It goes on once it is mended.
        let mut bench = Bench::upserting(server, &[]).await;
        bench.run(&["CREATE TABLE t (id BIGINT PRIMARY KEY)"]).await;
        bench.start(&["t"]).await.unwrap();
        assert!(bench.put(&one).await.is_err());
        bench.run(&["ALTER TABLE t ADD COLUMN v TEXT"]).await;
        bench.start(&["t"]).await.unwrap();
        bench.take(&one).await;
        // A table that changes under the sink is looked at again.
        bench
            .run(&["ALTER TABLE t CHANGE v w TEXT, ADD v VARCHAR(5) FIRST"])
            .await;
        bench.take(&[simple.write("t", 1, 2, "b")]).await;
        bench.run(&["ALTER TABLE t DROP COLUMN v"]).await;
        let error = bench.put(&[simple.write("t", 2, 3, "c")]).await.unwrap_err();
        assert!(error.to_string().contains("ADD COLUMN `v`"), "{kind:?}: {error}");
        assert_eq!(bench.rows("SELECT id FROM t ORDER BY id").await, ["1", "2"]);
    }
}

#[tokio::test]
async fn tables_without_transactions_are_written_to_when_that_is_allowed() {
    let mut bench = Bench::upserting(
        Server::shared(Kind::MariaDb),
        &[("allow.non.transactional.tables", "true")],
    )
    .await;
    bench
        .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT) ENGINE=MyISAM"])
        .await;
    bench.start(&["t"]).await.unwrap();
    bench.take(&[row(0, "a")]).await;
    assert_eq!(bench.rows("SELECT * FROM t").await, ["0 a"]);
    let mut bench = Bench::upserting(Server::shared(Kind::MariaDb), &[]).await;
    bench
        .run(&["CREATE TABLE millstream_offsets (x INT) ENGINE=MyISAM"])
        .await;
    let error = bench.start(&["t"]).await.unwrap_err();
    assert!(error.to_string().contains("ENGINE=InnoDB"), "{error}");
}

#[tokio::test]
async fn passwords_are_in_no_error() {
    let server = Server::shared(Kind::MySql97);
    let mut bench = Bench::new(server, &[("connection.password", "a secret word")]).await;
    let error = bench.start(&["t"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserConfig, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let url = format!(
        "mysql://root:a%20secret%20word@127.0.0.1:{}/d?sslMode=maybe",
        server.port
    );
    bench.config.insert("connection.url".to_owned(), url);
    let error = bench.start(&["t"]).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn null_keys_and_values_that_are_no_rows_are_refused() {
    let mut bench = Bench::upserting(Server::shared(Kind::MySql97), &[]).await;
    bench
        .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)"])
        .await;
    bench.start(&["t"]).await.unwrap();
    let simple = Simple::new();
    let mut keyless = simple.write("t", 0, 1, "a");
    keyless.key = Datum::NULL;
    let number = record("t", 1, simple.key(1), Datum::schemaless(Value::Int64(1)));
    let refused = bench
        .put(&[keyless, number, simple.write("t", 2, 2, "b")])
        .await
        .unwrap();
    let texts: Vec<String> = refused.iter().map(|refused| refused.error.to_string()).collect();
    assert!(
        texts[0].contains("primary.key.mode=record_key asks for"),
        "{texts:?}"
    );
    assert!(texts[1].contains("of type int64"), "{texts:?}");
}

#[tokio::test]
async fn connections_are_encrypted_when_that_is_asked_for() {
    let server = Server::shared(Kind::MySql97);
    let mut bench = Bench::upserting(server, &[("schema.evolution", "basic")]).await;
    let url = bench.config["connection.url"].clone() + "?sslMode=REQUIRED";
    bench.config.insert("connection.url".to_owned(), url);
    bench.start(&["t"]).await.unwrap();
    bench.take(&[row(0, "a")]).await;
    let owner = bench.rows("SELECT owner FROM millstream_offsets").await[0].clone();
    let session = format!(
        "SELECT connection_type FROM performance_schema.threads \
         WHERE processlist_id = IS_USED_LOCK('millstream:{owner}')"
    );
    assert_eq!(bench.rows(&session).await, ["SSL/TLS"]);
    // Nobody known has signed this server's certificate.
    let url = bench.config["connection.url"].replace("REQUIRED", "VERIFY_CA");
    bench.config.insert("connection.url".to_owned(), url);
    let error = bench.start(&["t"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UserConfig, "{error}");
}

#[tokio::test]
async fn what_waits_of_partitions_that_stay_is_written() {
    let server = Server::shared(Kind::MySql97);
    let mut bench = Bench::new(server, &[("field.include.list", "id")]).await;
    bench
        .run(&[
            "CREATE TABLE t (id TINYINT PRIMARY KEY)",
            "CREATE TABLE u (id TINYINT PRIMARY KEY)",
        ])
        .await;
    bench.start(&["t", "u"]).await.unwrap();
    let simple = Simple::new();
    let batch = [
        simple.write("t", 0, 1000, ""),
        simple.write("t", 1, 1, ""),
        simple.write("u", 0, 1000, ""),
        simple.write("u", 1, 1, ""),
    ];
    assert_eq!(bench.put(&batch).await.unwrap().len(), 2);
    bench.task.close(&[partition("t", 0)], true).await.unwrap();
    bench.put(&[]).await.unwrap();
    assert_eq!(bench.rows("SELECT id FROM t").await, [""; 0]);
    assert_eq!(bench.rows("SELECT id FROM u").await, ["1"]);
    assert_eq!((bench.stored("t"), bench.stored("u")), (Some(0), Some(2)));
}

#[tokio::test]
async fn a_refused_row_that_another_one_replaced_is_refused_at_once() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(9) CHARACTER SET latin1)"])
            .await;
        bench.start(&["t"]).await.unwrap();
        // All are the server's to refuse; of the key 2 only the last is tried at first.
        let simple = Simple::new();
        let bad = |offset: i64, id: i64| simple.write("t", offset, id, "日本");
        let batch = [
            bad(0, 1),
            bad(1, 2),
            bad(2, 2),
            bad(3, 2),
            simple.write("t", 4, 3, "c"),
        ];
        let refused = bench.put(&batch).await.unwrap();
        let places: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
        assert_eq!(places, [0, 1, 2, 3], "{kind:?}");
        bench.take(&[]).await;
        assert_eq!(bench.rows("SELECT * FROM t").await, ["3 c"], "{kind:?}");
        assert_eq!(bench.stored("t"), Some(5));
    }
}

#[tokio::test]
async fn tables_are_looked_at_again_before_a_record_is_refused() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        bench
            .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(5))"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let simple = Simple::new();
        bench.take(&[simple.write("t", 0, 1, "a")]).await;
        bench.run(&["ALTER TABLE t MODIFY v VARCHAR(20)"]).await;
        bench.take(&[simple.write("t", 1, 1, "longer than it was")]).await;
        assert_eq!(
            bench.rows("SELECT * FROM t").await,
            ["1 longer than it was"],
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn sessions_that_end_between_flushes_are_no_failures_of_records() {
    let server = Server::shared(Kind::MySql97);
    let mut bench = Bench::upserting(server, &[("max.retries", "1")]).await;
    bench
        .run(&["CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)"])
        .await;
    bench.start(&["t"]).await.unwrap();
    bench.take(&[row(0, "a")]).await;
    let owner = bench.rows("SELECT owner FROM millstream_offsets").await[0].clone();
    let session = format!("SELECT IS_USED_LOCK('millstream:{owner}')");
    // Nor do they wait for the rest of a statement for longer than they wait for the next one.
    let patience = format!(
        "SELECT variable_value FROM performance_schema.variables_by_thread JOIN performance_schema.threads USING (thread_id) \
         WHERE processlist_id = ({session}) AND variable_name IN ('wait_timeout', 'net_read_timeout')"
    );
    assert_eq!(bench.rows(&patience).await, ["60", "60"]);
    for next in 2..6 {
        let number = bench.rows(&session).await[0].clone();
        bench.run(&[&format!("KILL {number}")]).await;
        let taken = [PartitionOffset {
            partition: partition("t", 0),
            next,
        }];
        assert_eq!(bench.task.flush(&taken).await.unwrap(), taken);
    }
    assert_eq!(bench.stored("t"), Some(5));
}
