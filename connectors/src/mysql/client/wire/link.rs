//! Packets over a socket.
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// The bytes before each packet: its length, and its number within a command.
const HEAD_BYTES: usize = 4;

/// A packet of so many bytes goes on in the next one.
const PACKET_BYTES_MAX: usize = 0xff_ffff;

/// What is read at once.
const READ_BYTES: usize = 128 << 10;

/// The socket.
pub(in crate::mysql::client) enum Socket {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why no packet came.
#[derive(Debug)]
pub(in crate::mysql::client) enum LinkError {
    /// The socket ended or failed.
    Io(io::Error),
    /// More came at once than is allowed.
    TooLarge(usize),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection that is divided into packets. Payloads are slices of what was read.
pub(in crate::mysql::client) struct Link {
    socket: Socket,
    inbox: BytesMut,
    /// The first parts of a payload that takes several packets.
    parts: Option<BytesMut>,
    /// The number of the next packet that is sent.
    sequence: u8,
    outbox: Vec<u8>,
    /// The most bytes of a payload.
    pub payload_bytes_max: usize,
}

impl Link {
    pub(in crate::mysql::client) fn new(socket: Socket, payload_bytes_max: usize) -> Self {
        Self {
            socket,
            inbox: BytesMut::new(),
            parts: None,
            sequence: 0,
            outbox: Vec::new(),
            payload_bytes_max,
        }
    }

    pub(in crate::mysql::client) fn is_encrypted(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// The plain socket, to be encrypted; nothing if more was read than was asked for, which no honest server sends before.
    pub(in crate::mysql::client) fn into_plain(self) -> Option<(TcpStream, u8)> {
        match self.socket {
            Socket::Plain(socket) if self.inbox.is_empty() => Some((socket, self.sequence)),
            _ => None,
        }
    }

    pub(in crate::mysql::client) fn with_sequence(mut self, sequence: u8) -> Self {
        self.sequence = sequence;
        self
    }

    /// The next payload. Giving up waiting loses nothing.
    pub(in crate::mysql::client) async fn receive(&mut self) -> Result<Bytes, LinkError> {
        loop {
            if let Some(payload) = self.take()? {
                return Ok(payload);
            }
            self.fill().await?;
        }
    }

    /// The next payload; nothing once not a byte has come for so long. However large it is, it may take its time. Giving up waiting loses nothing.
    pub(in crate::mysql::client) async fn receive_unless_silent(
        &mut self,
        silence_max: Duration,
    ) -> Result<Option<Bytes>, LinkError> {
        loop {
            if let Some(payload) = self.take()? {
                return Ok(Some(payload));
            }
            match timeout(silence_max, self.fill()).await {
                Ok(filled) => filled?,
                Err(_) => return Ok(None),
            }
        }
    }

    /// A payload that is here already.
    pub(in crate::mysql::client) fn take(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            let Some(length) = self.next_length() else {
                return Ok(None);
            };
            let before = self.parts.as_ref().map_or(0, BytesMut::len);
            if before + length > self.payload_bytes_max {
                return Err(LinkError::TooLarge(self.payload_bytes_max));
            }
            if self.inbox.len() < HEAD_BYTES + length {
                return Ok(None);
            }
            self.sequence = self.inbox[3].wrapping_add(1);
            self.inbox.advance(HEAD_BYTES);
            let part = self.inbox.split_to(length);
            if length > READ_BYTES {
                // Small payloads behind a large one do not keep its buffer.
                self.inbox = BytesMut::from(&self.inbox[..]);
            }
            let ends = length < PACKET_BYTES_MAX;
            match &mut self.parts {
                None if ends => return Ok(Some(part.freeze())),
                None => self.parts = Some(part),
                Some(parts) => {
                    parts.extend_from_slice(&part);
                    if ends {
                        return Ok(self.parts.take().map(BytesMut::freeze));
                    }
                }
            }
        }
    }

