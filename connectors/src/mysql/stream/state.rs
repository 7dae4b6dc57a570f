//! What events mean for transactions: where they begin and end, and which are told.
use bytes::Bytes;
use bytestring::ByteString;

use super::capture::Capture;
use super::held::{Events, Held, Replay};
use super::open::{Gtid, Open, Pass};
use super::options::StreamOptions;
use super::resume::{Cut, Resume, Skip};
use super::step::Step;
use super::told::{Effect, End, Told};
use super::{Gtids, LogPosition, StreamError};
use crate::mysql::binlog::{At, Event, MariadbStart, Place};
use crate::mysql::config::FailureMode;

/// Reading what was delivered already, because of XA transactions that were prepared there.
#[derive(Debug)]
struct Zone {
    /// Where it begins.
    start: LogPosition,
    /// How far it is read.
    reached: LogPosition,
}

/// Everything but the decoders.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: StreamOptions,
    pub(super) capture: Capture,
    pub(super) tell_all: bool,
    pub(super) told: Told,
    zone: Option<Zone>,
    pub(super) open: Option<Open>,
    pub(super) held: Held,
    file: ByteString,
    /// The raw event that was pushed last.
    pub(super) raw: Bytes,
    /// The raw event that the file began with, which other decoders need.
    pub(super) format: Bytes,
    /// Events of a committed XA transaction that are to come next.
    pub(super) replay: Option<Replay>,
    /// Where reading has to begin so that they come again.
    pub(super) committing: Option<LogPosition>,
}

impl State {
    pub(super) fn new(resume: Resume, options: StreamOptions) -> Self {
        let cut = Cut::of(&resume);
        let (file, zone) = zone(&resume);
        Self {
            capture: Capture::new(options.filters.clone()),
            tell_all: false,
            file,
            zone,
            open: None,
            held: Held::new(options.held.clone()),
            raw: Bytes::new(),
            format: Bytes::new(),
            replay: None,
            committing: None,
            told: Told::new(resume.position, cut, options.hold_bytes),
            options,
        }
    }

    pub(super) fn capture(&self) -> &Capture {
        &self.capture
    }

    /// What is delivered, as [`Told::cut`] says it.
    pub(super) fn resume(&self, row: Option<(u64, u64)>) -> Resume {
        let committing = self
            .committing
            .as_ref()
            .filter(|_| !self.is_between_transactions());
        let read_from = match &self.zone {
            Some(zone) => Some(zone.start.clone()),
            None => committing.or(self.held.read_from()).cloned(),
        };
        let position = self.told.position.clone();
        match self.told.cut(row) {
            Some(cut) => Resume {
                position,
                read_from,
                event: cut.event,
                row: cut.row,
                transaction: cut.transaction,
            },
            None => Resume {
                read_from,
                ..Resume::at(position)
            },
        }
    }

    /// Whether nothing is read that is not told.
    pub(super) fn is_between_transactions(&self) -> bool {
        self.open.is_none() && self.told.is_empty()
    }

    /// Forgets what is not told: it comes again, with a new connection.
    pub(super) fn begin_again(&mut self) {
        (self.file, self.zone) = zone(&self.resume(None));
        self.told.begin_again();
        self.open = None;
        (self.replay, self.committing) = (None, None);
        self.held.clear();
    }

    pub(super) fn place(&self, at: &At) -> Place {
        Place {
            file: self.file.to_string(),
            position: at.position,
        }
    }

    /// Takes an event of the log.
    pub(super) fn event(&mut self, event: Event<'_>, at: &At) -> Result<(), StreamError> {
        let counts = !matches!(event, Event::Compressed | Event::Heartbeat);
        match event {
            Event::Format { .. } => self.format()?,
            Event::Rotate { file, position } => self.rotate(file, position, at),
            Event::PreviousGtids(set) if !set.is_empty() => self.adopt(Gtids::Mysql(set), at),
            Event::MariadbGtids(position) if !at.header.is_artificial() => {
                self.adopt(Gtids::Mariadb(position), at);
            }
            Event::Start(start) => self.open(Open::of_mysql(start, &self.file, at))?,
            Event::MariadbStart(start) => self.mariadb_start(&start, at)?,
            Event::Query(query) => self.query(&query, at)?,
            Event::LoadData(query) => self.load_data(&query, at)?,
            Event::RowsQuery(text) => self.rows_query(text),
            Event::Table(table) => {
                if let Some((_, events)) = self.open.as_mut().and_then(|open| open.xa.as_mut()) {
                    events.captured |= self.capture.table(&table.database, &table.table).any();
                }
            }
            Event::Rows(rows) => self.rows(rows, at)?,
            Event::Commit(_) => self.commit(at)?,
            Event::XaPrepare(prepare) => self.xa_prepare(prepare, at)?,
            Event::Heartbeat => self.heartbeat(at),
            Event::Incident { message } => self.incident(message, at)?,
            _ => {}
        }
        if let Some(open) = &mut self.open
            && open.begun
            && counts
        {
            open.events += 1;
        }
        Ok(())
    }

    /// A file begins, or the stream. What was open is not in this file: the server stopped in its midst, and rolled it back.
    fn format(&mut self) -> Result<(), StreamError> {
        self.format = self.raw.clone();
        if self.open.is_some() {
            self.take_back_all(&Place {
                file: self.file.to_string(),
                position: 4,
            })?;
            self.told.begin_again();
            self.open = None;
        }
        Ok(())
    }

    fn rotate(&mut self, file: &str, position: u64, at: &At) {
        if *self.file != *file {
            self.file = file.into();
        }
        let real = !at.header.is_artificial() && at.header.next_position != 0;
        if real && self.open.is_none() {
            let file = self.file.clone();
            let reached = self.reached();
            reached.file = file;
            reached.position = position;
        }
    }

