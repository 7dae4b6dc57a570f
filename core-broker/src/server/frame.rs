//! Cuts the byte stream of a connection into frames: a four-byte length, then that many bytes.
//!
//! Why: everything else sees whole requests as one [`Bytes`], from which record batches are sliced without a copy.
//! Owns: the read buffer. Does not own: what a frame means (`server::header`, `api`).
//!
//! Invariants: a length outside 0..=`socket.request.max.bytes` is an error before anything is allocated; room
//! grows only as bytes really arrive, up to a bound at once for a peer that has sent as much before; reading can be
//! cancelled at any await without losing bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::budget::{Budget, Reservation};

/// Room made for the first bytes of a connection and between requests.
const ROOM_BYTES_MIN: usize = 8 * 1024;
/// A buffer above this is given up between two requests.
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Room made at once for a frame as large as one that the peer has sent: what producers send by default.
const SHOWN_BYTES_MAX: usize = 1 << 20;
/// How long a half-sent frame may make no progress.
const STALL: Duration = Duration::from_secs(30);

/// One whole request.
pub(crate) struct Frame {
    /// Everything after the length.
    pub bytes: Bytes,
    /// Its share of the budget, held until the request is answered.
    pub reservation: Reservation,
}

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The peer closed between two frames.
    #[error("closed by the peer")]
    Closed,
    /// The peer closed inside a frame.
    #[error("closed by the peer inside a request")]
    Cut,
    /// A length that no request has.
    #[error(
        "request length {length} is outside 0 to {max} bytes (socket.request.max.bytes); is the peer a Kafka client without TLS?"
    )]
    Length {
        /// The length claimed.
        length: i32,
        /// The most that is allowed.
        max: i32,
    },
    /// Half a frame came, then nothing.
    #[error("a request stopped arriving for {} s", STALL.as_secs())]
    Stalled,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames from one connection.
