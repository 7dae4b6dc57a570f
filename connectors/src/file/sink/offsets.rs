//! The offsets in manifests, for a user who looks at them or sets them while no task runs.
use std::io;
use std::path::{Path, PathBuf};

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{PartitionOffset, PluginError, TopicPartition};

use super::config::{SinkConfig, Target};
use super::disk::{Disk, failed};
use super::manifest::{Manifest, Owner};
use super::{config_error, rolling, single};

/// The name under which a connector's offsets are kept.
fn name_of(config: &ConfigMap) -> &str {
    config.get("name").map_or("", |name| name.trim())
}

/// Sets the offsets in manifests: they are what a task goes by. Those of another connector stay as they are, because a task of this one
/// does not go by them.
///
/// # Errors
/// When a manifest cannot be read or written, or a task still writes.
pub(super) fn alter(
    disk: &dyn Disk,
    config: &ConfigMap,
    offsets: &[(TopicPartition, Option<i64>)],
) -> Result<(), PluginError> {
    let target = SinkConfig::parse(config).map_err(config_error)?.target;
    let owner = Owner::new(name_of(config));
    match target {
        Target::StandardOutput => Ok(()),
        Target::File(file) => {
            let path = single::manifest_path(&file);
            let there = Manifest::read(disk, &path)?;
            if !there.is_some_and(|there| there.is_of(&owner.connector)) {
                return Ok(());
            }
            // The lock on the file keeps tasks out; its content stays.
            let held = disk.append(&file, &|length| length);
            let _held = held.map_err(|error| failed("open", &file, error))?;
            set(disk, &path, &owner, offsets)
        }
        Target::Folder(rolling) => {
            for offset in offsets {
                let TopicPartition { topic, partition } = &offset.0;
                let path = rolling.folder.join(rolling::manifest_name(topic, *partition)?);
                let there = disk
                    .exists(&path)
                    .map_err(|error| failed("look at", &path, error))?;
                if !there {
                    continue;
                }
                let lock = rolling.folder.join(rolling::lock_name(topic, *partition)?);
                let _held = disk.lock(&lock).map_err(|error| failed("lock", &lock, error))?;
                set(disk, &path, &owner, std::slice::from_ref(offset))?;
            }
            Ok(())
        }
    }
}

/// Replaces a manifest. A task that still runs, though it should not, does not own it then.
fn set(
    disk: &dyn Disk,
    path: &Path,
    owner: &Owner,
    offsets: &[(TopicPartition, Option<i64>)],
) -> Result<(), PluginError> {
    let Some(mut manifest) = Manifest::read(disk, path)? else {
        return Ok(());
    };
    if !manifest.is_of(&owner.connector) {
        return Ok(());
    }
    manifest.own(owner, path);
    for (partition, next) in offsets {
        manifest.set_next(&partition.topic, partition.partition, *next);
    }
    manifest.write(disk, path)
}

/// The offsets of this connector that are in manifests.
///
/// # Errors
/// When a manifest cannot be read.
pub(super) fn owned(disk: &dyn Disk, config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
    let target = SinkConfig::parse(config).map_err(config_error)?.target;
    let paths = match target {
        Target::StandardOutput => Vec::new(),
        Target::File(file) => vec![single::manifest_path(&file)],
        Target::Folder(rolling) => manifests(disk, &rolling.folder)?,
    };
    let mut owned = Vec::new();
    for path in paths {
        let manifest = Manifest::read(disk, &path)?.filter(|manifest| manifest.is_of(name_of(config)));
        for its in manifest.into_iter().flat_map(|manifest| manifest.offsets) {
            let partition = TopicPartition {
                topic: its.topic.into(),
                partition: its.partition,
            };
            let next = its.next;
            owned.push(PartitionOffset { partition, next });
        }
    }
    owned.sort_unstable_by(|one, other| one.partition.cmp(&other.partition));
    Ok(owned)
}

fn manifests(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let own = folder.join(rolling::OWN_FOLDER);
    let names = match disk.list(&own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(|error| failed("look into", &own, error))?,
    };
    let paths = names.into_iter().map(|name| own.join(name));
    Ok(paths
        .filter(|path| path.extension().is_some_and(|end| end == "manifest"))
        .collect())
}