    fn next_length(&self) -> Option<usize> {
        let head = self.inbox.get(..HEAD_BYTES)?;
        Some(usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16)
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        let missing = self
            .next_length()
            .map_or(0, |length| (HEAD_BYTES + length).saturating_sub(self.inbox.len()));
        // What a length claims is reserved only as its bytes come.
        let room = missing.min(self.inbox.len()).max(READ_BYTES);
        if self.inbox.capacity() - self.inbox.len() < READ_BYTES / 4 {
            self.inbox.reserve(room);
        }
        let read = match &mut self.socket {
            Socket::Plain(socket) => read(socket, &mut self.inbox).await?,
            Socket::Tls(socket) => read(socket.as_mut(), &mut self.inbox).await?,
        };
        match read {
            0 => Err(LinkError::Io(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ))),
            _ => Ok(()),
        }
    }

    /// Sends a command.
    pub(in crate::mysql::client) async fn command(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        self.sequence = 0;
        self.send(payload).await
    }

    /// Sends an answer to what came last.
    pub(in crate::mysql::client) async fn send(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        self.outbox.clear();
        for part in payload.chunks(PACKET_BYTES_MAX) {
            self.frame(part);
        }
        // A payload whose last packet is full, and one without bytes, end with an empty one.
        if payload.len().is_multiple_of(PACKET_BYTES_MAX) {
            self.frame(&[]);
        }
        let outbox = std::mem::take(&mut self.outbox);
        let sent = match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(&outbox).await,
            Socket::Tls(socket) => match socket.write_all(&outbox).await {
                Ok(()) => socket.flush().await,
                failed => failed,
            },
        };
        // Rare large statements do not keep their memory.
        if outbox.capacity() <= READ_BYTES {
            self.outbox = outbox;
        }
        Ok(sent?)
    }

    fn frame(&mut self, part: &[u8]) {
        let length = (part.len() as u32).to_le_bytes();
        self.outbox
            .extend_from_slice(&[length[0], length[1], length[2], self.sequence]);
        self.outbox.extend_from_slice(part);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Ends the connection, as far as it can be told.
    pub(in crate::mysql::client) async fn shutdown(mut self) {
        let _ = match &mut self.socket {
            Socket::Plain(socket) => socket.shutdown().await,
            Socket::Tls(socket) => socket.shutdown().await,
        };
    }
}

async fn read<S: AsyncRead + Unpin>(socket: &mut S, inbox: &mut BytesMut) -> io::Result<usize> {
    socket.read_buf(inbox).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn link() -> (TcpStream, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (
            accepted.unwrap().0,
            Link::new(Socket::Plain(socket.unwrap()), 1 << 30),
        )
    }

    fn packet(bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u32).to_le_bytes();
        let mut packet = vec![length[0], length[1], length[2], 0];
        packet.extend_from_slice(bytes);
        packet
    }

    #[tokio::test]
    async fn a_payload_may_take_longer_than_silence_may() {
        let (mut server, mut link) = link().await;
        let silence_max = Duration::from_secs(2);
        let sending = async {
            for byte in packet(b"ab") {
                server.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(silence_max / 4).await;
            }
        };
        let began = tokio::time::Instant::now();
        let (payload, ()) = tokio::join!(link.receive_unless_silent(silence_max), sending);
        assert_eq!(payload.unwrap().unwrap(), "ab");
        assert!(began.elapsed() > silence_max);
        let silent = link.receive_unless_silent(Duration::from_millis(20)).await;
        assert!(silent.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_follows_a_large_payload_does_not_keep_its_buffer() {
        let (mut server, mut link) = link().await;
        let mut bytes = packet(&vec![1; 8 << 20]);
        bytes.extend(packet(b"small"));
        let sending = async {
            server.write_all(&bytes).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let receiving = async {
            assert_eq!(link.receive().await.unwrap().len(), 8 << 20);
            // The buffer is as large as what is behind it, and no more than what is read at once.
            assert!(
                link.inbox.capacity() <= link.inbox.len().max(READ_BYTES),
                "{}",
                link.inbox.capacity()
            );
            assert_eq!(link.receive().await.unwrap(), "small");
        };
        tokio::join!(receiving, sending);
    }
}
