//! Reading binary JSON in place.
use crate::mysql::binlog::Damage;
use crate::mysql::binlog::cursor::Cursor;

const WHAT: &str = "a JSON document";

/// A value of a document; containers are read as they are walked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(&'a str),
    /// A value of another type of MySQL: its number and its bytes.
    Opaque(u8, &'a [u8]),
    Object(Container<'a>),
    Array(Container<'a>),
}

/// An object or an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a> {
    /// From the number of elements on; offsets count from here.
    bytes: &'a [u8],
    count: usize,
    object: bool,
    /// Counts and offsets have four bytes instead of two.
    large: bool,
}

fn invalid(value: usize, rule: &'static str) -> Damage {
    Damage::Invalid {
        what: WHAT,
        value: value as u64,
        rule,
    }
}

impl<'a> Node<'a> {
    /// A document. Empty bytes are what `IGNORE` made of a value that could not be: null.
    pub(crate) fn read(document: &'a [u8]) -> Result<Self, Damage> {
        match document.split_first() {
            None => Ok(Self::Null),
            Some((kind, bytes)) => Self::of_type(*kind, bytes),
        }
    }

    fn of_type(kind: u8, bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(bytes);
        Ok(match kind {
            0..=3 => {
                let container = Container::read(bytes, kind < 2, kind & 1 == 1)?;
                if kind < 2 {
                    Self::Object(container)
                } else {
                    Self::Array(container)
                }
            }
            4 => Self::literal(cursor.u8(WHAT)?)?,
            5 => Self::Int(i64::from(cursor.u16(WHAT)? as i16)),
            6 => Self::UInt(u64::from(cursor.u16(WHAT)?)),
            7 => Self::Int(i64::from(cursor.u32(WHAT)? as i32)),
            8 => Self::UInt(u64::from(cursor.u32(WHAT)?)),
            9 => Self::Int(cursor.u64(WHAT)? as i64),
            10 => Self::UInt(cursor.u64(WHAT)?),
            11 => Self::Double(f64::from_le_bytes(cursor.array(WHAT)?)),
            12 => {
                let length = variable_length(&mut cursor)?;
                Self::Text(text(cursor.take(length, WHAT)?)?)
            }
            15 => {
                let kind = cursor.u8(WHAT)?;
                let length = variable_length(&mut cursor)?;
                Self::Opaque(kind, cursor.take(length, WHAT)?)
            }
            other => return Err(invalid(usize::from(other), "which no type of JSON has")),
        })
    }

    fn literal(value: u8) -> Result<Self, Damage> {
        match value {
            0 => Ok(Self::Null),
            1 => Ok(Self::Bool(true)),
            2 => Ok(Self::Bool(false)),
            other => Err(invalid(usize::from(other), "neither null nor true nor false")),
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|_| Damage::Text {
        what: WHAT,
        charset: "utf8mb4",
    })
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn variable_length(cursor: &mut Cursor<'_>) -> Result<usize, Damage> {
    let mut length = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = cursor.u8(WHAT)?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| invalid(0, "too long"));
        }
    }
    Err(invalid(5, "more bytes than a length has"))
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8], object: bool, large: bool) -> Result<Self, Damage> {
        let width = if large { 4 } else { 2 };
        let mut cursor = Cursor::new(bytes);
        let count = cursor.uint(width, WHAT)? as usize;
        let size = cursor.uint(width, WHAT)? as usize;
        let Some(bytes) = bytes.get(..size) else {
            return Err(Damage::Short {
                what: WHAT,
                needed: size,
                left: bytes.len(),
            });
        };
        let container = Self {
            bytes,
            count,
            object,
            large,
        };
        let entries = container.value_entry(count);
        if entries > size {
            return Err(Damage::Short {
                what: WHAT,
                needed: entries,
                left: size,
            });
        }
        Ok(container)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    /// Where the entry of a value begins: a byte for its type, then the value itself, if it is short, or where it is.
    fn value_entry(&self, index: usize) -> usize {
        let width = self.width();
        let keys = if self.object { self.count * (width + 2) } else { 0 };
        2 * width + keys + index * (width + 1)
    }

    fn at(&self, offset: usize) -> Result<Cursor<'a>, Damage> {
        let left = self.bytes.len();
        self.bytes.get(offset..).map(Cursor::new).ok_or(Damage::Short {
            what: WHAT,
            needed: offset,
            left,
        })
    }

    pub(crate) fn key(&self, index: usize) -> Result<&'a str, Damage> {
        let mut entry = self.at(2 * self.width() + index * (self.width() + 2))?;
        let offset = entry.uint(self.width(), WHAT)? as usize;
        let length = entry.u16(WHAT)?;
        text(self.at(offset)?.take(usize::from(length), WHAT)?)
    }

    pub(crate) fn value(&self, index: usize) -> Result<Node<'a>, Damage> {
        let mut entry = self.at(self.value_entry(index))?;
        let kind = entry.u8(WHAT)?;
        if matches!(kind, 4..=6) || self.large && matches!(kind, 7 | 8) {
            return Node::of_type(kind, entry.take(self.width(), WHAT)?);
        }
        let offset = entry.uint(self.width(), WHAT)? as usize;
        // Values stand behind the entries, so that none can hold itself.
        if offset < self.value_entry(self.count) {
            return Err(invalid(offset, "where no value can be"));
        }
        Node::of_type(kind, self.at(offset)?.rest())
    }
}
