//! Kills the worker, the broker and the server of a MySQL source, round after round: `kill-mysql [ROUNDS] [SEED] [KIND]`; or of a source and a sink,
//! with the sink's server: `kill-mysql sink [ROUNDS] [SEED] [KIND] [KIND OF THE SINK'S]`; or those of the example `revenue`, with a stream job between
//! them: `kill-mysql revenue [ROUNDS] [SEED] [KIND] [KIND OF THE SINK'S]`; or the worker within a transaction of so many megabytes:
//! `kill-mysql large [MEGABYTES] [SEED] [KIND]`.

use std::process::ExitCode;

use millstream_tests::kill_mysql::{self, large, pipeline, revenue};

const KINDS: [&str; 3] = ["mysql97", "mysql56", "mariadb"];
/// Rows of each table at first, with a sink.
const ROWS: u64 = 1000;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is = |arguments: &[String], word| arguments.first().is_some_and(|first| first == word);
    let (with_sink, is_large) = (is(&arguments, "sink"), is(&arguments, "large"));
    let with_job = is(&arguments, "revenue");
    if with_sink || is_large || with_job {
        arguments.remove(0);
    }
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let kind = |place: usize| arguments.get(place).map_or("mysql97", String::as_str);
    let (from, to) = (kind(2), kind(3));
    let known = KINDS.contains(&from) && KINDS.contains(&to);
    let most = if with_sink || with_job { 4 } else { 3 };
    let rounds = match (is_large, with_job) {
        (true, _) => 1000,
        (_, true) => 50,
        _ => 100,
    };
    let (Some(rounds), Some(seed), true) =
        (number(0, rounds), number(1, 1), known && arguments.len() <= most)
    else {
        let kinds = KINDS.join("|");
        eprintln!(
            "usage: kill-mysql [ROUNDS] [SEED] [{kinds}]\n       kill-mysql sink [ROUNDS] [SEED] [{kinds}] [{kinds}]\n       \
             kill-mysql revenue [ROUNDS] [SEED] [{kinds}] [{kinds}]\n       kill-mysql large [MEGABYTES] [SEED] [{kinds}]"
        );
        return ExitCode::from(2);
    };
    let directory = match tempfile::tempdir() {
        // What a failure leaves is looked at with KILL_KEEP=1.
        Ok(mut directory) => {
            directory.disable_cleanup(std::env::var_os("KILL_KEEP").is_some());
            directory
        }
        Err(error) => {
            eprintln!("kill-mysql: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    if is_large {
        println!("{:?}", large::run(directory.path(), from, rounds, seed));
    } else if with_job {
        let plan = revenue::Plan {
            from,
            to,
            rounds,
            seed,
        };
        println!("{:?}", revenue::run(directory.path(), plan));
    } else if with_sink {
        let plan = pipeline::Plan {
            from,
            to,
            rounds,
            seed,
            rows: ROWS,
        };
        println!("{:?}", pipeline::run(directory.path(), plan));
    } else {
        println!("{:?}", kill_mysql::run(directory.path(), from, rounds, seed));
    }
    ExitCode::SUCCESS
}
