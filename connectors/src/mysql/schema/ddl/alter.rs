//! ALTER TABLE, as it is written.
use super::Context;
use super::collations::CharsetWords;
use super::default::Literal;
use super::definition::{Definition, Position};
use super::error::DdlError;
use super::keys::Addition;
use super::options::Options;
use super::reader::Reader;
use crate::mysql::schema::TableId;
use crate::mysql::schema::structure::PRIMARY;

/// One thing that it does.
#[derive(Debug, Clone)]
pub(super) enum Action {
    AddColumn {
        definition: Definition,
        position: Position,
        unless_exists: bool,
    },
    /// CHANGE and MODIFY.
    ChangeColumn {
        name: String,
        definition: Definition,
        position: Position,
        if_exists: bool,
    },
    RenameColumn {
        name: String,
        to: String,
        if_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    SetDefault {
        name: String,
        literal: Option<Literal>,
        if_exists: bool,
    },
    SetVisible {
        name: String,
        visible: bool,
    },
    AddKey(Addition),
    DropKey {
        name: String,
        if_exists: bool,
    },
    /// A constraint of any kind, which may be a unique index.
    DropConstraint(String),
    RenameKey {
        name: String,
        to: String,
    },
}

/// All that it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Alteration {
    pub(super) actions: Vec<Action>,
    pub(super) options: Options,
    /// CONVERT TO CHARACTER SET.
    pub(super) converted: Option<CharsetWords>,
    pub(super) renamed: Option<TableId>,
    /// The table that a partition is exchanged with.
    pub(super) exchanged: Option<TableId>,
}

/// Words that begin what happens to partitions and to files: none of it changes columns.
const OF_PARTITIONS: [&[&str]; 14] = [
    &["PARTITION", "BY"],
    &["REMOVE", "PARTITIONING"],
    &["ADD", "PARTITION"],
    &["DROP", "PARTITION"],
    &["TRUNCATE", "PARTITION"],
    &["COALESCE", "PARTITION"],
    &["REORGANIZE", "PARTITION"],
    &["ANALYZE", "PARTITION"],
    &["CHECK", "PARTITION"],
    &["OPTIMIZE", "PARTITION"],
    &["REBUILD", "PARTITION"],
    &["REPAIR", "PARTITION"],
    &["DISCARD"],
    &["IMPORT"],
];

/// What a table has that is not read from statements.
const BEYOND: [(&[&str], &str); 5] = [
    (&["ADD", "SYSTEM", "VERSIONING"], "a system-versioned table"),
    (&["DROP", "SYSTEM", "VERSIONING"], "a system-versioned table"),
    (&["ADD", "PERIOD"], "a table with periods"),
    (&["DROP", "PERIOD"], "a table with periods"),
    (&["CONVERT", "PARTITION"], "a partition that becomes a table"),
];

/// Reads all that follows the table's name.
pub(super) fn read_actions(reader: &mut Reader<'_>, context: &Context<'_>) -> Result<Alteration, DdlError> {
    let mut own = Alteration::default();
    while !reader.is_end() {
        if reader.take_sign(',') {
            continue;
        }
        if let Some((_, what)) = BEYOND.iter().find(|(words, _)| reader.peek_is(words)) {
            return Err(DdlError::Beyond(what));
        }
        if OF_PARTITIONS.iter().any(|words| reader.peek_is(words)) {
            while !reader.is_end() {
                if reader.peek_is(&["SYSTEM_TIME"]) {
                    return Err(DdlError::Beyond("a system-versioned table"));
                }
                reader.skip_one()?;
            }
        } else if reader.take(&["EXCHANGE", "PARTITION"]) {
            reader.name()?;
            reader.expect(&["WITH", "TABLE"])?;
            own.exchanged = Some(reader.table()?);
        } else if !skip_manner(reader)? && !own.read_table(reader)? && !own.read_column(reader, context)? {
            return Err(reader.unclear());
        }
    }
    Ok(own)
}

/// How the server goes about it.
fn skip_manner(reader: &mut Reader<'_>) -> Result<bool, DdlError> {
    if reader.take_any(&["ALGORITHM", "LOCK"]) {
        reader.take_sign('=');
        reader.name()?;
    } else if reader.take(&["ORDER", "BY"]) {
        loop {
            reader.name()?;
            while reader.take_sign('.') {
                reader.name()?;
            }
            reader.take_any(&["ASC", "DESC"]);
            if !reader.take_sign(',') {
                break;
            }
        }
    } else {
        return Ok(reader.take(&["FORCE"])
            || reader.take(&["ENABLE", "KEYS"])
            || reader.take(&["DISABLE", "KEYS"])
            || reader.take(&["WITH", "VALIDATION"])
            || reader.take(&["WITHOUT", "VALIDATION"])
            || reader.take(&["NOWAIT"]));
    }
    Ok(true)
}

impl Alteration {
    /// What is done to the table as a whole, and to what else has a name in it.
    fn read_table(&mut self, reader: &mut Reader<'_>) -> Result<bool, DdlError> {
        if reader.take(&["CONVERT", "TO"]) {
            let mut words = Options::default();
            if !words.read(reader)? || words.charset.charset.is_none() {
                return Err(reader.unclear());
            }
            if reader.peek_is(&["COLLATE"]) {
                words.read(reader)?;
            }
            self.converted = Some(words.charset);
        } else if reader.take(&["RENAME"]) {
            self.read_rename(reader)?;
        } else {
            return self.options.read(reader);
        }
        Ok(true)
    }

