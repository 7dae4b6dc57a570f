//! What ALTER TABLE makes of a table, in the order in which servers do it: first what was there, then what is new.
use super::alter::{Action, Alteration};
use super::create::spell_keys;
use super::definition::{Definition, Position};
use super::draft::{Draft, DraftColumn};
use super::error::DdlError;
use super::keys::{Addition, NewIndex};
use super::{Context, default::Literal};
use crate::mysql::binlog::{BINARY, ColumnType};
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::schema::structure::same_name;
use crate::mysql::schema::{Column, Index, Structure, Table};

/// The table that an ALTER TABLE makes of `table`.
pub(super) fn altered(
    table: &Table,
    alteration: &Alteration,
    context: &Context<'_>,
) -> Result<Table, DdlError> {
    let structure = table
        .structure
        .as_ref()
        .ok_or_else(|| DdlError::Before(table.id.clone()))?;
    let old = |column: &Column| {
        matches!(
            column.log.column_type,
            ColumnType::OldTime | ColumnType::OldDateTime | ColumnType::OldTimestamp
        )
    };
    if table.columns.iter().any(old) {
        // Servers make current ones of them by the way, or do not.
        return Err(DdlError::Beyond("a table with times from before MySQL 5.6.4"));
    }
    let mut draft = Draft {
        id: table.id.clone(),
        columns: Vec::new(),
        structure: Structure {
            collation: collation(table, structure, alteration, context)?,
            indexes: Vec::new(),
        },
        comment: alteration
            .options
            .comment
            .clone()
            .or_else(|| table.comment.clone()),
        has_collation: true,
    };
    let mut placed = Vec::new();
    let mut work = Work {
        table,
        alteration,
        context,
    };
    work.change_columns(&mut draft, &mut placed)?;
    for (column, position) in placed {
        insert(&mut draft.columns, column, &position)?;
    }
    draft.structure.indexes = work.kept_indexes(structure, &draft)?;
    work.add_indexes(&mut draft)?;
    spell_keys(&mut draft);
    draft.finish(context)
}

/// The collation of columns that say none, behind it.
fn collation(
    table: &Table,
    structure: &Structure,
    alteration: &Alteration,
    context: &Context<'_>,
) -> Result<u16, DdlError> {
    let words = match &alteration.converted {
        Some(_) if !alteration.options.charset.is_empty() => {
            return Err(DdlError::Beyond("a conversion with another default"));
        }
        Some(words) => words,
        None => &alteration.options.charset,
    };
    let resolved = words.resolve(&context.server.collations, context.utf8mb4, || {
        Ok(structure.collation)
    })?;
    let alone = alteration.converted.is_some() && alteration.actions.is_empty();
    let has_text = |column: &Column| column.log.column_type.is_character() && column.log.collation != BINARY;
    let has_text = |column: &Column| has_text(column) || column.log.column_type.has_labels();
    let server = context.server;
    if !alone || server.flavour == Flavour::MariaDb || server.version >= Version::new(8, 0, 0) {
        return Ok(resolved);
    }
    match table.columns.iter().any(has_text) {
        true => Ok(resolved),
        // Where there is nothing to convert, MySQL 5.6 does nothing at all.
        false if server.version < Version::new(5, 7, 0) => Ok(structure.collation),
        false => Err(DdlError::Beyond("a conversion of a table without characters")),
    }
}

fn insert(columns: &mut Vec<DraftColumn>, column: DraftColumn, position: &Position) -> Result<(), DdlError> {
    let at = match position {
        Position::Any => columns.len(),
        Position::First => 0,
        Position::After(name) => {
            let found = columns.iter().position(|column| column.named(name));
            found.ok_or_else(|| DdlError::Absent(name.clone()))? + 1
        }
    };
    columns.insert(at, column);
    Ok(())
}

struct Work<'a> {
    table: &'a Table,
    alteration: &'a Alteration,
    context: &'a Context<'a>,
}

