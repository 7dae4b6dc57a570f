//! Those who write to the server: many at once, in transactions of every kind.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::random::Random;

/// Tables that are written to. Each write says something that was never said before, in `note`.
pub(super) const TABLES: [&str; 5] = ["items", "words", "pairs", "wide", "logs"];
/// Those, one with two unique indexes, and one of many types.
pub(super) const TABLES_OF_SINK: [&str; 7] = ["items", "words", "pairs", "wide", "logs", "mails", "kinds"];
pub(super) const WRITERS: u64 = 8;
/// The most columns that are added while a connector runs.
const ADDED_MAX: u64 = 40;
/// Keys that are fought over.
const KEYS: u64 = 4000;

/// Who writes, until [`Writers::stop`].
pub(super) struct Writers {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    decisions: Decisions,
    /// Transactions that were committed.
    pub(super) committed: Arc<AtomicU64>,
}

/// What the manager of the XA transactions knows of them: the names of those that are to be committed, from when their PREPARE was acknowledged. All
/// others are rolled back ("presumed abort").
///
/// It stands by what it has said, because servers log XA COMMIT and XA ROLLBACK before their engines know of it: where a server dies in between, the
/// transaction is prepared still, and another decision now is not what a replica did. MariaDB 10.11 does not mend that itself (MDEV-21469).
#[derive(Clone, Default)]
pub(super) struct Decisions(Arc<Mutex<HashSet<String>>>);

impl Decisions {
    fn commit(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned());
    }

    fn of(&self, name: &str) -> &'static str {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            "COMMIT"
        } else {
            "ROLLBACK"
        }
    }
}

pub(super) fn options(port: u16) -> Opts {
    let builder = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port);
    builder.user(Some("root")).prefer_socket(false).into()
}

/// The statement that makes a table.
pub(super) fn definition(table: &str) -> String {
    let columns = match table {
        "words" => "word VARCHAR(40) PRIMARY KEY, n INT NOT NULL, note VARCHAR(100)",
        "pairs" => "b VARCHAR(20), n INT NOT NULL, a INT, note VARCHAR(100), PRIMARY KEY (a, b)",
        "wide" => "id INT UNSIGNED PRIMARY KEY, n INT NOT NULL, note VARCHAR(100)",
        "mails" => {
            "id BIGINT PRIMARY KEY, mail VARCHAR(40) NOT NULL UNIQUE, n INT NOT NULL, note VARCHAR(100)"
        }
        "kinds" => {
            "id BIGINT PRIMARY KEY, n INT NOT NULL, note VARCHAR(100), price DECIMAL(12,3), ratio DOUBLE, small FLOAT, day DATE, \
             at DATETIME(6), moment TIMESTAMP(3) NULL, clock TIME(3), born YEAR, flag TINYINT(1), bits BIT(12), \
             kind ENUM('a', 'ü', 'it''s'), many SET('x', 'y', 'z'), data VARBINARY(40), page TEXT, big BIGINT UNSIGNED"
        }
        _ => "id BIGINT PRIMARY KEY, n INT NOT NULL, note VARCHAR(100)",
    };
    format!("CREATE TABLE {table} ({columns})")
}

/// Makes the tables and what is in them at first, of each so many rows.
pub(super) async fn prepare(port: u16, tables: &[&str], rows: u64) -> mysql_async::Result<()> {
    let mut conn = Conn::new(options(port)).await?;
    conn.query_drop("CREATE DATABASE IF NOT EXISTS shop DEFAULT CHARACTER SET utf8mb4")
        .await?;
    conn.query_drop("USE shop").await?;
    for table in tables {
        conn.query_drop(format!("DROP TABLE IF EXISTS {table}")).await?;
        conn.query_drop(definition(table)).await?;
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
        "mails" => "id, mail, n, note",
        "kinds" => {
            "id, n, note, price, ratio, small, day, at, moment, clock, born, flag, bits, kind, many, data, page, big"
        }
        _ => "id, n, note",
    }
}

fn row(table: &str, id: u64, note: &str) -> String {
    match table {
        "words" => format!("'Wörd {id}', {id}, '{note}'"),
        "pairs" => format!("{}, 'b{}', {id}, '{note}'", id % 50, id / 50),
        "mails" => format!("{id}, 'm{id}', {id}, '{note}'"),
        "kinds" => format!(
            "{id}, {id}, '{note}', {id} * 1.375 - 100, {id} / 7, {id} / 3, '2023-12-31' + INTERVAL {id} DAY, \
             '2024-02-29 12:34:56.789012' + INTERVAL {id} SECOND, '2024-02-29 12:34:56.789' + INTERVAL {id} SECOND, \
             SEC_TO_TIME({id} * 100.125 - 200000), {}, {id} % 2, {id} % 4096, {id} % 3 + 1, {id} % 8, UNHEX(SHA2({id}, 256)), \
             REPEAT('ä''\\\\', {id} % 50), 18446744073709551615 - {id}",
            1970 + id % 100
        ),
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

/// What is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) tables: &'static [&'static str],
    pub(super) seed: u64,
    /// Whether the server forgets prepared transactions where it is killed, and may not start again if that was in a TRUNCATE ("space header page
    /// consists of zero bytes"), as MySQL 5.6.
    pub(super) old: bool,
    pub(super) columns: Columns,
}

/// What becomes of a table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// They come, go, and come back as others.
    ComeAndGo,
    /// They come.
    Come,
    /// They stay.
    Stay,
}

