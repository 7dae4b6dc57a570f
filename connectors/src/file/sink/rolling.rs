//! Files that appear when they are complete.
//!
//! Records are written to temporary files in the folder `.millstream` below `directory`. When one of a partition's files is complete, all of them
//! are: they are synced, then the partition's manifest is replaced, which says their names and the next offset, and then they get their names. The
//! manifest is what counts: who opens a partition first gives names to the files that it says, and removes other temporary files. So
//! a crash at any step leaves a record in one file, or in none and its offset before it.
//!
//! Owns: the partitions of a task with their open files. Does not own: what is in files ([`format`](super::format)).
mod complete;
mod memory;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millstream_connect::plugin::{ErrorKind, FailedRecord, PartitionOffset, PluginError, TopicPartition};
use millstream_connect::record::Record;

use super::config::{Rolling, SinkConfig};
use super::disk::{Disk, failed};
use super::format::{Compression, Encoder, Format};
use super::manifest::{Manifest, Owner, Renaming};
use super::naming;
use super::progress::origin;

/// The folder of manifests and temporary files, below the sink's.
pub(super) const OWN_FOLDER: &str = ".millstream";

/// The sink's folder.
pub(super) struct Folder {
    disk: Arc<dyn Disk>,
    config: Rolling,
    format: Format,
    compression: Compression,
    owner: Owner,
    partitions: Vec<Partition>,
    last: usize,
    open_files: usize,
    /// How much memory the open files take.
    held_bytes: usize,
    temporaries: u64,
    /// Something failed: what is in memory is not what is on the disk, and only another task, which begins there, may go on.
    broken: bool,
}

/// A partition that is this task's.
struct Partition {
    id: TopicPartition,
    manifest: Manifest,
    /// Of the next record, if it is known.
    next: Option<i64>,
    files: Vec<Writing>,
    /// Which file is for a folder and a topic.
    places: HashMap<(PathBuf, Arc<str>), usize>,
    /// When the first of these files was begun.
    began: Option<Instant>,
    /// Files that are complete while the manifest does not say so yet, and the offset behind their records.
    complete: Vec<Renaming>,
    complete_next: Option<i64>,
    /// A record was refused in this call: the manifest must not pass it before the caller has dealt with it, and so calls again.
    refused: bool,
    /// How far the last flush said that records were taken.
    flushed: Option<i64>,
}

/// A file that is not complete.
struct Writing {
    encoder: Encoder,
    folder: PathBuf,
    topic: Arc<str>,
    temporary: PathBuf,
    first: i64,
    last: i64,
}

/// The manifest of a partition, below the sink's folder.
pub(super) fn manifest_name(topic: &str, partition: i32) -> Result<PathBuf, PluginError> {
    Ok(Path::new(OWN_FOLDER).join(format!("{}.manifest", naming::stem(topic, partition)?)))
}

/// The lock on it.
pub(super) fn lock_name(topic: &str, partition: i32) -> Result<PathBuf, PluginError> {
    Ok(Path::new(OWN_FOLDER).join(format!("{}.lock", naming::stem(topic, partition)?)))
}

impl Folder {
    pub fn new(disk: Arc<dyn Disk>, config: &SinkConfig, rolling: Rolling, owner: Owner) -> Self {
        Self {
            disk,
            config: rolling,
            format: config.format,
            compression: config.compression,
            owner,
            partitions: Vec::new(),
            last: 0,
            open_files: 0,
            held_bytes: 0,
            temporaries: 0,
            broken: false,
        }
    }

    fn path(&self, below: &Path) -> PathBuf {
        self.config.folder.join(below)
    }

    /// Makes the folders so that an error shows at once.
    pub fn start(&mut self) -> Result<(), PluginError> {
        let own = self.path(Path::new(OWN_FOLDER));
        self.disk
            .create_folders(&own)
            .map_err(|error| failed("make the folder", &own, error))
    }

