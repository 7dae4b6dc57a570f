//! What MariaDB has of its own: events 165 to 171 and COMPRESSED columns, which it compresses by itself, and types of fixed size.
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Damage;
use super::cursor::Cursor;

/// Inflates what follows in `cursor` behind `target`: a byte whose low three bits are the bytes of the uncompressed length, that
/// length, and zlib.
pub(crate) fn inflate_event(content: &[u8], limit: usize, target: &mut Vec<u8>) -> Result<(), Damage> {
    let mut cursor = Cursor::new(content);
    let head = cursor.u8("the head of a compressed event")?;
    let algorithm = head >> 4 & 7;
    if algorithm != 0 || head & 0x80 == 0 {
        let rule = "not zlib";
        return Err(Damage::Invalid {
            what: "the compression of an event",
            value: u64::from(head),
            rule,
        });
    }
    let length = cursor.uint_be(usize::from(head & 7), "the length of a compressed event")?;
    zlib(cursor.rest(), length, "an event", limit, target)
}

/// The bytes of a COMPRESSED column.
///
/// # Errors
/// With bytes that do not decompress, or more than `limit` of them.
pub fn inflate(stored: &[u8], limit: usize) -> Result<Vec<u8>, Damage> {
    let mut target = Vec::new();
    let Some((head, rest)) = stored.split_first() else {
        return Ok(target);
    };
    match head >> 4 {
        0 => {
            if rest.len() > limit {
                return Err(Damage::TooLarge {
                    what: "a compressed column",
                    limit,
                });
            }
            target.extend_from_slice(rest);
        }
        8 => {
            let mut cursor = Cursor::new(rest);
            let length = cursor.uint_be(usize::from(head & 7), "the length of a compressed value")?;
            // The header of zlib is left out where the fourth bit says so.
            if head & 8 == 0 {
                zlib(cursor.rest(), length, "a column", limit, &mut target)?;
            } else {
                let reader = flate2::read::DeflateDecoder::new(cursor.rest());
                bounded(reader, length, "a column", limit, &mut target)?;
            }
        }
        other => {
            let rule = "neither none (0) nor zlib (8)";
            return Err(Damage::Invalid {
                what: "the compression of a column",
                value: u64::from(other),
                rule,
            });
        }
    }
    Ok(target)
}

fn zlib(
    bytes: &[u8],
    length: u64,
    what: &'static str,
    limit: usize,
    target: &mut Vec<u8>,
) -> Result<(), Damage> {
    bounded(flate2::read::ZlibDecoder::new(bytes), length, what, limit, target)
}

fn bounded(
    reader: impl Read,
    length: u64,
    what: &'static str,
    limit: usize,
    target: &mut Vec<u8>,
) -> Result<(), Damage> {
    if length > limit as u64 {
        return Err(Damage::TooLarge { what, limit });
    }
    let before = target.len();
    let read = reader.take(length + 1).read_to_end(target);
    read.map_err(|error| Damage::Compression {
        what,
        reason: error.to_string(),
    })?;
    if (target.len() - before) as u64 != length {
        let reason = format!(
            "{length} bytes were said to be in it, {} are",
            target.len() - before
        );
        return Err(Damage::Compression { what, reason });
    }
    Ok(())
}

/// Types that the log takes for BINARY; that a column is of one only the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedType {
    /// INET4.
    Inet4,
    /// INET6.
    Inet6,
    /// UUID.
    Uuid,
}

impl FixedType {
    /// The type of a name in `information_schema.columns.data_type`, if it is one of them.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "inet4" => Some(Self::Inet4),
            "inet6" => Some(Self::Inet6),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// A value as the server prints it, from the bytes in the log, which zeros at the end are left out of.
    ///
    /// # Errors
    /// With more bytes than the type has, or a column of another length.
    ///
    /// ```
    /// use millstream_connectors::mysql::binlog::mariadb::FixedType;
    ///
    /// assert_eq!(FixedType::Inet4.text(&[127, 0, 0, 1], 4).unwrap(), "127.0.0.1");
    /// ```
    pub fn text(self, bytes: &[u8], length: u16) -> Result<String, Damage> {
        let needed = if self == Self::Inet4 { 4 } else { 16 };
        if usize::from(length) != needed || bytes.len() > needed {
            let rule = "not those of its type";
            return Err(Damage::Invalid {
                what: "the bytes of a column",
                value: u64::from(length),
                rule,
            });
        }
        let mut value = [0; 16];
        value[..bytes.len()].copy_from_slice(bytes);
        Ok(match self {
            Self::Inet4 => Ipv4Addr::new(value[0], value[1], value[2], value[3]).to_string(),
            Self::Inet6 => inet6(value),
            Self::Uuid => uuid(value),
        })
    }
}

/// MariaDB writes the first of the longest runs of zeros as `::`, even a single one, and the end of a run of six zeros, or of
/// five and `ffff`, as an IPv4 address.
fn inet6(value: [u8; 16]) -> String {
    let groups = Ipv6Addr::from(value).segments();
    let (mut start, mut length) = (0, 0);
    for at in 0..8 {
        let zeros = groups[at..].iter().take_while(|group| **group == 0).count();
        if zeros > length {
            (start, length) = (at, zeros);
        }
    }
    if start == 0 && (length == 6 || length == 5 && groups[5] == 0xffff) {
        let mapped = if length == 5 { "ffff:" } else { "" };
        return format!(
            "::{mapped}{}",
            Ipv4Addr::new(value[12], value[13], value[14], value[15])
        );
    }
    let hex = |groups: &[u16]| {
        groups
            .iter()
            .map(|group| format!("{group:x}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    match length {
        0 => hex(&groups),
        _ => format!("{}::{}", hex(&groups[..start]), hex(&groups[start + length..])),
    }
}

fn uuid(value: [u8; 16]) -> String {
    let number = u128::from_be_bytes(value);
    let part = |shift: u32, bits: u32| number >> shift & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}
