//! Loads a large file, and one with a line that is too long: `large-files [MEGABYTES] [LINE_MEGABYTES] [FOLDER]`.

use std::process::ExitCode;

use millstream_tests::large_files;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let megabytes = |place: usize, default: u64| match arguments.get(place) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(file), Some(line), 0..=3) = (megabytes(0, 10_000), megabytes(1, 1_000), arguments.len()) else {
        eprintln!("usage: large-files [MEGABYTES] [LINE_MEGABYTES] [FOLDER]");
        return ExitCode::from(2);
    };
    let folder = arguments.get(2).map_or_else(std::env::temp_dir, Into::into);
    let directory = match tempfile::tempdir_in(&folder) {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!(
                "large-files: cannot create a directory in {}: {error}",
                folder.display()
            );
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{:#?}",
        large_files::run(directory.path(), file * 1_000_000, line * 1_000_000)
    );
    ExitCode::SUCCESS
}
