//! Orders and customers, tables that meet by a column of one; and payments, of which some are written twice, with what tables have of their
//! regions.
//!
//! The oracle has the last row of each key, and knows no questions, answers or epochs. In the end the join must be that of both tables, the largest
//! payments those of all, and each payment must have been published once, with the rate that its region had at its time, and with a label that its
//! region has had: a global table is no part of transactions, so that which of them it is, is open.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::Message;
use serde_json::{Value, json};

use super::{Instance, PARTITIONS, Report, SETTLE, Write, reader};
use crate::random::Random;

pub(super) const ORDERS: &str = "shop-orders";
pub(super) const CUSTOMERS: &str = "shop-customers";
pub(super) const PAYMENTS: &str = "shop-payments";
pub(super) const RATES: &str = "shop-rates";
pub(super) const REGIONS: &str = "shop-regions";
pub(super) const BUYERS: &str = "shop-buyers";
pub(super) const LABELLED: &str = "shop-labelled";
pub(super) const PRICED: &str = "shop-priced";
pub(super) const LARGEST: &str = "shop-largest";

const ALL_ORDERS: u64 = 4_000;
const ALL_CUSTOMERS: u64 = 300;
const PAYERS: u64 = 50;
/// A region's rates are in one partition, and each partition has some.
const ALL_REGIONS: u64 = 3 * PARTITIONS as u64;
/// A payment is at most so late, and its second copy as much later; rows may be 5 s out of order.
const LATE_MS: u64 = 2_000;
const AGAIN_MS: u64 = 2_000;
/// Behind all other rows; they wait for others still.
const END_MS: i64 = 1_000_000_000;
/// How long nothing may come before what was published is taken for all of it.
const QUIET: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
struct Payment {
    payer: u64,
    region: u64,
    paid: i64,
    at: i64,
}

/// What was written.
#[derive(Default)]
pub(super) struct Oracle {
    /// Those that are there: the customer and the amount.
    orders: BTreeMap<u64, (u64, u64)>,
    customers: BTreeMap<u64, String>,
    payments: HashMap<i64, Payment>,
    /// From when on a region had which.
    rates: HashMap<u64, BTreeMap<i64, i64>>,
    /// How many labels a region has had.
    labels: HashMap<u64, u64>,
    records: u64,
}

fn partition_of(number: u64) -> i32 {
    (number % PARTITIONS as u64) as i32
}

impl Oracle {
    fn write(&mut self, write: Write<'_>, topic: &str, partition: i32, row: &Value) {
        self.records += 1;
        write(topic, partition, &row.to_string());
    }

    fn label(&mut self, write: Write<'_>, region: u64) {
        let version = self.labels.entry(region).or_default();
        *version += 1;
        let row = json!({"place": format!("r{region}"), "label": format!("r{region} v{version}")});
        self.write(write, REGIONS, partition_of(region), &row);
    }

    fn rate(&mut self, write: Write<'_>, region: u64, since: i64, rate: i64) {
        self.rates.entry(region).or_default().insert(since, rate);
        let row = json!({"place": format!("r{region}"), "rate": rate, "since": since});
        self.write(write, RATES, partition_of(region), &row);
    }

    fn order(&mut self, write: Write<'_>, random: &mut Random) {
        let order = random.below(ALL_ORDERS);
        // Some ask for customers that are never there.
        let (customer, amount) = (random.below(ALL_CUSTOMERS + 5), random.below(1_000));
        let gone = random.below(10) == 0;
        match gone {
            true => drop(self.orders.remove(&order)),
            false => drop(self.orders.insert(order, (customer, amount))),
        }
        let row =
            json!({"order": order, "customer": format!("c{customer}"), "amount": amount, "cancelled": gone});
        self.write(write, ORDERS, partition_of(order), &row);
    }

    fn customer(&mut self, write: Write<'_>, random: &mut Random) {
        let (customer, name) = (
            random.below(ALL_CUSTOMERS),
            format!("Name {}", random.below(1_000)),
        );
        let gone = random.below(10) == 0;
        match gone {
            true => drop(self.customers.remove(&customer)),
            false => drop(self.customers.insert(customer, name.clone())),
        }
        let row = json!({"id": format!("c{customer}"), "name": name, "closed": gone});
        self.write(write, CUSTOMERS, partition_of(customer), &row);
    }

    fn payment(&mut self, write: Write<'_>, random: &mut Random, id: i64, payment: &Payment) {
        let Payment {
            payer,
            region,
            paid,
            at,
        } = payment;
        let row = json!({
            "payment": id, "payer": format!("p{payer}"), "region": format!("r{region}"), "paid": paid, "at": at,
        });
        self.write(write, PAYMENTS, random.below(PARTITIONS as u64) as i32, &row);
    }
}

