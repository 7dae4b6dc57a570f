//! Places between transactions, and which of two comes first.
use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::mysql::gtid::{GtidSet, ParseGtidError, mariadb};

/// All transactions up to a place, as either kind of server says it.
///
/// ```
/// use millstream_connectors::mysql::stream::Gtids;
///
/// let early: Gtids = "0-1-5".parse().unwrap();
/// let late: Gtids = "0-1-7,2-1-1".parse().unwrap();
/// assert!(late.covers(&early) && !early.covers(&late));
/// assert!(matches!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse(), Ok(Gtids::Mysql(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gtids {
    /// MySQL's.
    Mysql(GtidSet),
    /// MariaDB's.
    Mariadb(mariadb::Position),
}

impl Gtids {
    /// Whether there is no transaction in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Mysql(set) => set.is_empty(),
            Self::Mariadb(position) => position.is_empty(),
        }
    }

    /// Whether all transactions of `other` are in it; never so for those of another kind of server, unless there is none.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mysql(own), Self::Mysql(other)) => own.covers(other),
            (Self::Mariadb(own), Self::Mariadb(other)) => own.covers(other),
            _ => other.is_empty(),
        }
    }
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(position) => position.fmt(f),
        }
    }
}

impl FromStr for Gtids {
    type Err = ParseGtidError;

    /// MySQL's have a colon behind the server's UUID, MariaDB's have none.
    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        if text.contains(':') || text.trim().is_empty() {
            text.parse().map(Self::Mysql)
        } else {
            text.parse().map(Self::Mariadb)
        }
    }
}

/// A place between two transactions of a server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The log's file, as the server names it.
    pub file: ByteString,
    /// The byte in it with which the next transaction begins.
    pub position: u64,
    /// All transactions before it; nothing where the server gives them no numbers.
    pub gtids: Option<Gtids>,
}

impl LogPosition {
    /// A place that is known by file and position alone.
    #[must_use]
    pub fn at(file: impl Into<ByteString>, position: u64) -> Self {
        Self {
            file: file.into(),
            position,
            gtids: None,
        }
    }

    /// Whether all that is before `mark` is before this place, too: by transactions where both know them, otherwise by file and position,
    /// which only places of the same server can be compared by.
    ///
    /// ```
    /// use millstream_connectors::mysql::stream::LogPosition;
    ///
    /// let mark = LogPosition::at("bin.999999", 400);
    /// assert!(LogPosition::at("bin.1000000", 4).has_passed(&mark));
    /// assert!(!LogPosition::at("bin.999999", 399).has_passed(&mark));
    /// ```
    #[must_use]
    pub fn has_passed(&self, mark: &Self) -> bool {
        match (&self.gtids, &mark.gtids) {
            (Some(own), Some(mark)) => own.covers(mark),
            _ => (file_order(&self.file), self.position) >= (file_order(&mark.file), mark.position),
        }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)?;
        match &self.gtids {
            Some(gtids) => write!(f, " ({gtids})"),
            None => Ok(()),
        }
    }
}

/// The order of files: by the number that their names end with, which may get another digit.
fn file_order(file: &str) -> (u64, &str) {
    let digits = file.rfind('.').map_or(file, |dot| &file[dot + 1..]);
    (digits.parse().unwrap_or(0), file)
}
