//! The frame of an event: 19 bytes before it, four bytes of checksum behind it.
use super::Damage;
use super::cursor::Cursor;

/// The bytes of every event's header since MySQL 5.0.
pub const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;

/// What stands before every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When the statement began, in seconds since 1970; 0 in events that the server makes up for the stream.
    pub timestamp_s: u32,
    /// The event's type, one of [`super::event_type`].
    pub event_type: u8,
    /// The server that wrote it first.
    pub server_id: u32,
    /// The bytes of the event with header and checksum.
    pub length: u32,
    /// The low 32 bits of where the next event begins; 0 within compressed transactions and in events that are made up.
    pub next_position: u32,
    /// [`ARTIFICIAL`] and others.
    pub flags: u16,
}

/// A flag: the server made this event up, it is not in its log.
pub const ARTIFICIAL: u16 = 0x20;

impl Header {
    /// The header of an event that `bytes` hold whole, and what stands behind it.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Damage> {
        let mut cursor = Cursor::new(bytes);
        let what = "an event's header";
        let header = Self {
            timestamp_s: cursor.u32(what)?,
            event_type: cursor.u8(what)?,
            server_id: cursor.u32(what)?,
            length: cursor.u32(what)?,
            next_position: cursor.u32(what)?,
            flags: cursor.u16(what)?,
        };
        let length = header.length as usize;
        if length != bytes.len() {
            let rule = "not the bytes that came";
            return Err(Damage::Invalid {
                what: "an event's length",
                value: u64::from(header.length),
                rule,
            });
        }
        Ok((header, cursor.rest()))
    }

    /// Whether the server made this event up.
    #[must_use]
    pub fn is_artificial(&self) -> bool {
        self.flags & ARTIFICIAL != 0
    }
}

/// An event without its checksum, which has to be right.
pub(crate) fn verified<'a>(event: &'a [u8], body: &'a [u8]) -> Result<&'a [u8], Damage> {
    match checksums(event) {
        Some((found, computed)) if found == computed => Ok(&body[..body.len() - CHECKSUM_BYTES]),
        Some((found, computed)) => Err(Damage::Checksum { found, computed }),
        None => Err(Damage::Short {
            what: "an event's checksum",
            needed: CHECKSUM_BYTES,
            left: body.len(),
        }),
    }
}

/// The checksum that an event ends with and that of its bytes, if there is room for one behind the header.
pub(crate) fn checksums(event: &[u8]) -> Option<(u32, u32)> {
    let (content, found) = event.split_last_chunk::<CHECKSUM_BYTES>()?;
    if content.len() < HEADER_BYTES {
        return None;
    }
    // The flag of a log that is being written is set after the checksum was made: in the first event, whose type and flags
    // are at fixed places.
    let mut hasher = crc32fast::Hasher::new();
    if content[4] == super::event_type::FORMAT_DESCRIPTION {
        hasher.update(&content[..17]);
        hasher.update(&[content[17] & !1]);
        hasher.update(&content[18..]);
    } else {
        hasher.update(content);
    }
    Some((u32::from_le_bytes(*found), hasher.finalize()))
}

/// What the first event of a file says about those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The server's version, such as `9.7.1` or `10.11.19-MariaDB-log`.
    pub server_version: String,
    /// Whether events end with a checksum.
    pub checksums: bool,
    /// The bytes behind the header, before the body, of each type of event from type 1.
    post_header_bytes: Vec<u8>,
}

impl Format {
    pub(crate) fn read(event: &[u8], body: &[u8]) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(body);
        let version = cursor.u16("the version of the binary log")?;
        if version != 4 {
            let rule = "not 4, that of MySQL 5.0 and later";
            return Err(Damage::Invalid {
                what: "the version of the binary log",
                value: u64::from(version),
                rule,
            });
        }
        let name = cursor.take(50, "the server's version")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(name).into_owned();
        cursor.take(4, "the time of the format description")?;
        let length = cursor.u8("the length of headers")?;
        if usize::from(length) != HEADER_BYTES {
            let rule = "not 19";
            return Err(Damage::Invalid {
                what: "the length of headers",
                value: u64::from(length),
                rule,
            });
        }
        let rest = cursor.rest();
        // Servers since 5.6.1 and MariaDB 5.3 name the algorithm of checksums, and this event has one in any case.
        let (post_header_bytes, checksums) = match checksums(event) {
            Some((found, computed)) if found == computed && rest.len() > CHECKSUM_BYTES => {
                let (lengths, tail) = rest.split_at(rest.len() - CHECKSUM_BYTES - 1);
                match tail[0] {
                    0 | 255 => (lengths, false),
                    1 => (lengths, true),
                    other => {
                        let rule = "neither none (0) nor CRC32 (1)";
                        return Err(Damage::Invalid {
                            what: "the kind of checksums",
                            value: u64::from(other),
                            rule,
                        });
                    }
                }
            }
            Some((found, computed)) if has_checksum_field(&server_version) => {
                return Err(Damage::Checksum { found, computed });
            }
            _ => (rest, false),
        };
        Ok(Self {
            server_version,
            checksums,
            post_header_bytes: post_header_bytes.to_vec(),
        })
    }

    /// Whether MariaDB wrote it, whose types of events and metadata differ.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
    }

    /// The bytes between the header and the body of this type of event.
    pub(crate) fn post_header(&self, event_type: u8, default: u8) -> u8 {
        let index = usize::from(event_type).checked_sub(1);
        index
            .and_then(|index| self.post_header_bytes.get(index))
            .copied()
            .filter(|bytes| *bytes > 0)
            .unwrap_or(default)
    }
}

/// Whether a server of this version ends its format description with a checksum.
fn has_checksum_field(version: &str) -> bool {
    let mut parts = version
        .split(|char: char| !char.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let version_number = (part(), part(), part());
    if version.contains("MariaDB") {
        version_number >= (5, 3, 0)
    } else {
        version_number >= (5, 6, 1)
    }
}
