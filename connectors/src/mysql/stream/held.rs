//! XA transactions that are prepared: their raw events wait until it is known what becomes of them.
//!
//! Together they keep so many bytes in memory, and what comes beyond goes to files that have no name any more, so that nothing is left of
//! them however the process ends.
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{LogPosition, StreamError};
use crate::mysql::binlog::Xid;

/// How much may be prepared at once.
#[derive(Clone, Debug)]
pub struct HeldLimits {
    /// Bytes in memory, of all transactions.
    pub memory_bytes: usize,
    /// Bytes in files, of all transactions.
    pub disk_bytes: u64,
    /// Transactions.
    pub transactions: usize,
    /// The folder of the files.
    pub folder: PathBuf,
}

impl HeldLimits {
    /// So many bytes in memory, and far more in the system's folder for temporary files.
    #[must_use]
    pub fn with_memory(memory_bytes: usize) -> Self {
        Self {
            memory_bytes,
            disk_bytes: 64 << 30,
            transactions: 100_000,
            folder: std::env::temp_dir(),
        }
    }
}

/// Raw events of one transaction.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The first ones are in the file, if there is one.
    file: Option<BufWriter<File>>,
    file_bytes: u64,
    memory: Vec<Bytes>,
    memory_bytes: usize,
    /// Whether rows of a captured table are among them.
    pub(super) captured: bool,
}

/// A prepared transaction.
#[derive(Debug)]
struct Prepared {
    /// Where reading has to begin so that it comes again.
    start: LogPosition,
    /// The order in which they were prepared.
    number: u64,
    events: Events,
}

/// All prepared transactions.
#[derive(Debug)]
pub(super) struct Held {
    limits: HeldLimits,
    prepared: HashMap<Xid, Prepared>,
    next_number: u64,
    memory_bytes: usize,
    disk_bytes: u64,
}

/// Raw events that come again, in their order.
pub(super) struct Replay {
    file: Option<BufReader<File>>,
    memory: std::vec::IntoIter<Bytes>,
    folder: PathBuf,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

impl Held {
    pub(super) fn new(limits: HeldLimits) -> Self {
        Self {
            limits,
            prepared: HashMap::new(),
            next_number: 0,
            memory_bytes: 0,
            disk_bytes: 0,
        }
    }

    /// Adds a raw event to a transaction that is being read.
    pub(super) fn add(&mut self, events: &mut Events, raw: Bytes, xid: &Xid) -> Result<(), StreamError> {
        if self.memory_bytes + raw.len() > self.limits.memory_bytes {
            self.spill(events).map_err(|error| self.spilling(error))?;
        }
        if events.file.is_some() {
            self.write(events, &raw).map_err(|error| self.spilling(error))?;
            return match self.disk_bytes > self.limits.disk_bytes {
                true => Err(too_large("bytes", self.limits.disk_bytes, xid)),
                false => Ok(()),
            };
        }
        self.memory_bytes += raw.len();
        events.memory_bytes += raw.len();
        // Of a packet that holds other events, too, only this one stays.
        events.memory.push(Bytes::copy_from_slice(&raw));
        Ok(())
    }

    /// Moves what is in memory of a transaction to a file.
    fn spill(&mut self, events: &mut Events) -> io::Result<()> {
        if events.file.is_none() {
            events.file = Some(BufWriter::with_capacity(1 << 16, unnamed(&self.limits.folder)?));
        }
        for raw in std::mem::take(&mut events.memory) {
            self.write(events, &raw)?;
        }
        self.memory_bytes -= std::mem::take(&mut events.memory_bytes);
        Ok(())
    }

    fn write(&mut self, events: &mut Events, raw: &Bytes) -> io::Result<()> {
        let file = events.file.as_mut().expect("it is open");
        let length = u32::try_from(raw.len()).expect("the header of an event has 32 bits for its length");
        file.write_all(&length.to_le_bytes())?;
        file.write_all(raw)?;
        events.file_bytes += raw.len() as u64 + 4;
        self.disk_bytes += raw.len() as u64 + 4;
        Ok(())
    }

    fn spilling(&self, error: io::Error) -> StreamError {
        StreamError::Spill {
            folder: self.limits.folder.display().to_string(),
            error,
        }
    }

    /// The transaction is prepared: it waits from now on.
    pub(super) fn prepare(
        &mut self,
        xid: Xid,
        start: LogPosition,
        mut events: Events,
    ) -> Result<(), StreamError> {
        if !events.captured {
            // Nobody will ask for its rows; that it is prepared counts.
            self.forget(&events);
            events = Events::default();
        }
        if self.prepared.len() >= self.limits.transactions {
            return Err(too_large("transactions", self.limits.transactions as u64, &xid));
        }
        self.next_number += 1;
        let number = self.next_number;
        let prepared = Prepared {
            start,
            number,
            events,
        };
        if let Some(before) = self.prepared.insert(xid, prepared) {
            // The same name again: the server lost the first one, as when it was restored.
            self.forget(&before.events);
        }
        Ok(())
    }

