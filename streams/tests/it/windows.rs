//! Windows, watermarks and late rows on a cluster.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use millstream_streams::{Guarantee, Streams, StreamsHandle, prelude::*};

use crate::client::{Cluster, PATIENCE};

fn app(cluster: &Cluster, guarantee: Guarantee) -> Streams {
    let schema = Schema::new(vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let app = Streams::new(cluster.name("job")).guarantee(guarantee);
    let strategy = bounded(col("at"), Duration::from_millis(10)).idle_after(Duration::from_secs(1));
    let per_page = app
        .stream(cluster.name("views"), json_schema(schema))
        .watermark(strategy)
        .group_by([col("page")])
        .window(tumbling(Duration::from_millis(100)).grace(Duration::from_millis(20)))
        .emit(OnWindowClose)
        .aggregate("per-page", [count_all().alias("views")]);
    per_page.to(cluster.name("results"), json());
    per_page.late().to(cluster.name("late"), json());
    app
}

fn job(cluster: &Cluster, guarantee: Guarantee) -> StreamsHandle {
    let config = cluster.config().set("commit.interval.ms", "50").unwrap();
    let config = config.set("metrics.listener", "127.0.0.1:0").unwrap();
    app(cluster, guarantee).start(config).unwrap()
}

fn view(page: &str, at: i64) -> String {
    format!(r#"{{"page":"{page}","at":{at}}}"#)
}

/// Waits until the topic has as many records; gives their values, sorted.
fn await_records(cluster: &Cluster, topic: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut values = cluster.texts(topic);
        values.sort();
        if values.len() >= count {
            assert_eq!(values.len(), count, "{values:?}");
            return values;
        }
        assert!(Instant::now() < deadline, "{topic} has only {values:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn scrape(job: &StreamsHandle) -> String {
    let mut stream = TcpStream::connect(job.metrics_address().unwrap()).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    page
}

fn windows_close_and_lateness_survives(guarantee: Guarantee, test: &str) {
    let cluster = Cluster::new(test);
    cluster.create_topic("views", 3);
    cluster.create_topic("results", 1);
    cluster.create_topic("late", 1);
    // Two partitions of three have something to say.
    cluster.write_to("views", 0, &[view("a", 1010), view("a", 1050), view("a", 1500)]);
    cluster.write_to("views", 1, &[view("a", 1020), view("b", 1400)]);
    let job = job(&cluster, guarantee);
    // The silent one is idle after a second, and the slower of the two others is at 1390.
    let results = await_records(&cluster, "results", 1);
    assert_eq!(results, [r#"{"views":3}"#]);
    let page = scrape(&job);
    let id = cluster.name("job");
    let has = |line: String| assert!(page.contains(&line), "{line}\n{page}");
    has(format!(
        "millstream_streams_watermark_milliseconds{{application_id=\"{id}\",sub_topology=\"0\",partition=\"0\"}} 1490\n"
    ));
    has(format!(
        "millstream_streams_lag_records{{application_id=\"{id}\",topic=\"{}\",partition=\"2\"}} 0\n",
        cluster.name("views")
    ));
    has("millstream_streams_store_keys{".to_owned());
    job.stop(PATIENCE).unwrap();

    // Late for 1000 to 1100 in its own partition, of whose earlier records the next process has read nothing.
    let job = self::job(&cluster, guarantee);
    cluster.write_to("views", 0, &[view("late", 1099), view("a", 1510)]);
    let late = await_records(&cluster, "late", 1);
    assert_eq!(late, [view("late", 1099)]);
    // All three go on to 2000, which closes what is open.
    for partition in 0..3 {
        cluster.write_to("views", partition, &[view("end", 2000)]);
    }
    let results = await_records(&cluster, "results", 3);
    assert_eq!(results, [r#"{"views":1}"#, r#"{"views":2}"#, r#"{"views":3}"#]);
    assert_eq!(job.metrics().sub_topologies[1].late_rows, 1);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn windows_close_and_lateness_survives_exactly_once() {
    windows_close_and_lateness_survives(Guarantee::ExactlyOnce, "windows-eos");
}

#[test]
fn windows_close_and_lateness_survives_at_least_once() {
    windows_close_and_lateness_survives(Guarantee::AtLeastOnce, "windows-alo");
}

/// Nobody knew where reading had begun, so that nobody could say that nothing had come since, and windows of the other partition
/// never closed.
#[test]
fn partitions_read_from_their_end_become_idle() {
    let cluster = Cluster::new("windows-latest");
    cluster.create_topic("views", 2);
    cluster.create_topic("results", 1);
    cluster.create_topic("late", 1);
    for partition in 0..2 {
        cluster.write_to("views", partition, &[view("before", 5000)]);
    }
    let config = cluster.config().set("commit.interval.ms", "50").unwrap();
    let config = config.set("auto.offset.reset", "latest").unwrap();
    let job = app(&cluster, Guarantee::AtLeastOnce).start(config).unwrap();
    await_reading(&job);
    cluster.write_to("views", 0, &[view("a", 1010), view("a", 1500)]);
    assert_eq!(await_records(&cluster, "results", 1), [r#"{"views":1}"#]);
    job.stop(PATIENCE).unwrap();
}

/// Nobody had committed where reading began, so that a drain waited for what was there before, and a member whose first epoch did not
/// count began at a later end.
#[test]
fn where_reading_begins_at_the_end_is_committed_at_once() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let cluster = Cluster::new(&format!("begins-at-end-{guarantee:?}").to_lowercase());
        cluster.create_topic("views", 1);
        cluster.create_topic("results", 1);
        cluster.create_topic("late", 1);
        cluster.write_to("views", 0, &[view("before", 5000)]);
        let config = cluster.config().set("commit.interval.ms", "50").unwrap();
        let config = config.set("auto.offset.reset", "latest").unwrap();
        let job = app(&cluster, guarantee).start(config.clone()).unwrap();
        await_reading(&job);
        job.drain(PATIENCE).unwrap();
        job.stop(PATIENCE).unwrap();
        // While nobody reads.
        cluster.write_to("views", 0, &[view("a", 1010), view("a", 9000), view("a", 60_000)]);
        let job = app(&cluster, guarantee).start(config).unwrap();
        job.drain(PATIENCE).unwrap();
        assert_eq!(await_records(&cluster, "results", 2), [r#"{"views":1}"#; 2]);
        job.stop(PATIENCE).unwrap();
    }
}

/// Waits until the job has its partitions.
fn await_reading(job: &StreamsHandle) {
    let deadline = Instant::now() + PATIENCE;
    while job.metrics().tasks.is_empty() {
        assert!(Instant::now() < deadline, "the job gets no partitions");
        std::thread::sleep(Duration::from_millis(50));
    }
    // What is reported is up to half a second old, and so is what is assigned.
    std::thread::sleep(Duration::from_secs(1));
}
