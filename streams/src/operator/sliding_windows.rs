//! Which windows slide along the rows of one key.
use std::ops::Range;

use crate::rows::EventTime;

/// The windows of `size` over slices at `times`, which ascend, each as what it ends with and the slices in it, in the order of their ends. One ends
/// with each slice, and one begins behind each if there is anything in it; the first ones begin at 0. They are no list: together they have the square
/// of the slices.
pub(super) fn windows(times: &[EventTime], size: i64) -> impl Iterator<Item = (EventTime, Range<usize>)> {
    let mut ending = times.iter().map(move |time| *time.max(&size)).peekable();
    let behind = move |pair: &[EventTime]| {
        let end = pair[0].saturating_add(size).saturating_add(1);
        (pair[1] <= end).then_some(end)
    };
    let mut beginning = times.windows(2).filter_map(behind).peekable();
    let mut slices = 0..0;
    std::iter::from_fn(move || {
        let ends = ending.peek().into_iter().chain(beginning.peek());
        let end = *ends.min()?;
        while ending.next_if_eq(&end).is_some() {}
        beginning.next_if_eq(&end);
        while times.get(slices.start).is_some_and(|time| *time < end - size) {
            slices.start += 1;
        }
        while times.get(slices.end).is_some_and(|time| *time <= end) {
            slices.end += 1;
        }
        Some((end, slices.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(times: &[EventTime], size: i64) -> Vec<(EventTime, EventTime, Vec<usize>)> {
        let windows = windows(times, size);
        windows
            .map(|(end, slices)| (end - size, end, slices.collect()))
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
            let all = all(&times, size);
            prop_assert!(all.is_sorted_by(|one, next| one.1 < next.1));
            for time in &times {
                let is_behind = |other: &i64| (time + 1..=time + 1 + size).contains(other);
                let begins = times.iter().any(is_behind) && time + 1 > 0;
                let ends: Vec<i64> = all.iter().map(|window| window.1).collect();
                prop_assert!(ends.contains(time.max(&size)));
                prop_assert!(!begins || ends.contains(&(time + 1 + size)));
            }
            for (start, end, parts) in all {
                let within = (0..times.len()).filter(|slice| (start..=end).contains(&times[*slice]));
                prop_assert_eq!(end - start, size);
                prop_assert!(!parts.is_empty());
                prop_assert_eq!(parts, within.collect::<Vec<_>>());
            }
        }
    }
}
