//! Places in the log that stand before or behind what a SELECT saw.
//!
//! A server writes a transaction to its log, makes it visible and tells of it in several steps. What it tells may so be ahead of what a
//! SELECT sees, or behind it; which statement errs to which side was measured against writers (ADR 19).
use std::cmp::Ordering;

use super::server::{Flavour, Version};
use super::{Client, ClientError, quoted};
use crate::mysql::binlog::Place;
use crate::mysql::gtid::{GtidSet, mariadb};
use crate::mysql::schema::TableId;

/// Before it, transactions were in `gtid_executed` as soon as they were in the log, which SELECTs did not see yet.
const GTIDS_BEHIND_COMMITS: Version = Version::new(5, 7, 5);

/// What a SELECT behind it is sure to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// These transactions of MySQL.
    Gtids(GtidSet),
    /// All that is before this place in the log.
    Place(Place),
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// Where.
    pub place: Place,
    /// The transactions up to there, or up to shortly before; nothing without GTIDs.
    pub gtids: Option<Gtids>,
}

/// A position by GTIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtids {
    /// Of MySQL.
    MySql(GtidSet),
    /// Of MariaDB.
    MariaDb(mariadb::Position),
}

/// How places follow each other: by the number of the file, then within it. Numbers grow beyond their six digits.
///
/// ```
/// use std::cmp::Ordering;
/// use millstream_connectors::mysql::binlog::Place;
/// use millstream_connectors::mysql::client::compare_places;
///
/// let place = |file: &str, position| Place { file: file.to_owned(), position };
/// assert_eq!(compare_places(&place("bin.999999", 900), &place("bin.1000000", 4)), Ordering::Less);
/// ```
#[must_use]
pub fn compare_places(left: &Place, right: &Place) -> Ordering {
    let number = |place: &Place| {
        let digits = place.file.rsplit('.').next().unwrap_or_default();
        digits.parse::<u64>().ok()
    };
    number(left)
        .cmp(&number(right))
        .then_with(|| left.position.cmp(&right.position))
}

impl Client {
    /// The end of the log now: where a stream of changes begins. It may be ahead of what a SELECT sees, so that what is read beside the
    /// stream needs marks of its own.
    ///
    /// # Errors
    /// When the server writes no log, may not be asked (`REPLICATION CLIENT`), or the connection breaks.
    pub async fn log_end(&mut self) -> Result<LogEnd, ClientError> {
        let what = "asking for the end of the log";
        match self.flavour() {
            // The set is asked for first, and so within the place.
            Flavour::MySql => {
                let gtids = self.executed().await?;
                Ok(LogEnd {
                    place: self.high_mark().await?,
                    gtids: gtids.map(Gtids::MySql),
                })
            }
            Flavour::MariaDb => {
                let place = self.high_mark().await?;
                let statement = format!(
                    "SELECT BINLOG_GTID_POS({}, {})",
                    super::quoted_text(&place.file),
                    place.position
                );
                let row = self.row_for(what, &statement).await?;
                let text = row.text(0).ok_or_else(|| ClientError::Unexpected {
                    what,
                    reason: format!("it knows no GTIDs at {place}, its own place"),
                })?;
                let gtids = text.parse().map_err(|error| unexpected(what, &error))?;
                Ok(LogEnd {
                    place,
                    gtids: Some(Gtids::MariaDb(gtids)),
                })
            }
        }
    }

    /// A mark such that a SELECT on `table` which begins later, outside of any older snapshot, sees all that it has.
    ///
    /// The connection must not be within a transaction. MySQL says it by `gtid_executed`, without GTIDs by
    /// `performance_schema.log_status` (MySQL 8.0, needs `BACKUP_ADMIN` and `SELECT` on it), MariaDB by a snapshot. Otherwise, and before MySQL 5.7, the table is
    /// locked for reading for as long as it takes to ask.
    ///
    /// # Errors
    /// When a privilege is missing, the lock is not got in time ([`Client::set_lock_timeout`]), or the connection breaks.
    pub async fn low_mark(&mut self, table: &TableId) -> Result<Mark, ClientError> {
        match self.low_mark_of_all().await? {
            Some(mark) => Ok(mark),
            None => self.locked_mark(table).await.map(Mark::Place),
        }
    }

