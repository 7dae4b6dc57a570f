//! Which windows slide along the rows of one key.
use std::collections::BTreeSet;
use std::ops::Range;

use super::session_links::Linked;
use crate::rows::EventTime;

/// The windows of `size` over slices at `times`, which ascend, each as what it begins and ends with and the slices in it; of those whose end
/// `is_wanted`. One ends with each slice, and one begins behind each if there is anything in it; the first ones begin at 0.
pub(super) fn windows(
    times: &[EventTime],
    size: i64,
    is_wanted: impl Fn(EventTime, &Range<usize>) -> bool,
) -> Vec<Linked> {
    let mut ends = BTreeSet::new();
    for (slice, &time) in times.iter().enumerate() {
        ends.insert(time.max(size));
        let behind = time.saturating_add(size).saturating_add(1);
        if times.get(slice + 1).is_some_and(|next| *next <= behind) {
            ends.insert(behind);
        }
    }
    let mut windows = Vec::new();
    let mut slices = 0..0;
    for end in ends {
        while times.get(slices.start).is_some_and(|time| *time < end - size) {
            slices.start += 1;
        }
        while times.get(slices.end).is_some_and(|time| *time <= end) {
            slices.end += 1;
        }
        if is_wanted(end, &slices) {
            windows.push(Linked {
                start: end - size,
                last: end,
                parts: slices.clone().collect(),
            });
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(times: &[EventTime], size: i64) -> Vec<(EventTime, EventTime, Vec<usize>)> {
        let windows = windows(times, size, |_, _| true).into_iter();
        windows
            .map(|window| (window.start, window.last, window.parts))
            .collect()
    }

    #[test]
    fn a_window_ends_with_each_row_and_one_begins_behind_it() {
        let expected = [
            (10, 20, vec![0]),
            (15, 25, vec![0, 1]),
            (21, 31, vec![1]),
            (90, 100, vec![2]),
        ];
        assert_eq!(all(&[20, 25, 100], 10), expected);
        // What is within the first window is in it together.
        let expected = [(0, 10, vec![0, 1]), (4, 14, vec![1])];
        assert_eq!(all(&[3, 5], 10), expected);
        assert!(all(&[], 10).is_empty());
    }

    proptest! {
        #[test]
        fn each_window_has_what_is_within_its_bounds(times in proptest::collection::btree_set(0..100_i64, 0..20), size in 1..30_i64) {
            let times: Vec<i64> = times.into_iter().collect();
            for (start, end, parts) in all(&times, size) {
                let within = (0..times.len()).filter(|slice| (start..=end).contains(&times[*slice]));
                prop_assert_eq!(end - start, size);
                prop_assert!(!parts.is_empty());
                prop_assert_eq!(parts, within.collect::<Vec<_>>());
            }
        }
    }
}
