//! Which file it is, and how far it was read: what offsets hold.
//!
//! Owns: the [`Stamp`] of a file, the [`Place`] in its data, and both as source partitions and offsets. Does not own: what is concluded from a
//! difference ([`tracking`](super::tracking)).
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use millstream_connect::plugin::{SourceOffset, SourcePartition};
use serde_json::{Map, Value as Json};

/// How many bytes at a file's beginning tell it from others.
pub(super) const PREFIX_BYTES: usize = 1024;
/// How many bytes before a position tell whether it is still in the same data.
pub(super) const TAIL_BYTES: usize = 256;

/// A file's number on its device. A number is given again once a file is gone; the time of birth tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since 1970, where the file system knows.
    pub birth_ns: Option<i64>,
}

impl FileKey {
    /// Whether it may be the same file. Devices are numbered anew when a machine starts, so they say nothing where the birth is known.
    pub fn is_same(&self, other: &Self) -> bool {
        let born = self.birth_ns.is_some() || other.birth_ns.is_some();
        self.inode == other.inode
            && match born {
                true => self.birth_ns == other.birth_ns,
                false => self.device == other.device,
            }
    }
}

/// What the file system says of a file at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub key: FileKey,
    pub size: u64,
    pub modified_ns: i64,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        let born = metadata.created().ok();
        let birth = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let key = FileKey {
            device: metadata.dev(),
            inode: metadata.ino(),
            birth_ns: birth.and_then(|since| i64::try_from(since.as_nanos()).ok()),
        };
        Self {
            key,
            size: metadata.len(),
            modified_ns: metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec(),
        }
    }
}

/// The next row of a file of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct RowPlace {
    pub group: u64,
    /// In the group.
    pub row: u64,
}

/// A position in a file's data (unpacked, if the file is compressed), and what lay before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub position: u64,
    /// Of the first [`PREFIX_BYTES`], or of what there is before the position.
    pub prefix_hash: u64,
    /// Of the last [`TAIL_BYTES`] before the position.
    pub tail_hash: u64,
    /// Within a line that is too long and left out.
    pub skipping: bool,
    /// It is trusted: an offset that Kafka's connector stored has no hashes.
    pub unchecked: bool,
    /// In a file of columns, whose position is its end, because it is read as a whole or not at all.
    pub rows: Option<RowPlace>,
}

impl Place {
    /// Where reading begins.
    pub fn start() -> Self {
        Self {
            position: 0,
            prefix_hash: hash(&[]),
            tail_hash: hash(&[]),
            skipping: false,
            unchecked: false,
            rows: None,
        }
    }

    /// A row of a finished file of `length` bytes that begins and ends with these.
    pub fn whole(length: u64, prefix: &[u8], tail: &[u8], row: RowPlace) -> Self {
        Self {
            position: length,
            prefix_hash: hash(prefix),
            tail_hash: hash(tail),
            rows: Some(row),
            ..Self::start()
        }
    }

    /// What tells places in one file apart.
    pub fn reached(&self) -> (u64, Option<RowPlace>) {
        (self.position, self.rows)
    }

    pub fn prefix_length(&self) -> usize {
        usize::try_from(self.position).map_or(PREFIX_BYTES, |position| position.min(PREFIX_BYTES))
    }

    /// How much before the position has to be read to check it and to move it on.
    pub fn look_back(&self) -> usize {
        match usize::try_from(self.position) {
            Ok(position) if position <= PREFIX_BYTES => position,
            _ => TAIL_BYTES,
        }
    }

    /// Whether `before`, the [`look_back`](Self::look_back) bytes before the position, are those that were read.
    pub fn fits(&self, before: &[u8]) -> bool {
        let tail = &before[before.len().saturating_sub(TAIL_BYTES)..];
        self.unchecked
            || hash(tail) == self.tail_hash
                && (before.len() as u64 != self.position || hash(before) == self.prefix_hash)
    }

    /// The place `to`, when `data` are the file's bytes from `base` on, and begin where [`look_back`](Self::look_back) said.
    pub fn moved(&self, to: u64, base: u64, data: &[u8]) -> Self {
        let upto = usize::try_from(to - base).expect("a place within the data");
        let before = &data[..upto];
        let tail = &before[before.len().saturating_sub(TAIL_BYTES)..];
        let prefix_hash = match base {
            0 => hash(&before[..before.len().min(PREFIX_BYTES)]),
            _ => self.prefix_hash,
        };
        Self {
            position: to,
            prefix_hash,
            tail_hash: hash(tail),
            skipping: false,
            unchecked: false,
            rows: None,
        }
    }
}

