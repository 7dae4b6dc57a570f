//! What a statement is, and which tables it is of.
use std::collections::HashMap;
use std::sync::Arc;

use super::alter::{Action, Alteration, read_actions};
use super::apply::altered;
use super::create::create;
use super::error::DdlError;
use super::keys::{Addition, NewIndex};
use super::reader::Reader;
use super::{After, Context, Effects, Was};
use crate::mysql::schema::{Table, TableId};

/// Reads a statement, and says what it does.
pub(super) fn run(mut reader: Reader<'_>, context: &Context<'_>) -> Result<Effects, DdlError> {
    skip_set_statement(&mut reader);
    let one = |effect: (TableId, After)| Effects::Tables(vec![effect]);
    if reader.take(&["CREATE"]) {
        let replaces = reader.take(&["OR", "REPLACE"]);
        if reader.take(&["TABLE"]) {
            return create(&mut reader, context, replaces).map(one);
        }
        if reader.take_any(&["DATABASE", "SCHEMA"]) {
            return Ok(match replaces {
                true => Effects::DatabaseGone,
                false => Effects::Nothing,
            });
        }
        return create_index(&mut reader, context, replaces).map(one);
    }
    if reader.take(&["ALTER"]) {
        while reader.take_any(&["ONLINE", "OFFLINE", "IGNORE"]) {}
        if reader.take_any(&["DATABASE", "SCHEMA"]) {
            return Ok(Effects::Nothing);
        }
        reader.expect(&["TABLE"])?;
        return alter(&mut reader, context).map(Effects::Tables);
    }
    if reader.take(&["RENAME"]) {
        if !reader.take_any(&["TABLE", "TABLES"]) {
            return Err(reader.unclear());
        }
        return rename(&mut reader, context).map(Effects::Tables);
    }
    reader.expect(&["DROP"])?;
    if reader.take_any(&["DATABASE", "SCHEMA"]) {
        return Ok(Effects::DatabaseGone);
    }
    if reader.take_any(&["TABLE", "TABLES"]) {
        return drop_tables(&mut reader).map(Effects::Tables);
    }
    drop_index(&mut reader, context).map(one)
}

/// MariaDB's `SET STATEMENT variable = value, … FOR`.
fn skip_set_statement(reader: &mut Reader<'_>) {
    let mut ahead = reader.clone();
    if ahead.take(&["SET", "STATEMENT"]) {
        while !ahead.is_end() {
            if ahead.take(&["FOR"]) {
                *reader = ahead;
                return;
            }
            ahead.skip();
        }
    }
}

/// MariaDB's WAIT n and NOWAIT.
pub(super) fn skip_wait(reader: &mut Reader<'_>) -> Result<(), DdlError> {
    if reader.take(&["WAIT"]) {
        reader.skip_one()?;
    }
    reader.take(&["NOWAIT"]);
    Ok(())
}

fn drop_tables(reader: &mut Reader<'_>) -> Result<Vec<(TableId, After)>, DdlError> {
    reader.if_exists();
    let mut effects = vec![(reader.table()?, After::Gone)];
    while reader.take_sign(',') {
        effects.push((reader.table()?, After::Gone));
    }
    skip_wait(reader)?;
    reader.take_any(&["RESTRICT", "CASCADE"]);
    match reader.is_end() {
        true => Ok(effects),
        false => Err(reader.unclear()),
    }
}

/// What a table is while a list of renames is gone through.
#[derive(Clone)]
enum State {
    Table(Arc<Table>),
    Gone,
    Unknown(DdlError),
}

