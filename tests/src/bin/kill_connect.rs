//! Kills the worker of a file pipeline, and its broker, round after round: `kill-connect [ROUNDS] [SEED] [BOOTSTRAP]`; or one or both of two
//! workers that share it: `kill-connect group [ROUNDS] [SEED]`.

use std::process::ExitCode;

use millstream_tests::kill_connect::{self, Plan, group};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let of_group = arguments.first().is_some_and(|word| word == "group");
    if of_group {
        arguments.remove(0);
    }
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(rounds), Some(seed), 0..=3) = (
        number(0, 200),
        number(1, 1),
        arguments.len() + usize::from(of_group),
    ) else {
        eprintln!("usage: kill-connect [ROUNDS] [SEED] [BOOTSTRAP] | kill-connect group [ROUNDS] [SEED]");
        return ExitCode::from(2);
    };
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("kill-connect: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    if of_group {
        println!("{:?}", group::run(directory.path(), rounds, seed));
        return ExitCode::SUCCESS;
    }
    let bootstrap = arguments.get(2).cloned();
    let plan = Plan {
        rounds,
        seed,
        bootstrap,
    };
    println!("{:?}", kill_connect::run(directory.path(), &plan));
    ExitCode::SUCCESS
}
