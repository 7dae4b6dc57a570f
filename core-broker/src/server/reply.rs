//! One answer on its way to the socket.
//!
//! Why: record bytes go from the page cache to the socket with one copy and in bounded pieces, however large the
//! answer is; the same parts can later be handed to sendfile. Owns: the length prefix, the response header, the
//! output buffer. Does not own: the layout of bodies (`api`).

use std::io;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::log::LogSlice;

/// Bytes of records read from a file at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// An output buffer above this is given up when the connection rests.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// A piece of an answer.
pub(crate) enum Part {
    /// Bytes in memory.
    Bytes(BytesMut),
    /// A range of a segment file.
    Records(LogSlice),
}

/// A whole answer, length prefix included.
pub(crate) enum Reply {
    /// All of it in memory.
    Bytes(BytesMut),
    /// With ranges of files in between.
    Parts(Vec<Part>),
}

/// Puts an answer together.
pub(crate) struct ReplyWriter {
    /// Where the body goes.
    pub bytes: BytesMut,
    parts: Vec<Part>,
    length: usize,
}

impl ReplyWriter {
    /// Starts an answer: room for the length, then the response header (version 1 if `flexible`).
    pub fn new(correlation_id: i32, flexible: bool, capacity: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + 9);
        bytes.put_u32(0);
        bytes.put_i32(correlation_id);
        if flexible {
            bytes.put_u8(0);
        }
        Self {
            bytes,
            parts: Vec::new(),
            length: 0,
        }
    }

    /// Appends a range of a segment file.
    pub fn put_records(&mut self, slice: LogSlice) {
        self.length += self.bytes.len() + slice.len();
        let bytes = self.bytes.split();
        self.parts.push(Part::Bytes(bytes));
        self.parts.push(Part::Records(slice));
    }

    /// Writes the length and closes the answer; `None` if it is longer than a frame can be.
    pub fn finish(mut self) -> Option<Reply> {
        let length = i32::try_from(self.length + self.bytes.len() - 4).ok()?;
        if self.parts.is_empty() {
            self.bytes[..4].copy_from_slice(&length.to_be_bytes());
            return Some(Reply::Bytes(self.bytes));
        }
        if let Some(Part::Bytes(first)) = self.parts.first_mut() {
            first[..4].copy_from_slice(&length.to_be_bytes());
        }
        self.parts.push(Part::Bytes(self.bytes));
        Some(Reply::Parts(self.parts))
    }
}

/// Collects answers and writes them out.
pub(crate) struct ReplySink<W> {
    sink: W,
    /// Zeroed once and then overwritten; `filled` says how much of it is to be sent.
    buffer: Vec<u8>,
    filled: usize,
}

impl<W: AsyncWrite + Unpin> ReplySink<W> {
    /// A sink with an empty buffer.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
            filled: 0,
        }
    }

    /// True if everything pushed was written out.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes an answer; writes when the buffer holds enough.
    pub async fn push(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Bytes(bytes) => self.push_bytes(&bytes).await,
            Reply::Parts(parts) => {
                for part in parts {
                    match part {
                        Part::Bytes(bytes) => self.push_bytes(&bytes).await?,
                        Part::Records(slice) => self.push_records(&slice).await?,
                    }
                }
                Ok(())
            }
        }
    }

    /// Writes out what was collected.
    pub async fn flush(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.sink.write_all(&self.buffer[..filled]).await
    }

    /// Gives a large buffer back.
    pub fn shrink(&mut self) {
        if self.filled == 0 && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }

    async fn push_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.filled + bytes.len() > PIECE_BYTES {
            self.flush().await?;
            if bytes.len() > PIECE_BYTES {
                return self.sink.write_all(bytes).await;
            }
        }
        self.room(bytes.len()).copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    async fn push_records(&mut self, slice: &LogSlice) -> io::Result<()> {
        let mut done = 0;
        while done < slice.len() {
            let mut want = (slice.len() - done).min(PIECE_BYTES - self.filled.min(PIECE_BYTES));
            if want < (slice.len() - done).min(4096) {
                self.flush().await?;
                want = (slice.len() - done).min(PIECE_BYTES);
            }
            let read = self.read_piece(slice, done, want).await?;
            self.filled += read;
            done += read;
        }
        Ok(())
    }

    /// Reads from the page cache in place; what is not there is read on a thread that may block.
    async fn read_piece(&mut self, slice: &LogSlice, done: usize, want: usize) -> io::Result<usize> {
        let Some((file, position)) = slice.range() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
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
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => return Ok(read),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        let (file, start) = (Arc::clone(file), self.filled);
        let mut buffer = std::mem::take(&mut self.buffer);
        let (buffer, result) = tokio::task::spawn_blocking(move || {
            use std::os::unix::fs::FileExt;
            let result = file.read_exact_at(&mut buffer[start..start + want], at);
            (buffer, result)
        })
        .await
        .map_err(io::Error::other)?;
        self.buffer = buffer;
        result.map(|()| want)
    }

    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }
}
