//! Orders and payments, which belong together if they are near each other in their own time.
//!
//! A row is late if the watermark of its partition had passed its time and grace before it: that follows from the partition alone, so the
//! oracle knows which rows are in time, and by nested loops which of them belong together. Each pair must be published once, each order that
//! nobody paid in time once and never with a payment, each late row once, and the last sums of each customer must be those of all that. So must be the
//! sessions of each customer, each once: what belongs together is as near each other as the session's gap, by the times of what the join gave.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::Message;
use serde_json::Value;

use super::views::millis;
use super::{Instance, PARTITIONS, Report, SETTLE, Write, reader};
use crate::random::Random;

pub(super) const ORDERS: &str = "orders";
pub(super) const PAYMENTS: &str = "payments";
pub(super) const PAID: &str = "paid-orders";
pub(super) const LATE_ORDERS: &str = "late-orders";
pub(super) const LATE_PAYMENTS: &str = "late-payments";
pub(super) const CUSTOMERS: &str = "customers";
pub(super) const SESSIONS: &str = "sessions";

const BEFORE_MS: i64 = 5_000;
const AFTER_MS: i64 = 20_000;
const GRACE_MS: i64 = 3_000;
const OUT_OF_ORDERNESS_MS: i64 = 2_000;
const GAP_MS: i64 = 300;
const BUYERS: u64 = 30;
/// Behind all other rows; they wait for others still.
const END_MS: i64 = 1_000_000_000;
/// How long nothing may come before what was published is taken for all of it.
const QUIET: Duration = Duration::from_secs(3);

struct Order {
    customer: String,
    at: i64,
}

struct Payment {
    of: i64,
    paid: i64,
    at: i64,
}

/// What a customer ordered, how often that was paid, and what.
type Sums = (i64, i64, i64);

/// A customer, and the times of a session's first row and behind its last.
type Session = (String, i64, i64);
/// How many rows it has, and what was paid in it.
type Activity = (i64, i64);

/// What was written.
#[derive(Default)]
pub(super) struct Oracle {
    orders: HashMap<i64, Order>,
    payments: HashMap<i64, Payment>,
    late_orders: HashSet<i64>,
    late_payments: HashSet<i64>,
    records: u64,
    /// The latest time of each partition.
    latest: BTreeMap<(&'static str, i32), i64>,
}

impl Oracle {
    /// A row came; says whether it is in time.
    fn is_in_time(&mut self, topic: &'static str, partition: i32, at: i64) -> bool {
        let latest = self.latest.entry((topic, partition)).or_insert(i64::MIN / 2);
        let in_time = *latest - OUT_OF_ORDERNESS_MS <= at + GRACE_MS;
        *latest = at.max(*latest);
        self.records += 1;
        in_time
    }

