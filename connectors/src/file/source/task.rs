//! The task that reads files.
mod loading;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Budget, PluginError, Progress, SourceBatch, SourceOffset, SourcePartition, SourceTask, SourceTaskContext,
};
use tracing::{info, warn};

use super::config::{Finished, SourceConfig, TASK_COUNT};
use super::making::{Chunk, Making, Step};
use super::parquet::RowReader;
use super::place::{FileKey, Place, Stamp, Stored, file_name, hash, partition};
use super::stream::Stream;
use super::tracking::{Files, Opened, Rules, UNFINISHED_IDLE, Whereabouts};
use super::watch::Watch;
use super::{finished, rotation, stream};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 512 << 10;
/// So many files are warned about, each once.
const TOLD_MAX: usize = 1000;
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

/// What of a file is being made into records.
struct Current {
    key: FileKey,
    part: Part,
}

enum Part {
    Chunk(Read),
    Rows(Box<RowReader>),
}

/// A part of a file's data.
struct Read {
    chunk: Chunk,
    /// The place that was stored last.
    place: Place,
    /// Where records began in the chunk.
    start: usize,
    /// The file is compressed, and ends within a frame.
    unfinished: bool,
}

impl Part {
    /// What changes when something is done.
    fn progress(&self) -> (u64, u64, bool) {
        match self {
            Self::Chunk(Read { chunk, .. }) => (chunk.cursor as u64, 0, chunk.skipping),
            Self::Rows(rows) => rows.progress(),
        }
    }

