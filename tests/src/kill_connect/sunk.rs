//! What a rolling sink has written.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A sink's finished files by partition and first offset, so in the order of their offsets.
pub(super) fn finished_files(folder: &Path) -> BTreeMap<(usize, u64), PathBuf> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if let Some(place) = place(&name) {
                files.insert(place, path);
            }
        }
    }
    files
}

/// The lines of each of `count` partitions, in the order of their offsets.
pub(super) fn lines(folder: &Path, count: usize) -> Vec<Vec<String>> {
    let mut partitions = vec![Vec::new(); count];
    for ((partition, _), path) in finished_files(folder) {
        let text = std::fs::read_to_string(path).unwrap();
        partitions[partition].extend(text.lines().map(str::to_owned));
    }
    partitions
}

/// The partition and the first offset in the name of a finished file, `topic+partition+first-last.ext`.
fn place(name: &str) -> Option<(usize, u64)> {
    if name.starts_with('.') || name.ends_with(".tmp") {
        return None;
    }
    let (before, range) = name.rsplit_once('+')?;
    let partition = before.rsplit_once('+')?.1.parse().ok()?;
    Some((partition, range.split_once('-')?.0.parse().ok()?))
}
