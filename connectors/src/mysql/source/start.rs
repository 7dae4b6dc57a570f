//! Where a source begins: what is stored, what the server still has, and whether what is there already is to be read.
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::announce::{self, Announcement};
use super::describe::{self, Ask, Described, Since};
use super::error::SourceError;
use super::link::{Incoming, Link};
use super::prepared::end_of_prepared;
use super::ready::ready;
use crate::mysql::binlog::Place;
use crate::mysql::client::dump::replica_uuid;
use crate::mysql::client::server::{Facts, Flavour};
use crate::mysql::client::{Client, ClientError, DumpRequest, DumpStart, Gtids as ServerGtids, LogEnd};
use crate::mysql::config::{Selection, SnapshotMode, SourceConfig};
use crate::mysql::gtid::GtidSet;
use crate::mysql::offset::{Offset, Snapshots};
use crate::mysql::schema::{TableId, describe as server};
use crate::mysql::snapshot::{SnapshotState, until_visible};
use crate::mysql::stream::{Capture, Gtids, LogPosition, Resume};

/// How often the server says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often a source that begins looks for a place where tables do not change.
const ATTEMPTS: u32 = 10;
/// How long, where the log says what tables are: what is not announced then is read all the same.
const ATTEMPTS_TIME: Duration = Duration::from_secs(60);

/// A source that can begin.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) facts: Facts,
    pub(super) offset: Offset,
    pub(super) link: Link,
    /// Nothing was stored, or it is of no use.
    pub(super) anew: bool,
}

/// Connects, and finds out where to begin. A source that begins anew without names of columns in the log, or is to tell what tables are, begins
/// where that is known: with its first offset their descriptions are stored, so that none has to be found out later.
pub(super) async fn described(
    config: &SourceConfig,
    stored: Option<Offset>,
) -> Result<(Started, Described, Option<Announcement>), SourceError> {
    let began = Instant::now();
    for attempt in 1.. {
        let started = start(config, stored.clone()).await?;
        let (unnamed, announces) = (
            !started.facts.has_full_metadata(),
            Announcement::is_wanted(config),
        );
        if !started.anew || !(unnamed || announces) {
            return Ok((started, Described::default(), None));
        }
        let place = &started.offset.resume.position;
        let tables = tables_of(config, place).await?;
        // Statements first: what is found to have changed is newer than them. Where nobody is told, they are asked for nevertheless: a server gives
        // them only when whoever alters the table is done, so that what it says next has all that is before the place.
        let statements = announce::statements(config, &tables).await?;
        let announcement = match announces {
            true => Some(Announcement::read(config, &tables).await?),
            false => None,
        };
        let trusted = config.snapshot.mode == SnapshotMode::Recovery;
        let ask = Ask {
            tables,
            since: (!trusted).then(|| Since {
                position: place.clone(),
                within: false,
            }),
            unnamed,
            identity: started.facts.identity.clone(),
        };
        let described = describe::once(config, &ask).await?;
        // The first log's beginning is where it is.
        let may_move = config.snapshot.mode != SnapshotMode::Never
            && attempt < ATTEMPTS
            && (unnamed || began.elapsed() < ATTEMPTS_TIME);
        // A table that is gone already is in no list, and the log may have rows of it.
        if !may_move || !described.touched {
            let announcement = announcement.map(|mut announcement| {
                announcement.learn(&described.tables, statements);
                announcement
            });
            // Where the log says what tables are, it is asked.
            let described = if unnamed { described } else { Described::default() };
            return Ok((started, described, announcement));
        }
        tracing::info!("tables changed while the server said what they are: beginning behind that");
    }
    unreachable!("the last attempt returns")
}

/// Connects, and finds out where to begin.
async fn start(config: &SourceConfig, stored: Option<Offset>) -> Result<Started, SourceError> {
    let mode = config.snapshot.mode;
    // What Debezium had begun to read is read anew.
    let stored = stored.filter(|offset| offset.snapshot != Snapshots::Unfinished || !reads_tables(mode));
    ready(config, reads_now(stored.as_ref(), mode)).await?;
    if let Some(offset) = stored {
        let position = offset.resume.dump_from().clone();
        match connect(config, &offset, &position).await {
            Ok((facts, link)) => {
                let offset = Offset {
                    server_uuid: Some(facts.identity.clone()),
                    snapshot: Snapshots::At(snapshot_of(&offset, mode)),
                    ..offset
                };
                return Ok(Started {
                    facts,
                    offset,
                    link,
                    anew: false,
                });
            }
            Err(error) if error.needs_snapshot() && mode == SnapshotMode::WhenNeeded => {
                tracing::warn!(%error, "what comes behind the offset is gone: a new snapshot is taken");
            }
            Err(error) => return Err(error),
        }
    }
    begin(config).await
}

