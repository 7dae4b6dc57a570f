//! XA transactions: prepared at one place, committed or rolled back at another.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span;

use super::made::{Log, xid};
use super::server::{Server, run, uncut};
use crate::mysql::stream::{HeldLimits, LogPosition, Resume, Stream, StreamOptions};

fn options(memory_bytes: usize) -> StreamOptions {
    StreamOptions {
        hold_bytes: 0,
        held: HeldLimits::with_memory(memory_bytes),
        ..StreamOptions::default()
    }
}

/// Three of them, one within the other, between ordinary transactions.
fn mysql() -> Log {
    let mut log = Log::mysql();
    let prepare = |log: &mut Log, name: &str, values: &[i32]| {
        let xid = xid(name);
        log.gtid()
            .query(&format!("XA START {xid}"))
            .rows("i", &values[..1])
            .rows("i", &values[1..]);
        log.query(&format!("XA END {xid}")).xa_prepare(&xid, false);
    };
    let end = |log: &mut Log, verb: &str, name: &str| {
        log.gtid().query(&format!("XA {verb} {}", xid(name)));
    };
    log.transaction("i", &[1]);
    prepare(&mut log, "a", &[10, 11, 12]);
    log.transaction("i", &[2]);
    prepare(&mut log, "b", &[20, 21]);
    log.transaction("i", &[3]);
    end(&mut log, "COMMIT", "a");
    prepare(&mut log, "c", &[30, 31]);
    end(&mut log, "ROLLBACK", "b");
    log.transaction("i", &[4]);
    end(&mut log, "COMMIT", "c");
    let one = xid("one");
    log.gtid()
        .query(&format!("XA START {one}"))
        .rows("i", &[40, 41])
        .query(&format!("XA END {one}"))
        .xa_prepare(&one, true);
    log.transaction("i", &[5]);
    log
}

fn mariadb() -> Log {
    let mut log = Log::mariadb();
    let (a, b) = (xid("a"), xid("b"));
    log.mariadb_gtid(0, None).rows("i", &[1]).commit();
    log.mariadb_gtid(64, Some(&a))
        .rows("i", &[10])
        .rows("i", &[11])
        .query(&format!("XA END {a}"))
        .xa_prepare(&a, false);
    log.mariadb_gtid(64, Some(&b))
        .rows("i", &[20])
        .query(&format!("XA END {b}"))
        .xa_prepare(&b, false);
    log.mariadb_gtid(0, None).rows("i", &[2]).query("COMMIT");
    log.mariadb_gtid(128 | 1, Some(&b))
        .query(&format!("XA COMMIT {b}"));
    log.mariadb_gtid(128 | 1, Some(&a))
        .query(&format!("XA ROLLBACK {a}"));
    log.mariadb_gtid(0, None).rows("i", &[3]).commit();
    log
}

#[test]
fn rows_are_told_once_they_are_committed() {
    let expected = [
        "begin 1",
        "1:d.i 1",
        "commit 1",
        "begin 3",
        "3:d.i 2",
        "commit 3",
        "begin 5",
        "5:d.i 3",
        "commit 5",
        "begin 6",
        "6:d.i 10",
        "6:d.i 11",
        "6:d.i 12",
        "commit 6",
        "begin 9",
        "9:d.i 4",
        "commit 9",
        "begin 10",
        "10:d.i 30",
        "10:d.i 31",
        "commit 10",
        "begin 11",
        "11:d.i 40",
        "11:d.i 41",
        "commit 11",
        "begin 12",
        "12:d.i 5",
        "commit 12",
    ];
    for memory_bytes in [0, 200, 1 << 20] {
        assert_eq!(mysql().told(options(memory_bytes)).unwrap(), expected);
    }
    let expected = [
        "begin 1", "1:d.i 1", "commit 1", "begin 4", "4:d.i 2", "commit 4", "begin 5", "5:d.i 20",
        "commit 5", "begin 7", "7:d.i 3", "commit 7",
    ];
    assert_eq!(mariadb().told(options(0)).unwrap(), expected);
}

#[test]
fn offsets_stay_before_what_is_prepared() {
    for log in [mysql(), mariadb()] {
        let (server, options) = (log.server(), options(100));
        let (expected, resumes) = uncut(&server, &options);
        let mut before = 0;
        for (told, resume) in resumes {
            before += usize::from(resume.read_from.is_some());
            // As a server without GTIDs would have it.
            let plain = |position: LogPosition| LogPosition {
                gtids: None,
                ..position
            };
            let by_place = Resume {
                position: plain(resume.position.clone()),
                read_from: resume.read_from.clone().map(plain),
                transaction: None,
                ..resume.clone()
            };
            for (resume, by_gtids) in [(&resume, true), (&resume, false), (&by_place, false)] {
                let mut stream = Stream::new(resume.clone(), options.clone());
                let again = run(&mut stream, &server.dump(resume.dump_from(), by_gtids), |_, _| {
                    true
                })
                .unwrap();
                assert_eq!(again, expected[told..], "{resume:?}");
            }
        }
        assert!(before > 3);
    }
}

/// The connection breaks while transactions are prepared.
#[test]
fn a_new_connection_reads_what_is_prepared_again() {
    let (log, options) = (mysql(), options(100));
    let server = log.server();
    let (expected, _) = uncut(&server, &options);
    for first in 1..log.raws.len() {
        let mut stream = Stream::new(Server::start("bin.000001"), options.clone());
        let mut lines = run(&mut stream, &log.raws[..first], |_, _| true).unwrap();
        for by_gtids in [true, false] {
            let from = stream.resume(None).dump_from().clone();
            stream.reconnect();
            let raws = server.dump(&from, by_gtids);
            let count = if by_gtids { raws.len() / 2 } else { raws.len() };
            lines.extend(run(&mut stream, &raws[..count], |_, _| true).unwrap());
        }
        assert_eq!(lines, expected, "broken behind {first} events");
    }
}

#[test]
fn one_that_was_prepared_before_reading_began_is_passed_over() {
    let mut log = Log::mysql();
    log.gtid()
        .query(&format!("XA COMMIT {}", xid("x")))
        .gtid()
        .query(&format!("XA ROLLBACK {}", xid("y")))
        .transaction("i", &[1]);
    for (ahead, expected) in [(false, 1), (true, 0)] {
        let options = StreamOptions { ahead, ..options(0) };
        let warnings = Arc::new(AtomicUsize::new(0));
        let told = tracing::subscriber::with_default(Warnings(Arc::clone(&warnings)), || log.told(options));
        assert_eq!(told.unwrap(), ["begin 3", "3:d.i 1", "commit 3"]);
        // Who looks ahead of another stream does not know what that one knows.
        assert_eq!(warnings.load(Ordering::SeqCst), expected, "{ahead}");
    }
}

/// Counts them.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn too_many_rows_are_refused() {
    let mut options = options(0);
    options.held.disk_bytes = 100;
    let error = mysql().told(options).unwrap_err().to_string();
    assert!(
        error.contains("prepared XA transactions hold more than 100 bytes, the last one X'61',X'',1"),
        "{error}"
    );
}
