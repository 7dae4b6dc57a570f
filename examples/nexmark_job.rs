//! Queries of Nexmark that `tests/benches/nexmark.py` measures beside the same ones in Java, `tests/benches/nexmark/Q….java`.
//!
//! `nexmark_job QUERY PREFIX OUTPUT application.id=ID bootstrap.servers=HOST:PORT KEY=VALUE…`: the inputs are the topics PREFIX and
//! `persons`, `auctions`, `bids`; the pairs are keys of `StreamsConfig`. It prints "started" when its threads have their partitions, and ends
//! when its standard input does. `nexmark_job queries` prints the names of the queries. What each has to answer says
//! `tests/benches/nexmark/QUERY.sql`.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{Format, JobState, StreamsConfig, prelude::*};

const USAGE: &str = "usage: nexmark_job QUERY PREFIX OUTPUT KEY=VALUE…, or nexmark_job queries";
/// Short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const DAY_MS: i64 = 86_400_000;
const SIDE_ROWS: i64 = 10_000;
/// As far out of order are events.
const DISORDER: Duration = Duration::from_secs(4);
/// No auction is open for longer.
const LONGEST: Duration = Duration::from_secs(4);
/// Bids lead their auctions by less, and follow them by less.
const NEAR: Duration = Duration::from_secs(10);

type Declare = fn(&Inputs, &str) -> Result<(), Box<dyn Error>>;

const QUERIES: [(&str, Declare); 15] = [
    ("q1", q1),
    ("q3", q3),
    ("q4", q4),
    ("q5", q5),
    ("q7", q7),
    ("q8", q8),
    ("q9", q9),
    ("q11", q11),
    ("q13", q13),
    ("q15", q15),
    ("q17", q17),
    ("q18", q18),
    ("q19", q19),
    ("q20", q20),
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

    /// The same in event time, with the auction's number as the column `key`, by which they are partitioned.
    fn timed_bids<const N: usize>(&self, columns: [&str; N]) -> Stream {
        self.timed("bids", columns)
    }

    fn timed<const N: usize>(&self, topic: &str, columns: [&str; N]) -> Stream {
        let rows = self.read(topic, json_schema(schema(columns)).with_key("key"));
        rows.watermark(bounded(col("at"), DISORDER))
    }

    fn stream<const N: usize>(&self, topic: &str, columns: [&str; N]) -> Stream {
        self.read(topic, json_schema(schema(columns)))
    }

    fn read(&self, topic: &str, format: Format) -> Stream {
        self.app.stream(self.name(topic), format)
    }

    /// The records by their keys, which are `by`.
    fn table<const N: usize>(&self, topic: &str, by: &str, columns: [&str; N]) -> Table {
        let format = json_schema(schema(columns)).with_key(by);
        let by = cast(col(by), DataType::Utf8View).alias(by);
        self.app.table(self.name(topic), format, [by])
    }

    fn name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Bids beside their auctions, those of them that came while these were open.
    fn sales<const A: usize, const B: usize>(&self, auction: [Expr; A], bid: [Expr; B]) -> Stream {
        let auctions = self.timed("auctions", AUCTION).select(auction);
        let bids = self.timed_bids(BID).select(bid);
        let window = join_window(LONGEST).before(Duration::ZERO);
        let sales = auctions.join(&bids, on("key", "key")).within("sales", window);
        sales.filter(col("bid_at").lt_eq(col("expires")))
    }
}

const AUCTION: [&str; 10] = [
    "id",
    "item",
    "description",
    "initial_bid",
    "reserve",
    "at",
    "expires",
    "seller",
    "category",
    "extra",
];
const BID: [&str; 7] = ["auction", "bidder", "price", "channel", "url", "at", "extra"];

fn schema<const N: usize>(columns: [&str; N]) -> Schema {
    let fields = columns.map(|name| match name {
        "channel" | "url" | "extra" | "name" | "item" | "description" | "city" | "state" | "value" => {
            Field::new(name, DataType::Utf8, true)
        }
        _ => Field::new(name, DataType::Int64, true),
    });
    Schema::new(fields.to_vec())
}

