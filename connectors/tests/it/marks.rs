//! Marks, with transactions that commit all the while.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millstream_connectors::mysql::binlog::{Decoder, Event, Limits, Place};
use millstream_connectors::mysql::client::{Client, DumpStart, Mark, compare_places};
use millstream_connectors::mysql::schema::TableId;

use crate::log;
use crate::servers::{KINDS, Kind, Server};

const WRITERS: u64 = 4;

/// What of a chunk's reading is to be judged by the log.
struct Sample {
    low: Mark,
    /// Of each writer: the last row that a SELECT between the marks saw.
    seen: Vec<u64>,
    high: Place,
}

/// Writers, each of which counts up in a row of its own, a transaction for each step.
async fn write(
    server: &Server,
    stop: &Arc<AtomicBool>,
    written: &Arc<AtomicU64>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let mut client = Client::connect(&server.config("root", "")).await.unwrap();
        let (stop, written) = (stop.clone(), written.clone());
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                client
                    .execute(&format!("UPDATE marks.t SET v = v + 1 WHERE id = {writer}"))
                    .await
                    .unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    tasks
}

/// As many that the writers wrote as often beside them.
async fn samples(client: &mut Client, written: &AtomicU64) -> Vec<Sample> {
    let table = TableId::new("marks", "t");
    let mut samples = Vec::new();
    while samples.len() < 100 || (written.load(Ordering::Relaxed) < 150 && samples.len() < 20_000) {
        let low = client.low_mark(&table).await.unwrap();
        let rows = client.query("SELECT v FROM marks.t ORDER BY id").await.unwrap();
        let high = client.high_mark().await.unwrap();
        let seen = rows
            .iter()
            .map(|row| row.text(0).unwrap().parse().unwrap())
            .collect();
        samples.push(Sample { low, seen, high });
    }
    samples
}

/// A transaction of the log: who wrote, which number, and where it ends.
struct Step {
    writer: usize,
    value: u64,
    gtid: Option<millstream_connectors::mysql::gtid::Gtid>,
    end: Place,
}

async fn steps(server: &Server, begin: &Place) -> Vec<Step> {
    let until = log::end(server).await;
    let mut stream = server
        .root()
        .await
        .dump(&log::request(80, DumpStart::Place(begin.clone())))
        .await
        .unwrap();
    let mut decoder = Decoder::new(&begin.file, begin.position, Limits::default());
    let (mut steps, mut gtid, mut change) = (Vec::new(), None, None);
    loop {
        decoder.push(stream.next().await.unwrap().unwrap());
        let mut committed = false;
        while let Some(event) = decoder.next().unwrap() {
            match event {
                Event::Start(start) => gtid = start.gtid,
                Event::Rows(mut rows) => {
                    let mut row = Default::default();
                    while rows.read_row(&mut row).unwrap() {
                        let number = |index: usize| format!("{:?}", row.after[index]);
                        let digits =
                            |text: String| text.chars().filter(char::is_ascii_digit).collect::<String>();
                        change = Some((
                            digits(number(0)).parse().unwrap(),
                            digits(number(1)).parse().unwrap(),
                        ));
                    }
                }
                Event::Commit(_) => committed = true,
                _ => {}
            }
        }
        let at = Place {
            file: decoder.place().file.clone(),
            position: decoder.next_position(),
        };
        if let Some((writer, value)) = change.take_if(|_| committed) {
            steps.push(Step {
                writer,
                value,
                gtid: gtid.take(),
                end: at.clone(),
            });
        }
        if compare_places(&at, &until).is_ge() {
            return steps;
        }
    }
}

async fn judge(kind: Kind, options: &[&str], user: &str, expected: fn(&Mark) -> bool) {
    let server = Server::lent(kind, options);
    let mut client = server.database("marks").await;
    client
        .execute("CREATE TABLE t (id int primary key, v int unsigned not null)")
        .await
        .unwrap();
    for writer in 0..WRITERS {
        client
            .execute(&format!("INSERT INTO t VALUES ({writer}, 0)"))
            .await
            .unwrap();
    }
    client.execute("CREATE USER least@localhost").await.unwrap();
    client
        .execute("GRANT REPLICATION CLIENT ON *.* TO least@localhost")
        .await
        .unwrap();
    client
        .execute("GRANT SELECT, LOCK TABLES ON marks.* TO least@localhost")
        .await
        .unwrap();
    let begin = client.log_end().await.unwrap().place;
    let (stop, written) = (Arc::default(), Arc::default());
    let tasks = write(&server, &stop, &written).await;
    let mut reader = Client::connect(&server.config(user, "")).await.unwrap();
    let samples = samples(&mut reader, &written).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(
        written.load(Ordering::Relaxed) >= 150,
        "the writers wrote beside it"
    );
    let steps = steps(&server, &begin).await;
    for sample in &samples {
        assert!(expected(&sample.low), "{:?}", sample.low);
        for step in &steps {
            let seen = step.value <= sample.seen[step.writer];
            let in_low = match &sample.low {
                Mark::Gtids(set) => set.contains(step.gtid.as_ref().unwrap()),
                Mark::Place(place) => compare_places(&step.end, place).is_le(),
            };
            assert!(
                seen || !in_low,
                "{kind:?}: the low mark {:?} has {} {}, which a SELECT behind it did not see",
                sample.low,
                step.writer,
                step.value
            );
            let in_high = compare_places(&step.end, &sample.high).is_le();
            assert!(
                in_high || !seen,
                "{kind:?}: a SELECT saw {} {}, which the high mark {} does not have",
                step.writer,
                step.value,
                sample.high
            );
        }
    }
}

