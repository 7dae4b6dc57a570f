//! Logs of real servers as streams of events.
use std::time::Duration;

use millstream_connect::plugin::ErrorKind;
use millstream_connectors::mysql::binlog::Place;
use millstream_connectors::mysql::client::{
    Client, ClientError, DumpRequest, DumpStart, EventStream, Gtids, LogEnd, LogErrorKind,
};

use crate::log;
use crate::servers::{KINDS, Kind, Server, purge_logs};

async fn open(server: &Server, request: &DumpRequest) -> EventStream {
    server.root().await.dump(request).await.unwrap()
}

/// How a stream ends.
async fn end(stream: &mut EventStream) -> Result<(), ClientError> {
    while stream.next().await?.is_some() {}
    Ok(())
}

async fn refusal(server: &Server, start: DumpStart) -> LogErrorKind {
    match end(&mut open(server, &log::request(77, start)).await).await {
        Err(ClientError::Log(error)) => error.kind,
        other => panic!("{:?}: {other:?}", server.kind),
    }
}

fn by_gtids(end: &LogEnd) -> DumpStart {
    match end.gtids.clone() {
        Some(Gtids::MySql(set)) => DumpStart::Gtids(set),
        Some(Gtids::MariaDb(position)) => DumpStart::MariadbGtids(position),
        None => DumpStart::Place(end.place.clone()),
    }
}

async fn transactions(client: &mut Client, count: usize) {
    for number in 0..count {
        let statement = format!("INSERT INTO t (v) VALUES ({number}), ({number})");
        client.execute(&statement).await.unwrap();
    }
}

const TABLE: &str = "CREATE TABLE t (id int primary key auto_increment, v int)";

#[tokio::test]
async fn a_log_is_read_from_a_place_and_from_gtids() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("dumped").await;
        client.execute(TABLE).await.unwrap();
        transactions(&mut client, 3).await;
        let begin = client.log_end().await.unwrap();
        transactions(&mut client, 5).await;
        client.execute("FLUSH LOGS").await.unwrap();
        transactions(&mut client, 4).await;
        let until = client.log_end().await.unwrap().place;
        for start in [DumpStart::Place(begin.place.clone()), by_gtids(&begin)] {
            let mut stream = open(&server, &log::request(78, start)).await;
            let told = log::read_to(&mut stream, &begin.place, &until).await;
            assert_eq!((told.transactions, told.rows), (9, 18), "{kind:?}");
            stream.close().await;
        }
        let all = match by_gtids(&begin) {
            DumpStart::Gtids(_) => DumpStart::Gtids(Default::default()),
            DumpStart::MariadbGtids(_) => DumpStart::MariadbGtids(Default::default()),
            other => other,
        };
        let first = Place {
            file: "bin.000001".to_owned(),
            position: 4,
        };
        let mut stream = open(&server, &log::request(78, all)).await;
        let told = log::read_to(&mut stream, &first, &until).await;
        assert_eq!((told.transactions, told.rows), (12, 24), "{kind:?}");
    }
}

#[tokio::test]
async fn gtids_may_have_tags() {
    let server = Server::lent(Kind::MySql97, &[]);
    let mut client = server.database("tagged").await;
    client.execute(TABLE).await.unwrap();
    client.execute("SET gtid_next='AUTOMATIC:nightly'").await.unwrap();
    transactions(&mut client, 3).await;
    let begin = client.log_end().await.unwrap();
    assert!(
        matches!(&begin.gtids, Some(Gtids::MySql(set)) if set.to_string().contains(":nightly:1-3")),
        "{begin:?}"
    );
    transactions(&mut client, 2).await;
    client.execute("SET gtid_next='AUTOMATIC'").await.unwrap();
    transactions(&mut client, 2).await;
    let until = client.log_end().await.unwrap().place;
    let mut stream = open(&server, &log::request(78, by_gtids(&begin))).await;
    assert_eq!(
        log::read_to(&mut stream, &begin.place, &until).await.transactions,
        4
    );
}

