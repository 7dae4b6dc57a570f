//! The topologies of Judge.java in this crate's DSL.

use std::time::Duration;

use millstream_streams::{prelude::*, *};

use crate::generate;
use crate::{Case, Output};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "words",
        outputs: &[Output::Table("out")],
        generate: generate::lines,
        build: words,
        partitioned: true,
    },
    Case {
        name: "aggregates",
        outputs: &[Output::Table("out")],
        generate: generate::rows,
        build: aggregates,
        partitioned: true,
    },
    Case {
        name: "pairs",
        outputs: &[Output::Table("out")],
        generate: generate::rows,
        build: pairs,
        partitioned: true,
    },
    Case {
        name: "ways",
        outputs: &[
            Output::Rows("even"),
            Output::Rows("negative"),
            Output::Rows("rest"),
            Output::Bag("both"),
            Output::Table("counts"),
        ],
        generate: generate::rows,
        build: ways,
        partitioned: true,
    },
    Case {
        name: "merged",
        outputs: &[Output::Table("out")],
        generate: generate::rows_of_two,
        build: merged,
        partitioned: true,
    },
    Case {
        name: "reduced",
        outputs: &[Output::Table("first"), Output::Table("last")],
        generate: generate::rows,
        build: reduced,
        partitioned: false,
    },
    Case {
        name: "tumbling",
        outputs: &[Output::Table("out")],
        generate: generate::events,
        build: |app| {
            windows(
                app,
                bounded(col("at"), Duration::ZERO),
                tumbling(secs(10)).grace(secs(5)),
                Emit::OnUpdate,
            )
        },
        partitioned: false,
    },
    Case {
        name: "hopping",
        outputs: &[Output::Table("out")],
        generate: generate::events,
        build: |app| {
            windows(
                app,
                record_time(Duration::ZERO),
                hopping(secs(10), secs(3)).grace(secs(7)),
                Emit::OnUpdate,
            )
        },
        partitioned: false,
    },
    Case {
        name: "closed",
        outputs: &[Output::Bag("out"), Output::Table("out")],
        generate: generate::events,
        build: |app| {
            windows(
                app,
                record_time(Duration::ZERO),
                tumbling(secs(10)).grace(secs(5)),
                Emit::OnWindowClose,
            )
        },
        partitioned: false,
    },
    Case {
        name: "sessions",
        outputs: &[Output::Table("out")],
        generate: generate::visits,
        build: |app| row_windows(app, session(secs(10)), Emit::OnUpdate),
        partitioned: false,
    },
    Case {
        name: "sessions-closed",
        outputs: &[Output::Bag("out"), Output::Table("out")],
        generate: generate::visits,
        build: |app| row_windows(app, session(secs(10)), Emit::OnWindowClose),
        partitioned: false,
    },
    Case {
        name: "sliding",
        outputs: &[Output::Table("out")],
        generate: generate::visits,
        build: |app| row_windows(app, sliding(secs(10)), Emit::OnUpdate),
        partitioned: false,
    },
    Case {
        name: "sliding-closed",
        outputs: &[Output::Bag("out"), Output::Table("out")],
        generate: generate::visits,
        build: |app| row_windows(app, sliding(secs(10)), Emit::OnWindowClose),
        partitioned: false,
    },
    Case {
        name: "suppressed",
        outputs: &[Output::Table("out")],
        generate: generate::events_and_end,
        build: suppressed,
        partitioned: false,
    },
    Case {
        name: "join-inner",
        outputs: &[Output::Bag("out")],
        generate: generate::sides,
        build: |app| joins(app, join_window(secs(10)), |joined| joined),
        partitioned: true,
    },
    Case {
        name: "join-left",
        outputs: &[Output::Bag("out")],
        generate: generate::sides,
        build: |app| joins(app, join_window(secs(10)), JoinedStream::left),
        partitioned: true,
    },
    Case {
        name: "join-outer",
        outputs: &[Output::Bag("out")],
        generate: generate::sides,
        build: |app| joins(app, join_window(secs(10)), JoinedStream::outer),
        partitioned: true,
    },
    Case {
        name: "join-asymmetric",
        outputs: &[Output::Bag("out")],
        generate: generate::sides,
        build: |app| joins(app, join_window(secs(20)).before(secs(5)), JoinedStream::outer),
        partitioned: true,
    },
    Case {
        name: "cogroup",
        outputs: &[Output::Table("out")],
        generate: generate::rows_of_two,
        build: cogrouped,
        partitioned: true,
    },
    Case {
        name: "join-late",
        outputs: &[Output::Bag("out")],
        generate: generate::late_sides,
        build: |app| joins(app, join_window(secs(10)), JoinedStream::left),
        partitioned: false,
    },
    Case {
        name: "versioned",
        outputs: &[Output::Bag("out")],
        generate: generate::versions,
        build: |app| versions(app, |joined| joined),
        partitioned: true,
    },
    Case {
        name: "versioned-left",
        outputs: &[Output::Bag("out")],
        generate: generate::versions,
        build: |app| versions(app, VersionedLookup::left),
        partitioned: true,
    },
    Case {
        name: "foreign",
        outputs: &[Output::Table("out")],
        generate: generate::tables,
        build: |app| foreign(app, false),
        partitioned: true,
    },
    Case {
        name: "foreign-left",
        outputs: &[Output::Table("out")],
        generate: generate::tables,
        build: |app| foreign(app, true),
        partitioned: true,
    },
    Case {
        name: "tables-inner",
        outputs: &[Output::Table("out")],
        generate: generate::tables,
        build: |app| tables(app, |joined| joined),
        partitioned: true,
    },
    Case {
        name: "tables-left",
        outputs: &[Output::Table("out")],
        generate: generate::tables,
        build: |app| tables(app, TableJoin::left),
        partitioned: true,
    },
    Case {
        name: "tables-outer",
        outputs: &[Output::Table("out")],
        generate: generate::tables,
        build: |app| tables(app, TableJoin::outer),
        partitioned: true,
    },
];

