//! What a restore reads of a long log, on its way into the store: a file, so that nobody waits while it is sorted and merged.
//!
//! The file has no name, so that a crash leaves none behind; what it held is in the log.
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pending::{DELETED, Pending};

/// Bytes written and read at once.
const BUFFER: usize = 256 << 10;

/// Changes in the order of the log.
pub(super) struct Spool {
    file: BufWriter<File>,
    changes: u64,
    bytes: u64,
}

/// Numbers files while they have names.
static FILES: AtomicU64 = AtomicU64::new(0);

impl Spool {
    /// A new one in `directory`.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("restore-{}", FILES.fetch_add(1, Ordering::Relaxed)));
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER, file),
            changes: 0,
            bytes: 0,
        })
    }

    /// What the file takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a change; none is a deletion.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let value_length = value.map_or(DELETED, |value| value.len() as u32);
        self.file.write_all(&(key.len() as u32).to_le_bytes())?;
        self.file.write_all(&value_length.to_le_bytes())?;
        self.file.write_all(key)?;
        self.file.write_all(value.unwrap_or_default())?;
        self.changes += 1;
        let bytes = 2 * size_of::<u32>() + key.len() + value.map_or(0, <[u8]>::len);
        self.bytes += bytes as u64;
        Ok(())
    }

    /// Hands out all changes in runs of about `bytes_max` bytes. What a later run says of a key counts.
    pub(super) fn runs<E: From<io::Error>>(
        self,
        bytes_max: usize,
        mut each: impl FnMut(&Pending) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let (mut file, mut left, mut change) =
            (BufReader::with_capacity(BUFFER, file), self.changes, Vec::new());
        while left > 0 {
            let mut run = Pending::new(0);
            while left > 0 && run.size_bytes() < bytes_max {
                let (key, value) = read(&mut file, &mut change)?;
                run.put(key, value);
                left -= 1;
            }
            each(&run)?;
        }
        Ok(())
    }
}

/// Reads a change into `change`.
fn read<'a>(file: &mut impl Read, change: &'a mut Vec<u8>) -> io::Result<(&'a [u8], Option<&'a [u8]>)> {
    let (mut key, mut value) = ([0; 4], [0; 4]);
    file.read_exact(&mut key)?;
    file.read_exact(&mut value)?;
    let (key, value) = (u32::from_le_bytes(key) as usize, u32::from_le_bytes(value));
    let is_there = value != DELETED;
    change.resize(key + if is_there { value as usize } else { 0 }, 0);
    file.read_exact(change)?;
    let (key, value) = change.split_at(key);
    Ok((key, is_there.then_some(value)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_say_what_a_map_says(
            changes in prop::collection::vec(("1[ab]{0,10}", prop::option::of(".{0,12}")), 0..200),
            bytes_max in 1_usize..4096,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut spool = Spool::create(directory.path()).unwrap();
            let mut expected = BTreeMap::new();
            for (key, value) in &changes {
                spool.put(key.as_bytes(), value.as_deref().map(str::as_bytes)).unwrap();
                expected.insert(key.clone().into_bytes(), value.clone().map(String::into_bytes));
            }
            prop_assert_eq!(directory.path().read_dir().unwrap().count(), 0, "the file has a name");
            let mut found = BTreeMap::new();
            spool.runs(bytes_max, |run| {
                let mut before = None;
                for (key, value) in run.sorted() {
                    assert!(before < Some(key.to_vec()), "keys come once, in their order");
                    before = Some(key.to_vec());
                    found.insert(key.to_vec(), value.map(<[u8]>::to_vec));
                }
                Ok::<(), io::Error>(())
            }).unwrap();
            prop_assert_eq!(found, expected);
        }
    }
}
