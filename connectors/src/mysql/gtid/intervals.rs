//! Sets of numbers as ranges.

/// Numbers from 1, as ranges that neither touch nor overlap, ascending. A range's end is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= number);
        after.checked_sub(1).is_some_and(|index| number < self.0[index].1)
    }

    pub(crate) fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|(_, other_end)| *other_end < start);
        let last = self.0.partition_point(|(other_start, _)| *other_start <= end);
        let merged = self.0[first..last]
            .iter()
            .fold((start, end), |(low, high), (other_start, other_end)| {
                (low.min(*other_start), high.max(*other_end))
            });
        self.0.splice(first..last, [merged]);
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(start, end)| {
            let after = self.0.partition_point(|(own, _)| own <= start);
            after.checked_sub(1).is_some_and(|index| *end <= self.0[index].1)
        })
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (start, end) in &other.0 {
            let mut left = Vec::with_capacity(self.0.len() + 1);
            for (own_start, own_end) in self.0.drain(..) {
                let parts = [(own_start, own_end.min(*start)), (own_start.max(*end), own_end)];
                left.extend(parts.into_iter().filter(|(start, end)| start < end));
            }
            self.0 = left;
        }
    }
}
