//! What is wrong with a part of a value or of a schema.
use std::fmt;

use crate::plugin::PluginError;

/// Something wrong, and where. The place is put together on the way out, so that values that are right cost nothing.
#[derive(Debug)]
pub(super) struct Problem {
    what: String,
    /// The steps to it, the innermost first.
    steps: Vec<String>,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            steps: Vec::new(),
        }
    }

    /// The same, inside of `step`.
    pub(super) fn within(mut self, step: impl fmt::Display) -> Self {
        self.steps.push(step.to_string());
        self
    }

    /// As an error of `converter` about the record.
    pub(super) fn bad_record(&self, converter: &str) -> PluginError {
        PluginError::bad_record(format!("{converter}: {self}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.steps.is_empty() {
            f.write_str("at ")?;
            self.steps.iter().rev().try_for_each(|step| write!(f, "{step}"))?;
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}
