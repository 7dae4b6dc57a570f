//! Counts words exactly once for as long as it runs, on a cluster that is there already. Several of it share the work:
//! `cargo run --release -p millstream-examples --bin word_count_service bootstrap.servers=localhost:9092 num.stream.threads=2`
//!
//! It reads the topic `lines` and keeps the topic `word-counts` up to date, until its standard input ends.
use std::error::Error;
use std::io::{Read, stdin};

use millstream_streams::{StreamsConfig, prelude::*};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let properties = arguments.iter().map(|argument| {
        let property = argument.split_once('=');
        property.ok_or(format!("usage: word_count_service KEY=VALUE…, not {argument:?}"))
    });
    let config = StreamsConfig::from_properties(properties.collect::<Result<Vec<_>, _>>()?)?;

    let app = Streams::new("word-count").guarantee(ExactlyOnce);
    app.stream("lines", text("line"))
        .flat_map(split_words(col("line")).alias("word"))
        .select([lower(col("word")).alias("word")])
        .group_by([col("word")])
        .aggregate("counts", [count_all().alias("count")])
        .to("word-counts", json());
    let mut job = app.start(config)?;
    println!("started");
    let stop = job.stopper();
    std::thread::spawn(move || {
        // What comes does not matter, only that it ends.
        let _ = stdin().read_to_end(&mut Vec::new());
        stop();
    });
    Ok(job.wait()?)
}