/// Whether what is in tables is going to be read, or read on.
fn reads_now(stored: Option<&Offset>, mode: SnapshotMode) -> bool {
    match stored {
        None => reads_tables(mode),
        Some(offset) => !snapshot_of(offset, mode).runs.is_empty(),
    }
}

/// Whether what is in tables is ever read with this mode.
fn reads_tables(mode: SnapshotMode) -> bool {
    !matches!(
        mode,
        SnapshotMode::NoData | SnapshotMode::Never | SnapshotMode::Recovery
    )
}

fn snapshot_of(offset: &Offset, mode: SnapshotMode) -> SnapshotState {
    match (&offset.snapshot, mode) {
        (Snapshots::At(state), SnapshotMode::Always) if !state.is_initial() => SnapshotState::initial(),
        (Snapshots::At(state), _) => state.clone(),
        (Snapshots::Unfinished, _) => SnapshotState::default(),
    }
}

/// Without anything stored.
async fn begin(config: &SourceConfig) -> Result<Started, SourceError> {
    let mode = config.snapshot.mode;
    let mut client = Client::connect(&config.connection).await?;
    let facts = client.facts().await?;
    let resume = match mode {
        SnapshotMode::Never => Resume::at(first_position(&mut client).await?),
        _ => {
            // Rows of XA transactions that are prepared now, and committed later, are read from the first of these places on; what was
            // prepared before it is waited for.
            let before = position(client.log_end().await?);
            end_of_prepared(&mut client).await?;
            let position = position(client.log_end().await?);
            Resume {
                read_from: (before != position).then_some(before),
                ..Resume::at(position)
            }
        }
    };
    client.close().await;
    let offset = Offset {
        resume,
        server_uuid: Some(facts.identity.clone()),
        server_id: None,
        ts_sec: None,
        snapshot: Snapshots::At(match reads_tables(mode) {
            true => SnapshotState::initial(),
            false => SnapshotState::default(),
        }),
    };
    let from = offset.resume.dump_from().clone();
    let (facts, link) = connect(config, &offset, &from).await?;
    Ok(Started {
        facts,
        offset,
        link,
        anew: true,
    })
}

pub(super) fn position(end: LogEnd) -> LogPosition {
    let gtids = end.gtids.map(|gtids| match gtids {
        ServerGtids::MySql(set) => Gtids::Mysql(set),
        ServerGtids::MariaDb(position) => Gtids::Mariadb(position),
    });
    LogPosition {
        gtids,
        ..LogPosition::at(end.place.file, end.place.position)
    }
}

/// Where the logs begin that there are.
async fn first_position(client: &mut Client) -> Result<LogPosition, SourceError> {
    let rows = client.query("SHOW BINARY LOGS").await?;
    match rows.first().and_then(|row| row.text(0)) {
        Some(file) => Ok(LogPosition::at(file, 4)),
        None => Err(SourceError::Server(
            "the server writes no binary log (log_bin); start it with --log-bin".to_owned(),
        )),
    }
}

/// The captured tables that there are, once all is visible that is in the log before a place.
async fn tables_of(config: &SourceConfig, place: &LogPosition) -> Result<Vec<TableId>, SourceError> {
    let mut client = Client::connect(&config.connection).await?;
    until_visible(&mut client, place).await?;
    listed(client, config, |_| true).await
}

/// The captured tables that there are, of those that are wanted.
pub(super) async fn tables(
    config: &SourceConfig,
    wanted: impl Fn(&TableId) -> bool,
) -> Result<Vec<TableId>, SourceError> {
    let client = Client::connect(&config.connection).await?;
    listed(client, config, wanted).await
}

async fn listed(
    mut client: Client,
    config: &SourceConfig,
    wanted: impl Fn(&TableId) -> bool,
) -> Result<Vec<TableId>, SourceError> {
    let mut ids = server::table_ids(&mut client).await?;
    client.close().await;
    let capture = Capture::new(config.filters.clone());
    ids.retain(|id| capture.table(&id.database, &id.table).table && wanted(id));
    Ok(ids)
}