    /// See [`SinkTask::open`](millstream_connect::plugin::SinkTask::open).
    pub fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        let mut known = Vec::new();
        for id in partitions {
            self.partitions.retain(|partition| partition.id != *id);
            let manifest = self.take_over(id)?;
            let next = manifest.next(&id.topic, id.partition);
            known.extend(next.map(|next| PartitionOffset {
                partition: id.clone(),
                next,
            }));
            self.partitions.push(Partition {
                id: id.clone(),
                manifest,
                next,
                files: Vec::new(),
                places: HashMap::new(),
                began: None,
                complete: Vec::new(),
                complete_next: None,
                refused: false,
                flushed: None,
            });
        }
        self.count_files();
        Ok(known)
    }

    /// Ends what a former owner began, and becomes the owner.
    fn take_over(&self, id: &TopicPartition) -> Result<Manifest, PluginError> {
        let lock = self.path(&lock_name(&id.topic, id.partition)?);
        let _held = self
            .disk
            .lock(&lock)
            .map_err(|error| failed("lock", &lock, error))?;
        let path = self.path(&manifest_name(&id.topic, id.partition)?);
        let mut manifest = Manifest::read(&*self.disk, &path)?.unwrap_or_default();
        manifest.own(&self.owner, &path);
        self.name_files(&manifest.files)?;
        manifest.files.clear();
        manifest.write(&*self.disk, &path)?;
        let own = self.path(Path::new(OWN_FOLDER));
        let stem = format!("{}+", naming::stem(&id.topic, id.partition)?);
        let names = self
            .disk
            .list(&own)
            .map_err(|error| failed("look into", &own, error))?;
        for name in names {
            let name = name.to_string_lossy();
            if name.starts_with(&stem) && name.ends_with(".tmp") {
                let path = own.join(&*name);
                self.disk
                    .remove(&path)
                    .map_err(|error| failed("remove", &path, error))?;
            }
        }
        Ok(manifest)
    }

    /// Gives complete files their names; some may have them already.
    fn name_files(&self, files: &[Renaming]) -> Result<(), PluginError> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for file in files {
            let (from, to) = (self.path(&file.temporary), self.path(&file.name));
            let there = self
                .disk
                .exists(&from)
                .map_err(|error| failed("look at", &from, error))?;
            if there {
                self.name_file(&from, &to)?;
            }
            folders.extend(to.parent().map(Path::to_owned));
        }
        folders.sort();
        folders.dedup();
        for folder in folders {
            self.disk
                .sync_folder(&folder)
                .map_err(|error| failed("sync", &folder, error))?;
        }
        Ok(())
    }

    /// Gives a file its name, or one with a number where there is a file of that name: of a topic that was deleted and made anew, of
    /// another partition whose records a transform sent to the same topic. It stays.
    fn name_file(&self, from: &Path, to: &Path) -> Result<(), PluginError> {
        for number in 0_u32.. {
            let name = naming::numbered(to, number);
            match self.disk.rename_new(from, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                named => return named.map_err(|error| failed("name", &name, error)),
            }
        }
        Err(PluginError::fatal("a folder has no name left"))
    }

    fn count_files(&mut self) {
        let files = || self.partitions.iter().flat_map(|partition| &partition.files);
        self.open_files = files().count();
        self.held_bytes = files().map(|file| file.encoder.held().all).sum();
    }

    /// What fails here leaves the rest to another task.
    fn unbroken<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        if self.broken {
            return Err(PluginError::disconnected(format!(
                "writing to {} failed before; a task that is started again goes on from what is durable",
                self.config.folder.display()
            )));
        }
        let result = call(self);
        self.broken = result.is_err();
        result
    }

    /// See [`SinkTask::put`](millstream_connect::plugin::SinkTask::put).
    pub fn put(&mut self, records: &[Record], now: Instant) -> Result<Vec<FailedRecord>, PluginError> {
        self.unbroken(|folder| folder.put_all(records, now))
    }

    fn put_all(&mut self, records: &[Record], now: Instant) -> Result<Vec<FailedRecord>, PluginError> {
        self.settle()?;
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let place = self.place_of(record)?;
            let offset = origin(record)?.offset;
            let partition = &mut self.partitions[place];
            if partition.next.is_some_and(|next| offset < next) {
                continue;
            }
            let added = self.add(place, record, offset, now);
            self.partitions[place].next = Some(offset + 1);
            match added {
                Ok(true) => self.roll(place)?,
                Ok(false) => self.bound_memory()?,
                Err(error) if error.kind() == ErrorKind::BadRecord => {
                    self.partitions[place].refused = true;
                    refused.push(FailedRecord { index, error });
                }
                Err(error) => return Err(error),
            }
        }
        self.roll_by_time(now)?;
        Ok(refused)
    }

    fn place_of(&mut self, record: &Record) -> Result<usize, PluginError> {
        let origin = origin(record)?;
        let same = |partition: &Partition| {
            partition.id.partition == origin.partition
                && (Arc::ptr_eq(&partition.id.topic, &origin.topic) || partition.id.topic == origin.topic)
        };
        if !self.partitions.get(self.last).is_some_and(same) {
            let place = self.partitions.iter().position(same);
            self.last = place.ok_or_else(|| {
                PluginError::fatal(format!(
                    "a record of {}-{} came, which is not this task's partition",
                    origin.topic, origin.partition
                ))
            })?;
        }
        Ok(self.last)
    }

    /// Puts a record into its file, and says whether that is complete.
    fn add(&mut self, place: usize, record: &Record, offset: i64, now: Instant) -> Result<bool, PluginError> {
        let known = self.file_of(place, record)?;
        let other_columns = known
            .as_ref()
            .is_ok_and(|file| !self.partitions[place].files[*file].encoder.takes(record));
        let target = match known {
            Ok(file) if !other_columns => return self.add_to(place, file, record, offset),
            Ok(file) => {
                let file = &self.partitions[place].files[file];
                (file.folder.clone(), Arc::clone(&file.topic))
            }
            Err(target) => target,
        };
        if other_columns {
            self.roll(place)?;
        } else if self.open_files >= self.config.open_files_max {
            let fullest = (0..self.partitions.len()).max_by_key(|place| self.partitions[*place].files.len());
            self.roll(fullest.unwrap_or(place))?;
        }
        let (temporary, encoder) = self.create(place)?;
        let file = Writing {
            encoder,
            folder: target.0.clone(),
            topic: Arc::clone(&target.1),
            temporary,
            first: offset,
            last: offset,
        };
        let partition = &mut self.partitions[place];
        partition.began.get_or_insert(now);
        partition.places.insert(target, partition.files.len());
        partition.files.push(file);
        self.open_files += 1;
        let file = self.partitions[place].files.len() - 1;
        self.add_to(place, file, record, offset)
    }

    /// The open file of a record, or where it would be.
    fn file_of(
        &self,
        place: usize,
        record: &Record,
    ) -> Result<Result<usize, (PathBuf, Arc<str>)>, PluginError> {
        let partition = &self.partitions[place];
        let constant = self.config.path_format.is_constant();
        if let (true, [only]) = (constant, &*partition.files)
            && (Arc::ptr_eq(&only.topic, &record.topic) || only.topic == record.topic)
        {
            return Ok(Ok(0));
        }
        let folder = self.config.path_format.folder(record, partition.id.partition)?;
        let target = (folder, Arc::clone(&record.topic));
        Ok(match partition.places.get(&target) {
            Some(file) => Ok(*file),
            None => Err(target),
        })
    }

    fn add_to(
        &mut self,
        place: usize,
        file: usize,
        record: &Record,
        offset: i64,
    ) -> Result<bool, PluginError> {
        let file = &mut self.partitions[place].files[file];
        let before = file.encoder.held().all;
        file.encoder.add(record)?;
        if file.encoder.records == 1 {
            file.first = offset;
        }
        file.last = offset;
        let spilled = file.encoder.spill();
        spilled.map_err(|error| failed("write", &self.config.folder.join(&file.temporary), error))?;
        self.held_bytes = self.held_bytes + file.encoder.held().all - before;
        Ok(file.encoder.records >= self.config.records || file.encoder.bytes >= self.config.size_bytes)
    }

    fn create(&mut self, place: usize) -> Result<(PathBuf, Encoder), PluginError> {
        let id = &self.partitions[place].id;
        self.temporaries += 1;
        let name = format!(
            "{}+{}-{}.tmp",
            naming::stem(&id.topic, id.partition)?,
            self.owner.token,
            self.temporaries
        );
        let temporary = Path::new(OWN_FOLDER).join(name);
        let path = self.path(&temporary);
        let encoder = self
            .disk
            .create(&path)
            .and_then(|output| Encoder::new(output, self.format, self.compression));
        Ok((
            temporary,
            encoder.map_err(|error| failed("create", &path, error))?,
        ))
    }

    fn roll_by_time(&mut self, now: Instant) -> Result<(), PluginError> {
        for place in 0..self.partitions.len() {
            let began = self.partitions[place].began;
            if began.is_some_and(|began| now.saturating_duration_since(began) >= self.config.interval) {
                self.roll(place)?;
            }
        }
        Ok(())
    }

    /// See [`SinkTask::flush`](millstream_connect::plugin::SinkTask::flush).
    pub fn flush(
        &mut self,
        taken: &[PartitionOffset],
        now: Instant,
    ) -> Result<Vec<PartitionOffset>, PluginError> {
        for taken in taken {
            let partition = self.partitions.iter_mut().find(|own| own.id == taken.partition);
            if let Some(partition) = partition {
                partition.flushed = Some(taken.next);
            }
        }
        self.unbroken(
            |folder| match folder.partitions.iter().all(Partition::is_flushed) {
                true => folder.settle().and_then(|()| folder.roll_by_time(now)),
                false => Ok(()),
            },
        )?;
        let durable = taken.iter().filter_map(|taken| {
            let partition = self
                .partitions
                .iter()
                .find(|partition| partition.id == taken.partition)?;
            let next = match partition.files.is_empty() && partition.complete.is_empty() {
                true => Some(taken.next),
                false => {
                    let first = partition.files.iter().map(|file| file.first).min();
                    partition
                        .manifest
                        .next(&partition.id.topic, partition.id.partition)
                        .or(first)
                }
            };
            next.map(|next| PartitionOffset {
                partition: taken.partition.clone(),
                next: next.min(taken.next),
            })
        });
        Ok(durable.collect())
    }

    /// See [`SinkTask::close`](millstream_connect::plugin::SinkTask::close). Files are completed early if the last flush covers them; else
    /// their records come again.
    pub fn close(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        let mut result = Ok(());
        for id in partitions {
            let Some(place) = self.partitions.iter().position(|partition| partition.id == *id) else {
                continue;
            };
            let covered = self.partitions[place].is_flushed();
            if !lost && covered && result.is_ok() {
                result = self.unbroken(|folder| folder.roll(place));
            }
            let partition = self.partitions.swap_remove(place);
            let open = partition.files.iter().map(|file| &file.temporary);
            for temporary in open.chain(partition.complete.iter().map(|file| &file.temporary)) {
                // What is left is removed by the next owner.
                let _ = self.disk.remove(&self.config.folder.join(temporary));
            }
        }
        self.last = 0;
        self.count_files();
        result
    }
}
