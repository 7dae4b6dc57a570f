//! What perf records hold: letters at random, the lines of a file, or growing numbers.

use std::path::Path;

use crate::error::CliError;

/// Random letters beyond one record, so that records differ without costing a random number a byte.
const SPARE_BYTES: usize = 1 << 20;
/// Largest file of payloads.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Numbers that look random and are the same in every run (xorshift).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x2545_F491_4F6C_DD1D)
    }
}

impl Random {
    /// The next number below `bound`.
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Where payloads come from.
#[derive(Debug)]
pub enum Payloads {
    /// Windows of a text of random letters.
    Letters {
        /// Longer than a record.
        text: Vec<u8>,
        /// Of one record.
        size: usize,
        /// Picks the window.
        random: Random,
    },
    /// Records of a file, picked at random.
    File {
        /// At least one.
        records: Vec<Vec<u8>>,
        /// Picks the record.
        random: Random,
    },
    /// 0, 1, 2, …
    Numbers {
        /// The digits of the last one.
        digits: String,
    },
}

impl Payloads {
    /// Records of `size` random capital letters, each record others.
    pub fn letters(size: usize) -> Self {
        let mut random = Random::default();
        let text = (0..size + SPARE_BYTES)
            .map(|_| b'A' + random.below(26) as u8)
            .collect();
        Self::Letters { text, size, random }
    }

    /// The parts of a file between `delimiter`s.
    pub fn file(path: &Path, delimiter: &str) -> Result<Self, CliError> {
        let cannot = |reason: &dyn std::fmt::Display| {
            CliError::new(format!(
                "--payload-file {}: {reason}; give a readable text file",
                path.display()
            ))
        };
        let length = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
        if length > FILE_BYTES_MAX {
            return Err(cannot(&format!(
                "it has {length} bytes, more than {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
        let delimiter = if delimiter == "\\n" { "\n" } else { delimiter };
        let mut records: Vec<Vec<u8>> = match delimiter {
            "" => vec![text.into_bytes()],
            _ => text
                .split(delimiter)
                .map(|part| part.as_bytes().to_vec())
                .collect(),
        };
        // What ends with the delimiter has no record behind it.
        if records.last().is_some_and(Vec::is_empty) {
            records.pop();
        }
        if records.is_empty() {
            return Err(cannot(&"it is empty"));
        }
        Ok(Self::File {
            records,
            random: Random::default(),
        })
    }

    /// Growing numbers as text.
    pub const fn numbers() -> Self {
        Self::Numbers {
            digits: String::new(),
        }
    }

    /// The payload of record `number`.
    pub fn next(&mut self, number: u64) -> &[u8] {
        match self {
            Self::Letters { text, size, random } => {
                let from = random.below(SPARE_BYTES);
                &text[from..from + *size]
            }
            Self::File { records, random } => &records[random.below(records.len())],
            Self::Numbers { digits } => {
                *digits = number.to_string();
                digits.as_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_their_size_and_differ() {
        let mut payloads = Payloads::letters(100);
        let first = payloads.next(0).to_vec();
        assert!(first.len() == 100 && first.iter().all(u8::is_ascii_uppercase));
        assert_ne!(payloads.next(1), first);
    }

    #[test]
    fn a_file_gives_its_parts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("payloads");
        std::fs::write(&path, "a,b,").unwrap();
        let mut payloads = Payloads::file(&path, ",").unwrap();
        assert!((0..50).all(|number| [&b"a"[..], b"b"].contains(&payloads.next(number))));
        std::fs::write(&path, "").unwrap();
        let error = Payloads::file(&path, "\\n").unwrap_err().to_string();
        assert!(error.contains("it is empty"), "{error}");
    }

    #[test]
    fn numbers_grow() {
        assert_eq!(Payloads::numbers().next(42), b"42");
    }
}
