//! A table that is being made, or made another.
use std::sync::Arc;

use super::Context;
use super::collations::CharsetWords;
use super::declaration::{Declaration, is_bytes};
use super::default::{self, Literal};
use super::definition::Definition;
use super::error::DdlError;
use super::keys::NewIndex;
use super::reader::Reader;
use super::types::{Base, DataType};
use crate::mysql::binlog::{Collation, ColumnType};
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::schema::describe::declared::Declared;
use crate::mysql::schema::structure::{PRIMARY, same_name};
use crate::mysql::schema::{Column, Structure, Table, TableId};
use crate::mysql::stream::ddl::{Lexer, Quoting};

/// A column of it.
#[derive(Debug, Clone)]
pub(super) struct DraftColumn {
    pub(super) column: Column,
    /// What it was called, where a statement changes it.
    pub(super) change: Option<String>,
    /// Its type, where the statement says it.
    data_type: Option<DataType>,
    /// A TIMESTAMP that gets the default that the server gives to such.
    implicit: bool,
    on_update: bool,
}

impl DraftColumn {
    /// One that is as it was.
    pub(super) fn kept(column: &Column) -> Self {
        Self {
            column: column.clone(),
            change: None,
            data_type: None,
            implicit: false,
            on_update: false,
        }
    }

    pub(super) fn named(&self, name: &str) -> bool {
        same_name(&self.column.name, name)
    }

    /// Whether its values have this many characters, or bytes, at most.
    pub(super) fn has_length(&self, length: u64) -> bool {
        let own = &self.column.log;
        let (ColumnType::Char { length_max } | ColumnType::Varchar { length_max }) = own.column_type else {
            return false;
        };
        u64::from(length_max / crate::mysql::charset::bytes_max(own.collation)) == length
    }

    pub(super) fn rename(&mut self, name: &str) {
        self.column.name = Arc::from(name);
        self.column.log.name = Some(name.to_owned());
    }

    /// The type that it has.
    pub(super) fn data_type(&self, context: &Context<'_>) -> Result<DataType, DdlError> {
        match &self.data_type {
            Some(own) => Ok(own.clone()),
            None => of_declared(&self.column, context),
        }
    }

    pub(super) fn set_default(
        &mut self,
        literal: Option<&Literal>,
        context: &Context<'_>,
    ) -> Result<(), DdlError> {
        self.column.default = match literal {
            None => None,
            Some(literal) => {
                let own = self.data_type(context)?;
                let collation = Some(self.column.log.collation).filter(|collation| *collation != 0);
                let declaration = Declaration::of(context.server, &own, collation)?;
                default::shown(context.server, &self.column.name, &own, &declaration, literal)?
            }
        };
        Ok(())
    }

    /// Whether it is a TIMESTAMP that is never null.
    pub(super) fn is_strict_timestamp(&self) -> bool {
        matches!(self.column.log.column_type, ColumnType::Timestamp { .. }) && !self.column.log.nullable
    }

    /// CONVERT TO CHARACTER SET.
    pub(super) fn convert(&mut self, collation: Collation, context: &Context<'_>) -> Result<(), DdlError> {
        let mut own = self.data_type(context)?;
        let is_text = matches!(
            own.base,
            Base::Char | Base::Varchar | Base::Text(_) | Base::Enum | Base::Set
        );
        if own.bytes || !is_text {
            return Ok(());
        }
        if let (
            Base::Text(_),
            ColumnType::Blob { length_bytes } | ColumnType::CompressedBlob { length_bytes },
        ) = (own.base, self.column.log.column_type)
        {
            // As many characters as before have to have room.
            let wide = crate::mysql::charset::bytes_max;
            let most = (1_u64 << (8 * u32::from(length_bytes.min(4)))) - 1;
            let needed = most / u64::from(wide(self.column.log.collation)) * u64::from(wide(collation));
            let grown = super::declaration::length_bytes(needed).max(length_bytes);
            own.base = Base::Text(grown);
        }
        own.charset = CharsetWords::default();
        let declaration = Declaration::of(context.server, &own, Some(collation))?;
        let visible = self.column.log.visible;
        let nullable = self.column.log.nullable;
        place(&mut self.column, &declaration, (nullable, visible), context)?;
        self.data_type = Some(own);
        Ok(())
    }
}

