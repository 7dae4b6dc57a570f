//! Those who write to the server: many at once, in transactions of every kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::random::Random;

/// Tables that are written to, with their columns and keys. Each write says something that was never said before, in `note`.
pub(super) const TABLES: [&str; 5] = ["items", "words", "pairs", "wide", "logs"];
const SCHEMAS: [&str; 5] = [
    "CREATE TABLE items (id BIGINT PRIMARY KEY, n INT NOT NULL, note VARCHAR(100))",
    "CREATE TABLE words (word VARCHAR(40) PRIMARY KEY, n INT NOT NULL, note VARCHAR(100))",
    "CREATE TABLE pairs (b VARCHAR(20), n INT NOT NULL, a INT, note VARCHAR(100), PRIMARY KEY (a, b))",
    "CREATE TABLE wide (id INT UNSIGNED PRIMARY KEY, n INT NOT NULL, note VARCHAR(100))",
    "CREATE TABLE logs (id BIGINT PRIMARY KEY, n INT NOT NULL, note VARCHAR(100))",
];
const WRITERS: u64 = 8;
/// Keys that are fought over.
const KEYS: u64 = 4000;

/// Who writes, until [`Writers::stop`].
pub(super) struct Writers {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Transactions that were committed.
    pub(super) committed: Arc<AtomicU64>,
}

pub(super) fn options(port: u16) -> Opts {
    let builder = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port);
    builder.user(Some("root")).prefer_socket(false).into()
}

/// Makes the tables and what is in them at first.
pub(super) async fn prepare(port: u16, rows: u64) -> mysql_async::Result<()> {
    let mut conn = Conn::new(options(port)).await?;
    conn.query_drop("CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4")
        .await?;
    conn.query_drop("USE shop").await?;
    for (table, schema) in TABLES.iter().zip(SCHEMAS) {
        conn.query_drop(schema).await?;
        for start in (0..rows).step_by(500) {
            let values: Vec<String> = (start..rows.min(start + 500))
                .map(|id| {
                    let values = row(table, id, &format!("first-{id}"));
                    format!("({values})")
                })
                .collect();
            let values = values.join(",");
            let columns = columns(table);
            conn.query_drop(format!("INSERT INTO {table} ({columns}) VALUES {values}"))
                .await?;
        }
    }
    conn.disconnect().await
}

fn columns(table: &str) -> &'static str {
    match table {
        "words" => "word, n, note",
        "pairs" => "a, b, n, note",
        _ => "id, n, note",
    }
}

fn row(table: &str, id: u64, note: &str) -> String {
    match table {
        "words" => format!("'Wörd {id}', {id}, '{note}'"),
        "pairs" => format!("{}, 'b{}', {id}, '{note}'", id % 50, id / 50),
        _ => format!("{id}, {id}, '{note}'"),
    }
}

fn of_key(table: &str, id: u64) -> String {
    match table {
        // The collation does not tell these apart.
        "words" => format!("word = 'wÖRD {id}'"),
        "pairs" => format!("a = {} AND b = 'B{}'", id % 50, id / 50),
        _ => format!("id = {id}"),
    }
}

impl Writers {
    /// Starts them; `distributed` says whether the server keeps prepared transactions through crashes, as MySQL 5.6 does not.
    pub(super) fn start(runtime: &Runtime, port: u16, seed: u64, distributed: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let tasks = (0..WRITERS).map(|number| {
            let writer = Writer {
                number,
                port,
                distributed,
                random: Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number)),
                said: 0,
                seed,
                stop: Arc::clone(&stop),
                committed: Arc::clone(&committed),
            };
            runtime.spawn(writer.run())
        });
        Self {
            tasks: tasks.collect(),
            stop,
            committed,
        }
    }

    /// Stops them, and decides what was left undecided.
    pub(super) fn stop(self, runtime: &Runtime, port: u16) {
        self.stop.store(true, Ordering::Release);
        runtime.block_on(async {
            for task in self.tasks {
                task.await.unwrap();
            }
            decide_prepared(port).await;
        });
    }
}

