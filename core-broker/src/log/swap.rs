//! Putting a cleaned segment in the place of others, so that a crash leaves either the old ones or the new one.
//!
//! The new segment's files are written as `<base>.<extension>.cleaned` and synced. Then a manifest, `<base>.swap`,
//! comes into being at once, by a rename; it says which files move and which segments they replace. From then on the
//! change counts as made: whoever finds the manifest finishes the work, as often as it takes. Without it, files that
//! end in `.cleaned` are of no use.
//! Owns: the manifest's text and the steps. Does not own: locks, and what is in the files.
//! Invariant: the manifest's removal is durable before anything else is cleaned in the folder.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::config::Disk;
use super::durable::{self, TEMPORARY_SUFFIX};
use super::error::OpenError;
use super::segment::{EXTENSIONS, file_name, parse_file_name};

/// Ending of the new segment's files until they take their names.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
const MANIFEST: &str = "swap";
const VERSION: &str = "1";
/// Segments that one replaces at most, which bounds the manifest.
pub(crate) const REPLACED_MAX: usize = 10_000;
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Which files move and which segments go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Base offset of the new segment, which is that of the first one it replaces.
    pub(crate) base: i64,
    /// Extensions that the new segment has; it loses the others.
    pub(crate) extensions: Vec<&'static str>,
    /// Base offsets of the others that it replaces.
    pub(crate) replaced: Vec<i64>,
}

/// The name under which a file of the new segment is written.
pub(crate) fn cleaned_path(folder: &Path, base: i64, extension: &str) -> PathBuf {
    folder.join(file_name(base, extension) + CLEANED_SUFFIX)
}

impl Manifest {
    pub(crate) fn path(folder: &Path, base: i64) -> PathBuf {
        folder.join(file_name(base, MANIFEST))
    }

    /// Where it is written before it counts.
    pub(crate) fn temporary(folder: &Path, base: i64) -> PathBuf {
        folder.join(file_name(base, MANIFEST) + TEMPORARY_SUFFIX)
    }

    /// The text: version, extensions, replaced bases, and the CRC-32C of the lines before it.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{VERSION}\n{}\n", self.extensions.join(" "));
        for base in &self.replaced {
            write!(text, "{base} ").expect("a string takes any text");
        }
        text.push('\n');
        let crc = crc32c::crc32c(text.as_bytes());
        writeln!(text, "{crc:08x}").expect("a string takes any text");
        text
    }

    fn decode(base: i64, text: &str) -> Option<Self> {
        let (lines, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let lines = text.get(..lines.len() + 1)?;
        if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(lines.as_bytes()) {
            return None;
        }
        let mut lines = lines.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let known = |word| EXTENSIONS.iter().find(|e| **e == word).copied();
        Some(Self {
            base,
            extensions: lines
                .next()?
                .split_whitespace()
                .map(known)
                .collect::<Option<_>>()?,
            replaced: lines
                .next()?
                .split_whitespace()
                .map(|word| word.parse().ok())
                .collect::<Option<_>>()?,
        })
    }

    /// Does what the manifest says, or what is left of it. The caller syncs the folder afterwards.
    pub(crate) fn apply(&self, folder: &Path, disk: &dyn Disk) -> io::Result<()> {
        for extension in EXTENSIONS {
            let path = folder.join(file_name(self.base, extension));
            if !self.extensions.contains(&extension) {
                remove_if_there(disk, &path)?;
                continue;
            }
            match disk.rename(&cleaned_path(folder, self.base, extension), &path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // Moved before a crash.
                _ => {}
            }
        }
        for base in &self.replaced {
            for extension in EXTENSIONS {
                remove_if_there(disk, &folder.join(file_name(*base, extension)))?;
            }
        }
        Ok(())
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Finishes what a crash interrupted; before the folder's segments are looked at.
pub(crate) fn finish(folder: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    for entry in std::fs::read_dir(folder).map_err(OpenError::io(folder))? {
        let entry = entry.map_err(OpenError::io(folder))?;
        let Some(base) = parse_file_name(&entry.file_name().to_string_lossy(), MANIFEST) else {
            continue;
        };
        let path = entry.path();
        let bytes = durable::read_if_there(&path, MANIFEST_BYTES_MAX).map_err(OpenError::io(&path))?;
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let manifest = Manifest::decode(base, &text).ok_or_else(|| OpenError::Corrupt {
            file: path.clone(),
            position: 0,
            reason: "it says how to finish an interrupted compaction, and it was safely on disk before; restore the \
                     file, or remove it to go on with what is there"
                .to_owned(),
        })?;
        tracing::info!(file = %path.display(), "finishing an interrupted compaction");
        manifest
            .apply(folder, disk)
            .and_then(|()| durable::sync_dir(folder))
            .and_then(|()| disk.remove_file(&path))
            .and_then(|()| durable::sync_dir(folder))
            .map_err(OpenError::io(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_damage_is_seen() {
        for replaced in [vec![], vec![7, 900]] {
            let manifest = Manifest {
                base: 3,
                extensions: vec!["log", "index"],
                replaced,
            };
            let text = manifest.encode();
            assert_eq!(Manifest::decode(3, &text), Some(manifest));
            for length in 0..text.len() {
                assert_eq!(Manifest::decode(3, &text[..length]), None, "{length}");
            }
            assert_eq!(Manifest::decode(3, &text.replace("index", "indes")), None);
        }
    }
}
