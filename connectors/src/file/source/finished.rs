//! What becomes of files that are done.
use std::ffi::OsString;
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

/// To another device: the file appears there when it is whole, and goes here when it is durable there.
fn copy(path: &Path, target: &Path) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".part");
    let part = target.with_file_name(name);
    let whole = || {
        fs::copy(path, &part)?;
        File::open(&part)?.sync_all()?;
        fs::rename(&part, target)
    };
    if let Err(error) = whole() {
        // A part is of no use; the next try makes another.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    fs::remove_file(path)
}
