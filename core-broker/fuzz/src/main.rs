//! One binary for all targets: the first word of `FUZZ_TARGET` chooses; see `run`.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use millstream_broker::fuzzing::{self, Target};

/// No input of a few kilobytes may make the broker ask for more at once.
const ALLOCATION_BYTES_MAX: usize = 64 << 20;

struct Bounded;

// SAFETY: every call goes to the system's allocator unchanged, or ends the process.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn check(bytes: usize) {
    if bytes > ALLOCATION_BYTES_MAX {
        eprintln!("one allocation of {bytes} bytes");
        std::process::abort();
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

struct Fuzzed {
    name: String,
    target: Target,
    directory: PathBuf,
}

fn fuzzed() -> &'static Fuzzed {
    static FUZZED: OnceLock<Fuzzed> = OnceLock::new();
    FUZZED.get_or_init(|| {
        let directory = PathBuf::from(std::env::var_os("FUZZ_DIR").expect("`run` sets FUZZ_DIR"));
        Fuzzed {
            name: std::env::var("FUZZ_TARGET").expect("`run` sets FUZZ_TARGET"),
            target: Target::new(&directory.join("broker")),
            directory: directory.join("segment"),
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let fuzzed = fuzzed();
    match fuzzed.name.as_str() {
        "request" => fuzzed.target.request(bytes),
        "frames" => fuzzed.target.frames(bytes),
        "batch" => fuzzing::batch(bytes),
        "segment" => fuzzing::segment(&fuzzed.directory, bytes),
        other => panic!("FUZZ_TARGET is {other:?}, expected request, frames, batch or segment"),
    }
});
