//! Which topic names are legal, and which two cannot live side by side.

use crate::ids::TopicName;

/// Longest name in bytes, as in Kafka: the partition folder `<name>-<n>` must fit a file name.
pub(crate) const NAME_BYTES_MAX: usize = 249;

/// Why a name cannot be a topic's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing in it.
    #[error("a topic name cannot be empty")]
    Empty,
    /// `.` and `..` are folders.
    #[error("a topic name cannot be {0:?}")]
    Dots(String),
    /// Longer than a file name allows.
    #[error("topic name {start:?}… has {length} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// The first characters of the name.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// Something else than letters, digits, `.`, `_` and `-`.
    #[error(
        "topic name {name:?} contains {character:?}, only ASCII letters, digits, '.', '_' and '-' are allowed"
    )]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

/// Parses a name once, at the edge.
pub(crate) fn parse(name: &str) -> Result<TopicName, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots(name.to_owned()));
    }
    if name.len() > NAME_BYTES_MAX {
        let start = name.chars().take(32).collect();
        return Err(NameError::TooLong {
            start,
            length: name.len(),
        });
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(character) = name.chars().find(|c| !legal(*c)) {
        return Err(NameError::Character {
            name: name.to_owned(),
            character,
        });
    }
    Ok(TopicName::new(name))
}

/// True if Kafka's metrics could not tell the two names apart: they differ only in `.` and `_`.
pub(crate) fn collide(a: &str, b: &str) -> bool {
    let fold = |b: u8| if b == b'.' { b'_' } else { b };
    a != b && a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

/// True for names that only the broker itself may write to.
pub(crate) fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_kafka() {
        for good in [
            "a",
            "orders",
            "A.b_c-9",
            "__consumer_offsets",
            "...",
            &"x".repeat(249),
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", "a:b", &"x".repeat(250)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert!(collide("a.b", "a_b"));
        assert!(!collide("a.b", "a.b"));
        assert!(!collide("a.b", "a-b"));
        assert!(!collide("a.b", "a_bc"));
    }
}
