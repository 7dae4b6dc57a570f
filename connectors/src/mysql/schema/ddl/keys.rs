//! Indexes and constraints of statements.
use std::sync::Arc;

use super::draft::Draft;
use super::error::DdlError;
use super::reader::Reader;
use crate::mysql::schema::Index;
use crate::mysql::schema::structure::{PRIMARY, same_name};

/// An index, or a constraint, as a statement adds it.
#[derive(Debug, Clone)]
pub(super) enum Addition {
    Index(NewIndex),
    /// It needs an index on these columns, and makes one if there is none.
    ForeignKey(NewIndex),
    Check,
}

/// An index that is added.
#[derive(Debug, Clone)]
pub(super) struct NewIndex {
    /// Without one it gets that of its first column.
    pub(super) name: Option<String>,
    pub(super) unique: bool,
    pub(super) columns: Vec<Option<Arc<str>>>,
    /// How many characters of columns it has, where that is said.
    pub(super) lengths: Vec<(Arc<str>, u64)>,
    /// Nothing happens if there is one of its name.
    pub(super) unless_exists: bool,
}

impl Addition {
    /// Whether an index or a constraint comes next, and no column.
    pub(super) fn begins(reader: &Reader<'_>) -> bool {
        let words = [
            "CONSTRAINT",
            "UNIQUE",
            "INDEX",
            "KEY",
            "FULLTEXT",
            "SPATIAL",
            "CHECK",
        ];
        reader.peek_any(&words)
            || reader.peek_is(&["PRIMARY", "KEY"])
            || reader.peek_is(&["FOREIGN", "KEY"])
            || reader.peek_is(&["VECTOR", "INDEX"])
            || reader.peek_is(&["VECTOR", "KEY"])
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DdlError> {
        let mut symbol = None;
        if reader.take(&["CONSTRAINT"]) {
            reader.if_not_exists();
            let kinds = ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];
            if !reader.peek_any(&kinds) {
                symbol = Some(reader.name()?);
            }
        }
        if reader.take(&["PRIMARY", "KEY"]) {
            let mut index = NewIndex::read(reader, true)?;
            index.name = Some(PRIMARY.to_owned());
            return Ok(Self::Index(index));
        }
        if reader.take(&["UNIQUE"]) {
            reader.take_any(&["INDEX", "KEY"]);
            let mut index = NewIndex::read(reader, true)?;
            index.name = index.name.or(symbol);
            return Ok(Self::Index(index));
        }
        if reader.take(&["FOREIGN", "KEY"]) {
            let mut index = NewIndex::read(reader, false)?;
            index.name = symbol.or(index.name);
            reader.expect(&["REFERENCES"])?;
            skip_reference(reader)?;
            return Ok(Self::ForeignKey(index));
        }
        if reader.take(&["CHECK"]) {
            reader.skip_parentheses()?;
            if !reader.take(&["NOT", "ENFORCED"]) {
                reader.take(&["ENFORCED"]);
            }
            return Ok(Self::Check);
        }
        if symbol.is_some() {
            return Err(reader.unclear());
        }
        reader.take_any(&["FULLTEXT", "SPATIAL", "VECTOR"]);
        reader.take_any(&["INDEX", "KEY"]);
        NewIndex::read(reader, false).map(Self::Index)
    }
}

impl NewIndex {
    /// Reads a name, if there is one, the columns and what follows them.
    fn read(reader: &mut Reader<'_>, unique: bool) -> Result<Self, DdlError> {
        let unless_exists = reader.if_not_exists();
        let mut name = None;
        if !reader.peek_sign('(') && !reader.peek_any(&["USING", "TYPE"]) {
            name = Some(reader.name()?);
        }
        skip_type(reader)?;
        let (columns, lengths) = read_columns(reader)?;
        skip_options(reader)?;
        Ok(Self {
            name,
            unique,
            columns,
            lengths,
            unless_exists,
        })
    }

    /// CREATE INDEX behind INDEX, with the table's name in its midst.
    pub(super) fn created(reader: &mut Reader<'_>, unique: bool) -> Result<Self, DdlError> {
        let unless_exists = reader.if_not_exists();
        let name = Some(reader.name()?);
        skip_type(reader)?;
        reader.expect(&["ON"])?;
        reader.table()?;
        super::statement::skip_wait(reader)?;
        let (columns, lengths) = read_columns(reader)?;
        skip_options(reader)?;
        Ok(Self {
            name,
            unique,
            columns,
            lengths,
            unless_exists,
        })
    }