#[tokio::test]
async fn events_may_take_several_packets() {
    for kind in KINDS {
        let server = Server::lent(kind, &["--max-allowed-packet=128M"]);
        let mut client = server.database("large").await;
        client
            .execute("CREATE TABLE t (id int primary key, v longblob) ENGINE=MyISAM")
            .await
            .unwrap();
        let begin = client.log_end().await.unwrap();
        client
            .execute("INSERT INTO t VALUES (1, REPEAT('x', 40 << 20)), (2, 'small')")
            .await
            .unwrap();
        let until = client.log_end().await.unwrap().place;
        let mut request = log::request(78, DumpStart::Place(begin.place.clone()));
        let told = log::read_to(&mut open(&server, &request).await, &begin.place, &until).await;
        assert!(told.rows == 2 && told.largest > 40 << 20, "{kind:?}");
        request.event_bytes_max = 1 << 20;
        let error = end(&mut open(&server, &request).await).await.unwrap_err();
        assert!(
            matches!(error, ClientError::TooLarge { bytes_max, .. } if bytes_max <= (1 << 20) + 1),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_without_news_tells_that_it_lives() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let begin = log::end(&server).await;
        let mut request = log::request(78, DumpStart::Place(begin));
        request.heartbeat = Duration::from_millis(1100);
        let mut stream = open(&server, &request).await;
        loop {
            let event = stream.next().await.unwrap().unwrap();
            // HEARTBEAT
            if event[4] == 27 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_its_server_or_its_connection_ended() {
    for kind in KINDS {
        let mut server = Server::lent(kind, &[]);
        let mut client = server.database("ended").await;
        client.execute(TABLE).await.unwrap();
        let begin = client.log_end().await.unwrap();
        transactions(&mut client, 2).await;
        let mut stream = open(&server, &log::request(78, by_gtids(&begin))).await;
        let until = client.log_end().await.unwrap().place;
        assert_eq!(
            log::read_to(&mut stream, &begin.place, &until).await.transactions,
            2
        );
        client
            .execute(&format!("KILL {}", stream.connection_id()))
            .await
            .unwrap();
        if let Err(error) = end(&mut stream).await {
            assert!(error.is_disconnected(), "{kind:?} {error:?}");
        }
        let mut stream = open(&server, &log::request(78, by_gtids(&begin))).await;
        stream.next().await.unwrap().unwrap();
        drop(client);
        server.stop();
        if let Err(error) = end(&mut stream).await {
            assert!(error.is_disconnected(), "{kind:?} {error:?}");
        }
        let error = Client::connect(&server.config("root", "")).await.unwrap_err();
        assert!(error.is_disconnected(), "{error:?}");
        server.start_again(&[]);
        let mut stream = open(&server, &log::request(78, by_gtids(&begin))).await;
        let until = log::end(&server).await;
        assert_eq!(
            log::read_to(&mut stream, &begin.place, &until).await.transactions,
            2
        );
    }
}

#[tokio::test]
async fn what_the_server_does_not_have_is_told_apart() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let mut client = server.database("missing").await;
        client.execute(TABLE).await.unwrap();
        let begin = client.log_end().await.unwrap();
        transactions(&mut client, 3).await;
        let middle = client.log_end().await.unwrap();
        client.execute("FLUSH LOGS").await.unwrap();
        transactions(&mut client, 1).await;
        client.execute("FLUSH LOGS").await.unwrap();
        transactions(&mut client, 1).await;
        let now = client.log_end().await.unwrap();

        let file = |file: &str, position| {
            DumpStart::Place(Place {
                file: file.to_owned(),
                position,
            })
        };
        let beyond = refusal(&server, file(&now.place.file, now.place.position + 1_000_000)).await;
        assert_eq!(beyond, LogErrorKind::BadPosition, "{kind:?}");
        let within = refusal(&server, file(&begin.place.file, begin.place.position + 7)).await;
        assert_eq!(within, LogErrorKind::BadPosition, "{kind:?}");
        let none = refusal(&server, file("bin.000077", 4)).await;
        assert_eq!(none, LogErrorKind::Purged, "{kind:?}");
        let foreign = match &now.gtids {
            Some(Gtids::MySql(set)) => {
                let (source, ranges) = set.iter().next().unwrap();
                DumpStart::Gtids(format!("{source}:1-{}", ranges[0].1 + 5).parse().unwrap())
            }
            _ => DumpStart::MariadbGtids("0-10-1000".parse().unwrap()),
        };
        assert_eq!(
            refusal(&server, foreign).await,
            LogErrorKind::UnknownGtids,
            "{kind:?}"
        );

        purge_logs(&mut client).await;
        for start in [
            DumpStart::Place(middle.place.clone()),
            by_gtids(&begin),
            by_gtids(&middle),
        ] {
            assert_eq!(refusal(&server, start).await, LogErrorKind::Purged, "{kind:?}");
        }
        let far = file(&now.place.file, 1 << 33);
        let error = server
            .root()
            .await
            .dump(&log::request(78, far))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, ClientError::Log(error) if error.kind == LogErrorKind::BadPosition),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::UserConfig);
    }
}

#[tokio::test]
async fn the_newer_of_two_with_the_same_id_stays() {
    for kind in KINDS {
        let server = Server::lent(kind, &[]);
        let begin = log::end(&server).await;
        let request = log::request(78, DumpStart::Place(begin));
        let mut older = open(&server, &request).await;
        older.next().await.unwrap().unwrap();
        let mut newer = open(&server, &request).await;
        newer.next().await.unwrap().unwrap();
        let ended = end(&mut older).await;
        if kind == Kind::MySql56 && ended.is_ok() {
            // It does not say why.
            continue;
        }
        let error = ended.expect_err(&format!("{kind:?}"));
        assert!(
            matches!(&error, ClientError::Log(error) if error.kind == LogErrorKind::Replaced),
            "{kind:?} {error:?}"
        );
        assert!(error.to_string().contains("database.server.id"));
        newer.next().await.unwrap();
    }
}

#[tokio::test]
async fn who_may_not_read_the_log_is_told() {
    for kind in KINDS {
        let server = Server::shared(kind);
        server
            .root()
            .await
            .execute("CREATE USER no_replica@localhost IDENTIFIED BY 'x'")
            .await
            .unwrap();
        let client = Client::connect(&server.config("no_replica", "x")).await.unwrap();
        let begin = log::end(server).await;
        let error = match client.dump(&log::request(79, DumpStart::Place(begin))).await {
            Ok(mut stream) => end(&mut stream).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::UserConfig, "{kind:?} {error:?}");
        assert!(error.to_string().contains("millstream mysql check"), "{error}");
    }
}
