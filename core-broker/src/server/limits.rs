//! The process's limit on open files, and how it is shared between connections and logs.
//!
//! Why: most systems start processes with 1024 descriptors although far more are allowed; sockets that take them all
//! leave none for the logs. Owns: raising the limit, the shares. Does not own: what is opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides the log's pool and connections: segments with unsynced data, indexes, the sockets that listen.
const OTHER_FILES: usize = 256;

/// How many files may be open, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// For segments that are kept open.
    pub log_files: usize,
    /// For connections.
    pub connections: usize,
}

/// Raises the limit as far as the process may, and returns it.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the open files limit");
            limit.current
        }
    };
    // Without a number there is no limit.
    current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// Divides `open_files`, given what is wanted of each kind.
pub(crate) fn share(open_files: usize, wanted: Shares) -> Shares {
    let log_files = wanted.log_files.min(open_files / 4).max(1);
    let kept = log_files.saturating_add(OTHER_FILES.min(open_files / 4));
    Shares {
        log_files,
        connections: wanted.connections.min(open_files.saturating_sub(kept)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_keep_their_share() {
        let wanted = Shares {
            log_files: 512,
            connections: 4096,
        };
        assert_eq!(share(usize::MAX, wanted), wanted);
        assert_eq!(share(1 << 20, wanted), wanted);
        for open_files in [64, 256, 1024, 4096] {
            let shares = share(open_files, wanted);
            assert!(shares.log_files >= open_files.min(2048) / 4, "{shares:?}");
            assert!(
                shares.connections + shares.log_files <= open_files - open_files.min(1024) / 4,
                "{shares:?}"
            );
            assert!(shares.connections >= open_files / 2, "{shares:?}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let open_files = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(limit.current.map_or(usize::MAX, |n| n as usize), open_files);
    }
}