    /// The next place, if it is another than this.
    fn place(&self, last: &Place) -> Option<Place> {
        match self {
            Self::Chunk(Read { chunk, place, .. }) => {
                let to = chunk.base + chunk.cursor as u64;
                (to != last.position || chunk.skipping != last.skipping).then(|| {
                    let mut moved = place.moved(to, chunk.base, &chunk.bytes);
                    moved.skipping = chunk.skipping;
                    moved
                })
            }
            Self::Rows(rows) => Some(rows.place()).filter(|place| place != last),
        }
    }
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
            None => Some(Stream::standard_input(&config, &context.task)?),
            Some(pattern) => match pattern.single() {
                Some(file) if config.parquet.is_some() && stream::is_stream(file) => {
                    return Err(PluginError::user_config(
                        "format=parquet needs files: a pipe cannot be read from its end, where Parquet says what is in it",
                    ));
                }
                Some(file) => Stream::of_pipe(file, &config, &context.task)?,
                None => None,
            },
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
            let mut stored_keys = Vec::new();
            for (partition, offset) in offsets {
                if let Ok(stored) = Stored::parse(partition, offset)
                    && let Some(key) = stored.key
                    && let Some(file) = reading.files.get_mut(&key)
                {
                    file.committed = Some(stored.place.reached());
                    file.stored_here = *stored.path.as_os_str() == *file_name(&file.path);
                    stored_keys.push(key);
                }
            }
            reading.finish(&stored_keys, Instant::now())?;
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
            last_idle: match config.parquet {
                Some(_) => config.last_idle.or(Some(UNFINISHED_IDLE)),
                None => config.last_idle,
            },
            once: config.once,
            forget_after: config.forget_after,
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
            if now >= self.scan_due() {
                self.scan(now)?;
            }
            let batch = self.read(budget, now)?;
            let now = Instant::now();
            let any = !(batch.records.is_empty() && batch.offsets.is_empty() && batch.forgotten.is_empty());
            if any || batch.finished || now >= deadline {
                return Ok(batch);
            }
            let until = deadline.min(self.scan_due());
            if self.watch.has_rung() {
                tokio::time::sleep_until(until.into()).await;
            } else {
                self.watch.wait(until).await;
            }
        }
    }

    fn scan_due(&self) -> Instant {
        match self.watch.has_rung() || self.files.seeks() {
            true => self.next_scan.min(self.earliest_scan),
            false => self.next_scan,
        }
    }

    fn scan(&mut self, now: Instant) -> Result<(), PluginError> {
        if self.config.once && self.scans > 0 && !self.files.seeks() {
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
        let (mut found, mut count, mut any, share) = (Vec::new(), 0, false, self.share);
        let most = self.config.files_max;
        let passed = pattern.walk(&mut |path, metadata| {
            any = true;
            if share.has(&path) {
                count += 1;
                if count <= most {
                    found.push((path, Stamp::of(metadata)));
                }
            }
        });
        if count > most {
            return Err(PluginError::user_config(format!(
                "{count} files match, more than max.files, {most}: narrow the pattern, share them among more tasks (tasks.max), or raise it"
            )));
        }
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
            if told.len() < TOLD_MAX && told.insert(path.clone()) {
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
            if told.len() < TOLD_MAX && told.insert(path) {
                warn!("{text}");
            }
        }
        self.files.scan(found, now);
        self.scans += 1;
        if self.config.finished != Finished::Keep {
            let all: Vec<FileKey> = self.files.iter().map(|(key, _)| *key).collect();
            self.finish(&all, now)?;
        }
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
            let (key, before) = (current.key, current.part.progress());
            let step = match &mut current.part {
                Part::Chunk(read) => {
                    let path = self.files.get_mut(&key).map(|file| &*file.path);
                    let step = making.run(&mut read.chunk, path);
                    step.and_then(|step| read.judge_end(step, path, &self.config))
                }
                Part::Rows(rows) => match rows.run(&mut making) {
                    Ok(step) => Ok(step),
                    // What was made before is delivered first; then the same failure comes again.
                    Err(_) if !making.records.is_empty() => Ok(Step::Full),
                    Err(failure) => match self.fail_rows(failure, now)? {
                        Some(step) => Ok(step),
                        None => continue,
                    },
                },
            };
            let current = self.current.as_ref().expect("there is one");
            if before != current.part.progress() && touched.last() != Some(&key) {
                touched.push(key);
            }
            let step = match step {
                Ok(step) => step,
                Err(_) if !making.records.is_empty() => Step::Full,
                Err(error) => return Err(error),
            };
            self.settle();
            match step {
                Step::Full => break,
                Step::Read => self.more(now)?,
                Step::End { partial } => {
                    self.current = None;
                    let file = self.files.get_mut(&key).expect("a file that is read is tracked");
                    file.partial = partial;
                    file.at_end = true;
                }
            }
        }
        let nothing = self.current.is_none() && making.records.is_empty() && !self.files.seeks();
        let finished = self.config.once && self.scans > 0 && nothing;
        self.typical = making.records.len();
        let offsets = self.offsets(touched);
        let forgotten = self.files.take_forgotten();
        let forgotten: Vec<_> = forgotten.iter().map(|path| partition(path)).collect();
        Ok(SourceBatch {
            made_now: true,
            records: making.records,
            finished: finished && offsets.is_empty() && forgotten.is_empty(),
            offsets,
            forgotten,
            ..SourceBatch::default()
        })
    }

    /// Notes how far the current file is read.
    fn settle(&mut self) {
        let current = self.current.as_ref().expect("there is one");
        if let Some(file) = self.files.get_mut(&current.key)
            && let Some(place) = current.part.place(&file.place)
        {
            file.place = place;
        }
    }

    fn offsets(&mut self, touched: Vec<FileKey>) -> Vec<(SourcePartition, SourceOffset)> {
        let mut stored = self.files.take_gone();
        let mut keys = self.files.take_unstored();
        keys.extend(touched);
        keys.sort();
        keys.dedup();
        if !keys.is_empty() {
            let sequence = self.files.next_sequence();
            stored.extend(keys.iter().filter_map(|key| self.files.offset_of(key, sequence)));
        }
        let stored = stored.iter();
        stored
            .map(|stored| (stored.partition(), stored.offset()))
            .collect()
    }

    /// Moves or deletes those files that are done.
    fn finish(&mut self, keys: &[FileKey], now: Instant) -> Result<(), PluginError> {
        if self.config.finished == Finished::Keep {
            return Ok(());
        }
        let after = self.config.finished_after;
        let done = keys.iter().filter_map(|key| {
            let file = self.files.get(key)?;
            let is_done = file.at_end
                && !file.partial
                && file.whereabouts == Whereabouts::Here
                && file.committed == Some(file.place.reached())
                && now.saturating_duration_since(file.changed) >= after;
            is_done.then(|| (*key, file.path.clone()))
        });
        let done: Vec<(FileKey, PathBuf)> = done.collect();
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
