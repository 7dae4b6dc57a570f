//! Character sets of MySQL: from the number of a collation to the characters that bytes are.
//!
//! What a byte means was asked of servers themselves (`tests/mysql/charsets`): all of the sets of one byte, and where
//! `encoding_rs` reads those of several bytes otherwise than MySQL. Bytes that are no character become `?`, as they do when the
//! server converts them. In UTF-8 servers take none, but for MariaDB the surrogates; anything else is an error there.
mod multiple;
mod single;

use std::borrow::Cow;

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

use crate::mysql::binlog::{Collation, Damage};

/// How bytes are read.
#[derive(Clone, Copy)]
enum Reading {
    Utf8,
    Ascii,
    /// Two bytes a character, none beyond 16 bits.
    Ucs2,
    Utf16,
    Utf16Little,
    Utf32,
    Single(&'static [u16; 128]),
    Swe7,
    /// As an encoding reads them, but for these.
    Multiple(&'static Encoding, &'static [(u32, u16)], Lead),
    Binary,
}

/// How many bytes a character has, by those that it begins with.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    /// Two.
    Two,
    /// Two, but half-width katakana.
    Japanese,
    /// EUC-JP: two or three, with rows for characters of one's own.
    Euc,
    /// Two or four.
    Four,
}

/// A character set.
#[derive(Clone, Copy)]
struct Charset {
    name: &'static str,
    reading: Reading,
}

/// The name of a collation's character set, as MySQL names it.
///
/// ```
/// use millstream_connectors::mysql::charset;
///
/// assert_eq!(charset::name(255), Some("utf8mb4"));
/// assert_eq!(charset::name(8), Some("latin1"));
/// assert_eq!(charset::name(60_000), None);
/// ```
#[must_use]
pub fn name(collation: Collation) -> Option<&'static str> {
    charset(collation).map(|charset| charset.name)
}

/// The most bytes of a character; 1 where the collation is not known.
///
/// ```
/// use millstream_connectors::mysql::charset;
///
/// assert_eq!(charset::bytes_max(255), 4);
/// assert_eq!(charset::bytes_max(8), 1);
/// ```
#[must_use]
pub fn bytes_max(collation: Collation) -> u16 {
    match name(collation) {
        Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030") => 4,
        Some("utf8mb3" | "ujis" | "eucjpms") => 3,
        Some("ucs2" | "big5" | "sjis" | "cp932" | "euckr" | "gb2312" | "gbk") => 2,
        _ => 1,
    }
}

/// Appends the characters of a collation's bytes.
///
/// # Errors
/// With a collation that is not known, or of binary strings, and with bytes that are no UTF-8 where they should be.
///
/// ```
/// use millstream_connectors::mysql::charset;
///
/// let mut text = String::new();
/// charset::decode(8, b"\x80 5", &mut text).unwrap();
/// assert_eq!(text, "€ 5");
/// ```
pub fn decode(collation: Collation, bytes: &[u8], target: &mut String) -> Result<(), Damage> {
    if collation == 0 {
        return Err(Damage::UnsaidCharset);
    }
    let charset = charset(collation).ok_or(Damage::UnknownCollation(collation))?;
    match charset.reading {
        Reading::Utf8 => {
            let text = utf8(bytes).ok_or(Damage::Text {
                what: "a value",
                charset: charset.name,
            })?;
            target.push_str(&text);
        }
        Reading::Binary => return Err(Damage::Unsupported("bytes of a binary column are no text")),
        Reading::Ascii => push_each(
            bytes,
            target,
            |byte| if byte < 0x80 { char::from(byte) } else { '?' },
        ),
        Reading::Single(table) => push_each(bytes, target, |byte| of_table(table, byte)),
        Reading::Swe7 => push_each(bytes, target, swe7),
        Reading::Ucs2 => units(bytes, target, |pair| {
            char::from_u32(u32::from(u16::from_be_bytes(pair)))
        }),
        Reading::Utf16 => utf16(bytes, target, u16::from_be_bytes),
        Reading::Utf16Little => utf16(bytes, target, u16::from_le_bytes),
        Reading::Utf32 => units(bytes, target, |four| char::from_u32(u32::from_be_bytes(four))),
        Reading::Multiple(encoding, exceptions, lead) => multiple(encoding, exceptions, lead, bytes, target),
    }
    Ok(())
}

