//! What is durable: the sink's own offsets, and what a crash may have interrupted.
//!
//! A manifest is replaced as a whole (written beside, synced, renamed, folder synced). Who owns it is in it: whoever finds another owner's
//! name must not write any more.
use std::path::{Path, PathBuf};

use millstream_connect::plugin::PluginError;
use serde::{Deserialize, Serialize};

use super::disk::{Disk, failed};

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(super) struct Manifest {
    /// Of the owner; grows with each.
    pub epoch: u64,
    /// Tells owners of one epoch apart.
    pub owner: String,
    /// The offsets of the records that come next.
    pub offsets: Vec<Next>,
    /// How long the file is, for a single file.
    #[serde(default)]
    pub length: u64,
    /// Whether the file may be longer than that because its owner writes.
    #[serde(default)]
    pub writing: bool,
    /// Files that have these offsets' records, and may still have their temporary names.
    #[serde(default)]
    pub files: Vec<Renaming>,
}

/// The next offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    pub topic: String,
    pub partition: i32,
    pub next: i64,
}

/// A file that gets its name. Both are below the folder that the sink writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Renaming {
    pub temporary: PathBuf,
    pub name: PathBuf,
}

impl Manifest {
    /// The manifest at `path`, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, PluginError> {
        let content = disk.read(path).map_err(|error| failed("read", path, error))?;
        let Some(content) = content else { return Ok(None) };
        let parsed = serde_json::from_slice(&content).map_err(|error| {
            PluginError::user_config(format!(
                "{} is no manifest ({error}): restore it, or remove it, and with it what is known of how far records were written",
                path.display()
            ))
        })?;
        Ok(Some(parsed))
    }

    /// Replaces the manifest at `path`, durably.
    ///
    /// # Errors
    /// The file system's; the old one is there then, or the new one.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), PluginError> {
        let content = serde_json::to_vec(self).expect("a manifest is JSON");
        let beside = path.with_extension("manifest.new");
        let write = || {
            let mut output = disk.create(&beside)?;
            output.write_all(&content)?;
            output.sync()?;
            disk.rename(&beside, path)?;
            disk.sync_folder(path.parent().unwrap_or(Path::new("")))
        };
        write().map_err(|error| failed("write", path, error))
    }

    /// The next offset of a partition.
    pub fn next(&self, topic: &str, partition: i32) -> Option<i64> {
        let of_it = self
            .offsets
            .iter()
            .find(|next| next.topic == topic && next.partition == partition);
        of_it.map(|next| next.next)
    }

    /// Sets (or forgets) the next offset of a partition.
    pub fn set_next(&mut self, topic: &str, partition: i32, next: Option<i64>) {
        self.offsets
            .retain(|its| its.topic != topic || its.partition != partition);
        self.offsets.extend(next.map(|next| Next {
            topic: topic.to_owned(),
            partition,
            next,
        }));
    }

    /// Takes it over.
    ///
    /// # Errors
    /// If its owner is newer.
    pub fn own(&mut self, epoch: u64, owner: &str, path: &Path) -> Result<(), PluginError> {
        if self.epoch > epoch {
            return Err(fenced(path, self.epoch));
        }
        (self.epoch, self.owner) = (epoch, owner.to_owned());
        Ok(())
    }
}

/// Another task has taken over.
pub(super) fn fenced(path: &Path, epoch: u64) -> PluginError {
    PluginError::fatal(format!(
        "another task (epoch {epoch}) owns {} now: this one must not write any more",
        path.display()
    ))
}
