//! What the sink needs of a file system, so that tests can let it fail and crash at any step.
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use millstream_connect::plugin::PluginError;

/// How long a lock that another has is tried for.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A file that is written at its end.
pub(super) trait Output: Write + Send {
    /// Makes durable what was written.
    fn sync(&mut self) -> io::Result<()>;

    /// How long it is.
    fn length(&self) -> io::Result<u64>;
}

/// A file system.
pub(super) trait Disk: Send + Sync {
    /// A new file; one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;

    /// The end of a file, which is created if need be, locked, and cut to what `length` says of how long it is.
    fn append(&self, path: &Path, length: &dyn Fn(u64) -> u64) -> io::Result<Box<dyn Output>>;

    /// A file's content, if there is one.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Whether there is a file.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Gives a file another name, at once for everybody.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The same, but an error where another file has that name.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those above it, durably.
    fn create_folders(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Waits until nobody else has this lock, but not for long; it is held until what is returned is dropped.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send>>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy)]
pub(super) struct RealDisk;

impl Output for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

fn lock(file: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another task or process has it locked; a file is written by one only",
    ))
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path, length: &dyn Fn(u64) -> u64) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            lock(&file)?;
            let is = file.metadata()?.len();
            let wanted = length(is);
            if wanted < is {
                file.set_len(wanted)?;
                file.sync_all()?;
            }
        }
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_ok() => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
            renamed => Ok(renamed?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(or_here(path))?.sync_all()
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        let path = or_here(path);
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.create_folders(above)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            created => created?,
        }
        self.sync_folder(path.parent().unwrap_or(Path::new("")))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(or_here(path))?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        lock(&file)?;
        Ok(Box::new(file))
    }
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// What a failed call means for the task: it starts again with growing pauses, from what is durable.
pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> PluginError {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull => "; make room on that disk, and the task goes on by itself",
        io::ErrorKind::QuotaExceeded => {
            "; raise the quota of the worker's user, and the task goes on by itself"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount it for writing, or write to another folder",
        io::ErrorKind::PermissionDenied => "; give the worker's user the right to write there",
        io::ErrorKind::CrossesDevices => {
            "; everything below directory has to be on one file system, because files get their names when they are complete"
        }
        io::ErrorKind::NotFound => "; does the folder exist?",
        _ => "",
    };
    PluginError::disconnected(format!("cannot {what} {}: {error}{remedy}", path.display()))
}
