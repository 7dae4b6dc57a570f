//! What a registry is asked, whatever it is: a service, or a file.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Reference {
    #[serde(default)]
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) version: i32,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    /// The schema with this text in a subject.
    WithText {
        /// The subject.
        subject: &'a str,
        /// The schema's type: `AVRO`.
        kind: &'a str,
        text: &'a Arc<str>,
        references: &'a [Reference],
        /// Whether it becomes a version of the subject if it is none.
        register: bool,
    },
    /// The newest schema of a subject.
    Latest(&'a str),
    /// A version of a subject, even if it was deleted.
    Version(&'a str, i32),
    /// The schema with this number.
    ById(i32),
}

/// An answer, as far as it matters.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) id: i32,
    #[serde(default)]
    pub(super) version: Option<i32>,
    #[serde(default)]
    pub(super) schema: String,
    #[serde(default, rename = "schemaType")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}
