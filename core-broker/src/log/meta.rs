//! `meta.properties`: which cluster and node a data directory belongs to, in Kafka's format.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::durable::{self, TEMPORARY_SUFFIX};
use super::error::OpenError;

pub(crate) const META_FILE: &str = "meta.properties";
pub(crate) const LOCK_FILE: &str = ".lock";
const VERSION: u32 = 1;
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What only Kafka's own controller leaves behind.
const KAFKA_METADATA_DIR: &str = "__cluster_metadata-0";
const KEYS: [&str; 4] = ["version", "cluster.id", "node.id", "directory.id"];

/// The content of `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) cluster_id: String,
    pub(crate) node_id: i32,
    pub(crate) directory_id: String,
}

impl Meta {
    /// Reads the file, or writes it if the directory is new.
    pub(crate) fn load_or_create(dir: &Path, node_id: i32) -> Result<Self, OpenError> {
        if dir.join(KAFKA_METADATA_DIR).exists() {
            return Err(not_ours(
                dir,
                format!("{KAFKA_METADATA_DIR} was written by Apache Kafka"),
            ));
        }
        let path = dir.join(META_FILE);
        if let Some(bytes) = durable::read_if_there(&path, FILE_BYTES_MAX).map_err(OpenError::io(&path))? {
            let bytes = durable::unseal(bytes).map_err(|reason| damaged(dir, reason.to_owned()))?;
            return Self::decode(dir, &String::from_utf8_lossy(&bytes));
        }
        for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
            let name = entry.map_err(OpenError::io(dir))?.file_name();
            let name = name.to_string_lossy();
            if name != LOCK_FILE && name != "lost+found" && !name.ends_with(TEMPORARY_SUFFIX) {
                return Err(not_ours(dir, format!("it has no {META_FILE} but holds {name:?}")));
            }
        }
        let meta = Self {
            cluster_id: random_uuid().map_err(OpenError::io("/dev/urandom"))?,
            node_id,
            directory_id: random_uuid().map_err(OpenError::io("/dev/urandom"))?,
        };
        durable::replace(&path, &durable::seal(meta.encode().as_bytes())).map_err(OpenError::io(&path))?;
        Ok(meta)
    }

    fn encode(&self) -> String {
        format!(
            "#\nversion={VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            self.cluster_id, self.node_id, self.directory_id
        )
    }

    fn decode(dir: &Path, text: &str) -> Result<Self, OpenError> {
        let mut values = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| damaged(dir, format!("{line:?} is not key=value")))?;
            values.insert(key.trim(), value.trim());
        }
        match values.get("version") {
            Some(version) if *version == VERSION.to_string() => {}
            found => {
                return Err(OpenError::Version {
                    dir: dir.to_owned(),
                    found: found.map_or("none", |v| v).to_owned(),
                    expected: VERSION,
                });
            }
        }
        if let Some(key) = values.keys().find(|key| !KEYS.contains(key)) {
            return Err(not_ours(dir, format!("{META_FILE} has the unknown key {key:?}")));
        }
        let get = |key| {
            values
                .get(key)
                .ok_or_else(|| damaged(dir, format!("{key} is missing")))
        };
        Ok(Self {
            cluster_id: (*get("cluster.id")?).to_owned(),
            node_id: get("node.id")?
                .parse()
                .map_err(|_| damaged(dir, "node.id is not a number".to_owned()))?,
            directory_id: (*get("directory.id")?).to_owned(),
        })
    }
}

fn not_ours(dir: &Path, reason: String) -> OpenError {
    OpenError::NotADataDir {
        dir: dir.to_owned(),
        reason,
    }
}

fn damaged(dir: &Path, reason: String) -> OpenError {
    OpenError::Corrupt {
        file: dir.join(META_FILE),
        position: 0,
        reason: format!("{reason}; restore the file"),
    }
}

/// Sixteen bytes from the operating system's random source.
pub(crate) fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (version 4) as Kafka writes it: 22 characters of URL-safe base64, never with a leading dash,
/// which command-line tools would take for an option.
fn random_uuid() -> io::Result<String> {
    loop {
        let mut bytes = random_bytes()?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = base64_url(&bytes);
        if !text.starts_with('-') {
            return Ok(text);
        }
    }
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &b| word << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(ALPHABET[(word >> (18 - 6 * index)) as usize & 63] as char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_22_characters() {
        let id = random_uuid().unwrap();
        assert_eq!(id.len(), 22, "{id}");
        assert_ne!(id, random_uuid().unwrap());
        assert_eq!(base64_url(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn round_trips_and_refuses() {
        let dir = Path::new("d");
        let meta = Meta {
            cluster_id: "c".into(),
            node_id: 3,
            directory_id: "d".into(),
        };
        assert_eq!(Meta::decode(dir, &meta.encode()).unwrap(), meta);
        let text = meta.encode();
        let version = Meta::decode(dir, &text.replace("version=1", "version=2"));
        assert!(matches!(version, Err(OpenError::Version { found, .. }) if found == "2"));
        let foreign = Meta::decode(dir, &format!("{text}broker.id=1\n"));
        assert!(matches!(foreign, Err(OpenError::NotADataDir { .. })));
        let damaged = Meta::decode(dir, &text.replace("node.id=3", "node.id=x"));
        assert!(matches!(damaged, Err(OpenError::Corrupt { .. })));
    }
}
