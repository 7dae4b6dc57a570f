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

/// Adds a row to the sessions that are near it, which are one from then on, or else as a session of its own. False if what would come of it is
/// closed already: then the row is late, and nothing has changed.
pub(super) fn add_row(
    sessions: &mut Vec<Linked>,
    row: Part,
    gap: i64,
    is_closed: impl Fn(EventTime) -> bool,
) -> bool {
    let is_near = |session: &Linked| session.start - gap <= row.start && row.start <= session.last + gap;
    let near = || sessions.iter().filter(|session| is_near(session));
    let last = near().map(|session| session.last).max();
    if is_closed(row.last.max(last.unwrap_or(row.last))) {
        return false;
    }
    let (near, mut others): (Vec<Linked>, Vec<Linked>) =
        std::mem::take(sessions).into_iter().partition(is_near);
    let mut session = Linked::of(row);
    near.into_iter().for_each(|near| session.take(near));
    // The row came after what was there.
    session.parts.rotate_left(1);
    let place = others.partition_point(|other| other.start <= session.start);
    others.insert(place, session);
    *sessions = others;
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
        assert!(add_row(&mut sessions, part(2, 15, 15), 10, |_| false));
        assert_eq!(shown(&sessions), [(0, 30, vec![0, 1, 2])]);
        // Alone it would be over, but it is near one that is not.
        let mut sessions = parts();
        assert!(add_row(&mut sessions, part(2, 15, 15), 10, |last| last < 20));
        let mut sessions = parts();
        assert!(!add_row(&mut sessions, part(2, 16, 16), 10, |last| last < 40));
        assert_eq!(sessions, parts());
        assert!(add_row(&mut sessions, part(2, 100, 100), 10, |last| last < 40));
        assert_eq!(shown(&sessions)[2], (100, 100, vec![2]));
    }

    proptest! {
        #[test]
        fn rows_one_by_one_are_the_same_sessions(times in proptest::collection::vec(0..200_i64, 1..20), gap in 1..20_i64) {
            let rows = || times.iter().enumerate().map(|(number, time)| part(number, *time, *time));
            let mut sessions = Vec::new();
            rows().for_each(|row| assert!(add_row(&mut sessions, row, gap, |_| false)));
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
