//! What a restore reads of a long log, on its way into the store: a file, so that nobody waits while it is sorted and merged.
//!
//! The file has no name, so that a crash leaves none behind; what it held is in the log.
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pending::{DELETED, Entry, in_order, key_of, value_of};

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

/// Changes read back, as many as fit into memory.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

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

    /// Hands out all changes in runs of about `bytes_max` bytes: each sorted by key, a key's last change only. What a later run
    /// says of a key counts.
    pub(super) fn runs<E: From<io::Error>>(
        self,
        bytes_max: usize,
        mut each: impl FnMut(&mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let (mut file, mut left, mut run) = (
            BufReader::with_capacity(BUFFER, file),
            self.changes,
            Run::default(),
        );
        while left > 0 {
            run.clear();
            while left > 0 && run.size_bytes() < bytes_max {
                run.read(&mut file)?;
                left -= 1;
            }
            each(&mut run.last_changes())?;
        }
        Ok(())
    }
}

impl Run {
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    fn size_bytes(&self) -> usize {
        // The order is another number and a head for each.
        self.bytes.len() + self.entries.len() * (size_of::<Entry>() + 2 * size_of::<u64>())
    }

    fn read(&mut self, file: &mut impl Read) -> io::Result<()> {
        let (mut key, mut value) = ([0; 4], [0; 4]);
        file.read_exact(&mut key)?;
        file.read_exact(&mut value)?;
        let (key, value) = (u32::from_le_bytes(key), u32::from_le_bytes(value));
        let start = self.bytes.len();
        let room = if value == DELETED { 0 } else { value };
        self.bytes.resize(start + key as usize + room as usize, 0);
        file.read_exact(&mut self.bytes[start..])?;
        self.entries.push(Entry {
            start,
            key,
            value,
            room,
        });
        Ok(())
    }

    fn last_changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut places = in_order(&self.bytes, &self.entries).peekable();
        let key = |place: u32| key_of(&self.bytes, &self.entries[place as usize]);
        std::iter::from_fn(move || {
            let mut place = places.next()?;
            while let Some(next) = places.next_if(|next| key(*next) == key(place)) {
                place = next;
            }
            Some((key(place), value_of(&self.bytes, &self.entries[place as usize])))
        })
    }
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
                for (key, value) in run {
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
