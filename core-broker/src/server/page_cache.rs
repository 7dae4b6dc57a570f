//! Whether a range of a file can be sent without waiting for the disk.
//!
//! Why: `sendfile` has no way of saying "only what is in memory", and one cold page would hold up every connection of
//! the thread that asked. Owns: the question. Does not own: what is done about the answer (`server::outlet`).
//!
//! `cachestat` (Linux 6.5) counts the pages of a range that are in the page cache: exact, and about a microsecond a
//! megabyte. Trying single bytes here and there would not do: pages that are looked at stay in memory longer than
//! their neighbours, so the sample would lie where it matters. Pages that are still being read count as there,
//! therefore the last one, which is read last, is tried, too. Without the system call nothing is known to be cached.
//! Sending what is cached may make the system start to read ahead; it queues that and does not wait.

use std::fs::File;
use std::io::IoSliceMut;

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// True if the whole range is in memory.
pub(super) fn is_cached(file: &File, position: u64, length: usize) -> bool {
    let Some(last) = (length as u64).checked_sub(1).map(|rest| position + rest) else {
        return true;
    };
    let page = rustix::param::page_size() as u64;
    let wanted = last / page - position / page + 1;
    is_readable_at_once(file, last) && cached_pages(file, position, length as u64) == Some(wanted)
}

fn is_readable_at_once(file: &File, position: u64) -> bool {
    loop {
        let mut byte = [0];
        match preadv2(
            file,
            &mut [IoSliceMut::new(&mut byte)],
            position,
            ReadWriteFlags::NOWAIT,
        ) {
            Err(Errno::INTR) => {}
            read => return read == Ok(1),
        }
    }
}

/// Pages of the range that are in the page cache; nothing if the system does not tell.
#[cfg(all(
    target_pointer_width = "64",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "s390x",
        target_arch = "powerpc64"
    )
))]
fn cached_pages(file: &File, position: u64, length: u64) -> Option<u64> {
    use std::os::fd::AsRawFd;

    /// The system call's number on these machines; `libc` does not have it for all of them.
    const CACHESTAT: libc::c_long = 451;

    #[repr(C)]
    struct Range {
        position: u64,
        length: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    struct Counts {
        cached: u64,
        dirty: u64,
        in_writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }

    let range = Range { position, length };
    let mut counts = Counts::default();
    // SAFETY: the descriptor is open as long as `file` is borrowed; both pointers are to live values of the layout that
    // cachestat(2) gives (`struct cachestat_range`, `struct cachestat`), the first only read, the second only written;
    // the kernel keeps neither. A kernel without the call answers ENOSYS and touches nothing.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            libc::c_long::from(file.as_raw_fd()),
            std::ptr::from_ref(&range),
            std::ptr::from_mut(&mut counts),
            libc::c_long::from(0),
        )
    };
    (result == 0).then_some(counts.cached)
}

#[cfg(not(all(
    target_pointer_width = "64",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "s390x",
        target_arch = "powerpc64"
    )
)))]
fn cached_pages(_file: &File, _position: u64, _length: u64) -> Option<u64> {
    None
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use rustix::fs::{Advice, fadvise, fstatfs};

    use super::*;

    const TMPFS: i64 = 0x0102_1994;

    /// Takes the file's pages out of memory; false if this system cannot or does not tell.
    pub(crate) fn evict(file: &File) -> bool {
        file.sync_all().unwrap();
        fadvise(file, 0, None, Advice::DontNeed).unwrap();
        fstatfs(file).unwrap().f_type as i64 != TMPFS && cached_pages(file, 0, 1).is_some()
    }

    #[test]
    fn one_missing_page_is_noticed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        if !evict(&file) {
            return;
        }
        assert!(!is_cached(&file, 0, 100_000));
        assert!(is_cached(&file, 5, 0));
        let mut all = vec![0; 100_000];
        file.read_exact_at(&mut all, 0).unwrap();
        for (position, length) in [(0, 100_000), (0, 1), (4095, 2), (99_999, 1), (5000, 50_000)] {
            assert!(is_cached(&file, position, length), "{position} {length}");
        }
        // Beyond the end there is nothing to send.
        assert!(!is_cached(&file, 99_999, 2));
        assert!(!is_cached(&file, 1 << 20, 1));
    }
}
