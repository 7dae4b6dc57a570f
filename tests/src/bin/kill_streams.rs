//! Kills instances of a stream job, and its broker, for a while: `kill-streams [words|views|joins|tables] [SECONDS] [SEED] [BOOTSTRAP]`.

use std::process::ExitCode;

use millstream_tests::kill_streams::{self, Job, Plan};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = arguments.first().and_then(|name| Job::named(name));
    if job.is_some() {
        arguments.remove(0);
    }
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(seconds), Some(seed), 0..=3) = (number(0, 600), number(1, 1), arguments.len()) else {
        eprintln!("usage: kill-streams [words|views|joins|tables] [SECONDS] [SEED] [BOOTSTRAP]");
        return ExitCode::from(2);
    };
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("kill-streams: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plan = Plan {
        blow: None,
        job: job.unwrap_or(Job::Words),
        seconds,
        seed,
        bootstrap: arguments.get(2).cloned(),
    };
    println!("{:?}", kill_streams::run(directory.path(), &plan));
    ExitCode::SUCCESS
}
