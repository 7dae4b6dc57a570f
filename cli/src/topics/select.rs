//! Which topics a command means: Kafka's scripts take a regular expression of whole names wherever they select.

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use regex::Regex;

use crate::error::CliError;

/// Largest compiled expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A choice among topics.
#[derive(Debug)]
pub struct Filter {
    names: Option<Names>,
    exclude_internal: bool,
}

/// A name, which may be read as an expression.
#[derive(Debug)]
pub struct Names {
    text: String,
    expression: Regex,
}

impl Names {
    /// As in Kafka, a comma is an alternative.
    pub fn new(text: &str) -> Result<Self, CliError> {
        let pattern = format!("^(?:{})$", text.trim().replace(',', "|"));
        let expression = regex::RegexBuilder::new(&pattern)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| {
                CliError::new(format!(
                    "{text} is neither a topic's name nor a regular expression: {error}"
                ))
            })?;
        Ok(Self {
            text: text.into(),
            expression,
        })
    }

    /// Whether a topic of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        self.text == name || self.expression.is_match(name)
    }
}

impl Filter {
    /// Topics whose names match, all without an expression; `exclude_internal` leaves out the broker's own.
    pub fn new(names: Option<&str>, exclude_internal: bool) -> Result<Self, CliError> {
        Ok(Self {
            names: names.map(Names::new).transpose()?,
            exclude_internal,
        })
    }

    /// The topics that are meant.
    pub fn of(&self, mut topics: Vec<MetadataResponseTopic>) -> Vec<MetadataResponseTopic> {
        topics.retain(|topic| {
            let wanted = self.names.as_ref().is_none_or(|names| names.matches(name(topic)));
            wanted && !(self.exclude_internal && is_internal(topic))
        });
        topics
    }
}

/// A topic's name.
pub fn name(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |name| name.as_str())
}

/// Whether a topic is the broker's own.
pub fn is_internal(topic: &MetadataResponseTopic) -> bool {
    topic.is_internal || name(topic).starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_names_or_expressions() {
        let names = |text| Names::new(text).unwrap();
        assert!(names("a").matches("a") && !names("a").matches("ab"));
        assert!(names("a,b.*").matches("bcd"));
        assert!(names("a|c").matches("c"));
        assert!(Names::new("(").is_err());
        assert!(Names::new("a{9999}{9999}").is_err());
    }
}