fn row() -> Format {
    json_schema(Schema::new(members()))
}

/// A row and when it happened.
fn event() -> Format {
    let mut members = members();
    members.push(Field::new("at", DataType::Int64, true));
    json_schema(Schema::new(members))
}

fn members() -> Vec<Field> {
    vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ]
}

fn all_aggregates() -> [Expr; 10] {
    [
        count_all().alias("rows"),
        count(col("n")).alias("count"),
        sum(col("n")).alias("sum"),
        min(col("n")).alias("min"),
        max(col("n")).alias("max"),
        avg(col("n")).alias("avg"),
        sum(col("x")).alias("total"),
        min(col("s")).alias("first"),
        max(col("s")).alias("last"),
        count_distinct(col("s")).alias("distinct"),
    ]
}

fn words(app: &Streams) {
    app.stream("in", text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("n")])
        .to("out", json());
}

fn aggregates(app: &Streams) {
    app.stream("in", row())
        .group_by([col("k")])
        .aggregate("all", all_aggregates())
        .to("out", json());
}

fn pairs(app: &Streams) {
    app.stream("in", row())
        .filter(col("n").is_not_null())
        .group_by([col("k"), col("s"), (col("n") % lit(3)).alias("third")])
        .aggregate("counts", [count_all().alias("n")])
        .to("out", json());
}

fn ways(app: &Streams) {
    let shout = when(col("s").is_null(), lit("nobody"))
        .otherwise(concat(vec![upper(col("s")), lit("!")]))
        .unwrap();
    let ([even, negative], rest) = app
        .stream("in", row())
        .filter(col("n").gt_eq(lit(-50)))
        .with_column("twice", col("n") * lit(2))
        .with_column("shout", shout)
        .branch([(col("n") % lit(2)).eq(lit(0)), col("n").lt(lit(0))]);
    even.to("even", json());
    negative.to("negative", json());
    rest.to("rest", json());
    let both = even.merge(&rest).select([col("k"), col("shout")]);
    both.to("both", json());
    both.group_by([col("shout")])
        .aggregate("shouts", [count_all().alias("n")])
        .to("counts", json());
}

fn merged(app: &Streams) {
    app.stream("in", row())
        .merge(&app.stream("more", row()))
        .group_by([col("k")])
        .aggregate("all", all_aggregates())
        .to("out", json());
}

fn cogrouped(app: &Streams) {
    let by_key = |topic: &str| app.stream(topic, row()).group_by([col("k")]);
    by_key("in")
        .with([count_all().alias("rows"), sum(col("n")).alias("sum")])
        .cogroup(by_key("more").with([count_all().alias("more"), max(col("n")).alias("max")]))
        .aggregate("both")
        .to("out", json());
}

