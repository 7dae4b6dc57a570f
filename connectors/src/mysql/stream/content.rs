//! What is within transactions: rows, and statements.
use std::sync::Arc;

use super::StreamError;
use super::capture::Captured;
use super::ddl::{Quoting, Statement, Touched};
use super::held::Events;
use super::open::{Pass, Savepoint};
use super::rows::RowsEvent;
use super::state::State;
use super::step::{EventOrigin, RowsStep, SchemaChange, Step, Truncation};
use super::told::Effect;
use crate::mysql::binlog::{At, Collation, Event, Place, Query, Rows, RowsBody, XaPrepare, Xid};
use crate::mysql::charset;
use crate::mysql::schema::TableId;
use crate::mysql::schema::ddl::Session;

/// Savepoints of one transaction that are remembered; their names may come again and again.
const SAVEPOINTS_MAX: usize = 1024;

/// The characters of a statement that errors show.
const SHOWN_CHARS: usize = 200;

impl State {
    /// Takes an event of an XA transaction that is committed.
    pub(super) fn replayed(&mut self, event: Event<'_>, at: &At) -> Result<(), StreamError> {
        match event {
            Event::Rows(rows) => self.rows(rows, at)?,
            Event::RowsQuery(text) => self.rows_query(text),
            Event::Query(query) => {
                let text = text(&query);
                self.opened(at)?.client = query.session.client;
                let statement = Statement::read(&text, query.database, quoting(&query));
                if !matches!(statement, Statement::XaStart(_) | Statement::Begin) {
                    self.within(statement, &query, text, at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All events of the XA transaction came again.
    pub(super) fn replayed_all(&mut self) -> Result<(), StreamError> {
        self.replay = None;
        let at = self.open.as_ref().and_then(|open| open.committed_at);
        self.commit(&at.expect("it was committed"))
    }

    pub(super) fn rows(&mut self, rows: Rows<'_>, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        if open.xa.is_some() || open.pass.is_some() {
            return Ok(());
        }
        if !open.begun {
            self.begin(at)?;
        }
        let captured = self.capture.rows(&rows.table, rows.change);
        let told = captured.records || captured.signals || self.tell_all && captured.table;
        let mut body = told.then(|| rows.keep());
        if let Some(body) = &mut body
            && self.told.holds_many()
        {
            // One small event of each buffer would keep all of them.
            body.unpin();
        }
        let ends_statement = rows.ends_statement;
        let count = match rows.count() {
            Ok(count) => count,
            Err(error) if told => {
                self.fail(error.into())?;
                return Ok(());
            }
            // Nobody asks what is wrong with rows that are not captured, and it is the same each time.
            Err(_) => 0,
        };
        let open = self.opened(at)?;
        let (ordinal, delivered) = open.count(count);
        if let Some(body) = body {
            let origin = open.origin(at);
            self.tell_rows(body, captured, origin, (ordinal, count, delivered))?;
        }
        if ends_statement {
            self.opened(at)?.query = None;
        }
        Ok(())
    }

    /// Tells rows of which the first has this ordinal; so many, of which so many were delivered before a restart.
    fn tell_rows(
        &mut self,
        body: RowsBody,
        captured: Captured,
        origin: EventOrigin,
        (ordinal, count, delivered): (u64, u64, u64),
    ) -> Result<(), StreamError> {
        if delivered == count && !self.tell_all {
            return Ok(());
        }
        let table = Arc::clone(body.table());
        let mut rows = RowsEvent::new(body, ordinal);
        if !self.tell_all {
            rows.skip(delivered)?;
        }
        let step = RowsStep {
            origin,
            table,
            captured,
            rows,
            delivered: if self.tell_all { delivered } else { 0 },
            fresh: ordinal + delivered,
        };
        let effect = match delivered < count {
            true => Effect::Rows(ordinal + count),
            false => Effect::None,
        };
        self.told.push(Step::Rows(step), effect);
        Ok(())
    }

    pub(super) fn rows_query(&mut self, text: &[u8]) {
        let queries = self.options.queries;
        if let Some(open) = &mut self.open
            && queries
        {
            open.query = Some(decoded(text, open.client).into());
        }
    }

    pub(super) fn query(&mut self, query: &Query<'_>, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        open.client = query.session.client;
        if query.is("BEGIN") {
            open.set_thread(query.thread_id);
            return self.begin(at);
        }
        let text = text(query);
        let statement = Statement::read(&text, query.database, quoting(query));
        if open.xa.is_some() {
            // Everything in it is looked at once it is committed.
            return Ok(());
        }
        match statement {
            Statement::Begin => {
                open.set_thread(query.thread_id);
                self.begin(at)?;
            }
            Statement::Commit => self.commit(at)?,
            Statement::Rollback => {
                self.take_back_all(&self.place(at))?;
                self.end(Step::Moved, at.next_position);
            }
            Statement::XaStart(xid) => {
                open.set_thread(query.thread_id);
                self.xa_start(xid, at)?;
            }
            Statement::XaCommit(xid) => {
                open.set_thread(query.thread_id);
                self.xa_commit(&xid, at)?;
            }
            Statement::XaRollback(xid) => {
                self.held.take(&xid);
                self.end(Step::Moved, at.next_position);
            }
            statement if open.begun => self.within(statement, query, text, at)?,
            statement => {
                let step = self.step(statement, query, text, at)?;
                self.end(step.unwrap_or(Step::Moved), at.next_position);
            }
        }
        Ok(())
    }

    /// A statement between BEGIN and COMMIT.
    fn within(
        &mut self,
        statement: Statement,
        query: &Query<'_>,
        text: String,
        at: &At,
    ) -> Result<(), StreamError> {
        match statement {
            Statement::Savepoint(name) => {
                let steps = self.told.steps();
                let open = self.opened(at)?;
                open.savepoints
                    .retain(|known| !known.name.eq_ignore_ascii_case(&name));
                if open.savepoints.len() >= SAVEPOINTS_MAX {
                    open.savepoints.remove(0);
                }
                let rows = open.rows;
                open.savepoints.push(Savepoint { name, steps, rows });
            }
            Statement::RollbackTo(name) => self.roll_back_to(&name, at)?,
            Statement::Truncate(_) | Statement::Schema { .. } => {
                let step = self.step(statement, query, text, at)?;
                // It counts as a row, so that it is passed over after a restart as rows are.
                let (ordinal, delivered) = self.opened(at)?.count(1);
                if let Some(step) = step.filter(|_| delivered == 0) {
                    self.told.push(step, Effect::Rows(ordinal + 1));
                }
            }
            statement => drop(self.step(statement, query, text, at)?),
        }
        Ok(())
    }

    /// What is told of a statement, if anything is.
    fn step(
        &mut self,
        statement: Statement,
        query: &Query<'_>,
        text: String,
        at: &At,
    ) -> Result<Option<Step>, StreamError> {
        let open = self.opened(at)?;
        if open.pass.is_some() {
            return Ok(None);
        }
        let origin = open.origin(at);
        Ok(match statement {
            Statement::Truncate(table) => {
                let table = self.named(table);
                let captured = self.capture.table(&table.database, &table.table).table;
                let records = self.capture.truncates(&table);
                captured.then_some(Step::Truncate(Truncation {
                    origin,
                    table,
                    records,
                }))
            }
            Statement::Schema {
                kind,
                touches,
                renames,
            } => {
                let touches = self.all_named(touches);
                let renames = renames.into_iter();
                let renames = renames.map(|(from, to)| (self.named(from), self.named(to)));
                let renames = renames.collect();
                self.capture.touched(&touches).then(|| {
                    Step::Schema(SchemaChange {
                        origin,
                        database: query.database.into(),
                        text: text.into(),
                        session: session(query),
                        kind,
                        touches,
                        renames,
                    })
                })
            }
            Statement::Rows(touches) => {
                self.lacks_rows(&text, touches, at)?;
                None
            }
            _ => None,
        })
    }

    pub(super) fn load_data(&mut self, query: &Query<'_>, at: &At) -> Result<(), StreamError> {
        let text = text(query);
        let touches = match Statement::read(&text, query.database, quoting(query)) {
            Statement::Rows(touches) => touches,
            _ => Touched::Everything,
        };
        let open = self.opened(at)?;
        match open.pass.is_none() && open.xa.is_none() {
            true => self.lacks_rows(&text, touches, at),
            false => Ok(()),
        }
    }

    /// A statement changed rows that are not in the log.
    fn lacks_rows(&self, text: &str, touches: Touched, at: &At) -> Result<(), StreamError> {
        let touches = self.all_named(touches);
        if !self.capture.touched(&touches) {
            return Ok(());
        }
        self.fail(StreamError::StatementFormat {
            place: self.place(at),
            statement: text.chars().take(SHOWN_CHARS).collect(),
            tables: touches,
        })
    }

    /// A table as the server names it in its log.
    fn named(&self, table: TableId) -> TableId {
        match self.options.lower_case_names {
            true => TableId::new(&table.database.to_lowercase(), &table.table.to_lowercase()),
            false => table,
        }
    }

    fn all_named(&self, touches: Touched) -> Touched {
        match touches {
            Touched::Tables(tables) => {
                Touched::Tables(tables.into_iter().map(|table| self.named(table)).collect())
            }
            Touched::Database(name) if self.options.lower_case_names => {
                Touched::Database(name.to_lowercase())
            }
            touches => touches,
        }
    }

    fn roll_back_to(&mut self, name: &str, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        let known = open
            .savepoints
            .iter()
            .rposition(|known| known.name.eq_ignore_ascii_case(name));
        // One that was forgotten is before all that are known.
        let (steps, rows) = known.map_or((1, 0), |known| {
            open.savepoints.truncate(known + 1);
            let savepoint = &open.savepoints[known];
            (savepoint.steps, savepoint.rows)
        });
        if open.pass.is_some() {
            return Ok(());
        }
        let place = self.place(at);
        self.check_told(rows, &place)?;
        self.told.take_back(steps);
        Ok(())
    }

    /// Takes back all steps of the open transaction.
    pub(super) fn take_back_all(&mut self, place: &Place) -> Result<(), StreamError> {
        if self.open.as_ref().is_some_and(|open| open.pass.is_none()) {
            self.check_told(0, place)?;
            self.told.take_back(0);
        }
        Ok(())
    }

    /// Rows of the open transaction behind the first `rows` are taken back: none of them may have been told.
    fn check_told(&mut self, rows: u64, place: &Place) -> Result<(), StreamError> {
        let told = self.told.of_open().map_or(0, |cut| cut.row.max(cut.event));
        if told <= rows {
            return Ok(());
        }
        let transaction = self.open.as_mut().map(|open| open.transaction().id.to_string());
        Err(StreamError::RolledBack {
            transaction: transaction.unwrap_or_default(),
            place: place.clone(),
            rows: told,
            limit: self.told.limit,
        })
    }

    fn xa_start(&mut self, xid: Xid, at: &At) -> Result<(), StreamError> {
        let mut events = Events::default();
        if at.within {
            // The events behind it are in the same raw one.
            self.held.add(&mut events, self.raw.clone(), &xid)?;
        }
        self.opened(at)?.xa = Some((xid, events));
        Ok(())
    }

    /// A raw event was pushed: it may be of an XA transaction.
    pub(super) fn hold_raw(&mut self) -> Result<(), StreamError> {
        match self.open.as_mut().and_then(|open| open.xa.as_mut()) {
            Some((xid, events)) => self.held.add(events, self.raw.clone(), xid),
            None => Ok(()),
        }
    }

    pub(super) fn xa_prepare(&mut self, prepare: XaPrepare, at: &At) -> Result<(), StreamError> {
        let open = self.opened(at)?;
        let pass = open.pass;
        let Some((xid, events)) = open.xa.take() else {
            self.end(Step::Moved, at.next_position);
            return Ok(());
        };
        if prepare.one_phase {
            return self.xa_committed(events, at);
        }
        match pass {
            Some(Pass::Excluded) => self.held.forget(&events),
            _ => {
                let start = self.reached().clone();
                self.held.prepare(xid, start, events)?;
            }
        }
        self.end(Step::Moved, at.next_position);
        Ok(())
    }

    fn xa_commit(&mut self, xid: &Xid, at: &At) -> Result<(), StreamError> {
        let events = self.held.take(xid);
        let place = self.place(at);
        let open = self.opened(at)?;
        match events {
            Some((events, start)) if open.pass.is_none() => {
                self.committing = Some(start);
                self.begin(at)?;
                self.xa_replay(events, at)
            }
            None if open.pass.is_none() && !self.options.ahead => {
                tracing::warn!(%xid, %place, "an XA transaction is committed whose rows are not known: it was prepared before reading began");
                self.end(Step::Moved, at.next_position);
                Ok(())
            }
            _ => {
                self.end(Step::Moved, at.next_position);
                Ok(())
            }
        }
    }

    /// The open XA transaction is committed where it is.
    pub(super) fn xa_committed(&mut self, events: Events, at: &At) -> Result<(), StreamError> {
        self.held.forget(&events);
        if self.opened(at)?.pass.is_some() {
            self.end(Step::Moved, at.next_position);
            return Ok(());
        }
        self.begin(at)?;
        self.xa_replay(events, at)
    }

    /// The rows of a prepared transaction come next, within the open one.
    fn xa_replay(&mut self, events: Events, at: &At) -> Result<(), StreamError> {
        self.opened(at)?.committed_at = Some(*at);
        self.replay = Some(self.held.replay(events)?);
        Ok(())
    }
}

fn quoting(query: &Query<'_>) -> Quoting {
    Quoting::of_mode(query.session.sql_mode.unwrap_or(0))
}

fn session(query: &Query<'_>) -> Session {
    Session {
        sql_mode: query.session.sql_mode.unwrap_or(0),
        explicit_timestamps: query.session.explicit_timestamps,
        utf8mb4: query.session.utf8mb4,
    }
}

/// A statement's text.
fn text(query: &Query<'_>) -> String {
    decoded(query.statement, query.session.client)
}

/// Text of a session; as far as it can be read if it is not in the character set that it should be in.
fn decoded(bytes: &[u8], collation: Option<Collation>) -> String {
    let mut text = String::new();
    match collation.map(|collation| charset::decode(collation, bytes, &mut text)) {
        Some(Ok(())) => text,
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
