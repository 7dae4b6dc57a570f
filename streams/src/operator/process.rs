//! A processor of the user's: rows of a key and timers in, rows out, state and timers kept.
//!
//! Timers fire where their watermark stands in the log: before the next row behind the announcement, or at the end of the epoch. What they
//! see does therefore not depend on where epochs end.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{Field, FieldRef};
use serde::{Deserialize, Serialize};
use serde_arrow::Deserializer;

use super::{FailedContent, FailedRow, Operator, OperatorError, Output};
use crate::format::{Placement, RowCodec};
use crate::plan::ProcessPlan;
use crate::rows::{EventTime, Rows};
use crate::sink::{Destination, RecordBuffer};
use crate::state::{KeyBytes, KeyedStore, Share, StateMemory};
use crate::store::LocalStore;
use crate::time::Watermark;
use crate::typed::{
    ClosureError, Moment, ProcessContext, Processor, guard, guard_fallible, name_of, to_batch,
};

/// Rows that are gathered before they go on.
const OUTPUT_ROWS_MAX: usize = 8 * 1024;

/// A processor with the keys of a partition.
pub(crate) struct Process<P: Processor> {
    plan: ProcessPlan,
    processor: P,
    store: KeyedStore<P::State>,
    emitted: Emitted<P::Out>,
}

/// Rows on their way out, each with its time and the watermark before it.
struct Emitted<O> {
    items: Vec<O>,
    times: Vec<EventTime>,
    watermarks: Vec<EventTime>,
}

/// What is left of a timer that failed.
#[derive(Serialize)]
struct FailedTimer<'a, S> {
    at_ms: EventTime,
    state: Option<&'a S>,
}

impl<P: Processor> Process<P> {
    pub(crate) fn new(plan: ProcessPlan, processor: P, partition: i32, memory: &Arc<StateMemory>) -> Self {
        let (changelog, share) = (Arc::clone(&plan.changelog), Share::of(memory));
        Self {
            store: KeyedStore::new(changelog, partition, &plan.meaning, share),
            emitted: Emitted {
                items: Vec::new(),
                times: Vec::new(),
                watermarks: Vec::new(),
            },
            plan,
            processor,
        }
    }

    /// The key of each row.
    fn keys(&self, rows: &Rows) -> Result<Vec<KeyBytes>, OperatorError> {
        let evaluated = self.plan.keys.iter().map(|key| {
            let column = key.evaluate(&rows.batch).map_err(OperatorError::of_rows)?;
            Ok(Placement::key_column(column)?)
        });
        let columns: Vec<ArrayRef> = evaluated.collect::<Result<_, OperatorError>>()?;
        let fields = columns.iter();
        let fields = fields.map(|key| FieldRef::new(Field::new("", key.data_type().clone(), true)));
        let codec = RowCodec::new(fields);
        let (writer, mut bytes) = (codec.key_writer(&columns)?, Vec::new());
        let key = |row| {
            bytes.clear();
            writer.write(row, &mut bytes)?;
            Ok(bytes.as_slice().into())
        };
        (0..rows.len()).map(key).collect()
    }

