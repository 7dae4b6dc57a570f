//! Changes of a database's table, through a cluster.
use std::collections::BTreeMap;

use millstream_streams::{
    DataType, Field, Guarantee, Schema, Streams, col, count_all, dead_letter, debezium_json, json, sum,
};

use crate::client::{Cluster, PATIENCE};

/// A database that writes its changes as Debezium does.
#[derive(Default)]
struct Database {
    /// The customer and the amount of each order.
    orders: BTreeMap<i64, (usize, i64)>,
    changes: Vec<(String, Option<String>)>,
}

impl Database {
    fn image(&self, id: i64) -> String {
        match self.orders.get(&id) {
            Some((customer, amount)) => {
                format!(r#"{{"id":{id},"customer":"c{customer}","amount":{amount}}}"#)
            }
            None => "null".to_owned(),
        }
    }

    /// Writes the change of the order, which was `before`.
    fn write(&mut self, id: i64, op: &str, before: &str) {
        let key = format!(r#"{{"id":{id}}}"#);
        let after = self.image(id);
        let value = format!(r#"{{"before":{before},"after":{after},"op":"{op}","ts_ms":1}}"#);
        self.changes.push((key.clone(), Some(value)));
        if op == "d" {
            self.changes.push((key, None));
        }
    }

    fn set(&mut self, id: i64, customer: usize, amount: i64, created: &str) {
        let before = self.image(id);
        self.orders.insert(id, (customer, amount));
        let op = if before == "null" { created } else { "u" };
        self.write(id, op, &before);
    }

    fn delete(&mut self, id: i64) {
        let before = self.image(id);
        self.orders.remove(&id);
        self.write(id, "d", &before);
    }

    /// A changed primary key is a deletion and a creation.
    fn renumber(&mut self, id: i64, other: i64) {
        let (customer, amount) = self.orders[&id];
        self.delete(id);
        self.set(other, customer, amount, "c");
    }

    fn totals(&self) -> BTreeMap<String, String> {
        let mut totals = BTreeMap::<usize, (usize, i64)>::new();
        for (customer, amount) in self.orders.values() {
            let (n, total) = totals.entry(*customer).or_default();
            *n += 1;
            *total += amount;
        }
        let text = |(customer, (n, total)): (usize, (usize, i64))| {
            (format!("c{customer}"), format!(r#"{{"n":{n},"total":{total}}}"#))
        };
        totals.into_iter().map(text).collect()
    }

    fn take(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.changes)
    }
}

#[test]
fn a_captured_table_is_aggregated_and_takes_back_what_changed() {
    let cluster = Cluster::new("captured");
    cluster.create_topic("orders", 3);
    cluster.create_topic("totals", 2);
    cluster.create_topic("dead", 1);
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("customer", DataType::Utf8, false),
        Field::new("amount", DataType::Int64, false),
    ]);
    let run = || {
        let app = Streams::new(cluster.name("app")).guarantee(Guarantee::ExactlyOnce);
        let orders = app.table(cluster.name("orders"), debezium_json(schema.clone()), [col("id")]);
        orders.on_error(dead_letter(cluster.name("dead")));
        orders
            .group_by([col("customer")])
            .aggregate(
                "totals",
                [count_all().alias("n"), sum(col("amount")).alias("total")],
            )
            .to(cluster.name("totals"), json());
        let job = app.start(cluster.config()).unwrap();
        job.drain(PATIENCE).unwrap();
        let letters = job.metrics().rows_dead_lettered;
        job.stop(PATIENCE).unwrap();
        letters
    };

    let mut database = Database::default();
    // What a snapshot reads, then changes. The orders of a customer that stays keep every total above nothing.
    (0..40).for_each(|id| database.set(id, id as usize % 4, id * 10, "r"));
    (40..60).for_each(|id| database.set(id, id as usize % 4, id, "c"));
    (8..20).for_each(|id| database.set(id, 3, 1, "c"));
    (20..24).for_each(|id| database.delete(id));
    cluster.write_keyed("orders", &database.take());
    assert_eq!(run(), 0);
    assert_eq!(cluster.latest("totals"), database.totals());

    // Another process goes on with the state of the first.
    (24..28).for_each(|id| database.renumber(id, id + 1000));
    (1024..1026).for_each(|id| database.set(id, 0, 5, "c"));
    (1026..1027).for_each(|id| database.delete(id));
    (20..22).for_each(|id| database.set(id, 1, 7, "c"));
    let truncation = r#"{"before":null,"after":null,"op":"t"}"#;
    database
        .changes
        .push(("{}".to_owned(), Some(truncation.to_owned())));
    cluster.write_keyed("orders", &database.take());
    assert_eq!(run(), 1);
    assert_eq!(cluster.latest("totals"), database.totals());
    assert_eq!(cluster.texts("dead"), [truncation]);
}
