//! Telling single steps of the stream.
use super::batch::Room;
use super::change::{Telling, moment, now, origin};
use super::computed;
use super::describe::{Ask, Described, Known, Since};
use super::error::SourceError;
use super::running::{Pending, Running};
use crate::mysql::binlog::{Row, Value};
use crate::mysql::config::SnapshotMode;
use crate::mysql::record::{SchemaChange as Change, TableChange as ChangedTable};
use crate::mysql::schema::TableId;
use crate::mysql::signal::Signal;
use crate::mysql::snapshot::TableChange;
use crate::mysql::stream::ddl::{SchemaKind, Touched};
use crate::mysql::stream::{EventOrigin, RowsStep, SchemaChange, Step, Truncation};
use crate::mysql::text;

/// The most bytes of a signal's data.
const SIGNAL_BYTES_MAX: usize = 1 << 20;

/// Tables that one statement has asked for: one that may have touched any asks for none.
const ASKED_MAX: usize = 1000;

impl Running {
    /// Tells a step as far as it can be; whether all of it is told.
    pub(super) fn tell(&mut self, pending: Pending, room: Room) -> Result<bool, SourceError> {
        let begins = matches!(&pending, Pending::Step(Step::Begin { .. }));
        let told = match pending {
            Pending::Changed(change, ids, described) => {
                self.learned(&change, described);
                self.changed(&change, &ids);
                true
            }
            Pending::Step(step) => self.step(step, room)?,
        };
        if told {
            if !begins {
                self.batch.open();
            }
            self.stream.settle();
            self.signalled = false;
            self.batch.moved = true;
            self.stands = !self.within;
        }
        Ok(told)
    }

    fn step(&mut self, step: Step, room: Room) -> Result<bool, SourceError> {
        match step {
            Step::Begin { origin, resumed } => {
                self.noted(&origin);
                self.within = true;
                if let Some(transactions) = &mut self.transactions {
                    let id = origin.transaction.id.clone();
                    match resumed {
                        true => transactions.resume(id),
                        false => transactions.begin(id, moment(&origin), &mut self.batch.opening),
                    }
                }
            }
            Step::Commit(origin) => {
                self.noted(&origin);
                self.within = false;
                self.batch.open();
                if let Some(transactions) = &mut self.transactions {
                    transactions.end(moment(&origin), &mut self.batch.records);
                }
            }
            Step::Moved => {}
            Step::Rows(step) => return self.rows(step, room),
            Step::Truncate(truncation) => return self.truncate(truncation),
            Step::Schema(change) => return Ok(self.schema(change)),
        }
        Ok(true)
    }

    /// What offsets say of the last event.
    fn noted(&mut self, origin: &EventOrigin) {
        self.server_id = Some(origin.server_id);
        self.ts_sec = Some(u64::from(origin.timestamp_s));
    }

    /// Rows, as far as there is room.
    fn rows(&mut self, mut step: RowsStep, room: Room) -> Result<bool, SourceError> {
        // Rows may come here several times, until all of them are told.
        if step.captured.signals
            && self.config.stream.signals
            && !std::mem::replace(&mut self.signalled, true)
        {
            self.signals(&step)?;
        }
        if !step.captured.table {
            return Ok(true);
        }
        let compiled = self.tables.of_map(&step.table, || step.rows.place().clone())?;
        let Some(compiled) = compiled else {
            let id = TableId::new(&step.table.database, &step.table.table);
            self.ask(vec![id], !step.table.has_names);
            self.pending = Some(Pending::Step(Step::Rows(step)));
            return Ok(false);
        };
        let mut telling = Telling {
            compiled: &compiled,
            transactions: self.transactions.as_mut(),
            touching: self.snapshot.touching(&compiled.table),
            failures: self.config.records.failures,
            batch: &mut self.batch,
        };
        match telling.rows(&mut step, room) {
            Ok(false) => {
                self.pending = Some(Pending::Step(Step::Rows(step)));
                Ok(false)
            }
            Err(error) => {
                self.stream.give_up(&step);
                Err(error)
            }
            told => told,
        }
    }

    /// Asks the server what tables are; whether the answer has to be right for this place of the log, too.
    pub(super) fn ask(&mut self, tables: Vec<TableId>, unnamed: bool) {
        let trusted = self.config.snapshot.mode == SnapshotMode::Recovery;
        let since = (unnamed && !trusted).then(|| Since {
            position: self.stream.behind_last(),
            within: self.within,
        });
        self.describer.ask(Ask {
            tables,
            since,
            unnamed,
            identity: self.facts.identity.clone(),
        });
    }

    /// Rows that were inserted into the table of signals.
    fn signals(&mut self, step: &RowsStep) -> Result<(), SourceError> {
        // None is done if one cannot be read: they come again.
        let (mut reader, mut row) = (step.rows.reader(), Row::default());
        while reader.read_row(&mut row)? {}
        let mut reader = step.rows.reader();
        while reader.read_row(&mut row)? {
            if u64::from(reader.next_row().number) <= step.delivered {
                continue;
            }
            self.signal_row(step, &row);
        }
        Ok(())
    }

