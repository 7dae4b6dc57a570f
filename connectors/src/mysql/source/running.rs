//! A source that runs: what it consists of, and how its parts are driven. Nothing here waits; the [task](super::task) does.
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_connect::plugin::{SourceBatch, SourceOffset, SourcePartition};

use super::announce::{Announcement, Announcing};
use super::batch::{Batch, Room};
use super::change::now;
use super::connection::{Connection, Happened};
use super::describe::{Described, Describer};
use super::error::SourceError;
use super::link::Incoming;
use super::tables::Tables;
use crate::mysql::client::server::Facts;
use crate::mysql::config::{SnapshotMode, SourceConfig};
use crate::mysql::offset::{self, Offset, Snapshots};
use crate::mysql::record::{Heartbeats, Origin, Records, SchemaChanges, Snapshot as Told, Transactions};
use crate::mysql::schema::TableId;
use crate::mysql::signal::{Signal, SignalError};
use crate::mysql::snapshot::{Answer, Readers, Release, Snapshot};
use crate::mysql::stream::{LogPosition, SchemaChange, Step, Stream};

/// A step that is being told.
#[derive(Debug)]
pub(super) enum Pending {
    /// It was not begun, or, rows, is told as far as it was read.
    Step(Step),
    /// The server is asked what these tables have become by it, and what it answers is kept here.
    Changed(SchemaChange, Vec<TableId>, Described),
}

/// Why a source stopped being driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driven {
    /// The batch is full, or something has to be waited for.
    Waits,
    /// There is more to do.
    Busy,
}

/// How long a source is driven at once, and after how many turns that is looked at: what is not captured may be much, and fills no batch.
const SLICE: Duration = Duration::from_millis(50);
const SLICE_TURNS: u32 = 128;

/// A source that runs.
pub(super) struct Running {
    pub(super) config: Arc<SourceConfig>,
    pub(super) facts: Facts,
    pub(super) stream: Stream,
    pub(super) connection: Connection,
    pub(super) describer: Describer,
    pub(super) tables: Tables,
    pub(super) snapshot: Snapshot,
    pub(super) readers: Readers,
    pub(super) heartbeats: Heartbeats,
    pub(super) transactions: Option<Transactions>,
    pub(super) schema_changes: Option<SchemaChanges>,
    /// What tables are where the source begins, as far as it is not told.
    announcing: Option<Announcing>,
    pub(super) batch: Batch,
    pub(super) pending: Option<Pending>,
    /// Signals among the rows that are pending are done.
    pub(super) signalled: bool,
    /// A transaction is told in part.
    pub(super) within: bool,
    /// The stream stands between two transactions, and the snapshot has not looked there yet.
    pub(super) stands: bool,
    /// Behind this place, rows were left out of which chunks would have to know: none is read before the stream is past them.
    unheard: Option<LogPosition>,
    /// Tables that the server is asked for before anything else.
    unknown: Vec<TableId>,
    partition: SourcePartition,
    /// The offset that was handed over last.
    handed_over: Option<SourceOffset>,
    pub(super) server_id: Option<u32>,
    pub(super) ts_sec: Option<u64>,
}

/// What a source runs with.
pub(super) struct Parts {
    pub(super) config: Arc<SourceConfig>,
    pub(super) facts: Facts,
    pub(super) stream: Stream,
    pub(super) connection: Connection,
    pub(super) snapshot: Snapshot,
    pub(super) readers: Readers,
    pub(super) tables: Tables,
    pub(super) records: Arc<Records>,
    pub(super) offset: Offset,
    /// The offset is a new one, which is to be stored.
    pub(super) anew: bool,
    /// Tables of which nothing is known, where the log does not say what they are.
    pub(super) unknown: Vec<TableId>,
    /// What tables are, if that is to be told first.
    pub(super) announcement: Option<Announcement>,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Self {
        let (config, records) = (parts.config, parts.records);
        let mut batch = Batch::default();
        batch.moved = parts.anew;
        let mut running = Self {
            partition: offset::partition(&config.records.prefix),
            describer: Describer::start(Arc::clone(&config)),
            heartbeats: Heartbeats::new(&records),
            transactions: config.records.transactions.then(|| Transactions::new(&records)),
            schema_changes: config
                .records
                .schema_changes
                .then(|| SchemaChanges::new(&records)),
            announcing: parts.announcement.map(Announcement::tell),
            facts: parts.facts,
            stream: parts.stream,
            connection: parts.connection,
            tables: parts.tables,
            snapshot: parts.snapshot,
            readers: parts.readers,
            batch,
            pending: None,
            signalled: false,
            unknown: parts.unknown,
            handed_over: None,
            within: false,
            stands: true,
            unheard: None,
            server_id: parts.offset.server_id,
            ts_sec: parts.offset.ts_sec,
            config,
        };
        running.tell_all();
        running
    }

