//! Completing files, and saying so in the manifest.
//!
//! The manifest must not pass a record that was refused in the same call: the caller hears of it only when the call is over, and may fail the task
//! for it. Such a partition's files are completed as usual, so that no more of them are open than may be, but the manifest says so only
//! at the next call ([`settle`](Folder::settle)): by then the caller has gone on behind that record.
use std::fmt::Write as _;
use std::path::PathBuf;

use millstream_connect::plugin::{PluginError, TopicPartition};

use super::{Folder, OWN_FOLDER, Partition, Writing, lock_name, manifest_name};
use crate::file::sink::disk::failed;
use crate::file::sink::format::extension;
use crate::file::sink::manifest::{Manifest, Renaming};
use crate::file::sink::naming;

impl Partition {
    /// Whether the last flush covers all that was taken.
    pub(super) fn is_flushed(&self) -> bool {
        let durable = self.manifest.next(&self.id.topic, self.id.partition);
        self.next <= self.flushed.max(durable)
    }
}

impl Folder {
    /// Completes all files of a partition.
    pub(super) fn roll(&mut self, place: usize) -> Result<(), PluginError> {
        self.complete(place)?;
        match self.partitions[place].refused {
            true => Ok(()),
            false => self.publish(place),
        }
    }

    /// A new call: what was refused in the one before is dealt with.
    pub(super) fn settle(&mut self) -> Result<(), PluginError> {
        for place in 0..self.partitions.len() {
            if std::mem::take(&mut self.partitions[place].refused) {
                self.publish(place)?;
            }
        }
        Ok(())
    }

    /// Completes the files that are open.
    fn complete(&mut self, place: usize) -> Result<(), PluginError> {
        let folder = self.config.folder.clone();
        let partition = &mut self.partitions[place];
        partition.began = None;
        let (id, next) = (partition.id.clone(), partition.next);
        partition.places.clear();
        let files = std::mem::take(&mut partition.files);
        for file in files {
            let path = folder.join(&file.temporary);
            if file.encoder.records == 0 {
                // All its records were refused.
                self.disk
                    .remove(&path)
                    .map_err(|error| failed("remove", &path, error))?;
                continue;
            }
            let name = self.name_of(&file, &id)?;
            file.encoder
                .finish()
                .map_err(|error| failed("write", &path, error))?;
            let into = folder.join(&file.folder);
            self.disk
                .create_folders(&into)
                .map_err(|error| failed("make the folder", &into, error))?;
            self.partitions[place].complete.push(Renaming {
                temporary: file.temporary,
                name,
            });
        }
        self.partitions[place].complete_next = next;
        self.count_files();
        Ok(())
    }

    /// Has the manifest say what is complete, and gives these files their names.
    fn publish(&mut self, place: usize) -> Result<(), PluginError> {
        let partition = &mut self.partitions[place];
        let renamings = std::mem::take(&mut partition.complete);
        if renamings.is_empty() {
            return Ok(());
        }
        let (id, next) = (partition.id.clone(), partition.complete_next);
        let folder = self.config.folder.clone();
        // Names of temporary files have to be there after a crash, too.
        let own = folder.join(OWN_FOLDER);
        self.disk
            .sync_folder(&own)
            .map_err(|error| failed("sync", &own, error))?;
        let lock = folder.join(lock_name(&id.topic, id.partition)?);
        let _held = self
            .disk
            .lock(&lock)
            .map_err(|error| failed("lock", &lock, error))?;
        let path = folder.join(manifest_name(&id.topic, id.partition)?);
        let there = Manifest::read(&*self.disk, &path)?;
        Manifest::check_owner(there.as_ref(), &self.owner, &path)?;
        let manifest = &mut self.partitions[place].manifest;
        manifest.set_next(&id.topic, id.partition, next);
        manifest.files = renamings.clone();
        manifest.write(&*self.disk, &path)?;
        self.name_files(&renamings)
    }

    /// The name of a complete file; whether it is free shows when it is given.
    fn name_of(&self, file: &Writing, id: &TopicPartition) -> Result<PathBuf, PluginError> {
        let mut name = naming::stem(&file.topic, id.partition)?;
        let width = self.config.pad_width;
        let end = extension(self.format, self.compression);
        let _ = write!(name, "+{:0width$}-{:0width$}.{end}", file.first, file.last);
        Ok(file.folder.join(name))
    }
}