    /// Takes a prepared transaction out, and where reading has to begin so that it comes again.
    pub(super) fn take(&mut self, xid: &Xid) -> Option<(Events, LogPosition)> {
        // Of those before it, the oldest says.
        let oldest = self.read_from().cloned();
        let prepared = self.prepared.remove(xid)?;
        self.forget(&prepared.events);
        Some((prepared.events, oldest?))
    }

    /// What was read of a transaction will not be asked for.
    pub(super) fn forget(&mut self, events: &Events) {
        self.memory_bytes -= events.memory_bytes;
        self.disk_bytes -= events.file_bytes;
    }

    /// Forgets everything: it comes again.
    pub(super) fn clear(&mut self) {
        self.prepared.clear();
        (self.memory_bytes, self.disk_bytes) = (0, 0);
    }

    /// Where reading has to begin so that all of them come again; nothing if none is prepared.
    pub(super) fn read_from(&self) -> Option<&LogPosition> {
        let first = self.prepared.values().min_by_key(|prepared| prepared.number);
        first.map(|prepared| &prepared.start)
    }

    /// The events of a transaction, once more.
    pub(super) fn replay(&self, events: Events) -> Result<Replay, StreamError> {
        let file = events.file.map(|writer| -> io::Result<_> {
            let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok(BufReader::with_capacity(1 << 16, file))
        });
        Ok(Replay {
            file: file.transpose().map_err(|error| self.spilling(error))?,
            memory: events.memory.into_iter(),
            folder: self.limits.folder.clone(),
        })
    }
}

impl Replay {
    /// The next raw event.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        if let Some(file) = &mut self.file {
            match read(file) {
                Ok(Some(raw)) => return Ok(Some(raw)),
                Ok(None) => self.file = None,
                Err(error) => {
                    let folder = self.folder.display().to_string();
                    return Err(StreamError::Spill { folder, error });
                }
            }
        }
        Ok(self.memory.next())
    }
}

fn too_large(what: &'static str, limit: u64, xid: &Xid) -> StreamError {
    let xid = xid.to_string();
    StreamError::XaTooLarge { what, limit, xid }
}

/// A new file without a name.
fn unnamed(folder: &std::path::Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("millstream-xa-{}-{number}", std::process::id()));
        match OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
        {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn read(file: &mut BufReader<File>) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match file.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => file.read_exact(&mut length[1..])?,
    }
    let mut raw = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut raw)?;
    Ok(Some(raw.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xid(name: &str) -> Xid {
        Xid {
            format: 1,
            global: name.as_bytes().to_vec(),
            branch: Vec::new(),
        }
    }

    fn limits(memory_bytes: usize, disk_bytes: u64) -> HeldLimits {
        HeldLimits {
            disk_bytes,
            transactions: 2,
            ..HeldLimits::with_memory(memory_bytes)
        }
    }

    fn raw(number: u8, length: usize) -> Bytes {
        vec![number; length].into()
    }

    fn fill(held: &mut Held, name: &str, count: u8) -> Result<Events, StreamError> {
        let mut events = Events {
            captured: true,
            ..Events::default()
        };
        for number in 0..count {
            held.add(&mut events, raw(number, 10), &xid(name))?;
        }
        Ok(events)
    }

    #[test]
    fn events_come_again_from_memory_and_from_files() {
        for memory_bytes in [0, 10, 25, 1000] {
            let mut held = Held::new(limits(memory_bytes, 1000));
            let events = fill(&mut held, "a", 5).unwrap();
            assert_eq!(events.file.is_some(), memory_bytes < 50);
            held.prepare(xid("a"), LogPosition::at("bin.1", 4), events)
                .unwrap();
            let (events, _) = held.take(&xid("a")).unwrap();
            let mut replay = held.replay(events).unwrap();
            for number in 0..5 {
                assert_eq!(replay.next().unwrap(), Some(raw(number, 10)));
            }
            assert_eq!(replay.next().unwrap(), None);
            assert_eq!((held.memory_bytes, held.disk_bytes), (0, 0));
        }
    }

    #[test]
    fn there_are_limits() {
        let mut held = Held::new(limits(15, 40));
        let error = fill(&mut held, "a", 5).unwrap_err().to_string();
        assert!(error.contains("more than 40 bytes"), "{error}");
        let mut held = Held::new(limits(1000, 0));
        for name in ["a", "b"] {
            held.prepare(xid(name), LogPosition::at("bin.1", 4), Events::default())
                .unwrap();
        }
        let error = held.prepare(xid("c"), LogPosition::at("bin.1", 4), Events::default());
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("more than 2 transactions")
        );
    }

    #[test]
    fn reading_begins_before_the_oldest() {
        let mut held = Held::new(limits(1000, 0));
        assert_eq!(held.read_from(), None);
        let events = fill(&mut held, "a", 1).unwrap();
        held.prepare(xid("a"), LogPosition::at("bin.1", 4), events)
            .unwrap();
        held.prepare(xid("b"), LogPosition::at("bin.1", 9), Events::default())
            .unwrap();
        assert_eq!(held.read_from().unwrap().position, 4);
        held.take(&xid("a"));
        assert_eq!(held.read_from().unwrap().position, 9);
        assert!(held.take(&xid("a")).is_none());
        held.clear();
        assert_eq!(held.memory_bytes, 0);
    }
}
