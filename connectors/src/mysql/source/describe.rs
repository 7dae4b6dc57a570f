//! Asks the server what tables are, on a connection of its own.
//!
//! Where the log names columns, what the server says adds defaults, comments and declared types. Where it does not, all is the
//! server's word, which is of now, while rows of the log are older. So the log from the rows on is looked through up to what was its
//! end once the server had answered (`scout`): if no statement touched the table there, it was then what it is now.
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::error::SourceError;
use super::link::{Incoming, Link};
use super::start::{dump_start, position};
use crate::mysql::client::dump::replica_uuid;
use crate::mysql::client::{Client, ClientError, DumpRequest};
use crate::mysql::config::{FailureMode, Filters, Selection, SkippedOperations, SourceConfig};
use crate::mysql::schema::describe;
use crate::mysql::schema::{Table, TableId};
use crate::mysql::stream::{LogPosition, Resume, Step, Stream, StreamOptions};

/// How long a server that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it says that it lives while its log is looked through.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What of the log is read ahead then.
const QUEUE_BYTES: usize = 1 << 20;

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    /// Which tables.
    pub(super) tables: Vec<TableId>,
    /// The answer has to be right for this place of the log, too.
    pub(super) since: Option<Since>,
}

/// A place of the log that an answer has to be right for.
#[derive(Debug)]
pub(super) struct Since {
    /// The place.
    pub(super) position: LogPosition,
    /// It is within the transaction behind that place, whose own statements are known.
    pub(super) within: bool,
}

/// What a table is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    /// This.
    Table(Arc<Table>),
    /// There is none of this name now.
    Gone,
    /// It cannot be said, and why.
    Unknown(String),
}

/// The answer: one for each table.
pub(super) type Described = Vec<(TableId, Known)>;

/// Who asks. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Describer {
    asks: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<Result<Described, SourceError>>,
    task: JoinHandle<()>,
    waiting: bool,
}

impl Describer {
    /// Of a server.
    pub(super) fn start(config: Arc<SourceConfig>) -> Self {
        let (asks, mut asked) = mpsc::channel::<Ask>(1);
        let (answer, answers) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut client = None;
            while let Some(ask) = asked.recv().await {
                let described = answered(&config, &mut client, &ask).await;
                if answer.send(described).await.is_err() {
                    return;
                }
            }
        });
        Self {
            asks,
            answers,
            task,
            waiting: false,
        }
    }

    /// Asks; only one thing at a time.
    pub(super) fn ask(&mut self, ask: Ask) {
        assert!(!self.waiting, "the question before is answered first");
        self.waiting = self.asks.try_send(ask).is_ok();
        assert!(self.waiting, "nothing else was asked");
    }

    /// Whether an answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// The answer; never where nothing was asked. Giving up waiting loses nothing.
    pub(super) async fn answer(&mut self) -> Result<Described, SourceError> {
        if !self.waiting {
            return std::future::pending().await;
        }
        let answer = self.answers.recv().await;
        self.waiting = false;
        answer.unwrap_or_else(|| Ok(Vec::new()))
    }
}

impl Drop for Describer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks until the server answers, or too long.
async fn answered(
    config: &SourceConfig,
    client: &mut Option<Client>,
    ask: &Ask,
) -> Result<Described, SourceError> {
    let until = Instant::now() + PATIENCE;
    let mut backoff = Backoff::default();
    loop {
        let error = match described(config, client, ask).await {
            Ok(described) => return Ok(described),
            Err(error) => error,
        };
        *client = None;
        let is_lost = matches!(&error, SourceError::Client(error) if error.is_disconnected());
        if !is_lost || Instant::now() >= until {
            return Err(error);
        }
        tracing::warn!(%error, "asking the server again what tables are");
        sleep(backoff.pause()).await;
    }
}

async fn described(
    config: &SourceConfig,
    kept: &mut Option<Client>,
    ask: &Ask,
) -> Result<Described, SourceError> {
    let client = match kept {
        Some(client) => client,
        None => kept.insert(Client::connect(&config.connection).await?),
    };
    let found = describe::tables(client, &ask.tables).await?;
    let mut changed = HashSet::new();
    if let Some(since) = &ask.since {
        // Behind the answer, so that what may have changed meanwhile is looked at, too.
        let end = position(client.log_end().await?);
        changed = scout(config, client, since, &end, &ask.tables).await?;
    }
    let tables = ask.tables.iter().map(|id| {
        let unknown = found.unknown.iter().find(|unknown| unknown.table == *id);
        let table = found.tables.iter().find(|found| found.table.id == *id);
        let known = match (unknown, table) {
            _ if changed.contains(id) => Known::Unknown("it was changed since".to_owned()),
            (Some(unknown), _) => Known::Unknown(unknown.to_string()),
            (None, Some(found)) => Known::Table(Arc::new(found.table.clone())),
            (None, None) => Known::Gone,
        };
        (id.clone(), known)
    });
    Ok(tables.collect())
}

/// Looks through the log between two places for statements that touch tables, and says which.
async fn scout(
    config: &SourceConfig,
    client: &mut Client,
    since: &Since,
    end: &LogPosition,
    tables: &[TableId],
) -> Result<HashSet<TableId>, SourceError> {
    let mut changed = HashSet::new();
    let Since {
        position: since,
        within,
    } = since;
    if since.has_passed(end) {
        return Ok(changed);
    }
    let facts = client.facts().await?;
    let chance = RandomState::new().hash_one(0_u8) as u32;
    let request = DumpRequest {
        // Numbers of the upper half are seldom given by people.
        server_id: chance | 1 << 31,
        replica_uuid: replica_uuid(&format!("{} {chance}", config.records.connector)),
        start: dump_start(&facts, since, end, &Selection::All)?,
        heartbeat: HEARTBEAT,
        event_bytes_max: config.stream.event_bytes,
        statements: false,
    };
    let dump = Client::connect(&config.connection).await?.dump(&request).await?;
    let mut link = Link::open(dump, QUEUE_BYTES);
    let mut stream = Stream::new(Resume::at(since.clone()), options(config));
    while !stream.position().has_passed(end) {
        match link.next().await {
            Incoming::Event(raw) => stream.push(raw)?,
            Incoming::Ended(Some(error)) => return Err(error.into()),
            Incoming::Ended(None) => {
                return Err(SourceError::Client(ClientError::Lost {
                    what: "looking through the log",
                    reason: "the server ended it".to_owned(),
                }));
            }
        }
        while let Some(step) = stream.next()? {
            let is_known = *within && stream.position() == since;
            if let Step::Schema(change) = step
                && !is_known
            {
                let touched = tables.iter().filter(|table| change.touches.has(table));
                changed.extend(touched.cloned());
            }
        }
    }
    Ok(changed)
}

/// Statements are told, rows are not.
fn options(config: &SourceConfig) -> StreamOptions {
    StreamOptions {
        filters: Filters {
            databases: config.filters.databases.clone(),
            tables: config.filters.tables.clone(),
            skipped: SkippedOperations {
                creates: true,
                updates: true,
                deletes: true,
                truncates: true,
            },
            ..Filters::default()
        },
        failures: FailureMode::Skip,
        event_bytes: config.stream.event_bytes,
        ..StreamOptions::default()
    }
}
