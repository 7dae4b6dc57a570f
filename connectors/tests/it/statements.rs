//! Statements and their rows.
use std::time::Duration;

use millstream_connect::plugin::ErrorKind;
use millstream_connectors::mysql::client::server::{Flavour, Version};
use millstream_connectors::mysql::client::{Client, ClientError};
use millstream_connectors::mysql::config::TlsMode;

use crate::servers::{KINDS, Kind, Server};
use crate::sink::proxy::{Proxy, Way};

#[tokio::test]
async fn rows_are_what_the_server_prints() {
    for kind in KINDS {
        let mut client = Server::shared(kind).root().await;
        let rows = client
            .query("SELECT 1, NULL, '', 'Ω', -1.50, x'00ff'")
            .await
            .unwrap();
        let cells: Vec<_> = rows[0].cells().collect();
        assert_eq!(
            cells,
            [
                Some(&b"1"[..]),
                None,
                Some(b""),
                Some("Ω".as_bytes()),
                Some(b"-1.50"),
                Some(b"\0\xff")
            ]
        );
        assert_eq!(
            (rows[0].text(3).as_deref(), rows[0].get(1), rows[0].get(9)),
            (Some("Ω"), None, None)
        );
        let done = client.execute("SELECT 1").await.unwrap();
        assert_eq!(done.affected_rows, 0);
    }
}

