//! MySQL's GTIDs and sets of them, with and without tags.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::ParseGtidError;
use super::intervals::Intervals;
use crate::mysql::binlog::Damage;
use crate::mysql::binlog::cursor::{Cursor, utf8};

/// The most characters of a tag.
const TAG_BYTES_MAX: usize = 32;

/// The largest number of a transaction, and one more.
const NUMBER_END: u64 = i64::MAX as u64;

/// Who gives numbers to transactions: a server, and a tag of one's own beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The server's UUID.
    pub uuid: [u8; 16],
    /// The tag, in small letters; empty for none.
    pub tag: String,
}

/// The id of one transaction.
///
/// ```
/// use millstream_connectors::mysql::gtid::Gtid;
///
/// let gtid: Gtid = "3E11FA47-71CA-11E1-9E33-C80AA9429562:Nightly:23".parse().unwrap();
/// assert_eq!(gtid.to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:nightly:23");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// Who gave the number.
    pub source: Source,
    /// The number, from 1.
    pub number: u64,
}

/// A set of transactions.
///
/// ```
/// use millstream_connectors::mysql::gtid::GtidSet;
///
/// let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
/// let mut set: GtidSet = format!("{uuid}:1-3:5").parse().unwrap();
/// set.insert(&format!("{uuid}:4").parse().unwrap());
/// assert_eq!(set.to_string(), format!("{uuid}:1-5"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet(BTreeMap<Source, Intervals>);

impl Source {
    /// A source without a tag.
    #[must_use]
    pub fn server(uuid: [u8; 16]) -> Self {
        Self {
            uuid,
            tag: String::new(),
        }
    }
}

impl GtidSet {
    /// Whether it holds no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds this transaction.
    #[must_use]
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.0
            .get(&gtid.source)
            .is_some_and(|numbers| numbers.contains(gtid.number))
    }

    /// Whether it holds all transactions of `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(source, numbers)| self.0.get(source).is_some_and(|own| own.covers(numbers)))
    }

    /// Adds a transaction.
    pub fn insert(&mut self, gtid: &Gtid) {
        // The last number has none behind it, and no server gives it.
        let end = gtid.number.saturating_add(1);
        match self.0.get_mut(&gtid.source) {
            Some(numbers) => numbers.add(gtid.number, end),
            None => self.add(gtid.source.clone(), gtid.number, end),
        }
    }

    /// Adds all transactions of `other`.
    pub fn union(&mut self, other: &Self) {
        for (source, numbers) in &other.0 {
            let own = self.0.entry(source.clone()).or_default();
            numbers
                .ranges()
                .iter()
                .for_each(|(start, end)| own.add(*start, *end));
        }
    }

    /// Removes all transactions of `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (source, numbers) in &other.0 {
            if let Some(own) = self.0.get_mut(source) {
                own.subtract(numbers);
            }
        }
        self.0.retain(|_, numbers| !numbers.ranges().is_empty());
    }

    /// The transactions of the servers whose UUID is wanted.
    #[must_use]
    pub fn of_sources(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let own = self.0.iter().filter(|(source, _)| {
            let alone = Source::server(source.uuid);
            wanted(&alone.to_string())
        });
        Self(
            own.map(|(source, numbers)| (source.clone(), numbers.clone()))
                .collect(),
        )
    }

    /// The sources with their ranges; a range's end is not in it.
    pub fn iter(&self) -> impl Iterator<Item = (&Source, &[(u64, u64)])> {
        self.0.iter().map(|(source, numbers)| (source, numbers.ranges()))
    }

    fn add(&mut self, source: Source, start: u64, end: u64) {
        if start < end {
            self.0.entry(source).or_default().add(start, end);
        }
    }

    /// The content of a PREVIOUS_GTIDS event.
    pub(crate) fn read(content: &[u8]) -> Result<Self, Damage> {
        let what = "a set of GTIDs";
        let mut cursor = Cursor::new(content);
        let head = cursor.u64(what)?;
        // With tags, the first and the last byte are 1 and the number of sources is between them.
        let tagged = head >> 56 == 1 && head & 0xff == 1;
        let sources = if tagged {
            head >> 8 & 0xffff_ffff_ffff
        } else {
            head
        };
        let mut set = Self::default();
        for _ in 0..sources {
            let uuid = cursor.array::<16>(what)?;
            let tag = if tagged {
                read_tag(&mut cursor)?
            } else {
                String::new()
            };
            let source = Source { uuid, tag };
            let (ranges, mut least) = (cursor.u64(what)?, 1);
            for _ in 0..ranges {
                let (start, end) = (cursor.u64(what)?, cursor.u64(what)?);
                // Servers write them in order, which keeps adding one cheap.
                if start < least || start >= end || end > NUMBER_END {
                    return Err(Damage::Invalid {
                        what,
                        value: start,
                        rule: "the start of a range that cannot be",
                    });
                }
                set.add(source.clone(), start, end);
                least = end;
            }
        }
        cursor.end(what)?;
        Ok(set)
    }
}

fn read_tag(cursor: &mut Cursor<'_>) -> Result<String, Damage> {
    let what = "the tag of a GTID";
    // A number of variable size, whose lowest bit says that one byte is all of it: tags are short.
    let length = cursor.u8(what)?;
    if length & 1 != 0 || usize::from(length >> 1) > TAG_BYTES_MAX {
        return Err(Damage::Invalid {
            what,
            value: u64::from(length),
            rule: "no length of one",
        });
    }
    Ok(utf8(cursor.take(usize::from(length >> 1), what)?, what)?.to_owned())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_uuid(&self.uuid, f)?;
        if self.tag.is_empty() {
            Ok(())
        } else {
            write!(f, ":{}", self.tag)
        }
    }
}

