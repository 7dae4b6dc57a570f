//! What readers do at a server.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::key::KeyColumns;
use super::super::mark::Mark;
use super::super::request::{ChunkRead, ChunkWork, Outcome, Surveyed};
use super::super::rows::Rows;
use super::super::select::first_key;
use super::super::settings::SnapshotError;
use super::reader::Lockers;
use super::whole::kept;
use crate::mysql::client::server::{Flavour, Version};
use crate::mysql::client::{self, Client, ClientError, RowStream, quoted_text};
use crate::mysql::schema::{TableId, describe};
use crate::mysql::stream::{Gtids, LogPosition};

/// The pauses between looks at what is visible: transactions are in the log before they are.
pub(super) const LOOK_MIN: Duration = Duration::from_millis(2);
const LOOK_MAX: Duration = Duration::from_millis(200);

/// How long what is in the log may take to be visible. A server that waits for its replicas may take as long as they do.
pub(super) const VISIBLE_MAX: Duration = Duration::from_secs(60);

/// What a row takes where the server cannot tell.
const ROW_BYTES: usize = 128;

/// Engines whose readers are isolated by transactions.
const TRANSACTIONAL: [&str; 5] = ["InnoDB", "ROCKSDB", "TokuDB", "PERCONA_XTRADB", "ndbcluster"];

fn low_of(mark: client::Mark) -> Mark {
    match mark {
        client::Mark::Gtids(gtids) => Mark::of_transactions(Gtids::Mysql(gtids)),
        client::Mark::Place(place) => Mark::of_place(&place.file, place.position),
    }
}

/// The mark behind all that was seen: the log's end.
pub(super) async fn high(client: &mut Client) -> Result<Mark, ClientError> {
    let place = client.high_mark().await?;
    Ok(Mark::of_place(&place.file, place.position))
}

/// Waits until all is visible that is in the log before a place, as far as the server tells it of all tables.
///
/// # Errors
/// When it takes too long, or the connection breaks.
pub(in crate::mysql) async fn until_visible(
    client: &mut Client,
    place: &LogPosition,
) -> Result<(), ClientError> {
    visible(client, place, None).await.map(drop)
}

