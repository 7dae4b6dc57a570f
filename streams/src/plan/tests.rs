//! Faulty topologies and their messages; the shape of good ones.
use super::PlanError;
use crate::{
    Streams, StreamsError, avg, cast, col, count_all, json, lit, lower, max, min, raw, split_words, sum, text,
};
use arrow::datatypes::DataType;

fn error(app: &Streams) -> String {
    match app.build() {
        Err(StreamsError::Plan(error)) => error.to_string(),
        Err(other) => panic!("another error: {other}"),
        Ok(topology) => panic!("no error:\n{}", topology.describe()),
    }
}

#[test]
fn names_follow_kafkas_rules() {
    let app = Streams::new("no spaces");
    app.stream("in", text("line")).to("out", json());
    assert_eq!(
        error(&app),
        "the application id \"no spaces\" is not a legal name: only ASCII letters, digits, \".\", \"_\" and \"-\" are allowed"
    );
    let app = Streams::new("app");
    app.stream("in", text("line")).to("", json());
    assert_eq!(error(&app), "the topic \"\" is not a legal name: it is empty");
    let app = Streams::new("a".repeat(240));
    app.stream("in", text("line"))
        .group_by([col("line")])
        .aggregate("counts", [count_all()])
        .to("out", json());
    assert!(error(&app).contains("longer than 249"), "{}", error(&app));
}

#[test]
fn every_stream_ends_in_a_sink() {
    let app = Streams::new("app");
    assert_eq!(
        error(&app),
        "the job \"app\" reads nothing; start with .stream(topic, format)"
    );
    let lines = app.stream("in", text("line"));
    assert_eq!(
        error(&app),
        "stream in leads nowhere; end it with .to(topic, format)"
    );
    lines.to("out", json());
    let filtered = lines.filter(col("line").is_not_null());
    assert_eq!(
        error(&app),
        "filter line IS NOT NULL leads nowhere; end it with .to(topic, format)"
    );
    filtered.to("in", json());
    assert!(error(&app).starts_with("the job reads and writes the topic \"in\""));
}

#[test]
fn columns_and_types_are_checked_where_they_are_used() {
    let line = || Streams::new("app").stream("in", text("line"));
    let check = |app: Streams, expected: &str| assert_eq!(error(&app), expected);

    let app = Streams::new("app");
    app.stream("in", text("line"))
        .flat_map(split_words(col("lines")))
        .to("out", json());
    check(
        app,
        "flat_map: there is no column \"lines\", only line; did you mean \"line\"?",
    );

    let app = Streams::new("app");
    app.stream("in", text("line"))
        .flat_map(lower(col("line")))
        .to("out", json());
    check(app, "flat_map: lower(line) is of type Utf8View, not a list");

    let app = Streams::new("app");
    app.stream("in", text("line"))
        .filter(lower(col("line")))
        .to("out", json());
    check(app, "filter: lower(line) is of type Utf8View, not a Boolean");

    let app = Streams::new("app");
    app.stream("in", text("line"))
        .select([col("line"), lower(col("line")).alias("line")])
        .to("out", json());
    check(
        app,
        "select: two columns are named \"line\"; rename one with .alias(name)",
    );

    let app = Streams::new("app");
    app.stream("in", text("line")).select([]).to("out", json());
    check(app, "select: no columns given");

    let app = Streams::new("app");
    app.stream("in", json()).to("out", json());
    check(
        app,
        "the topic \"in\" cannot be read as json, which only writes; use text(column) or raw()",
    );

    let app = Streams::new("app");
    app.stream("in", text("line")).to("out", text("word"));
    check(
        app,
        "sink out: cannot write as text(word): there is no column \"word\"",
    );

    let app = Streams::new("app");
    app.stream("in", text("a")).to("out", json());
    app.stream("in", raw()).to("out", json());
    check(
        app,
        "the topic \"in\" is read in two formats, text(a) and raw; read it once and branch the stream",
    );
    drop(line());
}