#[tokio::test]
async fn values_are_printed_the_same_whatever_servers_are_set_to() {
    for kind in KINDS {
        let modes = "--sql-mode=ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,NO_UNSIGNED_SUBTRACTION,NO_ZERO_DATE";
        let odd = Server::start(
            kind,
            &[
                modes,
                "--default-time-zone=+09:00",
                "--character-set-server=latin1",
                "--init-connect=SET sql_select_limit=1",
            ],
        );
        odd.root()
            .await
            .execute(
                "SET GLOBAL sql_select_limit=1, sql_auto_is_null=1, sql_safe_updates=1, net_write_timeout=1",
            )
            .await
            .unwrap();
        let mut printed = Vec::new();
        for server in [&odd, Server::shared(kind)] {
            let mut client = server.database("printed").await;
            let create = "CREATE TABLE t (id int primary key auto_increment, c char(5), d date, ts timestamp(3) null, f float, g double, v varchar(9) character set latin1)";
            client.execute(create).await.unwrap();
            client.execute("SET timestamp=1700000000.123").await.unwrap();
            client.execute(r#"INSERT INTO t (c, d, ts, f, g, v) VALUES ('a', '0000-00-00', now(3), 1.1, 1e100, 'it''s \\ ü'), ('b', '2024-02-31', null, 3, 0.1, "x")"#).await.unwrap();
            let rows = client
                .query("SELECT * FROM t WHERE d >= '0000-00-00' OR d > '2024-02-30' ORDER BY id")
                .await
                .unwrap();
            let null = client.query("SELECT * FROM t WHERE id IS NULL").await.unwrap();
            printed.push((rows, null));
        }
        assert_eq!(printed[0].0.len(), 2);
        assert_eq!(printed[0], printed[1], "{kind:?}");
        assert_eq!(
            printed[0].0[0].text(3).as_deref(),
            Some("2023-11-14 22:13:20.123")
        );
        assert_eq!(printed[0].0[1].text(2).as_deref(), Some("2024-02-31"));
    }
}

async fn numbers(client: &mut Client, count: usize) {
    client
        .execute("CREATE TABLE numbers (id int primary key, filler varchar(2000))")
        .await
        .unwrap();
    client
        .execute("INSERT INTO numbers VALUES (0, repeat('x', 1900))")
        .await
        .unwrap();
    let mut have = 1;
    while have < count {
        client
            .execute(&format!(
                "INSERT INTO numbers SELECT id + {have}, filler FROM numbers"
            ))
            .await
            .unwrap();
        have *= 2;
    }
}

#[tokio::test]
async fn rows_come_as_they_are_asked_for() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut client = server.database("streamed").await;
        numbers(&mut client, 16_384).await;
        // All, in order.
        let mut rows = client
            .select_stream("SELECT id, filler FROM numbers ORDER BY id")
            .await
            .unwrap();
        assert_eq!(rows.columns()[1].name, "filler");
        let mut count = 0;
        while let Some(row) = rows.next().await.unwrap() {
            assert_eq!(row.get(0), Some(count.to_string().as_bytes()));
            count += 1;
        }
        assert_eq!(count, 16_384);
        assert!(rows.next().await.unwrap().is_none());
        // What is given up is passed over.
        let mut rows = client
            .select_stream("SELECT id, filler FROM numbers")
            .await
            .unwrap();
        rows.next().await.unwrap();
        assert_eq!(client.query("SELECT 7").await.unwrap()[0].get(0), Some(&b"7"[..]));
        // A server that fails in the middle.
        let fails = "SELECT id, IF(id = 9000, (SELECT 1 UNION SELECT 2), 0) FROM numbers ORDER BY id";
        let mut rows = client.select_stream(fails).await.unwrap();
        let error = loop {
            match rows.next().await {
                Ok(row) => assert!(row.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Some(1242), "{error:?}");
        client.query("SELECT 8").await.unwrap();
        // While nobody reads, the server waits: most of 30 MB is still there.
        let mut rows = client
            .select_stream("SELECT id, filler FROM numbers")
            .await
            .unwrap();
        rows.next().await.unwrap();
        let mut other = server.root().await;
        let state = "SELECT state FROM information_schema.processlist WHERE info LIKE 'SELECT id, filler FROM numbers' AND id <> connection_id()";
        loop {
            let states = other.query(state).await.unwrap();
            if states.iter().any(|row| {
                row.text(0).is_some_and(|state| {
                    ["Sending to client", "Sending data", "Writing to net"].contains(&&*state)
                })
            }) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut count = 1;
        while rows.next().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 16_384);
    }
}

#[tokio::test]
async fn a_value_may_take_several_packets() {
    // Rows end in the two ways that there are.
    for kind in [Kind::MySql56, Kind::MySql97] {
        let server = Server::start(kind, &["--max-allowed-packet=128M"]);
        let mut client = server.root().await;
        let part = (1 << 24) - 1;
        // With the bytes of their lengths (4), these rows end before, at and behind the end of a packet.
        for size in [part - 5, part - 4, part - 3, 2 * part - 4, 50 << 20] {
            let rows = client
                .query(&format!("SELECT REPEAT('y', {size})"))
                .await
                .unwrap();
            let value = rows[0].get(0).unwrap();
            assert!(value.len() == size && value.iter().all(|byte| *byte == b'y'));
        }
        for size in [part - 40, part - 1, part, 3 * part] {
            let value = "z".repeat(size);
            let rows = client.query(&format!("SELECT LENGTH('{value}')")).await.unwrap();
            assert_eq!(rows[0].text(0), Some(size.to_string()), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn several_results_and_none_are_passed_over() {
    for kind in KINDS {
        let mut client = Server::shared(kind).database("procedures").await;
        client.execute("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2, 3; SELECT 4 FROM information_schema.tables; END").await.unwrap();
        client.execute("CALL two()").await.unwrap();
        assert_eq!(
            client.query("CALL two()").await.unwrap()[0].text(0).as_deref(),
            Some("1")
        );
        let mut rows = client.select_stream("CALL two()").await.unwrap();
        rows.next().await.unwrap();
        assert_eq!(
            client.query("SELECT 9").await.unwrap()[0].text(0).as_deref(),
            Some("9")
        );
        let error = client.select_stream("SET @a = 1").await.err().unwrap();
        assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
        assert_eq!(client.query("SET @a = 1").await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_is_given_up_in_the_middle_ends_the_connection() {
    let server = Server::shared(Kind::MariaDb);
    let mut client = server.root().await;
    let slow = tokio::time::timeout(Duration::from_millis(100), client.query("SELECT SLEEP(60)")).await;
    assert!(slow.is_err());
    let error = client.query("SELECT 1").await.unwrap_err();
    assert!(
        error.is_disconnected() && error.to_string().contains("given up"),
        "{error}"
    );

    let mut config = server.config("root", "");
    config.query_timeout = Duration::from_millis(200);
    let mut client = Client::connect(&config).await.unwrap();
    let error = client.query("SELECT SLEEP(60)").await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::TimedOut {
                key: "database.query.timeout.ms",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn errors_say_what_is_to_be_done() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut root = server.database("errors").await;
        root.execute("CREATE TABLE t (id int primary key)").await.unwrap();
        root.execute("CREATE USER poor@localhost IDENTIFIED BY 'very secret'")
            .await
            .unwrap();
        let mut config = server.config("poor", "very secret");
        let mut poor = Client::connect(&config).await.unwrap();
        let error = poor.query("SELECT * FROM errors.t").await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (Some(1142), ErrorKind::UserConfig));
        assert!(error.to_string().contains("millstream mysql check"), "{error}");
        let error = poor.query("SELECT nonsense").await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (Some(1054), ErrorKind::UserConfig));
        // A statement's own text can come back.
        config.initial_statements = vec!["SET 'very secret' = 1".to_owned()];
        let error = Client::connect(&config).await.unwrap_err().to_string();
        assert!(
            error.contains("database.initial.statements") && !error.contains("very secret"),
            "{error}"
        );
        // Another ends it.
        let id = poor.connection_id();
        root.execute(&format!("KILL {id}")).await.unwrap();
        let error = loop {
            if let Err(error) = poor.query("SELECT 1").await {
                break error;
            }
        };
        assert!(error.is_disconnected(), "{error:?}");
    }
}

#[tokio::test]
async fn facts_are_those_of_the_server() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut root = server.database("facts").await;
        root.execute("CREATE USER reader@localhost IDENTIFIED BY 'x'")
            .await
            .unwrap();
        root.execute("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@localhost")
            .await
            .unwrap();
        root.execute("GRANT SELECT ON facts.* TO reader@localhost")
            .await
            .unwrap();
        let mut client = Client::connect(&server.config("reader", "x")).await.unwrap();
        let facts = client.facts().await.unwrap();
        let (flavour, version, id, gtids, full) = match kind {
            Kind::MySql97 => (Flavour::MySql, Version::new(9, 7, 0), 97, true, true),
            Kind::MySql56 => (Flavour::MySql, Version::new(5, 6, 24), 56, true, false),
            Kind::MariaDb => (Flavour::MariaDb, Version::new(10, 11, 0), 10, true, true),
        };
        assert_eq!((facts.flavour, facts.server_id), (flavour, id));
        assert!(facts.version >= version, "{}", facts.version);
        assert_eq!((facts.has_gtids(), facts.has_full_metadata()), (gtids, full));
        assert!(facts.variables.on("log_bin").unwrap() && facts.names_have_case());
        assert_eq!(facts.account, "reader@localhost");
        let monitor = if kind == Kind::MariaDb {
            "BINLOG MONITOR"
        } else {
            "REPLICATION CLIENT"
        };
        assert!(facts.grants.global("REPLICATION SLAVE") && facts.grants.global(monitor));
        assert!(
            facts.grants.on_table("SELECT", "facts", "t")
                && !facts.grants.on_table("SELECT", "mysql", "user")
        );
        assert_eq!(
            facts.identity,
            server.root().await.facts().await.unwrap().identity
        );
        if kind == Kind::MySql56 {
            continue;
        }
        // By a role that is active.
        root.execute("CREATE ROLE readers").await.unwrap();
        root.execute("GRANT SELECT ON mysql.* TO readers").await.unwrap();
        root.execute("GRANT readers TO reader@localhost").await.unwrap();
        let role = if kind == Kind::MariaDb {
            "SET DEFAULT ROLE readers FOR reader@localhost"
        } else {
            "SET DEFAULT ROLE readers TO reader@localhost"
        };
        root.execute(role).await.unwrap();
        let mut client = Client::connect(&server.config("reader", "x")).await.unwrap();
        assert!(
            client
                .facts()
                .await
                .unwrap()
                .grants
                .on_table("SELECT", "mysql", "user"),
            "{kind:?}"
        );
    }
}

/// What is configured runs on each connection but the log's.
#[tokio::test]
async fn initial_statements_run_but_not_for_the_log() {
    let server = Server::shared(Kind::MySql97);
    let mut config = server.config("root", "");
    config.initial_statements = vec!["SET @begun = 7".to_owned()];
    for (client, expected) in [
        (Client::connect(&config).await, Some("7")),
        (Client::connect_for_log(&config).await, None),
    ] {
        let rows = client.unwrap().query("SELECT @begun").await.unwrap();
        assert_eq!(rows[0].text(0).as_deref(), expected);
    }
}

/// A server that hangs does not read: a statement that is larger than what is between here and there must not wait for ever.
#[tokio::test]
async fn a_statement_that_cannot_be_sent_is_given_up() {
    let proxy = Proxy::start(Server::shared(Kind::MariaDb).port).await;
    let mut config = Server::shared(Kind::MariaDb).config("root", "");
    config.port = proxy.port;
    config.tls.mode = TlsMode::Disabled;
    config.query_timeout = Duration::from_secs(1);
    let mut client = Client::connect(&config).await.unwrap();
    proxy.hold(Way::ToServer);
    let statement = format!("SELECT '{}'", "x".repeat(64 << 20));
    let given_up = tokio::time::timeout(Duration::from_secs(120), client.execute(&statement)).await;
    let error = given_up.expect("it has a limit").unwrap_err().to_string();
    assert!(error.contains("database.query.timeout.ms"), "{error}");
}