    /// How far the log is read: behind what is told, or within what was told before.
    pub(super) fn reached(&mut self) -> &mut LogPosition {
        match &mut self.zone {
            Some(zone) => &mut zone.reached,
            None => &mut self.told.position,
        }
    }

    /// The transactions before this file, if they were not known, and all that is read is before it.
    fn adopt(&mut self, gtids: Gtids, at: &At) {
        let file = self.file.clone();
        let is_within = self.open.is_some();
        let reached = self.reached();
        if !is_within && reached.file == file && reached.position <= at.next_position {
            reached.gtids.get_or_insert(gtids);
        }
    }

    fn heartbeat(&mut self, at: &At) {
        if self.open.is_some() || at.header.next_position == 0 {
            return;
        }
        let file = self.file.clone();
        let reached = self.reached();
        if reached.file == file {
            reached.position = reached.position.max(at.position);
        } else if reached.gtids.is_some() {
            reached.file = file;
            reached.position = at.position;
        }
    }

    fn incident(&self, message: &[u8], at: &At) -> Result<(), StreamError> {
        let error = StreamError::Incident {
            place: self.place(at),
            message: String::from_utf8_lossy(message).into_owned(),
        };
        self.fail(error)
    }

    /// Fails, or says so and goes on.
    pub(super) fn fail(&self, error: StreamError) -> Result<(), StreamError> {
        match self.options.failures {
            FailureMode::Fail => Err(error),
            FailureMode::Warn => {
                tracing::warn!(%error, "the log lacks rows; going on without them");
                Ok(())
            }
            FailureMode::Skip => Ok(()),
        }
    }

    /// A transaction begins to be read.
    fn open(&mut self, mut open: Open) -> Result<(), StreamError> {
        self.committing = None;
        if let Some(before) = &self.open {
            if before.begun {
                return Err(StreamError::Order {
                    place: Place {
                        file: self.file.to_string(),
                        position: open.position(),
                    },
                    what: "the beginning of a transaction before the end of the last one",
                });
            }
            // There was nothing in it.
            self.end(Step::Moved, open.position());
        }
        if self.was_delivered(&open) {
            open.pass = Some(Pass::Delivered);
        } else {
            self.zone = None;
            let counts = open
                .gtid
                .as_ref()
                .is_none_or(|gtid| gtid.counts(&self.options.gtid_sources));
            match counts {
                true => open.skip = self.told.open(open.gtid.as_ref()).map(Skip::of),
                false => open.pass = Some(Pass::Excluded),
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn was_delivered(&self, open: &Open) -> bool {
        let told = &self.told.position;
        match (&open.gtid, &told.gtids, &self.zone) {
            // Numbers of MariaDB need not ascend: outside of what is read again they tell nothing.
            (Some(Gtid::Mariadb(_)), Some(_), None) => false,
            (Some(gtid), Some(gtids), _) => gtid.is_in(gtids),
            (_, _, Some(_)) => {
                let here = LogPosition::at(self.file.clone(), open.position());
                !here.has_passed(&LogPosition::at(told.file.clone(), told.position))
            }
            _ => false,
        }
    }

    /// The open transaction; one that began without being announced if there is none.
    pub(super) fn opened(&mut self, at: &At) -> Result<&mut Open, StreamError> {
        if self.open.is_none() {
            self.open(Open::unannounced(&self.file, at))?;
        }
        Ok(self.open.as_mut().expect("it is open"))
    }

    fn mariadb_start(&mut self, start: &MariadbStart, at: &At) -> Result<(), StreamError> {
        self.open(Open::of_mariadb(start, &self.file, at))?;
        if let Some(xid) = &start.prepares {
            self.opened(at)?.xa = Some((xid.clone(), Events::default()));
        } else if !start.standalone {
            self.begin(at)?;
        }
        Ok(())
    }

    /// The open transaction's BEGIN.
    pub(super) fn begin(&mut self, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        if open.begun {
            return Ok(());
        }
        open.begin(at);
        if open.pass.is_none() {
            let (origin, resumed) = (open.origin(at), open.skip.is_some());
            self.told.push(Step::Begin { origin, resumed }, Effect::None);
        }
        Ok(())
    }

    /// The open transaction ends well.
    pub(super) fn commit(&mut self, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        if let Some((_, events)) = open.xa.take() {
            return self.xa_committed(events, at);
        }
        let step = match open.begun && open.pass.is_none() {
            true => Step::Commit(open.origin(at)),
            false => Step::Moved,
        };
        self.end(step, at.next_position);
        Ok(())
    }

    /// The open transaction ends before `position`, and `step` is the last that is told of it.
    pub(super) fn end(&mut self, step: Step, position: u64) {
        let Some(open) = self.open.take() else { return };
        if let Some((_, events)) = &open.xa {
            self.held.forget(events);
        }
        let end = End {
            file: self.file.clone(),
            position,
            gtid: open.gtid,
        };
        if open.pass != Some(Pass::Delivered) {
            self.told.push(step, Effect::Ends(end));
            return;
        }
        if let Some(zone) = &mut self.zone {
            end.move_behind(&mut zone.reached);
            let told = &self.told.position;
            if told.gtids.is_none() && zone.reached.has_passed(told) {
                self.zone = None;
            }
        }
    }
}

/// Where reading begins, and what of it was delivered.
fn zone(resume: &Resume) -> (ByteString, Option<Zone>) {
    let zone = resume.read_from.clone().map(|start| Zone {
        reached: start.clone(),
        start,
    });
    (resume.dump_from().file.clone(), zone)
}
