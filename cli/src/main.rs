//! `millstream`: the one binary. What it does stands in the library of the same name.

use std::process::ExitCode;

/// Arrow's builders and the broker's buffers allocate from several threads at once, where the system allocator
/// spends a tenth of a word count.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millstream::main(millstream::plugins())
}