#[test]
fn aggregates_are_checked() {
    let build = |keys: Vec<crate::Expr>, aggregates: Vec<crate::Expr>| {
        let app = Streams::new("app");
        app.stream("in", text("line"))
            .group_by(keys)
            .aggregate("step", aggregates)
            .to("out", json());
        error(&app)
    };
    assert_eq!(
        build(vec![], vec![count_all()]),
        "aggregate step: no key columns given"
    );
    assert_eq!(
        build(vec![col("line")], vec![]),
        "aggregate step: no aggregates given"
    );
    assert_eq!(
        build(vec![col("line")], vec![lower(col("line"))]),
        "aggregate step: lower(line) is not an aggregate; use count_all(), sum(…), min(…), max(…) or avg(…)"
    );
    assert_eq!(
        build(vec![split_words(col("line")).alias("w")], vec![count_all()]),
        "aggregate step: cannot group by \"w\" of type List(non-null Utf8View); \
         cast it to a string, a number or a timestamp"
    );
    let message = build(vec![col("line")], vec![sum(col("line"))]);
    assert!(
        message.starts_with("aggregate step: sum(line) does not compile: "),
        "{message}"
    );
    let message = build(vec![col("line")], vec![max(col("word"))]);
    assert_eq!(message, "aggregate step: there is no column \"word\", only line");
    let message = build(vec![col("line")], vec![count_all().alias("line")]);
    assert_eq!(
        message,
        "aggregate step: two columns are named \"line\"; rename one with .alias(name)"
    );

    let app = Streams::new("app");
    let by_line = app.stream("in", text("line")).group_by([col("line")]);
    by_line.aggregate("step", [count_all()]).to("a", json());
    by_line.aggregate("step", [count_all()]).to("b", json());
    let duplicate = app.build().unwrap_err();
    assert!(
        matches!(duplicate, StreamsError::Plan(PlanError::DuplicateStep { .. })),
        "{duplicate}"
    );
}

#[test]
fn a_format_that_would_lose_a_tables_key_is_refused() {
    let build = |keys: Vec<crate::Expr>, value: &str, format| {
        let app = Streams::new("app");
        app.stream("in", text("line"))
            .with_column("len", crate::length(col("line")))
            .group_by(keys)
            .aggregate("step", [max(col("line")).alias(value)])
            .to("out", format);
        app
    };
    let remedy = "use json(), or group by what the format can carry";
    assert_eq!(
        error(&build(vec![col("line"), col("len")], "last", text("last"))),
        format!(
            "sink out: cannot write as text(last): the table's key (line, len) is not one string column; {remedy}"
        )
    );
    assert_eq!(
        error(&build(vec![col("len")], "last", text("last"))),
        format!(
            "sink out: cannot write as text(last): the table's key (len) is not one string column; {remedy}"
        )
    );
    assert_eq!(
        error(&build(vec![col("line")], "value", raw())),
        format!(
            "sink out: cannot write as raw: the table's key (line) is not one column named \"key\"; {remedy}"
        )
    );
    let (key, line) = (col("line").alias("key"), col("line"));
    assert!(error(&build(vec![key.clone(), line.clone()], "value", raw())).contains("(key, line)"));
    build(vec![key], "value", raw()).build().unwrap();
    build(vec![line], "last", text("last")).build().unwrap();
}

