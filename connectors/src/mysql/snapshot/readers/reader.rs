//! One reader: its connection, its requests, and what it does about errors.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::super::request::{Answer, Outcome, Request, Work};
use super::super::settings::SnapshotError;
use super::ReadersConfig;
use super::reading;
use super::whole::Whole;
use crate::mysql::client::server::Flavour;
use crate::mysql::client::{Client, ClientError};

/// The pauses between tries to connect.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Errors that say that a table or a column is not there, or not as it was.
const CHANGED: [u16; 5] = [1049, 1054, 1146, 1412, 1615];

/// A reader's connection.
pub(super) struct Connection {
    config: Arc<ReadersConfig>,
    server: watch::Receiver<String>,
    client: Option<Client>,
}

/// Answers requests until nobody asks any more.
pub(super) async fn run(
    config: Arc<ReadersConfig>,
    server: watch::Receiver<String>,
    mut requests: mpsc::Receiver<Request>,
    answers: mpsc::Sender<Answer>,
) {
    let mut connection = Connection {
        config,
        server,
        client: None,
    };
    while let Some(request) = requests.recv().await {
        let id = request.id;
        let (outcome, whole) = connection.answer(&request).await;
        if answers.send(Answer { id, outcome }).await.is_err() {
            return;
        }
        if let Some(whole) = whole {
            // It has the connection until it is read, or not wanted any more.
            connection.client = whole.read(&mut requests, &answers).await;
        }
    }
}

impl Connection {
    /// Does what is asked for; a table without a key is begun.
    async fn answer(&mut self, request: &Request) -> (Outcome, Option<Whole>) {
        match &request.work {
            Work::Rest(time) => {
                sleep(*time).await;
                return (Outcome::Rested, None);
            }
            // Its table was given up when the connection was lost, which was answered already.
            Work::More(_) | Work::Forget(_) => {
                return (Outcome::Busy("the table was given up".to_owned()), None);
            }
            _ => {}
        }
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let error = match self.try_answer(request).await {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            if !error.is_disconnected() {
                return (outcome_of(request, &error), None);
            }
            self.client = None;
            let Some(pause) = pause else {
                return (
                    Outcome::Failed(SnapshotError::Disconnected(error.to_string())),
                    None,
                );
            };
            tracing::warn!(%error, "a reader of the snapshot connects again");
            sleep(pause).await;
        }
        unreachable!("the last try has no pause")
    }

    async fn try_answer(&mut self, request: &Request) -> Result<(Outcome, Option<Whole>), ClientError> {
        let mut client = self.connected().await?;
        let server = self.server.borrow().clone();
        let lockers = Lockers {
            config: &self.config,
            server: &server,
        };
        let outcome = match &request.work {
            Work::List => reading::list(&mut client, &request.after).await,
            Work::Survey { table, surrogate } => {
                reading::survey(&mut client, &request.after, table, surrogate.as_deref()).await
            }
            Work::Chunk(work) if work.locking => reading::locked_chunk(&mut client, &lockers, work).await,
            Work::Chunk(work) => reading::chunk(&mut client, &request.after, work).await,
            Work::Whole(work) => {
                let (mark, whole) = Whole::begin(client, &lockers, &request.after, work).await?;
                return Ok((Outcome::Begun(mark), Some(whole)));
            }
            Work::More(_) | Work::Forget(_) | Work::Rest(_) => unreachable!("it was answered"),
        };
        // What went wrong in a transaction, or holds locks, ends with its connection.
        if outcome.is_ok() {
            self.client = Some(client);
        }
        Ok((outcome?, None))
    }

    async fn connected(&mut self) -> Result<Client, ClientError> {
        if self.server.has_changed().unwrap_or(false) {
            self.client = None;
        }
        if let Some(client) = self.client.take() {
            return Ok(client);
        }
        let expected = self.server.borrow_and_update().clone();
        connect(&self.config, &expected).await
    }
}

/// Makes the connections that lock what another one reads: both have to be to the server that the stream comes from.
pub(super) struct Lockers<'a> {
    config: &'a ReadersConfig,
    server: &'a str,
}

impl Lockers<'_> {
    pub(super) async fn connect(&self) -> Result<Client, ClientError> {
        connect(self.config, self.server).await
    }

    /// How long what one of them locks may stay locked without a use.
    pub(super) fn patience(&self) -> Duration {
        self.config.patience
    }
}

/// A connection to the server that the stream comes from.
async fn connect(config: &ReadersConfig, expected: &str) -> Result<Client, ClientError> {
    let mut client = Client::connect(&config.connection).await?;
    client.set_lock_timeout(config.lock_timeout).await?;
    let statement = match client.flavour() {
        Flavour::MySql => "SELECT @@GLOBAL.server_uuid",
        Flavour::MariaDb => "SELECT CONCAT('mariadb-', @@GLOBAL.server_id)",
    };
    let rows = client.query(statement).await?;
    let found = rows.first().and_then(|row| row.text(0)).unwrap_or_default();
    if found != expected {
        return Err(ClientError::Lost {
            what: "connecting for a snapshot",
            reason: format!("{found} answers, and the log comes from {expected}"),
        });
    }
    Ok(client)
}

/// What an error that a new connection does not help against means.
fn outcome_of(request: &Request, error: &ClientError) -> Outcome {
    let table = match &request.work {
        Work::Survey { table, .. } => Some(table),
        Work::Chunk(work) | Work::Whole(work) => Some(&work.table),
        _ => None,
    };
    let code = error.code();
    match (code, table) {
        (Some(code), Some(_)) if CHANGED.contains(&code) => Outcome::Changed(error.to_string()),
        _ if error.kind() == millstream_connect::plugin::ErrorKind::Retriable => {
            Outcome::Busy(error.to_string())
        }
        (_, Some(table)) => Outcome::Failed(SnapshotError::Refused {
            table: table.clone(),
            message: error.to_string(),
        }),
        (_, None) => Outcome::Failed(SnapshotError::Denied(error.to_string())),
    }
}
