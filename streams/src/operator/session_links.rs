//! Which parts of sessions of one key are one.
use crate::rows::EventTime;

/// A session: the parts it is made of, in the order of their starts, and how far it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) start: EventTime,
    pub(super) last: EventTime,
    pub(super) parts: Vec<usize>,
}

/// A part, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: usize,
    pub(super) start: EventTime,
    pub(super) last: EventTime,
}

impl Linked {
    /// A part that is a session of its own.
    pub(super) fn of(part: Part) -> Self {
        Self {
            start: part.start,
            last: part.last,
            parts: vec![part.number],
        }
    }

    fn take(&mut self, other: Self) {
        self.start = self.start.min(other.start);
        self.last = self.last.max(other.last);
        self.parts.extend(other.parts);
    }
}

/// The sessions that parts are, in the order of their starts: what is at most `gap` apart is one.
pub(super) fn link(mut parts: Vec<Part>, gap: i64) -> Vec<Linked> {
    parts.sort_unstable_by_key(|part| (part.start, part.number));
    let mut sessions: Vec<Linked> = Vec::with_capacity(parts.len());
    for part in parts {
        match sessions.last_mut() {
            Some(session) if part.start - session.last <= gap => session.take(Linked::of(part)),
            _ => sessions.push(Linked::of(part)),
        }
    }
    sessions
}

/// Adds a part to the sessions that are near it, which are one from then on, or else as a session of its own. False if what would come of it is
/// closed already: then the part is late, and nothing has changed. The sessions are in the order of their starts, and none is near another.
pub(super) fn add_part(
    sessions: &mut Vec<Linked>,
    part: Part,
    gap: i64,
    is_closed: impl Fn(EventTime) -> bool,
) -> bool {
    // As none is near another, they end in the same order.
    let first = sessions.partition_point(|session| session.last + gap < part.start);
    let near = sessions[first..].partition_point(|session| session.start - gap <= part.last);
    let near = first..first + near;
    let last = sessions[near.clone()]
        .last()
        .map_or(part.last, |session| session.last.max(part.last));
    if is_closed(last) {
        return false;
    }
    if near.is_empty() {
        sessions.insert(first, Linked::of(part));
        return true;
    }
    let others: Vec<Linked> = sessions.drain(first + 1..near.end).collect();
    let session = &mut sessions[first];
    others.into_iter().for_each(|other| session.take(other));
    // It came after what was there.
    session.take(Linked::of(part));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(number: usize, start: EventTime, last: EventTime) -> Part {
        Part { number, start, last }
    }

    fn shown(sessions: &[Linked]) -> Vec<(EventTime, EventTime, Vec<usize>)> {
        let shown = sessions.iter();
        shown
            .map(|session| (session.start, session.last, session.parts.clone()))
            .collect()
    }

    #[test]
    fn parts_within_the_gap_are_one() {
        let parts = vec![part(0, 31, 40), part(1, 0, 30), part(2, 5, 8), part(3, 51, 51)];
        let linked = link(parts, 10);
        assert_eq!(shown(&linked), [(0, 40, vec![1, 2, 0]), (51, 51, vec![3])]);
        assert!(link(Vec::new(), 10).is_empty());
    }

    #[test]
    fn a_row_joins_what_is_open_or_is_late() {
        let parts = || link(vec![part(0, 0, 5), part(1, 25, 30)], 10);
        let mut sessions = parts();
        assert!(add_part(&mut sessions, part(2, 15, 15), 10, |_| false));
        assert_eq!(shown(&sessions), [(0, 30, vec![0, 1, 2])]);
        // Alone it would be over, but it is near one that is not.
        let mut sessions = parts();
        assert!(add_part(&mut sessions, part(2, 15, 15), 10, |last| last < 20));
        let mut sessions = parts();
        assert!(!add_part(&mut sessions, part(2, 16, 16), 10, |last| last < 40));
        assert_eq!(sessions, parts());
        assert!(add_part(&mut sessions, part(2, 100, 100), 10, |last| last < 40));
        assert_eq!(shown(&sessions)[2], (100, 100, vec![2]));
    }

    proptest! {
        #[test]
        fn parts_one_by_one_are_the_same_sessions(
            extents in proptest::collection::vec((0..200_i64, prop_oneof![3 => Just(0), 1 => 0..40_i64]), 1..20), gap in 1..20_i64,
        ) {
            let rows = || extents.iter().enumerate().map(|(number, (start, length))| part(number, *start, start + length));
            let mut sessions = Vec::new();
            rows().for_each(|row| {
                assert!(add_part(&mut sessions, row, gap, |_| false));
                let apart = sessions.windows(2).all(|pair| pair[0].last + gap < pair[1].start);
                assert!(apart, "they are in order");
            });
            let at_once = link(rows().collect(), gap);
            let extents = |sessions: &[Linked]| -> Vec<_> {
                sessions.iter().map(|session| {
                    let mut parts = session.parts.clone();
                    parts.sort_unstable();
                    (session.start, session.last, parts)
                }).collect()
            };
            prop_assert_eq!(extents(&sessions), extents(&at_once));
        }
    }
}