pub(crate) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    budget: Arc<Budget>,
    /// The share of the frame being read; counts what exceeds the smallest buffer.
    reservation: Reservation,
    reserved: usize,
    length_max: i32,
    /// Length of the frame before, up to [`SHOWN_BYTES_MAX`].
    shown: usize,
    /// When the last bytes came.
    progress: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of frames of at most `length_max` bytes.
    pub fn new(source: R, length_max: i32, budget: &Arc<Budget>) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            budget: Arc::clone(budget),
            reservation: Reservation::new(budget),
            reserved: 0,
            length_max,
            shown: 0,
            progress: Instant::now(),
        }
    }

    /// The next frame. Safe to cancel.
    pub async fn next(&mut self) -> Result<Frame, FrameError> {
        loop {
            let have = self.buffer.len();
            let missing = match self.claimed()? {
                Some(length) if have >= 4 + length => {
                    self.reserve_budget(4 + length).await;
                    return Ok(self.take(length));
                }
                Some(length) => {
                    // Four times what is there: a large frame takes few copies, a large claim takes no memory. As much as
                    // came the last time takes one copy.
                    let room = (4 + length - have).min(ROOM_BYTES_MIN.max(have * 3).max(self.shown));
                    self.reserve_budget(have + room).await;
                    room
                }
                None => ROOM_BYTES_MIN,
            };
            if self.buffer.capacity() - have < missing.min(ROOM_BYTES_MIN) {
                self.buffer.reserve(missing);
            }
            let read = self.source.read_buf(&mut self.buffer);
            let count = match have {
                0 => read.await?,
                // The deadline outlives a cancelled call: it counts from the last byte.
                _ => timeout_at(self.progress + STALL, read)
                    .await
                    .map_err(|_| FrameError::Stalled)??,
            };
            self.progress = Instant::now();
            if count == 0 {
                return Err(if have == 0 {
                    FrameError::Closed
                } else {
                    FrameError::Cut
                });
            }
        }
    }

    /// Bytes of the budget that a half-read frame holds.
    pub fn held(&self) -> usize {
        self.reservation.bytes()
    }

    /// Gives the buffer back if nothing is in it.
    pub fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The length that the next frame claims, once its four bytes are there.
    fn claimed(&self) -> Result<Option<usize>, FrameError> {
        let Some(bytes) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*bytes);
        match usize::try_from(length) {
            Ok(size) if length <= self.length_max => Ok(Some(size)),
            _ => Err(FrameError::Length {
                length,
                max: self.length_max,
            }),
        }
    }

    async fn reserve_budget(&mut self, total: usize) {
        if total > self.reserved {
            self.reservation.grow(total - self.reserved).await;
            self.reserved = total;
        }
    }

    fn take(&mut self, length: usize) -> Frame {
        self.buffer.advance(4);
        let bytes = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        self.reserved = 0;
        self.shown = length.min(SHOWN_BYTES_MAX);
        Frame {
            bytes,
            reservation: std::mem::replace(&mut self.reservation, Reservation::new(&self.budget)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn reader(bytes: &'static [u8], max: i32) -> FrameReader<&'static [u8]> {
        FrameReader::new(bytes, max, &Budget::new(1 << 20))
    }

    #[tokio::test]
    async fn frames_follow_each_other() {
        let mut reader = reader(b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01z\0\0", 10);
        assert_eq!(&reader.next().await.unwrap().bytes[..], b"abc");
        assert_eq!(&reader.next().await.unwrap().bytes[..], b"");
        assert_eq!(&reader.next().await.unwrap().bytes[..], b"z");
        assert!(matches!(reader.next().await, Err(FrameError::Cut)));
    }

    #[tokio::test]
    async fn hostile_lengths_are_refused_before_any_room_is_made() {
        for (bytes, claimed) in [
            (b"\xff\xff\xff\xff", -1),
            (b"\x7f\xff\xff\xff", i32::MAX),
            (b"\0\0\0\x0b", 11),
        ] {
            let mut reader = reader(bytes, 10);
            assert!(
                matches!(reader.next().await, Err(FrameError::Length { length, .. }) if length == claimed)
            );
            assert!(reader.buffer.capacity() <= 2 * ROOM_BYTES_MIN);
        }
    }

    #[tokio::test]
    async fn room_grows_with_the_bytes_not_with_the_claim() {
        let (mut peer, mine) = tokio::io::duplex(1 << 16);
        let budget = Budget::new(1 << 30);
        let mut reader = FrameReader::new(mine, i32::MAX, &budget);
        peer.write_all(&(1_i32 << 29).to_be_bytes()).await.unwrap();
        peer.write_all(&[0; 1000]).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
        assert!(waiting.is_err());
        assert!(reader.buffer.capacity() < 64 * 1024);
        assert!(budget.used() < 64 * 1024);
    }

    #[tokio::test]
    async fn a_peer_gets_room_for_what_it_has_sent_before() {
        let (mut peer, mine) = tokio::io::duplex(1 << 16);
        let mut reader = FrameReader::new(mine, i32::MAX, &Budget::new(1 << 30));
        let sent = tokio::spawn(async move {
            for length in [300_000, 3 << 20, 1 << 29] {
                peer.write_all(&i32::to_be_bytes(length)).await.unwrap();
                peer.write_all(&vec![0; length.min(4 << 20) as usize / 8])
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
                if length < 1 << 29 {
                    peer.write_all(&vec![0; (length - length / 8) as usize])
                        .await
                        .unwrap();
                }
            }
            peer
        });
        let frames = [reader.next().await.unwrap(), reader.next().await.unwrap()];
        assert_eq!(frames.each_ref().map(|f| f.bytes.len()), [300_000, 3 << 20]);
        let waiting = tokio::time::timeout(Duration::from_millis(100), reader.next()).await;
        assert!(waiting.is_err());
        let capacity = reader.buffer.capacity();
        assert!((SHOWN_BYTES_MAX..4 << 20).contains(&capacity), "{capacity}");
        drop(sent.await.unwrap());
    }

    #[tokio::test]
    async fn cancelled_reads_lose_nothing_and_the_budget_is_given_back() {
        let (mut peer, mine) = tokio::io::duplex(64);
        let budget = Budget::new(1 << 20);
        let mut reader = FrameReader::new(mine, 1 << 20, &budget);
        let payload: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let sent = payload.clone();
        tokio::spawn(async move {
            peer.write_all(&(sent.len() as i32).to_be_bytes()).await.unwrap();
            peer.write_all(&sent).await.unwrap();
            std::future::pending::<()>().await;
        });
        let frame = loop {
            match tokio::time::timeout(Duration::from_micros(200), reader.next()).await {
                Ok(frame) => break frame.unwrap(),
                Err(_) => continue,
            }
        };
        assert_eq!(&frame.bytes[..], &payload[..]);
        assert!(budget.used() >= payload.len());
        drop(frame);
        assert_eq!(budget.used(), 0);
    }
}
