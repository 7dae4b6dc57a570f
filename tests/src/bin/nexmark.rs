//! Writes the events of Nexmark into files, or checks that files hold them: `nexmark generate|check FOLDER EVENTS [PARTITIONS] [SEED]`.

use std::path::Path;
use std::process::ExitCode;

use millstream_tests::nexmark::{Files, Layout};

const USAGE: &str = "usage: nexmark generate|check FOLDER EVENTS [PARTITIONS] [SEED]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Result<Vec<u64>, _> = arguments.iter().skip(2).map(|text| text.parse()).collect();
    let (Some(task), Some(folder), Ok(numbers)) = (arguments.first(), arguments.get(1), numbers) else {
        return failure(USAGE);
    };
    let (events, partitions, seed) = match numbers[..] {
        [events] => (events, 1, 1),
        [events, partitions] => (events, partitions, 1),
        [events, partitions, seed] => (events, partitions, seed),
        _ => return failure(USAGE),
    };
    if partitions == 0 {
        return failure("a topic has at least one partition");
    }
    let (folder, layout) = (
        Path::new(folder),
        Layout {
            events,
            partitions,
            seed,
        },
    );
    let done = match task.as_str() {
        "generate" => Files::write(folder, &layout).map(|()| None),
        "check" => Files::check(folder, &layout),
        _ => return failure(USAGE),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(difference)) => failure(&format!(
            "{}: line {} is another: generate the files again",
            folder.join(difference.file).display(),
            difference.line
        )),
        Err(error) => failure(&format!("{}: {error}", folder.display())),
    }
}

fn failure(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(2)
}
