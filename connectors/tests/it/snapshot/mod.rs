//! Snapshots of servers that are written to all the while.
mod follower;
mod keys;
mod upsets;
mod values;
mod writers;

use std::collections::BTreeMap;

use millstream_connectors::mysql::record::Snapshot as Marker;
use millstream_connectors::mysql::signal::Signal;
use millstream_connectors::mysql::snapshot::SnapshotState;

use crate::servers::{Kind, Server};
use follower::{Follower, settings};
use writers::Writers;

/// A server of its own for each of these tests, so that nothing else is in its log.
async fn written_to(kind: Kind, options: &[&str], number: u32) {
    let server: &'static Server = Box::leak(Box::new(Server::start(kind, options)));
    let mut client = server.database("snap").await;
    for statement in writers::TABLES {
        client.execute(statement).await.unwrap();
    }
    writers::fill(&mut client, 400).await;
    let writers = Writers::start(server, 8).await;
    let settings = settings("snap", 3, 25);
    let mut follower = Follower::start(server, number, settings, SnapshotState::initial(), "snap").await;
    // It dies twice in its midst.
    for rows in [300, 700] {
        while follower.told.values().sum::<usize>() < rows && !follower.snapshot.is_done() {
            follower.step().await;
        }
        while follower.is_within() {
            follower.step().await;
        }
        follower.begin_anew();
    }
    client
        .execute("ALTER TABLE snap.numbers ADD COLUMN extra INT NOT NULL DEFAULT 7")
        .await
        .unwrap();
    follower.follow().await;
    let counted = follower.changes;
    while follower.changes < counted + 500 {
        follower.step().await;
    }
    // One that is asked for, while all goes on: nothing is known of the table before it.
    follower.known.remove("texts");
    let data = r#"{"data-collections": ["snap\\.texts"], "type": "incremental"}"#;
    let signal = Signal::parse("1", "execute-snapshot", Some(data))
        .unwrap()
        .unwrap();
    let markers = follower.markers.len();
    follower.snapshot.signal(&signal).unwrap();
    follower.follow().await;
    assert!(
        follower.markers[markers..]
            .iter()
            .all(|marker| *marker == Marker::Incremental)
    );
    assert!(follower.markers.len() > markers);
    let written = writers.stop().await;
    follower.follow_to_end().await;
    assert!(written > 500, "{written} transactions");
    assert_eq!(follower.markers[0], Marker::First);
    follower.assert_all_known().await;
    server.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mysql_is_known_from_changes_and_chunks_alone() {
    written_to(Kind::MySql97, &[], 7001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mysql_without_gtids_is_known_from_changes_and_chunks_alone() {
    let options = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    written_to(Kind::MySql97, &options, 7002).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn old_mysql_is_known_from_changes_and_chunks_alone() {
    written_to(Kind::MySql56, &[], 7003).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mariadb_is_known_from_changes_and_chunks_alone() {
    written_to(Kind::MariaDb, &[], 7004).await;
}

/// With the log at rest, all is told once, in the order of the keys, with its markers.
#[tokio::test]
async fn a_server_at_rest_is_told_once() {
    for kind in crate::servers::KINDS {
        let server = Server::shared(kind);
        let mut client = server.database("rest").await;
        client
            .execute("CREATE TABLE rest.a (id INT PRIMARY KEY, n INT)")
            .await
            .unwrap();
        client
            .execute("CREATE TABLE rest.b (id INT PRIMARY KEY, n INT)")
            .await
            .unwrap();
        for row in 0..50 {
            for table in ["a", "b"] {
                let statement = format!("INSERT INTO rest.{table} VALUES ({}, {row})", row * row);
                client.execute(&statement).await.unwrap();
            }
        }
        let settings = settings("rest", 1, 7);
        let mut follower = Follower::start(server, 7010, settings, SnapshotState::initial(), "rest").await;
        follower.follow().await;
        follower.assert_all_known().await;
        assert_eq!(
            follower.told,
            BTreeMap::from([("a".to_owned(), 50), ("b".to_owned(), 50)])
        );
        let mut expected = vec![Marker::Yes; 100];
        expected[0] = Marker::First;
        expected[49] = Marker::LastInTable;
        expected[50] = Marker::FirstInTable;
        expected[99] = Marker::Last;
        assert_eq!(follower.markers, expected, "{kind:?}");
    }
}
