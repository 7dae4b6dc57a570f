//! Definitions of columns: a type, and what follows it.
use super::Context;
use super::default::Literal;
use super::error::DdlError;
use super::keys::skip_reference;
use super::reader::Reader;
use super::types::{Base, DataType};
use crate::mysql::client::server::Flavour;
use crate::mysql::stream::ddl::Token;

/// A column as a statement defines it.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// Whether NULL or NOT NULL is said.
    pub(super) nullable: Option<bool>,
    pub(super) default: Option<Literal>,
    pub(super) on_update: bool,
    pub(super) auto_increment: bool,
    pub(super) generated: bool,
    pub(super) visible: bool,
    pub(super) comment: String,
    pub(super) primary: bool,
    pub(super) unique: bool,
    /// It is a foreign key.
    pub(super) references: bool,
}

impl Definition {
    /// Reads a column's definition behind its name, up to a comma, a parenthesis, its place, or the end.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        name: String,
        context: &Context<'_>,
    ) -> Result<Self, DdlError> {
        let data_type = DataType::read(reader, context.server.flavour, context.sql_mode)?;
        let mut own = Self {
            name,
            nullable: None,
            default: None,
            on_update: false,
            auto_increment: data_type.serial,
            generated: false,
            visible: true,
            comment: String::new(),
            primary: false,
            unique: data_type.serial,
            references: false,
            data_type,
        };
        if own.data_type.serial {
            own.nullable = Some(false);
        }
        while !Self::is_end(reader) {
            if !own.read_value(reader, context)? && !own.read_key(reader)? {
                own.read_other(reader, context)?;
            }
        }
        Ok(own)
    }

    fn is_end(reader: &Reader<'_>) -> bool {
        reader.is_end()
            || reader.peek_sign(',')
            || reader.peek_sign(')')
            || reader.peek_any(&["FIRST", "AFTER"])
            || reader.peek_is(&["PARTITION", "BY"])
            || reader.peek_is(&["REMOVE", "PARTITIONING"])
    }

    /// What says which values it has; whether there was such a word.
    fn read_value(&mut self, reader: &mut Reader<'_>, context: &Context<'_>) -> Result<bool, DdlError> {
        if reader.take(&["NOT", "NULL"]) {
            self.nullable = Some(false);
        } else if reader.take(&["NULL"]) {
            self.nullable = Some(true);
        } else if reader.take(&["DEFAULT"]) {
            self.default = Some(Literal::read(reader, context.server.flavour)?);
        } else if reader.take(&["ON", "UPDATE"]) {
            if !matches!(Literal::read(reader, context.server.flavour)?, Literal::Now(_)) {
                return Err(reader.unclear());
            }
            self.on_update = true;
        } else if reader.take(&["AUTO_INCREMENT"]) {
            self.auto_increment = true;
        } else if reader.take(&["SERIAL", "DEFAULT", "VALUE"]) {
            (self.auto_increment, self.unique, self.nullable) = (true, true, Some(false));
        } else if reader.take(&["GENERATED", "ALWAYS", "AS"]) || reader.take(&["AS"]) {
            if !reader.peek_sign('(') {
                return Err(DdlError::Beyond("a system-versioned table"));
            }
            reader.skip_parentheses()?;
            reader.take_any(&["VIRTUAL", "STORED", "PERSISTENT"]);
            self.generated = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn read_key(&mut self, reader: &mut Reader<'_>) -> Result<bool, DdlError> {
        if reader.take(&["PRIMARY"]) {
            reader.take(&["KEY"]);
            self.primary = true;
        } else if reader.take(&["UNIQUE"]) {
            reader.take(&["KEY"]);
            self.unique = true;
        } else if reader.take(&["KEY"]) {
            self.primary = true;
        } else if reader.take(&["REFERENCES"]) {
            skip_reference(reader)?;
            self.references = true;
        } else if reader.peek_any(&["CONSTRAINT", "CHECK"]) {
            if reader.take(&["CONSTRAINT"]) && !reader.peek_is(&["CHECK"]) {
                reader.name()?;
            }
            reader.expect(&["CHECK"])?;
            reader.skip_parentheses()?;
        } else if !reader.take(&["NOT", "ENFORCED"]) && !reader.take(&["ENFORCED"]) {
            return Ok(false);
        }
        Ok(true)
    }

    fn read_other(&mut self, reader: &mut Reader<'_>, context: &Context<'_>) -> Result<(), DdlError> {
        let maria = context.server.flavour == Flavour::MariaDb;
        if reader.take(&["COMMENT"]) {
            reader.take_sign('=');
            self.comment = reader.text()?;
        } else if reader.take(&["INVISIBLE"]) {
            self.visible = false;
        } else if reader.take(&["VISIBLE"]) {
            self.visible = true;
        } else if reader.take_any(&["COLUMN_FORMAT", "STORAGE"]) {
            reader.name()?;
        } else if reader.take_any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"]) {
            reader.take_sign('=');
            reader.text()?;
        } else if reader.take(&["SRID"]) || maria && reader.take(&["REF_SYSTEM_ID"]) {
            reader.take_sign('=');
            reader.skip_one()?;
        } else if maria
            && (reader.take(&["WITHOUT", "SYSTEM", "VERSIONING"])
                || reader.take(&["WITH", "SYSTEM", "VERSIONING"]))
        {
        } else if reader.take(&["COLLATE"]) {
            self.data_type.charset.collation = Some(reader.name_or_text()?);
        } else {
            return Err(reader.unclear());
        }
        Ok(())
    }

    /// Whether it is a TIMESTAMP.
    pub(super) fn is_timestamp(&self) -> bool {
        self.data_type.base == Base::Timestamp
    }
}

/// Where a column comes to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// Where it is, or at the end.
    Any,
    First,
    After(String),
}

impl Position {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DdlError> {
        if reader.take(&["FIRST"]) {
            return Ok(Self::First);
        }
        match reader.take(&["AFTER"]) {
            true => reader.name().map(Self::After),
            false => Ok(Self::Any),
        }
    }
}

/// Whether a token is of an expression that goes on.
pub(super) fn goes_on(token: Option<&Token<'_>>) -> bool {
    matches!(token, Some(Token::Sign(sign)) if !matches!(sign, ',' | ')' | '('))
}
