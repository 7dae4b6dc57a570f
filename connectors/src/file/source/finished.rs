//! What becomes of files that are done.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::config::Finished;
use super::place::Stamp;

/// Whether the file is still as it was when it was read.
pub(super) fn is_unchanged(path: &Path, stamp: &Stamp) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp)
}

/// Moves or deletes a file.
///
/// # Errors
/// The file system's.
pub(super) fn settle(path: &Path, finished: &Finished) -> io::Result<()> {
    match finished {
        Finished::Keep => Ok(()),
        Finished::Delete => fs::remove_file(path),
        Finished::Move(folder) => {
            fs::create_dir_all(folder)?;
            let target = free_name(path, folder);
            match fs::rename(path, &target) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(path, &target),
                moved => moved,
            }
        }
    }
}

fn free_name(path: &Path, folder: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let numbered = (0_u32..).map(|number| match number {
        0 => folder.join(name),
        _ => {
            let mut name = name.to_owned();
            name.push(format!(".{number}"));
            folder.join(name)
        }
    });
    let mut free = numbered.skip_while(|target| target.symlink_metadata().is_ok());
    free.next()
        .expect("a folder has fewer files than there are numbers")
}

fn copy(path: &Path, target: &Path) -> io::Result<()> {
    fs::copy(path, target)?;
    File::open(target)?.sync_all()?;
    fs::remove_file(path)
}
