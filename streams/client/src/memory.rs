//! Giving memory back to the system.

/// Has the allocator give back what was freed. glibc's keeps it with the threads that freed it, several times what is in use where
/// states come and go; other allocators give back by themselves. Takes some milliseconds.
pub fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it has no preconditions. With another allocator there is little to give back, and it does no harm.
        unsafe { libc::malloc_trim(0) };
    }
}
