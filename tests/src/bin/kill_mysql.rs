//! Kills the worker, the broker and the server of a MySQL source, round after round: `kill-mysql [ROUNDS] [SEED] [KIND]`.

use std::process::ExitCode;

use millstream_tests::kill_mysql;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let kind = arguments.get(2).map_or("mysql97", String::as_str);
    let (Some(rounds), Some(seed), 0..=3, "mysql97" | "mysql56" | "mariadb") =
        (number(0, 100), number(1, 1), arguments.len(), kind)
    else {
        eprintln!("usage: kill-mysql [ROUNDS] [SEED] [mysql97|mysql56|mariadb]");
        return ExitCode::from(2);
    };
    match tempfile::tempdir() {
        Ok(directory) => println!("{:?}", kill_mysql::run(directory.path(), kind, rounds, seed)),
        Err(error) => {
            eprintln!("kill-mysql: cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
