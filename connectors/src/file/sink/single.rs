//! One file for all records, as Kafka's connector writes it, but each record once.
//!
//! Beside the file `name` lies its manifest, `.name.manifest`: how long the file is with the records of which offsets. Who opens it cuts
//! off what a crash left behind that; what others appended while nobody wrote stays. The file is locked while it is open. What is no regular file
//! (a terminal, a pipe) is written to, and that is all.
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_connect::plugin::{FailedRecord, PartitionOffset, PluginError, RawValue, TopicPartition};
use millstream_connect::record::Record;
use tracing::warn;

use super::disk::{Disk, Output, failed};
use super::format::Format;
use super::manifest::{Manifest, Owner};
use super::progress::Progress;
use super::text;

/// A buffer that has grown beyond this is not kept.
const BUFFER_BYTES: usize = 1 << 20;

/// The file.
pub(super) struct Single {
    disk: Arc<dyn Disk>,
    format: Format,
    /// None: the standard output.
    path: Option<PathBuf>,
    owner: Owner,
    output: Option<Box<dyn Output>>,
    manifest: Option<Manifest>,
    progress: Progress,
    waiting: Vec<u8>,
    /// Something was written since the manifest was.
    unsettled: bool,
}

/// The standard output.
struct Terminal(io::Stdout);

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Terminal {
    fn sync(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }
}

/// Where the manifest of a file lies.
pub(super) fn manifest_path(file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".manifest");
    file.with_file_name(name)
}

/// Whether a path is something else than a file, such as a terminal.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

impl Single {
    pub fn new(disk: Arc<dyn Disk>, format: Format, path: Option<PathBuf>, owner: Owner) -> Self {
        Self {
            disk,
            format,
            path,
            owner,
            output: None,
            manifest: None,
            progress: Progress::default(),
            waiting: Vec::new(),
            unsettled: false,
        }
    }