    /// Puts it behind the others, unless it is there, and gives it a name.
    pub(super) fn add_to(self, draft: &mut Draft) -> Result<(), DdlError> {
        let prefix = self.lengths.iter().any(|(name, length)| {
            let column = draft.columns.iter().find(|column| column.named(name));
            column.is_some_and(|column| !column.has_length(*length))
        });
        let structure = &mut draft.structure;
        let taken = |name: &str| structure.indexes.iter().any(|index| same_name(&index.name, name));
        let name = match self.name {
            Some(name) if taken(&name) && self.unless_exists => return Ok(()),
            Some(name) if taken(&name) => return Err(DdlError::Present(name)),
            Some(name) => name,
            None => {
                let first = self.columns.first().and_then(Option::as_deref);
                let base = first.unwrap_or("functional_index");
                let mut names = (2..100).map(|number| format!("{base}_{number}"));
                match taken(base) || base.eq_ignore_ascii_case(PRIMARY) {
                    false => base.to_owned(),
                    true => names.find(|name| !taken(name)).unwrap_or_default(),
                }
            }
        };
        structure.indexes.push(Index {
            name,
            unique: self.unique,
            prefix: prefix && self.unique,
            columns: self.columns,
        });
        Ok(())
    }

    /// The index of a foreign key, which another one that begins with its columns makes needless.
    pub(super) fn support(self, draft: &mut Draft) -> Result<(), DdlError> {
        let begins = |index: &Index| {
            let columns = index.columns.iter().zip(&self.columns);
            index.columns.len() >= self.columns.len()
                && columns.into_iter().all(|pair| match pair {
                    (Some(left), Some(right)) => same_name(left, right),
                    _ => false,
                })
        };
        if draft.structure.indexes.iter().any(begins) {
            return Ok(());
        }
        self.add_to(draft)
    }
}

fn skip_type(reader: &mut Reader<'_>) -> Result<(), DdlError> {
    while reader.take_any(&["USING", "TYPE"]) {
        reader.name()?;
    }
    Ok(())
}

/// The columns of an index, and how many characters it has of them.
type Parts = (Vec<Option<Arc<str>>>, Vec<(Arc<str>, u64)>);

fn read_columns(reader: &mut Reader<'_>) -> Result<Parts, DdlError> {
    reader.expect_sign('(')?;
    let (mut columns, mut lengths) = (Vec::new(), Vec::new());
    loop {
        if reader.peek_sign('(') {
            reader.skip_parentheses()?;
            columns.push(None);
        } else {
            let name: Arc<str> = reader.name()?.into();
            if reader.take_sign('(') {
                lengths.push((Arc::clone(&name), reader.number()?));
                reader.expect_sign(')')?;
            }
            columns.push(Some(name));
            if reader.peek_is(&["WITHOUT"]) {
                return Err(DdlError::Beyond("a key with periods"));
            }
        }
        reader.take_any(&["ASC", "DESC"]);
        if !reader.take_sign(',') {
            reader.expect_sign(')')?;
            return Ok((columns, lengths));
        }
    }
}

/// What follows an index: none of it matters.
fn skip_options(reader: &mut Reader<'_>) -> Result<(), DdlError> {
    loop {
        if reader.take_any(&["USING", "TYPE"]) || reader.take(&["WITH", "PARSER"]) {
            reader.name()?;
        } else if reader.take_any(&["KEY_BLOCK_SIZE", "COMMENT", "ENGINE_ATTRIBUTE", "CLUSTERING"])
            || reader.take_any(&["SECONDARY_ENGINE_ATTRIBUTE", "M", "DISTANCE"])
        {
            reader.take_sign('=');
            reader.skip_one()?;
        } else if !reader.take_any(&["VISIBLE", "INVISIBLE", "IGNORED"]) && !reader.take(&["NOT", "IGNORED"])
        {
            return Ok(());
        }
    }
}

/// The table that a foreign key is of, and what happens with it.
pub(super) fn skip_reference(reader: &mut Reader<'_>) -> Result<(), DdlError> {
    reader.table()?;
    if reader.peek_sign('(') {
        reader.skip_parentheses()?;
    }
    if reader.take(&["MATCH"]) {
        reader.name()?;
    }
    while reader.take(&["ON", "DELETE"]) || reader.take(&["ON", "UPDATE"]) {
        let known = reader.take(&["SET", "NULL"])
            || reader.take(&["SET", "DEFAULT"])
            || reader.take(&["NO", "ACTION"])
            || reader.take_any(&["CASCADE", "RESTRICT"]);
        if !known {
            return Err(reader.unclear());
        }
    }
    Ok(())
}
