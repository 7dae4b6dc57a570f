//! TRANSACTION_PAYLOAD: a transaction's events, compressed. They are inflated one at a time.
use std::io::Read;

use bytes::{Buf, Bytes, buf::Reader};

use super::Damage;
use super::cursor::Cursor;
use super::header::HEADER_BYTES;

/// The largest window that a decompressor may keep: MySQL's highest level takes 8 MiB for content of unknown size, and up to
/// 128 MiB for the largest payloads.
const WINDOW_LOG_MAX: u32 = 27;

/// A transaction that is being inflated.
pub(crate) struct Payload {
    source: Source,
    /// Bytes that are still to come, as the payload claims.
    left: u64,
    event: Vec<u8>,
}

enum Source {
    Plain(Reader<Bytes>),
    Zstd(zstd::stream::read::Decoder<'static, std::io::BufReader<Reader<Bytes>>>),
}

fn compression(error: &std::io::Error) -> Damage {
    Damage::Compression {
        what: "a transaction",
        reason: error.to_string(),
    }
}

impl Payload {
    /// The payload that an event's content is.
    pub(crate) fn open(content: &Bytes) -> Result<Self, Damage> {
        let what = "a compressed transaction";
        let mut cursor = Cursor::new(content);
        let (mut bytes, mut kind, mut uncompressed) = (None, None, None);
        loop {
            let field = cursor.packed(what)?;
            if field == 0 {
                break;
            }
            let mut value = Cursor::new(cursor.packed_bytes(what)?);
            match field {
                1 => bytes = Some(value.packed(what)?),
                2 => kind = Some(value.packed(what)?),
                3 => uncompressed = Some(value.packed(what)?),
                _ => {}
            }
        }
        let payload = content.slice(content.len() - cursor.left()..);
        let length = bytes.unwrap_or(payload.len() as u64);
        if length != payload.len() as u64 {
            let rule = "not the bytes that are there";
            return Err(Damage::Invalid {
                what: "the length of a compressed transaction",
                value: length,
                rule,
            });
        }
        let (source, left) = match kind {
            Some(255) => (Source::Plain(payload.reader()), length),
            Some(0) => {
                let mut decoder =
                    zstd::stream::read::Decoder::new(payload.reader()).map_err(|e| compression(&e))?;
                decoder
                    .window_log_max(WINDOW_LOG_MAX)
                    .map_err(|e| compression(&e))?;
                (Source::Zstd(decoder), uncompressed.unwrap_or(u64::MAX))
            }
            other => {
                let (value, rule) = (other.unwrap_or(u64::MAX), "neither zstd (0) nor none (255)");
                return Err(Damage::Invalid {
                    what: "the compression of a transaction",
                    value,
                    rule,
                });
            }
        };
        Ok(Self {
            source,
            left,
            event: Vec::new(),
        })
    }

    /// The next event whole, without a checksum; nothing at the end.
    pub(crate) fn next(&mut self, event_bytes_max: usize) -> Result<Option<Bytes>, Damage> {
        let mut header = [0; HEADER_BYTES];
        let read = self.fill(&mut header)?;
        if read == 0 {
            return self.ended();
        }
        if read < HEADER_BYTES {
            return Err(Damage::Short {
                what: "the header of a compressed event",
                needed: HEADER_BYTES,
                left: read,
            });
        }
        let length = u32::from_le_bytes([header[9], header[10], header[11], header[12]]) as usize;
        let what = "the length of a compressed event";
        if length < HEADER_BYTES || length as u64 > self.left.saturating_add(HEADER_BYTES as u64) {
            return Err(Damage::Invalid {
                what,
                value: length as u64,
                rule: "which the transaction does not hold",
            });
        }
        if length > event_bytes_max {
            return Err(Damage::TooLarge {
                what: "a compressed event",
                limit: event_bytes_max,
            });
        }
        self.event.clear();
        self.event.extend_from_slice(&header);
        // The vector grows as bytes come, not because a length says so.
        let body = (length - HEADER_BYTES) as u64;
        let read = match &mut self.source {
            Source::Plain(reader) => reader.take(body).read_to_end(&mut self.event),
            Source::Zstd(reader) => reader.take(body).read_to_end(&mut self.event),
        };
        let read = read.map_err(|error| compression(&error))?;
        if (read as u64) < body {
            return Err(Damage::Short {
                what: "a compressed event",
                needed: length,
                left: read + HEADER_BYTES,
            });
        }
        self.left = self.left.saturating_sub(body);
        Ok(Some(Bytes::from(std::mem::take(&mut self.event))))
    }

    fn fill(&mut self, mut target: &mut [u8]) -> Result<usize, Damage> {
        let mut filled = 0;
        while !target.is_empty() {
            let read = match &mut self.source {
                Source::Plain(reader) => reader.read(target),
                Source::Zstd(reader) => reader.read(target),
            };
            match read.map_err(|error| compression(&error))? {
                0 => break,
                read => {
                    filled += read;
                    target = &mut target[read..];
                }
            }
        }
        self.left = self.left.saturating_sub(filled as u64);
        Ok(filled)
    }

    fn ended(&self) -> Result<Option<Bytes>, Damage> {
        match self.left {
            0 | u64::MAX => Ok(None),
            left => Err(Damage::Short {
                what: "a compressed transaction",
                needed: left as usize,
                left: 0,
            }),
        }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
