//! How much an epoch will hold back when it ends, by what the last one did.
//!
//! Most changelog records are made when the epoch ends, when it is too late to end it sooner.

/// What was read in the running epoch, and what became of that of the last one.
#[derive(Debug, Default)]
pub(super) struct HeldEstimate {
    records: usize,
    bytes: usize,
    bytes_a_record: usize,
}

impl HeldEstimate {
    /// So many more records were read.
    pub(super) fn read(&mut self, records: usize) {
        self.records += records;
    }

    /// The bytes that will be held if the running epoch ends now.
    pub(super) fn expected(&self) -> usize {
        self.records.saturating_mul(self.bytes_a_record)
    }

    /// So many bytes were held when some tasks ended their part of the epoch.
    pub(super) fn held(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The running epoch was dropped, and is read again.
    pub(super) fn dropped(&mut self) {
        (self.records, self.bytes) = (0, 0);
    }

    /// The epoch has ended.
    pub(super) fn ended(&mut self) {
        if self.records > 0 {
            self.bytes_a_record = self.bytes.div_ceil(self.records);
        }
        (self.records, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_expected_to_hold_what_the_last_one_did() {
        let mut held = HeldEstimate::default();
        held.read(1000);
        assert_eq!(held.expected(), 0, "nothing is known yet");
        held.held(50_000);
        held.held(1);
        held.ended();
        held.read(10);
        assert_eq!(held.expected(), 510);
        // One that held much without reading much is forgotten with the next.
        held.held(1_000_000);
        held.ended();
        held.read(1);
        assert_eq!(held.expected(), 100_000);
        held.ended();
        held.read(1000);
        assert_eq!(held.expected(), 0);
    }

    #[test]
    fn an_epoch_that_was_dropped_does_not_count() {
        let mut held = HeldEstimate::default();
        held.read(10);
        held.held(1000);
        held.ended();
        held.read(50);
        held.held(1_000_000);
        held.dropped();
        assert_eq!(held.expected(), 0, "the next one has read nothing yet");
        held.read(10);
        assert_eq!(held.expected(), 1000, "what was known stays");
        held.held(2000);
        held.ended();
        held.read(1);
        assert_eq!(held.expected(), 200);
    }
}
