//! The bound on open connections.
//!
//! Why: each costs a file descriptor and memory, and those of the logs must be left. Owns: the count. Does not own:
//! `max.connections`, which can be altered while connections are open: then those stay, and new ones wait for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many connections are open, of how many that the process can bear.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    open: Arc<AtomicUsize>,
    most: usize,
}

/// One open connection; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Admitted(Arc<AtomicUsize>);

impl Admission {
    /// Room for `most` connections.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
        }
    }

    /// Admits one connection more, if fewer than `limit` are open.
    pub(crate) fn admit(&self, limit: usize) -> Option<Admitted> {
        let limit = limit.min(self.most);
        let raised = |open| (open < limit).then_some(open + 1);
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised)
            .ok()?;
        Some(Admitted(Arc::clone(&self.open)))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_counts_and_it_may_change() {
        let admission = Admission::new(3);
        let mut open: Vec<_> = (0..3).map(|_| admission.admit(10).unwrap()).collect();
        assert!(admission.admit(10).is_none());
        open.pop();
        assert!(admission.admit(2).is_none());
        open.push(admission.admit(3).unwrap());
        open.clear();
        assert!(admission.admit(1).is_some());
        assert!(admission.admit(0).is_none());
    }
}