    /// Calls the processor for a key. If that fails, nothing has changed.
    fn call(
        &mut self,
        key: &KeyBytes,
        moment: Moment,
        before: EventTime,
        call: impl FnOnce(&mut P, &mut ProcessContext<'_, P::State, P::Out>) -> Result<(), P::Error>,
    ) -> Result<(), ClosureError> {
        let mut context = ProcessContext::new(self.store.get(key), moment);
        guard_fallible(|| call(&mut self.processor, &mut context))?;
        let (change, items) = context.finish()?;
        self.store.apply(key, change);
        let emitted = &mut self.emitted;
        emitted
            .times
            .resize(emitted.times.len() + items.len(), moment.time);
        emitted
            .watermarks
            .resize(emitted.watermarks.len() + items.len(), before);
        emitted.items.extend(items);
        Ok(())
    }

    /// Fires the timers that `watermark` has passed.
    fn fire(&mut self, watermark: Watermark, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let settled = out.settled().millis();
        while let Some((at, key)) = self.store.take_due(watermark)? {
            let moment = Moment {
                time: at,
                watermark,
                fires: true,
            };
            let fired = self.call(&key, moment, settled, |processor, context| {
                processor.on_timer(at, context)
            });
            if let Err(cause) = fired {
                out.failed.push(FailedRow {
                    part: 0,
                    row: FailedContent::Record(self.failed_timer(at, &key)),
                    cause: cause.into(),
                });
            }
            self.pass_on(OUTPUT_ROWS_MAX, out)?;
        }
        Ok(())
    }

    fn failed_timer(&self, at_ms: EventTime, key: &KeyBytes) -> RecordBuffer {
        let (state, _) = self.store.get(key);
        // A state that cannot be written is left out: the timer is worth more.
        let timer = |state| guard(|| serde_json::to_vec(&FailedTimer { at_ms, state }).ok());
        let value = timer(state).ok().flatten();
        let mut record = RecordBuffer::new(Destination::ByKey("".into()));
        record.push_bytes(
            at_ms,
            None,
            value.or_else(|| timer(None).ok().flatten()).as_deref(),
        );
        record
    }

    /// Passes on what was emitted, if it is at least so many rows.
    fn pass_on(&mut self, rows_min: usize, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let emitted = &mut self.emitted;
        if emitted.items.len() < rows_min.max(1) {
            return Ok(());
        }
        let items = std::mem::take(&mut emitted.items);
        let times = Int64Array::from(std::mem::take(&mut emitted.times));
        let watermarks = Int64Array::from(std::mem::take(&mut emitted.watermarks));
        // The state has changed with them already, so that they cannot be taken out: the job fails.
        let batch = to_batch(&self.plan.output, &items.iter().collect())?;
        let rows = Rows::new(batch, vec![0; items.len()]);
        out.push(rows.at(Arc::new(times), Some(Arc::new(watermarks))));
        Ok(())
    }
}

impl<P: Processor> Operator for Process<P> {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let (watermark, settled) = (out.watermark(), out.settled().millis());
        let keys = self.keys(&rows)?;
        self.store.load(&keys)?;
        let columns = self.plan.columns.as_deref();
        let read = columns.map(|columns| rows.batch.project(columns)).transpose()?;
        let unfit = |cause: serde_arrow::Error| ClosureError::Unfit {
            row_type: name_of::<P::In>(),
            cause: cause.to_string(),
        };
        let read = read.as_ref().unwrap_or(&rows.batch);
        let items = Deserializer::from_record_batch(read).map_err(unfit)?;
        for (row, item) in items.iter().enumerate() {
            self.fire(watermark, out)?;
            let moment = Moment {
                time: rows.times()[row],
                watermark,
                fires: false,
            };
            let before = rows.watermarks().map_or(settled, |marks| marks[row]);
            // A `Deserialize` is code of the user's as well.
            let read = guard(|| P::In::deserialize(item)).and_then(|read| read.map_err(unfit));
            let called = read.and_then(|read| {
                self.call(&keys[row], moment, before, |processor, context| {
                    processor.process(read, context)
                })
            });
            if let Err(cause) = called {
                out.failed.push(FailedRow {
                    part: 0,
                    row: FailedContent::Row(rows.slice(row, 1)),
                    cause: cause.into(),
                });
            }
            self.pass_on(OUTPUT_ROWS_MAX, out)?;
        }
        self.fire(watermark, out)?;
        self.pass_on(1, out)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.fire(out.watermark(), out)?;
        self.pass_on(1, out)?;
        match self.store.changes()? {
            Some(records) => Ok((out.publish)(&records)?),
            None => Ok(()),
        }
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        Ok(self.store.restore(key, value)?)
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        Ok(self.store.end_restore()?)
    }

    fn attach(&mut self, store: &LocalStore) {
        self.store.attach(store);
    }

    fn is_full(&self) -> bool {
        self.store.is_full()
    }

    fn state_size(&self) -> (usize, usize) {
        self.store.size()
    }
}
