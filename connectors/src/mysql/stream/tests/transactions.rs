//! Where transactions begin and end, and what is told of them.
use super::made::Log;
use super::server::{Server, run};
use crate::mysql::binlog::event_type as kinds;
use crate::mysql::config::{FailureMode, Filters, Patterns, Selection, SkippedOperations};
use crate::mysql::stream::{LogPosition, Resume, Step, Stream, StreamError, StreamOptions};

fn told(log: &Log) -> Vec<String> {
    log.told(StreamOptions::default()).unwrap()
}

fn refused(log: &Log, options: StreamOptions) -> String {
    log.told(options).unwrap_err().to_string()
}

fn patterns(text: &str) -> Patterns {
    Patterns(vec![regex::Regex::new(&format!("(?i)^(?:{text})$")).unwrap()])
}

fn parts() -> StreamOptions {
    StreamOptions {
        hold_bytes: 0,
        ..StreamOptions::default()
    }
}

#[test]
fn transactions_without_gtids_are_named_by_their_place() {
    let mut log = Log::mysql();
    log.query("BEGIN").rows("i", &[1]).query("COMMIT");
    log.anonymous().query("BEGIN").rows("i", &[2]).commit();
    log.query("create table x (a int)").rows("i", &[3]).commit();
    let lines = run(
        &mut Stream::new(Server::start("bin.000001"), StreamOptions::default()),
        &log.raws,
        |_, _| true,
    )
    .unwrap();
    let ids: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("begin "))
        .collect();
    // Behind the first event, behind an anonymous one, and at the first of their rows.
    assert_eq!(
        ids,
        [
            "file=bin.000001,pos=127",
            "file=bin.000001,pos=343",
            "file=bin.000001,pos=599"
        ]
    );
    assert_eq!(lines.len(), 10);
}

#[test]
fn what_is_rolled_back_is_not_told() {
    let mut log = Log::mariadb();
    log.mariadb_gtid(0, None).rows("i", &[1]).query("ROLLBACK");
    log.mariadb_gtid(0, None).rows("i", &[2]).commit();
    assert_eq!(told(&log), ["begin 2", "2:d.i 2", "commit 2"]);
    let error = refused(&log, parts());
    assert!(
        error.contains("takes back rows of transaction 0-97-1 at bin.000001:")
            && error.contains("after 1 of its rows"),
        "{error}"
    );
}

#[test]
fn what_is_rolled_back_to_a_savepoint_is_not_told() {
    let mut log = Log::mysql();
    log.gtid()
        .query("BEGIN")
        .rows("i", &[1])
        .query("SAVEPOINT `a`")
        .rows("i", &[2])
        .query("SAVEPOINT `b`")
        .rows("i", &[3]);
    log.query("ROLLBACK TO `B`")
        .rows("i", &[4])
        .query("ROLLBACK TO `a`")
        .rows("i", &[5])
        .query("SAVEPOINT `c`")
        .commit();
    assert_eq!(told(&log), ["begin 1", "1:d.i 1", "1:d.i 5", "commit 1"]);
    assert!(matches!(
        log.told(parts()),
        Err(StreamError::RolledBack { rows: 3, .. })
    ));
    // What was told before the savepoint does no harm.
    let mut log = Log::mysql();
    log.gtid()
        .query("BEGIN")
        .rows("i", &[1])
        .query("SAVEPOINT `a`")
        .rows("x", &[2])
        .query("ROLLBACK TO `a`")
        .commit();
    let filters = Filters {
        tables: Selection::Include(patterns("d[.]i")),
        ..Filters::default()
    };
    let options = StreamOptions { filters, ..parts() };
    assert_eq!(log.told(options).unwrap(), ["begin 1", "1:d.i 1", "commit 1"]);
}

/// Servers that crash leave transactions without an end, and forget them when they start again.
#[test]
fn what_a_crash_cut_off_is_not_told() {
    let mut log = Log::mysql();
    log.transaction("i", &[1])
        .gtid()
        .query("BEGIN")
        .rows("i", &[2])
        .crash();
    log.transaction("i", &[3]);
    assert_eq!(
        told(&log),
        ["begin 1", "1:d.i 1", "commit 1", "begin 3", "3:d.i 3", "commit 3"]
    );
    assert!(refused(&log, parts()).contains("takes back rows"));
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    let mut log = Log::mysql();
    log.gtid().query("BEGIN").rows("i", &[1]).gtid();
    assert!(refused(&log, StreamOptions::default()).contains("before the end of the last one"));
}

