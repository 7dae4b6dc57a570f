//! Offsets in a file (`offset.storage.file.filename`).
//!
//! JSON, a line an entry, written anew as a whole: temporary file, fsync, rename, fsync of the directory. Kafka Connect's file is a
//! serialised Java map, which is refused by name rather than overwritten.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;

use super::{OffsetChange, OffsetMap, OffsetStore, key, value};
use crate::plugin::{PluginError, SourceOffset, SourcePartition};

/// How a serialised Java object begins.
const JAVA: &[u8] = &[0xac, 0xed];

/// Offsets in a file.
#[derive(Debug)]
pub(crate) struct FileOffsets {
    path: PathBuf,
    /// What is in the file.
    stored: Mutex<OffsetMap>,
}

impl FileOffsets {
    /// Reads the file, if it is there.
    ///
    /// # Errors
    /// When it cannot be read, or is not one of ours.
    pub(crate) fn open(path: &Path) -> Result<Self, PluginError> {
        let mut stored = OffsetMap::default();
        let named = |why: &dyn std::fmt::Display| {
            PluginError::user_config(format!("offset.storage.file.filename={}: {why}", path.display()))
        };
        match fs::read(path) {
            Ok(bytes) if bytes.starts_with(JAVA) => {
                return Err(named(
                    &"the file was written by Kafka Connect for Java, whose form is not read here; name another file, and set \
                      the offsets of connectors that are to go on where they stopped with PATCH /connectors/NAME/offsets",
                ));
            }
            Ok(bytes) => {
                for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                    let entry = || -> Option<bool> {
                        let entry: [Json; 2] = serde_json::from_slice(line).ok()?;
                        let [key, value] = entry.map(|part| part.to_string());
                        Some(stored.apply(key.as_bytes(), Some(value.as_bytes())))
                    };
                    let blank = line.iter().all(u8::is_ascii_whitespace);
                    if !blank && !{ entry }().unwrap_or(false) {
                        return Err(named(&format_args!("line {} is not an offset", number + 1)));
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&error)),
        }
        let path = path.to_owned();
        let stored = Mutex::new(stored);
        Ok(Self { path, stored })
    }

    fn save(&self, map: &OffsetMap) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let mut text = Vec::new();
        for (connector, offsets) in &map.0 {
            for (partition, offset) in offsets {
                let connector = Json::from(connector.as_str());
                writeln!(text, "[[{connector},{partition}],{offset}]")?;
            }
        }
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(directory)?.sync_all()
    }
}

impl OffsetStore for FileOffsets {
    fn read(&self, connector: &str) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        Ok(self
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .of(connector))
    }

    fn write(&self, connector: &str, changes: &[OffsetChange]) -> Result<(), PluginError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, offset) in changes {
            stored.apply(&key(connector, partition), value(offset.as_ref()).as_deref());
        }
        self.save(&stored).map_err(|error| {
            PluginError::retriable(format!(
                "writing {}: {error}; is the disk full, or the directory not writable?",
                self.path.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(name: &str) -> SourcePartition {
        serde_json::from_value(serde_json::json!({ "filename": name })).unwrap()
    }

    fn offset(position: i64) -> SourceOffset {
        serde_json::from_value(serde_json::json!({ "position": position })).unwrap()
    }

    #[test]
    fn what_was_written_is_read_by_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("connect.offsets");
        let store = FileOffsets::open(&path).unwrap();
        let changes = [
            (partition("a \"b\"\n"), Some(offset(1))),
            (partition("c"), Some(offset(2))),
        ];
        store.write("lines", &changes).unwrap();
        store.write("lines", &[(partition("c"), None)]).unwrap();
        store
            .write("other", &[(partition("c"), Some(offset(3)))])
            .unwrap();
        let again = FileOffsets::open(&path).unwrap();
        assert_eq!(
            again.read("lines").unwrap(),
            [(partition("a \"b\"\n"), offset(1))]
        );
        assert_eq!(again.read("other").unwrap(), [(partition("c"), offset(3))]);
        assert_eq!(again.read("nobody").unwrap(), []);
        again.write("other", &[(partition("c"), None)]).unwrap();
        again.write("other", &[(partition("c"), None)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("other") && text.contains("lines"), "{text}");
    }

    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("connect.offsets");
        for (content, says) in [(&b"\xac\xed\x00\x05sr"[..], "Java"), (b"\n[1]\n", "line 2")] {
            fs::write(&path, content).unwrap();
            let error = FileOffsets::open(&path).unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("connect.offsets"),
                "{error}"
            );
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }
}