#[test]
fn one_source_feeds_several_steps_and_sub_topologies() {
    let app = Streams::new("app");
    let lines = app.stream("in", text("line"));
    lines.filter(col("line").not_eq(lit(""))).to("full", text("line"));
    let sizes = lines.with_column("size", cast(crate::length(col("line")), DataType::Int64));
    sizes
        .group_by([col("line")])
        .aggregate(
            "stats",
            [min(col("size")).alias("least"), avg(col("size")).alias("mean")],
        )
        .to("stats", json());
    app.stream("in", text("line"))
        .group_by([col("line")])
        .aggregate("n", [count_all()])
        .to("n", json());
    app.stream("other", raw()).to("copy", raw());

    let topology = app.build().unwrap();
    assert_eq!(topology.source_topics(), ["in", "other"]);
    assert_eq!(
        topology.internal_topics(),
        [
            "app-stats-repartition",
            "app-n-repartition",
            "app-stats-changelog",
            "app-n-changelog"
        ]
    );
    assert_eq!(topology.application_id(), "app");
    assert_eq!(
        topology.describe(),
        "\
job app
sub-topology 0
  source in as text(line)
    filter line != Utf8(\"\")
      sink full as text(line)
    with_column CAST(character_length(line) AS Int64) AS size
      partial aggregate stats: line → min(size) AS least, avg(size) AS mean
        repartition app-stats-repartition
    partial aggregate n: line → count(Int64(1)) AS count(*)
      repartition app-n-repartition
sub-topology 1
  repartition app-stats-repartition
    aggregate stats: line → min(size) AS least, avg(size) AS mean (table)
      changelog app-stats-changelog
      sink stats as json
sub-topology 2
  repartition app-n-repartition
    aggregate n: line → count(Int64(1)) AS count(*) (table)
      changelog app-n-changelog
      sink n as json
sub-topology 3
  source other as raw
    sink copy as raw
"
    );
}

#[test]
fn branches_and_merges_are_shown_and_checked() {
    let app = Streams::new("app");
    let one = app.stream("one", text("line"));
    let two = app.stream("two", text("line"));
    let ([empty], rest) = one.merge(&two).branch([col("line").eq(lit(""))]);
    rest.to("rest", json());
    rest.merge(&rest)
        .group_by([col("line")])
        .aggregate("n", [count_all().alias("n")])
        .to("n", json());
    drop(empty);
    let topology = app.build().unwrap();
    assert_eq!(topology.sub_topologies.len(), 2, "one task reads both");
    assert_eq!(topology.repartitions[0].upstream, 0);
    assert_eq!(topology.changelogs[0].sub, 1);
    let text_of_two = "\
job app
sub-topology 0
  source one as text(line)
    branch
      → the rest
        sink rest as json
        partial aggregate n: line → count(Int64(1)) AS n
          repartition app-n-repartition
        partial aggregate n: line → count(Int64(1)) AS n
          repartition app-n-repartition
  source two as text(line)
    branch
      → the rest
        sink rest as json
        partial aggregate n: line → count(Int64(1)) AS n
          repartition app-n-repartition
        partial aggregate n: line → count(Int64(1)) AS n
          repartition app-n-repartition
sub-topology 1
  repartition app-n-repartition
    aggregate n: line → count(Int64(1)) AS n (table)
      changelog app-n-changelog
      sink n as json
";
    assert_eq!(topology.describe(), text_of_two);
    let chart = "\
flowchart TD
  subgraph sub0[\"sub-topology 0\"]
    s0_0[\"branch\"]
    s0_2[\"partial aggregate n: line → count(Int64(1)) AS n\"]
  end
  subgraph sub1[\"sub-topology 1\"]
    s1_0[\"aggregate n: line → count(Int64(1)) AS n (table)\"]
  end
  t0[(\"one\")] --> s0_0
  t1[(\"two\")] --> s0_0
  s0_0 -->|\"the rest\"| t2[(\"rest\")]
  s0_0 -->|\"the rest\"| s0_2
  s0_0 -->|\"the rest\"| s0_2
  s0_2 --> t3[(\"app-n-repartition\")]
  t3 --> s1_0
  s1_0 -.-> t4[(\"app-n-changelog\")]
  s1_0 --> t5[(\"n\")]
";
    assert_eq!(topology.mermaid(), chart);

    let app = Streams::new("app");
    app.stream("one", text("line"))
        .merge(&app.stream("two", text("other")))
        .to("out", json());
    assert_eq!(
        app.build().unwrap_err().to_string(),
        "merge: stream two has the columns (other Utf8View), the first stream has (line Utf8View); select the same ones first"
    );
    let app = Streams::new("app");
    let (_, rest) = app.stream("one", text("line")).branch([col("line")]);
    rest.to("out", json());
    let error = app.build().unwrap_err().to_string();
    assert!(
        error.starts_with("branch: line is of type Utf8View, not a truth value"),
        "{error}"
    );
}

#[test]
fn formats_are_checked_against_the_rows() {
    let build = |format: crate::Format| {
        let app = Streams::new("app");
        app.stream("in", text("line").with_key("k").with_offset("o"))
            .to("out", format);
        app.build()
            .map(|topology| topology.describe())
            .map_err(|error| error.to_string())
    };
    assert!(
        build(json().with_key("k"))
            .unwrap()
            .contains("source in as text(line) with key as k with offset as o")
    );
    let error = build(json().with_key("o")).unwrap_err();
    assert!(
        error.contains("column \"o\" is Int64, not a string or binary"),
        "{error}"
    );
    let error = build(json().with_headers("k")).unwrap_err();
    assert!(
        error.contains("with_headers is for reading; leave with_headers(\"k\") out"),
        "{error}"
    );

    let app = Streams::new("app");
    app.stream("in", text("line").with_key("line")).to("out", json());
    assert!(app.build().unwrap_err().to_string().contains("line"));
    let app = Streams::new("app");
    let counts = app.stream("in", text("line")).group_by([col("line")]);
    counts
        .aggregate("n", [count_all().alias("n")])
        .to("out", json().with_key("line"));
    let error = app.build().unwrap_err().to_string();
    assert!(
        error.contains("the key of a table's records is the table's"),
        "{error}"
    );
}

/// Tasks that read what they write waited for their own watermark: windows behind such a merge never closed.
#[test]
fn time_does_not_go_in_circles() {
    let job = |both: bool, windows: bool| {
        let app = Streams::new("app");
        let lines = app.stream("in", text("line"));
        let moved = lines.repartition("moved", [col("line")]);
        let other = match both {
            true => lines.repartition("too", [col("line")]),
            false => lines,
        };
        let merged = moved.merge(&other);
        let counts = [count_all().alias("n")];
        match windows {
            true => {
                let windows = crate::tumbling(std::time::Duration::from_secs(1));
                let grouped = merged.group_by([col("line")]).window(windows);
                grouped.aggregate("counts", counts).to("out", json());
            }
            false => drop(merged.to("out", json())),
        }
        app.build().map_err(|error| error.to_string())
    };
    let error = job(false, true).unwrap_err();
    assert!(
        error.contains("app-moved-repartition") && error.contains("put .repartition"),
        "{error}"
    );
    assert!(job(true, true).is_ok());
    assert!(job(false, false).is_ok(), "without windows nobody waits");
}
