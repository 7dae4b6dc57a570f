//! Joins by another table's key against plain maps: what is there in the end hangs on what was written last, and on nothing else.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json as json_of};

use super::PARTITIONS;
use crate::prelude::*;
use crate::{TestDriver, TestRecord};

/// A join of orders with customers, and what is made of it.
#[derive(Debug, Clone, Copy)]
struct Description {
    left: bool,
    /// The second join, of what comes out with cities.
    left_again: bool,
    /// Tables are made behind a repartition topic; else they are their topics.
    moved: [bool; 2],
    /// Some rows of both sides are left out.
    filtered: [bool; 2],
    /// Each change asks anew, as where epochs are repeated.
    repeats: bool,
}

#[derive(Debug, Clone)]
enum Move {
    /// An order's customer and number, or its deletion.
    Order(u8, Option<(Option<u8>, i64)>),
    /// A customer's city.
    Customer(u8, Option<u8>),
    /// A city's country.
    City(u8, Option<u8>),
    /// Somebody looks an order up.
    Ask(u8),
    Epoch(usize, usize),
    Aborted(usize, usize),
    /// One that dies, and whether the next one is of the same records.
    Torn(usize, usize, u64, bool),
    Restart,
}

fn description() -> impl Strategy<Value = Description> {
    let two = || [any::<bool>(), any::<bool>()];
    (any::<bool>(), any::<bool>(), two(), two(), any::<bool>()).prop_map(
        |(left, left_again, moved, filtered, repeats)| Description {
            left,
            left_again,
            moved,
            filtered,
            repeats,
        },
    )
}

fn moves(torn: u32) -> impl Strategy<Value = Vec<Move>> {
    let order = (proptest::option::weighted(0.85, 0..5_u8), 0..6_i64);
    let order = proptest::option::weighted(0.85, order);
    let value = || proptest::option::weighted(0.75, 0..4_u8);
    let next = prop_oneof![
        8 => (0..8_u8, order).prop_map(|(id, order)| Move::Order(id, order)),
        5 => (0..5_u8, value()).prop_map(|(id, city)| Move::Customer(id, city)),
        3 => (0..4_u8, value()).prop_map(|(id, country)| Move::City(id, country)),
        1 => (0..8_u8).prop_map(Move::Ask),
        10 => (0..20_usize, 1..12_usize).prop_map(|(task, records)| Move::Epoch(task, records)),
        2 => (0..20_usize, 1..12_usize).prop_map(|(task, records)| Move::Aborted(task, records)),
        torn => (0..20_usize, 1..12_usize, any::<u64>(), any::<bool>())
            .prop_map(|(task, records, seed, same)| Move::Torn(task, records, seed, same)),
        2 => Just(Move::Restart),
    ];
    let moves = (proptest::collection::vec(next, 1..120), any::<bool>());
    moves.prop_map(|(mut moves, all_same)| {
        // All of them in some cases: only these end with the groups that they should.
        for next in &mut moves {
            if let Move::Torn(.., same) = next {
                *same |= all_same;
            }
        }
        moves
    })
}

fn text_key(name: &str) -> Expr {
    cast(col(name), DataType::Utf8View).alias(name)
}

