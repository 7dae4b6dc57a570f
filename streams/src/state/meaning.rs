//! The record of a changelog that says what its states mean.
//!
//! It is written with the first change, and a step that finds another one refuses the log.
use arrow::datatypes::Fields;

use super::StateError;
use crate::rows::NO_TIME;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// The record's key. A row's key begins with 0 or 1, a window's with 2.
pub(super) const MEANING_KEY: &[u8] = b"\xffstore";

/// The types of states, as meanings say them. The words are arrow's: if a new version has others, logs that exist need the old ones.
pub(crate) fn types_of(fields: &Fields) -> String {
    let types: Vec<String> = fields.iter().map(|field| field.data_type().to_string()).collect();
    types.join(", ")
}

/// What the states of a step mean, and whether its log says so.
#[derive(Debug)]
pub(super) struct Meaning {
    text: String,
    /// What logs say instead that were begun when types were not told.
    untyped: Option<String>,
    announced: bool,
}

impl Meaning {
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            untyped: None,
            announced: false,
        }
    }

    /// The same of states of these types. A log that does not say its types is taken for one of these, and says them from its next change on.
    pub(super) fn of_types(mut self, types: &str) -> Self {
        let text = format!("{} of {types}", self.text);
        self.untyped = Some(std::mem::replace(&mut self.text, text));
        self
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
        if self.untyped.as_deref() == Some(&*stored) {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, TimeUnit};

    use super::*;
    use crate::sink::Destination;

    fn announced(meaning: &mut Meaning) -> Option<String> {
        let mut records = RecordBuffer::new(Destination::ByKey("log".into()));
        meaning.announce(&mut records);
        let text = records.records().next()?.value?.to_vec();
        Some(String::from_utf8(text).unwrap())
    }

    /// Logs have these words: whoever changes them has every state refused.
    #[test]
    fn types_are_said_as_ever() {
        let list = DataType::new_list(DataType::Int64, true);
        let of_struct = [
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("all", DataType::new_list(DataType::Utf8, false), true),
        ];
        let types = [
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            list,
            DataType::Struct(of_struct.to_vec().into()),
            DataType::Decimal128(12, 2),
            DataType::Time64(TimeUnit::Nanosecond),
        ];
        let fields: Fields = types.map(|of| Field::new("a", of, true)).to_vec().into();
        assert_eq!(
            types_of(&fields),
            "Timestamp(ms, \"UTC\"), List(Int64), \
             Struct(\"at\": non-null Timestamp(µs), \"all\": List(non-null Utf8)), Decimal128(12, 2), Time64(ns)"
        );
    }

    #[test]
    fn a_log_without_types_says_them_with_its_next_change() {
        let meaning = || Meaning::new("max of price".to_owned()).of_types("Decimal128(12, 2)");
        let mut begun = meaning();
        let text = announced(&mut begun).unwrap();
        assert_eq!(text, "max of price of Decimal128(12, 2)");
        assert_eq!(announced(&mut begun), None);
        let mut old = meaning();
        old.check("log", b"max of price").unwrap();
        assert_eq!(announced(&mut old).as_ref(), Some(&text));
        let mut same = meaning();
        same.check("log", text.as_bytes()).unwrap();
        assert_eq!(announced(&mut same), None);
        let mut other = Meaning::new("max of price".to_owned()).of_types("Decimal128(12, 4)");
        let error = other.check("log", text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("Decimal128(12, 2)") && error.contains("Decimal128(12, 4)"),
            "{error}"
        );
        assert!(error.contains("reset the application"), "{error}");
    }
}
