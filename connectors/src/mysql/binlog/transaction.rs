//! What a transaction begins with: its GTID and times.
use super::Damage;
use super::cursor::{Cursor, utf8};
use super::query::Xid;
use crate::mysql::gtid::{Gtid, Source, mariadb};

/// The beginning of a transaction of MySQL. Fields that the server's version does not write are nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionStart {
    /// Its id; nothing without `gtid_mode`.
    pub gtid: Option<Gtid>,
    /// The transaction that has to be applied before this, as a logical time.
    pub last_committed: Option<i64>,
    /// Its own logical time.
    pub sequence_number: Option<i64>,
    /// When this server committed it, in microseconds since 1970.
    pub committed_us: Option<u64>,
    /// When the server where it began committed it.
    pub originally_committed_us: Option<u64>,
    /// The bytes of all of its events, uncompressed.
    pub length: Option<u64>,
}

/// A 55-bit time whose next bit says that another follows.
fn commit_times(cursor: &mut Cursor<'_>) -> Result<(u64, u64), Damage> {
    let first = cursor.uint(7, "the time of a commit")?;
    let mask = (1 << 55) - 1;
    let original = if first >> 55 == 1 {
        cursor.uint(7, "the time of a commit")?
    } else {
        first
    };
    Ok((first & mask, original & mask))
}

impl TransactionStart {
    /// A GTID or ANONYMOUS_GTID event.
    pub(crate) fn read(content: &[u8], anonymous: bool) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(content);
        cursor.u8("the flags of a GTID")?;
        let uuid = cursor.array::<16>("the UUID of a GTID")?;
        let number = cursor.u64("the number of a GTID")?;
        let gtid = (!anonymous).then(|| Gtid {
            source: Source::server(uuid),
            number,
        });
        let mut start = Self {
            gtid,
            ..Self::default()
        };
        // What follows came with 5.7 and 8.0.
        if cursor.left() < 17 || cursor.u8("logical times")? != 2 {
            return Ok(start);
        }
        start.last_committed = Some(cursor.u64("a logical time")? as i64);
        start.sequence_number = Some(cursor.u64("a logical time")? as i64);
        if cursor.left() >= 7 {
            let (committed, originally) = commit_times(&mut cursor)?;
            start.committed_us = Some(committed);
            start.originally_committed_us = Some(originally);
        }
        if !cursor.is_empty() {
            start.length = Some(cursor.packed("the length of a transaction")?);
        }
        Ok(start)
    }

    /// A GTID_TAGGED event: fields by number, in ascending order.
    pub(crate) fn read_tagged(content: &[u8]) -> Result<Self, Damage> {
        let what = "a tagged GTID";
        let mut cursor = Cursor::new(content);
        let version = varlen(&mut cursor, what)?;
        if version != 1 {
            return Err(Damage::Invalid {
                what,
                value: version,
                rule: "a version that is not known",
            });
        }
        varlen(&mut cursor, what)?;
        let needed = varlen(&mut cursor, what)?;
        let (mut start, mut uuid, mut number, mut tag) = (Self::default(), [0; 16], 0, String::new());
        while !cursor.is_empty() {
            match varlen(&mut cursor, what)? {
                0 | 9 | 10 | 11 => drop(varlen(&mut cursor, what)?),
                1 => {
                    for byte in &mut uuid {
                        *byte = varlen(&mut cursor, what)? as u8;
                    }
                }
                2 => number = signed(varlen(&mut cursor, what)?) as u64,
                3 => {
                    let length = varlen(&mut cursor, what)?;
                    if length > 32 {
                        return Err(Damage::Invalid {
                            what,
                            value: length,
                            rule: "longer than a tag can be",
                        });
                    }
                    tag = utf8(cursor.take(length as usize, what)?, what)?.to_owned();
                }
                4 => start.last_committed = Some(signed(varlen(&mut cursor, what)?)),
                5 => start.sequence_number = Some(signed(varlen(&mut cursor, what)?)),
                6 => start.committed_us = Some(varlen(&mut cursor, what)?),
                7 => start.originally_committed_us = Some(varlen(&mut cursor, what)?),
                8 => start.length = Some(varlen(&mut cursor, what)?),
                field if field > needed => break,
                value => {
                    return Err(Damage::Invalid {
                        what,
                        value,
                        rule: "a field that is not known",
                    });
                }
            }
        }
        start.originally_committed_us = start.originally_committed_us.or(start.committed_us);
        start.gtid = Some(Gtid {
            source: Source { uuid, tag },
            number,
        });
        Ok(start)
    }
}

