//! Queries of Nexmark that `tests/benches/nexmark.py` measures beside the same ones in Java, `tests/benches/nexmark/Q….java`.
//!
//! `nexmark_job QUERY PREFIX OUTPUT application.id=ID bootstrap.servers=HOST:PORT KEY=VALUE…`: the inputs are the topics PREFIX and
//! `persons`, `auctions`, `bids`, `side`; the pairs are keys of `StreamsConfig`. It prints "started" when its threads have their partitions, and ends
//! when its standard input does. `nexmark_job queries` prints the names of the queries. What each has to answer says
//! `tests/benches/nexmark/QUERY.sql`.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{JobState, StreamsConfig, prelude::*};

const USAGE: &str = "usage: nexmark_job QUERY PREFIX OUTPUT KEY=VALUE…, or nexmark_job queries";
/// Short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const DAY_MS: i64 = 86_400_000;
const SIDE_ROWS: i64 = 10_000;

type Declare = fn(&Inputs, &str) -> Result<(), Box<dyn Error>>;

const QUERIES: [(&str, Declare); 7] = [
    ("q1", q1),
    ("q3", q3),
    ("q13", q13),
    ("q15", q15),
    ("q17", q17),
    ("q18", q18),
    ("q22", q22),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["queries"] {
        QUERIES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let [query, prefix, output, pairs @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|pair| pair.split_once('=').ok_or(USAGE))
        .collect::<Result<_, _>>()?;
    let id = pairs.iter().find(|(key, _)| *key == "application.id");
    let inputs = Inputs {
        app: Streams::new(id.map_or("nexmark", |(_, id)| id)),
        prefix: prefix.clone(),
    };
    let (_, declare) = QUERIES
        .iter()
        .find(|(name, _)| name == query)
        .ok_or_else(|| format!("there is no query {query}: nexmark_job queries prints their names"))?;
    declare(&inputs, output)?;
    let mut job = inputs.app.start(StreamsConfig::from_properties(pairs)?)?;
    while job.state() == JobState::Starting {
        std::thread::sleep(LOOK_EVERY);
    }
    println!("started");
    let stop = job.stopper();
    std::thread::spawn(move || {
        // What comes does not matter, only that it ends.
        let _ = stdin().read_to_end(&mut Vec::new());
        stop();
    });
    Ok(job.wait()?)
}

/// The topics that are read.
struct Inputs {
    app: Streams,
    prefix: String,
}

impl Inputs {
    /// Bids, with what a query needs of them.
    fn bids<const N: usize>(&self, columns: [&str; N]) -> Stream {
        self.stream("bids", columns)
    }

    fn stream<const N: usize>(&self, topic: &str, columns: [&str; N]) -> Stream {
        self.app.stream(self.name(topic), json_schema(schema(columns)))
    }

    /// The records by their keys, which are `by`.
    fn table<const N: usize>(&self, topic: &str, by: &str, columns: [&str; N]) -> Table {
        let format = json_schema(schema(columns)).with_key(by);
        self.app.table(self.name(topic), format, key(by))
    }

    fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }
}

fn schema<const N: usize>(columns: [&str; N]) -> Schema {
    let fields = columns.map(|name| match name {
        "channel" | "url" | "extra" | "name" | "city" | "state" | "value" => {
            Field::new(name, DataType::Utf8, true)
        }
        _ => Field::new(name, DataType::Int64, true),
    });
    Schema::new(fields.to_vec())
}

fn day() -> Expr {
    (col("at") - col("at") % lit(DAY_MS)).alias("day")
}

/// In which of three ranges the price of a bid is.
fn ranks() -> [Expr; 3] {
    let (low, high) = (lit(10_000_i64), lit(1_000_000_i64));
    [
        col("price").lt(low.clone()),
        col("price").gt_eq(low).and(col("price").lt(high.clone())),
        col("price").gt_eq(high),
    ]
}

/// How many bids have values, or how many values they have if those are to be different: `total_NAME`, and `rank1_NAME` to `rank3_NAME` of the
/// bids in each range of prices.
fn ranked(name: &str, values: &Expr, different: bool) -> Result<Vec<Expr>, Box<dyn Error>> {
    let total = if different { count_distinct } else { count };
    let mut all = vec![total(values.clone()).alias(format!("total_{name}"))];
    for (place, range) in ranks().into_iter().enumerate() {
        all.push(
            total(values.clone())
                .filter(range)
                .alias(format!("rank{}_{name}", place + 1)),
        );
    }
    Ok(all)
}

fn q1(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    inputs
        .bids(["auction", "bidder", "price", "at", "extra"])
        .with_column("price", lit(0.908) * cast(col("price"), DataType::Float64))
        .to(output, json());
    Ok(())
}

fn q3(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let states = ["OR", "ID", "CA"].map(|state| col("state").eq(lit(state)));
    let is_near = states.into_iter().reduce(Expr::or).ok_or("no states")?;
    let persons = inputs
        .table("persons", "person", ["name", "city", "state"])
        .filter(is_near);
    let auctions = inputs.table("auctions", "id", ["seller", "category"]);
    auctions
        .filter(col("category").eq(lit(10)))
        .join_by("sellers", &persons, [cast(col("seller"), DataType::Utf8)])
        .select(["id", "name", "city", "state"].map(col))
        .to(output, json());
    Ok(())
}

fn q13(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let side = json_schema(schema(["key", "value"]));
    let side = inputs.app.global_table(inputs.name("side"), side, key("key"));
    inputs
        .bids(["auction", "bidder", "price", "at"])
        .join(&side, on(col("auction") % lit(SIDE_ROWS), "key"))
        .select(["auction", "bidder", "price", "at", "value"].map(col))
        .to(output, json());
    Ok(())
}

/// A day's bidders and auctions are lists in one record of the state: beyond some 400,000 events it exceeds `message.max.bytes`.
fn q15(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let mut aggregates = ranked("bids", &lit(1), false)?;
    aggregates.extend(ranked("bidders", &col("bidder"), true)?);
    aggregates.extend(ranked("auctions", &col("auction"), true)?);
    inputs
        .bids(["auction", "bidder", "price", "at"])
        .group_by([day()])
        .aggregate("by-day", aggregates)
        .to(output, json());
    Ok(())
}

fn q17(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let mut aggregates = ranked("bids", &lit(1), false)?;
    aggregates.extend([
        min(col("price")).alias("min_price"),
        max(col("price")).alias("max_price"),
        avg(col("price")).alias("avg_price"),
        sum(col("price")).alias("sum_price"),
    ]);
    inputs
        .bids(["auction", "price", "at"])
        .group_by([col("auction"), day()])
        .aggregate("by-auction", aggregates)
        .to(output, json());
    Ok(())
}

fn q18(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let last =
        ["price", "channel", "url", "at", "extra"].map(|name| last_by(col(name), col("at")).alias(name));
    inputs
        .bids(["auction", "bidder", "price", "channel", "url", "at", "extra"])
        .group_by([col("bidder"), col("auction")])
        .aggregate("last-bids", last)
        .to(output, json());
    Ok(())
}

fn q22(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let folder = |place: i64| split_part(col("url"), lit("/"), lit(place + 3)).alias(format!("dir{place}"));
    inputs
        .bids(["auction", "bidder", "price", "channel", "url"])
        .select([
            col("auction"),
            col("bidder"),
            col("price"),
            col("channel"),
            folder(1),
            folder(2),
            folder(3),
        ])
        .to(output, json());
    Ok(())
}
