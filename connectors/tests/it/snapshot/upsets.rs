//! What is refused, what lasts too long, and servers that are not those that were meant.
use std::time::Duration;

use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::schema::TableId;
use millstream_connectors::mysql::signal::Signal;
use millstream_connectors::mysql::snapshot::{
    Answer, ChunkWork, Outcome, Readers, ReadersConfig, Request, RequestId, SnapshotState, Work,
};
use millstream_connectors::mysql::stream::LogPosition;
use tokio::net::{TcpListener, TcpStream};

use super::follower::{Follower, settings};
use crate::servers::{Kind, Server};

const ROWS: usize = 40;

/// Two tables with a key, and one without that no transaction isolates.
async fn filled(server: &Server, database: &str) -> Client {
    let mut client = server.database(database).await;
    for table in ["a (id INT PRIMARY KEY, n INT)", "b (id INT PRIMARY KEY, n INT)"] {
        client.execute(&format!("CREATE TABLE {table}")).await.unwrap();
    }
    let bare = "CREATE TABLE bare (n INT) ENGINE=MyISAM";
    client.execute(bare).await.unwrap();
    let rows: Vec<String> = (0..ROWS).map(|row| format!("({row},{row})")).collect();
    for table in ["a", "b"] {
        let insert = format!("INSERT INTO {table} VALUES {}", rows.join(","));
        client.execute(&insert).await.unwrap();
    }
    client.execute("INSERT INTO bare SELECT n FROM a").await.unwrap();
    client
}

