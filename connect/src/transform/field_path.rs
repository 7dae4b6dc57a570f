//! Paths to fields inside of structs and maps (KIP-821).
use crate::config::{Config, ConfigKey, ConfigType, Importance};
use crate::plugin::PluginError;

const VERSION: &str = "field.syntax.version";

/// The steps to a field: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPath {
    steps: Vec<String>,
}

impl FieldPath {
    /// The declaration of the key that says how paths are written.
    pub(super) fn key() -> ConfigKey {
        ConfigKey::with_default(
            VERSION,
            ConfigType::String,
            "V1",
            Importance::High,
            "Defines the version of the syntax to access fields. If set to <code>V1</code>, then the field paths are limited to access \
             the elements at the root level of the struct or map. If set to <code>V2</code>, the syntax will support accessing nested \
             elements. To access nested elements, dotted notation is used. If dots are already included in the field name, then \
             backtick pairs can be used to wrap field names containing dots. E.g. to access the subfield <code>baz</code> from a field \
             named \"foo.bar\" in a struct/map the following format can be used to access its elements: \
             \"<code>foo.bar</code>.baz\".",
        )
        .checked(|text| match ["V1", "V2"].iter().any(|its| its.eq_ignore_ascii_case(text.trim())) {
            true => Ok(()),
            false => Err("String must be one of (case insensitive): V1, V2".to_owned()),
        })
    }

    /// The path that `text` is in the syntax that the configuration says.
    pub(super) fn parse(text: &str, config: &Config) -> Result<Self, PluginError> {
        if config.string(VERSION).eq_ignore_ascii_case("V1") {
            return Ok(Self {
                steps: vec![text.to_owned()],
            });
        }
        match split(text) {
            Some(steps) if !steps.is_empty() => Ok(Self { steps }),
            Some(_) => Err(PluginError::user_config("field: the path is empty; name a field")),
            None => Err(PluginError::user_config(format!(
                "field: incomplete pair of backticks in the path {text}; write a backslash before a backtick that is part of a name"
            ))),
        }
    }

    /// The names, from outside to inside.
    pub(super) fn steps(&self) -> &[String] {
        &self.steps
    }
}

/// The steps of a path with dots and backticks; none if a backtick is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        if rest.is_empty() {
            break;
        }
        match rest.strip_prefix('`') {
            None => match rest.split_once('.') {
                Some((step, behind)) => {
                    steps.push(step.to_owned());
                    rest = behind;
                }
                None => {
                    steps.push(rest.to_owned());
                    rest = "";
                }
            },
            Some(quoted) => {
                let (step, behind) = split_quoted(quoted)?;
                steps.push(step);
                rest = behind;
            }
        }
    }
    if text.ends_with('.') {
        steps.push(String::new());
    }
    Some(steps)
}

/// What is before the backtick that closes, and what is behind it and its dot. A backtick closes before a dot or at the end; others are part
/// of the name, and so is one behind a backslash, which goes.
fn split_quoted(text: &str) -> Option<(String, &str)> {
    let (mut name, mut start, mut from) = (String::new(), 0, 0);
    loop {
        let at = from + text[from..].find('`')?;
        let escaped = text[..at].ends_with('\\');
        let behind = &text[at + 1..];
        if behind.is_empty() {
            name.push_str(&text[start..at]);
            return (!escaped).then_some((name, behind));
        }
        from = at + 1;
        match behind.strip_prefix('.') {
            None => {}
            Some(_) if escaped => {
                name.push_str(&text[start..at - 1]);
                name.push('`');
                start = at + 1;
            }
            Some(behind) => {
                name.push_str(&text[start..at]);
                return Some((name, behind));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_dots_outside_of_backticks() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("a", Some(&["a"])),
            ("a.b", Some(&["a", "b"])),
            ("a..b", Some(&["a", "", "b"])),
            ("a.", Some(&["a", ""])),
            (".", Some(&["", ""])),
            ("`a.b`.c", Some(&["a.b", "c"])),
            ("a.`b.c`", Some(&["a", "b.c"])),
            ("`a.b`.", Some(&["a.b", ""])),
            ("`a`b`.c", Some(&["a`b", "c"])),
            ("`a\\`.b`.c", Some(&["a`.b", "c"])),
            ("`", None),
            ("`a", None),
            ("`a\\`", None),
            ("``", Some(&[""])),
            ("a`b", Some(&["a`b"])),
        ];
        for (text, expected) in cases {
            let split = split(text);
            let split = split
                .as_ref()
                .map(|steps| steps.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(split.as_deref(), *expected, "{text}");
        }
    }
}
