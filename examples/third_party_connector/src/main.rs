//! All of `millstream`, with the connectors of this crate: `http-lines connect standalone worker.properties source.properties`
use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::main(http_lines::register(millstream::plugins()))
}
