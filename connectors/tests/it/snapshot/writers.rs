//! Writers that never rest.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_connectors::mysql::client::Client;
use tokio::task::JoinHandle;

use crate::servers::Server;

pub const TABLES: [&str; 5] = [
    "CREATE TABLE snap.numbers (id BIGINT PRIMARY KEY, n INT, s VARCHAR(40))",
    "CREATE TABLE snap.texts (k VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY, n INT, s VARCHAR(40))",
    "CREATE TABLE snap.pairs (a DECIMAL(10,2), b VARCHAR(10) CHARACTER SET utf8, n INT, s VARCHAR(40), PRIMARY KEY (b, a))",
    "CREATE TABLE snap.bytes (k BINARY(3) PRIMARY KEY, n INT, s VARCHAR(40))",
    "CREATE TABLE snap.keyless (n INT, s VARCHAR(40))",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A table, the condition for one of its rows, and the values of such a key.
fn row(random: &mut Random) -> (&'static str, String, String) {
    let number = random.below(600);
    match random.below(5) {
        0 => {
            let id = number as i64 * if random.below(2) == 0 { 1 } else { 1_000_003 };
            ("numbers", format!("id={id}"), format!("{id}"))
        }
        1 => {
            let text =
                ["strasse", "Straße", "ärger", "a", "Z'"][random.below(5) as usize].replace('\'', "''");
            let key = format!("'{text}{number}'");
            ("texts", format!("k={key}"), key)
        }
        2 => {
            let (a, b) = (
                format!("{}.50", number as i64 - 300),
                ["x", "Y", "z z"][random.below(3) as usize],
            );
            ("pairs", format!("a={a} AND b='{b}'"), format!("{a}, '{b}'"))
        }
        3 => {
            let key = format!("X'{:02X}{:02X}00'", number % 40, number % 7);
            ("bytes", format!("k={key}"), key)
        }
        _ => ("keyless", format!("n={}", number % 50), String::new()),
    }
}

fn columns(table: &str) -> &'static str {
    match table {
        "numbers" => "id",
        "pairs" => "a, b",
        _ => "k",
    }
}

fn statement(random: &mut Random) -> String {
    let (table, condition, key) = row(random);
    let (n, s) = (random.below(1000), format!("s{}", random.below(1000)));
    if table == "keyless" {
        return match random.below(3) {
            0 => format!("DELETE FROM snap.keyless WHERE {condition} LIMIT 1"),
            _ => format!("INSERT INTO snap.keyless VALUES ({}, '{s}')", n % 50),
        };
    }
    match random.below(8) {
        0 | 1 => format!(
            "INSERT INTO snap.{table} ({}, n, s) VALUES ({key}, {n}, '{s}')",
            columns(table)
        ),
        2 => format!("DELETE FROM snap.{table} WHERE {condition}"),
        3 => {
            // Another key, of the same table.
            let other = loop {
                let (of, _, other) = row(random);
                if of == table {
                    break other;
                }
            };
            let sets: Vec<String> = columns(table)
                .split(", ")
                .zip(other.split(", "))
                .map(|(column, value)| format!("{column}={value}"))
                .collect();
            format!("UPDATE snap.{table} SET {} WHERE {condition}", sets.join(", "))
        }
        4 => format!("UPDATE snap.{table} SET n={n} WHERE {condition}"),
        5 => format!("UPDATE snap.{table} SET n=n+1 WHERE n<{}", random.below(20)),
        _ => format!("UPDATE snap.{table} SET n={n}, s='{s}' WHERE {condition}"),
    }
}

/// Rows that are there before anybody looks.
pub async fn fill(client: &mut Client, rows: usize) {
    let mut random = Random(1);
    client.execute("BEGIN").await.unwrap();
    for _ in 0..rows * 5 {
        let (table, _, key) = row(&mut random);
        let (n, s) = (random.below(1000), random.below(1000));
        let statement = match table {
            "keyless" => format!("INSERT INTO snap.keyless VALUES ({}, 's{s}')", n % 50),
            _ => format!(
                "INSERT IGNORE INTO snap.{table} ({}, n, s) VALUES ({key}, {n}, 's{s}')",
                columns(table)
            ),
        };
        client.execute(&statement).await.unwrap();
    }
    client.execute("COMMIT").await.unwrap();
}

pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Writers {
    pub async fn start(server: &'static Server, count: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for writer in 0..count {
            let mut client = server.root().await;
            // Some write minimal images, and some are slow to commit.
            if writer % 4 == 1 {
                client
                    .execute("SET SESSION binlog_row_image=MINIMAL")
                    .await
                    .unwrap();
            }
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move { write(client, writer, &stop).await }));
        }
        Self { stop, tasks }
    }

    /// How many transactions they committed.
    pub async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut written = 0;
        for task in self.tasks {
            written += task.await.unwrap();
        }
        written
    }
}

async fn write(mut client: Client, writer: u64, stop: &AtomicBool) -> usize {
    let mut random = Random(1000 + writer);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        client.execute("BEGIN").await.unwrap();
        let mut good = true;
        for _ in 0..1 + random.below(3) {
            // Keys that are there already, deadlocks, locks that others hold.
            good &= client.execute(&statement(&mut random)).await.is_ok();
        }
        let end = if good && random.below(10) > 0 {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        written += usize::from(end == "COMMIT");
        client.execute(end).await.unwrap();
        // The test is of races, not of how much two cores can write.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    written
}
