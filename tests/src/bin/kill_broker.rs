//! Kills the broker under load for many rounds: `kill-broker [ROUNDS] [SEED]`.

use std::process::ExitCode;

use millstream_tests::kill_rounds;

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect();
    let Ok(numbers) = numbers else {
        eprintln!("usage: kill-broker [ROUNDS] [SEED]");
        return ExitCode::from(2);
    };
    let rounds = numbers.first().copied().unwrap_or(200);
    let seed = numbers.get(1).copied().unwrap_or(1);
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("kill-broker: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = kill_rounds::run(directory.path(), rounds, seed);
    println!("{report:?}");
    ExitCode::SUCCESS
}
