//! The log on its way: a reader of its own fills a queue that is bounded by bytes, so that a slow task makes the server wait.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::mysql::client::{ClientError, EventStream};

/// The most events that wait, however small they are.
const EVENTS_MAX: usize = 1 << 14;

/// What comes.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A raw event.
    Event(Bytes),
    /// The stream ended: the server stopped, or this is why.
    Ended(Option<ClientError>),
}

/// A connection that is being read. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Link {
    events: mpsc::Receiver<Incoming>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    reader: JoinHandle<()>,
    /// What came first, and was looked at already.
    first: Option<Incoming>,
}

impl Link {
    /// Reads from a stream of events, no more than so many bytes ahead, but at least one event.
    pub(super) fn open(stream: EventStream, queue_bytes: usize) -> Self {
        let room_bytes = queue_bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let room = Arc::new(Semaphore::new(room_bytes));
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let reader = tokio::spawn(read(stream, sender, Arc::clone(&room), room_bytes));
        Self {
            events,
            room,
            room_bytes,
            reader,
            first: None,
        }
    }

    /// Waits for the first event, which comes again; what there is instead of it, if it does not come.
    pub(super) async fn peek(&mut self) -> Option<Incoming> {
        match self.next().await {
            event @ Incoming::Event(_) => {
                self.first = Some(event);
                None
            }
            ended => Some(ended),
        }
    }

    /// The next, once it is there. Giving up waiting loses nothing.
    pub(super) async fn next(&mut self) -> Incoming {
        if let Some(first) = self.first.take() {
            return first;
        }
        let incoming = self.events.recv().await;
        self.taken(incoming.unwrap_or(Incoming::Ended(None)))
    }

    /// The next, if it is there.
    pub(super) fn try_next(&mut self) -> Option<Incoming> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let incoming = self.events.try_recv().ok()?;
        Some(self.taken(incoming))
    }

    fn taken(&self, incoming: Incoming) -> Incoming {
        if let Incoming::Event(raw) = &incoming {
            self.room.add_permits(permits(raw, self.room_bytes) as usize);
        }
        incoming
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What an event takes of the room: one that is larger takes all of it.
fn permits(raw: &Bytes, room_bytes: usize) -> u32 {
    raw.len().clamp(1, room_bytes) as u32
}

async fn read(
    mut stream: EventStream,
    sender: mpsc::Sender<Incoming>,
    room: Arc<Semaphore>,
    room_bytes: usize,
) {
    loop {
        let incoming = match stream.next().await {
            Ok(Some(raw)) => {
                let Ok(permit) = room.acquire_many(permits(&raw, room_bytes)).await else {
                    return;
                };
                permit.forget();
                Incoming::Event(raw)
            }
            Ok(None) => Incoming::Ended(None),
            Err(error) => Incoming::Ended(Some(error)),
        };
        let ended = matches!(incoming, Incoming::Ended(_));
        if sender.send(incoming).await.is_err() || ended {
            return;
        }
    }
}
