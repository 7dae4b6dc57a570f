//! Tables that change while a source begins: behind its place in the log, and before the server answers what they are.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use millstream_connectors::mysql::client::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::harness::{Delivered, run};
use super::schemas::statements;
use crate::servers::{Kind, Server};

/// What is run when a source asks for something.
#[derive(Clone, Copy)]
struct Upset {
    /// A part of the source's statement.
    asked: &'static str,
    /// What is run before the server gets it, `{}` being how often that was done before.
    statements: &'static [&'static str],
    /// How often.
    times: usize,
}

/// Between a source and its server: from the moment on in which the log is read, statements of somebody else come first.
struct Between {
    upset: Upset,
    reading: AtomicBool,
    done: AtomicUsize,
    client: Mutex<Client>,
}

impl Between {
    /// The port at which the source finds it.
    async fn start(server: &Server, upset: Upset) -> (u16, Arc<Self>) {
        let between = Arc::new(Self {
            upset,
            reading: AtomicBool::new(false),
            done: AtomicUsize::new(0),
            client: Mutex::new(server.root().await),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (own, server) = (Arc::clone(&between), server.port);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let own = Arc::clone(&own);
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
                        return;
                    };
                    let (mut from_client, mut to_client) = client.split();
                    let (mut from_server, mut to_server) = server.split();
                    let asking = async {
                        let mut buffer = vec![0; 64 << 10];
                        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                            own.asked(&buffer[..count]).await;
                            if to_server.write_all(&buffer[..count]).await.is_err() {
                                return;
                            }
                        }
                    };
                    tokio::select! {
                        () = asking => {}
                        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    }
                });
            }
        });
        (port, between)
    }

    /// A command is on its way to the server. None of those that are looked for is in two parts.
    async fn asked(&self, packet: &[u8]) {
        const DUMPS: [u8; 2] = [0x12, 0x1e];
        // Three bytes are the length, and one is the number, which is 0 for a command.
        if let [_, _, _, 0, command, ..] = packet
            && DUMPS.contains(command)
        {
            self.reading.store(true, Ordering::SeqCst);
        }
        let asked = self.upset.asked.as_bytes();
        let has = packet.windows(asked.len()).any(|part| part == asked);
        if !has || !self.reading.load(Ordering::SeqCst) {
            return;
        }
        let mut client = self.client.lock().await;
        let done = self.done.load(Ordering::SeqCst);
        if done < self.upset.times {
            for statement in self.upset.statements {
                let statement = statement.replace("{}", &done.to_string());
                run(&mut client, &[&statement]).await;
            }
            self.done.store(done + 1, Ordering::SeqCst);
        }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

fn delivered(server: &Server, port: u16, more: &[(&str, &str)]) -> Delivered {
    let mut delivered = Delivered::new(server, more);
    delivered.set("database.port", &port.to_string());
    delivered.set("database.ssl.mode", "disabled");
    delivered.set("database.include.list", "d");
    delivered
}

const MINIMAL: &[&str] = &["--binlog-row-metadata=MINIMAL"];

/// It is in no list, and the log does not say what its rows were.
#[tokio::test]
async fn a_source_begins_behind_a_table_that_goes_while_it_begins() {
    let upset = Upset {
        asked: "FROM information_schema.TABLES WHERE TABLE_TYPE",
        statements: &["INSERT INTO d.t VALUES (1)", "DROP TABLE d.t"],
        times: 1,
    };
    for (kind, options) in [
        (Kind::MySql97, MINIMAL),
        (Kind::MariaDb, MINIMAL),
        (Kind::MySql56, &[]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        let tables = [
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "CREATE TABLE u (id INT PRIMARY KEY)",
        ];
        run(&mut client, &tables).await;
        let (port, between) = Between::start(&server, upset).await;
        let mut delivered = delivered(&server, port, &[]);
        let mut running = delivered.start().await;
        assert_eq!(between.done(), 1, "{kind:?}");
        run(&mut client, &["INSERT INTO u VALUES (2)"]).await;
        running.until_count("d.u", 1).await;
        running.stop().await;
        assert_eq!(delivered.changes("d.u", "id"), ["c2"], "{kind:?}");
        assert!(delivered.of("d.t").is_empty(), "{kind:?}");
    }
}

/// What is announced is of the place where the source begins: a change behind it is either in it, or told later, and not both.
#[tokio::test]
async fn a_source_begins_behind_a_table_that_changes_while_it_begins() {
    let upset = Upset {
        asked: "SHOW CREATE TABLE `d`.`u`",
        statements: &["ALTER TABLE d.u ADD c INT", "INSERT INTO d.u VALUES (1, 1)"],
        times: 1,
    };
    for (kind, options) in [
        (Kind::MySql97, &[][..]),
        (Kind::MySql97, MINIMAL),
        (Kind::MariaDb, &[]),
        (Kind::MySql56, &[]),
    ] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        run(&mut client, &["CREATE TABLE u (id INT PRIMARY KEY)"]).await;
        let (port, between) = Between::start(&server, upset).await;
        let mut delivered = delivered(&server, port, &[("include.schema.changes", "true")]);
        let mut running = delivered.start().await;
        assert_eq!(between.done(), 1, "{kind:?}");
        run(&mut client, &["INSERT INTO d.u VALUES (2, 2)"]).await;
        running.until_count("d.u", 1).await;
        running.stop().await;
        assert_eq!(delivered.changes("d.u", "id"), ["c2"], "{kind:?} {options:?}");
        let shown = client.query("SHOW CREATE TABLE d.u").await.unwrap()[0]
            .text(1)
            .unwrap();
        let told = statements(&delivered);
        let of_columns: Vec<_> = told
            .iter()
            .filter(|ddl| ddl.starts_with("CREATE TABLE") || ddl.starts_with("ALTER"))
            .collect();
        assert_eq!(of_columns, [&shown], "{kind:?} {options:?}: {told:?}");
    }
}

/// It begins nevertheless, and tells what it knows.
#[tokio::test]
async fn a_table_that_changes_all_the_time_is_not_announced() {
    let upset = Upset {
        asked: "SHOW CREATE TABLE `d`.`u`",
        statements: &["ALTER TABLE d.u COMMENT 'the {}th'"],
        times: usize::MAX,
    };
    for (kind, options) in [(Kind::MySql97, &[][..]), (Kind::MariaDb, MINIMAL)] {
        let server = Server::lent(kind, options);
        let mut client = server.database("d").await;
        let tables = [
            "CREATE TABLE u (id INT PRIMARY KEY)",
            "CREATE TABLE v (id INT PRIMARY KEY)",
        ];
        run(&mut client, &tables).await;
        let (port, between) = Between::start(&server, upset).await;
        let mut delivered = delivered(&server, port, &[("include.schema.changes", "true")]);
        let mut running = delivered.start().await;
        let begun = between.done();
        assert!(
            (2..=10).contains(&begun),
            "{kind:?}: it begins after {begun} looks"
        );
        run(&mut client, &["INSERT INTO d.v VALUES (1)"]).await;
        running.until_count("d.v", 1).await;
        running.stop().await;
        let told = statements(&delivered);
        let has = |begin: &str| told.iter().filter(|ddl| ddl.starts_with(begin)).count();
        assert_eq!(has("CREATE TABLE `v`"), 1, "{kind:?}: {told:?}");
        assert_eq!(has("CREATE TABLE `u`"), 0, "{kind:?}: {told:?}");
        let last = format!("ALTER TABLE d.u COMMENT 'the {}th'", begun - 1);
        assert_eq!(has("ALTER"), 1, "{kind:?}: {told:?}");
        assert!(told.contains(&last), "{kind:?}: {told:?}");
    }
}
