//! Counts the views of each page in windows of ten seconds for as long as it runs, exactly once, on a cluster that is there already:
//! `cargo run --release -p millstream-examples --bin page_views_service bootstrap.servers=localhost:9092`
//!
//! It reads the topic `views`, JSON objects with `page`, `user` and `at` (milliseconds since 1970), and writes `views-per-page` once a window
//! is complete. Views that come later than that go to `late-views` as they are. It stops when its standard input ends.
use std::error::Error;
use std::io::{Read, stdin};
use std::time::Duration;

use millstream_streams::{StreamsConfig, prelude::*};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let properties = arguments.iter().map(|argument| {
        let property = argument.split_once('=');
        property.ok_or(format!("usage: page_views_service KEY=VALUE…, not {argument:?}"))
    });
    let config = StreamsConfig::from_properties(properties.collect::<Result<Vec<_>, _>>()?)?;

    let schema = Schema::new(vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("user", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let app = Streams::new("page-views").guarantee(ExactlyOnce);
    let views = app.stream("views", json_schema(schema));
    let per_page = views
        .watermark(bounded(col("at"), Duration::from_secs(2)))
        .group_by([col("page")])
        .window(tumbling(Duration::from_secs(10)).grace(Duration::from_secs(3)))
        .emit(OnWindowClose)
        .aggregate(
            "per-page",
            [
                count_all().alias("views"),
                sum(col("user")).alias("checksum"),
                count_distinct(col("user")).alias("users"),
            ],
        );
    per_page.to("views-per-page", json());
    per_page.late().to("late-views", json());
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