    fn shown(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("the standard output"))
    }

    /// Opens the file so that an error shows at once.
    pub fn start(&mut self) -> Result<(), PluginError> {
        match &self.path {
            None => self.output = Some(Box::new(Terminal(io::stdout()))),
            Some(path) if is_special(path) => {
                let opened = self.disk.append(path, &|length| length);
                self.output = Some(opened.map_err(|error| failed("write", path, error))?);
            }
            Some(path) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                self.disk
                    .sync_folder(folder)
                    .map_err(|error| failed("write to the folder", folder, error))?;
            }
        }
        Ok(())
    }

    /// See [`SinkTask::open`](millstream_connect::plugin::SinkTask::open).
    pub fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        if let Some(path) = self
            .path
            .clone()
            .filter(|_| self.manifest.is_some() || self.output.is_none())
        {
            if self.manifest.is_none() {
                self.take_over(&path)?;
            }
            let manifest = self.manifest.as_ref().expect("it was taken over");
            let known = partitions.iter().filter_map(|partition| {
                let next = manifest.next(&partition.topic, partition.partition)?;
                let partition = partition.clone();
                Some(PartitionOffset { partition, next })
            });
            let known: Vec<PartitionOffset> = known.collect();
            self.progress.begin(partitions, &known);
            return Ok(known);
        }
        self.progress.begin(partitions, &[]);
        Ok(Vec::new())
    }

    fn take_over(&mut self, path: &Path) -> Result<(), PluginError> {
        let manifest_path = manifest_path(path);
        // The lock on the file is there before the manifest is read: nobody else changes it then.
        let read: std::cell::RefCell<Option<Result<Option<Manifest>, PluginError>>> =
            std::cell::RefCell::new(None);
        let cut = |length: u64| {
            let manifest = Manifest::read(&*self.disk, &manifest_path);
            let cut = match &manifest {
                Ok(Some(manifest)) if manifest.writing => manifest.length,
                _ => length,
            };
            *read.borrow_mut() = Some(manifest);
            cut.min(length)
        };
        let output = self
            .disk
            .append(path, &cut)
            .map_err(|error| failed("open", path, error))?;
        let read = read.into_inner().unwrap_or(Ok(None))?;
        let mut manifest = read.unwrap_or_default();
        manifest.own(&self.owner, path);
        let length = output.length().map_err(|error| failed("look at", path, error))?;
        if length < manifest.length {
            warn!(
                "{} is shorter than it was: somebody else changed it; what comes is appended",
                path.display()
            );
        }
        (manifest.length, manifest.writing) = (length, true);
        let folder = path.parent().unwrap_or(Path::new(""));
        self.disk
            .sync_folder(folder)
            .map_err(|error| failed("write to the folder", folder, error))?;
        manifest.write(&*self.disk, &manifest_path)?;
        (self.manifest, self.output) = (Some(manifest), Some(output));
        self.unsettled = false;
        Ok(())
    }

    /// See [`SinkTask::put`](millstream_connect::plugin::SinkTask::put).
    pub fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        let mut refused = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if !self.progress.is_new(record)? {
                continue;
            }
            if let Err(error) = self.format.write(record, &mut self.waiting) {
                refused.push(FailedRecord { index, error });
            }
            if self.waiting.len() >= BUFFER_BYTES {
                self.write_waiting()?;
            }
        }
        self.write_waiting()?;
        Ok(refused)
    }

    /// Whether values as bytes are all that is needed of records.
    pub fn wants_values(&self) -> bool {
        self.format == Format::Lines
    }

    /// See [`SinkTask::put_values`](millstream_connect::plugin::SinkTask::put_values).
    pub fn put_values(&mut self, values: &[RawValue<'_>]) -> Result<(), PluginError> {
        for value in values {
            if !self
                .progress
                .is_new_at(value.topic, value.partition, value.offset)?
            {
                continue;
            }
            text::write_line(value.value, &mut self.waiting);
            if self.waiting.len() >= BUFFER_BYTES {
                self.write_waiting()?;
            }
        }
        self.write_waiting()
    }

    fn write_waiting(&mut self) -> Result<(), PluginError> {
        let Some(output) = &mut self.output else {
            return match self.waiting.is_empty() {
                true => Ok(()),
                false => Err(PluginError::fatal(
                    "records came before their partitions were opened",
                )),
            };
        };
        self.unsettled |= !self.waiting.is_empty();
        let written = output.write_all(&self.waiting);
        self.waiting.clear();
        self.waiting.shrink_to(BUFFER_BYTES);
        written.map_err(|error| self.give_up(error))
    }

    /// After a failed write nobody knows what is in the file: the next owner cuts it.
    fn give_up(&mut self, error: io::Error) -> PluginError {
        self.output = None;
        self.manifest = None;
        failed("write", self.shown(), error)
    }

    /// See [`SinkTask::flush`](millstream_connect::plugin::SinkTask::flush).
    pub fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        self.write_waiting()?;
        if !self.is_covered(taken) {
            return Ok(Vec::new());
        }
        let Some(output) = &mut self.output else {
            return Ok(Vec::new());
        };
        let synced = output.sync().and_then(|()| output.length());
        let length = synced.map_err(|error| self.give_up(error))?;
        let (Some(path), Some(manifest)) = (&self.path, &mut self.manifest) else {
            return Ok(taken.to_vec());
        };
        let manifest_path = manifest_path(path);
        let there = Manifest::read(&*self.disk, &manifest_path)?;
        if let Err(error) = Manifest::check_owner(there.as_ref(), &self.owner, path) {
            (self.output, self.manifest) = (None, None);
            return Err(error);
        }
        let before = manifest.clone();
        manifest.length = length;
        for (partition, next) in self.progress.all() {
            manifest.set_next(&partition.topic, partition.partition, Some(next));
        }
        for offset in taken {
            let partition = &offset.partition;
            let known = manifest
                .next(&partition.topic, partition.partition)
                .unwrap_or(offset.next);
            manifest.set_next(
                &partition.topic,
                partition.partition,
                Some(known.max(offset.next)),
            );
        }
        if *manifest != before {
            let written = manifest.write(&*self.disk, &manifest_path);
            if let Err(error) = written {
                self.output = None;
                self.manifest = None;
                return Err(error);
            }
        }
        self.unsettled = false;
        Ok(taken.to_vec())
    }

    /// Whether no line is of a record that does not count as taken: the file's length would cover it.
    fn is_covered(&self, taken: &[PartitionOffset]) -> bool {
        let Some(manifest) = &self.manifest else {
            return true;
        };
        self.progress.all().all(|(partition, next)| {
            let of_it = taken.iter().find(|taken| taken.partition == *partition);
            let durable = manifest.next(&partition.topic, partition.partition);
            Some(next) <= of_it.map(|taken| taken.next).max(durable)
        })
    }

    /// See [`SinkTask::close`](millstream_connect::plugin::SinkTask::close).
    pub fn close(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        if self.manifest.is_some() && (lost || self.unsettled) {
            // Lines that no offset covers: who opens next, perhaps this task, cuts them off, for their records come again.
            (self.output, self.manifest) = (None, None);
            self.waiting.clear();
        }
        self.progress.end(partitions);
        Ok(())
    }

    /// Leaves the file to others. What was not flushed stays unsaid, and is cut off by the next owner.
    pub fn stop(&mut self) -> Result<(), PluginError> {
        let manifest = self.manifest.take().filter(|_| !self.unsettled);
        if let (Some(path), Some(mut manifest)) = (&self.path, manifest) {
            let manifest_path = manifest_path(path);
            let there = Manifest::read(&*self.disk, &manifest_path)?;
            Manifest::check_owner(there.as_ref(), &self.owner, path)?;
            manifest.writing = false;
            manifest.write(&*self.disk, &manifest_path)?;
        }
        self.output = None;
        Ok(())
    }
}
