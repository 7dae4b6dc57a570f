//! The file that says which topics exist.
//!
//! Why: a folder alone cannot say whether its topic was created in full, or how it is configured. Owns: the text
//! form, its version and its checks. Does not own: writing it atomically (`LogDir::write_meta_file`).
//!
//! Form, one item a line, names never contain blanks:
//!
//! ```text
//! millstream-topics 1
//! topic <name> <id, 32 hex digits> <partitions>
//! config <key> <value with \\ and \n escaped>       (of the topic above)
//! deleting <name> <id> <partitions>                 (folders may still be there)
//! end <number of lines between the first and this>
//! ```

use crate::ids::TopicId;

use super::config::Overrides;
use super::name;

/// Name of the file within the data directory.
pub(crate) const FILE: &str = "topics";
const HEADER: &str = "millstream-topics 1";

/// One topic as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// What it overrides.
    pub overrides: Overrides,
    /// True once its deletion was decided.
    pub deleting: bool,
}

/// Text that is not a topics file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicFileError {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(&'static str),
    /// Another version or another file.
    #[error(
        "the first line is {found:?}, expected {HEADER:?}: the data directory was written by another version"
    )]
    Header {
        /// The first line.
        found: String,
    },
    /// A line that is none of the known ones.
    #[error("line {line} is damaged: {text:?}")]
    Line {
        /// Its number, counted from 1.
        line: usize,
        /// Its text.
        text: String,
    },
    /// The last line is missing or counts wrongly.
    #[error("the file is cut off: it must end in a line \"end {expected}\"")]
    End {
        /// The count it should give.
        expected: usize,
    },
}

/// The text of a list of topics.
pub(crate) fn encode(entries: &[Entry]) -> String {
    use std::fmt::Write;
    let mut text = format!("{HEADER}\n");
    let mut lines = 0;
    for entry in entries {
        let word = if entry.deleting { "deleting" } else { "topic" };
        let id = u128::from_be_bytes(entry.id.0);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word} {} {id:032x} {}", entry.name, entry.partitions);
        lines += 1;
        for (key, value) in &entry.overrides {
            let value = value
                .replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('\r', "\\r");
            let _ = writeln!(text, "config {key} {value}");
            lines += 1;
        }
    }
    let _ = writeln!(text, "end {lines}");
    text
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(text: &str) -> Result<Vec<Entry>, TopicFileError> {
    let mut lines = text.split('\n').enumerate();
    let header = lines.next().map_or("", |(_, line)| line);
    if header != HEADER {
        return Err(TopicFileError::Header {
            found: header.chars().take(80).collect(),
        });
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in lines {
        let damaged = || TopicFileError::Line {
            line: index + 1,
            text: line.chars().take(200).collect(),
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "topic" | "deleting" => entries.push(entry(rest, word == "deleting").ok_or_else(damaged)?),
            "config" => {
                let (key, value) = rest.split_once(' ').ok_or_else(damaged)?;
                let entry = entries.last_mut().ok_or_else(damaged)?;
                entry
                    .overrides
                    .insert(key.to_owned(), unescape(value).ok_or_else(damaged)?);
            }
            "end" if rest.parse() == Ok(index - 1) => return Ok(entries),
            "end" | "" => return Err(TopicFileError::End { expected: index - 1 }),
            _ => return Err(damaged()),
        }
    }
    Err(TopicFileError::End {
        expected: text.lines().count().saturating_sub(1),
    })
}

fn entry(rest: &str, deleting: bool) -> Option<Entry> {
    let mut words = rest.split(' ');
    let (name, id, partitions) = (words.next()?, words.next()?, words.next()?);
    let id = (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok())??;
    let partitions = partitions.parse().ok().filter(|n| *n > 0)?;
    let whole = words.next().is_none() && name::parse(name).is_ok();
    whole.then(|| Entry {
        name: name.to_owned(),
        id: TopicId(id.to_be_bytes()),
        partitions,
        overrides: Overrides::new(),
        deleting,
    })
}

fn unescape(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Entry> {
        let overrides = Overrides::from([
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("x".to_owned(), "a\\b\nc\rd ".to_owned()),
        ]);
        vec![
            Entry {
                name: "orders".into(),
                id: TopicId([7; 16]),
                partitions: 3,
                overrides,
                deleting: false,
            },
            Entry {
                name: "old".into(),
                id: TopicId([0; 16]),
                partitions: 1,
                overrides: Overrides::new(),
                deleting: true,
            },
        ]
    }

    #[test]
    fn round_trip() {
        assert_eq!(decode(&encode(&sample())).unwrap(), sample());
        assert_eq!(decode(&encode(&[])).unwrap(), []);
    }

    #[test]
    fn every_cut_is_noticed() {
        let text = encode(&sample());
        for at in 0..text.len() - 1 {
            assert!(decode(&text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn damage_is_located() {
        let text = encode(&sample()).replace("topic orders", "tropic orders");
        assert_eq!(
            decode(&text).unwrap_err(),
            TopicFileError::Line {
                line: 2,
                text: format!("tropic orders {} 3", "07".repeat(16)),
            }
        );
        assert!(matches!(
            decode("millstream-topics 2\nend 0\n"),
            Err(TopicFileError::Header { .. })
        ));
        assert!(matches!(
            decode("millstream-topics 1\nend 5\n"),
            Err(TopicFileError::End { expected: 0 })
        ));
    }
}
