//! Those who buy: customers and orders of the example `revenue`, changed by many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::writers::{WRITERS, options, refused};
use crate::random::Random;

/// Keys that are fought over; some customers that orders name are not there.
const CUSTOMERS: u64 = 60;
const ORDERS: u64 = 2000;
const CITIES: [&str; 6] = ["Bergen", "Lagos", "Lima", "New York", "Osaka", "Łódź"];
/// Orders at first.
const FIRST: u64 = 1500;

/// What each customer brought in, and each city, as the source's own tables say it: a text for each row.
pub(super) const PER_CUSTOMER: &str = "SELECT CONCAT_WS('|', c.id, c.name, COUNT(o.id), CAST(COALESCE(SUM(o.amount), 0) AS DECIMAL(20,2))) \
     FROM shop.customers c LEFT JOIN shop.orders o ON o.customer = c.id GROUP BY c.id, c.name ORDER BY c.id";
pub(super) const PER_CITY: &str = "SELECT CONCAT_WS('|', c.city, COUNT(*), CAST(SUM(o.amount) AS DECIMAL(20,2))) \
     FROM shop.orders o JOIN shop.customers c ON o.customer = c.id GROUP BY c.city ORDER BY CAST(c.city AS BINARY)";
/// The same as the target has it.
pub(super) const COPY_PER_CUSTOMER: &str = "SELECT CONCAT_WS('|', customer, name, orders, revenue) FROM reports.revenue_per_customer ORDER BY customer";
pub(super) const COPY_PER_CITY: &str = "SELECT CONCAT_WS('|', city, orders, revenue) FROM reports.revenue_per_city ORDER BY CAST(city AS BINARY)";

/// Runs the statements of a file of the example, but for one that only some servers know, and do not need.
pub(super) async fn run_file(port: u16, text: &str) -> mysql_async::Result<()> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut conn = Conn::new(options(port)).await?;
    for statement in text.split(';').map(str::trim) {
        if !statement.is_empty() && !statement.starts_with("SET PERSIST") {
            conn.query_drop(statement).await?;
        }
    }
    conn.disconnect().await
}

/// Fills the tables.
pub(super) async fn fill(port: u16, random: &mut Random) -> mysql_async::Result<()> {
    let mut conn = Conn::new(options(port)).await?;
    conn.query_drop("USE shop").await?;
    for customer in 0..CUSTOMERS * 2 / 3 {
        let city = CITIES[random.below(CITIES.len() as u64) as usize];
        conn.query_drop(format!(
            "INSERT IGNORE INTO customers VALUES ({customer}, 'first {customer}', '{city}')"
        ))
        .await?;
    }
    let orders: Vec<String> = (0..FIRST)
        .map(|_| {
            let (id, customer) = (1 + random.below(ORDERS), random.below(CUSTOMERS));
            format!("({id}, {customer}, {})", cents(random))
        })
        .collect();
    conn.query_drop(format!(
        "INSERT IGNORE INTO orders (id, customer, amount) VALUES {}",
        orders.join(",")
    ))
    .await?;
    conn.disconnect().await
}

fn cents(random: &mut Random) -> String {
    // Something may be given back.
    format!(
        "{}{}.{:02}",
        if random.below(20) == 0 { "-" } else { "" },
        random.below(10_000),
        random.below(100)
    )
}

/// Who buys, until [`Buyers::stop`].
pub(super) struct Buyers {
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
}

impl Buyers {
    /// Starts them.
    pub(super) fn start(runtime: &Runtime, port: u16, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let tasks = (0..WRITERS).map(|number| {
            let buyer = Buyer {
                name: format!("{seed}-{number}"),
                port,
                random: Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number)),
                stop: Arc::clone(&stop),
                committed: Arc::clone(&committed),
            };
            runtime.spawn(buyer.run())
        });
        Self {
            tasks: tasks.collect(),
            stop,
            committed,
        }
    }

    /// Stops them, and gives how many transactions they committed.
    pub(super) fn stop(self, runtime: &Runtime) -> u64 {
        self.stop.store(true, Ordering::Release);
        for task in self.tasks {
            runtime.block_on(task).unwrap();
        }
        self.committed.load(Ordering::Relaxed)
    }
}

struct Buyer {
    name: String,
    port: u16,
    random: Random,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
}

impl Buyer {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            // The server may be away.
            if let Ok(conn) = Conn::new(options(self.port)).await {
                let _ = self.buy(conn).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn buy(&mut self, mut conn: Conn) -> mysql_async::Result<()> {
        conn.query_drop("USE shop").await?;
        conn.query_drop("SET SESSION innodb_lock_wait_timeout = 2")
            .await?;
        while !self.stop.load(Ordering::Acquire) {
            self.transaction(&mut conn).await?;
            tokio::time::sleep(Duration::from_millis(self.random.below(20))).await;
        }
        conn.disconnect().await
    }

    async fn transaction(&mut self, conn: &mut Conn) -> mysql_async::Result<()> {
        conn.query_drop("BEGIN").await?;
        for _ in 0..1 + self.random.below(5) {
            let statement = match self.random.below(6) {
                0 => self.customer(),
                _ => self.order(),
            };
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

    fn order(&mut self) -> String {
        let (id, amount) = (1 + self.random.below(ORDERS), cents(&mut self.random));
        let customer = match self.random.below(20) {
            0 => "NULL".to_owned(),
            _ => self.random.below(CUSTOMERS).to_string(),
        };
        match self.random.below(10) {
            0..=3 => format!("INSERT IGNORE INTO orders VALUES ({id}, {customer}, {amount})"),
            4 | 5 => format!("UPDATE orders SET amount = {amount} WHERE id = {id}"),
            6 => format!("UPDATE orders SET customer = {customer} WHERE id = {id}"),
            7 => format!("DELETE FROM orders WHERE id = {id}"),
            8 => {
                let to = 1 + self.random.below(ORDERS);
                format!("UPDATE IGNORE orders SET id = {to}, customer = {customer} WHERE id = {id}")
            }
            _ => format!("UPDATE orders SET amount = amount + 0.01 WHERE customer = {customer}"),
        }
    }

    fn customer(&mut self) -> String {
        let id = self.random.below(CUSTOMERS);
        let city = CITIES[self.random.below(CITIES.len() as u64) as usize];
        match self.random.below(6) {
            0 | 1 => {
                let name = &self.name;
                format!("INSERT IGNORE INTO customers VALUES ({id}, 'it''s {name}', '{city}')")
            }
            2 => format!("UPDATE customers SET city = '{city}' WHERE id = {id}"),
            3 => format!(
                "UPDATE customers SET name = '{} {}' WHERE id = {id}",
                self.name,
                self.random.below(1000)
            ),
            4 => format!("DELETE FROM customers WHERE id = {id}"),
            _ => {
                let to = self.random.below(CUSTOMERS);
                format!("UPDATE IGNORE customers SET id = {to}, city = '{city}' WHERE id = {id}")
            }
        }
    }
}
