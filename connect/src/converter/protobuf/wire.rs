//! The wire format: numbers of variable length, tags and lengths.
use bytes::Bytes;
use bytestring::ByteString;

use crate::converter::problem::Problem;

/// How deep groups that nobody knows may be nested.
const GROUPS_MAX: usize = 100;

/// How many values a message may be read as, however small it is: a message of no bytes can be a struct of many fields.
const VALUES_MAX: usize = 4_000_000;

/// How a value is written: the lower three bits of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    GroupStart = 3,
    GroupEnd = 4,
    Fixed32 = 5,
}

/// The types of fields that are neither messages nor enums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    const ALL: [(Self, &'static str); 15] = [
        (Self::Double, "double"),
        (Self::Float, "float"),
        (Self::Int32, "int32"),
        (Self::Int64, "int64"),
        (Self::Uint32, "uint32"),
        (Self::Uint64, "uint64"),
        (Self::Sint32, "sint32"),
        (Self::Sint64, "sint64"),
        (Self::Fixed32, "fixed32"),
        (Self::Fixed64, "fixed64"),
        (Self::Sfixed32, "sfixed32"),
        (Self::Sfixed64, "sfixed64"),
        (Self::Bool, "bool"),
        (Self::String, "string"),
        (Self::Bytes, "bytes"),
    ];

    /// As schemas call it.
    pub(super) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(its, _)| *its == self);
        found.map_or("", |(_, name)| name)
    }

    pub(super) fn wire_type(self) -> WireType {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => WireType::Fixed32,
            Self::String | Self::Bytes => WireType::Length,
            _ => WireType::Varint,
        }
    }

    /// Whether it is an integer, and of 32 bits.
    pub(super) fn integer_bits(self) -> Option<u32> {
        match self {
            Self::Int32 | Self::Uint32 | Self::Sint32 | Self::Fixed32 | Self::Sfixed32 => Some(32),
            Self::Int64 | Self::Uint64 | Self::Sint64 | Self::Fixed64 | Self::Sfixed64 => Some(64),
            _ => None,
        }
    }
}

/// Bytes that are being read. What is taken out of them shares their buffer.
pub(super) struct Input<'a> {
    all: &'a Bytes,
    at: usize,
    end: usize,
    values_left: usize,
}

type Read<T> = Result<T, Problem>;

fn ended() -> Problem {
    Problem::new("the data end in the middle of a value")
}

impl<'a> Input<'a> {
    /// All of them from `at`.
    pub(super) fn new(all: &'a Bytes, at: usize) -> Self {
        let end = all.len();
        Self {
            all,
            at: at.min(end),
            end,
            values_left: VALUES_MAX.saturating_add(end),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// Where it is.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Counts values that are made without bytes for them.
    pub(super) fn count(&mut self, values: usize) -> Read<()> {
        let left = self.values_left.checked_sub(values);
        self.values_left = left.ok_or_else(|| {
            Problem::new(
                "it is few bytes for more values than any record may have; a message is repeated too often",
            )
        })?;
        Ok(())
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Read<u64> {
        let rest = &self.all[self.at..self.end];
        match rest.first() {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                return Ok(u64::from(*byte));
            }
            _ => {}
        }
        let mut bits = 0_u64;
        for (place, byte) in rest.iter().take(10).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.at += place + 1;
                return Ok(bits);
            }
        }
        Err(match rest.len() {
            ..10 => ended(),
            _ => Problem::new("a number has more than ten bytes"),
        })
    }

    /// The number of the next field and how it is written.
    #[inline]
    pub(super) fn tag(&mut self) -> Read<(u32, WireType)> {
        let tag = self.varint()?;
        let kind = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Length,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(Problem::new("a field is written in a way that there is not")),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok((number, kind)),
            _ => Err(Problem::new("a field has a number that there is not")),
        }
    }

    pub(super) fn fixed32(&mut self) -> Read<[u8; 4]> {
        let bytes = self.all[self.at..self.end].first_chunk().ok_or_else(ended)?;
        self.at += 4;
        Ok(*bytes)
    }

    pub(super) fn fixed64(&mut self) -> Read<[u8; 8]> {
        let bytes = self.all[self.at..self.end].first_chunk().ok_or_else(ended)?;
        self.at += 8;
        Ok(*bytes)
    }

    fn length(&mut self) -> Read<usize> {
        let length = usize::try_from(self.varint()?).map_err(|_| ended())?;
        match length <= self.end - self.at {
            true => Ok(length),
            false => Err(ended()),
        }
    }

    pub(super) fn bytes(&mut self) -> Read<Bytes> {
        let length = self.length()?;
        let bytes = self.all.slice(self.at..self.at + length);
        self.at += length;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Read<ByteString> {
        ByteString::try_from(self.bytes()?).map_err(|_| Problem::new("a string is not UTF-8"))
    }

    /// Reads what has its length before it: `read` sees no more.
    pub(super) fn sized<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let length = self.length()?;
        let end = std::mem::replace(&mut self.end, self.at + length);
        let result = read(self);
        self.at = self.end;
        self.end = end;
        result
    }

    /// Passes over the value of a field that nobody knows.
    pub(super) fn skip(&mut self, number: u32, kind: WireType) -> Read<()> {
        let mut groups = Vec::new();
        let mut next = (number, kind);
        loop {
            match next {
                (_, WireType::Varint) => {
                    self.varint()?;
                }
                (_, WireType::Fixed64) => {
                    self.fixed64()?;
                }
                (_, WireType::Fixed32) => {
                    self.fixed32()?;
                }
                (_, WireType::Length) => {
                    let length = self.length()?;
                    self.at += length;
                }
                (number, WireType::GroupStart) => {
                    if groups.len() >= GROUPS_MAX {
                        return Err(Problem::new(format!(
                            "groups are nested more than {GROUPS_MAX} deep"
                        )));
                    }
                    groups.push(number);
                }
                (number, WireType::GroupEnd) => {
                    if groups.pop() != Some(number) {
                        return Err(Problem::new("a group ends that did not begin"));
                    }
                }
            }
            if groups.is_empty() {
                return Ok(());
            }
            next = self.tag()?;
        }
    }
}

/// Writes a number of variable length.
#[inline]
pub(super) fn write_varint(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Writes what `write` does with its length before it.
pub(super) fn write_sized<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    // Most lengths are of one byte.
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return Ok(());
    }
    let mut prefix = Vec::with_capacity(10);
    write_varint(length as u64, &mut prefix);
    let more = prefix.len() - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(start + 1..start + 1 + length, start + 1 + more);
    out[start..start + 1 + more].copy_from_slice(&prefix);
    Ok(())
}

/// Small numbers for small absolute values.
pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

/// The number that `zigzag` made it from.
pub(super) fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}