/// Text in UTF-8 as servers hold it: MariaDB takes surrogates there, which are no characters, and are `?` as in other sets. Nothing where
/// it is no UTF-8 otherwise.
pub(super) fn utf8(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(Cow::Borrowed(text));
    }
    let mut mended = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        match rest {
            // No character's other bytes are like the first of these.
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, behind @ ..] => {
                mended.push(b'?');
                rest = behind;
            }
            _ => {
                mended.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(mended).ok().map(Cow::Owned)
}

fn push_each(bytes: &[u8], target: &mut String, read: impl Fn(u8) -> char) {
    target.reserve(bytes.len());
    target.extend(bytes.iter().map(|byte| read(*byte)));
}

fn of_table(table: &[u16; 128], byte: u8) -> char {
    if byte < 0x80 {
        return char::from(byte);
    }
    match table[usize::from(byte - 0x80)] {
        0 => '?',
        code => char::from_u32(u32::from(code)).unwrap_or('?'),
    }
}

fn swe7(byte: u8) -> char {
    let own = single::SWE7.iter().find(|(own, _)| *own == byte);
    own.map_or(if byte < 0x7f { char::from(byte) } else { '?' }, |(_, char)| {
        *char
    })
}

/// Characters of a fixed number of bytes.
fn units<const N: usize>(bytes: &[u8], target: &mut String, read: impl Fn([u8; N]) -> Option<char>) {
    let (chunks, rest) = bytes.as_chunks::<N>();
    target.extend(chunks.iter().map(|chunk| read(*chunk).unwrap_or('?')));
    if !rest.is_empty() {
        target.push('?');
    }
}

fn utf16(bytes: &[u8], target: &mut String, read: impl Fn([u8; 2]) -> u16) {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| read(*pair));
    target.extend(char::decode_utf16(units).map(|char| char.unwrap_or('?')));
    if !rest.is_empty() {
        target.push('?');
    }
}

fn multiple(
    encoding: &'static Encoding,
    exceptions: &[(u32, u16)],
    lead: Lead,
    bytes: &[u8],
    target: &mut String,
) {
    if exceptions.is_empty()
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes)
    {
        target.push_str(&text);
        return;
    }
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if *first < 0x80 {
            target.push(char::from(*first));
            rest = &rest[1..];
            continue;
        }
        let (char, after) = rest.split_at(lead.length(rest).min(rest.len()));
        match read_one(encoding, exceptions, lead, char) {
            Some(text) => {
                target.push(text);
                rest = after;
            }
            // A byte that begins no character is one that is none; what follows may be.
            None => {
                target.push('?');
                rest = &rest[1..];
            }
        }
    }
}

