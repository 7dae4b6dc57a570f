//! Reading checked pieces of bytes.
use super::Damage;

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Damage> {
        match self.bytes.split_at_checked(length) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(Damage::Short {
                what,
                needed: length,
                left: self.bytes.len(),
            }),
        }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Damage> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(Damage::Short {
                what,
                needed: N,
                left: self.bytes.len(),
            }),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Damage> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Damage> {
        self.array(what).map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Damage> {
        self.array(what).map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Damage> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A little-endian number of up to eight bytes.
    #[inline]
    pub(crate) fn uint(&mut self, length: usize, what: &'static str) -> Result<u64, Damage> {
        let bytes = self.take(length, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A big-endian number of up to eight bytes.
    #[inline]
    pub(crate) fn uint_be(&mut self, length: usize, what: &'static str) -> Result<u64, Damage> {
        let bytes = self.take(length, what)?;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A length-encoded integer of the protocol.
    #[inline]
    pub(crate) fn packed(&mut self, what: &'static str) -> Result<u64, Damage> {
        match self.u8(what)? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            252 => self.uint(2, what),
            253 => self.uint(3, what),
            254 => self.u64(what),
            byte => Err(Damage::Invalid {
                what,
                value: u64::from(byte),
                rule: "which begins no packed number",
            }),
        }
    }

    /// A length-encoded integer that counts bytes or things in this event.
    #[inline]
    pub(crate) fn packed_length(&mut self, what: &'static str) -> Result<usize, Damage> {
        let value = self.packed(what)?;
        usize::try_from(value).map_err(|_| Damage::Invalid {
            what,
            value,
            rule: "which no event of this machine can hold",
        })
    }

    /// Bytes with a length-encoded length before them.
    pub(crate) fn packed_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Damage> {
        let length = self.packed_length(what)?;
        self.take(length, what)
    }

    pub(crate) fn end(&self, what: &'static str) -> Result<(), Damage> {
        match self.left() {
            0 => Ok(()),
            left => Err(Damage::Surplus { what, left }),
        }
    }
}

/// Bytes that have to be text: names of databases, tables and columns, and statements.
pub(crate) fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, Damage> {
    std::str::from_utf8(bytes).map_err(|_| Damage::Text {
        what,
        charset: "utf8",
    })
}

/// One bit for each column, the least significant first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bitmap<'a>(&'a [u8]);

impl<'a> Bitmap<'a> {
    pub(crate) fn take(cursor: &mut Cursor<'a>, bits: usize, what: &'static str) -> Result<Self, Damage> {
        cursor.take(bits.div_ceil(8), what).map(Self)
    }

    #[inline]
    pub(crate) fn get(self, index: usize) -> bool {
        self.0
            .get(index / 8)
            .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    pub(crate) fn count(self, bits: usize) -> usize {
        (0..bits).filter(|index| self.get(*index)).count()
    }
}
