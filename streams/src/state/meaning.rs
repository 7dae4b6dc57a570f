//! The record of a changelog that says what its states mean.
//!
//! It is written with the first change, and a step that finds another one refuses the log.
use super::StateError;
use crate::rows::NO_TIME;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// The record's key. A row's key begins with 0 or 1, a window's with 2.
pub(super) const MEANING_KEY: &[u8] = b"\xffstore";

/// What the states of a step mean, and whether its log says so.
#[derive(Debug)]
pub(super) struct Meaning {
    text: String,
    announced: bool,
}

impl Meaning {
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            announced: false,
        }
    }

    /// Writes the record, unless the log has it.
    pub(super) fn announce(&mut self, records: &mut RecordBuffer) {
        if !std::mem::replace(&mut self.announced, true) {
            records.push_bytes(NO_TIME, Some(MEANING_KEY), Some(self.text.as_bytes()));
        }
    }

    /// Takes the value of the record that was found in `topic`.
    pub(super) fn check(&mut self, topic: &str, stored: &[u8]) -> Result<(), StateError> {
        let stored = String::from_utf8_lossy(stored);
        if stored != self.text {
            return Err(StateError::Incompatible {
                topic: topic.to_owned(),
                stored: stored.into_owned(),
                expected: self.text.clone(),
            });
        }
        self.announced = true;
        Ok(())
    }

    /// Checks a checkpoint that was not loaded as a whole.
    pub(super) fn check_stored(&mut self, topic: &str, store: &LocalStore) -> Result<(), StateError> {
        let mut stored = None;
        store.get_sorted([(0, MEANING_KEY)].into_iter(), &mut |_, value| {
            stored = Some(value.to_vec())
        })?;
        stored.map_or(Ok(()), |stored| self.check(topic, &stored))
    }
}