    fn read_rename(&mut self, reader: &mut Reader<'_>) -> Result<(), DdlError> {
        if reader.take(&["COLUMN"]) {
            let if_exists = reader.if_exists();
            let name = reader.name()?;
            reader.expect(&["TO"])?;
            let to = reader.name()?;
            self.actions.push(Action::RenameColumn { name, to, if_exists });
        } else if reader.take_any(&["INDEX", "KEY"]) {
            if reader.if_exists() {
                return Err(reader.unclear());
            }
            let name = reader.name()?;
            reader.expect(&["TO"])?;
            let to = reader.name()?;
            self.actions.push(Action::RenameKey { name, to });
        } else {
            if !reader.take_any(&["TO", "AS"]) {
                reader.take_sign('=');
            }
            self.renamed = Some(reader.table()?);
        }
        Ok(())
    }

    fn read_column(&mut self, reader: &mut Reader<'_>, context: &Context<'_>) -> Result<bool, DdlError> {
        if reader.take(&["ADD"]) {
            self.read_addition(reader, context)?;
        } else if reader.take(&["DROP"]) {
            self.read_drop(reader)?;
        } else if reader.take(&["MODIFY"]) {
            reader.take(&["COLUMN"]);
            let if_exists = reader.if_exists();
            let name = reader.name()?;
            self.read_change(reader, context, name.clone(), name, if_exists)?;
        } else if reader.take(&["CHANGE"]) {
            reader.take(&["COLUMN"]);
            let if_exists = reader.if_exists();
            let (name, to) = (reader.name()?, reader.name()?);
            self.read_change(reader, context, name, to, if_exists)?;
        } else if reader.take(&["ALTER"]) {
            self.read_alter(reader, context)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn read_addition(&mut self, reader: &mut Reader<'_>, context: &Context<'_>) -> Result<(), DdlError> {
        if Addition::begins(reader) {
            let addition = Addition::read(reader)?;
            self.actions.push(Action::AddKey(addition));
            return Ok(());
        }
        reader.take(&["COLUMN"]);
        let unless_exists = reader.if_not_exists();
        if !reader.take_sign('(') {
            let name = reader.name()?;
            let definition = Definition::read(reader, name, context)?;
            let position = Position::read(reader)?;
            self.actions.push(Action::AddColumn {
                definition,
                position,
                unless_exists,
            });
            return Ok(());
        }
        loop {
            if Addition::begins(reader) {
                let addition = Addition::read(reader)?;
                self.actions.push(Action::AddKey(addition));
            } else {
                let name = reader.name()?;
                self.actions.push(Action::AddColumn {
                    definition: Definition::read(reader, name, context)?,
                    position: Position::Any,
                    unless_exists,
                });
            }
            if !reader.take_sign(',') {
                return reader.expect_sign(')');
            }
        }
    }

    fn read_change(
        &mut self,
        reader: &mut Reader<'_>,
        context: &Context<'_>,
        name: String,
        to: String,
        if_exists: bool,
    ) -> Result<(), DdlError> {
        let definition = Definition::read(reader, to, context)?;
        let position = Position::read(reader)?;
        self.actions.push(Action::ChangeColumn {
            name,
            definition,
            position,
            if_exists,
        });
        Ok(())
    }

    fn read_drop(&mut self, reader: &mut Reader<'_>) -> Result<(), DdlError> {
        let action = if reader.take(&["PRIMARY", "KEY"]) {
            Action::DropKey {
                name: PRIMARY.to_owned(),
                if_exists: false,
            }
        } else if reader.take_any(&["INDEX", "KEY"]) {
            let if_exists = reader.if_exists();
            let name = reader.name()?;
            Action::DropKey { name, if_exists }
        } else if reader.take(&["FOREIGN", "KEY"]) {
            reader.if_exists();
            reader.name()?;
            return Ok(());
        } else if reader.take(&["CHECK"]) {
            reader.name()?;
            return Ok(());
        } else if reader.take(&["CONSTRAINT"]) {
            reader.if_exists();
            Action::DropConstraint(reader.name()?)
        } else {
            reader.take(&["COLUMN"]);
            let if_exists = reader.if_exists();
            let name = reader.name()?;
            reader.take_any(&["RESTRICT", "CASCADE"]);
            Action::DropColumn { name, if_exists }
        };
        self.actions.push(action);
        Ok(())
    }

    /// ALTER COLUMN, and ALTER of constraints and indexes, which changes nothing here.
    fn read_alter(&mut self, reader: &mut Reader<'_>, context: &Context<'_>) -> Result<(), DdlError> {
        if reader.take_any(&["CHECK", "CONSTRAINT"]) {
            reader.name()?;
            reader.take(&["NOT"]);
            return reader.expect(&["ENFORCED"]);
        }
        if reader.take_any(&["INDEX", "KEY"]) {
            reader.if_exists();
            reader.name()?;
            reader.take(&["NOT"]);
            return match reader.take_any(&["VISIBLE", "INVISIBLE", "IGNORED"]) {
                true => Ok(()),
                false => Err(reader.unclear()),
            };
        }
        reader.take(&["COLUMN"]);
        let if_exists = reader.if_exists();
        let name = reader.name()?;
        let action = if reader.take(&["DROP", "DEFAULT"]) {
            Action::SetDefault {
                name,
                literal: None,
                if_exists,
            }
        } else if reader.take(&["SET", "DEFAULT"]) {
            let literal = Some(Literal::read(reader, context.server.flavour)?);
            Action::SetDefault {
                name,
                literal,
                if_exists,
            }
        } else if reader.take(&["SET", "VISIBLE"]) {
            Action::SetVisible { name, visible: true }
        } else {
            reader.expect(&["SET", "INVISIBLE"])?;
            Action::SetVisible { name, visible: false }
        };
        self.actions.push(action);
        Ok(())
    }
}