/// The type that a server wrote.
fn of_declared(column: &Column, context: &Context<'_>) -> Result<DataType, DdlError> {
    let unknown = || DdlError::Type(column.name.to_string());
    let text = column.declared.as_deref().ok_or_else(unknown)?;
    let mut reader = Reader::new(Lexer::new(text, Quoting::default()), "", false);
    let mut own = DataType::read(&mut reader, context.server.flavour, 0).map_err(|_| unknown())?;
    own.compressed = matches!(
        column.log.column_type,
        ColumnType::CompressedBlob { .. } | ColumnType::CompressedVarchar { .. }
    );
    if own.base == Base::Text(0) {
        own.base = Base::Text(2);
    }
    match reader.is_end() {
        true => Ok(own),
        false => Err(unknown()),
    }
}

/// Gives a column its type.
fn place(
    column: &mut Column,
    declaration: &Declaration,
    (nullable, visible): (bool, bool),
    context: &Context<'_>,
) -> Result<(), DdlError> {
    let declared = Declared {
        data_type: declaration.data_type,
        column_type: &declaration.column_type,
        octets: declaration.octets,
        charset: declaration.collation.and_then(crate::mysql::charset::name),
        collation: declaration.collation,
        nullable,
        visible,
        flavour: context.server.flavour,
    };
    let log = declared.column(&column.name);
    column.log = log.ok_or_else(|| DdlError::Type(column.name.to_string()))?;
    let shown = declaration.column_type.split(" /*M!").next().unwrap_or_default();
    column.declared = Some(shown.to_owned());
    Ok(())
}

/// A table that is being made.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: TableId,
    pub(super) columns: Vec<DraftColumn>,
    pub(super) structure: Structure,
    pub(super) comment: Option<String>,
    /// Whether the default collation is known; otherwise no column may need it.
    pub(super) has_collation: bool,
}

impl Draft {
    /// A column as it is defined.
    pub(super) fn column(
        &self,
        definition: &Definition,
        context: &Context<'_>,
    ) -> Result<DraftColumn, DdlError> {
        let mut own = definition.data_type.clone();
        let collation = self.collation(&mut own, context)?;
        let declaration = Declaration::of(context.server, &own, collation)?;
        let mut column = Column {
            name: Arc::from(definition.name.as_str()),
            log: crate::mysql::binlog::Column::new(ColumnType::Tiny),
            declared: None,
            default: None,
            generated: definition.generated,
            auto_increment: definition.auto_increment,
            comment: Some(definition.comment.clone()).filter(|comment| !comment.is_empty()),
        };
        let old_timestamp =
            definition.is_timestamp() && !context.explicit_timestamps && !definition.generated;
        let nullable = definition
            .nullable
            .unwrap_or(!old_timestamp && !definition.primary);
        let nullable = nullable && !definition.auto_increment;
        place(&mut column, &declaration, (nullable, definition.visible), context)?;
        if let Some(literal) = definition.default.as_ref().filter(|_| !definition.generated) {
            column.default = default::shown(context.server, &definition.name, &own, &declaration, literal)?;
        }
        Ok(DraftColumn {
            implicit: old_timestamp && !nullable && definition.default.is_none(),
            on_update: definition.on_update,
            change: None,
            data_type: Some(own),
            column,
        })
    }

    /// The collation of a column of characters.
    fn collation(&self, own: &mut DataType, context: &Context<'_>) -> Result<Option<Collation>, DdlError> {
        let is_text = matches!(
            own.base,
            Base::Char | Base::Varchar | Base::Text(_) | Base::Enum | Base::Set
        );
        if own.bytes || !is_text {
            return Ok(None);
        }
        let default = || match self.has_collation {
            true => Ok(self.structure.collation),
            false => Err(DdlError::DatabaseCharset),
        };
        let collations = &context.server.collations;
        let collation = own.charset.resolve(collations, context.utf8mb4, default)?;
        if is_bytes(collation) {
            own.becomes_bytes();
        }
        Ok(Some(collation))
    }