    /// Counts of transactions and chunks that are being read have to know of all rows.
    fn tell_all(&mut self) {
        let all = self.transactions.is_some() || !self.snapshot.is_done();
        self.stream.tell_all(all);
    }

    /// Handles what is there, until the batch is full, something has to be waited for, or it is time to look around.
    pub(super) fn drive(&mut self, room: Room) -> Result<Driven, SourceError> {
        while let Some(answer) = self.readers.try_answer() {
            self.answered(answer)?;
        }
        if !self.announce(room) {
            return Ok(Driven::Waits);
        }
        let until = Instant::now() + SLICE;
        for turn in 1_u32.. {
            if turn.is_multiple_of(SLICE_TURNS) && Instant::now() >= until {
                return Ok(Driven::Busy);
            }
            if !self.unknown.is_empty() {
                // Before a statement touches them, when only the log before it would say what they were.
                let unknown = std::mem::take(&mut self.unknown);
                self.ask(unknown, true);
            }
            if self.describer.is_waiting() {
                break;
            }
            if let Some(pending) = self.pending.take() {
                if !self.tell(pending, room)? {
                    break;
                }
                continue;
            }
            if !self.within {
                self.stand(room)?;
            }
            if self.batch.is_full(room, self.within) || !self.within && self.snapshot.holds() {
                break;
            }
            if let Some(step) = self.stream.next()? {
                self.pending = Some(Pending::Step(step));
                continue;
            }
            match self.connection.try_next() {
                Some(incoming) => self.incoming(incoming)?,
                None => break,
            }
        }
        Ok(Driven::Waits)
    }

    /// Tells what tables are where the source begins, until the batch is full; whether all of it is told.
    fn announce(&mut self, room: Room) -> bool {
        let (Some(announcing), Some(changes)) = (&mut self.announcing, &self.schema_changes) else {
            return true;
        };
        while !self.batch.is_full(room, false) {
            let (now, position) = (now(), self.stream.position());
            let origin = Origin {
                moment: now,
                snapshot: Told::Yes,
                file: position.file.clone(),
                position: position.position,
                ..Origin::default()
            };
            let told = announcing.tell_next(|change| {
                let bytes = change.ddl.map_or(0, str::len) * 2;
                (changes.record(change, &origin, now), bytes)
            });
            let Some((record, bytes)) = told else {
                self.announcing = None;
                self.batch.moved = true;
                return true;
            };
            self.batch.records.push(record);
            self.batch.added(bytes, 1);
        }
        false
    }

    /// Between two transactions: rows that were there already are told, and more are asked for, until the batch is full.
    fn stand(&mut self, room: Room) -> Result<(), SourceError> {
        while !self.batch.is_full(room, false) && std::mem::take(&mut self.stands) && !self.snapshot.is_done()
        {
            let revision = self.snapshot.revision();
            // Before a transaction that was told in part already, rows as they are here would put back what it changed.
            let told_in_part = self.stream.resume(None).is_within_transaction();
            let position = self.stream.position();
            match told_in_part || self.unheard.as_ref() == Some(position) {
                true => self.snapshot.resumes(position),
                false => self.snapshot.passed(position),
            }
            while let Some(request) = self.snapshot.next_request() {
                self.readers.ask(request);
            }
            while !self.batch.is_full(room, false)
                && let Some(release) = self.snapshot.next_release()
            {
                self.release(&release)?;
                self.snapshot.told(release);
            }
            if self.snapshot.revision() != revision {
                self.batch.moved = true;
                // What was told may have made room for more, and the next transaction may come at once.
                self.stands = true;
                self.tell_all();
            }
        }
        Ok(())
    }

    /// Rows that were there already, and are as they are at this place of the stream.
    fn release(&mut self, release: &Release) -> Result<(), SourceError> {
        let records = self.tables.of_table(&release.table)?;
        let position = self.stream.position();
        let now = now();
        let origin = Origin {
            moment: now,
            file: position.file.clone(),
            position: position.position,
            ..Origin::default()
        };
        let (mut rows, mut cells) = (records.rows(origin, now), Vec::new());
        for index in 0..release.len() {
            let marker = release.row(index, &mut cells);
            let before = self.batch.records.len();
            let told = rows.row(marker, &cells, &mut self.batch.records);
            if let Err(error) = told {
                super::change::tolerate(error, self.config.records.failures)?;
            }
            let bytes = cells.iter().flatten().map(|cell| cell.len()).sum();
            self.batch.added(bytes, self.batch.records.len() - before);
        }
        Ok(())
    }

    /// A raw event came, or the connection ended.
    pub(super) fn incoming(&mut self, incoming: Incoming) -> Result<(), SourceError> {
        match incoming {
            Incoming::Event(raw) => {
                self.stream.push(raw)?;
                self.connection.is_well();
                self.batch.moved = true;
                self.stands = !self.within;
                Ok(())
            }
            Incoming::Ended(error) => self.connection.lost(error.map(SourceError::Client)),
        }
    }

