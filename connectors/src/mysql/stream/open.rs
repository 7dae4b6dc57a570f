//! The transaction that is being read.
use std::sync::Arc;

use bytestring::ByteString;

use super::Gtids;
use super::held::Events;
use super::resume::Skip;
use super::step::{EventOrigin, Transaction};
use crate::mysql::binlog::{At, Collation, MariadbStart, TransactionStart, Xid};
use crate::mysql::config::Selection;
use crate::mysql::gtid::{self, mariadb};

/// A transaction's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gtid {
    Mysql(gtid::Gtid),
    Mariadb(mariadb::Gtid),
}

impl Gtid {
    pub(super) fn text(&self) -> ByteString {
        match self {
            Self::Mysql(gtid) => gtid.to_string().into(),
            Self::Mariadb(gtid) => gtid.to_string().into(),
        }
    }

    /// Whether the transactions of who gave the number count (`gtid.source.includes`): by a server's UUID, or a domain and a server.
    pub(super) fn counts(&self, sources: &Selection) -> bool {
        match (sources, self) {
            (Selection::All, _) => true,
            (_, Self::Mysql(gtid)) => sources.has(&gtid::Source::server(gtid.source.uuid).to_string()),
            (_, Self::Mariadb(gtid)) => sources.has(&format!("{}-{}", gtid.domain, gtid.server)),
        }
    }

    pub(super) fn is_in(&self, gtids: &Gtids) -> bool {
        match (self, gtids) {
            (Self::Mysql(gtid), Gtids::Mysql(set)) => set.contains(gtid),
            (Self::Mariadb(gtid), Gtids::Mariadb(position)) => position.contains(gtid),
            _ => false,
        }
    }
}

/// Why nothing of a transaction is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It was told before.
    Delivered,
    /// `gtid.source.includes` does not have its source.
    Excluded,
}

/// A savepoint of the open transaction: what was told and queued before it.
#[derive(Debug)]
pub(super) struct Savepoint {
    pub(super) name: String,
    /// Steps of the transaction.
    pub(super) steps: u64,
    /// Rows of the transaction.
    pub(super) rows: u64,
}

/// The transaction that is being read.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) gtid: Option<Gtid>,
    pub(super) pass: Option<Pass>,
    draft: Transaction,
    shared: Option<Arc<Transaction>>,
    /// Whether its BEGIN was read.
    pub(super) begun: bool,
    /// Events from BEGIN on.
    pub(super) events: u64,
    /// Rows of all tables.
    pub(super) rows: u64,
    pub(super) skip: Option<Skip>,
    /// The text of the statement whose rows follow.
    pub(super) query: Option<ByteString>,
    /// The character set of the session's statements.
    pub(super) client: Option<Collation>,
    pub(super) savepoints: Vec<Savepoint>,
    /// The XA transaction that its rows are of, and its events so far.
    pub(super) xa: Option<(Xid, Events)>,
    /// Where the statement is that commits an XA transaction: its rows are told as if they were there.
    pub(super) committed_at: Option<At>,
}

impl Open {
    fn new(gtid: Option<Gtid>, file: &ByteString, at: &At) -> Self {
        let id = gtid.as_ref().map(Gtid::text);
        Self {
            pass: None,
            draft: Transaction {
                id: id.clone().unwrap_or_default(),
                gtid: id,
                file: file.clone(),
                position: at.position,
                server_id: at.header.server_id,
                ..Transaction::default()
            },
            gtid,
            shared: None,
            begun: false,
            events: 0,
            rows: 0,
            skip: None,
            query: None,
            client: None,
            savepoints: Vec::new(),
            xa: None,
            committed_at: None,
        }
    }

    pub(super) fn of_mysql(start: TransactionStart, file: &ByteString, at: &At) -> Self {
        let mut open = Self::new(start.gtid.map(Gtid::Mysql), file, at);
        open.draft.committed_us = start.committed_us;
        open.draft.originally_committed_us = start.originally_committed_us;
        open
    }

    pub(super) fn of_mariadb(start: &MariadbStart, file: &ByteString, at: &At) -> Self {
        Self::new(Some(Gtid::Mariadb(start.gtid)), file, at)
    }

    /// One that nothing announced: as before MySQL 5.7 without GTIDs, or where reading begins behind the event that does.
    pub(super) fn unannounced(file: &ByteString, at: &At) -> Self {
        Self::new(None, file, at)
    }

    /// Its BEGIN is here.
    pub(super) fn begin(&mut self, at: &At) {
        self.begun = true;
        self.draft.position = at.position;
        self.shared = None;
    }

    /// The session that it was made in.
    pub(super) fn set_thread(&mut self, thread: u32) {
        self.draft.thread = Some(thread);
        self.shared = None;
    }

    /// Where it begins.
    pub(super) fn position(&self) -> u64 {
        self.draft.position
    }

    /// The ordinal of the next row, of which there are `rows`; and how many of them were delivered before a restart.
    pub(super) fn count(&mut self, rows: u64) -> (u64, u64) {
        let ordinal = self.rows;
        self.rows += rows;
        let events = self.events;
        let delivered = self
            .skip
            .as_mut()
            .map(|skip| skip.of_event(events, ordinal, rows));
        (ordinal, delivered.unwrap_or(0))
    }

    pub(super) fn transaction(&mut self) -> Arc<Transaction> {
        let draft = &mut self.draft;
        Arc::clone(self.shared.get_or_insert_with(|| {
            if draft.gtid.is_none() {
                draft.id = format!("file={},pos={}", draft.file, draft.position).into();
            }
            Arc::new(draft.clone())
        }))
    }

    /// Where an event of it is, as records say it.
    pub(super) fn origin(&mut self, at: &At) -> EventOrigin {
        let at = self.committed_at.unwrap_or(*at);
        EventOrigin {
            transaction: self.transaction(),
            file: self.draft.file.clone(),
            position: at.position,
            server_id: at.header.server_id,
            timestamp_s: at.header.timestamp_s,
            query: self.query.clone(),
        }
    }
}
