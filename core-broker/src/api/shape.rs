//! Walks the bytes of a request along its layout before they are decoded.
//!
//! Why: the generated decoders reserve memory for as many elements as an array claims; a request of a few bytes can
//! ask for hundreds of gigabytes. The walk visits every array, string and tagged field without allocating, so
//! that a decoder only ever sees counts that the bytes really hold. Owns: the layout language, the bound on the
//! number of elements. Does not own: the layouts (one beside each API).
//!
//! Invariant: if the walk accepts a body, the decoder consumes exactly the same bytes, or rejects it because of text
//! that is not UTF-8 or a null where none is allowed.

/// Most array elements and tagged fields of one request; each becomes at most some 200 bytes in memory.
const ELEMENTS_MAX: usize = 200_000;

/// Layout of one request.
#[derive(Debug)]
pub(crate) struct Shape {
    /// First version with compact lengths and tagged fields; `i16::MAX` if there is none.
    pub flexible: i16,
    /// Its fields in order.
    pub fields: &'static [Field],
}

/// One field and the versions that have it.
#[derive(Debug)]
pub(crate) struct Field {
    since: i16,
    until: i16,
    kind: Kind,
}

/// How a field is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// Text: a two-byte or compact length.
    Text,
    /// Bytes: a four-byte or compact length.
    Bytes,
    /// An array of elements of so many bytes.
    FixedArray(usize),
    /// An array of texts.
    TextArray,
    /// An array of structures, each with its own tagged fields.
    Array(&'static [Field]),
    /// A structure that may be missing, as a byte before it says: 1 if it is there.
    Optional(&'static [Field]),
    /// A tagged field of so many bytes that the decoder knows.
    TagFixed(u32, usize),
    /// A tagged text that the decoder knows.
    TagText(u32),
    /// A tagged structure that the decoder knows.
    TagStruct(u32, &'static [Field]),
}

/// A field of every version.
pub(crate) const fn all(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

/// A field from a version on.
pub(crate) const fn since(since: i16, kind: Kind) -> Field {
    between(since, i16::MAX, kind)
}

/// A field up to a version.
pub(crate) const fn until(until: i16, kind: Kind) -> Field {
    between(0, until, kind)
}

/// A field of some versions.
pub(crate) const fn between(since: i16, until: i16, kind: Kind) -> Field {
    Field { since, until, kind }
}

/// Why a body is refused before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The bytes ended first.
    #[error("the body ends early, at byte {at}")]
    Short {
        /// Where.
        at: usize,
    },
    /// A length below −1.
    #[error("a length at byte {at} is negative")]
    Negative {
        /// Where.
        at: usize,
    },
    /// More elements than one request may have.
    #[error("more than {ELEMENTS_MAX} array elements in one request, split it")]
    TooMany,
    /// A tagged field whose length is not that of its type.
    #[error("tagged field {tag} before byte {at} does not have the length it claims")]
    Tag {
        /// Its number.
        tag: u32,
        /// Where it ends.
        at: usize,
    },
}

impl Shape {
    /// True if `version` has compact lengths, tagged fields, and the newer headers.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    /// Walks a body; returns how many bytes the decoder will take.
    pub fn walk(&self, body: &[u8], version: i16) -> Result<usize, ShapeError> {
        let mut walk = Walk {
            body,
            at: 0,
            version,
            flexible: self.is_flexible(version),
            elements: 0,
        };
        walk.structure(self.fields)?;
        Ok(walk.at)
    }
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &'static [Field]) -> Result<(), ShapeError> {
        let version = self.version;
        let present = |f: &&Field| (f.since..=f.until).contains(&version);
        for field in fields.iter().filter(present) {
            self.field(field.kind)?;
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.count(1)?;
                let tag = self.varint()?;
                let length = self.varint()? as usize;
                let start = self.at;
                match fields
                    .iter()
                    .filter(present)
                    .find(|f| f.kind.tag() == Some(tag))
                    .map(|f| f.kind)
                {
                    None => self.skip(length)?,
                    Some(kind) => {
                        match kind {
                            Kind::TagFixed(_, bytes) => self.skip(bytes)?,
                            Kind::TagStruct(_, fields) => self.structure(fields)?,
                            _ => self.text()?,
                        }
                        if self.at - start != length {
                            return Err(ShapeError::Tag { tag, at: self.at });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, kind: Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(bytes) => self.skip(bytes),
            Kind::Text => self.text(),
            Kind::Bytes => {
                let length = self.length()?;
                self.skip(length)
            }
            Kind::FixedArray(bytes) => {
                let length = self.length()?;
                self.count(length)?;
                self.skip(length * bytes)
            }
            Kind::TextArray => {
                let length = self.length()?;
                self.count(length)?;
                (0..length).try_for_each(|_| self.text())
            }
            Kind::Array(fields) => {
                let length = self.length()?;
                self.count(length)?;
                (0..length).try_for_each(|_| self.structure(fields))
            }
            Kind::Optional(fields) => match self.take()? {
                [1] => self.structure(fields),
                _ => Ok(()),
            },
            Kind::TagFixed(..) | Kind::TagText(_) | Kind::TagStruct(..) => Ok(()),
        }
    }

    fn text(&mut self) -> Result<(), ShapeError> {
        let length = if self.flexible {
            self.length()?
        } else {
            let at = self.at;
            let length = i16::from_be_bytes(self.take()?);
            self.natural(i32::from(length), at)?
        };
        self.skip(length)
    }

    /// A four-byte or compact length; null counts as 0.
    fn length(&mut self) -> Result<usize, ShapeError> {
        if self.flexible {
            return Ok(self.varint()?.saturating_sub(1) as usize);
        }
        let at = self.at;
        let length = i32::from_be_bytes(self.take()?);
        self.natural(length, at)
    }

    fn natural(&self, length: i32, at: usize) -> Result<usize, ShapeError> {
        match length {
            -1 => Ok(0),
            _ => usize::try_from(length).map_err(|_| ShapeError::Negative { at }),
        }
    }

    /// An array longer than what is left of the body cannot be real: every element takes at least a byte.
    fn count(&mut self, elements: usize) -> Result<(), ShapeError> {
        if elements > self.body.len() - self.at {
            return Err(ShapeError::Short { at: self.body.len() });
        }
        self.elements += elements;
        if self.elements > ELEMENTS_MAX {
            return Err(ShapeError::TooMany);
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u32, ShapeError> {
        let mut value = 0u32;
        // Like the decoder: five bytes at most, the fifth ends the number whatever it says.
        for shift in (0..35).step_by(7) {
            let [byte] = self.take::<1>()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let bytes = self.body[self.at..].first_chunk().copied();
        let bytes = bytes.ok_or(ShapeError::Short { at: self.body.len() })?;
        self.at += N;
        Ok(bytes)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        if bytes > self.body.len() - self.at {
            return Err(ShapeError::Short { at: self.body.len() });
        }
        self.at += bytes;
        Ok(())
    }
}

#[cfg(test)]
impl Field {
    pub(super) fn is_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Kind {
    pub(super) const fn tag(self) -> Option<u32> {
        match self {
            Self::TagFixed(tag, _) | Self::TagText(tag) | Self::TagStruct(tag, _) => Some(tag),
            _ => None,
        }
    }
}
