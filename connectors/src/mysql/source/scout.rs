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
use crate::mysql::config::{FailureMode, Filters, SkippedOperations, SourceConfig};
use crate::mysql::schema::TableId;
use crate::mysql::stream::ddl::Touched;
use crate::mysql::stream::{Capture, LogPosition, Resume, Step, Stream, StreamOptions};

/// How often the server says that it lives while its log is looked through.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What of the log is read ahead then.
const QUEUE_BYTES: usize = 1 << 20;
/// The last changes of so many tables and databases are remembered; with more, it is as if statements had touched all.
const CHANGES_MAX: usize = 100_000;

/// Statements of a part of the log, up to its end when a server had answered.
#[derive(Debug, Default)]
pub(super) struct Scouted {
    since: Option<LogPosition>,
    /// The place before the last statement that touches a table; names in small letters.
    tables: HashMap<TableId, LogPosition>,
    /// The same of databases as a whole.
    databases: HashMap<String, LogPosition>,
    /// The same of all tables.
    all: Option<LogPosition>,
    /// The same of captured tables, also of those that are gone already.
    captured: Option<LogPosition>,
    /// Default collations of databases, as the server answered.
    pub(super) collations: HashMap<String, Collation>,
}

impl Scouted {
    /// Whether a statement behind this place touches a table.
    pub(super) fn changes(&self, table: &TableId, at: &LogPosition) -> bool {
        let changed = self.tables.get(&small(table));
        changed.is_some_and(|place| place.has_passed(at)) || self.changes_database(&table.database, at)
    }

    /// Whether a statement behind this place touches any captured table.
    pub(super) fn touches_captured(&self, at: &LogPosition) -> bool {
        self.captured.as_ref().is_some_and(|place| place.has_passed(at))
    }

    fn changes_database(&self, database: &str, at: &LogPosition) -> bool {
        let changed = self.databases.get(&database.to_lowercase());
        let mut changes = changed.iter().copied().chain(&self.all);
        changes.any(|place| place.has_passed(at))
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
        let held = self
            .collations
            .iter()
            .filter(|(name, _)| !self.changes_database(name, at));
        held.map(|(name, collation)| (name.clone(), *collation)).collect()
    }

    fn add(&mut self, touched: &Touched, place: &LogPosition, capture: &Capture) {
        let captured = match touched {
            Touched::Tables(tables) => tables
                .iter()
                .any(|id| capture.table(&id.database, &id.table).table),
            Touched::Database(name) => capture.database(name),
            Touched::Everything => true,
        };
        if captured {
            self.captured = Some(place.clone());
        }
        match touched {
            Touched::Tables(tables) => {
                let places = tables.iter().map(|table| (small(table), place.clone()));
                self.tables.extend(places);
            }
            Touched::Database(name) => drop(self.databases.insert(name.to_lowercase(), place.clone())),
            Touched::Everything => self.all = Some(place.clone()),
        }
        if self.tables.len() + self.databases.len() > CHANGES_MAX {
            self.tables.clear();
            self.databases.clear();
            self.all = Some(place.clone());
            self.captured = Some(place.clone());
        }
    }
}

/// Whether letters' case matters on the server is not known here: a table too many that is changed does no harm.
fn small(table: &TableId) -> TableId {
    TableId::new(&table.database.to_lowercase(), &table.table.to_lowercase())
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
    let Since {
        position: since,
        within,
    } = since;
    if since.has_passed(end) {
        return Ok(found);
    }
    let chance = RandomState::new().hash_one(0_u8) as u32;
    let request = DumpRequest {
        // Numbers of the upper half are seldom given by people.
        server_id: chance | 1 << 31,
        replica_uuid: replica_uuid(&format!("{} {chance}", config.records.connector)),
        start: dump_start(facts, since, end, &config.stream.gtid_sources)?,
        heartbeat: HEARTBEAT,
        event_bytes_max: config.stream.event_bytes,
        statements: false,
    };
    let dump = Client::connect_for_log(&config.connection)
        .await?
        .dump(&request)
        .await?;
    let mut link = Link::open(dump, QUEUE_BYTES);
    let mut stream = Stream::new(Resume::at(since.clone()), options(config));
    let capture = Capture::new(config.filters.clone());
    let mut passed = false;
    while !passed {
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
                found.add(&change.touches, stream.position(), &capture);
            }
        }
        // Only now: places are compared as well, and before its first event the stream's may be another server's.
        passed = is_passed(end, stream.position());
    }
    Ok(found)
}

