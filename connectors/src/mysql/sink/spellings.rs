//! Keys that are spelled differently, and are perhaps the same for the server: its collations see no case, no accents, no spaces at the end.
use std::collections::HashMap;

use super::table::Table;

/// Keys of rows that were written, as any collation may see them: whether one may be another one spelled otherwise.
#[derive(Default)]
pub(super) struct Spellings {
    /// Of each folded key that was written: its number and shape; no number where there are several.
    written: HashMap<Vec<u8>, (Option<usize>, usize)>,
    /// The same of keys that may be any other.
    wild: Option<(Option<usize>, usize)>,
    /// The same of all of them.
    any: Option<(Option<usize>, usize)>,
}

impl Spellings {
    /// Whether what is done to a key must come behind the rows that were written. Takes it down as written, if it is.
    pub fn conflict(
        &mut self,
        (table, columns): (&Table, &[usize]),
        (key, number, shape): (&[u8], usize, usize),
        writes: bool,
    ) -> bool {
        if columns.iter().all(|place| table.columns[*place].kind.is_exact()) {
            return false;
        }
        let folds = columns
            .iter()
            .all(|place| table.columns[*place].kind.is_exact() || table.columns[*place].kind.is_text());
        let folded = Some(key).filter(|key| folds && key.is_ascii()).map(folded);
        let is_other =
            |known: &(Option<usize>, usize)| known.0 != Some(number) && !(writes && known.1 == shape);
        let conflicts = match &folded {
            None => self.any.as_ref().is_some_and(is_other),
            Some(folded) => {
                self.written.get(folded).is_some_and(is_other) || self.wild.as_ref().is_some_and(is_other)
            }
        };
        if writes && !conflicts {
            let add = |known: Option<(Option<usize>, usize)>| match known {
                None => (Some(number), shape),
                // Shapes that differ are as good as none.
                Some((its, known)) => (
                    its.filter(|its| *its == number),
                    if known == shape { shape } else { usize::MAX },
                ),
            };
            self.any = Some(add(self.any));
            match folded {
                None => self.wild = Some(add(self.wild)),
                Some(folded) => {
                    let known = self.written.get(&folded).copied();
                    self.written.insert(folded, add(known));
                }
            }
        }
        conflicts
    }
}

/// Letters and digits as the coarsest collation sees them: without case, and alike where some language takes them for the same.
fn folded(key: &[u8]) -> Vec<u8> {
    let letters = key.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters
        .map(|byte| match byte.to_ascii_lowercase() {
            b'v' | b'w' => b'u',
            b'j' | b'y' => b'i',
            other => other,
        })
        .collect()
}
