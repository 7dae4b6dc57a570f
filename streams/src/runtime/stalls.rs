//! How long the committed offsets have stood still, over all calls that wait for them: a call may be shorter than the time
//! after which it is worth looking what is missing.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::source::TopicPartition;

/// What each sub-topology has yet to commit, and since when that is so.
#[derive(Debug, Default)]
pub(super) struct Stalls(BTreeMap<usize, Stall>);

#[derive(Debug)]
struct Stall {
    /// Partitions and the next offset to commit in each.
    missing: Vec<(TopicPartition, i64)>,
    since: Instant,
}

impl Stalls {
    /// Notes what is missing at `now`; gives the time since that last changed.
    pub(super) fn note(
        &mut self,
        sub_topology: usize,
        missing: Vec<(TopicPartition, i64)>,
        now: Instant,
    ) -> Duration {
        let stall = self.0.entry(sub_topology).or_insert(Stall {
            missing: Vec::new(),
            since: now,
        });
        if stall.missing != missing {
            *stall = Stall { missing, since: now };
        }
        now.saturating_duration_since(stall.since)
    }

    /// Begins anew: what is missing is on its way.
    pub(super) fn restart(&mut self, sub_topology: usize) {
        self.0.remove(&sub_topology);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_lasts_until_something_moves() {
        let at = |offset: i64| {
            let at = TopicPartition {
                topic: "lines".into(),
                partition: 0,
            };
            vec![(at, offset)]
        };
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut stalls = Stalls::default();
        assert_eq!(stalls.note(0, at(1), start), Duration::ZERO);
        // Another call, and another sub-topology between.
        assert_eq!(stalls.note(1, at(1), after(600)), Duration::ZERO);
        assert_eq!(stalls.note(0, at(1), after(900)), Duration::from_millis(900));
        assert_eq!(stalls.note(0, at(2), after(1000)), Duration::ZERO);
        assert_eq!(stalls.note(0, at(2), after(1500)), Duration::from_millis(500));
        stalls.restart(0);
        assert_eq!(stalls.note(0, at(2), after(2000)), Duration::ZERO);
    }
}