fn rename(reader: &mut Reader<'_>, context: &Context<'_>) -> Result<Vec<(TableId, After)>, DdlError> {
    let if_exists = reader.if_exists();
    let mut states: HashMap<TableId, State> = HashMap::new();
    let mut order = Vec::new();
    loop {
        let from = reader.table()?;
        skip_wait(reader)?;
        reader.expect(&["TO"])?;
        let to = reader.table()?;
        let before = states.get(&from).cloned();
        let was = before.unwrap_or_else(|| match context.before.table(&from) {
            Was::Table(table) => State::Table(Arc::new(table.clone())),
            _ => State::Unknown(DdlError::Before(from.clone())),
        });
        if if_exists && !matches!(was, State::Table(_)) {
            return Err(DdlError::Before(from));
        }
        let renamed = match was {
            State::Table(table) => State::Table(Arc::new(Table {
                id: to.clone(),
                ..(*table).clone()
            })),
            other => other,
        };
        states.insert(from.clone(), State::Gone);
        states.insert(to.clone(), renamed);
        order.extend([from, to]);
        if !reader.take_sign(',') {
            break;
        }
    }
    if !reader.is_end() {
        return Err(reader.unclear());
    }
    let mut effects = Vec::new();
    for id in order {
        if let Some(state) = states.remove(&id) {
            let after = match state {
                State::Table(table) => After::Table(table),
                State::Gone => After::Gone,
                State::Unknown(error) => After::Unknown(error),
            };
            effects.push((id, after));
        }
    }
    Ok(effects)
}

fn alter(reader: &mut Reader<'_>, context: &Context<'_>) -> Result<Vec<(TableId, After)>, DdlError> {
    let if_exists = reader.if_exists();
    let id = reader.table()?;
    if if_exists && matches!(context.before.table(&id), Was::Absent) {
        return Ok(vec![(id, After::Gone)]);
    }
    skip_wait(reader)?;
    let alteration = read_actions(reader, context)?;
    one_altered(&id, &alteration, context)
}

fn one_altered(
    id: &TableId,
    alteration: &Alteration,
    context: &Context<'_>,
) -> Result<Vec<(TableId, After)>, DdlError> {
    let mut table = altered(context.known(id)?, alteration, context)?;
    let mut effects = Vec::new();
    if let Some(name) = alteration.renamed.as_ref().filter(|name| *name != id) {
        table.id = name.clone();
        effects.push((id.clone(), After::Gone));
    }
    effects.push((table.id.clone(), After::Table(Arc::new(table))));
    if let Some(other) = &alteration.exchanged {
        let after = match context.before.table(other) {
            Was::Table(table) => After::Table(Arc::new(table.clone())),
            _ => After::Unknown(DdlError::Before(other.clone())),
        };
        effects.push((other.clone(), after));
    }
    Ok(effects)
}

fn create_index(
    reader: &mut Reader<'_>,
    context: &Context<'_>,
    replaces: bool,
) -> Result<(TableId, After), DdlError> {
    while reader.take_any(&["ONLINE", "OFFLINE"]) {}
    let unique = reader.take(&["UNIQUE"]);
    reader.take_any(&["FULLTEXT", "SPATIAL", "VECTOR"]);
    reader.expect(&["INDEX"])?;
    let id = table_of_index(reader)?;
    let index = NewIndex::created(reader, unique)?;
    let alteration = read_actions(reader, context)?;
    let replaced = index.name.clone().filter(|_| replaces);
    let mut actions: Vec<Action> = replaced
        .into_iter()
        .map(|name| Action::DropKey {
            name,
            if_exists: true,
        })
        .collect();
    actions.push(Action::AddKey(Addition::Index(index)));
    let alteration = Alteration {
        actions,
        ..alteration
    };
    single(&id, &alteration, context)
}

fn drop_index(reader: &mut Reader<'_>, context: &Context<'_>) -> Result<(TableId, After), DdlError> {
    while reader.take_any(&["ONLINE", "OFFLINE"]) {}
    reader.expect(&["INDEX"])?;
    let if_exists = reader.if_exists();
    let name = reader.name()?;
    reader.expect(&["ON"])?;
    let id = reader.table()?;
    skip_wait(reader)?;
    let alteration = read_actions(reader, context)?;
    let alteration = Alteration {
        actions: vec![Action::DropKey { name, if_exists }],
        ..alteration
    };
    single(&id, &alteration, context)
}

/// The table behind ON, which stands behind the index's name.
fn table_of_index(reader: &Reader<'_>) -> Result<TableId, DdlError> {
    let mut ahead = reader.clone();
    ahead.if_not_exists();
    ahead.name()?;
    while !ahead.take(&["ON"]) {
        ahead.skip_one()?;
    }
    ahead.table()
}

fn single(
    id: &TableId,
    alteration: &Alteration,
    context: &Context<'_>,
) -> Result<(TableId, After), DdlError> {
    let table = altered(context.known(id)?, alteration, context)?;
    Ok((id.clone(), After::Table(Arc::new(table))))
}