    /// Indexes that a column's definition asks for.
    pub(super) fn inline_keys(&mut self, definition: &Definition) -> Result<(), DdlError> {
        for (wanted, name) in [(definition.primary, Some(PRIMARY)), (definition.unique, None)] {
            if wanted {
                let index = NewIndex {
                    name: name.map(str::to_owned),
                    unique: true,
                    columns: vec![Some(Arc::from(definition.name.as_str()))],
                    lengths: Vec::new(),
                    unless_exists: false,
                };
                index.add_to(self)?;
            }
        }
        Ok(())
    }

    /// The index of a column that is a foreign key by its own definition.
    pub(super) fn inline_reference(definition: &Definition, context: &Context<'_>) -> Option<NewIndex> {
        (definition.references && context.server.has_references()).then(|| NewIndex {
            name: None,
            unique: false,
            columns: vec![Some(Arc::from(definition.name.as_str()))],
            lengths: Vec::new(),
            unless_exists: false,
        })
    }

    /// The table.
    pub(super) fn finish(mut self, context: &Context<'_>) -> Result<Table, DdlError> {
        self.check_names()?;
        self.fill_timestamps();
        self.fill_primary_key(context)?;
        let columns: Vec<Column> = self.columns.into_iter().map(|column| column.column).collect();
        self.structure.sort(&columns);
        let key = self.structure.key(&columns);
        let charset = context.server.collations.charset_of(self.structure.collation);
        Ok(Table {
            key,
            charset: charset.filter(|_| self.has_collation).map(str::to_owned),
            // Without its default nothing can be added to it.
            structure: self.has_collation.then_some(self.structure),
            comment: self.comment.filter(|comment| !comment.is_empty()),
            id: self.id,
            columns,
        })
    }

    /// Names of columns are there once, and those of indexes are.
    fn check_names(&self) -> Result<(), DdlError> {
        for (index, column) in self.columns.iter().enumerate() {
            if self.columns[..index]
                .iter()
                .any(|other| other.named(&column.column.name))
            {
                return Err(DdlError::Present(column.column.name.to_string()));
            }
        }
        let named = self
            .structure
            .indexes
            .iter()
            .flat_map(|index| index.columns.iter().flatten());
        for name in named {
            if !self.columns.iter().any(|column| column.named(name)) {
                return Err(DdlError::Absent(name.to_string()));
            }
        }
        Ok(())
    }

    /// Without `explicit_defaults_for_timestamp`, the first TIMESTAMP is the moment in which a row is written, and others are zero.
    fn fill_timestamps(&mut self) {
        let is_timestamp = |column: &DraftColumn| match column.column.log.column_type {
            ColumnType::Timestamp { fraction } => Some(fraction),
            _ => None,
        };
        let mut is_first = true;
        for column in &mut self.columns {
            let Some(fraction) = is_timestamp(column) else {
                continue;
            };
            if column.implicit {
                let digits = usize::from(fraction);
                column.column.default = Some(match (is_first && !column.on_update, digits) {
                    (true, 0) => "CURRENT_TIMESTAMP".to_owned(),
                    (true, digits) => format!("CURRENT_TIMESTAMP({digits})"),
                    (false, 0) => "0000-00-00 00:00:00".to_owned(),
                    (false, digits) => format!("0000-00-00 00:00:00.{:0<digits$}", ""),
                });
            }
            is_first = false;
        }
    }

    /// Columns of a primary key are never null. Old servers give them a default then.
    fn fill_primary_key(&mut self, context: &Context<'_>) -> Result<(), DdlError> {
        let primary = self.structure.indexes.iter().find(|index| index.is_primary());
        let Some(primary) = primary else { return Ok(()) };
        let server = context.server;
        let old = server.flavour == Flavour::MySql && server.version < Version::new(5, 7, 0);
        for name in primary.columns.iter().flatten() {
            let column = self.columns.iter_mut().find(|column| column.named(name));
            let Some(column) = column.filter(|column| column.column.log.nullable) else {
                continue;
            };
            column.column.log.nullable = false;
            if old && column.column.default.is_none() && !column.column.auto_increment {
                column.column.default = default::implicit(&column.data_type(context)?);
            }
        }
        Ok(())
    }
}