    /// As [`Client::low_mark`], for all tables; nothing where that is known of a locked table alone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn low_mark_of_all(&mut self) -> Result<Option<Mark>, ClientError> {
        if self.flavour() == Flavour::MySql
            && self.version() >= GTIDS_BEHIND_COMMITS
            && let Some(gtids) = self.executed().await?
        {
            return Ok(Some(Mark::Gtids(gtids)));
        }
        Ok(self.low_place_of_all().await?.map(Mark::Place))
    }

    /// As [`Client::low_mark`], by a place in the log even where the server has GTIDs: for a stream that knows none.
    ///
    /// # Errors
    /// As [`Client::low_mark`].
    pub async fn low_place(&mut self, table: &TableId) -> Result<Place, ClientError> {
        match self.low_place_of_all().await? {
            Some(place) => Ok(place),
            None => self.locked_mark(table).await,
        }
    }

    /// As [`Client::low_place`], for all tables; nothing where that is known of a locked table alone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn low_place_of_all(&mut self) -> Result<Option<Place>, ClientError> {
        if self.flavour() == Flavour::MariaDb {
            let place = self.exact_snapshot().await?;
            self.execute_for("ending a snapshot", "COMMIT").await?;
            return Ok(place);
        }
        match self.version() >= Version::new(8, 0, 0) {
            true => self.log_status().await,
            false => Ok(None),
        }
    }

    /// The place behind all that SELECTs which have ended saw.
    ///
    /// # Errors
    /// As [`Client::log_end`].
    pub async fn high_mark(&mut self) -> Result<Place, ClientError> {
        let what = "asking for the end of the log";
        let statement = match self.flavour() {
            Flavour::MySql if self.version() >= Version::new(8, 2, 0) => "SHOW BINARY LOG STATUS",
            _ => "SHOW MASTER STATUS",
        };
        let rows = self.query_for(what, statement).await?;
        let row = rows.first().ok_or_else(|| ClientError::Unexpected {
            what,
            reason: "the server writes no binary log (log_bin)".to_owned(),
        })?;
        place(what, row.text(0), row.text(1))
    }

    /// Begins a transaction whose SELECTs see exactly what is before the place that it gives; nothing where the server does not tell it,
    /// which only MariaDB and Percona Server do. The transaction is there in any case.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn exact_snapshot(&mut self) -> Result<Option<Place>, ClientError> {
        let what = "beginning a snapshot";
        self.execute_for(what, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            .await?;
        let rows = self
            .query_for(
                what,
                "SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')",
            )
            .await?;
        let value = |name: &str| {
            let row = rows
                .iter()
                .find(|row| row.text(0).is_some_and(|own| own.eq_ignore_ascii_case(name)));
            row.and_then(|row| row.text(1)).filter(|value| !value.is_empty())
        };
        match value("Binlog_snapshot_file") {
            Some(file) => place(what, Some(file), value("Binlog_snapshot_position")).map(Some),
            None => Ok(None),
        }
    }

    /// Locks a table for reading: it is given once all transactions that changed the table have ended and are visible, and until
    /// [`Client::unlock_tables`] there is no other. The place of the log is exact for this table meanwhile.
    ///
    /// # Errors
    /// When a privilege is missing (`LOCK TABLES`), the lock is not got in time ([`Client::set_lock_timeout`]), or the connection breaks.
    pub async fn lock_table(&mut self, table: &TableId) -> Result<(), ClientError> {
        let what = "locking a table for reading";
        self.set_locking(true).await?;
        // Otherwise servers before MySQL 5.7.5 do not wait for transactions whose statements are done: InnoDB has to be asked, too, which
        // it is only within transactions.
        self.execute_for(what, "SET SESSION autocommit=0, innodb_table_locks=1")
            .await?;
        let name = format!("{}.{}", quoted(&table.database), quoted(&table.table));
        let locked = self.execute_for(what, &format!("LOCK TABLES {name} READ")).await;
        if let Err(error) = locked {
            if !error.is_disconnected() {
                self.unlock_tables().await?;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Gives back what [`Client::lock_table`] took.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn unlock_tables(&mut self) -> Result<(), ClientError> {
        for statement in ["UNLOCK TABLES", "SET SESSION autocommit=1"] {
            self.execute_for("unlocking a table", statement).await?;
        }
        self.set_locking(false).await
    }

    /// MySQL's `gtid_executed`, which a transaction joins only once it is visible (from MySQL 5.7.5 on); nothing where some have no GTID.
    async fn executed(&mut self) -> Result<Option<GtidSet>, ClientError> {
        let what = "asking for gtid_executed";
        let row = self
            .row_for(what, "SELECT @@GLOBAL.gtid_mode, @@GLOBAL.gtid_executed")
            .await?;
        match (row.text(0).as_deref(), row.text(1)) {
            (Some("ON"), Some(text)) => text.parse().map(Some).map_err(|error| unexpected(what, &error)),
            _ => Ok(None),
        }
    }

    /// The place of a log and its storage engines at one moment. Nothing where it may not be asked.
    async fn log_status(&mut self) -> Result<Option<Place>, ClientError> {
        let what = "asking for performance_schema.log_status";
        let asked = self
            .query_for(what, "SELECT LOCAL->>'$.binary_log_file', LOCAL->>'$.binary_log_position' FROM performance_schema.log_status")
            .await;
        match asked {
            Ok(rows) => match rows.first() {
                Some(row) if row.text(0).is_some() => place(what, row.text(0), row.text(1)).map(Some),
                _ => Ok(None),
            },
            Err(ClientError::Server {
                code: 1044 | 1142 | 1146 | 1227,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The place once nobody changes a table: who did has made it visible before the lock is given.
    async fn locked_mark(&mut self, table: &TableId) -> Result<Place, ClientError> {
        self.lock_table(table).await?;
        let place = self.high_mark().await;
        self.unlock_tables().await?;
        place
    }
}

fn place(what: &'static str, file: Option<String>, position: Option<String>) -> Result<Place, ClientError> {
    let position = position.and_then(|position| position.parse().ok());
    match (file, position) {
        (Some(file), Some(position)) => Ok(Place { file, position }),
        _ => Err(ClientError::Unexpected {
            what,
            reason: "the answer has no file and position".to_owned(),
        }),
    }
}

fn unexpected(what: &'static str, error: &crate::mysql::gtid::ParseGtidError) -> ClientError {
    ClientError::Unexpected {
        what,
        reason: error.to_string(),
    }
}