    fn order(&mut self, write: Write<'_>, partition: i32, id: i64, order: Order) {
        let Order { customer, at } = &order;
        let row = format!(r#"{{"order":{id},"customer":"{customer}","at":{at}}}"#);
        write(ORDERS, partition, &row);
        match self.is_in_time(ORDERS, partition, order.at) {
            true => drop(self.orders.insert(id, order)),
            false => drop(self.late_orders.insert(id)),
        }
    }

    fn payment(&mut self, write: Write<'_>, partition: i32, id: i64, payment: Payment) {
        let Payment { of, paid, at } = &payment;
        let row = format!(r#"{{"payment":{id},"of":{of},"paid":{paid},"paid_at":{at}}}"#);
        write(PAYMENTS, partition, &row);
        match self.is_in_time(PAYMENTS, partition, payment.at) {
            true => drop(self.payments.insert(id, payment)),
            false => drop(self.late_payments.insert(id)),
        }
    }
}

/// Writes orders and payments until `pause` says that it is enough, and then one in each partition that lets event time go beyond all.
pub(super) fn feed(random: &mut Random, write: Write<'_>, pause: &dyn Fn() -> bool) -> Oracle {
    let mut oracle = Oracle::default();
    let (mut now, mut id) = (100_000, 0);
    let partition = |random: &mut Random| random.below(PARTITIONS as u64) as i32;
    let some = |random: &mut Random, below: i64| random.below(below as u64) as i64;
    // By when they are written.
    let mut due: BTreeMap<(i64, i64), Payment> = BTreeMap::new();
    while !pause() {
        for _ in 0..10 {
            now += some(random, 8);
            let delay = match random.below(50) {
                0 => some(random, 12_000),
                _ => some(random, 2_500),
            };
            id += 1;
            let (order, at) = (id, now - delay);
            let customer = format!("c{}", random.below(BUYERS));
            for _ in 0..[0, 1, 1, 1, 2, 3][random.below(6) as usize] {
                id += 1;
                let payment = Payment {
                    of: order,
                    paid: some(random, 1_000),
                    at: at - BEFORE_MS - 500 + some(random, BEFORE_MS + AFTER_MS + 1_500),
                };
                let delay = match random.below(50) {
                    0 => some(random, 12_000),
                    _ => some(random, 2_500),
                };
                due.insert((payment.at + delay, id), payment);
            }
            let to = partition(random);
            oracle.order(write, to, order, Order { customer, at });
        }
        let later = due.split_off(&(now + 1, 0));
        for ((_, id), payment) in std::mem::replace(&mut due, later) {
            oracle.payment(write, partition(random), id, payment);
        }
    }
    for partition in 0..PARTITIONS {
        id += 2;
        let (customer, at) = ("nobody".to_owned(), END_MS);
        oracle.order(write, partition, id, Order { customer, at });
        let (of, paid) = (-1, 0);
        oracle.payment(write, partition, id + 1, Payment { of, paid, at });
    }
    oracle
}

/// What must be published.
struct Expected {
    pairs: HashSet<(i64, i64)>,
    alone: HashSet<i64>,
    customers: BTreeMap<String, Sums>,
    sessions: BTreeMap<Session, Activity>,
}

/// Each customer's rows, times with what was paid, in sessions.
fn sessions(rows: BTreeMap<String, Vec<(i64, i64)>>) -> BTreeMap<Session, Activity> {
    let mut sessions = BTreeMap::new();
    for (customer, mut rows) in rows {
        rows.sort_unstable();
        for session in rows.chunk_by(|row, next| next.0 - row.0 <= GAP_MS) {
            let (first, last) = (session[0].0, session[session.len() - 1].0);
            let paid = session.iter().map(|(_, paid)| paid).sum();
            let activity = (session.len() as i64, paid);
            sessions.insert((customer.clone(), first, last + 1), activity);
        }
    }
    sessions
}

impl Oracle {
    fn expected(&self) -> Expected {
        let mut customers: BTreeMap<String, Sums> = BTreeMap::new();
        let mut rows: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        let mut alone: HashSet<i64> = HashSet::new();
        for (id, order) in self.orders.iter().filter(|(_, order)| order.at < END_MS) {
            alone.insert(*id);
            customers.entry(order.customer.clone()).or_default().0 += 1;
        }
        let mut pairs = HashSet::new();
        for (id, payment) in &self.payments {
            let Some(order) = self.orders.get(&payment.of) else {
                continue;
            };
            if (order.at - BEFORE_MS..=order.at + AFTER_MS).contains(&payment.at) {
                pairs.insert((payment.of, *id));
                alone.remove(&payment.of);
                let sums = customers.entry(order.customer.clone()).or_default();
                *sums = (sums.0, sums.1 + 1, sums.2 + payment.paid);
                let of = rows.entry(order.customer.clone()).or_default();
                of.push((order.at.max(payment.at), payment.paid));
            }
        }
        for id in &alone {
            let Order { customer, at } = &self.orders[id];
            rows.entry(customer.clone()).or_default().push((*at, 0));
        }
        Expected {
            pairs,
            alone,
            customers,
            sessions: sessions(rows),
        }
    }

    /// Reads what is published until it is the oracle's, and nothing else follows.
    pub(super) fn check(&self, address: &str, seed: u64, instances: &mut [Instance], report: &mut Report) {
        let expected = self.expected();
        report.records = self.records;
        report.counted = (expected.pairs.len() + expected.alone.len() + expected.sessions.len()) as u64;
        assert!(
            !expected.sessions.is_empty(),
            "seed {seed}: there are no sessions"
        );
        report.late = (self.late_orders.len() + self.late_payments.len()) as u64;
        let reader = reader(address, &[PAID, LATE_ORDERS, LATE_PAYMENTS, CUSTOMERS, SESSIONS]);
        let mut found = Found::default();
        let mut came = Instant::now();
        while !found.is(self, &expected) || came.elapsed() < QUIET {
            let Some(record) = reader.poll(Duration::from_millis(200)) else {
                assert!(
                    came.elapsed() < SETTLE,
                    "seed {seed}: not all came: {}",
                    found.missing(self, &expected)
                );
                instances.iter_mut().for_each(|instance| instance.must_run(seed));
                continue;
            };
            let Ok(record) = record else { continue };
            came = Instant::now();
            report.published += 1;
            let place = format!(
                "seed {seed}, {}-{} at {}",
                record.topic(),
                record.partition(),
                record.offset()
            );
            let value: Value =
                serde_json::from_slice(record.payload().unwrap_or_default()).expect("the value is JSON");
            match record.topic() {
                PAID => found.row(&value, &expected, &place),
                LATE_ORDERS => found.late(0, &value["order"], &self.late_orders, &place),
                LATE_PAYMENTS => found.late(1, &value["payment"], &self.late_payments, &place),
                SESSIONS => found.session(record.key().unwrap_or_default(), &value, &expected, &place),
                _ => {
                    let key = std::str::from_utf8(record.key().unwrap_or_default()).expect("a customer");
                    let sum = |name: &str| value[name].as_i64().unwrap_or(0);
                    let sums = (sum("orders"), sum("payments"), sum("paid"));
                    found.customers.insert(key.to_owned(), sums);
                }
            }
        }
    }
}

/// What was published so far.
#[derive(Default)]
struct Found {
    pairs: HashSet<(i64, i64)>,
    alone: HashSet<i64>,
    late: [BTreeSet<i64>; 2],
    customers: BTreeMap<String, Sums>,
    sessions: BTreeSet<Session>,
}

impl Found {
    fn row(&mut self, row: &Value, expected: &Expected, place: &str) {
        let order = row["order"].as_i64().expect("an order");
        let Some(payment) = row["payment"].as_i64() else {
            assert!(
                expected.alone.contains(&order),
                "{place}: order {order} is paid, or late"
            );
            assert!(self.alone.insert(order), "{place}: order {order} came twice");
            return;
        };
        let pair = (order, payment);
        assert!(expected.pairs.contains(&pair), "{place}: {pair:?} is no pair");
        assert!(self.pairs.insert(pair), "{place}: {pair:?} came twice");
    }

    fn late(&mut self, side: usize, id: &Value, late: &HashSet<i64>, place: &str) {
        let id = id.as_i64().expect("a number");
        assert!(late.contains(&id), "{place}: {id} is not late");
        assert!(self.late[side].insert(id), "{place}: {id} came twice");
    }

    fn session(&mut self, key: &[u8], value: &Value, expected: &Expected, place: &str) {
        let key: Value = serde_json::from_slice(key).expect("the key is JSON");
        let text = |place: usize| key[place].as_str().expect("a text");
        let session = (text(0).to_owned(), millis(text(1)), millis(text(2)));
        let number = |name: &str| value[name].as_i64().unwrap_or(0);
        let activity = (number("rows"), number("paid"));
        let right = expected.sessions.get(&session);
        assert_eq!(right, Some(&activity), "{place}: the session {session:?}");
        assert!(self.sessions.insert(session), "{place}: {key} came twice");
    }

    fn is(&self, oracle: &Oracle, expected: &Expected) -> bool {
        self.pairs.len() == expected.pairs.len()
            && self.alone.len() == expected.alone.len()
            && self.late[0].len() == oracle.late_orders.len()
            && self.late[1].len() == oracle.late_payments.len()
            && self.customers == expected.customers
            && self.sessions.len() == expected.sessions.len()
    }

    fn missing(&self, oracle: &Oracle, expected: &Expected) -> String {
        let differ = |(customer, sums): &(&String, &Sums)| self.customers.get(*customer) != Some(*sums);
        format!(
            "{} pairs of {}, {} unpaid orders of {}, {} and {} late rows of {} and {}, {} sessions of {}; of each, and of the sums, one is missing: \
             {:?} {:?} {:?} {:?}",
            self.pairs.len(),
            expected.pairs.len(),
            self.alone.len(),
            expected.alone.len(),
            self.late[0].len(),
            self.late[1].len(),
            oracle.late_orders.len(),
            oracle.late_payments.len(),
            self.sessions.len(),
            expected.sessions.len(),
            expected.pairs.difference(&self.pairs).next(),
            expected.alone.difference(&self.alone).next(),
            expected.customers.iter().find(differ),
            expected
                .sessions
                .keys()
                .find(|session| !self.sessions.contains(*session)),
        )
    }
}
