//! What lies in a folder, whether it matches or not.
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::file::source::place::{FileKey, Stamp};
use crate::file::source::rotation;

/// The files of a folder, found by what they are and by what they may be copies of.
pub(super) struct Folder {
    files: Vec<(PathBuf, Stamp)>,
    by_inode: HashMap<u64, Vec<usize>>,
    by_origin: HashMap<PathBuf, Vec<usize>>,
}

impl Folder {
    /// Looks at all of them.
    pub fn list(folder: &Path) -> Self {
        let files = list(folder, |_| true);
        let mut by_inode: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut by_origin: HashMap<PathBuf, Vec<usize>> = HashMap::new();
        for (place, (path, stamp)) in files.iter().enumerate() {
            by_inode.entry(stamp.key.inode).or_default().push(place);
            for origin in rotation::origins(path) {
                by_origin.entry(origin).or_default().push(place);
            }
        }
        Self {
            files,
            by_inode,
            by_origin,
        }
    }

    /// The file that may be this one.
    pub fn same(&self, key: &FileKey) -> Option<(PathBuf, Stamp)> {
        let of_inode = self.by_inode.get(&key.inode).into_iter().flatten();
        let mut of_inode = of_inode.map(|place| &self.files[*place]);
        of_inode.find(|(_, stamp)| stamp.key.is_same(key)).cloned()
    }

    /// The files that may be copies of what had this name.
    pub fn copies_of(&self, path: &Path) -> Vec<(PathBuf, Stamp)> {
        let copies = self.by_origin.get(path).into_iter().flatten();
        copies.map(|place| self.files[*place].clone()).collect()
    }
}

/// The files that may be copies of the one of this name, without looking at others.
pub(super) fn copies_of(path: &Path) -> Vec<(PathBuf, Stamp)> {
    list(path.parent().unwrap_or(Path::new("")), |candidate| {
        rotation::may_be_copy(candidate, path)
    })
}

fn list(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Stamp)> {
    let shown = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let Ok(entries) = fs::read_dir(shown) else {
        return Vec::new();
    };
    let files = entries.flatten().filter_map(|entry| {
        let path = folder.join(entry.file_name());
        if !wanted(&path) {
            return None;
        }
        let metadata = fs::metadata(entry.path()).ok().filter(Metadata::is_file)?;
        Some((path, Stamp::of(&metadata)))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}