/// A number of one to nine bytes: as many ones at the end of the first byte as bytes follow it.
fn varlen(cursor: &mut Cursor<'_>, what: &'static str) -> Result<u64, Damage> {
    let first = cursor.u8(what)?;
    let more = first.trailing_ones() as usize;
    let rest = cursor.uint(more, what)?;
    let own_bits = 7_u32.saturating_sub(more as u32);
    let own = if more >= 7 {
        0
    } else {
        u64::from(first >> (more + 1))
    };
    Ok(rest.checked_shl(own_bits).unwrap_or(0) | own)
}

/// The lowest bit is the sign.
fn signed(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The beginning of a transaction of MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MariadbStart {
    /// Its id.
    pub gtid: mariadb::Gtid,
    /// Whether it is one event without an end, such as DDL.
    pub standalone: bool,
    /// The XA transaction that is prepared by it.
    pub prepares: Option<Xid>,
    /// The XA transaction that is committed or rolled back by it.
    pub completes: Option<Xid>,
}

const STANDALONE: u8 = 1;
const GROUP_COMMIT_ID: u8 = 2;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

impl MariadbStart {
    pub(crate) fn read(content: &[u8], server: u32) -> Result<Self, Damage> {
        let what = "a GTID of MariaDB";
        let mut cursor = Cursor::new(content);
        let (sequence, domain, flags) = (cursor.u64(what)?, cursor.u32(what)?, cursor.u8(what)?);
        if flags & GROUP_COMMIT_ID != 0 {
            cursor.u64(what)?;
        }
        let mut start = Self {
            gtid: mariadb::Gtid {
                domain,
                server,
                sequence,
            },
            standalone: flags & STANDALONE != 0,
            prepares: None,
            completes: None,
        };
        if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
            let format = cursor.u32("an XA transaction's name")?;
            let (global, branch) = (
                cursor.u8("an XA transaction's name")?,
                cursor.u8("an XA transaction's name")?,
            );
            let global = cursor
                .take(usize::from(global), "an XA transaction's name")?
                .to_vec();
            let branch = cursor
                .take(usize::from(branch), "an XA transaction's name")?
                .to_vec();
            let xid = Some(Xid {
                format,
                global,
                branch,
            });
            if flags & PREPARED_XA != 0 {
                start.prepares = xid
            } else {
                start.completes = xid
            }
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_size_are_read() {
        for (bytes, expected) in [
            (&[0x00][..], 0),
            (&[0x02], 1),
            (&[0xfe], 127),
            (&[0x01, 0x02], 128),
            (&[0xfd, 0xff], 0x3fff),
            (&[0xff, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
            (
                &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                0x00ff_ffff_ffff_ffff,
            ),
        ] {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(varlen(&mut cursor, "a number"), Ok(expected));
            assert!(cursor.is_empty());
        }
        assert!(varlen(&mut Cursor::new(&[0x01]), "a number").is_err());
        assert_eq!([0, 1, 2, 3, u64::MAX].map(signed), [0, -1, 1, -2, i64::MIN]);
    }

    #[test]
    fn times_of_commits_are_one_or_two() {
        let mut one = Cursor::new(&[1, 0, 0, 0, 0, 0, 0x00, 9]);
        assert_eq!(commit_times(&mut one), Ok((1, 1)));
        assert_eq!(one.left(), 1);
        let mut two = Cursor::new(&[1, 0, 0, 0, 0, 0, 0x80, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(commit_times(&mut two), Ok((1, 2)));
    }
}
