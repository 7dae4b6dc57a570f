//! What statements make of tables, where the server's word is not of their place.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::describe::{Described, Known};
use super::tables::Tables;
use crate::mysql::binlog::Collation;
use crate::mysql::schema::TableId;
use crate::mysql::schema::ddl::{self, After, Before, DdlError, Effects, Statement, Was};
use crate::mysql::stream::SchemaChange;

/// Characters of a statement that an error shows.
const SHOWN_CHARS: usize = 100;

/// What is known before a statement.
struct Place<'a> {
    tables: &'a Tables,
    collations: &'a BTreeMap<String, Collation>,
}

impl Before for Place<'_> {
    fn table(&self, id: &TableId) -> Was<'_> {
        match self.tables.known(id) {
            Some(Known::Table(table)) => Was::Table(table),
            // Tables that are there are asked for at the start.
            Some(Known::Gone) | None => Was::Absent,
            Some(Known::Changed | Known::Unknown(_)) => Was::Unknown,
        }
    }

    fn collation(&self, database: &str) -> Option<Collation> {
        self.collations.get(database).copied()
    }
}

/// Puts what `change` makes of tables in the place of what is not known of them, for a statement changed them since. `tables` are as they
/// were before it.
pub(super) fn complete(described: &mut Described, change: &SchemaChange, tables: &Tables) {
    let is_changed = |(_, known): &(TableId, Known)| *known == Known::Changed;
    let Some(server) = described.server.clone() else {
        return;
    };
    if !described.tables.iter().any(is_changed) {
        return;
    }
    let place = Place {
        tables,
        collations: &described.collations,
    };
    let statement = Statement {
        text: &change.text,
        database: &change.database,
        session: change.session,
    };
    let effects = ddl::effects(&server, &place, &statement);
    let changed = described
        .tables
        .iter_mut()
        .filter(|(_, known)| *known == Known::Changed);
    for (id, known) in changed {
        *known = behind(id, &effects, change, tables);
    }
}

fn behind(
    id: &TableId,
    effects: &Result<Effects, DdlError>,
    change: &SchemaChange,
    tables: &Tables,
) -> Known {
    match effects {
        Ok(Effects::Tables(all)) => match all.iter().find(|(table, _)| table == id) {
            Some((_, After::Table(table))) => Known::Table(Arc::clone(table)),
            Some((_, After::Gone)) => Known::Gone,
            Some((_, After::Unknown(error))) => not_known(change, error),
            None => not_known(change, &DdlError::Before(id.clone())),
        },
        Ok(Effects::Nothing) => tables.known(id).cloned().unwrap_or(Known::Gone),
        Ok(Effects::DatabaseGone) => Known::Gone,
        Err(error) => not_known(change, error),
    }
}

fn not_known(change: &SchemaChange, error: &DdlError) -> Known {
    let mut text: String = change.text.chars().take(SHOWN_CHARS).collect();
    if text.len() < change.text.len() {
        text.push('…');
    }
    Known::Unknown(format!(
        "it was changed since, and what {text:?} made of it is not known: {error}"
    ))
}