/// Writes rows until `pause` says that it is enough, and then those that let event time go beyond all.
pub(super) fn feed(random: &mut Random, write: Write<'_>, pause: &dyn Fn() -> bool) -> Oracle {
    let mut oracle = Oracle::default();
    (0..ALL_REGIONS).for_each(|region| oracle.label(write, region));
    let (mut now, mut id) = (100_000_i64, 0);
    // Payments that are written again, by when.
    let mut again: BTreeMap<(i64, i64), Payment> = BTreeMap::new();
    while !pause() {
        for _ in 0..5 {
            oracle.order(write, random);
            if random.below(4) == 0 {
                oracle.customer(write, random);
            }
        }
        now += random.below(30) as i64;
        if random.below(3) == 0 {
            let (region, rate) = (random.below(ALL_REGIONS), random.below(1_000) as i64);
            oracle.rate(write, region, now, rate);
        }
        if random.below(100) == 0 {
            oracle.label(write, random.below(ALL_REGIONS));
        }
        for _ in 0..3 {
            id += 1;
            let payment = Payment {
                payer: random.below(PAYERS),
                region: random.below(ALL_REGIONS),
                paid: random.below(1_000_000) as i64,
                at: now - random.below(LATE_MS) as i64,
            };
            oracle.payment(write, random, id, &payment);
            if random.below(5) == 0 {
                again.insert((now + random.below(AGAIN_MS) as i64, id), payment.clone());
            }
            oracle.payments.insert(id, payment);
        }
        let later = again.split_off(&(now, 0));
        for ((_, id), payment) in std::mem::replace(&mut again, later) {
            oracle.payment(write, random, id, &payment);
        }
    }
    for partition in 0..PARTITIONS {
        // Of nobody that is asked for, and in each partition.
        let place = 1_000 * PARTITIONS as u64 + partition as u64;
        let rate = json!({"place": format!("r{place}"), "rate": 0, "since": END_MS});
        oracle.write(write, RATES, partition, &rate);
        let payment = json!({
            "payment": -1 - i64::from(partition), "payer": "nobody", "region": "nowhere", "paid": -1, "at": END_MS,
        });
        oracle.write(write, PAYMENTS, partition, &payment);
    }
    oracle
}

/// What must be published.
#[derive(Debug, Default, PartialEq)]
struct Tables {
    buyers: BTreeMap<i64, (u64, Option<String>)>,
    /// By payer and rank: the payment, and what was paid.
    largest: BTreeMap<(String, i64), (i64, i64)>,
}

impl Oracle {
    fn tables(&self) -> Tables {
        let buyers = self.orders.iter().map(|(order, (customer, amount))| {
            let name = self.customers.get(customer).cloned();
            (*order as i64, (*amount, name))
        });
        let mut by_payer: BTreeMap<u64, Vec<(i64, i64)>> = BTreeMap::new();
        for (id, payment) in &self.payments {
            by_payer
                .entry(payment.payer)
                .or_default()
                .push((-payment.paid, *id));
        }
        let mut largest = BTreeMap::new();
        for (payer, mut paid) in by_payer {
            paid.sort_unstable();
            for (rank, (paid, id)) in (1..).zip(paid.into_iter().take(2)) {
                largest.insert((format!("p{payer}"), rank), (id, -paid));
            }
        }
        Tables {
            buyers: buyers.collect(),
            largest,
        }
    }

    /// The rate that a payment's region had at its time.
    fn rate_of(&self, payment: &Payment) -> Option<i64> {
        let rates = self.rates.get(&payment.region)?;
        let (_, rate) = rates.range(..=payment.at).next_back()?;
        Some(*rate)
    }

    /// Whether a payment's region has had this label.
    fn has_label(&self, payment: &Payment, label: &str) -> bool {
        let version = label.strip_prefix(&format!("r{} v", payment.region));
        let version = version.and_then(|version| version.parse::<u64>().ok());
        version.is_some_and(|version| (1..=self.labels[&payment.region]).contains(&version))
    }

