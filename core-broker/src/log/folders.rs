//! The names of folders in a data directory: partitions, and those that wait for their removal.
//!
//! Does not own: creating and deleting them (`dir`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::durable;
use super::error::{LogError, OpenError};
use super::meta;
use crate::ids::TopicPartition;

const DELETED_SUFFIX: &str = "-delete";
const NAME_BYTES_MAX: usize = 249;
/// Longest name that every file system takes.
pub(crate) const FOLDER_NAME_BYTES_MAX: usize = 255;

/// Whether a topic or a file may have the name.
pub(crate) fn check_name(name: &str) -> Result<(), LogError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".." {
        Ok(())
    } else {
        Err(LogError::Name {
            name: name.to_owned(),
        })
    }
}

/// A name under which a folder waits for its removal, short enough for every file system.
pub(crate) fn doomed_name(folder: &str) -> io::Result<String> {
    let id = meta::random_bytes()?
        .iter()
        .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
    let kept = &folder[..folder
        .len()
        .min(FOLDER_NAME_BYTES_MAX - id.len() - 1 - DELETED_SUFFIX.len())];
    Ok(format!("{kept}.{id}{DELETED_SUFFIX}"))
}

fn is_doomed(name: &str) -> bool {
    name.strip_suffix(DELETED_SUFFIX)
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, id)| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn parse_folder(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: i32 = number.parse().ok()?;
    // "-01" and "+1" are numbers, too, but not ours.
    (partition.to_string() == number && partition >= 0 && check_name(topic).is_ok())
        .then(|| TopicPartition::new(topic, partition))
}

/// The partitions' folders; removes those that were being deleted.
pub(crate) fn find_partitions(dir: &Path) -> Result<BTreeSet<TopicPartition>, OpenError> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let entry = entry.map_err(OpenError::io(dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_dir = fs::metadata(entry.path())
            .map_err(OpenError::io(entry.path()))?
            .is_dir();
        if !is_dir {
            if name.ends_with(durable::TEMPORARY_SUFFIX) {
                fs::remove_file(entry.path()).map_err(OpenError::io(entry.path()))?;
            }
        } else if is_doomed(&name) {
            fs::remove_dir_all(entry.path()).map_err(OpenError::io(entry.path()))?;
        } else if let Some(tp) = parse_folder(&name) {
            found.insert(tp);
        } else if name != "lost+found" {
            tracing::warn!(folder = %entry.path().display(), "ignoring a folder that is no partition");
        }
    }
    Ok(found)
}

/// Whether all of them are on the file system of the data directory.
pub(crate) fn on_one_filesystem(root: &Path, partitions: &BTreeSet<TopicPartition>) -> io::Result<bool> {
    let device = fs::metadata(root)?.dev();
    for tp in partitions {
        if fs::metadata(root.join(tp.to_string()))?.dev() != device {
            return Ok(false);
        }
    }
    Ok(true)
}