    /// A row of the table of signals: its columns are an id, a type and data.
    fn signal_row(&mut self, step: &RowsStep, row: &Row<'_>) {
        let mut texts = step.table.columns.iter().zip(&row.after).map(|(column, value)| {
            let mut shown = String::new();
            let printed = text::print(column, value, SIGNAL_BYTES_MAX, &mut shown);
            printed
                .ok()
                .filter(|()| !matches!(value, Value::Null))
                .map(|()| shown)
        });
        let mut next = || texts.next().flatten();
        let (id, kind, data) = (next().unwrap_or_default(), next().unwrap_or_default(), next());
        let taken = Signal::parse(&id, &kind, data.as_deref()).and_then(|signal| match signal {
            Some(signal) => self.signal(&signal),
            None => Ok(()),
        });
        if let Err(error) = taken {
            tracing::warn!(%id, %kind, %error, "a signal is refused");
        }
    }

    /// A table was emptied.
    fn truncate(&mut self, truncation: Truncation) -> Result<bool, SourceError> {
        let records = match self.tables.known(&truncation.table) {
            None if truncation.records => {
                let unnamed = !self.facts.has_full_metadata();
                self.ask(vec![truncation.table.clone()], unnamed);
                self.pending = Some(Pending::Step(Step::Truncate(truncation)));
                return Ok(false);
            }
            Some(Known::Table(table)) if truncation.records => {
                let table = std::sync::Arc::clone(table);
                Some(self.tables.of_table(&table)?)
            }
            _ => None,
        };
        match records {
            Some(records) => {
                let transactions = self.transactions.as_mut();
                self.batch.open();
                records.truncate(
                    &origin(&truncation.origin),
                    transactions,
                    now(),
                    &mut self.batch.records,
                );
                self.batch.added(0, 1);
            }
            None if truncation.records => {
                tracing::warn!(table = %truncation.table, "its truncation makes no record: it is not known what the table was");
            }
            None => {}
        }
        self.snapshot.changed(&TableChange::Truncated(truncation.table));
        Ok(true)
    }

    /// Tables changed: what was known of them does not hold behind it. Whether that is told already.
    fn schema(&mut self, change: SchemaChange) -> bool {
        // Those that something was known of may be gone now.
        let mut ids = match &change.touches {
            Touched::Tables(tables) => tables.clone(),
            touches => self.tables.among(touches),
        };
        for changed in table_changes(&change) {
            self.snapshot.changed(&changed);
        }
        let capture = self.stream.capture();
        ids.retain(|id| capture.table(&id.database, &id.table).table);
        ids.sort();
        ids.dedup();
        let unnamed = !self.facts.has_full_metadata();
        if ids.is_empty() || ids.len() > ASKED_MAX || !(unnamed || self.schema_changes.is_some()) {
            self.tables.touched(&change.touches);
            self.changed(&change, &[]);
            return true;
        }
        self.ask(ids.clone(), unnamed);
        // What was known stays so, and stored, until the statement is told: it may have to come again.
        self.pending = Some(Pending::Changed(change, ids, Described::default()));
        false
    }

    /// The server said what tables are behind a statement.
    fn learned(&mut self, change: &SchemaChange, mut described: Described) {
        computed::complete(&mut described, change, &self.tables);
        self.tables.touched(&change.touches);
        self.tables.learn(described);
    }

    /// The record of a change of tables.
    fn changed(&mut self, change: &SchemaChange, ids: &[TableId]) {
        let Some(schema_changes) = &self.schema_changes else {
            return;
        };
        let tables: Vec<_> = ids
            .iter()
            .filter_map(|id| match (self.tables.known(id)?, change.kind) {
                (Known::Table(table), SchemaKind::Create) => Some(ChangedTable::Create(table)),
                (Known::Table(table), _) => Some(ChangedTable::Alter(table)),
                (Known::Gone, _) => Some(ChangedTable::Drop(id)),
                (Known::Changed | Known::Unknown(_), _) => None,
            })
            .collect();
        let database = match (&change.touches, ids.first()) {
            (_, Some(id)) => &*id.database,
            (Touched::Database(name), None) => name,
            (_, None) => &change.database,
        };
        let told = Change {
            database,
            ddl: Some(&change.text),
            tables: &tables,
        };
        let record = schema_changes.record(&told, &origin(&change.origin), now());
        self.batch.open();
        self.batch.records.push(record);
        self.batch.added(change.text.len() * 2, 1);
    }
}

/// What a statement means for chunks that are being read.
fn table_changes(change: &SchemaChange) -> Vec<TableChange> {
    match &change.touches {
        Touched::Everything => vec![TableChange::Everything],
        Touched::Database(name) => vec![TableChange::Database(name.clone())],
        Touched::Tables(tables) => {
            let renamed = |id: &TableId| change.renames.iter().any(|(from, to)| from == id || to == id);
            let others = tables.iter().filter(|id| !renamed(id)).cloned();
            let others = others.map(|id| match change.kind {
                SchemaKind::Drop => TableChange::Dropped(id),
                _ => TableChange::Altered(id),
            });
            let renames = change.renames.iter().cloned();
            let renames = renames.map(|(from, to)| TableChange::Renamed { from, to });
            renames.chain(others).collect()
        }
    }
}