fn reduced(app: &Streams) {
    let rows = app.stream("in", row());
    for (name, aggregate) in [("first", first(col("s"))), ("last", last(col("s")))] {
        rows.group_by([col("k")])
            .aggregate(name, [aggregate.alias("s")])
            .to(name, json());
    }
}

/// Aggregates by key and window; a result's key is KEY@START.
fn windows(app: &Streams, strategy: WatermarkStrategy, windows: Windows, emit: Emit) {
    let start = cast(cast(col("window_start"), DataType::Int64), DataType::Utf8);
    let id = concat(vec![coalesce(vec![col("k"), lit("[null]")]), lit("@"), start]);
    let shown = [
        "rows", "count", "sum", "min", "max", "avg", "total", "first", "last", "distinct",
    ];
    app.stream("in", event())
        .watermark(strategy)
        .group_by([col("k")])
        .window(windows)
        .emit(emit)
        .aggregate("windows", all_aggregates())
        .results()
        .select(shown.map(col).into_iter().chain([id.alias("id")]))
        .to("out", json().with_key("id"));
}

fn suppressed(app: &Streams) {
    app.stream("in", event())
        .watermark(record_time(Duration::ZERO))
        .group_by([col("k")])
        .aggregate("all", all_aggregates())
        .suppress("calm", until(secs(10)))
        .to("out", json());
}

/// Aggregates by key and windows whose bounds are those of rows.
fn row_windows(app: &Streams, windows: Windows, emit: Emit) {
    app.stream("in", event())
        .watermark(record_time(Duration::ZERO))
        .group_by([col("k")])
        .window(windows.grace(secs(5)))
        .emit(emit)
        .aggregate("windows", all_aggregates())
        .to("out", json());
}

/// Joins of two streams. Windows reach as far as rows are out of order: Kafka Streams gives a row whose window, without grace, is over when it comes as
/// unmatched at once, and again with a partner that comes within grace.
fn joins(app: &Streams, window: JoinWindow, kind: fn(JoinedStream) -> JoinedStream) {
    let strategy = || record_time(Duration::ZERO);
    let left = app.stream("in", event()).watermark(strategy()).select([
        col("k"),
        col("n").alias("left"),
        col("s").alias("left_s"),
        col("at").alias("left_at"),
    ]);
    let right = app.stream("more", event()).watermark(strategy()).select([
        col("k"),
        col("n").alias("right"),
        col("at").alias("right_at"),
    ]);
    let joined = left.join(&right, on("k", "k"));
    kind(joined.within("joined", window.grace(secs(5)))).to("out", json());
}

/// Rows with what a table had at their time. Kafka Streams looks as soon as a row comes, so that the table's rows are in order.
fn versions(app: &Streams, kind: fn(VersionedLookup) -> VersionedLookup) {
    let strategy = || record_time(Duration::ZERO);
    let versions = app.stream("more", event()).watermark(strategy()).select([
        col("k").alias("key"),
        col("n").alias("right"),
        col("at").alias("right_at"),
    ]);
    let table = versions
        .to_table_deleting("versions", [col("key")], col("right").is_null())
        .versioned(secs(60));
    let rows = app.stream("in", event()).watermark(strategy()).select([
        col("k"),
        col("n").alias("left"),
        col("at").alias("left_at"),
    ]);
    let joined = rows.join(&table, on("k", "key")).as_of("joined").grace(secs(10));
    kind(joined)
        .select(["k", "left", "left_at", "right", "right_at"].map(col))
        .to("out", json());
}

/// The two tables of the table cases, with columns of their own.
fn two_tables(app: &Streams) -> [Table; 2] {
    let columns = vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("fk", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("gone", DataType::Boolean, true),
    ];
    let table = |topic: &str| {
        let rows = app.stream(topic, json_schema(Schema::new(columns.clone())));
        rows.to_table_deleting(format!("table-{topic}"), [col("k")], col("gone"))
    };
    let left = table("in").select([col("k"), col("fk"), col("n")]);
    let right = table("more").select([col("k").alias("id"), col("s")]);
    [left, right]
}

/// Each row with the one that it names.
fn foreign(app: &Streams, left: bool) {
    let [rows, others] = two_tables(app);
    let joined = rows.join_by("joined", &others, [col("fk")]);
    let joined = if left { joined.left() } else { joined };
    joined.select(["k", "fk", "n", "s"].map(col)).to("out", json());
}

fn tables(app: &Streams, kind: fn(TableJoin) -> TableJoin) {
    let [rows, others] = two_tables(app);
    kind(rows.join(&others)).to("out", json());
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
