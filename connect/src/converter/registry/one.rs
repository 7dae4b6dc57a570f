//! A registry that is one schema, for data that come without an id: `schema.registry.url=schema:TEXT`.
//!
//! Whatever subject is asked for, its only version is this schema, whose number is 0. Nothing else can be registered.
use std::sync::Arc;

use super::request::{Answer, Request};
use crate::plugin::PluginError;

/// The number of the schema.
const ID: i32 = 0;

#[derive(Debug)]
pub(super) struct OneSchema {
    text: Arc<str>,
    kind: &'static str,
}

impl OneSchema {
    pub(super) fn new(text: &Arc<str>, kind: &'static str) -> Self {
        Self {
            text: Arc::clone(text),
            kind,
        }
    }

    /// What is known of the schema.
    ///
    /// # Errors
    /// About the record, if another one is asked for.
    pub(super) fn ask(&self, request: Request<'_>) -> Result<Answer, PluginError> {
        let known = match request {
            Request::WithText { text, references, .. } => *text == self.text && references.is_empty(),
            Request::Latest(_) => true,
            Request::Version(_, version) => version == 1,
            Request::ById(id) => id == ID,
        };
        if !known {
            return Err(PluginError::bad_record(
                "there is one schema only, which is given, and the data are of another one; give theirs, or use a schema registry",
            ));
        }
        Ok(Answer {
            id: ID,
            version: Some(1),
            schema: self.text.to_string(),
            kind: Some(self.kind.to_owned()),
            references: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::ErrorKind;

    #[test]
    fn there_is_no_other_schema() {
        let text: Arc<str> = "\"int\"".into();
        let one = OneSchema::new(&text, "AVRO");
        let with_text = |text| Request::WithText {
            subject: "t-value",
            kind: "AVRO",
            text,
            references: &[],
            register: false,
        };
        for request in [
            with_text(&text),
            Request::Latest("t"),
            Request::Version("u", 1),
            Request::ById(0),
        ] {
            let answer = one.ask(request).unwrap();
            assert_eq!(
                (answer.id, &*answer.schema, answer.version),
                (0, "\"int\"", Some(1))
            );
        }
        let other: Arc<str> = "\"long\"".into();
        for request in [with_text(&other), Request::Version("t", 2), Request::ById(1)] {
            assert_eq!(one.ask(request).unwrap_err().kind(), ErrorKind::BadRecord);
        }
    }
}
