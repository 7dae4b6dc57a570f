//! The task that reads files.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Budget, PluginError, Progress, SourceBatch, SourceOffset, SourcePartition, SourceTask, SourceTaskContext,
};
use tracing::{info, warn};

use super::columns::{Beginning, NoColumns};
use super::config::{Finished, SourceConfig, TASK_COUNT};
use super::making::{Chunk, Making, Step};
use super::place::{FileKey, Place, Stamp, Stored, file_name, hash};
use super::stream::Stream;
use super::text;
use super::tracking::{Files, Opened, Rules, Whereabouts};
use super::watch::Watch;
use super::{finished, rotation};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 512 << 10;
/// Looking for files takes at most this part of the time.
const SCAN_SHARE: u32 = 20;

/// A task of the file source.
#[derive(Default)]
pub(super) struct FileSourceTask {
    running: Option<Running>,
}

enum Running {
    Files(Box<Reading>),
    Stream(Stream),
}

/// A task that reads files.
struct Reading {
    config: Arc<SourceConfig>,
    share: Share,
    files: Files,
    current: Option<Current>,
    watch: Watch,
    next_scan: Instant,
    /// Before this, hints do not lead to a scan.
    earliest_scan: Instant,
    scans: u64,
    /// How many records the last batch had: room for as many is made at once.
    typical: usize,
    told: BTreeSet<PathBuf>,
    want: usize,
}

/// Which files are this task's.
#[derive(Debug, Clone, Copy)]
struct Share {
    task: u64,
    of: u64,
}

impl Share {
    fn has(self, path: &Path) -> bool {
        use std::os::unix::ffi::OsStrExt;
        self.of <= 1 || hash(rotation::stem(path).as_os_str().as_bytes()) % self.of == self.task
    }
}

/// The part of a file that is being made into records.
struct Current {
    key: FileKey,
    chunk: Chunk,
    /// The place that was stored last.
    place: Place,
    /// Where records began in the chunk.
    start: usize,
}

#[cfg(test)]
impl FileSourceTask {
    /// How often it has looked for files.
    pub fn scans(&self) -> u64 {
        match &self.running {
            Some(Running::Files(reading)) => reading.scans,
            _ => u64::MAX,
        }
    }
}

#[async_trait]
impl SourceTask for FileSourceTask {
    async fn start(&mut self, given: &ConfigMap, context: SourceTaskContext) -> Result<(), PluginError> {
        let config = SourceConfig::parse(given).map_err(|errors| {
            let errors: Vec<String> = errors
                .iter()
                .map(|(key, error)| format!("{key}: {error}"))
                .collect();
            PluginError::user_config(errors.join("; "))
        })?;
        let config = Arc::new(config);
        let stream = match &config.pattern {
            None => Some(Stream::standard_input(&config)),
            Some(pattern) => pattern.single().and_then(|file| Stream::of_pipe(file, &config)),
        };
        if let Some(stream) = stream {
            self.running = Some(Running::Stream(stream));
            return Ok(());
        }
        let of = given
            .get(TASK_COUNT)
            .and_then(|count| count.parse().ok())
            .unwrap_or(1);
        let share = Share {
            task: context.task.task.into(),
            of,
        };
        let mut stored = Vec::new();
        for (partition, offset) in context.offsets.all().await? {
            match Stored::parse(&partition, &offset) {
                Ok(one) if share.has(&one.path) => stored.push(one),
                Ok(_) => {}
                Err(error) => warn!("a stored offset is not used: {error}"),
            }
        }
        self.running = Some(Running::Files(Box::new(Reading::new(config, share, stored)?)));
        Ok(())
    }

    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        match &mut self.running {
            Some(Running::Files(reading)) => reading.poll(budget).await,
            Some(Running::Stream(stream)) => stream.poll(budget).await,
            None => Err(PluginError::fatal(
                "a task that was not started has nothing to read",
            )),
        }
    }

    async fn committed(&mut self, offsets: &[(SourcePartition, SourceOffset)]) -> Result<(), PluginError> {
        if let Some(Running::Files(reading)) = &mut self.running {
            for (partition, offset) in offsets {
                if let Ok(stored) = Stored::parse(partition, offset)
                    && let Some(file) = stored.key.and_then(|key| reading.files.get_mut(&key))
                {
                    file.committed = Some(stored.place.position);
                }
            }
            reading.finish(Instant::now())?;
        }
        Ok(())
    }

    async fn stop(&mut self) {
        self.running = None;
    }

    fn progress(&self) -> Option<Progress> {
        match &self.running {
            Some(Running::Files(reading)) if reading.scans > 0 => Some(reading.files.progress()),
            _ => None,
        }
    }
}