/// What happens to a column that was there.
enum Fate<'a> {
    Stays,
    Dropped,
    Changed(&'a Definition, &'a Position),
    Renamed(&'a str),
}

impl<'a> Work<'a> {
    fn has(&self, name: &str) -> bool {
        self.table
            .columns
            .iter()
            .any(|column| same_name(&column.name, name))
    }

    /// Columns that were there, in their order; those that are put elsewhere and new ones are `placed` behind them.
    fn change_columns(
        &mut self,
        draft: &mut Draft,
        placed: &mut Vec<(DraftColumn, Position)>,
    ) -> Result<(), DdlError> {
        self.check_absent()?;
        for column in &self.table.columns {
            let mut kept = DraftColumn::kept(column);
            match self.fate(&column.name)? {
                Fate::Dropped => continue,
                Fate::Stays => self.touch(&mut kept)?,
                Fate::Renamed(name) => {
                    kept.change = Some(column.name.to_string());
                    self.touch(&mut kept)?;
                    kept.rename(name);
                }
                Fate::Changed(_, position) if *position != Position::Any => continue,
                Fate::Changed(definition, _) => kept = self.changed(draft, definition, &column.name)?,
            }
            draft.columns.push(kept);
        }
        for action in &self.alteration.actions {
            match action {
                Action::AddColumn {
                    definition,
                    position,
                    unless_exists,
                } => {
                    let again = placed.iter().any(|(column, _)| column.named(&definition.name));
                    if *unless_exists && (self.has(&definition.name) || again) {
                        continue;
                    }
                    let column = draft.column(self.own_charset(definition)?, self.context)?;
                    placed.push((column, position.clone()));
                }
                Action::ChangeColumn {
                    name,
                    definition,
                    position,
                    ..
                } if *position != Position::Any && self.has(name) => {
                    let column = self.changed(draft, definition, name)?;
                    placed.push((column, position.clone()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn changed(&self, draft: &Draft, definition: &Definition, name: &str) -> Result<DraftColumn, DdlError> {
        let mut column = draft.column(self.own_charset(definition)?, self.context)?;
        column.change = Some(name.to_owned());
        Ok(column)
    }

    /// A conversion would be of new columns, too.
    fn own_charset<'d>(&self, definition: &'d Definition) -> Result<&'d Definition, DdlError> {
        match self.alteration.converted.is_some() && !definition.data_type.charset.is_empty() {
            true => Err(DdlError::Beyond(
                "a conversion with columns of their own character set",
            )),
            false => Ok(definition),
        }
    }

    /// Columns that a statement names have to be there, unless it says otherwise.
    fn check_absent(&self) -> Result<(), DdlError> {
        for action in &self.alteration.actions {
            let (name, if_exists) = match action {
                Action::ChangeColumn { name, if_exists, .. }
                | Action::RenameColumn { name, if_exists, .. }
                | Action::DropColumn { name, if_exists }
                | Action::SetDefault { name, if_exists, .. } => (name, *if_exists),
                Action::SetVisible { name, .. } => (name, false),
                _ => continue,
            };
            if !if_exists && !self.has(name) {
                return Err(DdlError::Absent(name.clone()));
            }
        }
        Ok(())
    }

    fn fate(&self, column: &str) -> Result<Fate<'a>, DdlError> {
        let mut fates = self.alteration.actions.iter().filter_map(|action| match action {
            Action::DropColumn { name, .. } if same_name(name, column) => Some(Fate::Dropped),
            Action::ChangeColumn {
                name,
                definition,
                position,
                ..
            } if same_name(name, column) => Some(Fate::Changed(definition, position)),
            Action::RenameColumn { name, to, .. } if same_name(name, column) => Some(Fate::Renamed(to)),
            _ => None,
        });
        let fate = fates.next().unwrap_or(Fate::Stays);
        match fates.next() {
            None => Ok(fate),
            Some(_) => Err(DdlError::Beyond("a column that is changed twice")),
        }
    }

    /// What else may happen to a column.
    fn touch(&self, kept: &mut DraftColumn) -> Result<(), DdlError> {
        if let Some(words) = &self.alteration.converted {
            let collations = &self.context.server.collations;
            let none = || Err(DdlError::DatabaseCharset);
            let collation = words.resolve(collations, self.context.utf8mb4, none)?;
            if collation == BINARY {
                return Err(DdlError::Beyond("a conversion to bytes"));
            }
            kept.convert(collation, self.context)?;
        }
        for action in &self.alteration.actions {
            match action {
                Action::SetDefault { name, literal, .. } if kept.named(name) => {
                    kept.set_default(literal.as_ref(), self.context)?;
                    if literal == &Some(Literal::Null) && kept.is_strict_timestamp() {
                        return Err(DdlError::Default(name.clone()));
                    }
                }
                Action::SetVisible { name, visible } if kept.named(name) => {
                    kept.column.log.visible = *visible
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Indexes that were there, without those that are dropped and columns that are gone.
    fn kept_indexes(&self, structure: &Structure, draft: &Draft) -> Result<Vec<Index>, DdlError> {
        let mut indexes = structure.indexes.clone();
        for action in &self.alteration.actions {
            match action {
                Action::DropKey { name, if_exists } => {
                    let count = indexes.len();
                    indexes.retain(|index| !same_name(&index.name, name));
                    if indexes.len() == count && !if_exists {
                        return Err(DdlError::Absent(name.clone()));
                    }
                }
                Action::DropConstraint(name) => {
                    let is_it = |index: &Index| index.unique && same_name(&index.name, name);
                    if indexes.iter().any(is_it) && self.context.server.flavour == Flavour::MariaDb {
                        // It may be a CHECK of that name as well.
                        return Err(DdlError::Beyond("a constraint by its name alone"));
                    }
                    indexes.retain(|index| !is_it(index));
                }
                Action::RenameKey { name, to } => {
                    let found = structure
                        .indexes
                        .iter()
                        .find(|index| same_name(&index.name, name));
                    let name = &found.ok_or_else(|| DdlError::Absent(name.clone()))?.name;
                    let index = indexes.iter_mut().find(|index| index.name == *name);
                    index
                        .ok_or_else(|| DdlError::Absent(name.clone()))?
                        .name
                        .clone_from(to);
                }
                _ => {}
            }
        }
        for index in &mut indexes {
            let columns = std::mem::take(&mut index.columns).into_iter();
            let columns = columns.filter_map(|name| match name {
                None => Some(None),
                Some(name) => {
                    let is_it = |column: &&DraftColumn| match &column.change {
                        Some(change) => same_name(change, &name),
                        None => column.named(&name),
                    };
                    let column = draft.columns.iter().find(is_it)?;
                    Some(Some(std::sync::Arc::clone(&column.column.name)))
                }
            });
            index.columns = columns.collect();
        }
        indexes.retain(|index| !index.columns.is_empty());
        Ok(indexes)
    }

    fn add_indexes(&self, draft: &mut Draft) -> Result<(), DdlError> {
        let mut foreign: Vec<NewIndex> = Vec::new();
        for action in &self.alteration.actions {
            let definition = match action {
                Action::AddColumn {
                    definition,
                    unless_exists,
                    ..
                } if !(*unless_exists && self.has(&definition.name)) => definition,
                Action::ChangeColumn { name, definition, .. } if self.has(name) => definition,
                Action::AddKey(Addition::Index(index)) => {
                    index.clone().add_to(draft)?;
                    continue;
                }
                Action::AddKey(Addition::ForeignKey(index)) => {
                    foreign.push(index.clone());
                    continue;
                }
                _ => continue,
            };
            draft.inline_keys(definition)?;
            foreign.extend(Draft::inline_reference(definition, self.context));
        }
        for index in foreign {
            index.support(draft)?;
        }
        Ok(())
    }
}
