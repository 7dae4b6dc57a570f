//! Asks the server what tables are, on a connection of its own.
//!
//! Where the log names columns, what the server says adds defaults, comments and declared types. Where it does not, all is the
//! server's word, which is of now, while rows of the log are older. So the log from the rows on is looked through up to what was its
//! end once the server had answered ([`scout`](super::scout)): if no statement touched the table there, it was then what it is now.
//! Otherwise its word is not of that place, and statements say what the table becomes ([`computed`](super::computed)).
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::error::SourceError;
use super::scout::{Scouted, scout};
use super::start::position;
use crate::mysql::binlog::Collation;
use crate::mysql::client::Client;
use crate::mysql::client::server::Facts;
use crate::mysql::config::SourceConfig;
use crate::mysql::schema::{Table, TableId, ddl, describe};
use crate::mysql::stream::LogPosition;

/// How long a server that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask {
    /// Which tables.
    pub(super) tables: Vec<TableId>,
    /// The answer has to be right for this place of the log, too.
    pub(super) since: Option<Since>,
    /// The log does not name columns, so that statements may have to say what tables become.
    pub(super) unnamed: bool,
    /// The server whose log it is.
    pub(super) identity: String,
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
    /// Something else than now: a statement changed it since.
    Changed,
    /// It cannot be said, and why.
    Unknown(String),
}

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// One for each table.
    pub(super) tables: Vec<(TableId, Known)>,
    /// Default collations of databases, as far as they hold for the place.
    pub(super) collations: BTreeMap<String, Collation>,
    /// Whose statements are in the log.
    pub(super) server: Option<Arc<ddl::Server>>,
    /// A statement behind the place touches captured tables, whether they were asked for or not.
    pub(super) touched: bool,
}

/// A connection, and what was found with it.
#[derive(Debug)]
struct Asked {
    client: Client,
    facts: Facts,
    server: Option<Arc<ddl::Server>>,
    scouted: Scouted,
}

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
            let mut kept = None;
            while let Some(ask) = asked.recv().await {
                let described = answered(&config, &mut kept, &ask).await;
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
        answer.unwrap_or_else(|| Ok(Described::default()))
    }
}

impl Drop for Describer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What tables are, for a source that begins.
pub(super) async fn once(config: &SourceConfig, ask: &Ask) -> Result<Described, SourceError> {
    answered(config, &mut None, ask).await
}

/// Asks until the server answers, or too long.
async fn answered(
    config: &SourceConfig,
    kept: &mut Option<Asked>,
    ask: &Ask,
) -> Result<Described, SourceError> {
    let until = Instant::now() + PATIENCE;
    let mut backoff = Backoff::default();
    loop {
        let error = match described(config, kept, ask).await {
            Ok(described) => return Ok(described),
            Err(error) => error,
        };
        *kept = None;
        let is_lost = matches!(&error, SourceError::Client(error) if error.is_disconnected());
        if !is_lost || Instant::now() >= until {
            return Err(error);
        }
        tracing::warn!(%error, "asking the server again what tables are");
        sleep(backoff.pause()).await;
    }
}

impl Asked {
    async fn connect(config: &SourceConfig) -> Result<Self, SourceError> {
        let mut client = Client::connect(&config.connection).await?;
        let facts = client.facts().await?;
        Ok(Self {
            client,
            facts,
            server: None,
            scouted: Scouted::default(),
        })
    }

    /// What is to be known of the server where statements say what tables become.
    async fn server(&mut self) -> Result<Arc<ddl::Server>, SourceError> {
        if let Some(server) = &self.server {
            return Ok(Arc::clone(server));
        }
        let collations = describe::all_collations(&mut self.client).await?;
        let variables = &self.facts.variables;
        let server = Arc::new(ddl::Server {
            flavour: self.facts.flavour,
            version: self.facts.version,
            collations: Arc::new(collations),
            explicit_timestamps: variables.on("explicit_defaults_for_timestamp").unwrap_or(false),
            lower_case: !self.facts.names_have_case(),
        });
        self.server = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Looks through the log from a place on, behind what the server answered, so that what may have changed meanwhile is looked at, too.
    async fn look(&mut self, config: &SourceConfig, ask: &Ask, since: &Since) -> Result<(), SourceError> {
        let mut collations = std::collections::HashMap::new();
        if ask.unnamed {
            let server = self.server().await?;
            for id in &ask.tables {
                let name = id.database.to_string();
                if collations.contains_key(&name) {
                    continue;
                }
                let collation = describe::database_collation(&mut self.client, &name).await?;
                if let Some(Ok(collation)) = collation.map(|collation| server.collations.named(&collation)) {
                    collations.insert(name, collation);
                }
            }
        }
        let end = position(self.client.log_end().await?);
        self.scouted = scout(config, &self.facts, since, &end).await?;
        self.scouted.collations = collations;
        Ok(())
    }
}

async fn described(
    config: &SourceConfig,
    kept: &mut Option<Asked>,
    ask: &Ask,
) -> Result<Described, SourceError> {
    // The server that was asked before may live on beside the one that took its place.
    kept.take_if(|asked| asked.facts.identity != ask.identity);
    let asked = match kept {
        Some(asked) => asked,
        None => kept.insert(Asked::connect(config).await?),
    };
    let mut answer = Described::default();
    if ask.unnamed {
        answer.server = Some(asked.server().await?);
    }
    let Some(since) = &ask.since else {
        answer.tables = found(&mut asked.client, ask).await?;
        return Ok(answer);
    };
    answer.tables = match asked.scouted.knows_of(&ask.tables, since) {
        true => ask.tables.iter().map(|id| (id.clone(), Known::Changed)).collect(),
        false => {
            let mut tables = found(&mut asked.client, ask).await?;
            asked.look(config, ask, since).await?;
            for (id, known) in &mut tables {
                if asked.scouted.changes(id, &since.position) {
                    *known = Known::Changed;
                }
            }
            tables
        }
    };
    answer.collations = asked.scouted.collations_at(&since.position);
    answer.touched = asked.scouted.touches_captured(&since.position);
    Ok(answer)
}

/// What the server says.
async fn found(client: &mut Client, ask: &Ask) -> Result<Vec<(TableId, Known)>, SourceError> {
    let found = match ask.unnamed {
        true => describe::alterable(client, &ask.tables).await?,
        false => describe::tables(client, &ask.tables).await?,
    };
    let tables = ask.tables.iter().map(|id| {
        let unknown = found.unknown.iter().find(|unknown| unknown.table == *id);
        let table = found.tables.iter().find(|found| found.table.id == *id);
        let known = match (unknown, table) {
            (Some(unknown), _) => Known::Unknown(unknown.to_string()),
            (None, Some(found)) => Known::Table(Arc::new(found.table.clone())),
            (None, None) => Known::Gone,
        };
        (id.clone(), known)
    });
    Ok(tables.collect())
}
