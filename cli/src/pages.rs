//! The pages of this process's memory.

/// The allocator asks for huge pages. What a broker and a worker of Connect hold is small and comes and goes, on many threads of which each
/// has pages of its own: with huge ones a broker holds twice the memory under load and a hundred idle connectors eight times as much, and
/// neither is faster.
pub fn keep_small() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}