fn fmt_uuid(uuid: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.number)
    }
}

impl fmt::Display for GtidSet {
    /// As the server prints it, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&[u8; 16]> = None;
        for (source, numbers) in &self.0 {
            if before != Some(&source.uuid) {
                if before.is_some() {
                    f.write_str(",")?;
                }
                fmt_uuid(&source.uuid, f)?;
                before = Some(&source.uuid);
            }
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
            }
            for (start, end) in numbers.ranges() {
                if *end == start + 1 {
                    write!(f, ":{start}")?
                } else {
                    write!(f, ":{start}-{}", end - 1)?
                }
            }
        }
        Ok(())
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut digits = text
        .bytes()
        .filter(|byte| *byte != b'-')
        .map(|byte| (byte as char).to_digit(16));
    for byte in &mut uuid {
        *byte = (digits.next()?? << 4 | digits.next()??) as u8;
    }
    let plain = text.len() == 32 && !text.contains('-');
    let dashed = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-');
    (digits.next().is_none() && (plain || dashed)).then_some(uuid)
}

fn parse_tag(text: &str) -> Option<String> {
    let first = text.bytes().next()?;
    let right = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (right && !first.is_ascii_digit() && text.len() <= TAG_BYTES_MAX).then(|| text.to_ascii_lowercase())
}

fn parse_number(text: &str) -> Option<u64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number| (1..NUMBER_END).contains(number))
}

impl FromStr for Gtid {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        let error = |reason| ParseGtidError::new(text, "GTID", reason);
        let parts: Vec<_> = text.split(':').map(str::trim).collect();
        let (uuid, tag, number) = match parts[..] {
            [uuid, number] => (uuid, "", number),
            [uuid, tag, number] => (uuid, tag, number),
            _ => return Err(error("it is UUID:NUMBER or UUID:TAG:NUMBER")),
        };
        let uuid = parse_uuid(uuid).ok_or_else(|| error("its UUID is none"))?;
        let tag = match tag {
            "" => String::new(),
            tag => parse_tag(tag).ok_or_else(|| error("its tag is none"))?,
        };
        let number = parse_number(number).ok_or_else(|| error("its number is none from 1"))?;
        Ok(Self {
            source: Source { uuid, tag },
            number,
        })
    }
}

impl FromStr for GtidSet {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        let error = |reason| ParseGtidError::new(text, "set of GTIDs", reason);
        let mut set = Self::default();
        for server in text.split(',').map(str::trim).filter(|server| !server.is_empty()) {
            let mut parts = server.split(':').map(str::trim);
            let uuid = parts
                .next()
                .and_then(parse_uuid)
                .ok_or_else(|| error("a UUID is none"))?;
            let mut source = Source::server(uuid);
            for part in parts {
                if let Some(tag) = parse_tag(part) {
                    source.tag = tag;
                    continue;
                }
                let (start, last) = part.split_once('-').unwrap_or((part, part));
                let numbers = parse_number(start).zip(parse_number(last));
                let (start, last) =
                    numbers.ok_or_else(|| error("a range is neither NUMBER nor NUMBER-NUMBER"))?;
                if last < start {
                    return Err(error("a range ends before it begins"));
                }
                set.add(source.clone(), start, last + 1);
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    #[test]
    fn texts_come_back_in_the_servers_form() {
        for (text, printed) in [
            ("", String::new()),
            (&*format!("{A}:1-3:4:7-7"), format!("{A}:1-4:7")),
            (&*format!("{B}:5, \n{A}:1"), format!("{A}:1,{B}:5")),
            (
                &*format!("{A}:1-3:night:5-6:2:Day:7"),
                format!("{A}:1-3:day:7:night:2:5-6"),
            ),
            (&*format!("{A}:night:5"), format!("{A}:night:5")),
        ] {
            assert_eq!(set(text).to_string(), printed);
            assert_eq!(set(&printed), set(text));
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in [
            "x",
            "1-2",
            &format!("{A}:0"),
            &format!("{A}:5-3"),
            &format!("{A}:1-"),
            &format!("{A}:9tag:1"),
        ] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
        assert!(format!("{A}:1:2:3").parse::<Gtid>().is_err());
    }

    proptest! {
        #[test]
        fn sets_are_sets(
            left in prop::collection::btree_set((0_u8..2, 0_u8..2, 1_u64..30), 0..40),
            right in prop::collection::btree_set((0_u8..2, 0_u8..2, 1_u64..30), 0..40),
        ) {
            let gtid = |(uuid, tag, number): &(u8, u8, u64)| Gtid {
                source: Source { uuid: [*uuid; 16], tag: if *tag == 0 { String::new() } else { "t".to_owned() } },
                number: *number,
            };
            let of = |numbers: &BTreeSet<(u8, u8, u64)>| {
                let mut set = GtidSet::default();
                numbers.iter().rev().for_each(|one| set.insert(&gtid(one)));
                set
            };
            let (one, other) = (of(&left), of(&right));
            prop_assert_eq!(one.to_string().parse::<GtidSet>().unwrap(), one.clone());
            prop_assert_eq!(one.covers(&other), left.is_superset(&right));
            let mut both = one.clone();
            both.union(&other);
            prop_assert_eq!(&both, &of(&left.union(&right).copied().collect()));
            both.subtract(&other);
            prop_assert_eq!(&both, &of(&left.difference(&right).copied().collect()));
            for candidate in left.union(&right) {
                prop_assert_eq!(both.contains(&gtid(candidate)), left.contains(candidate) && !right.contains(candidate));
            }
        }
    }
}
