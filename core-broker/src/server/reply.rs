//! One answer on its way to the socket.
//!
//! Why: record bytes go from the page cache to the socket with one copy and in bounded pieces, however large the
//! answer is; the same parts can later be handed to sendfile. Owns: the length prefix, the response header, the
//! output buffer. Does not own: the layout of bodies (`api`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

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

impl Reply {
    /// Size in bytes, length prefix included.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Bytes(bytes) => bytes.len(),
                    Part::Records(slice) => slice.len(),
                })
                .sum(),
        }
    }
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
        slice.count_sent();
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
    /// How long the peer may take nothing.
    patience: Duration,
}

impl<W: AsyncWrite + Unpin> ReplySink<W> {
    /// A sink with an empty buffer; a peer that takes nothing for `patience` is given up.
    pub fn new(sink: W, patience: Duration) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
            filled: 0,
            patience,
        }
    }

    /// True if everything pushed was written out.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// From now on a peer that takes nothing for `patience` is given up.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
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
        write_all(&mut self.sink, &self.buffer[..filled], self.patience).await
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
                return write_all(&mut self.sink, bytes, self.patience).await;
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

/// Writes everything, as long as some of it is taken every now and then.
async fn write_all(
    sink: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    patience: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = tokio::time::timeout(patience, sink.write(bytes)).await;
        let written =
            written.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer takes no answers"))??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::io::AsyncReadExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// An answer with a range of a file of `records` bytes, and all its bytes.
    fn answer(records: usize) -> (Reply, Vec<u8>) {
        let content: Vec<u8> = (0..records + 10).map(|i| i as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), &content).unwrap();
        let file = Arc::new(File::open(dir.path().join("log")).unwrap());
        let mut writer = ReplyWriter::new(7, true, 0);
        writer.bytes.put_slice(b"head");
        writer.put_records(LogSlice::new(file, 10, records));
        writer.bytes.put_slice(b"tail");
        let body = [&b"\0\0\0\x07\0head"[..], &content[10..], b"tail"].concat();
        let whole = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        (writer.finish().unwrap(), whole)
    }

    #[tokio::test]
    async fn answers_come_out_whole_whatever_their_size() {
        for records in [
            1,
            4096,
            PIECE_BYTES - 10,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            3 * PIECE_BYTES + 77,
        ] {
            let (ours, mut theirs) = tokio::io::duplex(10_000);
            let (reply, whole) = answer(records);
            let (small, small_bytes) = answer(3);
            let sent = tokio::spawn(async move {
                let mut sink = ReplySink::new(ours, PATIENCE);
                sink.push(small).await.unwrap();
                sink.push(reply).await.unwrap();
                sink.flush().await.unwrap();
                assert!(sink.is_empty() && sink.buffer.len() <= 2 * PIECE_BYTES);
                sink.shrink();
                assert!(sink.buffer.capacity() <= KEPT_BYTES_MAX);
            });
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            sent.await.unwrap();
            assert!(received == [small_bytes, whole].concat(), "{records}");
        }
    }

    #[tokio::test]
    async fn a_cut_file_is_an_error_and_a_deaf_peer_is_given_up() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut writer = ReplyWriter::new(7, false, 0);
        writer.put_records(LogSlice::new(file, 0, 100));
        let mut sink = ReplySink::new(Vec::new(), PATIENCE);
        let error = sink.push(writer.finish().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

        let (ours, _theirs) = tokio::io::duplex(10);
        let mut sink = ReplySink::new(ours, Duration::from_millis(20));
        sink.push(answer(100).0).await.unwrap();
        assert_eq!(sink.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
