//! Collects the answers of a connection and sends them in order.
//!
//! Why: small answers leave together in few system calls, and record bytes of any amount leave without being held in
//! memory. Owns: the output buffer, and which way records go. Does not own: the socket (`server::outlet`), and what an
//! answer looks like (`server::reply`).
//!
//! Invariant: what is in the buffer is sent before any range of a file that comes after it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::connection::STALL;
use super::outlet::{Outlet, SendError};
use super::reply::{Part, Reply};
use crate::log::LogSlice;

/// Bytes collected before they are sent, and the most of a file that is copied at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a file sent at a time, before other connections have their turn: some hundred microseconds.
const FILE_PIECE_BYTES: usize = 1024 * 1024;
/// Ranges below this are copied into the buffer and leave together with what is around them: a call of `sendfile` and
/// the two around it cost as much as copying some 20 KiB. Measured over loopback with 64 ranges to an answer, in
/// microseconds of the broker's time a range, copied and sent: 4.3 and 8.5 at 4 KiB, 5.6 and 9 at 8 KiB, 8 and 9.5 at
/// 16 KiB, 12.5 and 10.6 at 32 KiB, 31 and 20 at 128 KiB.
const COPIED_BYTES_MAX: usize = 16 * 1024;
/// An answer of more ranges than this keeps so many files open that a peer who takes nothing is not waited for long.
const RANGES_FEW: usize = 64;
/// An output buffer above this is given up when the connection rests.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Collects answers and sends them.
pub(crate) struct ReplySink<O> {
    outlet: O,
    /// Zeroed once and then overwritten; `filled` says how much of it is to be sent.
    buffer: Vec<u8>,
    filled: usize,
    /// How long the peer may take nothing.
    patience: Duration,
}

impl<O: Outlet> ReplySink<O> {
    /// A sink with an empty buffer; a peer that takes nothing for `patience` is given up.
    pub fn new(outlet: O, patience: Duration) -> Self {
        Self {
            outlet,
            buffer: Vec::new(),
            filled: 0,
            patience,
        }
    }

    /// True if everything pushed was sent.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// From now on a peer that takes nothing for `patience` is given up.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Takes an answer; sends when the buffer holds enough, and before ranges of files.
    pub async fn push(&mut self, reply: Reply) -> Result<(), SendError> {
        match reply {
            Reply::Bytes(bytes) => self.push_bytes(&bytes).await,
            Reply::Parts(parts) => {
                let patience = self.patience;
                if parts.len() > 2 * RANGES_FEW {
                    self.patience = patience.min(STALL);
                }
                for part in parts {
                    match part {
                        Part::Bytes(bytes) => self.push_bytes(&bytes).await?,
                        Part::Records(slice) if slice.len() < COPIED_BYTES_MAX => {
                            self.copy_records(&slice, 0).await?;
                        }
                        Part::Records(slice) => self.send_records(&slice).await?,
                    }
                }
                self.patience = patience;
                Ok(())
            }
        }
    }

    /// Sends what was collected.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.send_buffer(false).await
    }

    /// Gives a large buffer back.
    pub fn shrink(&mut self) {
        if self.filled == 0 && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }

    async fn send_buffer(&mut self, more: bool) -> Result<(), SendError> {
        let filled = std::mem::take(&mut self.filled);
        send_all(&mut self.outlet, &self.buffer[..filled], more, self.patience).await
    }

    async fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        if self.filled + bytes.len() > PIECE_BYTES {
            self.flush().await?;
            if bytes.len() > PIECE_BYTES {
                return send_all(&mut self.outlet, bytes, false, self.patience).await;
            }
        }
        self.room(bytes.len()).copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    /// Has the outlet take the records from their file.
    async fn send_records(&mut self, slice: &LogSlice) -> Result<(), SendError> {
        let Some((file, position)) = slice.range() else {
            return Ok(());
        };
        // With the records to come in the same packets. Should the disk be slow, the system waits 200 ms for them at most.
        self.send_buffer(true).await?;
        let mut done = 0;
        while done < slice.len() {
            let length = (slice.len() - done).min(FILE_PIECE_BYTES);
            let at = position + done as u64;
            match self.outlet.send_file(file, at, length, self.patience).await? {
                Some(0) => return Err(SendError::cut(file, at)),
                Some(sent) => done += sent,
                None => return self.copy_records(slice, done).await,
            }
            if done < slice.len() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Copies the records from `done` on into the buffer, and sends it whenever it is full.
    async fn copy_records(&mut self, slice: &LogSlice, mut done: usize) -> Result<(), SendError> {
        while done < slice.len() {
            let mut want = (slice.len() - done).min(PIECE_BYTES - self.filled.min(PIECE_BYTES));
            if want < (slice.len() - done).min(4096) {
                self.send_buffer(true).await?;
                want = (slice.len() - done).min(PIECE_BYTES);
            }
            let read = self.read_piece(slice, done, want).await?;
            self.filled += read;
            done += read;
        }
        Ok(())
    }

    /// Reads from the page cache in place; what is not there is read on a thread that may block.
    async fn read_piece(&mut self, slice: &LogSlice, done: usize, want: usize) -> Result<usize, SendError> {
        let Some((file, position)) = slice.range() else {
            return Ok(want);
        };
        let at = position + done as u64;
        let room = self.room(want);
        let read = loop {
            match preadv2(
                &**file,
                &mut [io::IoSliceMut::new(room)],
                at,
                ReadWriteFlags::NOWAIT,
            ) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => return Err(SendError::cut(file, at)),
            Ok(read) => return Ok(read),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(SendError::disk(file, at, error.into())),
        }
        let (blocking_file, start) = (Arc::clone(file), self.filled);
        let mut buffer = std::mem::take(&mut self.buffer);
        let (buffer, result) = tokio::task::spawn_blocking(move || {
            let result = blocking_file.read_exact_at(&mut buffer[start..start + want], at);
            (buffer, result)
        })
        .await
        .map_err(io::Error::other)?;
        self.buffer = buffer;
        result
            .map(|()| want)
            .map_err(|error| SendError::disk(file, at, error))
    }

    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }
}

/// Sends everything, as long as some of it is taken every now and then.
async fn send_all(
    outlet: &mut impl Outlet,
    mut bytes: &[u8],
    more: bool,
    patience: Duration,
) -> Result<(), SendError> {
    while !bytes.is_empty() {
        let sent = outlet.send(bytes, more, patience).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

#[cfg(test)]
mod tests;
