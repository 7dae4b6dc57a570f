//! Steps of the stream as records.
use millstream_connect::record::Record;

use super::batch::{Batch, Room};
use super::error::SourceError;
use super::tables::Compiled;
use crate::mysql::binlog::{Row, Value};
use crate::mysql::config::FailureMode;
use crate::mysql::record::{ChangedRows, Moment, Origin, RecordError, Snapshot as Marker, Transactions};
use crate::mysql::snapshot::{Told, Touching};
use crate::mysql::stream::{EventOrigin, RowsPlace, RowsStep};

/// The time now.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where a source's records get their time"
)]
pub(super) fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    Moment::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// When an event happened: its transaction's commit, where the log has that, or the second in which its statement began.
pub(super) fn moment(origin: &EventOrigin) -> Moment {
    match origin.transaction.originally_committed_us {
        Some(micros) => Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)),
        None => Moment::from_seconds(origin.timestamp_s),
    }
}

/// Where an event is, as records say it.
pub(super) fn origin(event: &EventOrigin) -> Origin {
    Origin {
        moment: moment(event),
        snapshot: Marker::No,
        file: event.file.clone(),
        position: event.position,
        row: 0,
        server_id: event.server_id,
        gtid: event.transaction.gtid.clone(),
        thread: event.transaction.thread,
        query: event.query.clone(),
    }
}

/// What rows are told with.
pub(super) struct Telling<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) transactions: Option<&'a mut Transactions>,
    pub(super) touching: Option<Touching<'a>>,
    pub(super) failures: FailureMode,
    pub(super) batch: &'a mut Batch,
}

impl Telling<'_> {
    /// Tells rows until there are no more, or no room; whether there are none.
    pub(super) fn rows(&mut self, step: &mut RowsStep, room: Room) -> Result<bool, SourceError> {
        let mut changed = self.compiled.records.changed_rows(origin(&step.origin), now());
        let begins = step.rows.next_row();
        let mut bytes = begins.bytes_left();
        // How far all was told, also where a row is of no use.
        let (at, ended) = {
            let (mut reader, mut row) = (step.rows.reader(), Row::default());
            loop {
                let at = reader.next_row();
                if self.batch.is_full(room, true) {
                    break (at, Ok(false));
                }
                match reader.read_row(&mut row) {
                    Ok(true) => {}
                    Ok(false) => break (at, Ok(true)),
                    Err(error) => break (at, Err(error.into())),
                }
                let behind = reader.next_row();
                self.batch.open();
                let before = self.batch.records.len();
                if let Err(error) = self.row(step, &row, (at.number, behind), &mut changed) {
                    break (at, Err(error));
                }
                self.batch
                    .added(bytes - behind.bytes_left(), self.batch.records.len() - before);
                bytes = behind.bytes_left();
            }
        };
        step.rows.advance(at);
        ended
    }

    /// Tells the event's row `number`, which ends before `at`.
    fn row(
        &mut self,
        step: &RowsStep,
        row: &Row<'_>,
        (number, at): (u32, RowsPlace),
        changed: &mut ChangedRows<'_>,
    ) -> Result<(), SourceError> {
        let (change, transactions) = (step.rows.change(), self.transactions.as_deref_mut());
        if step.captured.records {
            let told = match (u64::from(at.number) <= step.delivered, transactions) {
                (true, Some(transactions)) => changed.pass_over(number, (change, row), transactions),
                (true, None) => Ok(()),
                (false, transactions) => {
                    let out: &mut Vec<Record> = &mut self.batch.records;
                    changed.row(number, (change, row), transactions, out)
                }
            };
            if let Err(error) = told {
                tolerate(error, self.failures)?;
            }
        }
        if let Some(touching) = &mut self.touching {
            let told = match step.captured.records && is_whole(row) {
                true => Told::Whole,
                false => Told::Part,
            };
            touching.row(row, told);
        }
        Ok(())
    }
}

/// Whether the images tell the whole row after the change.
fn is_whole(row: &Row<'_>) -> bool {
    let said = |(index, value): (usize, &Value<'_>)| match value {
        Value::Absent => !matches!(row.before.get(index), None | Some(Value::Absent)),
        Value::JsonDiff(_) => matches!(row.before.get(index), Some(Value::Json(_))),
        _ => true,
    };
    row.after.iter().enumerate().all(said)
}

/// A row of which no record can be made.
pub(super) fn tolerate(error: RecordError, failures: FailureMode) -> Result<(), SourceError> {
    match failures {
        FailureMode::Fail => Err(error.into()),
        FailureMode::Warn => {
            tracing::warn!(%error, "a row is left out");
            Ok(())
        }
        FailureMode::Skip => Ok(()),
    }
}