/// Connects to read the log from `from` on, which the server has to have, and to be the one that was read before.
pub(super) async fn connect(
    config: &SourceConfig,
    offset: &Offset,
    from: &LogPosition,
) -> Result<(Facts, Link), SourceError> {
    let mut client = Client::connect_for_log(&config.connection).await?;
    let facts = client.facts().await?;
    let mut end = position(client.log_end().await?);
    let position = &offset.resume.position;
    if let Err(error) = known(&facts, offset, &end, &config.stream.gtid_sources) {
        end = committing(&mut client, config, offset).await?.ok_or(error)?;
    }
    let start = dump_start(&facts, from, &end, &config.stream.gtid_sources)?;
    let request = DumpRequest {
        server_id: config.stream.server_id,
        // Servers end what was read before as the same replica: connectors of one name on several workers are told apart by their numbers.
        replica_uuid: replica_uuid(&format!(
            "{}/{}",
            config.records.connector, config.stream.server_id
        )),
        start,
        heartbeat: HEARTBEAT,
        event_bytes_max: config.stream.event_bytes,
        statements: config.records.include_query,
    };
    tracing::info!(%position, start = ?request.start, server = %facts.identity, "reading the log");
    let mut link = Link::open(client.dump(&request).await?, config.stream.queue_bytes);
    // The first event says where the stream begins; what the server does not have it says instead.
    let first = timeout(config.connection.connect_timeout, link.peek()).await;
    match first {
        Ok(None) => Ok((facts, link)),
        Ok(Some(Incoming::Ended(Some(error)))) => Err(error.into()),
        Ok(Some(_)) => Err(lost("the server closed the connection")),
        Err(_) => Err(lost("the server sends no event")),
    }
}

pub(super) fn lost(reason: &str) -> SourceError {
    SourceError::Client(ClientError::Lost {
        what: "beginning to read the binary log",
        reason: reason.to_owned(),
    })
}

/// Whether the server has what was read, and counts it in the same way.
fn known(facts: &Facts, offset: &Offset, end: &LogPosition, sources: &Selection) -> Result<(), SourceError> {
    let position = &offset.resume.position;
    match (&position.gtids, &end.gtids) {
        (Some(_), Some(there)) => {
            let read = read(&offset.resume, sources);
            match read.iter().find(|read| !there.covers(read)) {
                None => Ok(()),
                Some(read) => Err(SourceError::LostTransactions {
                    lost: missing(read, there),
                }),
            }
        }
        (Some(gtids), None) if position.file.is_empty() => Err(SourceError::WithoutGtids {
            gtids: gtids.to_string(),
        }),
        _ => match &offset.server_uuid {
            Some(uuid) if *uuid != facts.identity => Err(SourceError::OtherServer {
                expected: uuid.clone(),
                found: facts.identity.clone(),
            }),
            _ => Ok(()),
        },
    }
}

/// The transactions that were read, those whose source counts: of the last one perhaps a part.
fn read(resume: &Resume, sources: &Selection) -> Vec<Gtids> {
    let cut = resume
        .transaction
        .as_ref()
        .filter(|_| resume.is_within_transaction());
    let cut = cut.and_then(|transaction| transaction.parse().ok());
    let read = resume.position.gtids.iter().cloned().chain(cut);
    read.map(|gtids| of_sources(&gtids, sources)).collect()
}

/// The log's end, if all that was read and is not there is being committed now: with semi-synchronous replication, replicas read what the server
/// does not have as executed before another replica has said that it is stored.
async fn committing(
    client: &mut Client,
    config: &SourceConfig,
    offset: &Offset,
) -> Result<Option<LogPosition>, SourceError> {
    if client.flavour() != Flavour::MySql || offset.resume.position.gtids.is_none() {
        return Ok(None);
    }
    // First those, so that what is committed in between is in one or the other.
    let owned = client.query("SELECT @@GLOBAL.gtid_owned").await?;
    let owned = owned.first().and_then(|row| row.text(0)).unwrap_or_default();
    let end = position(client.log_end().await?);
    let Some(Gtids::Mysql(there)) = &end.gtids else {
        return Ok(None);
    };
    let is_there = |read| match read {
        Gtids::Mysql(mut missing) => {
            missing.subtract(there);
            all_owned(&missing, &owned)
        }
        Gtids::Mariadb(_) => false,
    };
    let read = read(&offset.resume, &config.stream.gtid_sources);
    Ok(read.into_iter().all(is_there).then_some(end))
}

/// Whether sessions own all these transactions: `gtid_owned` has `uuid:number#session:number#session`.
fn all_owned(gtids: &GtidSet, owned: &str) -> bool {
    gtids.iter().all(|(source, ranges)| {
        let source = source.to_string();
        let mut numbers = ranges.iter().flat_map(|&(start, end)| start..end);
        owned.contains(&source) && numbers.all(|number| owned.contains(&format!(":{number}#")))
    })
}

/// Those transactions whose source counts.
fn of_sources(gtids: &Gtids, sources: &Selection) -> Gtids {
    match gtids {
        Gtids::Mysql(set) => Gtids::Mysql(filtered(set, |uuid| sources.has(uuid))),
        // A position is the last transaction of each domain, whoever committed it.
        Gtids::Mariadb(_) => gtids.clone(),
    }
}