fn read_one(encoding: &'static Encoding, exceptions: &[(u32, u16)], lead: Lead, char: &[u8]) -> Option<char> {
    let code = char.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
    if let Ok(index) = exceptions.binary_search_by_key(&code, |(code, _)| *code) {
        return char::from_u32(u32::from(exceptions[index].1));
    }
    if lead == Lead::Euc
        && let Some(own) = private(char)
    {
        return Some(own);
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(char)?;
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// The last ten rows of EUC-JP are for characters of one's own.
fn private(char: &[u8]) -> Option<char> {
    let (start, row, cell) = match char {
        [row, cell] => (0xe000, *row, *cell),
        [0x8f, row, cell] => (0xe3ac, *row, *cell),
        _ => return None,
    };
    let own = (0xf5..=0xfe).contains(&row) && (0xa1..=0xfe).contains(&cell);
    own.then(|| char::from_u32(start + u32::from(row - 0xf5) * 94 + u32::from(cell - 0xa1)))?
}

impl Lead {
    fn length(self, bytes: &[u8]) -> usize {
        match (self, bytes) {
            (Self::Japanese, [0xa1..=0xdf, ..]) => 1,
            (Self::Euc, [0x8f, ..]) => 3,
            (Self::Four, [_, 0x30..=0x39, ..]) => 4,
            _ => 2,
        }
    }
}

/// The character set of a collation. MariaDB's collations without padding are those with padding and 1024, its later ones
/// stand in blocks from 2048.
fn charset(collation: Collation) -> Option<Charset> {
    let of = |name, reading| Some(Charset { name, reading });
    let single = |name, table| of(name, Reading::Single(table));
    let euc = |name, own: &'static [(u32, u16)]| of(name, Reading::Multiple(EUC_JP, own, Lead::Euc));
    match collation {
        1 | 84 => of("big5", Reading::Multiple(BIG5, &multiple::BIG5, Lead::Two)),
        2 | 9 | 21 | 27 | 77 => single("latin2", &single::LATIN2),
        3 | 69 => single("dec8", &single::DEC8),
        4 | 80 => single("cp850", &single::CP850),
        5 | 8 | 15 | 31 | 47..=49 | 94 => single("latin1", &single::LATIN1),
        6 | 72 => single("hp8", &single::HP8),
        7 | 74 => single("koi8r", &single::KOI8R),
        10 | 82 => of("swe7", Reading::Swe7),
        11 | 65 => of("ascii", Reading::Ascii),
        12 | 91 => euc("ujis", &multiple::UJIS),
        13 | 88 => of(
            "sjis",
            Reading::Multiple(SHIFT_JIS, &multiple::SJIS, Lead::Japanese),
        ),
        14 | 23 | 50..=52 => single("cp1251", &single::CP1251),
        16 | 71 => single("hebrew", &single::HEBREW),
        18 | 89 => single("tis620", &single::TIS620),
        19 | 85 => of("euckr", Reading::Multiple(EUC_KR, &[], Lead::Two)),
        20 | 41 | 42 | 79 => single("latin7", &single::LATIN7),
        22 | 75 => single("koi8u", &single::KOI8U),
        24 | 86 => of("gb2312", Reading::Multiple(GBK, &multiple::GB2312, Lead::Two)),
        25 | 70 => single("greek", &single::GREEK),
        26 | 34 | 44 | 66 | 99 => single("cp1250", &single::CP1250),
        28 | 87 => of("gbk", Reading::Multiple(GBK, &[], Lead::Two)),
        29 | 58 | 59 => single("cp1257", &single::CP1257),
        30 | 78 => single("latin5", &single::LATIN5),
        32 | 64 => single("armscii8", &single::ARMSCII8),
        33 | 76 | 83 | 192..=223 | 576..=578 => of("utf8mb3", Reading::Utf8),
        35 | 90 | 128..=159 | 640..=642 => of("ucs2", Reading::Ucs2),
        36 | 68 => single("cp866", &single::CP866),
        37 | 73 => single("keybcs2", &single::KEYBCS2),
        38 | 43 => single("macce", &single::MACCE),
        39 | 53 => single("macroman", &single::MACROMAN),
        40 | 81 => single("cp852", &single::CP852),
        45 | 46 | 224..=247 | 255..=323 | 608..=610 => of("utf8mb4", Reading::Utf8),
        54 | 55 | 101..=124 | 672..=674 => of("utf16", Reading::Utf16),
        56 | 62 => of("utf16le", Reading::Utf16Little),
        57 | 67 => single("cp1256", &single::CP1256),
        60 | 61 | 160..=183 | 736..=738 => of("utf32", Reading::Utf32),
        63 => of("binary", Reading::Binary),
        92 | 93 => single("geostd8", &single::GEOSTD8),
        95 | 96 => of("cp932", Reading::Multiple(SHIFT_JIS, &[], Lead::Japanese)),
        97 | 98 => euc("eucjpms", &multiple::EUCJPMS),
        248..=250 => of(
            "gb18030",
            Reading::Multiple(GB18030, &multiple::GB18030, Lead::Four),
        ),
        1025..=2047 => charset(collation - 1024),
        2048..=2303 => of("utf8mb3", Reading::Utf8),
        2304..=2559 => of("utf8mb4", Reading::Utf8),
        2560..=2815 => of("ucs2", Reading::Ucs2),
        2816..=3071 => of("utf16", Reading::Utf16),
        3072..=3327 => of("utf32", Reading::Utf32),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