/// FNV-1a: it is stored, so it may never change.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How a file is named in offsets: its path, in which bytes that are no UTF-8 are written `\xNN`.
pub(super) fn file_name(path: &Path) -> String {
    if let Some(name) = path.to_str() {
        return name.to_owned();
    }
    let mut name = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        for byte in chunk.invalid() {
            name.push_str(&format!("\\x{byte:02X}"));
        }
    }
    name
}

/// A stored offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub path: PathBuf,
    pub place: Place,
    /// None in offsets of Kafka's connector.
    pub key: Option<FileKey>,
    /// Grows with each batch: of two offsets for one file the greater holds.
    pub sequence: u64,
    /// Since when the file is gone, in milliseconds since 1970.
    pub gone_ms: Option<u64>,
    /// It is a copy of the file of this name, from which its lines come.
    pub copy_of: Option<PathBuf>,
}

impl Stored {
    pub fn partition(&self) -> SourcePartition {
        partition(&self.path)
    }

    pub fn offset(&self) -> SourceOffset {
        let mut map = Map::new();
        let hex = |hash: u64| Json::from(format!("{hash:016x}"));
        map.insert("position".into(), self.place.position.into());
        if let Some(key) = self.key {
            map.insert("device".into(), key.device.into());
            map.insert("inode".into(), key.inode.into());
            if let Some(birth) = key.birth_ns {
                map.insert("birth_ns".into(), birth.into());
            }
        }
        if let Some(rows) = self.place.rows {
            map.insert("row_group".into(), rows.group.into());
            map.insert("row".into(), rows.row.into());
        }
        if !self.place.unchecked {
            map.insert("prefix_length".into(), self.place.prefix_length().into());
            map.insert("prefix_hash".into(), hex(self.place.prefix_hash));
            map.insert("tail_hash".into(), hex(self.place.tail_hash));
        }
        map.insert("sequence".into(), self.sequence.into());
        if self.place.skipping {
            map.insert("skipping".into(), true.into());
        }
        if let Some(since) = self.gone_ms {
            map.insert("gone_ms".into(), since.into());
        }
        if let Some(original) = &self.copy_of {
            map.insert("copy_of".into(), file_name(original).into());
        }
        SourceOffset(map)
    }

    /// Reads an offset, our own or of Kafka's connector.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(partition: &SourcePartition, offset: &SourceOffset) -> Result<Self, String> {
        let name = partition.0.get("filename").and_then(Json::as_str);
        let Some(name) = name else {
            return Err(
                "a source partition of files is {\"filename\": \"the file's path\"}, with nothing else"
                    .to_owned(),
            );
        };
        let position = match offset.0.get("position").and_then(Json::as_u64) {
            Some(position) => position,
            None => {
                return Err(format!(
                    "the offset of {name} needs a \"position\": how many bytes of the file are done"
                ));
            }
        };
        let number = |key: &str| offset.0.get(key).and_then(Json::as_u64);
        let hex = |key: &str| {
            let text = offset.0.get(key).and_then(Json::as_str)?;
            u64::from_str_radix(text, 16).ok()
        };
        let key = match (number("device"), number("inode")) {
            (Some(device), Some(inode)) => Some(FileKey {
                device,
                inode,
                birth_ns: offset.0.get("birth_ns").and_then(Json::as_i64),
            }),
            _ => None,
        };
        let hashes = hex("prefix_hash").zip(hex("tail_hash"));
        let unchecked = hashes.is_none() && position > 0;
        let (prefix_hash, tail_hash) = hashes.unwrap_or((hash(&[]), hash(&[])));
        Ok(Self {
            path: PathBuf::from(name),
            place: Place {
                position,
                prefix_hash,
                tail_hash,
                skipping: offset.0.get("skipping").and_then(Json::as_bool).unwrap_or(false),
                unchecked,
                rows: number("row_group")
                    .zip(number("row"))
                    .map(|(group, row)| RowPlace { group, row }),
            },
            key,
            sequence: number("sequence").unwrap_or(0),
            gone_ms: number("gone_ms"),
            copy_of: offset.0.get("copy_of").and_then(Json::as_str).map(PathBuf::from),
        })
    }
}

/// The source partition of a file, as Kafka's connector names it.
pub(super) fn partition(path: &Path) -> SourcePartition {
    let mut map = Map::new();
    map.insert("filename".to_owned(), file_name(path).into());
    SourcePartition(map)
}