    /// Something happened to the connection.
    pub(super) fn happened(&mut self, happened: Happened) -> Result<(), SourceError> {
        match happened {
            Happened::Incoming(incoming) => self.incoming(incoming),
            // What came before is told first.
            Happened::MayConnect if self.pending.is_some() => {
                self.connection.wait();
                Ok(())
            }
            Happened::MayConnect => {
                let config = Arc::clone(&self.config);
                let offset = self.offset();
                self.begin_again();
                self.connection.connect(&config, offset);
                Ok(())
            }
            Happened::Connected(facts) => {
                if facts.identity != self.facts.identity {
                    tracing::info!(before = %self.facts.identity, now = %facts.identity, "another server answers");
                    self.snapshot.forget_pending();
                    self.readers.set_server(&facts.identity);
                }
                self.facts = *facts;
                self.stands = true;
                Ok(())
            }
        }
    }

    /// What is not told of the open transaction comes again.
    fn begin_again(&mut self) {
        self.stream.reconnect();
        self.within = false;
        self.unheard = None;
        self.batch.rewind();
    }

    /// The same place of the log is read again, if its bytes may be others then.
    pub(super) fn read_again(&mut self, error: SourceError) -> Result<(), SourceError> {
        if error.damaged_at().is_none() {
            return Err(error);
        }
        self.pending = None;
        self.signalled = false;
        // What is queued behind it must not be told before it.
        self.begin_again();
        self.connection.lost(Some(error))
    }

    /// The server said what tables are.
    pub(super) fn described(&mut self, described: Described) {
        match &mut self.pending {
            Some(Pending::Changed(_, _, answer)) => *answer = described,
            _ => self.tables.learn(described),
        }
    }

    /// A reader answered.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<(), SourceError> {
        self.snapshot.answered(answer)?;
        self.stands = !self.within;
        Ok(())
    }

    /// Does what a signal asks for, at this place of the stream.
    pub(super) fn signal(&mut self, signal: &Signal) -> Result<(), SignalError> {
        if let Signal::Log { message } = signal {
            let position = self.stream.position();
            tracing::info!("{}", message.replace("{}", &position.to_string()));
        }
        let told_all = self.transactions.is_some() || !self.snapshot.is_done();
        self.snapshot.signal(signal)?;
        self.tell_all();
        if !told_all && !self.stream.is_between_transactions() {
            self.unheard = Some(self.stream.position().clone());
        }
        self.batch.moved = true;
        self.stands = !self.within;
        Ok(())
    }

    /// A sign of life.
    pub(super) fn heartbeat(&mut self) {
        let record = self.heartbeats.record(now());
        self.batch.records.push(record);
        self.batch.added(0, 1);
        self.batch.moved = true;
    }

    /// What is delivered once the batch is.
    fn offset(&self) -> Offset {
        let rows = match &self.pending {
            Some(Pending::Step(Step::Rows(rows))) => Some(rows),
            _ => None,
        };
        Offset {
            resume: self.stream.resume(rows),
            server_uuid: Some(self.facts.identity.clone()),
            server_id: self.server_id,
            ts_sec: self.ts_sec,
            snapshot: Snapshots::At(self.snapshot.state().clone()),
        }
    }

    /// Whether all is told that ever will be: with `snapshot.mode=initial_only`, once the snapshot is done.
    pub(super) fn is_finished(&self) -> bool {
        let all_told = self.snapshot.is_done() && self.announcing.is_none();
        self.config.snapshot.mode == SnapshotMode::InitialOnly && all_told && !self.within
    }

    /// Whether the offset is another than the one that was handed over last. Events of which none is captured may move it.
    pub(super) fn has_moved(&mut self) -> bool {
        let moved = self.batch.moved && self.handed_over.as_ref() != Some(&self.offset().to_stored());
        self.batch.moved = moved;
        moved
    }

    /// Hands over what there is.
    pub(super) fn hand_over(&mut self) -> SourceBatch {
        if self.announcing.is_some() {
            // Whoever begins again without an offset tells it all.
            let (records, boundary) = self.batch.take(true);
            return SourceBatch {
                records,
                boundary,
                made_now: true,
                ..SourceBatch::default()
            };
        }
        let mut offsets = self.tables.unstored();
        let offset = self.offset().to_stored();
        self.handed_over = Some(offset.clone());
        offsets.push((self.partition.clone(), offset));
        let (records, boundary) = self.batch.take(self.within);
        SourceBatch {
            forgotten: Vec::new(),
            records,
            offsets,
            boundary,
            made_now: true,
            finished: self.is_finished(),
        }
    }
}
