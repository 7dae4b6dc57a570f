//! CREATE TABLE.
use super::definition::Definition;
use super::draft::Draft;
use super::error::DdlError;
use super::keys::Addition;
use super::options::Options;
use super::reader::Reader;
use super::{After, Context, Was};
use crate::mysql::schema::structure::same_name;
use crate::mysql::schema::{Structure, Table, TableId};
use std::sync::Arc;

/// What stands between the parentheses.
enum Element {
    Column(Definition),
    Key(Addition),
}

/// CREATE TABLE, behind TABLE.
pub(super) fn create(
    reader: &mut Reader<'_>,
    context: &Context<'_>,
    replaces: bool,
) -> Result<(TableId, After), DdlError> {
    let unless_exists = reader.if_not_exists();
    let id = reader.table()?;
    if unless_exists && !replaces {
        match context.before.table(&id) {
            Was::Table(table) => return Ok((id, After::Table(Arc::new(table.clone())))),
            Was::Unknown => return Err(DdlError::Before(id)),
            Was::Absent => {}
        }
    }
    let table = match like(reader)? {
        Some(other) => copied(context.known(&other)?, &id)?,
        None => defined(reader, context, &id)?,
    };
    Ok((id, After::Table(Arc::new(table))))
}

/// The table that it is to be like.
fn like(reader: &mut Reader<'_>) -> Result<Option<TableId>, DdlError> {
    let mut ahead = reader.clone();
    let in_parentheses = ahead.take_sign('(');
    if !ahead.take(&["LIKE"]) {
        return Ok(None);
    }
    let other = ahead.table()?;
    if in_parentheses {
        ahead.expect_sign(')')?;
    }
    match ahead.is_end() {
        true => Ok(Some(other)),
        false => Err(ahead.unclear()),
    }
}

fn copied(table: &Table, id: &TableId) -> Result<Table, DdlError> {
    Ok(Table {
        id: id.clone(),
        ..table.clone()
    })
}

fn defined(reader: &mut Reader<'_>, context: &Context<'_>, id: &TableId) -> Result<Table, DdlError> {
    let query = DdlError::Beyond("a table that a query makes");
    if !reader.peek_sign('(') {
        return Err(query);
    }
    reader.skip();
    let elements = elements(reader, context)?;
    let options = options(reader)?;
    let collations = &context.server.collations;
    let of_database = || {
        context
            .before
            .collation(&id.database)
            .ok_or(DdlError::DatabaseCharset)
    };
    let collation = match options.charset.resolve(collations, context.utf8mb4, of_database) {
        Err(DdlError::DatabaseCharset) => None,
        collation => Some(collation?),
    };
    let mut draft = Draft {
        id: id.clone(),
        columns: Vec::new(),
        structure: Structure {
            collation: collation.unwrap_or(0),
            indexes: Vec::new(),
        },
        comment: options.comment,
        has_collation: collation.is_some(),
    };
    let mut foreign = Vec::new();
    for element in elements {
        match element {
            Element::Column(definition) => {
                let column = draft.column(&definition, context)?;
                draft.columns.push(column);
                draft.inline_keys(&definition)?;
                foreign.extend(Draft::inline_reference(&definition, context));
            }
            Element::Key(Addition::Index(index)) => index.add_to(&mut draft)?,
            Element::Key(Addition::ForeignKey(index)) => foreign.push(index),
            Element::Key(Addition::Check) => {}
        }
    }
    for index in foreign {
        index.support(&mut draft)?;
    }
    spell_keys(&mut draft);
    draft.finish(context)
}

/// Indexes name columns in any case of letters; servers show them as the columns are called.
pub(super) fn spell_keys(draft: &mut Draft) {
    for name in draft
        .structure
        .indexes
        .iter_mut()
        .flat_map(|index| index.columns.iter_mut().flatten())
    {
        let column = draft
            .columns
            .iter()
            .find(|column| same_name(&column.column.name, name));
        if let Some(column) = column {
            *name = Arc::clone(&column.column.name);
        }
    }
}

fn elements(reader: &mut Reader<'_>, context: &Context<'_>) -> Result<Vec<Element>, DdlError> {
    if reader.peek_any(&["SELECT", "WITH", "VALUES", "TABLE"]) || reader.peek_sign('(') {
        return Err(DdlError::Beyond("a table that a query makes"));
    }
    let mut elements = Vec::new();
    loop {
        if reader.peek_is(&["PERIOD", "FOR"]) {
            return Err(DdlError::Beyond("a table with periods"));
        }
        elements.push(match Addition::begins(reader) {
            true => Element::Key(Addition::read(reader)?),
            false => {
                let name = reader.name()?;
                Element::Column(Definition::read(reader, name, context)?)
            }
        });
        if !reader.take_sign(',') {
            reader.expect_sign(')')?;
            return Ok(elements);
        }
    }
}

/// Options, and partitions, which change nothing. A query may follow.
fn options(reader: &mut Reader<'_>) -> Result<Options, DdlError> {
    let mut options = Options::default();
    while !reader.is_end() {
        if reader.take_sign(',') || options.read(reader)? {
            continue;
        }
        if reader.peek_is(&["WITH", "SYSTEM", "VERSIONING"]) {
            return Err(DdlError::Beyond("a system-versioned table"));
        }
        if !reader.peek_is(&["PARTITION", "BY"]) {
            return Err(reader.unclear());
        }
        while !reader.is_end() {
            if reader.peek_any(&["SELECT", "TABLE", "SYSTEM_TIME", "WITH"]) {
                return Err(reader.unclear());
            }
            reader.skip_one()?;
        }
    }
    Ok(options)
}
