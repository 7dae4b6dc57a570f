//! Connections that answer what a snapshot asks for.
//!
//! Each reader is a task with a connection of its own, which it makes again when it is lost. It is asked for one thing at a time, so that
//! no more rows are in memory than are asked for; a table without a key stays open at its reader from one part to the next.
mod reader;
mod reading;
mod whole;

pub(in crate::mysql) use reading::until_visible;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::request::{Answer, Outcome, Request, RequestId, Work};
use super::settings::SnapshotError;
use crate::mysql::config::ConnectionConfig;

/// Requests that wait at a reader: one, and that a table is not wanted any more.
const WAITING_MAX: usize = 4;

/// What readers are told.
#[derive(Clone, Debug)]
pub struct ReadersConfig {
    /// How to reach the server.
    pub connection: ConnectionConfig,
    /// How many there are.
    pub readers: usize,
    /// How long they wait for locks.
    pub lock_timeout: Duration,
    /// How long a table stays locked of which nobody asks for more: [`Readers::PATIENCE`].
    pub patience: Duration,
}

/// Connections that answer what a snapshot asks for. Dropping it ends them.
#[derive(Debug)]
pub struct Readers {
    each: Vec<Reader>,
    answers: mpsc::Receiver<Answer>,
    /// Which reader does what.
    doing: HashMap<RequestId, usize>,
    server: watch::Sender<String>,
}

/// One of them, from outside.
#[derive(Debug)]
struct Reader {
    requests: mpsc::Sender<Request>,
    is_busy: bool,
    /// The table without a key that it holds, by the request that began it.
    holds: Option<RequestId>,
    task: AbortHandle,
}

impl Readers {
    /// For so long a table stays locked of which nobody asks for more.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// Readers that connect when they are asked for something. Places in logs mean something on one server alone: `server` is the
    /// [identity](crate::mysql::client::server::Facts::identity) of that which the stream comes from.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(config: ReadersConfig, server: &str) -> Self {
        let count = config.readers.max(1);
        let (answer, answers) = mpsc::channel(count);
        let (server, known) = watch::channel(server.to_owned());
        let config = Arc::new(config);
        let each = (0..count).map(|_| {
            let (requests, asked) = mpsc::channel(WAITING_MAX);
            let task = reader::run(Arc::clone(&config), known.clone(), asked, answer.clone());
            let task = tokio::spawn(task);
            let reader = Reader {
                requests,
                is_busy: false,
                holds: None,
                task: task.abort_handle(),
            };
            let answer = answer.clone();
            tokio::spawn(async move {
                if let Err(error) = task.await
                    && error.is_panic()
                {
                    let reason = format!("a reader panicked: {error}");
                    let outcome = Outcome::Failed(SnapshotError::Disconnected(reason));
                    let _ = answer
                        .send(Answer {
                            id: RequestId(0),
                            outcome,
                        })
                        .await;
                }
            });
            reader
        });
        Self {
            each: each.collect(),
            answers,
            doing: HashMap::new(),
            server,
        }
    }

    /// The stream comes from this server now.
    pub fn set_server(&mut self, identity: &str) {
        self.server.send_if_modified(|known| {
            let is_other = known != identity;
            identity.clone_into(known);
            is_other
        });
    }

    /// Has a free reader do something.
    ///
    /// # Panics
    /// When more is asked for than there are readers, which a [`Snapshot`](super::Snapshot) never does.
    pub fn ask(&mut self, request: Request) {
        let index = match request.work {
            Work::More(of) | Work::Forget(of) => self.each.iter().position(|reader| reader.holds == Some(of)),
            _ => self
                .each
                .iter()
                .position(|reader| !reader.is_busy && reader.holds.is_none()),
        };
        let Some(index) = index else {
            assert!(
                matches!(request.work, Work::Forget(_) | Work::More(_)),
                "no more is asked for than there are readers"
            );
            return;
        };
        let reader = &mut self.each[index];
        if let Work::Forget(_) = request.work {
            reader.holds = None;
        } else {
            reader.is_busy = true;
            self.doing.insert(request.id, index);
        }
        // One that has panicked was answered for.
        let sent = reader.requests.try_send(request);
        debug_assert!(
            sent.is_ok() || reader.task.is_finished(),
            "a reader has one request at a time"
        );
    }

    /// The next answer, once there is one. Giving up waiting loses nothing.
    pub async fn answer(&mut self) -> Answer {
        let answer = self.answers.recv().await;
        self.answered(answer)
    }

    /// The next answer, if there is one.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        Some(self.answered(Some(answer)))
    }

    fn answered(&mut self, answer: Option<Answer>) -> Answer {
        let Some(answer) = answer else {
            // They end with this, and not before.
            return Answer {
                id: RequestId(0),
                outcome: Outcome::Failed(SnapshotError::Disconnected("its readers have ended".to_owned())),
            };
        };
        if let Some(index) = self.doing.remove(&answer.id) {
            let reader = &mut self.each[index];
            reader.is_busy = false;
            match answer.outcome {
                Outcome::Begun(_) => reader.holds = Some(answer.id),
                Outcome::Part { last: false, .. } => {}
                _ => reader.holds = None,
            }
        }
        answer
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.each.iter().for_each(|reader| reader.task.abort());
    }
}
