//! How rotated files are named.
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What compression appends to a name.
const PACKED: [&[u8]; 3] = [b".gz", b".zst", b".zstd"];

/// The same name without what compression appended, if it did.
fn unpacked(name: &[u8]) -> Option<&[u8]> {
    PACKED
        .iter()
        .find_map(|end| name.strip_suffix(*end))
        .filter(|rest| !rest.is_empty())
}

/// The same name without a number or date that rotation appended (`.1`, `-20261231`, `.2026-12-31_10`), if it did.
fn unnumbered(name: &[u8]) -> Option<&[u8]> {
    let digits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b'T' | b':');
    if !name.last()?.is_ascii_digit() {
        return None;
    }
    let mut start = name.len() - name.iter().rev().take_while(|byte| digits(byte)).count();
    // The number is set off from the name; "log2" is a name of its own.
    while start < name.len() && !matches!(name[start], b'-' | b'_' | b'.') {
        start += 1;
    }
    (start > 0 && start < name.len()).then(|| &name[..start])
}

/// The names that a file may have had before it was copied or compressed, from the nearest on.
pub(super) fn origins(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name() else {
        return Vec::new();
    };
    let mut names: Vec<OsString> = Vec::new();
    let mut name = name.as_bytes();
    if let Some(rest) = unpacked(name) {
        names.push(OsString::from_vec(rest.to_vec()));
        name = rest;
    }
    if let Some(rest) = unnumbered(name) {
        names.push(OsString::from_vec(rest.to_vec()));
    }
    names.into_iter().map(|name| path.with_file_name(name)).collect()
}

/// The number that a rotated file was given, if that is short enough to be no date: most programs give the oldest file the greatest.
pub(super) fn number(path: &Path) -> Option<u16> {
    let name = path.file_name()?.as_bytes();
    let name = unpacked(name).unwrap_or(name);
    let number = name.strip_prefix(unnumbered(name)?)?.get(1..)?;
    let number = str::from_utf8(number).ok().filter(|number| number.len() < 4)?;
    number.parse().ok()
}

/// The names that a compressed file of a number may have had before it was compressed: those of lesser numbers, where a rotation
/// compresses the newest and gives the next number to all.
pub(super) fn earlier_names(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| unpacked(name.as_bytes())) else {
        return Vec::new();
    };
    let (Some(number), Some(stem)) = (number(path), unnumbered(name)) else {
        return Vec::new();
    };
    let set_off = &name[..=stem.len()];
    let earlier = (1..number).rev().map(|number| {
        let mut name = set_off.to_owned();
        name.extend(number.to_string().bytes());
        path.with_file_name(OsString::from_vec(name))
    });
    earlier.collect()
}

/// The path of the file whose rotations this is one of: they all go to the same task.
pub(super) fn stem(path: &Path) -> PathBuf {
    origins(path).pop().unwrap_or_else(|| path.to_owned())
}

/// Whether `path` may be a copy of `original` that rotation made.
pub(super) fn may_be_copy(path: &Path, original: &Path) -> bool {
    origins(path)
        .iter()
        .any(|origin| origin.as_os_str() == OsStr::from_bytes(original.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_lead_to_their_origin() {
        let stem_of = |name: &str| stem(Path::new(name)).to_str().unwrap().to_owned();
        for name in [
            "d/app.log",
            "d/app.log.1",
            "d/app.log-20261231",
            "d/app.log.2026-12-31_10",
            "d/app.log.1.gz",
            "d/app.log.zst",
        ] {
            assert_eq!(stem_of(name), "d/app.log", "{name}");
        }
        for name in ["d/log2", "d/2026", "d/a-1.csv", "d/.gz", "d/x.txt"] {
            assert_eq!(stem_of(name), name);
        }
        for (name, its) in [
            ("d/app.log", None),
            ("d/app.log.2", Some(2)),
            ("d/app.log-010.gz", Some(10)),
            ("d/app.log-20261231", None),
            ("d/app.log.1-2", None),
        ] {
            assert_eq!(number(Path::new(name)), its, "{name}");
        }
        let earlier = earlier_names(Path::new("d/app.log.3.gz"));
        assert_eq!(earlier, [Path::new("d/app.log.2"), Path::new("d/app.log.1")]);
        assert!(earlier_names(Path::new("d/app.log.3")).is_empty());
        assert!(may_be_copy(Path::new("a.log.1"), Path::new("a.log")));
        assert!(may_be_copy(Path::new("a.log.1.gz"), Path::new("a.log.1")));
        assert!(!may_be_copy(Path::new("a.log.2"), Path::new("a.log.1")));
        assert!(!may_be_copy(Path::new("b.log"), Path::new("a.log")));
    }
}