/// Waits until all is visible that the stream has; the mark that says so. Without a table only where the server tells it of all tables.
async fn visible(
    client: &mut Client,
    after: &LogPosition,
    table: Option<&TableId>,
) -> Result<Option<Mark>, ClientError> {
    let (begin, mut pause) = (Instant::now(), LOOK_MIN);
    loop {
        // Transactions say nothing to a stream that knows its place by file and position alone.
        let low = match (table, after.gtids.is_some()) {
            (Some(table), true) => Some(client.low_mark(table).await?),
            (None, true) => client.low_mark_of_all().await?,
            (Some(table), false) => Some(client::Mark::Place(client.low_place(table).await?)),
            (None, false) => client.low_place_of_all().await?.map(client::Mark::Place),
        };
        let low = low.map(low_of);
        if low.as_ref().is_none_or(|low| low.covers(after)) {
            return Ok(low);
        }
        if begin.elapsed() > VISIBLE_MAX {
            return Err(ClientError::TimedOut {
                what: "waiting for transactions of the log to become visible",
                limit: VISIBLE_MAX,
                key: "see rpl_semi_sync_source_timeout on the server",
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// The tables that there are.
pub(super) async fn list(client: &mut Client, after: &LogPosition) -> Result<Outcome, ClientError> {
    visible(client, after, None).await?;
    let tables = describe::table_ids(client).await?;
    let mut estimates = std::collections::HashMap::new();
    // Elsewhere servers open each table for it.
    if client.flavour() == Flavour::MySql && client.version() >= Version::new(8, 0, 0) {
        let rows = client
            .query("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_ROWS > 0")
            .await?;
        estimates.extend(rows.iter().filter_map(|row| {
            let table = TableId::new(&row.text(0)?, &row.text(1)?);
            Some((table, row.text(2)?.parse::<u64>().ok()?))
        }));
    }
    let tables = tables.into_iter().map(|table| {
        let rows = estimates.get(&table).copied().unwrap_or(0);
        (table, rows)
    });
    Ok(Outcome::Listed {
        tables: tables.collect(),
        high: high(client).await?,
    })
}

/// What a table is, and which keys it has.
pub(super) async fn survey(
    client: &mut Client,
    after: &LogPosition,
    table: &TableId,
    surrogate: Option<&str>,
) -> Result<Outcome, ClientError> {
    if let Err(error) = visible(client, after, Some(table)).await {
        // Where its lock would say it, it is not there.
        return match error.code() {
            Some(1146 | 1049) => Ok(Outcome::Missing(high(client).await?)),
            _ => Err(error),
        };
    }
    let described = describe::tables(client, std::slice::from_ref(table)).await?;
    let refused = |message: String| {
        Outcome::Failed(SnapshotError::Refused {
            table: table.clone(),
            message,
        })
    };
    if let Some(unknown) = described.unknown.first() {
        return Ok(refused(unknown.to_string()));
    }
    let Some(found) = described.tables.into_iter().next() else {
        return Ok(Outcome::Missing(high(client).await?));
    };
    let key = match KeyColumns::of(&found.table, surrogate) {
        Ok(key) => key,
        Err((column, error)) => return Ok(refused(format!("its column {column}: {error}"))),
    };
    let mut range = None;
    if let Some(key) = &key {
        let first = client.query(&first_key(table, key, false)).await?;
        let last = client.query(&first_key(table, key, true)).await?;
        let place = |rows: &[client::Row]| {
            let cells: Vec<_> = rows.first()?.cells().collect();
            Some(key.place(&cells))
        };
        range = place(&first).zip(place(&last));
    }
    let row_bytes = row_bytes(client, table).await?;
    let engine = found.engine.unwrap_or_default();
    let transactional = TRANSACTIONAL.iter().any(|own| own.eq_ignore_ascii_case(&engine));
    Ok(Outcome::Surveyed(Box::new(Surveyed {
        table: Arc::new(found.table),
        key,
        range,
        row_bytes,
        transactional,
        high: high(client).await?,
    })))
}

/// About how many bytes a table's rows have.
async fn row_bytes(client: &mut Client, table: &TableId) -> Result<usize, ClientError> {
    let statement = format!(
        "SELECT AVG_ROW_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        quoted_text(&table.database),
        quoted_text(&table.table)
    );
    let rows = client.query(&statement).await?;
    let bytes = rows.first().and_then(|row| row.text(0)?.parse().ok());
    Ok(bytes.filter(|bytes| *bytes > 0).unwrap_or(ROW_BYTES))
}

/// Rows between two marks.
pub(super) async fn chunk(
    client: &mut Client,
    after: &LogPosition,
    work: &ChunkWork,
) -> Result<Outcome, ClientError> {
    let low = visible(client, after, Some(&work.table)).await?;
    let (rows, ended) = rows_of(client, work, &work.sql).await?;
    let high = high(client).await?;
    Ok(read(low.unwrap_or_default(), high, rows, ended))
}

fn read(low: Mark, high: Mark, rows: Rows, ended: bool) -> Outcome {
    Outcome::Chunk(Box::new(ChunkRead {
        low,
        high,
        rows,
        ended,
    }))
}

async fn rows_of(client: &mut Client, work: &ChunkWork, sql: &str) -> Result<(Rows, bool), ClientError> {
    let mut stream = client.select_stream(sql).await?;
    let (rows, ended) = part(&mut stream, work).await?;
    let ended = ended && rows.len() < work.rows_max;
    Ok((rows, ended))
}

/// Rows up to the one that fills a chunk; whether there are no more.
pub(super) async fn part(stream: &mut RowStream<'_>, work: &ChunkWork) -> Result<(Rows, bool), ClientError> {
    let mut rows = Rows::new(work.width);
    while let Some(row) = stream.next().await? {
        if row.cells().count() != work.width {
            return Err(ClientError::Unexpected {
                what: "reading rows",
                reason: format!(
                    "{} columns where {} were asked for",
                    row.cells().count(),
                    work.width
                ),
            });
        }
        if !rows.push(row.cells()) {
            return Err(ClientError::TooLarge {
                what: "reading rows",
                bytes_max: super::super::rows::BYTES_MAX,
            });
        }
        if rows.size() >= work.bytes_max {
            return Ok((rows, false));
        }
    }
    Ok((rows, true))
}

/// Rows that nobody can change until the high mark is taken: as they are at it.
pub(super) async fn locked_chunk(
    client: &mut Client,
    lockers: &Lockers<'_>,
    work: &ChunkWork,
) -> Result<Outcome, ClientError> {
    if work.derived {
        // The rows of a user's own statement cannot be locked: their table is.
        let mut locker = lockers.connect().await?;
        locker.lock_table(&work.table).await?;
        let (rows, ended) = kept(Some(&mut locker), rows_of(client, work, &work.sql)).await?;
        let high = high(&mut locker).await?;
        locker.unlock_tables().await?;
        locker.close().await;
        return Ok(read(high.clone(), high, rows, ended));
    }
    let share = match client.flavour() {
        Flavour::MySql if client.version() >= Version::new(8, 0, 1) => "FOR SHARE",
        _ => "LOCK IN SHARE MODE",
    };
    client.set_locking(true).await?;
    client.execute("START TRANSACTION").await?;
    let (rows, ended) = rows_of(client, work, &format!("{} {share}", work.sql)).await?;
    let high = high(client).await?;
    client.execute("COMMIT").await?;
    client.set_locking(false).await?;
    // All changes before the locks are visible through them.
    Ok(read(high.clone(), high, rows, ended))
}
