//! Wherever delivery is cut off, what comes behind the offset is what was missing.
use super::server::{Server, run, uncut};
use crate::mysql::stream::{HeldLimits, Stream, StreamOptions};
use crate::mysql::tests::golden::{log, raw_events};

/// Things that are looked at behind each cut.
const LOOK_AHEAD: usize = 40;

fn options(hold_bytes: usize) -> StreamOptions {
    StreamOptions {
        hold_bytes,
        queries: true,
        held: HeldLimits::with_memory(if hold_bytes == 0 { 0 } else { 1 << 20 }),
        ..StreamOptions::default()
    }
}

fn server(case: &str) -> Server {
    Server::new("log.bin", raw_events(&log(case)))
}

/// Cuts a run behind each of its things, and goes on with another stream: from a server that sends by place, and from one that sends by GTIDs.
fn cut_everywhere(case: &str, hold_bytes: usize) {
    let server = server(case);
    let options = options(hold_bytes);
    let (expected, resumes) = uncut(&server, &options);
    let rows = expected
        .iter()
        .filter(|line| line.contains("Int(") || line.contains("Text"))
        .count();
    assert!(
        rows > 15 && resumes.len() > 30,
        "{rows} rows, {} cuts",
        resumes.len()
    );
    for (told, resume) in resumes {
        for by_gtids in [false, true] {
            let mut stream = Stream::new(resume.clone(), options.clone());
            let raws = server.dump(resume.dump_from(), by_gtids);
            let again = run(&mut stream, &raws, |lines, _| lines.len() < LOOK_AHEAD).unwrap();
            let end = (told + again.len()).min(expected.len());
            assert_eq!(again, expected[told..end], "{case} cut behind {told}: {resume:?}");
            assert!(again.len() >= LOOK_AHEAD || end == expected.len());
        }
    }
}

macro_rules! cases {
    ($($test:ident: $case:literal,)*) => {
        $(
            #[test]
            fn $test() {
                cut_everywhere($case, 1 << 20);
                cut_everywhere($case, 0);
            }
        )*
    };
}

cases! {
    mysql_97: "mysql97",
    mysql_97_with_tagged_gtids: "mysql97-tagged",
    mysql_97_with_minimal_images: "mysql97-minimal",
    mysql_97_without_unchanged_blobs: "mysql97-noblob",
    mysql_97_with_compressed_transactions: "mysql97-compressed",
    mysql_97_with_partial_json: "mysql97-partial",
    mysql_97_with_statements: "mysql97-plain",
    mysql_56: "mysql56",
    mysql_56_with_minimal_images: "mysql56-minimal",
    mysql_56_with_version_1_events: "mysql56-v1",
    mariadb_1011: "mariadb",
    mariadb_1011_with_minimal_images: "mariadb-minimal",
    mariadb_1011_with_compressed_events: "mariadb-compressed",
    mariadb_1011_with_times_of_old: "mariadb-old-times",
}

/// The same connection breaks again and again: what was told stays told, and nothing comes twice.
#[test]
fn a_stream_goes_on_where_its_connection_broke() {
    for case in ["mysql97", "mysql97-compressed", "mariadb", "mysql56"] {
        for hold_bytes in [0, 1 << 20] {
            let (server, options) = (server(case), options(hold_bytes));
            let (expected, _) = uncut(&server, &options);
            let mut stream = Stream::new(Server::start("log.bin"), options);
            let mut lines = Vec::new();
            for broken_after in [7, 1, 90, 33, 250, 3, usize::MAX] {
                let resume = stream.resume(None);
                stream.reconnect();
                let raws = server.dump(resume.dump_from(), broken_after % 2 == 0);
                let raws = &raws[..raws.len().min(broken_after)];
                lines.extend(run(&mut stream, raws, |_, _| true).unwrap());
            }
            assert_eq!(lines, expected, "{case}");
        }
    }
}

/// Rows that were delivered are told again where everything is wanted, and marked.
#[test]
fn everything_can_be_told_again() {
    let (server, options) = (server("mysql97"), options(0));
    let (expected, resumes) = uncut(&server, &options);
    let mut checked = 0;
    for (told, resume) in resumes.into_iter().filter(|(_, resume)| resume.row > 1).take(60) {
        let mut stream = Stream::new(resume.clone(), options.clone());
        stream.tell_all(true);
        let raws = server.dump(resume.dump_from(), true);
        let again = run(&mut stream, &raws, |lines, _| lines.len() < LOOK_AHEAD).unwrap();
        let (delivered, fresh): (Vec<_>, Vec<_>) =
            again.into_iter().partition(|line| line.starts_with("again "));
        assert_eq!(delivered.len() as u64, resume.row, "{resume:?}");
        for (line, before) in delivered.iter().rev().zip(expected[..told].iter().rev()) {
            assert_eq!(line.strip_prefix("again ").unwrap(), before);
        }
        let end = (told + fresh.len()).min(expected.len());
        assert_eq!(fresh, expected[told..end]);
        checked += 1;
    }
    assert!(checked > 20);
}
