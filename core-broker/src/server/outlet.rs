//! Where the bytes of answers go: a socket that takes ranges of files out of the page cache by itself.
//!
//! Why: history goes from the page cache to the network card without passing through this process. Owns: the system
//! calls that send, waiting until the peer takes more, and keeping the wait for a disk off the threads that serve
//! connections. Does not own: what is sent, and in which order (`server::sink`).
//!
//! Invariants: no thread that serves connections waits for a disk here; a call sends the beginning of what it was given, in
//! order, and says how much that was.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::sendfile;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::coop::consume_budget;

use super::page_cache::is_cached;

/// Why an answer could not be sent to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The peer is gone or deaf.
    #[error(transparent)]
    Peer(#[from] io::Error),
    /// The file has fewer bytes than the answer has promised.
    #[error(
        "{file} ends at or before position {position}, in the middle of what an answer has promised; is something else writing to the data directory?"
    )]
    Cut {
        /// Which file.
        file: String,
        /// The first position that is missing, or one before it.
        position: u64,
    },
    /// The disk failed.
    #[error("cannot read {file} at position {position}: {source}")]
    Disk {
        /// Which file.
        file: String,
        /// Where.
        position: u64,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl SendError {
    /// What it means that `file` has nothing at `position`.
    pub fn cut(file: &File, position: u64) -> Self {
        let file = name_of(file);
        Self::Cut { file, position }
    }

    /// What it means that `file` could not be read at `position`.
    pub fn disk(file: &File, position: u64, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return Self::cut(file, position);
        }
        let file = name_of(file);
        Self::Disk {
            file,
            position,
            source,
        }
    }

    /// A peer that took nothing for as long as it was allowed.
    pub fn deaf() -> Self {
        Self::Peer(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer takes no answers",
        ))
    }
}

/// The name of an open file, as far as the system tells.
fn name_of(file: &File) -> String {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_or_else(|_| "a segment file".to_owned(), |path| path.display().to_string())
}

/// What takes the bytes of answers.
pub(crate) trait Outlet {
    /// Sends some of `bytes`, not none; `more` says that more comes at once, so that packets can be filled. A peer that
    /// takes nothing for `patience` is given up.
    async fn send(&mut self, bytes: &[u8], more: bool, patience: Duration) -> Result<usize, SendError>;

    /// Sends some of `length` bytes of `file` from `position` on, without taking them into this process. Zero if the file
    /// has none; nothing if this outlet or this file's system cannot do that.
    async fn send_file(
        &mut self,
        file: &Arc<File>,
        position: u64,
        length: usize,
        patience: Duration,
    ) -> Result<Option<usize>, SendError>;
}

/// The sending half of a connection.
pub(crate) struct Socket {
    /// Shared with the thread that waits for a disk.
    half: Arc<OwnedWriteHalf>,
}

impl Socket {
    /// Takes the sending half.
    pub fn new(half: OwnedWriteHalf) -> Self {
        Self { half: Arc::new(half) }
    }

    async fn writable(&self, patience: Duration) -> Result<(), SendError> {
        // Ready at once, it may never give way to other connections.
        consume_budget().await;
        tokio::time::timeout(patience, self.half.writable())
            .await
            .map_err(|_| SendError::deaf())?
            .map_err(SendError::Peer)
    }
}

impl Outlet for Socket {
    async fn send(&mut self, bytes: &[u8], more: bool, patience: Duration) -> Result<usize, SendError> {
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        loop {
            self.writable(patience).await?;
            let stream: &TcpStream = (*self.half).as_ref();
            let sent = stream.try_io(Interest::WRITABLE, || {
                retry_on_intr(|| send(stream, bytes, flags)).map_err(io::Error::from)
            });
            match sent {
                Ok(0) => return Err(SendError::Peer(io::ErrorKind::WriteZero.into())),
                Ok(sent) => return Ok(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(SendError::Peer(error)),
            }
        }
    }

    async fn send_file(
        &mut self,
        file: &Arc<File>,
        position: u64,
        length: usize,
        patience: Duration,
    ) -> Result<Option<usize>, SendError> {
        loop {
            // First the peer: while it takes nothing, nobody needs to look at the disk.
            self.writable(patience).await?;
            let sent = if is_cached(file, position, length) {
                try_send_file(&self.half, file, position, length)
            } else {
                // The system reads ahead of a file that is sent from the start to the end; advice to do so (measured with
                // posix_fadvise) halves the throughput.
                let (half, file) = (Arc::clone(&self.half), Arc::clone(file));
                tokio::task::spawn_blocking(move || try_send_file(&half, &file, position, length))
                    .await
                    .map_err(io::Error::other)?
            };
            match sent {
                Ok(sent) => return Ok(Some(sent)),
                Err(Errno::AGAIN) => {}
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(None),
                Err(error @ Errno::IO) => return Err(SendError::disk(file, position, error.into())),
                Err(error) => return Err(SendError::Peer(error.into())),
            }
        }
    }
}

/// Sends as much as the socket takes now; waits for the disk where it must, but never for the peer.
///
/// Through `try_io` on whichever thread: what it finds out about the socket's readiness must not be set aside, or a
/// wake-up that comes in between is lost.
fn try_send_file(half: &OwnedWriteHalf, file: &File, position: u64, length: usize) -> Result<usize, Errno> {
    let stream: &TcpStream = half.as_ref();
    let sent = stream.try_io(Interest::WRITABLE, || {
        let mut at = position;
        retry_on_intr(|| sendfile(stream, file, Some(&mut at), length)).map_err(io::Error::from)
    });
    sent.map_err(|error| match error.raw_os_error() {
        Some(code) => Errno::from_raw_os_error(code),
        // Not ready, says the runtime, without asking the system.
        None => Errno::AGAIN,
    })
}