const NO_GTIDS: [&str; 2] = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_by_gtids_hold_what_they_promise() {
    judge(Kind::MySql97, &[], "root", |mark| matches!(mark, Mark::Gtids(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_by_place_hold_what_they_promise() {
    for (kind, options, user) in [
        (Kind::MySql97, &NO_GTIDS[..], "root"),
        (Kind::MySql97, &NO_GTIDS, "least"),
        (Kind::MySql56, &NO_GTIDS, "least"),
        // Its GTIDs are ahead of what SELECTs see.
        (Kind::MySql56, &[], "least"),
        (Kind::MariaDb, &[], "least"),
    ] {
        judge(kind, options, user, |mark| matches!(mark, Mark::Place(_))).await;
    }
}

#[tokio::test]
async fn without_a_privilege_the_table_is_locked_for_a_moment() {
    let server = Server::lent(Kind::MySql97, &NO_GTIDS);
    let mut root = server.database("locked").await;
    root.execute("CREATE TABLE t (id int primary key)").await.unwrap();
    root.execute("CREATE USER locker@localhost IDENTIFIED BY 'x'")
        .await
        .unwrap();
    root.execute("GRANT REPLICATION CLIENT ON *.* TO locker@localhost")
        .await
        .unwrap();
    root.execute("GRANT SELECT, LOCK TABLES ON locked.* TO locker@localhost")
        .await
        .unwrap();
    let mut client = Client::connect(&server.config("locker", "x")).await.unwrap();
    let table = TableId::new("locked", "t");
    let mark = client.low_mark(&table).await.unwrap();
    assert_eq!(mark, Mark::Place(log::end(&server).await));
    // Nobody waits any more.
    root.execute("INSERT INTO t VALUES (1)").await.unwrap();
    // Who does not get the lock says so in time.
    root.execute("LOCK TABLES t WRITE").await.unwrap();
    client
        .set_lock_timeout(std::time::Duration::from_secs(1))
        .await
        .unwrap();
    let error = client.low_mark(&table).await.unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        (Some(1205), millstream_connect::plugin::ErrorKind::Retriable)
    );
    root.execute("UNLOCK TABLES").await.unwrap();
    client.low_mark(&table).await.unwrap();
}

async fn patience(client: &mut Client) -> u32 {
    let rows = client.query("SELECT @@SESSION.wait_timeout").await.unwrap();
    rows[0].text(0).unwrap().parse().unwrap()
}

/// A client that is gone without a word keeps nobody waiting for long.
#[tokio::test]
async fn servers_take_locks_back_from_who_says_nothing() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut client = server.database("patient").await;
        client
            .execute("CREATE TABLE t (id int primary key)")
            .await
            .unwrap();
        assert!(patience(&mut client).await > 100_000);
        client.lock_table(&TableId::new("patient", "t")).await.unwrap();
        assert_eq!(patience(&mut client).await, 120);
        client.ping().await.unwrap();
        client.unlock_tables().await.unwrap();
        assert!(patience(&mut client).await > 100_000, "{kind:?}");
    }
}

#[tokio::test]
async fn a_snapshot_of_mariadb_says_exactly_where_it_is() {
    let server = Server::lent(Kind::MariaDb, &[]);
    let mut writer = server.database("exact").await;
    writer
        .execute("CREATE TABLE t (id int primary key)")
        .await
        .unwrap();
    let mut reader = server.root().await;
    let place = reader.exact_snapshot().await.unwrap().unwrap();
    assert_eq!(place, log::end(&server).await);
    writer.execute("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(reader.query("SELECT * FROM exact.t").await.unwrap(), []);
    reader.execute("COMMIT").await.unwrap();
    assert_eq!(reader.query("SELECT * FROM exact.t").await.unwrap().len(), 1);
}
