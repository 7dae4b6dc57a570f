//! The connection that the log comes by: read, lost, made again.
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::error::SourceError;
use super::link::{Incoming, Link};
use super::start;
use crate::mysql::binlog::Place;
use crate::mysql::client::server::Facts;
use crate::mysql::config::SourceConfig;
use crate::mysql::offset::Offset;

/// How long a server that is gone is waited for before the task fails. It is started again then, with pauses that grow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that lives for so long is one.
const LASTING: Duration = Duration::from_secs(1);

/// The pause where something has to be told before.
const TOO_EARLY: Duration = Duration::from_millis(20);

/// So often the same place is read again when its bytes are damaged.
const DAMAGES_MAX: u32 = 3;

/// A connection, or what is done to have one.
#[derive(Debug)]
pub(super) struct Connection {
    state: State,
    backoff: Backoff,
    /// Since when there is none.
    lost: Option<Instant>,
    /// Where bytes came damaged last, and how often.
    damaged: Option<(Place, u32)>,
}

#[derive(Debug)]
enum State {
    /// Since then.
    Up(Link, Instant),
    /// Until then nothing is tried.
    Down(Instant),
    Connecting(Connecting),
}

/// An attempt. Dropping it ends it.
#[derive(Debug)]
struct Connecting(JoinHandle<Result<(Facts, Link), SourceError>>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum Happened {
    /// Something came; it is taken by [`Connection::try_next`].
    Incoming(Incoming),
    /// It is time to connect again: [`Connection::connect`].
    MayConnect,
    /// There is a connection again.
    Connected(Box<Facts>),
}

impl Connection {
    pub(super) fn new(link: Link) -> Self {
        Self {
            state: State::Up(link, Instant::now()),
            backoff: Backoff::default(),
            lost: None,
            damaged: None,
        }
    }

    /// What has come, if there is something.
    pub(super) fn try_next(&mut self) -> Option<Incoming> {
        match &mut self.state {
            State::Up(link, _) => link.try_next(),
            _ => None,
        }
    }

    /// An event came. A connection that lasts has ended what was wrong before.
    pub(super) fn is_well(&mut self) {
        if let (Some(_), State::Up(_, since)) = (self.lost, &self.state)
            && since.elapsed() > LASTING
        {
            self.lost = None;
            self.backoff.reset();
        }
    }

    /// It is too early to connect.
    pub(super) fn wait(&mut self) {
        self.state = State::Down(Instant::now() + TOO_EARLY);
    }

    /// Whether bytes of this place came damaged too often.
    fn is_damaged(&mut self, place: &Place) -> bool {
        let times = match &self.damaged {
            Some((known, times)) if known == place => times + 1,
            _ => 1,
        };
        self.damaged = Some((place.clone(), times));
        times > DAMAGES_MAX
    }

    /// The connection is gone, and why, if it is known: the server ended it without a word when it stops.
    ///
    /// # Errors
    /// When another connection would not help, or has been tried for too long.
    pub(super) fn lost(&mut self, error: Option<SourceError>) -> Result<(), SourceError> {
        let since = *self.lost.get_or_insert_with(Instant::now);
        if let Some(error) = error {
            let again = match (&error, error.damaged_at()) {
                (SourceError::Client(error), _) => error.is_disconnected(),
                (_, Some(place)) => !self.is_damaged(place),
                (_, None) => false,
            };
            if !again || since.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::warn!(%error, "connecting to the server again");
        } else {
            tracing::warn!("the server ended the stream of its log; connecting again");
        }
        self.state = State::Down(Instant::now() + self.backoff.pause());
        Ok(())
    }

    /// Connects, to go on where `offset` says.
    pub(super) fn connect(&mut self, config: &Arc<SourceConfig>, offset: Offset) {
        let config = Arc::clone(config);
        let attempt = async move {
            let from = offset.resume.dump_from().clone();
            start::connect(&config, &offset, &from).await
        };
        self.state = State::Connecting(Connecting(tokio::spawn(attempt)));
    }

    /// Waits for something to happen. Giving up waiting loses nothing.
    ///
    /// # Errors
    /// As [`Connection::lost`].
    pub(super) async fn happens(&mut self) -> Result<Happened, SourceError> {
        loop {
            match &mut self.state {
                State::Up(link, _) => return Ok(Happened::Incoming(link.next().await)),
                State::Down(until) => {
                    sleep_until(*until).await;
                    return Ok(Happened::MayConnect);
                }
                State::Connecting(Connecting(attempt)) => match attempt.await {
                    Ok(Ok((facts, link))) => {
                        self.state = State::Up(link, Instant::now());
                        return Ok(Happened::Connected(Box::new(facts)));
                    }
                    Ok(Err(error)) => self.lost(Some(error))?,
                    // It was not ended by anybody else.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
            }
        }
    }
}
