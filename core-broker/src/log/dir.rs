//! A data directory: its lock, its identity, its partitions, opening and closing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::fs::{FlockOperation, flock};

use super::checkpoint::{CLEANER_FILE, LOG_START_FILE, RECOVERY_POINT_FILE};
use super::cleaner::{Cleaner, CleanerOptions};
use super::config::{LogConfig, LogOptions};
use super::durable;
use super::error::{LogError, OpenError};
use super::folders::{FOLDER_NAME_BYTES_MAX, check_name, doomed_name, find_partitions, on_one_filesystem};
use super::lock::{lock, read, write};
use super::meta::{LOCK_FILE, META_FILE, Meta};
use super::partition::{Partition, Recovered};
use super::recover_all::recover_all;
use super::segment::Segment;
use super::shared::Shared;
use super::space::RESERVE_FILE;
use super::sync::{Syncer, write_checkpoints};
use super::upkeep::Upkeep;
use crate::ids::{TopicName, TopicPartition};
use crate::metrics::Histogram;

/// Kafka's name for it: the logs need no recovery.
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// What the folder and the first files of a partition take at least.
const FOLDER_BYTES: u64 = 4 << 10;
const META_FILE_BYTES_MAX: u64 = 1 << 30;
const RESERVED_FILES: [&str; 7] = [
    META_FILE,
    LOCK_FILE,
    CLEAN_SHUTDOWN_FILE,
    RECOVERY_POINT_FILE,
    LOG_START_FILE,
    CLEANER_FILE,
    RESERVE_FILE,
];

/// One data directory with all its logs. Dropping it without [`LogDir::close`] is like a crash: what was
/// acknowledged stays, and the next open recovers.
#[derive(Debug)]
pub struct LogDir {
    pub(super) shared: Arc<Shared>,
    meta: Meta,
    syncer: Arc<Syncer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    cleaner: Arc<Cleaner>,
    cleaner_thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) upkeep: Arc<Upkeep>,
    pub(super) upkeep_thread: Mutex<Option<JoinHandle<()>>>,
    /// Dropping the file releases the lock.
    lock: Mutex<Option<File>>,
    /// Held while folders are created and deleted.
    folders: Mutex<()>,
}

