//! The state directory: one folder a job, in it one a process, whoever has locked it.
//!
//! `<state.dir>/<application id>/<n>/` holds `lock`, `process` with the process's id, and `db`. The lock file is never deleted: two
//! processes could then hold a lock of the same name each.
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LocalStoreError;

/// Processes of one job that share a state directory.
const SLOTS_MAX: usize = 1024;
const LOCK: &str = "lock";
const PROCESS: &str = "process";
/// The store; its name changes with its form.
pub(super) const DATABASE: &str = "db";

/// A process's folder. It is this process's as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    process_id: String,
    /// Held, not read.
    _lock: File,
}

impl Slot {
    /// Takes the first folder of the job that no living process has.
    pub(crate) fn take(state_dir: &Path, application_id: &str) -> Result<Self, LocalStoreError> {
        let job = job_directory(state_dir, application_id);
        for number in 0..SLOTS_MAX {
            let path = job.join(number.to_string());
            fs::create_dir_all(&path).map_err(|error| directory_error(&path, &error))?;
            if let Some(lock) = lock(&path)? {
                let process_id = process_id(&path).map_err(|error| directory_error(&path, &error))?;
                return Ok(Self {
                    path,
                    process_id,
                    _lock: lock,
                });
            }
        }
        Err(LocalStoreError::Crowded {
            path: job,
            slots: SLOTS_MAX,
        })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name that each process has that takes this folder, and no other.
    pub(crate) fn process_id(&self) -> &str {
        &self.process_id
    }
}

/// The folders in which a job has local state in `state_dir`.
///
/// ```
/// let directory = std::env::temp_dir().join("no-such-state");
/// assert!(millstream_streams::local_state(&directory, "shop")?.is_empty());
/// # Ok::<(), millstream_streams::LocalStoreError>(())
/// ```
///
/// # Errors
/// A directory that cannot be read.
pub fn local_state(state_dir: &Path, application_id: &str) -> Result<Vec<PathBuf>, LocalStoreError> {
    let job = job_directory(state_dir, application_id);
    let slots = slots(&job).map_err(|error| directory_error(&job, &error))?;
    let used = |slot: &PathBuf| slot.join(DATABASE).exists() || slot.join(PROCESS).exists();
    Ok(slots.into_iter().filter(used).collect())
}

/// Deletes the local state that a job has in `state_dir`, as `millstream streams reset` does; gives the folders emptied.
///
/// ```
/// let directory = std::env::temp_dir().join("no-such-state");
/// assert!(millstream_streams::delete_local_state(&directory, "shop")?.is_empty());
/// # Ok::<(), millstream_streams::LocalStoreError>(())
/// ```
///
/// # Errors
/// [`LocalStoreError::InUse`] if a process of the job runs on this machine; nothing is deleted then.
pub fn delete_local_state(state_dir: &Path, application_id: &str) -> Result<Vec<PathBuf>, LocalStoreError> {
    let job = job_directory(state_dir, application_id);
    let mut held = Vec::new();
    for slot in slots(&job).map_err(|error| directory_error(&job, &error))? {
        match lock(&slot)? {
            Some(lock) => held.push((slot, lock)),
            None => return Err(LocalStoreError::InUse { path: slot }),
        }
    }
    let mut emptied = Vec::new();
    for (slot, _lock) in held {
        let failed = |error| directory_error(&slot, &error);
        let database = remove(&slot.join(DATABASE), |path| fs::remove_dir_all(path)).map_err(failed)?;
        let process = remove(&slot.join(PROCESS), |path| fs::remove_file(path)).map_err(failed)?;
        if database || process {
            emptied.push(slot);
        }
    }
    Ok(emptied)
}

/// Where state is kept unless told: `$XDG_STATE_HOME/millstream/streams`, else `~/.local/state/millstream/streams`; none
/// without a home.
///
/// ```
/// println!("{:?}", millstream_streams::default_state_dir());
/// ```
pub fn default_state_dir() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let state = variable("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || Some(PathBuf::from(variable("HOME")?).join(".local/state")).and_then(absolute);
    Some(state.or_else(home)?.join("millstream/streams"))
}

/// An application id is a part of topics' names, so that of all that a path minds it can only be dots.
fn job_directory(state_dir: &Path, application_id: &str) -> PathBuf {
    match application_id.trim_matches('.') {
        "" => state_dir.join(format!("dots-{}", application_id.len())),
        _ => state_dir.join(application_id.replace(['/', '\\'], "_")),
    }
}

/// The folders of a job's processes.
fn slots(job: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(job) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut slots: Vec<PathBuf> = paths
        .filter(|path| !path.as_ref().is_ok_and(|path| !path.join(LOCK).is_file()))
        .collect::<io::Result<_>>()?;
    slots.sort();
    Ok(slots)
}

/// The lock of a folder, or none if another has it.
fn lock(path: &Path) -> Result<Option<File>, LocalStoreError> {
    let path = path.join(LOCK);
    let failed = |error| directory_error(&path, &error);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn process_id(path: &Path) -> io::Result<String> {
    let path = path.join(PROCESS);
    let is_id = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match fs::read_to_string(&path) {
        Ok(text) if is_id(text.trim_end()) => return Ok(text.trim_end().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // New, or cut short by a crash: nobody has used it then.
        _ => {}
    }
    let id = random_id();
    let mut file = File::create(&path)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    Ok(id)
}

/// A name that no other process has, now or before.
pub(crate) fn random_id() -> String {
    format!("{:016x}", random_number())
}

/// A number that few other processes have.
pub(crate) fn process_salt() -> u16 {
    let [high, low, ..] = random_number().to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn random_number() -> u64 {
    let random = RandomState::new();
    random.build_hasher().finish() ^ random.hash_one(std::process::id())
}

/// Whether there was something to remove.
fn remove(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
    match remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn directory_error(path: &Path, cause: &dyn std::fmt::Display) -> LocalStoreError {
    LocalStoreError::Directory {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_take_different_slots_and_a_successor_takes_the_name_over() {
        let directory = tempfile::tempdir().unwrap();
        let one = Slot::take(directory.path(), "app").unwrap();
        let two = Slot::take(directory.path(), "app").unwrap();
        assert_ne!(one.path(), two.path());
        assert_ne!(one.process_id(), two.process_id());
        let (path, id) = (one.path().to_owned(), one.process_id().to_owned());
        drop(one);
        let three = Slot::take(directory.path(), "app").unwrap();
        assert_eq!((three.path(), three.process_id()), (&*path, &*id));
        let other = Slot::take(directory.path(), "other").unwrap();
        assert_ne!(other.path(), three.path());
    }

    #[test]
    fn what_a_crash_left_of_a_name_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Slot::take(directory.path(), "app").unwrap();
        let file = slot.path().join(PROCESS);
        drop(slot);
        fs::write(&file, "12").unwrap();
        let slot = Slot::take(directory.path(), "app").unwrap();
        assert_eq!(slot.process_id().len(), 16);
    }

    #[test]
    fn state_in_use_is_not_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let one = Slot::take(directory.path(), "app").unwrap();
        let two = Slot::take(directory.path(), "app").unwrap();
        let id = one.process_id().to_owned();
        drop(one);
        let error = delete_local_state(directory.path(), "app").unwrap_err();
        assert!(matches!(error, LocalStoreError::InUse { .. }), "{error}");
        drop(two);
        assert_eq!(local_state(directory.path(), "app").unwrap().len(), 2);
        assert_eq!(delete_local_state(directory.path(), "app").unwrap().len(), 2);
        assert!(delete_local_state(directory.path(), "app").unwrap().is_empty());
        assert!(local_state(directory.path(), "app").unwrap().is_empty());
        assert_ne!(Slot::take(directory.path(), "app").unwrap().process_id(), id);
    }

    #[test]
    fn ids_of_dots_stay_inside() {
        let job = |id| job_directory(Path::new("/s"), id);
        assert_eq!(job(".."), Path::new("/s/dots-2"));
        assert_eq!(job("a.b"), Path::new("/s/a.b"));
        assert_eq!(job("a/../b"), Path::new("/s/a_.._b"));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Slot::take(file.path(), "app").unwrap_err().to_string();
        assert!(error.contains("give state.dir"), "{error}");
    }
}
