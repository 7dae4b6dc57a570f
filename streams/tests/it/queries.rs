//! Questions to the stores of running jobs.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use millstream_streams::{
    ErrorKind, Guarantee, QueryError, StoreView, Streams, StreamsConfig, StreamsHandle, prelude::*,
};
use serde_json::Value;

use crate::client::{Cluster, PATIENCE, counts};
use crate::http::Http;

const PARTITIONS: i32 = 4;

/// Words and their counts.
fn table(rows: &RecordBatch) -> BTreeMap<String, i64> {
    let words = rows.column_by_name("word").unwrap().as_string_view();
    let counts = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>();
    let pairs = words.iter().zip(counts.iter());
    let table: BTreeMap<_, _> = pairs
        .map(|(word, n)| (word.unwrap().to_owned(), n.unwrap()))
        .collect();
    assert_eq!(table.len(), rows.num_rows(), "a word came twice");
    table
}

/// What the lines come to.
fn oracle(lines: &[String]) -> BTreeMap<String, i64> {
    let counts = counts(lines.iter().map(String::as_str)).into_iter();
    let number = |text: String| {
        serde_json::from_str::<Value>(&text).unwrap()["n"]
            .as_i64()
            .unwrap()
    };
    counts.map(|(word, text)| (word, number(text))).collect()
}

fn count_of(view: &StoreView, word: &str) -> Option<i64> {
    let row = view.get(&[lit(word)]).unwrap()?;
    Some(table(&row)[word])
}

fn lines(number: usize) -> Vec<String> {
    (0..number)
        .map(|n| format!("same word{} other{}", n % 53, n % 7))
        .collect()
}

fn config(cluster: &Cluster, local: bool) -> StreamsConfig {
    let config = cluster
        .config()
        .threads(2)
        .set("commit.interval.ms", "30")
        .unwrap();
    match local {
        true => config,
        false => config.state_dir(""),
    }
}