/// Whether a stream that stands here has all of the log up to its end. By either way of knowing: servers may know of transactions that are not in
/// their logs (`gtid_purged` was set, `log_replica_updates=OFF`).
fn is_passed(end: &LogPosition, position: &LogPosition) -> bool {
    let by_place = LogPosition::at(end.file.clone(), end.position);
    position.has_passed(end) || position.has_passed(&by_place)
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
        ahead: true,
        ..StreamOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::config::{Selection, parse_patterns};
    use crate::mysql::stream::Gtids;

    fn at(position: u64) -> LogPosition {
        LogPosition::at("bin.000001", position)
    }

    fn since(position: u64) -> Since {
        Since {
            position: at(position),
            within: false,
        }
    }

    #[test]
    fn a_log_is_looked_through_though_its_server_knows_of_more_transactions() {
        let gtids = |set: &str| Some(Gtids::Mysql(set.parse().unwrap()));
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let end = LogPosition {
            gtids: gtids(&format!("{uuid}:1-9")),
            ..at(500)
        };
        let stream = |position| LogPosition {
            gtids: gtids(&format!("{uuid}:1-5")),
            ..at(position)
        };
        assert!(!is_passed(&end, &stream(499)));
        assert!(is_passed(&end, &stream(500)));
        assert!(is_passed(&end, &end));
    }

    #[test]
    fn the_last_statement_behind_a_place_counts() {
        let mut found = Scouted {
            since: Some(at(100)),
            collations: [("d".to_owned(), 8), ("e".to_owned(), 45)].into(),
            ..Scouted::default()
        };
        let table = |name: &str| TableId::new("d", name);
        let filters = Filters {
            databases: Selection::Include(parse_patterns("d").unwrap()),
            tables: Selection::Exclude(parse_patterns("d[.][tu]").unwrap()),
            ..Filters::default()
        };
        let capture = Capture::new(filters);
        found.add(&Touched::Tables(vec![table("T"), table("u")]), &at(200), &capture);
        found.add(&Touched::Tables(vec![table("t")]), &at(300), &capture);
        let changed = |found: &Scouted, name: &str, position| found.changes(&table(name), &at(position));
        assert!(changed(&found, "t", 300) && !changed(&found, "t", 301));
        assert!(changed(&found, "u", 200) && !changed(&found, "u", 201));
        assert!(!changed(&found, "v", 100));
        assert!(found.knows_of(&[table("t"), table("u")], &since(150)));
        assert!(!found.knows_of(&[table("t"), table("u")], &since(250)));
        assert!(
            !found.knows_of(&[table("t")], &since(99)),
            "nothing was looked at there"
        );
        assert_eq!(found.collations_at(&at(100)).len(), 2);
        assert!(!found.touches_captured(&at(100)), "neither is captured");
        found.add(&Touched::Tables(vec![table("x")]), &at(350), &capture);
        assert!(found.touches_captured(&at(350)) && !found.touches_captured(&at(351)));
        found.add(&Touched::Database("e".to_owned()), &at(360), &capture);
        assert!(!found.touches_captured(&at(351)));
        found.add(&Touched::Database("D".to_owned()), &at(400), &capture);
        assert!(changed(&found, "v", 400) && !changed(&found, "v", 401));
        assert_eq!(found.collations_at(&at(400)), [("e".to_owned(), 45)].into());
        found.add(&Touched::Everything, &at(500), &capture);
        assert!(found.changes(&TableId::new("e", "x"), &at(500)));
        assert!(found.collations_at(&at(500)).is_empty());
    }
}
