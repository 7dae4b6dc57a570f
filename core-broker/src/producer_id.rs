//! Ids for idempotent producers (KIP-98), handed out from blocks.
//!
//! Why: an id must never be given twice, or one producer's retries pass for another's; but a write to disk for each
//! producer would be slow. So the end of a block of ids is made durable before the first id of it is given.
//! Owns: the file `producer-ids`. Does not own: sequences and epochs (`log`).

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use crate::ids::ProducerId;
use crate::log::{LogDir, LogError};

const FILE: &str = "producer-ids";
const HEADER: &str = "millstream-producer-ids 1";
/// Ids lost at most by a crash, as in Kafka.
const BLOCK: i64 = 1000;

/// Why no id could be given.
#[derive(Debug, thiserror::Error)]
pub enum ProducerIdError {
    /// The disk failed.
    #[error("producer ids: {0}")]
    Log(#[from] LogError),
    /// The file is not one.
    #[error(
        "file {FILE} is damaged ({found}); restore it from a copy, or write \"{HEADER}\" and the next unused id on two lines"
    )]
    Damaged {
        /// What it holds.
        found: String,
    },
    /// More than 2^63 producers.
    #[error("all producer ids are used up")]
    Exhausted,
}

struct Block {
    next: i64,
    end: i64,
}

/// Gives ids out.
pub(crate) struct ProducerIds {
    logs: Arc<LogDir>,
    block: Mutex<Block>,
}

impl ProducerIds {
    /// Reads where the last block ended.
    pub fn open(logs: Arc<LogDir>) -> Result<Self, ProducerIdError> {
        let read = logs.read_meta_file(FILE).map_err(|error| match error {
            LogError::Damaged { reason, .. } => ProducerIdError::Damaged {
                found: reason.to_owned(),
            },
            error => ProducerIdError::Log(error),
        })?;
        let next = match read {
            None => 0,
            Some(bytes) => decode(&bytes).ok_or_else(|| ProducerIdError::Damaged {
                found: format!(
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                        .chars()
                        .take(80)
                        .collect::<String>()
                ),
            })?,
        };
        Ok(Self {
            logs,
            block: Mutex::new(Block { next, end: next }),
        })
    }

    /// An id if the present block has one left: no disk needed, and no waiting.
    pub fn next_at_hand(&self) -> Option<ProducerId> {
        // Whoever writes the next block holds the lock for as long as the disk takes: no async thread waits for it.
        let mut block = match self.block.try_lock() {
            Ok(block) => block,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        (block.next < block.end).then(|| {
            block.next += 1;
            ProducerId(block.next - 1)
        })
    }

    /// An id that was never given before; writes to disk when a block is used up.
    pub fn next(&self) -> Result<ProducerId, ProducerIdError> {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if block.next == block.end {
            let end = block.end.checked_add(BLOCK).ok_or(ProducerIdError::Exhausted)?;
            self.logs
                .write_meta_file(FILE, format!("{HEADER}\n{end}\n").as_bytes())?;
            block.end = end;
        }
        block.next += 1;
        Ok(ProducerId(block.next - 1))
    }
}

fn decode(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let next = text
        .strip_prefix(HEADER)?
        .strip_prefix('\n')?
        .strip_suffix('\n')?;
    next.parse().ok().filter(|n| *n >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_at_hand_never_wait_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let logs = LogDir::open(dir.path(), crate::log::LogOptions::default(), |_| {
            crate::log::LogConfig::default()
        });
        let ids = ProducerIds::open(Arc::new(logs.unwrap())).unwrap();
        assert_eq!(ids.next_at_hand(), None);
        assert_eq!(ids.next().unwrap(), ProducerId(0));
        let writing = ids.block.lock().unwrap();
        assert_eq!(ids.next_at_hand(), None);
        drop(writing);
        assert_eq!(ids.next_at_hand(), Some(ProducerId(1)));
    }

    #[test]
    fn only_whole_files_are_read() {
        assert_eq!(decode(b"millstream-producer-ids 1\n3000\n"), Some(3000));
        for bad in [
            &b""[..],
            b"millstream-producer-ids 1\n3000",
            b"millstream-producer-ids 2\n1\n",
            b"millstream-producer-ids 1\n-1\n",
        ] {
            assert_eq!(decode(bad), None);
        }
    }
}
