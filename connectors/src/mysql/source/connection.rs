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
    /// A start takes a snapshot where the log is gone.
    starts_anew: bool,
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
    /// A connection that lives. With `starts_anew`, a start takes a snapshot where the log is gone.
    pub(super) fn new(link: Link, starts_anew: bool) -> Self {
        Self::of(State::Up(link, Instant::now()), starts_anew)
    }

    /// None for now.
    #[cfg(test)]
    pub(super) fn down() -> Self {
        Self::of(State::Down(Instant::now() + PATIENCE), false)
    }

    fn of(state: State, starts_anew: bool) -> Self {
        Self {
            state,
            starts_anew,
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
        // Also where it is not tried again: whoever asks once more finds no attempt that has ended.
        self.state = State::Down(Instant::now() + self.backoff.pause());
        if let Some(error) = error {
            let again = match (&error, error.damaged_at()) {
                (SourceError::Client(error), _) => error.is_disconnected(),
                (_, Some(place)) => !self.is_damaged(place),
                (_, None) => false,
            };
            if !again || since.elapsed() > PATIENCE {
                return Err(match self.starts_anew && error.needs_snapshot() {
                    true => SourceError::StartsAnew(Box::new(error)),
                    false => error,
                });
            }
            tracing::warn!(%error, "connecting to the server again");
        } else {
            tracing::warn!("the server ended the stream of its log; connecting again");
        }
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
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(ended) => self.lost(Some(start::lost(&ended.to_string())))?,
                    },
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_connect::plugin::{ErrorKind, PluginError};

    use super::*;
    use crate::mysql::client::{ClientError, LogError, LogErrorKind};

    fn connecting(error: SourceError, starts_anew: bool) -> Connection {
        let attempt = tokio::spawn(async { Err(error) });
        Connection::of(State::Connecting(Connecting(attempt)), starts_anew)
    }

    fn server(code: u16) -> SourceError {
        SourceError::Client(ClientError::Server {
            what: "asking",
            code,
            state: "HY000".to_owned(),
            message: "no".to_owned(),
        })
    }

    #[tokio::test]
    async fn an_attempt_that_failed_for_good_may_be_made_again() {
        let mut connection = connecting(server(1317), false);
        let error = PluginError::from(connection.happens().await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Retriable);
        // The runtime polls again after such an error.
        let happened = connection.happens().await.unwrap();
        assert!(matches!(happened, Happened::MayConnect));
    }

    #[tokio::test]
    async fn an_attempt_that_is_ended_is_made_again() {
        let attempt = tokio::spawn(std::future::pending());
        attempt.abort();
        let mut connection = Connection::of(State::Connecting(Connecting(attempt)), false);
        let happened = connection.happens().await.unwrap();
        assert!(matches!(happened, Happened::MayConnect));
    }

    #[tokio::test]
    async fn a_log_that_is_gone_has_the_connector_started_again_where_that_helps() {
        for (starts_anew, kind) in [(true, ErrorKind::Fatal), (false, ErrorKind::UserConfig)] {
            let purged = || {
                SourceError::Client(ClientError::Log(LogError {
                    kind: LogErrorKind::Purged,
                    message: "purged".to_owned(),
                }))
            };
            let mut connection = connecting(purged(), starts_anew);
            let error = PluginError::from(connection.happens().await.unwrap_err());
            assert_eq!(error.kind(), kind, "{error}");
            let error = PluginError::from(connection.lost(Some(purged())).unwrap_err());
            assert_eq!(error.kind(), kind, "{error}");
        }
        let error = connecting(server(1045), true).happens().await.unwrap_err();
        assert_eq!(PluginError::from(error).kind(), ErrorKind::UserConfig);
    }
}