fn answers_while_it_runs(local: bool, guarantee: Guarantee, test: &str) {
    let cluster = Cluster::new(test);
    cluster.create_topic("lines", PARTITIONS);
    cluster.create_topic("counts", 1);
    let app = || cluster.word_count().guarantee(guarantee);
    let job = app().start(config(&cluster, local)).unwrap();
    let view = job.store("counts").unwrap().patience(PATIENCE);

    // What is seen was written, and never goes back.
    let (written, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let reading = {
        let (view, written, done) = (view.clone(), Arc::clone(&written), Arc::clone(&done));
        std::thread::spawn(move || {
            let (mut before, mut reads) = (0, 0_u64);
            while !done.load(Ordering::Acquire) {
                let seen = count_of(&view, "same").unwrap_or(0);
                let most = written.load(Ordering::Acquire);
                assert!(
                    before <= seen && seen <= most,
                    "{seen}, after {before} and of {most}"
                );
                before = seen;
                reads += 1;
            }
            reads
        })
    };
    let all = lines(600);
    for part in all.chunks(60) {
        written.fetch_add(60, Ordering::AcqRel);
        cluster.write("lines", PARTITIONS, part.iter().map(String::as_str));
    }
    job.drain(PATIENCE).unwrap();
    done.store(true, Ordering::Release);
    assert!(reading.join().unwrap() > 0);

    let expected = oracle(&all);
    assert_eq!(table(&view.range(&[], &[], 1_000).unwrap()), expected);
    for (word, n) in &expected {
        assert_eq!(count_of(&view, word), Some(*n), "{word}");
    }
    assert_eq!(count_of(&view, "absent"), None);
    let some = view.range(&[lit("other2")], &[lit("other4")], 1_000).unwrap();
    let between = |word: &&String| ("other2"..="other4").contains(&word.as_str());
    assert_eq!(
        table(&some).keys().collect::<Vec<_>>(),
        expected.keys().filter(between).collect::<Vec<_>>()
    );
    assert_eq!(view.range(&[], &[], 5).unwrap().num_rows(), 5);

    // Another process, or this one later, has the same to say.
    job.stop(PATIENCE).unwrap();
    assert!(matches!(
        view.get(&[lit("same")]),
        Err(QueryError::Stopped { .. })
    ));
    let job = app().start(config(&cluster, local)).unwrap();
    let view = job.store("counts").unwrap().patience(PATIENCE);
    for (word, n) in &expected {
        assert_eq!(count_of(&view, word), Some(*n), "{word}");
    }
    assert_eq!(table(&view.range(&[], &[], 1_000).unwrap()), expected);
    job.stop(PATIENCE).unwrap();
}

#[test]
fn local_stores_answer_while_a_job_runs() {
    answers_while_it_runs(true, Guarantee::ExactlyOnce, "queries-local");
}

#[test]
fn memory_answers_while_a_job_runs() {
    answers_while_it_runs(false, Guarantee::AtLeastOnce, "queries-memory");
}

/// Waits until `is` holds.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn open_windows_answer() {
    let cluster = Cluster::new("queries-windows");
    cluster.create_topic("views", 2);
    cluster.create_topic("results", 1);
    let schema = Schema::new(vec![
        Field::new("page", DataType::Utf8, true),
        Field::new("at", DataType::Int64, true),
    ]);
    let app = Streams::new(cluster.name("job"));
    app.stream(cluster.name("views"), json_schema(schema))
        .watermark(bounded(col("at"), Duration::from_millis(10)))
        .group_by([col("page")])
        .window(tumbling(Duration::from_millis(100)))
        .emit(OnWindowClose)
        .aggregate("per-page", [count_all().alias("views")])
        .to(cluster.name("results"), json());
    let job = app
        .start(
            config(&cluster, true)
                .set("queries.listener", "127.0.0.1:0")
                .unwrap(),
        )
        .unwrap();
    let view = |page: &str, at: i64| format!(r#"{{"page":"{page}","at":{at}}}"#);
    for partition in 0..2 {
        cluster.write_to(
            "views",
            partition,
            &[view("a", 1_010), view("a", 1_120), view("b", 1_130)],
        );
    }
    let store = job.store("per-page").unwrap().patience(PATIENCE);
    let rows = |rows: &RecordBatch| -> Vec<(i64, i64)> {
        let starts = rows.column_by_name("window_start").unwrap();
        let starts = starts.as_primitive::<arrow::datatypes::TimestampMillisecondType>();
        let views = rows.column_by_name("views").unwrap().as_primitive::<Int64Type>();
        starts
            .values()
            .iter()
            .copied()
            .zip(views.values().iter().copied())
            .collect()
    };
    // The first window closes when both partitions are behind it; the second stays open.
    let of_a = |from: i64, to: i64| rows(&store.windows(&[lit("a")], from..to).unwrap());
    until("the second window", || of_a(1_100, 1_200) == [(1_100, 2)]);
    until("the first window closes", || of_a(0, 2_000) == [(1_100, 2)]);
    assert_eq!(store.all_windows(0..2_000, 10).unwrap().num_rows(), 2);
    assert_eq!(store.all_windows(1_000..1_100, 10).unwrap().num_rows(), 0);
    let error = store.get(&[lit("a")]).unwrap_err();
    assert!(
        error.to_string().contains("use windows(…)") && error.kind() == ErrorKind::FixInput,
        "{error}"
    );

    // SQL knows when windows begin and end.
    let statement = |condition: &str| {
        let rows = job.sql(&format!(
            "SELECT page, views FROM \"per-page\" WHERE {condition} ORDER BY page"
        ));
        rows.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>()
    };
    assert_eq!(statement("window_start >= '1970-01-01T00:00:01.100Z'"), 2);
    assert_eq!(statement("window_start < '1970-01-01T00:00:01.100Z'"), 0);
    assert_eq!(
        statement("window_start = '1970-01-01T00:00:01.100Z' AND page = 'a'"),
        1
    );
    assert_eq!(statement("window_end > '1970-01-01T00:00:01.200Z'"), 0);

    let mut http = Http::to(job.queries_address().unwrap());
    let page = http.get("/stores/per-page?key=%5B%22a%22%5D&window_from=1100&window_to=1200");
    assert_eq!(page["rows"][0]["views"], 2);
    assert_eq!(page["rows"][0]["window_start"], "1970-01-01T00:00:01.100Z");
    assert_eq!(
        http.get("/stores/per-page?window_to=1100")["rows"],
        Value::Array(Vec::new())
    );
    job.stop(PATIENCE).unwrap();
}

fn start(cluster: &Cluster) -> StreamsHandle {
    let config = cluster.config().set("commit.interval.ms", "30").unwrap();
    let config = config.set("queries.listener", "127.0.0.1:0").unwrap();
    let config = config.set("session.timeout.ms", "6000").unwrap();
    cluster
        .word_count()
        .guarantee(Guarantee::ExactlyOnce)
        .start(config)
        .unwrap()
}

fn here(http: &mut Http) -> usize {
    http.get("/stores")["stores"][0]["here"].as_array().unwrap().len()
}

#[test]
fn every_instance_answers_for_all_while_they_come_and_go() {
    let cluster = Cluster::new("queries-instances");
    cluster.create_topic("lines", PARTITIONS);
    cluster.create_topic("counts", 1);
    let all = lines(300);
    cluster.write("lines", PARTITIONS, all.iter().map(String::as_str));
    let one = start(&cluster);
    one.drain(PATIENCE).unwrap();
    let expected = oracle(&all);
    let mut first = Http::to(one.queries_address().unwrap());
    assert_eq!(first.all().unwrap(), expected);

    // Questions go on while partitions move: each answer is the whole truth.
    let (address, done) = (one.queries_address().unwrap(), Arc::new(AtomicBool::new(false)));
    let asking = {
        let (done, expected) = (Arc::clone(&done), expected.clone());
        std::thread::spawn(move || {
            let (mut http, mut answers) = (Http::to(address), 0);
            while !done.load(Ordering::Acquire) {
                if let Some(n) = http.count("same") {
                    assert_eq!(n, expected["same"]);
                    answers += 1;
                }
                if let Some(rows) = http.all() {
                    assert_eq!(rows, expected);
                    answers += 1;
                }
            }
            answers
        })
    };
    let two = start(&cluster);
    let mut second = Http::to(two.queries_address().unwrap());
    until("both have partitions", || {
        here(&mut first) == 2 && here(&mut second) == 2
    });
    done.store(true, Ordering::Release);
    assert!(asking.join().unwrap() > 0);

    for http in [&mut first, &mut second] {
        until("an answer", || http.all().is_some());
        assert_eq!(http.all().unwrap(), expected);
        for (word, n) in &expected {
            until("an answer", || http.count(word) == Some(*n));
        }
        let page = http.get("/state");
        let instances = page["instances"].as_array().unwrap();
        for job in [&one, &two] {
            assert!(
                instances.contains(&Value::from(job.queries_address().unwrap().to_string())),
                "{page}"
            );
        }
        let (status, _) = http.ask("/stores/counts?local=true");
        assert_eq!(status, 200);
        // A partition is asked for its own keys alone.
        let places = (0..PARTITIONS).map(|partition| {
            let target = format!("/stores/counts?key=%5B%22same%22%5D&partition={partition}");
            http.ask(&target).0
        });
        let mut places: Vec<u16> = places.collect();
        places.sort_unstable();
        assert!(
            [[200, 400, 400, 400], [400, 400, 400, 421]].contains(&places[..].try_into().unwrap()),
            "{places:?}"
        );
    }
    // In process as well; and what is not here is not answered without being asked for.
    let view = two.store("counts").unwrap();
    let anywhere = view.clone().anywhere().patience(PATIENCE);
    assert_eq!(table(&anywhere.range(&[], &[], 10_000).unwrap()), expected);
    let of_others = expected
        .keys()
        .find_map(|word| view.get(&[lit(word.as_str())]).err());
    let error = of_others.unwrap();
    let text = error.to_string();
    assert!(matches!(error, QueryError::NotHere { .. }), "{error}");
    assert!(
        text.contains(&format!(
            "{} works on it; ask there",
            one.queries_address().unwrap()
        )),
        "{text}"
    );
    for (word, n) in &expected {
        assert_eq!(count_of(&anywhere, word), Some(*n), "{word}");
    }

    // SQL is answered of all partitions, in process and over HTTP.
    let (words, sum) = (expected.len() as i64, expected.values().sum::<i64>());
    for job in [&one, &two] {
        let rows = job
            .sql("SELECT count(*) AS words, sum(n) AS sum FROM counts")
            .unwrap();
        let value = |column: usize| rows[0].column(column).as_primitive::<Int64Type>().value(0);
        assert_eq!((value(0), value(1)), (words, sum));
    }
    for http in [&mut first, &mut second] {
        let page =
            http.get("/sql?query=SELECT+word,+n+FROM+counts+WHERE+word+IN+('same','other1')+ORDER+BY+word");
        let rows = format!(
            r#"[{{"word":"other1","n":{}}},{{"word":"same","n":{}}}]"#,
            expected["other1"], expected["same"]
        );
        assert_eq!(page["rows"], serde_json::from_str::<Value>(&rows).unwrap());
        assert_eq!(
            http.get("/sql?query=SELECT+sum(n)+AS+s+FROM+counts")["rows"][0]["s"],
            sum
        );
    }

    // The second goes on alone.
    one.stop(PATIENCE).unwrap();
    until("all partitions", || here(&mut second) == 4);
    until("an answer", || second.all().is_some_and(|rows| rows == expected));
    two.stop(PATIENCE).unwrap();
}

#[test]
fn requests_that_cannot_be_answered_say_why() {
    let cluster = Cluster::new("queries-http");
    cluster.create_topic("lines", 1);
    cluster.create_topic("counts", 1);
    let job = start(&cluster);
    let address = job.queries_address().unwrap();
    let mut http = Http::to(address);
    let mut refused = |target: &str, status: u16, text: &str| {
        let (found, page) = http.ask(target);
        let error = page["error"].as_str().unwrap_or_default();
        assert!(
            found == status && error.contains(text),
            "{target}: {found} {page}"
        );
    };
    refused("/", 404, "/stores/NAME?key=");
    refused("/stores/count", 404, "did you mean \"counts\"?");
    refused("/stores/counts?key=%5B%5D", 400, "its key is word");
    refused("/stores/counts?key=%5B", 400, "no JSON");
    refused("/stores/counts?key=1&from=2", 400, "give key, or from and to");
    refused("/stores/counts?window_from=1", 400, "it has no windows");
    refused("/stores/counts?limit=0", 400, "limit is between");
    refused("/stores/counts?keys=1", 400, "no parameter keys");
    refused("/stores/counts?partition=7", 400, "1 partitions");
    refused("/stores/counts?key=1&key=2", 400, "key is given twice");
    refused("/stores/counts?local=maybe", 400, "neither true nor false");
    refused("/stores/counts?job=other", 421, "not of other");
    refused("/sql", 400, "/sql?query=SELECT");
    refused("/sql?query=SELECT+1&limit=2", 400, "one parameter");
    refused("/sql?query=DROP+TABLE+counts", 400, "only SELECT reads stores");
    refused("/sql?query=SELECT+*+FROM+count", 404, "did you mean \"counts\"?");
    let (status, _) = http.send("POST /stores HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status, 405);
    let (status, page) = Http::to(address).send("HEAD /stores HTTP/1.1\r\n\r\n");
    assert_eq!((status, page), (405, Value::Null));
    // The whole address, as proxies are asked.
    let target = format!("http://{address}/stores/counts?limit=1");
    assert_eq!(http.get(&target)["limited"], false);
    let page = http.get("/topology");
    assert!(
        page["description"].as_str().unwrap().contains("aggregate counts"),
        "{page}"
    );
    assert_eq!(page["stores"][0]["key"][0]["name"], "word");

    let (status, _) =
        Http::to(address).send(&format!("GET /stores HTTP/1.1\r\nX: {}\r\n", "x".repeat(20_000)));
    assert_eq!(status, 431);
    let (status, _) = Http::to(address).send("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(status, 400);

    // Connections are counted, and those who close theirs make room.
    let mut open: Vec<Http> = (0..70).map(|_| Http::to(address)).collect();
    let mut answered = |http: &mut Http| http.ask("/state").0;
    let refused = open
        .iter_mut()
        .map(&mut answered)
        .filter(|status| *status == 503)
        .count();
    assert!((6..70).contains(&refused), "{refused}");
    drop(open);
    until("room", || Http::to(address).ask("/state").0 == 200);
    job.stop(PATIENCE).unwrap();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = cluster
        .config()
        .set("queries.listener", &taken.local_addr().unwrap().to_string())
        .unwrap();
    let error = cluster.word_count().start(config).unwrap_err().to_string();
    assert!(error.contains("name a free address"), "{error}");
    let config = cluster.config().set("queries.listener", "0.0.0.0:0").unwrap();
    let error = cluster.word_count().start(config).unwrap_err().to_string();
    assert!(error.contains("queries.advertised is missing"), "{error}");
    let config = cluster.config().set("queries.advertised", "h:1").unwrap();
    let error = cluster.word_count().start(config).unwrap_err().to_string();
    assert!(error.contains("queries.listener is missing"), "{error}");
}
