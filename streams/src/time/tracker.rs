//! The watermark of one partition.
use super::Watermark;
use crate::rows::{EventTime, NO_TIME};

/// What a strategy makes of the rows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Names where the event time comes from; 0 is the record's timestamp.
    pub(crate) time: u32,
    pub(crate) out_of_orderness_ms: i64,
}

/// The largest event time seen less the allowed out-of-orderness.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    bound: Bound,
    watermark: Watermark,
}

impl Tracker {
    pub(crate) fn new(bound: Bound) -> Self {
        Self {
            bound,
            watermark: Watermark::NONE,
        }
    }

    pub(crate) fn watermark(&self) -> Watermark {
        self.watermark
    }

    pub(crate) fn bound(&self) -> Bound {
        self.bound
    }

    /// Goes on from what was stored.
    pub(crate) fn resume(&mut self, watermark: Watermark) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Takes rows in the order of the log; gives for each the watermark before it. Rows without a time change nothing.
    pub(crate) fn observe(&mut self, times: &[EventTime]) -> Vec<EventTime> {
        let before = |&time: &EventTime| {
            let before = self.watermark;
            if time > NO_TIME {
                self.watermark =
                    before.max(Watermark::at(time.saturating_sub(self.bound.out_of_orderness_ms)));
            }
            before.millis()
        };
        times.iter().map(before).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_judged_by_what_came_before_it() {
        let mut tracker = Tracker::new(Bound {
            time: 0,
            out_of_orderness_ms: 5,
        });
        let none = Watermark::NONE.millis();
        assert_eq!(tracker.observe(&[NO_TIME, 10, 8, 20]), [none, none, 5, 5]);
        assert_eq!(tracker.observe(&[1, NO_TIME]), [15, 15]);
        assert_eq!(tracker.watermark(), Watermark::at(15));
        tracker.resume(Watermark::at(3));
        assert_eq!(tracker.watermark(), Watermark::at(15), "it never goes back");
    }
}
