//! Small files that are replaced as a whole: temporary file, fsync, rename, fsync of the directory; and the line at the
//! end of a text file by which damage is seen.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ending of a file that was being written; leftovers are removed at open.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

/// Replaces `path` by `bytes`; after a crash it holds either the old or the new content.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // The old content stands; what is left of the new is of no use.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Makes created, renamed and removed entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether the process or the system may open no more files just now.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the last line of a sealed text begins with; a comment in Kafka's own formats.
const SEAL: &str = "#crc32c ";

/// The text with a last line that holds the CRC-32C of all before it.
pub(crate) fn seal(text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    let crc = crc32c::crc32c(text);
    sealed.extend_from_slice(format!("{SEAL}{crc:08x}\n").as_bytes());
    sealed
}

/// The text that was sealed. One without a seal is passed on as long as it is whole lines: older versions wrote such.
pub(crate) fn unseal(mut bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let Some(lines) = bytes.strip_suffix(b"\n") else {
        return Err(if bytes.is_empty() {
            "it is empty"
        } else {
            "it is cut off"
        });
    };
    let start = lines.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let last = &lines[start..];
    if !last.windows(SEAL.len()).any(|window| window == SEAL.as_bytes()) {
        return Ok(bytes);
    }
    if last != format!("{SEAL}{:08x}", crc32c::crc32c(&bytes[..start])).as_bytes() {
        return Err("it is damaged: its checksum does not fit");
    }
    bytes.truncate(start);
    Ok(bytes)
}

/// Reads a file of at most `bytes_max`, or nothing if it is not there.
pub(crate) fn read_if_there(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > bytes_max => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} bytes exceed the limit of {bytes_max}", meta.len()),
        )),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_to_sealed_text_is_seen() {
        let text = b"0\n1\norders 0 42\n";
        let sealed = seal(text);
        assert_eq!(unseal(sealed.clone()).as_deref(), Ok(&text[..]));
        assert_eq!(unseal(text.to_vec()).as_deref(), Ok(&text[..]));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 4;
            // Where the seal itself is gone, its remains are a line that no format knows.
            if let Ok(found) = unseal(flipped) {
                assert!(found.starts_with(text) && found != text, "{at}");
            }
        }
        for length in 0..sealed.len() {
            if let Ok(found) = unseal(sealed[..length].to_vec()) {
                // Whole lines: what reads them counts them.
                assert!(text.starts_with(&found) && found.ends_with(b"\n"), "{length}");
            }
        }
    }
}
