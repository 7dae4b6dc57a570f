//! Tables that change, and logs that do not say what tables are.
use super::harness::{Delivered, run};
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
        let server = Server::start(kind, &[]);
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
        match kind {
            // Rows of a table that is gone: the log says what it was.
            Kind::MySql97 | Kind::MariaDb => {
                running.until_count("d.t", 3).await;
                assert_eq!(last(running.delivered(), "d.t", "z"), "Some(Int32(5))");
                running.stop().await;
                let statements = delivered
                    .records
                    .iter()
                    .filter(|record| &*record.topic == "p")
                    .count();
                assert_eq!(statements, 4, "changes of tables");
            }
            Kind::MySql56 => {
                let error = running.until_failure().await.to_string();
                assert!(
                    error.contains("rows of d.u, but it is not known what its columns were"),
                    "{error}"
                );
            }
        }
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
        let server = Server::start(kind, options);
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
        // Two changes with rows between them: what the table was there, nobody knows.
        run(
            &mut client,
            &[
                "ALTER TABLE t ADD d INT",
                "INSERT INTO t VALUES (4, 'a', 1, 2)",
                "ALTER TABLE t ADD e INT",
                "INSERT INTO t VALUES (5, 'b', 1, 2, 3)",
            ],
        )
        .await;
        let mut running = delivered.start().await;
        let error = running.until_failure().await.to_string();
        assert!(
            error.contains("not known what its columns were") && error.contains("it was changed since"),
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
