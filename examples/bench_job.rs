//! The jobs that `tests/benches/streams.py` measures beside the same ones in Java, `tests/benches/streams/Job.java`.
//!
//! `bench_job words|windows|join INPUT OUTPUT application.id=ID bootstrap.servers=HOST:PORT KEY=VALUE…`, where the pairs are keys of
//! `StreamsConfig`. It prints "started" when its threads have their partitions, and ends when its standard input does.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{JobState, StreamsConfig, prelude::*};

const USAGE: &str = "usage: bench_job words|windows|join INPUT OUTPUT KEY=VALUE…, where the input of join is two topics, LEFT,RIGHT";
/// Short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, input, output, pairs @ ..] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|pair| pair.split_once('=').ok_or(USAGE))
        .collect::<Result<_, _>>()?;
    let id = pairs.iter().find(|(key, _)| *key == "application.id");
    let app = Streams::new(id.map_or("bench", |(_, id)| id));
    match job.as_str() {
        "words" => words(&app, input, output),
        "windows" => windows(&app, input, output),
        "join" => join(&app, input.split_once(',').ok_or(USAGE)?, output),
        _ => return Err(USAGE.into()),
    }
    let mut job = app.start(StreamsConfig::from_properties(pairs)?)?;
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

/// Counts words.
fn words(app: &Streams, input: &str, output: &str) {
    app.stream(input, text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("count")])
        .to(output, json());
}

/// How often each key occurred in each ten seconds; five seconds later it is too late. Every change is published.
fn windows(app: &Streams, input: &str, output: &str) {
    let events = json_schema(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
    ]));
    let start = cast(cast(col("window_start"), DataType::Int64), DataType::Utf8);
    let id = concat(vec![col("key"), lit("@"), start]).alias("id");
    app.stream(input, events)
        .watermark(bounded(col("at"), Duration::ZERO))
        .group_by([col("key")])
        .window(tumbling(Duration::from_secs(10)).grace(Duration::from_secs(5)))
        .emit(OnUpdate)
        .aggregate("per-key", [count_all().alias("n")])
        .results()
        .select([id, col("n")])
        .to(output, json().with_key("id"));
}

/// Values of both topics with one key that are no more than an hour apart; five seconds later it is too late.
fn join(app: &Streams, (left, right): (&str, &str), output: &str) {
    let side = |topic: &str, value: &str| {
        let schema = Schema::new(vec![
            Field::new("at", DataType::Int64, true),
            Field::new("v", DataType::Utf8, true),
        ]);
        app.stream(topic, json_schema(schema).with_key("key"))
            .watermark(bounded(col("at"), Duration::ZERO))
            .select([col("key"), col("v").alias(value)])
    };
    let window = join_window(Duration::from_secs(3600)).grace(Duration::from_secs(5));
    side(left, "l")
        .join(&side(right, "r"), on("key", "key"))
        .within("joined", window)
        .to(output, json().with_key("key"));
}