#[test]
fn filters_decide_and_rows_of_all_tables_count() {
    let mut log = Log::mysql();
    log.gtid()
        .query("BEGIN")
        .rows("x", &[1, 2])
        .rows_of("mysql", "i", kinds::WRITE_ROWS, &[3])
        .rows("i", &[4, 5]);
    log.rows_of("d", "i", kinds::DELETE_ROWS, &[4])
        .rows_of("d", "s", kinds::WRITE_ROWS, &[6])
        .commit();
    let filters = Filters {
        databases: Selection::Include(patterns("d")),
        tables: Selection::Exclude(patterns("d[.](x|s)")),
        skipped: SkippedOperations {
            deletes: true,
            ..SkippedOperations::default()
        },
        signal_table: Some("D.s".to_owned()),
        ..Filters::default()
    };
    let options = StreamOptions {
        filters,
        ..StreamOptions::default()
    };
    for (all, expected) in [
        (false, "3 true 0,6 false 1"),
        (true, "3 true 0,5 false 0,6 false 1"),
    ] {
        let mut stream = Stream::new(Server::start("bin.000001"), options.clone());
        stream.tell_all(all);
        let mut rows = Vec::new();
        for raw in &log.raws {
            stream.push(raw.clone()).unwrap();
            while let Some(step) = stream.next().unwrap() {
                if let Step::Rows(step) = step {
                    let (ordinal, captured) = (step.rows.next_row().ordinal, step.captured);
                    rows.push(format!(
                        "{ordinal} {} {}",
                        captured.records,
                        u8::from(captured.signals)
                    ));
                }
            }
        }
        assert_eq!(rows.join(","), expected);
    }
}

#[test]
fn a_transaction_is_open_from_its_first_event_until_all_is_told() {
    let mut log = Log::mysql();
    log.query("BEGIN").rows("i", &[1]).commit();
    let mut stream = Stream::new(Server::start("bin.000001"), StreamOptions::default());
    assert!(stream.is_between_transactions());
    let (last, before) = log.raws.split_last().unwrap();
    for raw in before {
        stream.push(raw.clone()).unwrap();
        assert!(stream.next().unwrap().is_none(), "it is held back");
    }
    assert!(!stream.is_between_transactions());
    stream.push(last.clone()).unwrap();
    while stream.next().unwrap().is_some() {
        assert!(!stream.is_between_transactions());
    }
    assert!(stream.is_between_transactions());
}

#[test]
fn statements_instead_of_rows_are_refused() {
    for (statement, refused_with) in [
        ("update i set a = 1", Some("d.i")),
        ("INSERT INTO e.x values (1)", None),
        ("delete from i where a = 1", Some("d.i")),
        ("load data infile 'x' into table i", Some("d.i")),
        ("replace into percona.checksums select * from i", None),
    ] {
        let mut log = Log::mysql();
        log.gtid().query("BEGIN");
        match statement.starts_with("load") {
            true => log.load_data(statement),
            false => log.query(statement),
        };
        log.commit().transaction("i", &[2]);
        let filters = Filters {
            databases: Selection::Include(patterns("d")),
            ..Filters::default()
        };
        let options = |failures| StreamOptions {
            filters: filters.clone(),
            failures,
            ..StreamOptions::default()
        };
        let passed_over = log.told(options(FailureMode::Warn)).unwrap();
        assert_eq!(
            passed_over,
            ["begin 1", "commit 1", "begin 2", "2:d.i 2", "commit 2"]
        );
        match refused_with {
            None => assert_eq!(log.told(options(FailureMode::Fail)).unwrap(), passed_over),
            Some(table) => {
                let error = refused(&log, options(FailureMode::Fail));
                let named =
                    error.contains(&format!("changed in {table}")) && error.contains("binlog_format = ROW");
                assert!(named && error.contains(statement), "{error}");
            }
        }
    }
}

#[test]
fn lost_events_are_refused() {
    let mut log = Log::mysql();
    log.gtid().incident().transaction("i", &[1]);
    let error = refused(&log, StreamOptions::default());
    assert!(error.contains("its log lacks changes: LOST"), "{error}");
    let options = StreamOptions {
        failures: FailureMode::Skip,
        ..StreamOptions::default()
    };
    assert_eq!(log.told(options).unwrap(), ["begin 2", "2:d.i 1", "commit 2"]);
}

#[test]
fn statements_that_change_tables_are_told_where_they_are() {
    let mut log = Log::mysql();
    log.gtid()
        .query("CREATE TABLE T (a int)")
        .gtid()
        .query("truncate table T")
        .gtid()
        .query("grant all on *.* to x");
    log.gtid()
        .query("drop table mysql.x")
        .gtid()
        .query("DELETE FROM `d`.`T`");
    // CREATE TABLE … SELECT: both in one transaction.
    log.gtid()
        .query("BEGIN")
        .query("create table u (a int) start transaction")
        .rows("u", &[1, 2])
        .commit();
    let options = StreamOptions {
        lower_case_names: true,
        hold_bytes: 0,
        ..StreamOptions::default()
    };
    let expected = [
        "Create Tables([TableId { database: \"d\", table: \"t\" }]) CREATE TABLE T (a int)",
        "truncate d.t false",
        "truncate d.t false",
        "begin 6",
        "Create Tables([TableId { database: \"d\", table: \"u\" }]) create table u (a int) start transaction",
        "6:d.u 1",
        "6:d.u 2",
        "commit 6",
    ];
    assert_eq!(log.told(options.clone()).unwrap(), expected);
    // A statement within a transaction is passed over behind a restart as rows are.
    let mut stream = Stream::new(Server::start("bin.000001"), options.clone());
    let mut resume = None;
    let stopped = run(&mut stream, &log.raws, |lines, offset| {
        resume = Some(offset());
        lines.len() < 6
    });
    assert_eq!(stopped.unwrap().len(), 6);
    let resume = resume.unwrap();
    assert_eq!((resume.row, resume.event), (2, 0));
    let server = log.server();
    let again = run(
        &mut Stream::new(resume.clone(), options),
        &server.dump(resume.dump_from(), true),
        |_, _| true,
    )
    .unwrap();
    assert_eq!(again.len(), 2, "{again:?}");
}

