//! MariaDB's GTIDs: a position is the last transaction of each domain.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::ParseGtidError;
use crate::mysql::binlog::Damage;
use crate::mysql::binlog::cursor::Cursor;

/// The id of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// The stream of transactions that it stands in.
    pub domain: u32,
    /// The server that committed it first.
    pub server: u32,
    /// Its number in the domain.
    pub sequence: u64,
}

/// The last transaction of each domain, and with it all before it.
///
/// ```
/// use millstream_connectors::mysql::gtid::mariadb::Position;
///
/// let mut position: Position = "0-1-5,1-1-7".parse().unwrap();
/// position.advance("0-2-6".parse().unwrap());
/// assert_eq!(position.to_string(), "0-2-6,1-1-7");
/// assert!(position.covers(&"0-1-6".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<u32, Gtid>);

impl Position {
    /// Whether it is before all transactions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves the transaction's domain to it, as the log's order says.
    pub fn advance(&mut self, gtid: Gtid) {
        self.0.insert(gtid.domain, gtid);
    }

    /// Whether the transaction is in it: numbers of a domain ascend.
    #[must_use]
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.0
            .get(&gtid.domain)
            .is_some_and(|last| gtid.sequence <= last.sequence)
    }

    /// Whether all transactions of `other` are in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.values().all(|gtid| self.contains(gtid))
    }

    /// Moves every domain to the later of both.
    pub fn union(&mut self, other: &Self) {
        for gtid in other.0.values() {
            if !self.contains(gtid) {
                self.advance(*gtid);
            }
        }
    }

    /// The last transactions, by domain.
    pub fn iter(&self) -> impl Iterator<Item = &Gtid> {
        self.0.values()
    }

    /// The content of a GTID_LIST event; within a domain, the last one is the latest.
    pub(crate) fn read(content: &[u8]) -> Result<Self, Damage> {
        let what = "a list of GTIDs";
        let mut cursor = Cursor::new(content);
        let count = cursor.u32(what)? & 0x0fff_ffff;
        let mut position = Self::default();
        for _ in 0..count {
            let (domain, server, sequence) = (cursor.u32(what)?, cursor.u32(what)?, cursor.u64(what)?);
            position.advance(Gtid {
                domain,
                server,
                sequence,
            });
        }
        Ok(position)
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.0.values().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            gtid.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Gtid {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        let error = || ParseGtidError::new(text, "GTID of MariaDB", "it is DOMAIN-SERVER-SEQUENCE");
        let mut parts = text.trim().splitn(3, '-');
        let mut part = || parts.next().ok_or_else(error);
        let (domain, server, sequence) = (part()?, part()?, part()?);
        Ok(Self {
            domain: domain.parse().map_err(|_| error())?,
            server: server.parse().map_err(|_| error())?,
            sequence: sequence.parse().map_err(|_| error())?,
        })
    }
}

impl FromStr for Position {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        let mut position = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let gtid: Gtid = part.parse()?;
            if position.0.insert(gtid.domain, gtid).is_some() {
                return Err(ParseGtidError::new(
                    text,
                    "position of MariaDB",
                    "a domain stands in it twice",
                ));
            }
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_know_what_is_before_them() {
        let mut position: Position = "0-1-5,2-1-9".parse().unwrap();
        assert!(position.contains(&"0-7-5".parse().unwrap()));
        assert!(!position.contains(&"0-1-6".parse().unwrap()));
        assert!(!position.contains(&"1-1-1".parse().unwrap()));
        position.union(&"1-1-1,2-1-8".parse().unwrap());
        assert_eq!(position.to_string(), "0-1-5,1-1-1,2-1-9");
        assert!("0-1".parse::<Position>().is_err());
        assert!("0-1-2,0-1-3".parse::<Position>().is_err());
        assert!("0-1-x".parse::<Gtid>().is_err());
    }
}