fn job(description: &Description) -> Streams {
    let app = Streams::new("f");
    let fields = vec![
        Field::new("customer", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ];
    let format = json_schema(Schema::new(fields)).with_key("order");
    let orders = match description.moved[0] {
        true => app
            .stream("orders", format)
            .to_table("moved-orders", [text_key("order")]),
        false => app.table("orders", format, [text_key("order")]),
    };
    let format = text("city").with_key("id");
    let customers = match description.moved[1] {
        true => app
            .stream("customers", format)
            .to_table("moved-customers", [text_key("id")]),
        false => app.table("customers", format, key("id")),
    };
    let orders = match description.filtered[0] {
        true => orders.filter(col("n").lt(lit(4))),
        false => orders,
    };
    let customers = match description.filtered[1] {
        true => customers.filter(col("city").not_eq(lit("c0"))),
        false => customers,
    };
    let joined = orders.join_by("buyers", &customers, [col("customer")]);
    let joined = match description.left {
        true => joined.left(),
        false => joined,
    };
    let joined = joined.select([col("order"), col("customer"), col("n"), col("city")]);
    joined.to("joined", json());
    joined
        .filter(col("city").is_not_null())
        .group_by([col("city")])
        .aggregate(
            "by-city",
            [count_all().alias("rows"), max(col("n")).alias("most")],
        )
        .to("by-city", json());
    let cities = app.table("cities", text("country").with_key("name"), key("name"));
    let far = joined.join_by("far", &cities, [col("city")]);
    let far = match description.left_again {
        true => far.left(),
        false => far,
    };
    far.select([col("order"), col("n"), col("country")])
        .to("far", json());
    app.stream("asks", text("ask").with_key("who"))
        .join(&joined, on("who", "order"))
        .left()
        .select([col("n"), col("city")])
        .to("answers", json());
    app
}

/// What was written last.
#[derive(Debug, Default)]
struct World {
    orders: BTreeMap<u8, (Option<u8>, i64)>,
    customers: BTreeMap<u8, u8>,
    cities: BTreeMap<u8, u8>,
}

type Rows = BTreeMap<String, Value>;

/// An order of the join: its customer, number and city.
type Joined = (Option<u8>, i64, Option<u8>);

fn name(kind: char, number: u8) -> String {
    format!("{kind}{number}")
}

impl World {
    fn joined(&self, description: &Description) -> BTreeMap<u8, Joined> {
        let mut joined = BTreeMap::new();
        for (order, (customer, n)) in &self.orders {
            if description.filtered[0] && *n >= 4 {
                continue;
            }
            let city = customer.and_then(|customer| self.customers.get(&customer).copied());
            let city = city.filter(|city| !description.filtered[1] || *city != 0);
            if city.is_some() || description.left {
                joined.insert(*order, (*customer, *n, city));
            }
        }
        joined
    }

    fn expected(&self, description: &Description, topic: &str) -> Rows {
        let joined = self.joined(description).into_iter();
        let text = |kind: char, number: Option<u8>| number.map(|number| name(kind, number));
        match topic {
            "joined" => joined
                .map(|(order, (customer, n, city))| {
                    let row = json_of!({"customer": text('u', customer), "n": n, "city": text('c', city)});
                    (name('o', order), row)
                })
                .collect(),
            "far" => joined
                .filter_map(|(order, (_, n, city))| {
                    let country = city.and_then(|city| self.cities.get(&city).copied());
                    let row = json_of!({"n": n, "country": text('l', country)});
                    (country.is_some() || description.left_again).then(|| (name('o', order), row))
                })
                .collect(),
            _ => {
                let mut groups: BTreeMap<String, (u64, i64)> = BTreeMap::new();
                for (_, (_, n, city)) in joined {
                    if let Some(city) = city {
                        let group = groups.entry(name('c', city)).or_insert((0, n));
                        *group = (group.0 + 1, group.1.max(n));
                    }
                }
                let groups = groups.into_iter();
                groups
                    .map(|(city, (rows, most))| (city, json_of!({"rows": rows, "most": most})))
                    .collect()
            }
        }
    }
}

/// What a reader of a compacted topic has in the end.
fn read(driver: &mut TestDriver, topic: &str, now: &mut Rows) {
    for record in driver.read(topic) {
        let key = record.as_text().0.to_owned();
        match super::value(&record) {
            Some(row) => drop(now.insert(key, row)),
            None => assert!(
                now.remove(&key).is_some() || driver.repeats(),
                "{topic}: {key} was deleted, but not there"
            ),
        }
    }
}

/// What changed last of each key goes all the way: a join asks and is answered, and then the next.
fn settle(driver: &mut TestDriver) {
    (0..6).for_each(|_| driver.commit().unwrap());
}

fn pipe(driver: &mut TestDriver, topic: &str, key: String, value: Option<String>) {
    let record = value.map_or_else(TestRecord::null, TestRecord::new);
    driver.pipe(topic, record.key(key)).unwrap();
}

fn ask(driver: &mut TestDriver, description: &Description, world: &World, order: u8) {
    settle(driver);
    pipe(driver, "asks", name('o', order), Some("?".to_owned()));
    driver.commit().unwrap();
    let answer = super::value(&driver.read("answers")[0]).unwrap();
    let joined = world.joined(description).remove(&order);
    let city = joined.and_then(|(_, _, city)| city).map(|city| name('c', city));
    let expected = json_of!({"n": joined.map(|(_, n, _)| n), "city": city});
    assert_eq!(answer, expected, "order {order}");
}

/// One move, of which `world` is told.
fn play(driver: &mut TestDriver, description: &Description, world: &mut World, next: &Move) {
    let tasks = driver.task_ids();
    match next {
        Move::Order(order, value) => {
            let text = value.map(|(customer, n)| {
                json_of!({"customer": customer.map(|customer| name('u', customer)), "n": n}).to_string()
            });
            pipe(driver, "orders", name('o', *order), text);
            match value {
                Some(value) => drop(world.orders.insert(*order, *value)),
                None => drop(world.orders.remove(order)),
            }
        }
        Move::Customer(customer, city) => {
            pipe(
                driver,
                "customers",
                name('u', *customer),
                city.map(|city| name('c', city)),
            );
            match city {
                Some(city) => drop(world.customers.insert(*customer, *city)),
                None => drop(world.customers.remove(customer)),
            }
        }
        Move::City(city, country) => {
            pipe(
                driver,
                "cities",
                name('c', *city),
                country.map(|country| name('l', country)),
            );
            match country {
                Some(country) => drop(world.cities.insert(*city, *country)),
                None => drop(world.cities.remove(city)),
            }
        }
        Move::Ask(order) => ask(driver, description, world, *order),
        Move::Epoch(task, records) => driver.epoch(tasks[task % tasks.len()], *records).unwrap(),
        Move::Aborted(task, records) => {
            driver.aborted_epoch(tasks[task % tasks.len()], *records).unwrap();
        }
        Move::Torn(task, records, seed, same) => {
            let task = tasks[task % tasks.len()];
            driver.torn_epoch(task, *records, *seed).unwrap();
            if *same {
                driver.epoch(task, *records).unwrap();
            }
        }
        Move::Restart => driver.restart().unwrap(),
    }
}

fn run(description: &Description, moves: &[Move], limit: Option<usize>) {
    let is_torn = moves.iter().any(|next| matches!(next, Move::Torn(..)));
    let are_others = moves.iter().any(|next| matches!(next, Move::Torn(.., false)));
    let mut driver = TestDriver::with_partitions(&job(description), PARTITIONS).unwrap();
    if let Some(limit) = limit {
        driver = driver.limited(limit).unwrap();
    }
    if description.repeats || is_torn {
        driver = driver.repeating();
    }
    let mut world = World::default();
    for next in moves {
        play(&mut driver, description, &mut world, next);
    }
    settle(&mut driver);
    for topic in ["joined", "by-city", "far"] {
        if topic == "by-city" && are_others {
            // Who was in a city only for the epoch that died stays there.
            continue;
        }
        let mut now = Rows::new();
        read(&mut driver, topic, &mut now);
        assert_eq!(now, world.expected(description, topic), "{topic}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    /// Whichever side comes first, whatever moves, goes or comes back, and wherever epochs end: the join is the oracle's.
    #[test]
    fn joins_by_another_key_are_those_of_the_oracle(description in description(), moves in moves(0)) {
        run(&description, &moves, None);
    }

    /// Where processes die while they write an epoch: what is there in the end is the same.
    #[test]
    fn joins_by_another_key_end_as_they_should_where_epochs_are_repeated(
        description in description(), moves in moves(4),
    ) {
        run(&description, &moves, None);
    }
}

proptest! {
    // Disks are slow.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The same where most of the state is on the disk.
    #[test]
    fn joins_by_another_key_are_those_of_the_oracle_with_little_memory(
        description in description(), moves in moves(0), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, Some(limit));
    }

    /// The same where epochs are repeated.
    #[test]
    fn joins_by_another_key_end_as_they_should_with_little_memory(
        description in description(), moves in moves(4), limit in crate::testing::limit(),
    ) {
        run(&description, &moves, Some(limit));
    }
}
