//! A table without a key: all its rows as they are at one place of the log, part after part as they are asked for.
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::super::mark::Mark;
use super::super::request::{Answer, ChunkWork, Outcome, Request, RequestId, Work};
use super::reader::Lockers;
use super::reading::{LOOK_MIN, VISIBLE_MAX, high, part};
use crate::mysql::client::{Client, ClientError};
use crate::mysql::stream::LogPosition;

/// By how much longer than a locked table one stays that everybody may write to: who alters it has to wait, and others behind them.
const UNLOCKED: u32 = 10;

/// Often enough for a server to keep a session that has locks.
const PING: Duration = Duration::from_secs(15);

/// A table without a key that is read at one place of the log.
pub(super) struct Whole {
    client: Client,
    /// Holds the table's lock to the end where transactions do not isolate its readers.
    locker: Option<Client>,
    work: ChunkWork,
    /// When nobody asks for more for so long, it is given up.
    patience: Duration,
}

impl Whole {
    /// Begins: the rows will be those at the mark.
    pub(super) async fn begin(
        mut client: Client,
        lockers: &Lockers<'_>,
        after: &LogPosition,
        work: &ChunkWork,
    ) -> Result<(Mark, Self), ClientError> {
        let work = work.clone();
        let (locked, unlocked) = (lockers.patience(), lockers.patience() * UNLOCKED);
        if work.transactional
            && let Some(mark) = exact(&mut client, after).await?
        {
            let whole = Self {
                client,
                locker: None,
                work,
                patience: unlocked,
            };
            return Ok((mark, whole));
        }
        // Who has the lock has no transaction, so that another connection reads.
        let mut locker = lockers.connect().await?;
        locker.lock_table(&work.table).await?;
        client
            .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            .await?;
        let mark = high(&mut locker).await?;
        let (locker, patience) = match work.transactional {
            true => {
                locker.unlock_tables().await?;
                locker.close().await;
                (None, unlocked)
            }
            false => (Some(locker), locked),
        };
        let whole = Self {
            client,
            locker,
            work,
            patience,
        };
        Ok((mark, whole))
    }

    /// Reads part after part, as they are asked for; the connection, unless it is of no use any more.
    pub(super) async fn read(
        mut self,
        requests: &mut mpsc::Receiver<Request>,
        answers: &mpsc::Sender<Answer>,
    ) -> Option<Client> {
        let done = self.parts(requests, answers).await;
        let answer = match done {
            Ok(()) => {
                self.client.execute("COMMIT").await.ok()?;
                if let Some(mut locker) = self.locker {
                    let _ = locker.unlock_tables().await;
                    locker.close().await;
                }
                return Some(self.client);
            }
            // Rows that are not wanted any more end with the connection.
            Err(None) => return None,
            Err(Some((id, error))) => {
                let outcome = Outcome::Busy(format!("reading is begun again: {error}"));
                Answer { id, outcome }
            }
        };
        let _ = answers.send(answer).await;
        None
    }

    async fn parts(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<(), Option<(RequestId, ClientError)>> {
        let Self {
            client,
            locker,
            work,
            patience,
        } = self;
        let asked = next(requests, work, *patience, locker.as_mut()).await;
        let mut asked = asked.ok_or(None)?;
        let stream = kept(locker.as_mut(), client.select_stream(&work.sql)).await;
        let mut stream = stream.map_err(|error| Some((asked, error)))?;
        loop {
            let (rows, last) = kept(locker.as_mut(), part(&mut stream, work))
                .await
                .map_err(|error| Some((asked, error)))?;
            let outcome = Outcome::Part { rows, last };
            answers
                .send(Answer { id: asked, outcome })
                .await
                .map_err(|_| None)?;
            if last {
                return Ok(());
            }
            let more = next(requests, work, *patience, locker.as_mut()).await;
            asked = more.ok_or(None)?;
        }
    }
}

/// Does something while another connection has to stay, with the locks that it has. What is done counts only if it did.
pub(super) async fn kept<T>(
    mut other: Option<&mut Client>,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let mut work = pin!(work);
    loop {
        let done = timeout(PING, &mut work).await;
        if let Some(other) = &mut other {
            other.execute("DO 0").await?;
        }
        if let Ok(done) = done {
            return done;
        }
    }
}

/// The request for the next part; nothing if no more is wanted, nobody asks for so long, or the lock is lost meanwhile.
async fn next(
    requests: &mut mpsc::Receiver<Request>,
    work: &ChunkWork,
    patience: Duration,
    mut locker: Option<&mut Client>,
) -> Option<RequestId> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left.min(PING), requests.recv()).await {
            Ok(Some(Request {
                id,
                work: Work::More(_),
                ..
            })) => return Some(id),
            Ok(_) => return None,
            Err(_) if Instant::now() >= until => {
                tracing::warn!(
                    table = %work.table,
                    "nobody asked for more of the table for {patience:?}, so that its locks are given back: it is read again from its first row"
                );
                return None;
            }
            Err(_) => {
                if let Some(locker) = &mut locker {
                    locker.execute("DO 0").await.ok()?;
                }
            }
        }
    }
}

/// A snapshot at a place that the server tells, and that all is before which the stream has; nothing where it tells none.
async fn exact(client: &mut Client, after: &LogPosition) -> Result<Option<Mark>, ClientError> {
    let begin = Instant::now();
    loop {
        let place = client.exact_snapshot().await?;
        let mark = place.map(|place| Mark::of_place(&place.file, place.position));
        if mark.as_ref().is_some_and(|mark| mark.covers(after)) {
            return Ok(mark);
        }
        client.execute("COMMIT").await?;
        if mark.is_none() || begin.elapsed() > VISIBLE_MAX {
            return Ok(None);
        }
        sleep(LOOK_MIN).await;
    }
}
