//! Marks in a server's log: what a `SELECT` saw at least, and at most.
use crate::mysql::stream::{Gtids, LogPosition};

/// A mark in the server's log: transactions, a place, or both.
///
/// As the low mark of a `SELECT`, all that is before it was visible; as the high mark, nothing behind it was. `SHOW MASTER STATUS` is right for
/// the latter alone: it runs ahead of what is visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Transactions.
    pub gtids: Option<Gtids>,
    /// A file and a position in it, of the server that the stream comes from.
    pub place: Option<LogPosition>,
}

impl Mark {
    /// A mark by transactions alone.
    #[must_use]
    pub fn of_transactions(gtids: Gtids) -> Self {
        let gtids = Some(gtids);
        Self { gtids, place: None }
    }

    /// A mark by file and position alone.
    #[must_use]
    pub fn of_place(file: &str, position: u64) -> Self {
        Self {
            gtids: None,
            place: Some(LogPosition::at(file, position)),
        }
    }

    /// Whether a stream at `position` has all that is before this mark. Either way of knowing it is enough: a server whose set of transactions has some
    /// that its log has not (`gtid_purged` was set, `log_replica_updates=OFF`) still tells how far its log is.
    ///
    /// ```
    /// use millstream_connectors::mysql::snapshot::Mark;
    /// use millstream_connectors::mysql::stream::LogPosition;
    ///
    /// let mark = Mark::of_place("bin.000002", 157);
    /// assert!(mark.is_passed_by(&LogPosition::at("bin.000002", 157)));
    /// assert!(!mark.is_passed_by(&LogPosition::at("bin.000001", 900)));
    /// ```
    #[must_use]
    pub fn is_passed_by(&self, position: &LogPosition) -> bool {
        let by_place = |place: &LogPosition| position.has_passed(place);
        let by_transactions = || match (&position.gtids, &self.gtids) {
            (Some(passed), Some(mark)) => passed.covers(mark),
            _ => false,
        };
        self.place.as_ref().is_some_and(by_place) || by_transactions()
    }

    /// Whether all that a stream at `position` has is before this mark.
    #[must_use]
    pub fn covers(&self, position: &LogPosition) -> bool {
        let by_place = |place: &LogPosition| {
            let bare = LogPosition::at(position.file.clone(), position.position);
            place.has_passed(&bare)
        };
        let by_transactions = || match (&self.gtids, &position.gtids) {
            (Some(mark), Some(passed)) => mark.covers(passed),
            _ => false,
        };
        by_transactions() || self.place.as_ref().is_some_and(by_place)
    }
}