fn execute(data: &str) -> Signal {
    Signal::parse("1", "execute-snapshot", Some(data))
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn signals_that_cannot_be_done_end_alone() {
    for kind in crate::servers::KINDS {
        let server = Server::shared(kind);
        let database = "refused";
        filled(server, database).await;
        let settings = settings(database, 2, 7);
        let state = SnapshotState::default();
        let mut follower = Follower::start(server, 7020, settings, state, database).await;
        for wrong in [
            r#""additional-conditions": [{"data-collection": "refused\\.a", "filter": "n >"}]"#,
            r#""additional-conditions": [{"data-collection": "refused\\.a", "filter": "missing = 1"}]"#,
            r#""surrogate-key": "n""#,
            r#""surrogate-key": "missing""#,
        ] {
            follower.told.clear();
            let data = format!(r#"{{"data-collections": ["refused\\.[ab]"], {wrong}}}"#);
            follower.snapshot.signal(&execute(&data)).unwrap();
            follower.follow().await;
            assert_eq!(follower.told.get("a"), None, "{kind:?}: {wrong}");
            let told = (!wrong.contains("surrogate")).then_some(&ROWS);
            assert_eq!(follower.told.get("b"), told, "{kind:?}: {wrong}");
        }
        follower
            .snapshot
            .signal(&execute(r#"{"data-collections": ["refused\\.a"]}"#))
            .unwrap();
        follower.follow().await;
        assert_eq!(follower.told.get("a"), Some(&ROWS), "{kind:?}");
    }
}

/// An offset of file and position alone says nothing by transactions, though the server has numbers for them.
#[tokio::test]
async fn a_place_without_gtids_is_enough() {
    for kind in [Kind::MySql97, Kind::MariaDb] {
        let server = Server::shared(kind);
        let database = "placed";
        filled(server, database).await;
        let settings = settings(database, 2, 7);
        let state = SnapshotState::initial();
        let mut follower = Follower::start(server, 7021, settings, state, database).await;
        follower.forget_gtids();
        follower.follow().await;
        follower.assert_all_known().await;
    }
}

fn readers(server: &Server, port: u16, identity: &str, patience: Duration) -> Readers {
    let mut connection = server.config("root", "");
    connection.port = port;
    let config = ReadersConfig {
        connection,
        readers: 1,
        lock_timeout: Duration::from_secs(30),
        patience,
    };
    Readers::start(config, identity)
}

async fn asked(readers: &mut Readers, number: u64, work: Work) -> Outcome {
    let id = RequestId(number);
    readers.ask(Request {
        id,
        after: LogPosition::at("bin.000000", 4),
        work,
    });
    let Answer { id: own, outcome } = readers.answer().await;
    assert_eq!(own, id);
    outcome
}

/// A table without a key, in parts of one row each.
fn whole(database: &str) -> Work {
    Work::Whole(ChunkWork {
        table: TableId::new(database, "bare"),
        sql: format!("SELECT n FROM {database}.bare"),
        width: 1,
        rows_max: usize::MAX,
        bytes_max: 1,
        locking: false,
        derived: false,
        transactional: false,
    })
}

/// A source that is paused, or whose cluster stands still, asks for nothing; who writes to its tables must not have to wait for that.
#[tokio::test]
async fn a_locked_table_that_nobody_asks_for_is_given_up() {
    for kind in crate::servers::KINDS {
        let server = Server::shared(kind);
        let mut client = filled(server, "locked").await;
        let identity = client.facts().await.unwrap().identity;
        let mut readers = readers(server, server.port, &identity, Duration::from_secs(1));
        let begun = asked(&mut readers, 1, whole("locked")).await;
        assert!(matches!(begun, Outcome::Begun(_)), "{begun:?}");
        let part = asked(&mut readers, 2, Work::More(RequestId(1))).await;
        assert!(matches!(part, Outcome::Part { last: false, .. }), "{part:?}");
        let limit = Duration::from_secs(60);
        client.set_lock_timeout(limit).await.unwrap();
        client.execute("INSERT INTO bare VALUES (-1)").await.unwrap();
        let part = asked(&mut readers, 3, Work::More(RequestId(1))).await;
        assert!(matches!(part, Outcome::Busy(_)), "{part:?}");
        // It can be begun again.
        let begun = asked(&mut readers, 4, whole("locked")).await;
        assert!(matches!(begun, Outcome::Begun(_)), "{begun:?}");
    }
}

/// Rows are those of one place only as long as the lock is held.
#[tokio::test]
async fn a_table_whose_lock_was_lost_is_read_again() {
    let server = Server::shared(Kind::MySql97);
    let mut client = filled(server, "unlocked").await;
    let identity = client.facts().await.unwrap().identity;
    let mut readers = readers(server, server.port, &identity, Readers::PATIENCE);
    let begun = asked(&mut readers, 1, whole("unlocked")).await;
    assert!(matches!(begun, Outcome::Begun(_)), "{begun:?}");
    let lockers = client
        .query(
            "SELECT t.PROCESSLIST_ID, v.VARIABLE_VALUE FROM performance_schema.metadata_locks l \
             JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
             JOIN performance_schema.variables_by_thread v ON v.THREAD_ID = t.THREAD_ID AND v.VARIABLE_NAME = 'wait_timeout' \
             WHERE l.OBJECT_SCHEMA = 'unlocked' AND l.OBJECT_NAME = 'bare'",
        )
        .await
        .unwrap();
    assert_eq!(lockers.len(), 1);
    // If its host is gone, the server does not keep it for long.
    assert_eq!(lockers[0].text(1).as_deref(), Some("120"));
    let kill = format!("KILL {}", lockers[0].text(0).unwrap());
    client.execute(&kill).await.unwrap();
    let part = asked(&mut readers, 2, Work::More(RequestId(1))).await;
    assert!(matches!(part, Outcome::Busy(_)), "{part:?}");
}

/// Behind one address, connections may end at different servers: a lock on one says nothing of rows of another.
#[tokio::test]
async fn the_lock_is_on_the_server_that_is_read() {
    let (meant, other) = (Server::shared(Kind::MySql97), Server::shared(Kind::MySql56));
    let mut client = filled(meant, "behind").await;
    filled(other, "behind").await;
    let identity = client.facts().await.unwrap().identity;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ports = [meant.port, other.port, meant.port, meant.port];
    let relay = tokio::spawn(async move {
        for port in ports {
            let (mut from, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    let mut readers = readers(meant, port, &identity, Readers::PATIENCE);
    let begun = asked(&mut readers, 1, whole("behind")).await;
    assert!(matches!(begun, Outcome::Begun(_)), "{begun:?}");
    // The first two were of no use.
    tokio::time::timeout(Duration::from_secs(60), relay)
        .await
        .expect("it connected again")
        .unwrap();
}