/// When the window of a result begins, in milliseconds.
fn start() -> Expr {
    cast(col("window_start"), DataType::Int64).alias("starttime")
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

/// How many bids there are: `total_NAME`, and `rank1_NAME` to `rank3_NAME` of those in each range of prices.
fn ranked(name: &str) -> Vec<Expr> {
    let ranks = ranks().into_iter().enumerate();
    let ranks = ranks.map(|(place, range)| {
        count_all()
            .filter(range)
            .alias(format!("rank{}_{name}", place + 1))
    });
    std::iter::once(count_all().alias(format!("total_{name}")))
        .chain(ranks)
        .collect()
}

fn q1(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    inputs
        .bids(["auction", "bidder", "price", "at", "extra"])
        .with_column("price", lit(0.908) * cast(col("price"), DataType::Float64))
        .to(output, json());
    Ok(())
}

fn q11(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let millis = |name| cast(col(name), DataType::Int64);
    inputs
        .bids(["bidder", "at"])
        .watermark(bounded(col("at"), DISORDER))
        .group_by([col("bidder")])
        .window(session(Duration::from_secs(10)))
        .emit(OnWindowClose)
        .aggregate("sessions", [count_all().alias("bids")])
        .results()
        .select([
            col("bidder"),
            col("bids"),
            millis("window_start").alias("starttime"),
            // Ours are behind the last bid.
            (millis("window_end") - lit(1_i64)).alias("endtime"),
        ])
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

fn q4(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let auction = [col("key"), col("id"), col("category"), col("at"), col("expires")];
    let bid = [col("key"), col("price"), col("at").alias("bid_at")];
    inputs
        .sales(auction, bid)
        .group_by([col("id"), col("category")])
        .aggregate("finals", [max(col("price")).alias("final")])
        .group_by([col("category")])
        .aggregate("by-category", [avg(col("final")).alias("final")])
        .to(output, json());
    Ok(())
}

fn q5(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let every = Duration::from_secs(2);
    let counts = inputs
        .timed_bids(["auction", "at"])
        .group_by([col("auction")])
        .window(hopping(Duration::from_secs(10), every))
        .emit(OnWindowClose)
        .aggregate("counts", [count_all().alias("num")]);
    counts
        .results()
        .select([col("auction"), col("num"), start()])
        .group_by([col("starttime")])
        // The results of one window have one time, and those of each are in another of these.
        .window(tumbling(every))
        .emit(OnWindowClose)
        .top("hottest", 1, [col("num").sort(false, false)])
        .with_ties()
        .results()
        .select(["auction", "starttime", "num"].map(col))
        .to(output, json());
    Ok(())
}

fn q7(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    inputs
        .timed_bids(["auction", "bidder", "price", "at", "extra"])
        .group_by([lit("all").alias("of")])
        .window(tumbling(Duration::from_secs(10)))
        .emit(OnWindowClose)
        .top("highest", 1, [col("price").sort(false, false)])
        .with_ties()
        .results()
        .select(
            ["auction", "bidder", "price", "at", "extra"]
                .map(col)
                .into_iter()
                .chain([start()]),
        )
        .to(output, json());
    Ok(())
}

fn q8(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let windows = || tumbling(Duration::from_secs(10));
    let persons = inputs
        .timed("persons", ["id", "name", "at"])
        .group_by([col("id")])
        .window(windows())
        .emit(OnWindowClose)
        .aggregate("persons", [last(col("name")).alias("name")]);
    let sellers = inputs
        .timed("auctions", ["seller", "at"])
        .group_by([col("seller")])
        .window(windows())
        .emit(OnWindowClose)
        .aggregate("sellers", [count_all().alias("auctions")]);
    let persons = persons.results().select([col("id"), col("name"), start()]);
    let sellers = sellers.results().select([col("seller"), start().alias("opened")]);
    persons
        .join(&sellers, on("id", "seller").and("starttime", "opened"))
        .within("new-sellers", join_window(Duration::ZERO))
        .select(["id", "name", "starttime"].map(col))
        .to(output, json());
    Ok(())
}

fn q9(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let auction: [Expr; 11] = std::array::from_fn(|number| match number {
        0 => col("key"),
        number => col(AUCTION[number - 1]),
    });
    let bid = [
        col("key"),
        col("bidder"),
        col("price"),
        col("at").alias("bid_at"),
        col("extra").alias("bid_extra"),
    ];
    let shown = AUCTION
        .into_iter()
        .chain(["bidder", "price", "bid_at", "bid_extra"]);
    inputs
        .sales(auction, bid)
        .select(shown.map(col))
        .group_by([col("id")])
        .top(
            "winners",
            1,
            [col("price").sort(false, false), col("bid_at").sort(true, false)],
        )
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

fn q15(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let bids = inputs.bids(["auction", "bidder", "price", "at"]);
    // Of a day there are so many that they would be no record of a changelog together.
    let different = |of: &str, name: &str| {
        let counts = bids
            .count_distinct_of(name, [day()], col(of))
            .alias(format!("total_{name}"));
        let ranks = ranks().into_iter().enumerate();
        ranks.fold(counts, |counts, (place, range)| {
            counts.and_where(format!("rank{}_{name}", place + 1), range)
        })
    };
    let (bidders, auctions) = (different("bidder", "bidders"), different("auction", "auctions"));
    let all = bids.group_by([day()]).aggregate("bids", ranked("bids"));
    all.join(&bidders).join(&auctions).to(output, json());
    Ok(())
}

fn q17(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let mut aggregates = ranked("bids");
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

fn q19(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    inputs
        .bids(BID)
        .group_by([col("auction")])
        .top(
            "best-bids",
            10,
            [col("price").sort(false, false), col("at").sort(true, false)],
        )
        .to(output, json());
    Ok(())
}

fn q20(inputs: &Inputs, output: &str) -> Result<(), Box<dyn Error>> {
    let auctions = inputs
        .timed("auctions", AUCTION)
        .filter(col("category").eq(lit(10_i64)));
    let auctions = auctions.select(
        [
            "key",
            "item",
            "description",
            "initial_bid",
            "reserve",
            "expires",
            "seller",
            "category",
        ]
        .map(col)
        .into_iter()
        .chain([col("at").alias("auction_at"), col("extra").alias("auction_extra")]),
    );
    let shown = [
        "item",
        "description",
        "initial_bid",
        "reserve",
        "auction_at",
        "expires",
        "seller",
        "category",
        "auction_extra",
    ];
    inputs
        .timed_bids(BID)
        .join(&auctions, on("key", "key"))
        .within("with-auctions", join_window(NEAR))
        .select(BID.into_iter().chain(shown).map(col))
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
