//! Kills the worker of a file pipeline, and its broker, round after round: `kill-connect [ROUNDS] [SEED] [BOOTSTRAP]`.

use std::process::ExitCode;

use millstream_tests::kill_connect::{self, Plan};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(rounds), Some(seed), 0..=3) = (number(0, 200), number(1, 1), arguments.len()) else {
        eprintln!("usage: kill-connect [ROUNDS] [SEED] [BOOTSTRAP]");
        return ExitCode::from(2);
    };
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("kill-connect: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let bootstrap = arguments.get(2).cloned();
    let plan = Plan {
        rounds,
        seed,
        bootstrap,
    };
    println!("{:?}", kill_connect::run(directory.path(), &plan));
    ExitCode::SUCCESS
}
