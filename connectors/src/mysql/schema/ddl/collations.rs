//! Character sets and collations by their names.
use std::collections::HashMap;

use super::error::DdlError;
use crate::mysql::binlog::Collation;
use crate::mysql::charset;

/// The collations of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collations {
    by_name: HashMap<String, Collation>,
    names: HashMap<Collation, String>,
    /// By the names of character sets.
    defaults: HashMap<String, Collation>,
}

impl Collations {
    /// Of names, numbers, and whether each is its character set's default.
    #[must_use]
    pub fn new(all: impl IntoIterator<Item = (String, Collation, bool)>) -> Self {
        let mut own = Self::default();
        for (name, number, is_default) in all {
            let name = name.to_ascii_lowercase();
            if let Some(charset) = charset::name(number).filter(|_| is_default) {
                own.defaults.insert(charset.to_owned(), number);
            }
            own.names.insert(number, name.clone());
            own.by_name.insert(name, number);
        }
        own
    }

    /// A collation by its name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(&self, name: &str) -> Result<Collation, DdlError> {
        let name = name.to_ascii_lowercase();
        let found = self.by_name.get(&name).or_else(|| {
            let other = match name.strip_prefix("utf8_") {
                Some(rest) => format!("utf8mb3_{rest}"),
                None => format!("utf8_{}", name.strip_prefix("utf8mb3_")?),
            };
            self.by_name.get(&other)
        });
        found.copied().ok_or(DdlError::Charset(name))
    }

    /// The default collation of a character set.
    pub(super) fn of_charset(&self, name: &str) -> Result<Collation, DdlError> {
        let name = match name.to_ascii_lowercase() {
            name if name == "utf8" => "utf8mb3".to_owned(),
            name => name,
        };
        self.defaults.get(&name).copied().ok_or(DdlError::Charset(name))
    }

    /// The collation by bytes of a collation's character set.
    pub(super) fn binary_of(&self, collation: Collation) -> Result<Collation, DdlError> {
        let charset = charset::name(collation).ok_or_else(|| DdlError::Charset(collation.to_string()))?;
        match charset {
            "binary" => Ok(collation),
            charset => self.named(&format!("{charset}_bin")),
        }
    }

    /// What the server calls a collation's character set: names of collations begin with it.
    pub(super) fn charset_of(&self, collation: Collation) -> Option<&str> {
        self.names.get(&collation)?.split('_').next()
    }
}

/// What a statement says of the character set of a column or a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CharsetWords {
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
    /// BINARY: the collation by bytes.
    pub(super) binary: bool,
}

impl CharsetWords {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The collation that it is, where `default` holds if nothing is said.
    pub(super) fn resolve(
        &self,
        collations: &Collations,
        utf8mb4: Option<Collation>,
        default: impl FnOnce() -> Result<Collation, DdlError>,
    ) -> Result<Collation, DdlError> {
        if let Some(collation) = &self.collation {
            return collations.named(collation);
        }
        let collation = match (&self.charset, utf8mb4) {
            (Some(name), Some(collation)) if name.eq_ignore_ascii_case("utf8mb4") => collation,
            (Some(name), _) => collations.of_charset(name)?,
            (None, _) => default()?,
        };
        match self.binary {
            true => collations.binary_of(collation),
            false => Ok(collation),
        }
    }
}
