//! The task that writes files.
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    FailedRecord, PartitionOffset, PluginError, RawValue, SinkTask, SinkTaskContext, TopicPartition,
};
use millstream_connect::record::Record;
use tracing::warn;

use super::config::{SinkConfig, Target};
use super::disk::{Disk, RealDisk};
use super::manifest::Owner;
use super::rolling::Folder;
use super::single::Single;

/// A task of the file sink.
pub(super) struct FileSinkTask {
    disk: Arc<dyn Disk>,
    writing: Option<Writing>,
}

enum Writing {
    Single(Box<Single>),
    Folder(Box<Folder>),
}

impl Default for FileSinkTask {
    fn default() -> Self {
        Self::new(Arc::new(RealDisk))
    }
}

impl FileSinkTask {
    /// A task that writes to `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, writing: None }
    }

    fn writing(&mut self) -> Result<&mut Writing, PluginError> {
        let writing = self.writing.as_mut();
        writing.ok_or_else(|| PluginError::fatal("a task that was not started writes nothing"))
    }
}

#[cfg(test)]
impl FileSinkTask {
    /// How much memory the open files take, as it is counted and file by file.
    pub fn held_bytes(&self) -> (usize, usize) {
        match &self.writing {
            Some(Writing::Folder(folder)) => folder.held_bytes(),
            _ => (0, 0),
        }
    }
}

#[async_trait]
impl SinkTask for FileSinkTask {
    async fn start(&mut self, given: &ConfigMap, context: SinkTaskContext) -> Result<(), PluginError> {
        let config = SinkConfig::parse(given).map_err(super::config_error)?;
        let (disk, owner) = (Arc::clone(&self.disk), Owner::new(&context.task.connector));
        let mut writing = match &config.target {
            Target::StandardOutput => {
                Writing::Single(Box::new(Single::new(disk, config.format, None, owner)))
            }
            Target::File(path) => {
                let path = Some(path.clone());
                Writing::Single(Box::new(Single::new(disk, config.format, path, owner)))
            }
            Target::Folder(rolling) => {
                Writing::Folder(Box::new(Folder::new(disk, &config, rolling.clone(), owner)))
            }
        };
        match &mut writing {
            Writing::Single(single) => single.start()?,
            Writing::Folder(folder) => folder.start()?,
        }
        self.writing = Some(writing);
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        match self.writing()? {
            Writing::Single(single) => single.open(partitions),
            Writing::Folder(folder) => folder.open(partitions),
        }
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        match self.writing()? {
            Writing::Single(single) => single.put(records),
            Writing::Folder(folder) => folder.put(records, Instant::now()),
        }
    }

    fn wants_values(&self) -> bool {
        matches!(&self.writing, Some(Writing::Single(single)) if single.wants_values())
    }

    async fn put_values(&mut self, values: &[RawValue<'_>]) -> Result<Vec<FailedRecord>, PluginError> {
        match self.writing()? {
            Writing::Single(single) => single.put_values(values)?,
            Writing::Folder(_) => return Err(PluginError::fatal("rolling files are of whole records")),
        }
        Ok(Vec::new())
    }

    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        match self.writing()? {
            Writing::Single(single) => single.flush(taken),
            Writing::Folder(folder) => folder.flush(taken, Instant::now()),
        }
    }

    async fn close(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), PluginError> {
        match self.writing()? {
            Writing::Single(single) => single.close(partitions, lost),
            Writing::Folder(folder) => folder.close(partitions, lost),
        }
    }

    async fn stop(&mut self) {
        if let Some(Writing::Single(mut single)) = self.writing.take()
            && let Err(error) = single.stop()
        {
            warn!("what was written last may be written again: {error}");
        }
    }
}
