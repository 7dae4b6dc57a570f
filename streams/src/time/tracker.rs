//! The watermark of one partition.
use super::Watermark;
use crate::rows::{EventTime, NO_TIME};

/// The largest event time seen less the allowed out-of-orderness.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    out_of_orderness_ms: i64,
    watermark: Watermark,
}

impl Tracker {
    pub(crate) fn new(out_of_orderness_ms: i64) -> Self {
        Self {
            out_of_orderness_ms,
            watermark: Watermark::NONE,
        }
    }

    pub(crate) fn watermark(&self) -> Watermark {
        self.watermark
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
                self.watermark = before.max(Watermark::at(time.saturating_sub(self.out_of_orderness_ms)));
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
        let mut tracker = Tracker::new(5);
        let none = Watermark::NONE.millis();
        assert_eq!(tracker.observe(&[NO_TIME, 10, 8, 20]), [none, none, 5, 5]);
        assert_eq!(tracker.observe(&[1, NO_TIME]), [15, 15]);
        assert_eq!(tracker.watermark(), Watermark::at(15));
        tracker.resume(Watermark::at(3));
        assert_eq!(tracker.watermark(), Watermark::at(15), "it never goes back");
    }
}