/// The transactions of servers whose UUID is wanted.
fn filtered(set: &GtidSet, wanted: impl Fn(&str) -> bool) -> GtidSet {
    let mut others = set.clone();
    let text = set.to_string();
    let unwanted: Vec<&str> = text
        .split(',')
        .filter(|server| !server.is_empty() && !wanted(server.split(':').next().unwrap_or_default()))
        .collect();
    let unwanted = unwanted
        .join(",")
        .parse()
        .expect("it is a part of what a set prints");
    others.subtract(&unwanted);
    others
}

/// What of `read` is not `there`.
fn missing(read: &Gtids, there: &Gtids) -> String {
    match (read, there) {
        (Gtids::Mysql(read), Gtids::Mysql(there)) => {
            let mut missing = read.clone();
            missing.subtract(there);
            missing.to_string()
        }
        (Gtids::Mariadb(read), Gtids::Mariadb(there)) => {
            let missing: Vec<_> = read
                .iter()
                .filter(|gtid| !there.contains(gtid))
                .map(ToString::to_string)
                .collect();
            missing.join(",")
        }
        _ => read.to_string(),
    }
}

/// How the server is asked: by transactions if both know them, otherwise by place.
pub(super) fn dump_start(
    facts: &Facts,
    from: &LogPosition,
    end: &LogPosition,
    sources: &Selection,
) -> Result<DumpStart, SourceError> {
    let gtids = from
        .gtids
        .as_ref()
        .filter(|gtids| !gtids.is_empty() || from.file.is_empty());
    match (gtids, facts.flavour) {
        (Some(Gtids::Mysql(read)), Flavour::MySql) if facts.has_gtids() => {
            let mut passed = read.clone();
            // Of servers that do not count, everything is passed over that there is.
            if let (Some(Gtids::Mysql(there)), Selection::Include(_) | Selection::Exclude(_)) =
                (&end.gtids, sources)
            {
                passed.union(&filtered(there, |uuid| !sources.has(uuid)));
            }
            Ok(DumpStart::Gtids(passed))
        }
        (Some(Gtids::Mariadb(position)), Flavour::MariaDb) => Ok(DumpStart::MariadbGtids(position.clone())),
        (Some(gtids), _) if from.file.is_empty() => Err(SourceError::WithoutGtids {
            gtids: gtids.to_string(),
        }),
        _ => Ok(DumpStart::Place(Place {
            file: from.file.to_string(),
            position: from.position,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn transactions_are_told_apart_by_their_source() {
        let set: GtidSet = format!("{A}:1-5:night:7,{B}:9").parse().unwrap();
        let of_a = filtered(&set, |uuid| uuid == A);
        assert_eq!(of_a.to_string(), format!("{A}:1-5:night:7"));
        assert_eq!(filtered(&set, |_| true), set);
        assert!(filtered(&set, |_| false).is_empty());
        let gtids = |text: &str| text.parse::<Gtids>().unwrap();
        let lost = missing(&gtids(&format!("{A}:1-5")), &gtids(&format!("{A}:1-3")));
        assert_eq!(lost, format!("{A}:4-5"));
        assert_eq!(missing(&gtids("0-1-5,1-1-3"), &gtids("0-1-7,1-1-2")), "1-1-3");
    }

    /// What was told of it is of no server's any more.
    #[test]
    fn a_transaction_that_was_told_in_part_must_be_there() {
        let at = |gtids: &str| LogPosition {
            gtids: Some(gtids.parse().unwrap()),
            ..LogPosition::at("bin.000001", 4)
        };
        let mut offset = Offset::at(at(&format!("{A}:1-5")));
        let facts = super::super::tests::facts();
        let known = |offset: &Offset, there: &str| known(&facts, offset, &at(there), &Selection::All);
        known(&offset, &format!("{A}:1-5")).unwrap();
        offset.resume.row = 3;
        offset.resume.transaction = Some(format!("{A}:6").into());
        known(&offset, &format!("{A}:1-6")).unwrap();
        let error = known(&offset, &format!("{A}:1-5,{B}:1")).unwrap_err();
        assert!(
            matches!(&error, SourceError::LostTransactions { lost } if *lost == format!("{A}:6")),
            "{error}"
        );
    }

    #[test]
    fn transactions_that_are_being_committed_are_not_lost() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        let owned = format!("{A}:7#12:8#13,{B}:9#14");
        for (gtids, expected) in [
            (format!("{A}:7"), true),
            (format!("{A}:7-8,{B}:9"), true),
            (format!("{A}:6-7"), false),
            (format!("{A}:1"), false),
            (format!("{A}:1-1000000000000"), false),
            (String::new(), true),
        ] {
            assert_eq!(all_owned(&set(&gtids), &owned), expected, "{gtids}");
        }
        assert!(!all_owned(&set(&format!("{A}:7")), ""));
    }
}