impl Writers {
    /// Starts them.
    pub(super) fn start(runtime: &Runtime, port: u16, load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let decisions = Decisions::default();
        let tasks = (0..WRITERS).map(|number| {
            let writer = Writer {
                number,
                port,
                load,
                random: Random::new(load.seed.wrapping_mul(1_000_003).wrapping_add(number)),
                said: 0,
                added: 0,
                stop: Arc::clone(&stop),
                committed: Arc::clone(&committed),
                decisions: decisions.clone(),
            };
            runtime.spawn(writer.run())
        });
        Self {
            tasks: tasks.collect(),
            stop,
            committed,
            decisions,
        }
    }

    /// Stops them, and decides what was left undecided.
    pub(super) fn stop(self, runtime: &Runtime, port: u16) {
        self.stop.store(true, Ordering::Release);
        runtime.block_on(async {
            for task in self.tasks {
                task.await.unwrap();
            }
            decide_prepared(port, &self.decisions).await;
        });
    }

    /// Ends the XA transactions whose writers are gone, as was decided.
    pub(super) fn decide_prepared(&self, runtime: &Runtime, port: u16) {
        runtime.block_on(decide_prepared(port, &self.decisions));
    }
}

/// Their locks stay through crashes of the server.
async fn decide_prepared(port: u16, decisions: &Decisions) {
    for _ in 0..100 {
        if let Ok(mut conn) = Conn::new(options(port)).await
            && let Ok(prepared) = conn.query::<(i64, i64, i64, String), _>("XA RECOVER").await
        {
            for (.., name) in &prepared {
                let end = decisions.of(name);
                let _ = conn.query_drop(format!("XA {end} '{name}'")).await;
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
    load: Load,
    random: Random,
    said: u64,
    /// Columns that were added.
    added: u64,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    decisions: Decisions,
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
                0 if self.number == 0 => match self.load.columns {
                    Columns::ComeAndGo => self.change_schema(&mut conn).await?,
                    Columns::Come => self.add_column(&mut conn).await?,
                    Columns::Stay => self.transaction(&mut conn).await?,
                },
                1 if self.number == 1 && !self.load.old => conn.query_drop("TRUNCATE TABLE logs").await?,
                1 if self.number == 1 => drop(refused(conn.query_drop("DELETE FROM logs").await)?),
                2 | 3 if !self.load.old => self.distributed_transaction(&mut conn).await?,
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
        let name = format!("x{}-{}-{}", self.load.seed, self.number, self.said);
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
            self.decisions.commit(&name);
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

    /// Adds a column of a name that never was, with what it has in rows that are there, and sets it in some rows.
    async fn add_column(&mut self, conn: &mut Conn) -> mysql_async::Result<()> {
        if self.added == ADDED_MAX || self.random.below(4) != 0 {
            return Ok(());
        }
        self.added += 1;
        let name = format!("extra_{}", self.added);
        let (declared, value) = match self.random.below(5) {
            0 => ("INT NOT NULL DEFAULT 7 FIRST", "id * 3"),
            1 => ("VARCHAR(30) DEFAULT 'it''s'", "NULL"),
            2 => ("DECIMAL(8,2) NULL AFTER n", "id / 4"),
            3 => (
                "DATETIME(3) NOT NULL DEFAULT '2024-01-02 03:04:05.678'",
                "'2020-02-29 23:59:59.999'",
            ),
            _ => ("ENUM('u', 'v') NOT NULL DEFAULT 'v'", "'u'"),
        };
        let add = format!("ALTER TABLE wide ADD COLUMN {name} {declared}");
        if refused(conn.query_drop(add).await)? {
            return Ok(());
        }
        let least = self.random.below(KEYS);
        let set = format!(
            "UPDATE wide SET {name} = {value} WHERE id BETWEEN {least} AND {}",
            least + 20
        );
        refused(conn.query_drop(set).await).map(drop)
    }

    fn statement(&mut self) -> String {
        self.said += 1;
        let note = format!("{}-{}-{}", self.load.seed, self.number, self.said);
        let tables = self.load.tables;
        let table = tables[self.random.below(tables.len() as u64) as usize];
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
            // No minus zero: JsonConverter does not know it, Kafka's neither.
            3..=4 if table == "kinds" => format!(
                "UPDATE kinds SET n = n + 1, note = '{note}', price = price + 0.125, ratio = -ratio * 1.1 - 1, small = n / 11, moment = NULL, \
                 clock = SEC_TO_TIME(-n), kind = 'ü', many = n % 8, data = UNHEX(SHA2(n, 256)), page = NULL WHERE {key}"
            ),
            3..=6 => format!("UPDATE {table} SET n = n + 1, note = '{note}' WHERE {key}"),
            7 => format!("DELETE FROM {table} WHERE {key}"),
            8 => {
                let to = self.random.below(KEYS);
                let set = match table {
                    "words" => format!("word = 'Wörd {to}'"),
                    "pairs" => format!("a = {}, b = 'b{}'", to % 50, to / 50),
                    "mails" if self.random.below(2) == 0 => format!("mail = 'm{to}'"),
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
pub(super) fn refused(result: mysql_async::Result<()>) -> mysql_async::Result<bool> {
    match result {
        Ok(()) => Ok(false),
        Err(mysql_async::Error::Server(_)) => Ok(true),
        Err(other) => Err(other),
    }
}
