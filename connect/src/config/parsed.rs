//! Values of keys, parsed.
use std::collections::BTreeMap;

use super::ConfigType;

/// A text that is shown to nobody: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What is hidden. Not for logs, errors or answers.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The value of a key, as its type says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parsed {
    Null,
    Boolean(bool),
    Text(String),
    Integer(i64),
    Double(f64),
    List(Vec<String>),
    Secret(Secret),
}

/// A configuration whose keys were declared and whose values were found good.
///
/// The getters panic on keys that were not declared with that type: a programmer's mistake.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub(super) values: BTreeMap<String, Parsed>,
}

impl Config {
    fn value(&self, name: &str) -> &Parsed {
        let value = self.values.get(name);
        value.unwrap_or_else(|| panic!("the key {name} was declared"))
    }

    /// Whether the key has a value, its own or a default.
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.values.get(name), None | Some(Parsed::Null))
    }

    /// A text (or class) that has a value.
    pub fn string(&self, name: &str) -> &str {
        self.optional_string(name)
            .unwrap_or_else(|| panic!("the key {name} has a default or is required"))
    }

    /// A text (or class).
    pub fn optional_string(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Parsed::Null => None,
            Parsed::Text(text) => Some(text),
            other => panic!("the key {name} is a text, not {other:?}"),
        }
    }

    /// A boolean that has a value.
    pub fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Parsed::Boolean(value) => *value,
            other => panic!("the key {name} is a boolean with a value, not {other:?}"),
        }
    }

    /// An int or short that has a value.
    pub fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or_else(|_| panic!("the key {name} is an int"))
    }

    /// An int, short or long that has a value.
    pub fn long(&self, name: &str) -> i64 {
        self.optional_long(name)
            .unwrap_or_else(|| panic!("the key {name} has a default or is required"))
    }

    /// An int, short or long.
    pub fn optional_long(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Parsed::Null => None,
            Parsed::Integer(value) => Some(*value),
            other => panic!("the key {name} is a number, not {other:?}"),
        }
    }

    /// A double that has a value.
    pub fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Parsed::Double(value) => *value,
            other => panic!("the key {name} is a double with a value, not {other:?}"),
        }
    }

    /// A list; none is an empty one.
    pub fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Parsed::Null => &[],
            Parsed::List(values) => values,
            other => panic!("the key {name} is a list, not {other:?}"),
        }
    }

    /// A password.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        match self.value(name) {
            Parsed::Null => None,
            Parsed::Secret(secret) => Some(secret),
            other => panic!("the key {name} is a password, not {other:?}"),
        }
    }
}

impl ConfigType {
    /// What `text` stands for, or what is wrong with it, in Kafka's words.
    pub(super) fn parse(self, name: &str, text: &str) -> Result<Parsed, String> {
        let trimmed = text.trim();
        let wrong = |what: &str| {
            let shown = if matches!(self, Self::Password) {
                "[hidden]"
            } else {
                text
            };
            format!("Invalid value {shown} for configuration {name}: {what}")
        };
        let integer = |low: i64, high: i64, kind: &str| {
            let number = trimmed.parse::<i64>().ok();
            let within = number.filter(|number| (low..=high).contains(number));
            within
                .map(Parsed::Integer)
                .ok_or_else(|| wrong(&format!("Not a number of type {kind}")))
        };
        match self {
            Self::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Parsed::Boolean(true)),
            Self::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Parsed::Boolean(false)),
            Self::Boolean => Err(wrong("Expected value to be either true or false")),
            Self::String | Self::Class => Ok(Parsed::Text(trimmed.to_owned())),
            Self::Int => integer(i32::MIN.into(), i32::MAX.into(), "INT"),
            Self::Short => integer(i16::MIN.into(), i16::MAX.into(), "SHORT"),
            Self::Long => integer(i64::MIN, i64::MAX, "LONG"),
            Self::Double => match trimmed.parse() {
                Ok(number) => Ok(Parsed::Double(number)),
                Err(_) => Err(wrong("Not a number of type DOUBLE")),
            },
            Self::List if trimmed.is_empty() => Ok(Parsed::List(Vec::new())),
            Self::List => Ok(Parsed::List(
                trimmed.split(',').map(|part| part.trim().to_owned()).collect(),
            )),
            Self::Password => Ok(Parsed::Secret(Secret::new(trimmed))),
        }
    }
}