/// What Debezium counts: events from BEGIN on, and rows of the event behind them.
#[test]
fn offsets_of_debezium_within_a_transaction_are_understood() {
    let mut log = Log::mysql();
    log.transaction("i", &[1])
        .gtid()
        .query("BEGIN")
        .rows("i", &[2, 3])
        .rows("x", &[4])
        .rows("i", &[5, 6, 7])
        .commit();
    log.transaction("i", &[8]);
    // BEGIN, a table's description, rows; each counts.
    for (event, row, expected) in [
        (2, 1, "3 4 5 6 7 8"),
        (3, 0, "4 5 6 7 8"),
        (6, 2, "7 8"),
        (7, 0, "8"),
        (6, 3, "8"),
    ] {
        let mut resume = Server::start("bin.000001");
        resume.position.gtids = Some("10000000-0000-0000-0000-000000000000:1".parse().unwrap());
        (resume.event, resume.row) = (event, row);
        let mut stream = Stream::new(resume.clone(), parts());
        // An offset before anything new is told is the same.
        assert_eq!(stream.resume(None), resume);
        let server = log.server();
        let lines = run(&mut stream, &server.dump(&resume.position, true), |_, _| true).unwrap();
        let values: Vec<_> = lines
            .iter()
            .filter_map(|line| line.split("Int(").nth(1)?.split(')').next())
            .collect();
        assert_eq!(values.join(" "), expected, "event {event}, row {row}");
    }
}

/// Another server has transactions in another order: the cut one is recognized by its GTID.
#[test]
fn a_cut_transaction_is_found_behind_others() {
    let mut log = Log::mysql();
    log.transaction("i", &[1])
        .transaction("i", &[2, 3])
        .transaction("i", &[4]);
    let mut resume = Server::start("bin.000001");
    resume.row = 1;
    resume.transaction = Some("10000000-0000-0000-0000-000000000000:2".into());
    let mut stream = Stream::new(resume.clone(), parts());
    let mut resumes = Vec::new();
    let lines = run(&mut stream, &log.raws, |_, offset| {
        resumes.push(offset());
        true
    });
    let values: Vec<_> = lines
        .unwrap()
        .iter()
        .filter_map(|line| Some(line.split("Int(").nth(1)?.split(')').next()?.to_owned()))
        .collect();
    assert_eq!(values, ["1", "3", "4"]);
    // While another transaction comes first, the cut one stays known.
    assert_eq!(
        (resumes[0].row, &resumes[0].transaction),
        (1, &resume.transaction)
    );
    assert_eq!(resumes.last().unwrap().row, 0);
}

#[test]
fn transactions_of_other_sources_are_passed_over() {
    let mut log = Log::mysql();
    log.transaction("i", &[1]);
    let sources = |text: &str| StreamOptions {
        gtid_sources: Selection::Include(patterns(text)),
        ..StreamOptions::default()
    };
    assert_eq!(log.told(sources("10000000-.*")).unwrap().len(), 3);
    let mut stream = Stream::new(Server::start("bin.000001"), sources("2.*"));
    assert!(run(&mut stream, &log.raws, |_, _| true).unwrap().is_empty());
    assert_eq!(
        stream.position().gtids.as_ref().unwrap().to_string(),
        "10000000-0000-0000-0000-000000000000:1"
    );
}

/// Without transactions, events that servers make up and other files move the position.
#[test]
fn heartbeats_and_other_files_move_the_position() {
    let mut log = Log::mysql();
    log.query("BEGIN").rows("i", &[1]).commit();
    let mut stream = Stream::new(Resume::at(LogPosition::at("bin.000001", 4)), parts());
    run(&mut stream, &log.raws, |_, _| true).unwrap();
    let end = stream.position().position;
    let mut at = |raw| {
        stream.push(raw).unwrap();
        assert!(stream.next().unwrap().is_none());
        stream.position().to_string()
    };
    assert_eq!(at(log.heartbeat(end + 500)), format!("bin.000001:{}", end + 500));
    // One from before what was read last.
    assert_eq!(at(log.heartbeat(end + 500)), format!("bin.000001:{}", end + 500));
    assert_eq!(
        at(log.rotate("bin.000002", true)),
        format!("bin.000001:{}", end + 500)
    );
    assert_eq!(at(log.rotate("bin.000002", false)), "bin.000002:4");
    // Within a transaction, nothing is behind it yet.
    log.query("BEGIN");
    let before = at(log.raws.last().unwrap().clone());
    assert_eq!(at(log.heartbeat(end + 900)), before);
}
