//! What MariaDB compresses by itself: events 165 to 171, and COMPRESSED columns.
use std::io::Read;

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
