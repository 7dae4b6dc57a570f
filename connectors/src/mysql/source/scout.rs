//! Looks through the log ahead of the stream, for statements that touch tables.
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::describe::Since;
use super::error::SourceError;
use super::link::{Incoming, Link};
use super::start::dump_start;
use crate::mysql::binlog::Collation;
use crate::mysql::client::dump::replica_uuid;
use crate::mysql::client::server::Facts;
use crate::mysql::client::{Client, ClientError, DumpRequest};
use crate::mysql::config::{FailureMode, Filters, Selection, SkippedOperations, SourceConfig};
use crate::mysql::schema::TableId;
use crate::mysql::stream::ddl::{SchemaKind, Touched};
use crate::mysql::stream::{LogPosition, Resume, SchemaChange, Step, Stream, StreamOptions};

/// How often the server says that it lives while its log is looked through.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What of the log is read ahead then.
const QUEUE_BYTES: usize = 1 << 20;
/// So many statements are remembered.
const CHANGES_MAX: usize = 10_000;

/// Statements of a part of the log, up to its end when a server had answered.
#[derive(Debug, Default)]
pub(super) struct Scouted {
    since: Option<LogPosition>,
    /// What they touch, and the place before each.
    changes: Vec<(Touched, LogPosition)>,
    /// Databases that are made or changed by them.
    databases: Vec<(Touched, LogPosition)>,
    /// Default collations of databases, as the server answered.
    pub(super) collations: HashMap<String, Collation>,
}

impl Scouted {
    /// Whether a statement behind this place touches a table.
    pub(super) fn changes(&self, table: &TableId, at: &LogPosition) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|(touched, place)| touched.has(table) && place.has_passed(at))
    }

    /// Whether it is known without asking that all these tables are changed behind this place.
    pub(super) fn knows_of(&self, tables: &[TableId], since: &Since) -> bool {
        let reaches = self
            .since
            .as_ref()
            .is_some_and(|begin| !since.within && since.position.has_passed(begin));
        let known = |table: &TableId| {
            self.changes(table, &since.position) && self.collations.contains_key(&*table.database)
        };
        reaches && tables.iter().all(known)
    }

    /// Default collations of databases that hold at this place.
    pub(super) fn collations_at(&self, at: &LogPosition) -> BTreeMap<String, Collation> {
        let of_database = |name: &str| TableId::new(name, "");
        let holds = |name: &str| {
            let mut changes = self.databases.iter();
            !changes.any(|(touched, place)| touched.has(&of_database(name)) && place.has_passed(at))
        };
        let held = self.collations.iter().filter(|(name, _)| holds(name));
        held.map(|(name, collation)| (name.clone(), *collation)).collect()
    }

    fn add(&mut self, change: &SchemaChange, place: &LogPosition) {
        if self.changes.len() >= CHANGES_MAX {
            // The later ones tell of more places.
            self.changes.remove(0);
        }
        self.changes.push((change.touches.clone(), place.clone()));
        let of_databases = change.kind == SchemaKind::Database || change.touches == Touched::Everything;
        if of_databases {
            self.databases.push((change.touches.clone(), place.clone()));
        }
    }
}

/// Looks through the log between a place and the end that it had.
pub(super) async fn scout(
    config: &SourceConfig,
    facts: &Facts,
    since: &Since,
    end: &LogPosition,
) -> Result<Scouted, SourceError> {
    let mut found = Scouted {
        since: Some(since.position.clone()).filter(|_| !since.within),
        ..Scouted::default()
    };
    let Since { position: since, within } = since;
    if since.has_passed(end) {
        return Ok(found);
    }
    let chance = RandomState::new().hash_one(0_u8) as u32;
    let request = DumpRequest {
        // Numbers of the upper half are seldom given by people.
        server_id: chance | 1 << 31,
        replica_uuid: replica_uuid(&format!("{} {chance}", config.records.connector)),
        start: dump_start(facts, since, end, &Selection::All)?,
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
                found.add(&change, stream.position());
            }
        }
    }
    Ok(found)
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
