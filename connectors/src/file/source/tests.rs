//! Files as a tester would treat them, through the task.
mod columnar;
mod files;
mod gone;
mod lines;
mod rotation;
mod rows;
mod scale;
mod streams;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Budget, OffsetReader, PluginError, SourceOffset, SourcePartition, SourcePlugin, SourceTask,
    SourceTaskContext, TaskId,
};
use millstream_connect::record::{Record, Value};

use super::FileSource;
use super::task::FileSourceTask;

/// Offsets as a worker stores them.
#[derive(Debug, Clone, Default)]
pub(in crate::file) struct Offsets(
    pub Arc<Mutex<Vec<(SourcePartition, SourceOffset)>>>,
    Arc<Mutex<Places>>,
);

#[derive(Debug, Default)]
struct Places {
    of: HashMap<SourcePartition, usize>,
    last_batch: usize,
}

impl Offsets {
    pub fn store(&self, offsets: &[(SourcePartition, SourceOffset)]) {
        let (mut stored, mut places) = (self.0.lock().unwrap(), self.1.lock().unwrap());
        for (partition, offset) in offsets {
            let next = stored.len();
            match *places.of.entry(partition.clone()).or_insert(next) {
                place if place == next => stored.push((partition.clone(), offset.clone())),
                place => stored[place].1 = offset.clone(),
            }
        }
        if !offsets.is_empty() {
            places.last_batch = offsets.len();
        }
    }

    pub fn forget(&self, partitions: &[SourcePartition]) {
        let (mut stored, mut places) = (self.0.lock().unwrap(), self.1.lock().unwrap());
        for partition in partitions {
            let Some(place) = places.of.remove(partition) else {
                continue;
            };
            stored.swap_remove(place);
            if let Some((moved, _)) = stored.get(place) {
                places.of.insert(moved.clone(), place);
            }
        }
    }

    /// The files that offsets are stored of, without their folder.
    pub fn names(&self) -> Vec<String> {
        let stored = self.0.lock().unwrap();
        let names = stored.iter().map(|(partition, _)| {
            let path = Path::new(partition.text("filename").unwrap());
            path.file_name().unwrap().to_str().unwrap().to_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// How many offsets came with the last batch that had some.
    pub fn last_batch(&self) -> usize {
        self.1.lock().unwrap().last_batch
    }
}

#[async_trait]
impl OffsetReader for Offsets {
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError> {
        let stored = self.0.lock().unwrap();
        let found = stored.iter().find(|(its, _)| its == partition);
        Ok(found.map(|(_, offset)| offset.clone()))
    }

    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A worker with one source task.
pub(in crate::file) struct Bench {
    pub folder: tempfile::TempDir,
    pub offsets: Offsets,
    config: ConfigMap,
    task: Option<FileSourceTask>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Reads what `file` in a new folder means.
    pub fn new(file: &str, keys: &[(&str, &str)]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), file, keys)
    }

    /// The same in a folder that is there.
    pub fn within(folder: tempfile::TempDir, file: &str, keys: &[(&str, &str)]) -> Self {
        let file = folder.path().join(file);
        let mut config = ConfigMap::from([
            ("file".to_owned(), file.to_str().unwrap().to_owned()),
            ("topic".to_owned(), "lines".to_owned()),
            ("scan.interval.ms".to_owned(), "10".to_owned()),
        ]);
        config.extend(
            keys.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            folder,
            offsets: Offsets::default(),
            config,
            task: None,
            runtime,
        }
    }

    pub fn set(&mut self, key: &str, value: &str) {
        self.config.insert(key.to_owned(), value.to_owned());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn start(&mut self) -> Result<(), PluginError> {
        let mut task = FileSourceTask::default();
        let context = SourceTaskContext {
            task: TaskId {
                connector: "files".to_owned(),
                task: 0,
            },
            offsets: Arc::new(self.offsets.clone()),
        };
        self.runtime.block_on(task.start(&self.config, context))?;
        self.task = Some(task);
        Ok(())
    }

    pub fn stop(&mut self) {
        if let Some(mut task) = self.task.take() {
            self.runtime.block_on(task.stop());
        }
    }

    /// One batch, stored.
    pub fn poll(&mut self, records: usize, wait_ms: u64) -> Result<(Vec<Record>, bool), PluginError> {
        if self.task.is_none() {
            self.start()?;
        }
        let task = self.task.as_mut().unwrap();
        let budget = Budget {
            records,
            bytes: 1 << 20,
            wait: Duration::from_millis(wait_ms),
        };
        let batch = self.runtime.block_on(task.poll(budget))?;
        self.offsets.forget(&batch.forgotten);
        self.offsets.store(&batch.offsets);
        self.runtime.block_on(task.committed(&batch.offsets))?;
        Ok((batch.records, batch.finished))
    }

    pub fn runs(&self) -> bool {
        self.task.is_some()
    }

    fn scans(&self) -> u64 {
        self.task
            .as_ref()
            .map_or(0, FileSourceTask::scans)
            .min(u64::MAX - 10)
    }

    /// How many bytes are done, of how many, and how many were done before.
    pub fn progress(&self) -> (u64, u64, u64) {
        let progress = self.task.as_ref().unwrap().progress().unwrap();
        (progress.done, progress.total.unwrap(), progress.before)
    }

    /// Waits until files were looked for again.
    pub fn scan(&mut self) -> Vec<Record> {
        let before = self.scans();
        let mut all = Vec::new();
        while self.scans() < before + 1 {
            all.extend(self.poll(1, 10).unwrap().0);
        }
        all
    }

    /// One batch that is lost with the task, as when a transaction is aborted.
    pub fn poll_and_crash(&mut self) -> Result<(), PluginError> {
        if self.task.is_none() {
            self.start()?;
        }
        let budget = Budget {
            records: 3,
            bytes: 1 << 20,
            wait: Duration::from_millis(15),
        };
        self.runtime
            .block_on(self.task.as_mut().expect("it was started").poll(budget))?;
        self.task = None;
        Ok(())
    }

    /// What comes until nothing has come for a while.
    pub fn drain(&mut self) -> Result<Vec<Record>, PluginError> {
        let mut all = Vec::new();
        let (mut last, mut scans) = (Instant::now(), self.scans());
        // Long enough for a scan to look behind the tick of the file system's clock, and for idle lines.
        while last.elapsed() < Duration::from_millis(60) || self.scans() < scans + 3 {
            let (records, finished) = self.poll(1000, 10)?;
            if !records.is_empty() {
                (last, scans) = (Instant::now(), self.scans());
            }
            all.extend(records);
            if finished {
                break;
            }
        }
        Ok(all)
    }

    pub fn lines(&mut self) -> Vec<String> {
        self.drain().unwrap().iter().map(text).collect()
    }

    pub fn error(&mut self) -> String {
        for _ in 0..200 {
            if let Err(error) = self.poll(1000, 20) {
                return error.to_string();
            }
        }
        panic!("no error came");
    }
}

pub(in crate::file) fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(super) fn text(record: &Record) -> String {
    match &record.value.value {
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        other => format!("{other:?}"),
    }
}
