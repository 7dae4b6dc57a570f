//! Why bytes of a binary log are no event, and where.
use std::fmt;

/// A place in a binary log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The log's file, as the server names it.
    pub file: String,
    /// The byte with which the event begins; for an event within a compressed transaction, that of the transaction's payload.
    pub position: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file.is_empty() {
            "(unknown file)"
        } else {
            &self.file
        };
        write!(f, "{file}:{}", self.position)
    }
}

/// An event that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event of type {event_type} at {place}: {damage}{}", .damage.remedy())]
pub struct DecodeError {
    /// Where the event is.
    pub place: Place,
    /// Its type's number; 0 where not even that is known.
    pub event_type: u8,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What is wrong with bytes that were to be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Fewer bytes than the value needs.
    #[error("{what} takes {needed} bytes, {left} are left")]
    Short {
        /// The value.
        what: &'static str,
        /// The bytes it takes.
        needed: usize,
        /// The bytes there are.
        left: usize,
    },
    /// More bytes than the event's content needs.
    #[error("{left} bytes are left behind {what}")]
    Surplus {
        /// What ends before them.
        what: &'static str,
        /// How many.
        left: usize,
    },
    /// A value that cannot be.
    #[error("{what} is {value}, {rule}")]
    Invalid {
        /// The value's name.
        what: &'static str,
        /// The value.
        value: u64,
        /// What it has to be.
        rule: &'static str,
    },
    /// The event's bytes changed after the server wrote them.
    #[error("its checksum is {found:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// The checksum in the event.
        found: u32,
        /// The checksum of the event's bytes.
        computed: u32,
    },
    /// Rows of a table that was not described.
    #[error("rows of table id {0}, which no event of this transaction describes")]
    UnknownTable(u64),
    /// More than is allowed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bytes that are allowed.
        limit: usize,
    },
    /// Text in which bytes are no characters.
    #[error("{what} has bytes that are no text of {charset}")]
    Text {
        /// Where the text stands.
        what: &'static str,
        /// The character set.
        charset: &'static str,
    },
    /// A text of a character set that is not known.
    #[error("a text of collation {0}, which is not known")]
    UnknownCollation(u16),
    /// A text whose character set was not said.
    #[error("a text whose character set is not in the log")]
    UnsaidCharset,
    /// Compressed bytes that do not decompress.
    #[error("{what} does not decompress: {reason}")]
    Compression {
        /// What is compressed.
        what: &'static str,
        /// The decompressor's words.
        reason: String,
    },
    /// What no version of this decoder can read.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes are damaged: asking the server for them again may help.
    Damaged,
    /// The server's or the connector's settings have to change.
    Settings,
}

impl Damage {
    /// Who has to do something.
    ///
    /// ```
    /// use millstream_connectors::mysql::binlog::{Damage, Kind};
    ///
    /// assert_eq!(Damage::UnsaidCharset.kind(), Kind::Settings);
    /// assert_eq!(Damage::Checksum { found: 1, computed: 2 }.kind(), Kind::Damaged);
    /// ```
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge { .. }
            | Self::UnknownCollation(_)
            | Self::UnsaidCharset
            | Self::Unsupported(_) => Kind::Settings,
            _ => Kind::Damaged,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Checksum { .. } => "; check the server's log with mysqlbinlog --verify-binlog-checksum",
            Self::TooLarge { .. } => "; raise that limit",
            Self::UnsaidCharset => "; SET GLOBAL binlog_row_metadata = FULL on the server",
            Self::UnknownCollation(_) => "; leave the column out (column.exclude.list)",
            _ => "",
        }
    }

    /// The error of an event at a place.
    pub(crate) fn at(self, place: Place, event_type: u8) -> DecodeError {
        DecodeError {
            place,
            event_type,
            damage: self,
        }
    }
}