impl Reading {
    fn new(config: Arc<SourceConfig>, share: Share, stored: Vec<Stored>) -> Result<Self, PluginError> {
        let pattern = config
            .pattern
            .as_ref()
            .expect("a task without files reads a stream");
        if let (true, Some(file)) = (config.once, pattern.single())
            && !file.exists()
        {
            return Err(PluginError::user_config(format!(
                "the file {} does not exist; with read.mode=tail it is waited for",
                file_name(file)
            )));
        }
        let rules = Rules {
            unpack: config.unpack,
            open_files_max: config.open_files_max,
            rotation_wait: config.rotation_wait,
            rotation_copies: config.rotation_copies,
            last_idle: config.last_idle,
            strict: config.once || pattern.single().is_some(),
        };
        let watch = Watch::new(pattern.base(), pattern.is_deep());
        let now = Instant::now();
        Ok(Self {
            files: Files::new(rules, stored),
            current: None,
            watch,
            next_scan: now,
            earliest_scan: now,
            scans: 0,
            typical: 0,
            told: BTreeSet::new(),
            want: CHUNK_BYTES,
            share,
            config,
        })
    }

    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        let deadline = Instant::now() + budget.wait;
        loop {
            let now = Instant::now();
            if now >= self.next_scan || (self.watch.has_rung() && now >= self.earliest_scan) {
                self.scan(now)?;
            }
            let batch = self.read(budget, now)?;
            let now = Instant::now();
            if !batch.records.is_empty() || !batch.offsets.is_empty() || batch.finished || now >= deadline {
                return Ok(batch);
            }
            if self.watch.has_rung() {
                tokio::time::sleep_until(deadline.min(self.earliest_scan).into()).await;
            } else {
                self.watch.wait(deadline.min(self.next_scan)).await;
            }
        }
    }

    fn scan(&mut self, now: Instant) -> Result<(), PluginError> {
        if self.config.once && self.scans > 0 {
            self.watch.reset();
            self.next_scan = now + Duration::from_secs(3600);
            return Ok(());
        }
        self.watch.reset();
        let pattern = self
            .config
            .pattern
            .as_ref()
            .expect("a task without files reads a stream");
        let (mut found, share, mut any) = (Vec::new(), self.share, false);
        let passed = pattern.walk(&mut |path, metadata| {
            any = true;
            if share.has(&path) {
                found.push((path, Stamp::of(metadata)));
            }
        });
        if !any && self.scans == 0 && share.task == 0 {
            let base = file_name(pattern.base());
            match (pattern.single(), self.config.once) {
                (Some(_), _) => warn!("{base} does not exist yet; it is waited for"),
                (None, false) => warn!("no file below {base} matches yet; files are waited for"),
                (None, true) => warn!("no file below {base} matches; there is nothing to read"),
            }
        }
        let told = &mut self.told;
        for path in passed.special {
            if told.len() < 1000 && told.insert(path.clone()) {
                warn!(
                    "{} is left out: it is a pipe or a device; to read a pipe, give its path as file",
                    file_name(&path)
                );
            }
        }
        for (path, error) in passed.unreadable {
            let text = format!(
                "cannot look into {}: {error}; give the worker's user the right to read it",
                file_name(&path)
            );
            if self.config.once || pattern.single().is_some() {
                return Err(PluginError::disconnected(text));
            }
            if told.len() < 1000 && told.insert(path) {
                warn!("{text}");
            }
        }
        self.files.scan(found, now);
        self.scans += 1;
        self.finish(now)?;
        let took = now.elapsed() * SCAN_SHARE;
        self.next_scan = now + self.config.scan_interval.max(took);
        self.earliest_scan = now + Duration::from_millis(2).max(took);
        Ok(())
    }

    /// Makes records until the budget is spent or nothing is left.
    fn read(&mut self, budget: Budget, now: Instant) -> Result<SourceBatch, PluginError> {
        let mut making = Making::new(&self.config, budget, self.typical);
        let mut touched = Vec::new();
        loop {
            if self.current.is_none() {
                let Some(key) = self.files.next() else { break };
                match self.files.prepare(key, now)? {
                    Opened::Ready => self.load(key, now)?,
                    Opened::NotNow => {}
                }
                continue;
            }
            let current = self.current.as_mut().expect("there is one");
            let before = current.chunk.progress();
            let path = self.files.get_mut(&current.key).map(|file| &*file.path);
            let step = making.run(&mut current.chunk, path);
            if before != current.chunk.progress() && touched.last() != Some(&current.key) {
                touched.push(current.key);
            }
            let step = match step {
                Ok(step) => step,
                // What was made before is delivered first; then the same error comes again.
                Err(_) if !making.records.is_empty() => Step::Full,
                Err(error) => return Err(error),
            };
            self.settle();
            match step {
                Step::Full => break,
                Step::Read => self.more(now)?,
                Step::End { partial } => {
                    let key = self.current.take().expect("there is one").key;
                    let file = self.files.get_mut(&key).expect("a file that is read is tracked");
                    file.partial = partial;
                    file.at_end = true;
                }
            }
        }
        let finished =
            self.config.once && self.scans > 0 && self.current.is_none() && making.records.is_empty();
        self.typical = making.records.len();
        let offsets = self.offsets(touched);
        Ok(SourceBatch {
            made_now: true,
            records: making.records,
            finished: finished && offsets.is_empty(),
            offsets,
            ..SourceBatch::default()
        })
    }

    /// Notes how far the current file is read.
    fn settle(&mut self) {
        let current = self.current.as_ref().expect("there is one");
        if let Some(file) = self.files.get_mut(&current.key) {
            let chunk = &current.chunk;
            let to = chunk.base + chunk.cursor as u64;
            if to != file.place.position || chunk.skipping != file.place.skipping {
                file.place = current.place.moved(to, chunk.base, &chunk.bytes);
                file.place.skipping = chunk.skipping;
            }
        }
    }

    fn offsets(&mut self, touched: Vec<FileKey>) -> Vec<(SourcePartition, SourceOffset)> {
        let mut keys: Vec<FileKey> = Vec::new();
        for (key, file) in self.files.iter_mut() {
            if std::mem::take(&mut file.unstored) {
                keys.push(*key);
            }
        }
        keys.extend(touched);
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Vec::new();
        }
        let sequence = self.files.next_sequence();
        let stored = keys.iter().filter_map(|key| self.files.offset_of(key, sequence));
        stored
            .map(|stored| (stored.partition(), stored.offset()))
            .collect()
    }

    /// Reads on in the current file, or more of it at once if what was read is not a record.
    fn more(&mut self, now: Instant) -> Result<(), PluginError> {
        let current = self.current.take().expect("there is one");
        self.want = match current.chunk.cursor > current.start {
            true => CHUNK_BYTES,
            false => (self.want * 2).min(self.config.line_bytes_max + CHUNK_BYTES),
        };
        self.load(current.key, now)
    }

    fn load(&mut self, key: FileKey, now: Instant) -> Result<(), PluginError> {
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let place = file.place.clone();
        let back = place.look_back();
        let base = place.position - back as u64;
        let Some(data) = &mut file.data else {
            self.files.enqueue(key);
            return Ok(());
        };
        let bytes = match data.read(base, back + self.want) {
            Ok(bytes) => bytes,
            Err(error) => return self.files.failed(key, error).map(drop),
        };
        if bytes.len() < back || !place.fits(&bytes[..back]) {
            self.files.restart(key, now);
            return Ok(());
        }
        let at_end = bytes.len() < back + self.want;
        let mark = match place.position {
            0 => text::mark_length(&bytes).map_err(|encoding| {
                PluginError::user_config(format!(
                    "{} is {encoding}, which is not read; convert it to UTF-8 (iconv -f {encoding} -t UTF-8)",
                    file_name(&file.path)
                ))
            })?,
            _ => 0,
        };
        let last_call = at_end && (self.config.emit_last || file.last_call);
        let begin = Beginning {
            place: &place,
            mark,
            bytes: &bytes,
            last_call,
        };
        let columns = begin.columns(&self.config, file);
        let header = match columns {
            Ok(header) => header,
            Err(NoColumns::NotYet) if at_end => {
                (file.at_end, file.partial) = (true, bytes.len() > mark);
                return Ok(());
            }
            Err(NoColumns::NotYet) if self.want < self.config.line_bytes_max => {
                self.want *= 2;
                return self.load(key, now);
            }
            Err(NoColumns::NotYet) => {
                let name = file_name(&file.path);
                return Err(PluginError::user_config(format!(
                    "the row of names in {name} is longer than max.line.bytes"
                )));
            }
            Err(NoColumns::Wrong(error)) => {
                let name = file_name(&file.path);
                return Err(PluginError::user_config(format!(
                    "the names of the columns in {name}: {error}"
                )));
            }
        };
        let start = back + mark + header;
        let mut chunk = Chunk::new(Bytes::from(bytes), start, base, self.config.invalid_text);
        (chunk.skipping, chunk.at_end, chunk.last_call) = (place.skipping, at_end, last_call);
        chunk.schema.clone_from(&file.schema);
        self.current = Some(Current {
            key,
            chunk,
            place,
            start,
        });
        Ok(())
    }

    /// Moves or deletes files that are done.
    fn finish(&mut self, now: Instant) -> Result<(), PluginError> {
        if self.config.finished == Finished::Keep {
            return Ok(());
        }
        let after = self.config.finished_after;
        let done: Vec<(FileKey, PathBuf)> = self
            .files
            .iter_mut()
            .filter(|(_, file)| {
                file.at_end
                    && !file.partial
                    && file.whereabouts == Whereabouts::Here
                    && file.committed == Some(file.place.position)
                    && now.saturating_duration_since(file.changed) >= after
            })
            .map(|(key, file)| (*key, file.path.clone()))
            .collect();
        for (key, path) in done {
            let file = self.files.get_mut(&key).expect("a file that is tracked");
            if !finished::is_unchanged(&path, &file.stamp) {
                continue;
            }
            finished::settle(&path, &self.config.finished).map_err(|error| {
                PluginError::disconnected(format!(
                    "cannot move or delete {}, which is done",
                    file_name(&path)
                ))
                .caused_by(error)
            })?;
            info!("{} is done", file_name(&path));
            self.files.drop_file(key);
        }
        Ok(())
    }
}