/// Commits XA transactions whose writers are gone; their locks stay through crashes of the server.
pub(super) async fn decide_prepared(port: u16) {
    for _ in 0..100 {
        if let Ok(mut conn) = Conn::new(options(port)).await
            && let Ok(prepared) = conn.query::<(i64, i64, i64, String), _>("XA RECOVER").await
        {
            for (.., name) in &prepared {
                let _ = conn.query_drop(format!("XA COMMIT '{name}'")).await;
            }
            if prepared.is_empty() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("XA transactions stay prepared");
}

struct Writer {
    number: u64,
    port: u16,
    distributed: bool,
    seed: u64,
    random: Random,
    said: u64,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
}

impl Writer {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            // The server may be away.
            if let Ok(conn) = Conn::new(options(self.port)).await {
                let _ = self.write(conn).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn write(&mut self, mut conn: Conn) -> mysql_async::Result<()> {
        conn.query_drop("USE shop").await?;
        conn.query_drop("SET SESSION innodb_lock_wait_timeout = 2")
            .await?;
        while !self.stop.load(Ordering::Acquire) {
            match self.random.below(20) {
                0 if self.number == 0 => self.change_schema(&mut conn).await?,
                1 if self.number == 1 => conn.query_drop("TRUNCATE TABLE logs").await?,
                2 | 3 if self.distributed => self.distributed_transaction(&mut conn).await?,
                _ => self.transaction(&mut conn).await?,
            }
            tokio::time::sleep(Duration::from_millis(self.random.below(8))).await;
        }
        conn.disconnect().await
    }

    async fn transaction(&mut self, conn: &mut Conn) -> mysql_async::Result<()> {
        conn.query_drop("BEGIN").await?;
        for _ in 0..1 + self.random.below(6) {
            let statement = self.statement();
            if refused(conn.query_drop(statement).await)? {
                return conn.query_drop("ROLLBACK").await;
            }
        }
        let end = if self.random.below(10) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        conn.query_drop(end).await?;
        self.committed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn distributed_transaction(&mut self, conn: &mut Conn) -> mysql_async::Result<()> {
        self.said += 1;
        let name = format!("x{}-{}-{}", self.seed, self.number, self.said);
        conn.query_drop(format!("XA START '{name}'")).await?;
        let mut failed = false;
        for _ in 0..1 + self.random.below(3) {
            let statement = self.statement();
            failed = failed || refused(conn.query_drop(statement).await)?;
        }
        // After a deadlock the branch can only be rolled back.
        let ended = conn.query_drop(format!("XA END '{name}'")).await;
        let failed = refused(ended)? || failed;
        if !failed {
            conn.query_drop(format!("XA PREPARE '{name}'")).await?;
            tokio::time::sleep(Duration::from_millis(self.random.below(30))).await;
        }
        let end = if failed || self.random.below(3) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        conn.query_drop(format!("XA {end} '{name}'")).await
    }

    async fn change_schema(&mut self, conn: &mut Conn) -> mysql_async::Result<()> {
        let number = self.random.below(4);
        let statement = match self.random.below(3) {
            0 => format!("ALTER TABLE wide DROP COLUMN extra_{number}"),
            1 => format!("ALTER TABLE wide ADD COLUMN extra_{number} INT NOT NULL DEFAULT {number} FIRST"),
            _ => format!("ALTER TABLE wide ADD COLUMN extra_{number} VARCHAR(9) DEFAULT 'd{number}'"),
        };
        // It may be there already, or be gone.
        refused(conn.query_drop(statement).await).map(drop)
    }

    fn statement(&mut self) -> String {
        self.said += 1;
        let note = format!("{}-{}-{}", self.seed, self.number, self.said);
        let table = TABLES[self.random.below(TABLES.len() as u64) as usize];
        let id = self.random.below(KEYS);
        let key = of_key(table, id);
        match self.random.below(10) {
            0..=2 => {
                let columns = columns(table);
                format!(
                    "INSERT IGNORE INTO {table} ({columns}) VALUES ({})",
                    row(table, id, &note)
                )
            }
            3..=6 => format!("UPDATE {table} SET n = n + 1, note = '{note}' WHERE {key}"),
            7 => format!("DELETE FROM {table} WHERE {key}"),
            8 => {
                let to = self.random.below(KEYS);
                let set = match table {
                    "words" => format!("word = 'Wörd {to}'"),
                    "pairs" => format!("a = {}, b = 'b{}'", to % 50, to / 50),
                    _ => format!("id = {to}"),
                };
                format!("UPDATE IGNORE {table} SET {set}, note = '{note}' WHERE {key}")
            }
            _ => {
                let least = self.random.below(KEYS);
                format!(
                    "UPDATE {table} SET note = CONCAT('{note}-', n) WHERE n BETWEEN {least} AND {}",
                    least + 3
                )
            }
        }
    }
}

/// Whether the server refused a statement, which is its right; a lost connection is an error.
fn refused(result: mysql_async::Result<()>) -> mysql_async::Result<bool> {
    match result {
        Ok(()) => Ok(false),
        Err(mysql_async::Error::Server(_)) => Ok(true),
        Err(other) => Err(other),
    }
}