    /// Reads what is published until it is the oracle's, and nothing else follows.
    pub(super) fn check(&self, address: &str, seed: u64, instances: &mut [Instance], report: &mut Report) {
        let expected = self.tables();
        report.records = self.records;
        report.counted = (self.payments.len() + expected.buyers.len() + expected.largest.len()) as u64;
        let reader = reader(address, &[BUYERS, LABELLED, PRICED, LARGEST]);
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
            let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("it is JSON");
            let value = record.payload().map(parse);
            match record.topic() {
                LABELLED => found.labelled(self, &value.expect("a payment"), &place),
                PRICED => found.priced(self, &value.expect("a payment"), &place),
                BUYERS => found.buyer(&parse(record.key().unwrap_or_default()), value),
                _ => found.large(&parse(record.key().unwrap_or_default()), value),
            }
        }
        // Whoever starts has read the labels, so that few payments can have come before them.
        assert!(
            found.unlabelled * 10 < self.payments.len(),
            "seed {seed}: {} payments of {} have no label",
            found.unlabelled,
            self.payments.len()
        );
    }
}

/// What was published so far.
#[derive(Default)]
struct Found {
    tables: Tables,
    labelled: HashSet<i64>,
    unlabelled: usize,
    priced: HashSet<i64>,
}

impl Found {
    /// The payment that a row is of, unless it is one of the end.
    fn payment<'a>(oracle: &'a Oracle, row: &Value, place: &str) -> Option<(i64, &'a Payment)> {
        let id = row["payment"].as_i64().expect("a payment");
        if id < 0 {
            return None;
        }
        let payment = oracle.payments.get(&id);
        Some((
            id,
            payment.unwrap_or_else(|| panic!("{place}: nobody wrote payment {id}")),
        ))
    }

    fn labelled(&mut self, oracle: &Oracle, row: &Value, place: &str) {
        let Some((id, payment)) = Self::payment(oracle, row, place) else {
            return;
        };
        assert!(self.labelled.insert(id), "{place}: payment {id} came twice");
        match row["label"].as_str() {
            None => self.unlabelled += 1,
            Some(label) => assert!(
                oracle.has_label(payment, label),
                "{place}: {payment:?} has the label {label}"
            ),
        }
    }

    fn priced(&mut self, oracle: &Oracle, row: &Value, place: &str) {
        let Some((id, payment)) = Self::payment(oracle, row, place) else {
            return;
        };
        assert!(self.priced.insert(id), "{place}: payment {id} came twice");
        let (rate, expected) = (row["rate"].as_i64(), oracle.rate_of(payment));
        assert_eq!(rate, expected, "{place}: the rate of payment {id}, {payment:?}");
    }

    fn buyer(&mut self, key: &Value, row: Option<Value>) {
        let order = key[0].as_i64().expect("an order is a number");
        match row {
            None => drop(self.tables.buyers.remove(&order)),
            Some(row) => {
                let amount = row["amount"].as_u64().expect("an amount");
                let name = row["name"].as_str().map(str::to_owned);
                self.tables.buyers.insert(order, (amount, name));
            }
        }
    }

    fn large(&mut self, key: &Value, row: Option<Value>) {
        let payer = key[0].as_str().expect("a payer");
        if payer == "nobody" {
            return;
        }
        let key = (payer.to_owned(), key[1].as_i64().expect("a rank"));
        let row = row.expect("payments are not taken back");
        let number = |name: &str| row[name].as_i64().expect("a number");
        self.tables
            .largest
            .insert(key, (number("payment"), number("paid")));
    }

    fn is(&self, oracle: &Oracle, expected: &Tables) -> bool {
        self.labelled.len() == oracle.payments.len()
            && self.priced.len() == oracle.payments.len()
            && self.tables == *expected
    }

    fn missing(&self, oracle: &Oracle, expected: &Tables) -> String {
        let (found, missing) = (&self.tables, |ids: &HashSet<i64>| {
            oracle.payments.keys().copied().find(|id| !ids.contains(id))
        });
        let orders = expected.buyers.keys().chain(found.buyers.keys());
        let mut orders = orders.filter(|order| found.buyers.get(order) != expected.buyers.get(order));
        let ranks = expected.largest.keys().chain(found.largest.keys());
        let mut ranks = ranks.filter(|rank| found.largest.get(rank) != expected.largest.get(rank));
        let order = orders.next();
        let rank = ranks.next();
        format!(
            "of {} payments {} are labelled and {} priced, of {} orders {} are there; of each, one is wrong: {:?} {:?}, order {order:?} {:?} instead \
             of {:?}, {rank:?} {:?} instead of {:?}",
            oracle.payments.len(),
            self.labelled.len(),
            self.priced.len(),
            expected.buyers.len(),
            found.buyers.len(),
            missing(&self.labelled),
            missing(&self.priced),
            order.map(|order| found.buyers.get(order)),
            order.map(|order| expected.buyers.get(order)),
            rank.map(|rank| found.largest.get(rank)),
            rank.map(|rank| expected.largest.get(rank)),
        )
    }
}