impl LogDir {
    /// Takes the directory's lock, creates what is missing, and recovers every partition.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do about it.
    pub fn open(
        path: &Path,
        options: LogOptions,
        configs: impl Fn(&TopicName) -> LogConfig,
    ) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(OpenError::io(path))?;
        let lock = take_lock(path)?;
        let meta = Meta::load_or_create(path, options.node_id)?;
        let shared = Arc::new(Shared::new(path.to_owned(), options));
        let found = find_partitions(path)?;
        let one_filesystem = on_one_filesystem(path, &found).map_err(OpenError::io(path))?;
        let stale = recover_all(&shared, found, configs)?;
        let io_error = || OpenError::io(path);
        let syncer = Arc::new(Syncer::new(shared.clone(), one_filesystem).map_err(io_error())?);
        let dir = Self {
            cleaner: Arc::new(Cleaner::new(shared.clone())),
            cleaner_thread: Mutex::new(None),
            upkeep: Arc::new(Upkeep::new(shared.clone())),
            upkeep_thread: Mutex::new(None),
            shared,
            meta,
            syncer,
            thread: Mutex::new(None),
            lock: Mutex::new(Some(lock)),
            folders: Mutex::new(()),
        };
        dir.make_durable(stale)
            .map_err(|e| io_error()(io::Error::other(e)))?;
        let marker = path.join(CLEAN_SHUTDOWN_FILE);
        if marker.exists() {
            fs::remove_file(&marker)
                .and_then(|()| durable::sync_dir(path))
                .map_err(OpenError::io(marker))?;
        }
        let syncer = dir.syncer.clone();
        let thread = std::thread::Builder::new().name("millstream-log-sync".to_owned());
        *lock_of(&dir.thread) = Some(thread.spawn(move || syncer.run()).map_err(io_error())?);
        Ok(dir)
    }

    #[cfg(test)]
    pub(crate) fn shared_state(&self) -> &Shared {
        &self.shared
    }

    /// What recovery found beyond the recovery points becomes durable before anyone sees it. That indexes or
    /// checkpoints cannot be written is no reason to keep anybody from records that are.
    fn make_durable(&self, stale: bool) -> Result<(), LogError> {
        self.shared.checkpoints_stale.store(stale, Ordering::Release);
        let finished = self.syncer.finish().and_then(|()| self.refresh_checkpoints());
        let Err(error) = finished else { return Ok(()) };
        self.shared.check_not_failed()?;
        if !self.partitions().iter().all(|partition| partition.is_synced()) {
            return Err(error);
        }
        tracing::warn!(dir = %self.path().display(), %error, "cannot write a checkpoint; the next start takes longer");
        Ok(())
    }

    /// Takes deleted partitions out of the checkpoints, if some are left in there: a new partition of the same name
    /// must not inherit the old one's recovery point.
    fn refresh_checkpoints(&self) -> Result<(), LogError> {
        if self.shared.checkpoints_stale.load(Ordering::Acquire) {
            write_checkpoints(&self.shared)?;
            self.shared.checkpoints_stale.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Starts the thread that compacts logs, once every partition has its own settings. A second call does nothing.
    ///
    /// # Errors
    /// The operating system's, if there can be no thread.
    pub fn start_cleaner(&self) -> Result<(), LogError> {
        self.shared.check()?;
        let mut slot = lock_of(&self.cleaner_thread);
        if slot.is_none() {
            let cleaner = self.cleaner.clone();
            let thread = std::thread::Builder::new().name("millstream-log-cleaner".to_owned());
            let spawned = thread.spawn(move || cleaner.run());
            *slot = Some(spawned.map_err(LogError::io(self.path()))?);
        }
        Ok(())
    }

    /// Compacts now whatever is due, and tells how many partitions that were. Blocks on the disk.
    ///
    /// # Errors
    /// The directory failed or was closed.
    pub fn compact_now(&self) -> Result<usize, LogError> {
        self.cleaner.round()
    }

    /// Changes the settings of compaction, from its next round on.
    pub fn set_cleaner_options(&self, options: CleanerOptions) {
        self.cleaner.set_options(options);
    }

    /// Changes how long an idle producer is remembered.
    pub fn set_producer_expiration_ms(&self, expiration_ms: i64) {
        let kept = &self.shared.producer_expiration_ms;
        kept.store(expiration_ms, Ordering::Relaxed);
    }

    /// Whether writes still make sense.
    ///
    /// # Errors
    /// [`LogError::Failed`] with the reason, or [`LogError::Closed`].
    pub fn check(&self) -> Result<(), LogError> {
        self.shared.check()
    }

    /// How long syncs took, each of which covers everything that waited for it.
    #[must_use]
    pub fn sync_times(&self) -> &Histogram {
        &self.shared.sync_times
    }

    /// The cluster's id: 22 characters, made at the first start.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.meta.cluster_id
    }

    /// The id of the node that the directory belongs to.
    #[must_use]
    pub fn node_id(&self) -> i32 {
        self.meta.node_id
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.root
    }

    /// Creates an empty partition.
    ///
    /// # Errors
    /// [`LogError::Exists`], [`LogError::Name`], or the operating system's.
    pub fn create_partition(
        &self,
        tp: &TopicPartition,
        config: LogConfig,
    ) -> Result<Arc<Partition>, LogError> {
        let created = self.create_partitions([(tp.clone(), config)])?;
        Ok(created.into_iter().next().expect("one partition was asked for"))
    }

    /// Creates several empty partitions; cheaper than one by one.
    ///
    /// # Errors
    /// As [`LogDir::create_partition`]; those before the failing one exist then.
    pub fn create_partitions(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, LogConfig)>,
    ) -> Result<Vec<Arc<Partition>>, LogError> {
        let _folders = lock_of(&self.folders);
        self.shared.check()?;
        self.shared
            .admit(FOLDER_BYTES, false)
            .map_err(LogError::io(self.path()))?;
        self.refresh_checkpoints()?;
        let mut created = Vec::new();
        let result = partitions.into_iter().try_for_each(|(tp, config)| {
            created.push(self.create_folder(tp, config)?);
            Ok(())
        });
        if let Err(error) = durable::sync_dir(self.path()) {
            for partition in &created {
                partition.delete(take_back);
            }
            return Err(LogError::io(self.path())(error));
        }
        let mut registry = write(&self.shared.partitions);
        for partition in &created {
            registry.insert(partition.topic_partition().clone(), partition.clone());
        }
        result.map(|()| created)
    }

    fn create_folder(&self, tp: TopicPartition, config: LogConfig) -> Result<Arc<Partition>, LogError> {
        check_name(tp.topic.as_str())?;
        let name = tp.to_string();
        if tp.partition.0 < 0 || name.len() > FOLDER_NAME_BYTES_MAX {
            return Err(LogError::Name { name });
        }
        let folder: Arc<Path> = self.path().join(name).into();
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(LogError::Exists { partition: tp });
            }
            result => result.map_err(LogError::io(&*folder))?,
        }
        let segment = Segment::create(&folder, 0).map_err(|error| {
            take_back(&folder);
            LogError::io(&*folder)(error)
        })?;
        Ok(Partition::new(
            tp,
            folder,
            self.shared.clone(),
            config,
            Recovered::new(segment),
        ))
    }

    /// The partition, if there is one.
    #[must_use]
    pub fn partition(&self, tp: &TopicPartition) -> Option<Arc<Partition>> {
        read(&self.shared.partitions).get(tp).cloned()
    }

    /// All partitions, in no order.
    #[must_use]
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        read(&self.shared.partitions).values().cloned().collect()
    }

    /// Deletes a partition. Whoever waits on it gets an error.
    ///
    /// # Errors
    /// [`LogError::Unknown`], or the operating system's.
    pub fn delete_partition(&self, tp: &TopicPartition) -> Result<(), LogError> {
        self.delete_partitions(std::slice::from_ref(tp))
    }

    /// Deletes several partitions; cheaper than one by one.
    ///
    /// # Errors
    /// As [`LogDir::delete_partition`], the first of them; the others are deleted then.
    pub fn delete_partitions(&self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let _folders = lock_of(&self.folders);
        self.shared.check_open()?;
        let mut doomed = Vec::new();
        let mut result = Ok(());
        for tp in partitions {
            match self.doom(tp) {
                Ok(folder) => doomed.push(folder),
                Err(error) => result = result.and(Err(error)),
            }
        }
        if doomed.is_empty() {
            return result;
        }
        self.shared.checkpoints_stale.store(true, Ordering::Release);
        durable::sync_dir(self.path()).map_err(LogError::io(self.path()))?;
        // The names are free now; a crash during the rest is no harm, and what fails is tried again: folders at the
        // next start, checkpoints before the next creation.
        for folder in doomed {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "deleted partition not removed, the next start tries again");
            }
        }
        if let Err(error) = self.refresh_checkpoints() {
            tracing::warn!(%error, "cannot take deleted partitions out of the checkpoints; trying again later");
        }
        result
    }

    /// Ends all use of a partition and renames its folder; that is durable once the directory is synced.
    fn doom(&self, tp: &TopicPartition) -> Result<PathBuf, LogError> {
        let name = doomed_name(&tp.to_string()).map_err(LogError::io("/dev/urandom"))?;
        let doomed = self.path().join(name);
        let removed = write(&self.shared.partitions).remove(tp);
        let Some(partition) = removed else {
            return Err(LogError::Unknown {
                partition: tp.clone(),
            });
        };
        let renamed = partition.delete(|folder| fs::rename(folder, &doomed).map_err(LogError::io(folder)));
        if let Err(error) = renamed {
            // Nobody can use it any more, but its name is taken, and its deletion can be tried again.
            write(&self.shared.partitions).insert(tp.clone(), partition);
            return Err(error);
        }
        Ok(doomed)
    }

    /// Replaces a small file of another part of the broker; after a crash it is the old or the new.
    ///
    /// # Errors
    /// [`LogError::Name`] for reserved and impossible names, or the operating system's.
    pub fn write_meta_file(&self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.shared.check()?;
        let path = self.meta_path(name)?;
        self.shared.replace_file(&path, &durable::seal(bytes))
    }

    /// Reads a file of whole lines that [`LogDir::write_meta_file`] wrote.
    ///
    /// # Errors
    /// As there, or [`LogError::Damaged`].
    pub fn read_meta_file(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let path = self.meta_path(name)?;
        let read = durable::read_if_there(&path, META_FILE_BYTES_MAX).map_err(LogError::io(&path))?;
        let unsealed = read.map(durable::unseal).transpose();
        unsealed.map_err(|reason| LogError::Damaged { file: path, reason })
    }

    fn meta_path(&self, name: &str) -> Result<PathBuf, LogError> {
        check_name(name)?;
        if RESERVED_FILES.contains(&name) || name.ends_with(durable::TEMPORARY_SUFFIX) {
            return Err(LogError::Name {
                name: name.to_owned(),
            });
        }
        Ok(self.path().join(name))
    }

    /// Makes everything durable, so that the next open has nothing to recover, and releases the lock.
    /// Later use of the partitions fails. A second call does nothing.
    ///
    /// # Errors
    /// If anything could not be made durable; the next open recovers then.
    pub fn close(&self) -> Result<(), LogError> {
        let _folders = lock_of(&self.folders);
        if lock_of(&self.lock).is_none() {
            return Ok(());
        }
        self.cleaner.stop();
        self.upkeep.stop();
        let result = self.flush_and_mark();
        self.release();
        result
    }

    fn flush_and_mark(&self) -> Result<(), LogError> {
        self.shared.set_closed();
        for partition in self.partitions() {
            partition.finish_appends();
        }
        self.stop_thread();
        self.shared.check_not_failed()?;
        self.syncer.finish()?;
        write_checkpoints(&self.shared)?;
        let marker = self.path().join(CLEAN_SHUTDOWN_FILE);
        self.shared
            .replace_file(&marker, b"{\"version\":0,\"brokerEpoch\":-1}")
    }

    fn stop_thread(&self) {
        if let Some(thread) = lock_of(&self.cleaner_thread).take()
            && thread.join().is_err()
        {
            self.shared.fail("the thread that compacts panicked");
        }
        if let Some(thread) = lock_of(&self.upkeep_thread).take()
            && thread.join().is_err()
        {
            self.shared.fail("the thread of upkeep panicked");
        }
        self.shared.queue.stop();
        if let Some(thread) = lock_of(&self.thread).take()
            && thread.join().is_err()
        {
            self.shared.fail("the sync thread panicked");
        }
    }

    /// Lets go of everything; partitions that are still referred to answer with an error.
    fn release(&self) {
        self.shared.set_closed();
        self.shared.wake_all();
        self.shared.queue.clear();
        write(&self.shared.partitions).clear();
        lock_of(&self.lock).take();
    }
}

impl Drop for LogDir {
    fn drop(&mut self) {
        self.cleaner.stop();
        self.upkeep.stop();
        self.shared.set_closed();
        self.stop_thread();
        self.release();
    }
}

/// Removes the folder of a partition that could not be created, so that its name is free.
fn take_back(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot remove the folder of a failed creation");
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock(mutex)
}

fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::io(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(error) => Err(OpenError::io(path)(error.into())),
    }
}
