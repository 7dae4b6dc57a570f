//! What is durable: the sink's own offsets, and what a crash may have interrupted.
//!
//! A manifest is replaced as a whole (written beside, synced, renamed, folder synced). Who owns it is in it, a random name: whoever finds another
//! owner's name must not write any more. Whose offsets they are is in it, too: a connector of another name begins where its group says.
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_connect::plugin::PluginError;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::disk::{Disk, failed};

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(super) struct Manifest {
    /// The task that opened it last: no other has this name.
    pub owner: String,
    /// The connector whose offsets they are; none where it was not written down yet.
    #[serde(default)]
    pub connector: Option<String>,
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

    /// Takes it over. Offsets of a connector of another name are forgotten: this one has not written those records.
    pub fn own(&mut self, owner: &Owner, path: &Path) {
        if !self.is_of(&owner.connector) {
            info!(
                "{} was written by the connector {}; {} goes on behind that, from the offsets of its own group",
                path.display(),
                self.connector.as_deref().unwrap_or_default(),
                owner.connector
            );
            self.offsets.clear();
        }
        self.connector = Some(owner.connector.clone());
        self.owner.clone_from(&owner.token);
    }

    /// Whether these are the offsets of this connector.
    pub fn is_of(&self, connector: &str) -> bool {
        self.connector.as_deref().is_none_or(|its| its == connector)
    }

    /// Makes sure that nobody took over.
    ///
    /// # Errors
    /// If somebody did: a task of this connector is started again, one of another connector must not.
    pub fn check_owner(there: Option<&Self>, owner: &Owner, path: &Path) -> Result<(), PluginError> {
        let Some(there) = there.filter(|there| there.owner != owner.token) else {
            return Ok(());
        };
        let path = path.display();
        Err(match &there.connector {
            Some(connector) if *connector != owner.connector => PluginError::user_config(format!(
                "the connector {connector} has taken over {path}: two connectors cannot write to one place, so give {} another one",
                owner.connector
            )),
            _ => PluginError::fatal(format!(
                "another task owns {path} now: this one must not write any more"
            )),
        })
    }
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub connector: String,
    /// A name that no other task has, in this process or another.
    pub token: String,
}

impl Owner {
    /// A task of a connector that begins now.
    pub fn new(connector: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let random = || BuildHasher::hash_one(&RandomState::new(), number);
        Self {
            connector: connector.to_owned(),
            token: format!("{:016x}{:016x}-{number}", random(), random()),
        }
    }
}
