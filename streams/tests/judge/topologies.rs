//! The topologies of Judge.java in this crate's DSL.

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
];

fn row() -> Format {
    json_schema(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

fn all_aggregates() -> [Expr; 9] {
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
        .aggregate("all", all_and_distinct())
        .to("out", json());
}

fn all_and_distinct() -> Vec<Expr> {
    let mut all = Vec::from(all_aggregates());
    all.push(count_distinct(col("s")).alias("distinct"));
    all
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
        .aggregate("all", all_and_distinct())
        .to("out", json());
}
