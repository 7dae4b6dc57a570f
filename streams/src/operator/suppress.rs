//! A table whose changes wait: of each key, the last one within a time goes on, with what was there before the first.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::changes::Change;
use super::session_final::WORKED_MAX;
use super::{Operator, OperatorError, Output, Place};
use crate::plan::SuppressPlan as Plan;
use crate::rows::{EventTime, Rows};
use crate::state::{Changelog, LoggedRows, RowKey, RowStore, RowTable, Share, TimeIndex};
use crate::store::LocalStore;
use crate::time::Watermark;

/// The changes that wait, and those of the running epoch.
pub(crate) struct Suppress {
    plan: Plan,
    pairs: Vec<Rows>,
    pairs_bytes: usize,
    /// By key: the row as it is, as it was, whether there was one and is one, since when it waits, and the time of the last change.
    waiting: RowStore,
    /// The same by the times since when they wait.
    since: TimeIndex,
    /// What the last epoch let go. Its records are void when what it emitted is committed.
    void: Vec<RowKey>,
    stored: SchemaRef,
}

/// The pairs of an epoch as rows of the store.
struct Came {
    keys: Vec<ArrayRef>,
    values: Vec<ArrayRef>,
}

/// Keys that change, or others whose time has come, each once.
struct Touched {
    keys: Vec<ArrayRef>,
    /// The change of each in this epoch.
    pairs: Vec<Option<u32>>,
}

/// A change that waits, or waited, of one of the keys.
struct Entry {
    key: usize,
    since: EventTime,
    /// It is in the log.
    was_stored: bool,
    is_new: bool,
    /// There was no row, there is none, and nothing waits: said where epochs may be repeated.
    is_nothing: bool,
}

impl Suppress {
    pub(crate) fn new(plan: &Plan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let stored = stored_schema(plan);
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            Arc::clone(&stored),
            plan.keys,
            &plan.meaning,
        );
        Ok(Self {
            pairs: Vec::new(),
            pairs_bytes: 0,
            waiting: RowStore::new(changelog, Share::of(&place.near.memory))?,
            since: TimeIndex::new(stored.fields()[..plan.keys].to_vec()),
            void: Vec::new(),
            stored,
            plan: plan.clone(),
        })
    }

    fn is_due(&self, since: EventTime, watermark: Watermark) -> bool {
        watermark.passed(since.saturating_add(self.plan.limit_ms))
    }

    /// What the last epoch let go is void.
    fn publish_void(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let void = std::mem::take(&mut self.void);
        if void.is_empty() {
            return Ok(());
        }
        let mut columns = self.since.columns(&void)?;
        let values = self.stored.fields().iter().skip(columns.len());
        columns.extend(values.map(|field| new_null_array(field.data_type(), void.len())));
        let rows = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        (out.publish)(&self.waiting.encode(&rows, &vec![false; void.len()])?)?;
        Ok(())
    }

    /// The pairs of the epoch as rows of the store, without their keys.
    fn came(&mut self) -> Result<Option<Came>, OperatorError> {
        self.pairs_bytes = 0;
        let pairs = std::mem::take(&mut self.pairs);
        let Some(first) = pairs.first() else {
            return Ok(None);
        };
        let batch = concat_batches(first.batch.schema_ref(), pairs.iter().map(|rows| &rows.batch))?;
        let times = pairs.iter().flat_map(|rows| rows.times().iter().copied());
        let times: ArrayRef = Arc::new(Int64Array::from_iter_values(times));
        let (keys, width) = (self.plan.keys, self.plan.schema.fields().len());
        let columns = batch.columns();
        let mut values = columns[keys..width].to_vec();
        values.extend_from_slice(&columns[width + keys..]);
        values.extend([Arc::clone(&times), times]);
        Ok(Some(Came {
            keys: columns[..keys].to_vec(),
            values,
        }))
    }

    /// The keys of the pairs.
    fn changed(&self, keys: &[ArrayRef]) -> Result<Touched, OperatorError> {
        let fields = self.stored.fields()[..self.plan.keys].to_vec();
        let mut known = RowTable::new(Arc::new(Schema::new(fields)), Arc::new(Schema::empty()))?;
        let mut pairs: Vec<u32> = Vec::new();
        for (row, key) in (0_u32..).zip(known.places(keys)?) {
            debug_assert_eq!(
                key,
                pairs.len(),
                "a table says once an epoch what became of a key"
            );
            match pairs.get_mut(key) {
                Some(pair) => *pair = row,
                None => pairs.push(row),
            }
        }
        let rows = UInt32Array::from(pairs.clone());
        let keys = keys.iter().map(|key| take(key, &rows, None));
        Ok(Touched {
            keys: keys.collect::<Result<_, _>>()?,
            pairs: pairs.into_iter().map(Some).collect(),
        })
    }

    /// Of what waits, and did not change in this epoch, lets go what is due: a part at a time, which makes room for the next.
    fn let_go(
        &mut self,
        (settled, watermark): (Watermark, Watermark),
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let is_due = |since| self.is_due(since, watermark);
        let due = self.since.due(EventTime::MIN, is_due);
        let due: Vec<RowKey> = due.map(|(_, key)| key.clone()).collect();
        for due in due.chunks(WORKED_MAX) {
            // Of those before, which are not committed yet, none is asked for again.
            self.waiting.make_room()?;
            let touched = Touched {
                keys: self.since.columns(due)?,
                pairs: vec![None; due.len()],
            };
            self.work(&touched, None, (settled, watermark), out)?;
        }
        Ok(())
    }

    /// Joins what came to what waits; keeps what is to wait on, and emits what is due.
    fn work(
        &mut self,
        touched: &Touched,
        came: Option<&[ArrayRef]>,
        (settled, watermark): (Watermark, Watermark),
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let places = self.waiting.touch(&touched.keys)?;
        let table = self.waiting.table();
        let there: Vec<usize> = (0..places.len())
            .filter(|key| table.is_live(places[*key]))
            .collect();
        let stored_places: Vec<usize> = there.iter().map(|key| places[*key]).collect();
        let stored = table.gather(&stored_places)?;
        let came_rows = came.map_or(0, |came| came[0].len());
        let pool = match came {
            None => stored,
            Some(came) => {
                let pairs = came.iter().zip(&stored);
                let pool = pairs.map(|(came, stored)| concat(&[&**came, &**stored]));
                pool.collect::<Result<_, _>>()?
            }
        };
        let since_of = pool[pool.len() - 2].as_primitive::<Int64Type>().values().to_vec();
        let (had, has) = (
            pool[pool.len() - 4].as_boolean(),
            pool[pool.len() - 3].as_boolean(),
        );
        // That there was nothing and is nothing does not wait: nobody could see it twice.
        let is_nothing = |pair: u32| !had.value(pair as usize) && !has.value(pair as usize);
        let keys = self.since.keys(&touched.keys)?;
        let mut stored_of: Vec<Option<u32>> = vec![None; places.len()];
        let mut stale: Vec<usize> = Vec::new();
        for (number, key) in there.into_iter().enumerate() {
            let place = came_rows + number;
            if !self.is_due(since_of[place], settled) {
                stored_of[key] = Some(place as u32);
            } else {
                // It was emitted, and nobody has said so yet where it was read; unless another one takes its place there.
                let waits = |pair: u32| !is_nothing(pair) && !self.is_due(since_of[pair as usize], watermark);
                let is_replaced = touched.pairs[key].is_some_and(waits);
                if self.since.remove(since_of[place], &keys[key]) && !is_replaced {
                    self.void.push(keys[key].clone());
                }
                stale.push(key);
            }
        }
        let (mut entries, mut newest, mut oldest) = (Vec::new(), Vec::new(), Vec::new());
        for (key, (pair, stored)) in touched.pairs.iter().zip(&stored_of).enumerate() {
            let (Some(new), Some(old)) = (pair.or(*stored), stored.or(*pair)) else {
                continue;
            };
            newest.push(new);
            oldest.push(old);
            entries.push(Entry {
                key,
                since: since_of[old as usize],
                was_stored: stored.is_some(),
                is_new: pair.is_some(),
                is_nothing: stored.is_none() && pair.is_some_and(is_nothing),
            });
        }
        let columns = self.entries(&pool, newest, oldest)?;
        let is_due: Vec<bool> = entries
            .iter()
            .map(|entry| entry.is_nothing || self.is_due(entry.since, watermark))
            .collect();
        self.keep(
            touched,
            (&places, &keys),
            (&entries, &is_due, &stale),
            &columns,
            out,
        )?;
        self.emit(touched, &entries, &is_due, &columns, out)
    }

    /// The columns of entries, whose rows as they are come from one place and those that were from another.
    fn entries(
        &self,
        pool: &[ArrayRef],
        newest: Vec<u32>,
        oldest: Vec<u32>,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let values = self.plan.schema.fields().len() - self.plan.keys;
        let (newest, oldest) = (UInt32Array::from(newest), UInt32Array::from(oldest));
        let column = |(number, column): (usize, &ArrayRef)| {
            // The row as it is, whether there is one, and the time; else what was, and since when.
            let is_newest = number < values || number == 2 * values + 1 || number == 2 * values + 3;
            take(column, if is_newest { &newest } else { &oldest }, None)
        };
        let columns = pool.iter().enumerate().map(column);
        Ok(columns.collect::<Result<_, _>>()?)
    }

    fn keep(
        &mut self,
        touched: &Touched,
        (places, keys): (&[usize], &[RowKey]),
        (entries, is_due, stale): (&[Entry], &[bool], &[usize]),
        columns: &[ArrayRef],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let all = || entries.iter().zip(is_due).enumerate();
        let waits = |(_, (entry, due)): &(usize, (&Entry, &bool))| entry.is_new && !**due;
        let waiting: Vec<usize> = all().filter(waits).map(|(number, _)| number).collect();
        let over = all().filter(|(_, (entry, due))| entry.was_stored && **due);
        let over: Vec<usize> = over.map(|(number, _)| entries[number].key).collect();
        let rows = UInt32Array::from_iter_values(waiting.iter().map(|number| *number as u32));
        let key_rows = waiting.iter().map(|number| entries[*number].key as u32);
        let key_rows = UInt32Array::from_iter_values(key_rows);
        let values = columns.iter().map(|column| take(column, &rows, None));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        for entry in waiting.iter().map(|number| &entries[*number]) {
            self.since.insert(entry.since, keys[entry.key].clone());
        }
        for (_, (entry, _)) in all().filter(|(_, (entry, due))| entry.was_stored && **due) {
            self.since.remove(entry.since, &keys[entry.key]);
            self.void.push(keys[entry.key].clone());
        }
        let gone: Vec<usize> = over.iter().chain(stale).map(|key| places[*key]).collect();
        let nulls = values
            .iter()
            .map(|column| new_null_array(column.data_type(), gone.len()));
        let nulls: Vec<ArrayRef> = nulls.collect();
        let table = self.waiting.table();
        table.set(&gone, &nulls, &vec![false; gone.len()])?;
        let kept: Vec<usize> = waiting
            .iter()
            .map(|number| places[entries[*number].key])
            .collect();
        table.set(&kept, &values, &vec![true; kept.len()])?;
        if !waiting.is_empty() {
            let mut logged = Vec::with_capacity(self.stored.fields().len());
            for key in &touched.keys {
                logged.push(take(key, &key_rows, None)?);
            }
            logged.extend(values);
            let logged = RecordBatch::try_new(Arc::clone(&self.stored), logged)?;
            (out.publish)(&self.waiting.encode(&logged, &vec![true; waiting.len()])?)?;
        }
        Ok(())
    }

    fn emit(
        &self,
        touched: &Touched,
        entries: &[Entry],
        is_due: &[bool],
        columns: &[ArrayRef],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let values = self.plan.schema.fields().len() - self.plan.keys;
        let (had, has) = (
            columns[2 * values].as_boolean(),
            columns[2 * values + 1].as_boolean(),
        );
        // What came and went meanwhile was never there, unless it was told of in an epoch that is repeated.
        let is_news = |entry: usize| out.repeats || had.value(entry) || has.value(entry);
        let shown = (0..entries.len()).filter(|entry| is_due[*entry] && is_news(*entry));
        let shown: Vec<u32> = shown.map(|entry| entry as u32).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let keys = shown.iter().map(|entry| entries[*entry as usize].key as u32);
        let (keys, shown) = (UInt32Array::from_iter_values(keys), UInt32Array::from(shown));
        let taken = columns.iter().map(|column| take(column, &shown, None));
        let taken = taken.collect::<Result<Vec<_>, _>>()?;
        let has = taken[2 * values + 1].as_boolean();
        let mut rows = Vec::with_capacity(self.plan.schema.fields().len());
        for key in &touched.keys {
            rows.push(take(key, &keys, None)?);
        }
        for value in 0..values {
            // Of what is gone only the keys count.
            rows.push(zip(has, &taken[value], &taken[values + value])?);
        }
        let flags = |column: &BooleanArray| column.values().iter().collect::<Vec<bool>>();
        // The last change may be of an earlier time than the first, and than what the steps below were promised.
        let [since, last] = [2, 3].map(|column| taken[2 * values + column].as_primitive::<Int64Type>());
        let times = since.values().iter().zip(last.values());
        let times = Int64Array::from_iter_values(times.map(|(since, last)| *since.max(last)));
        let change = Change {
            rows: Rows::with_array(
                RecordBatch::try_new(Arc::clone(&self.plan.schema), rows)?,
                Arc::new(times),
            ),
            had: flags(taken[2 * values].as_boolean()),
            live: flags(has),
            keys: self.plan.keys,
            before: self.plan.changes_used.then(|| taken[values..2 * values].to_vec()),
        };
        change.emit(out)
    }

    /// Rows of the changelog wait, until it says otherwise.
    fn note_restored(&mut self, rows: Option<LoggedRows>) -> Result<(), OperatorError> {
        let Some((rows, live)) = rows else {
            return Ok(());
        };
        let columns = rows.columns();
        let since = columns[columns.len() - 2].as_primitive::<Int64Type>();
        // Deleted ones have none, and need none.
        let since = since.iter().map(Option::unwrap_or_default);
        Ok(self.since.restore(&columns[..self.plan.keys], since, &live)?)
    }
}

/// The key; the row as it is, as it was, whether there was one and is one, since when it waits, and the time of the last change.
fn stored_schema(plan: &Plan) -> SchemaRef {
    let (keys, values) = plan.schema.fields().split_at(plan.keys);
    let named = |prefix: &str, field: &Arc<Field>| {
        let name = format!("{prefix}{}", field.name());
        Arc::new(Field::new(name, field.data_type().clone(), true))
    };
    let mut fields = keys.to_vec();
    fields.extend(values.iter().map(|field| named("$new.", field)));
    fields.extend(values.iter().map(|field| named("$old.", field)));
    let others = [
        ("$had", DataType::Boolean),
        ("$has", DataType::Boolean),
        ("$since", DataType::Int64),
        ("$time", DataType::Int64),
    ];
    fields.extend(others.map(|(name, data_type)| Arc::new(Field::new(name, data_type, true))));
    Arc::new(Schema::new(fields))
}

impl Operator for Suppress {
    fn process(&mut self, pairs: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        self.pairs_bytes += pairs.size_bytes();
        self.pairs.push(pairs);
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.waiting.make_room()?;
        self.publish_void(out)?;
        let (settled, watermark) = (out.settled(), out.watermark());
        let came = self.came()?;
        if let Some(came) = came {
            let touched = self.changed(&came.keys)?;
            self.work(&touched, Some(&came.values), (settled, watermark), out)?;
        }
        self.let_go((settled, watermark), out)?;
        Ok(self.waiting.compact()?)
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        let rows = self.waiting.restore(key, value)?;
        self.note_restored(rows)
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        let rows = self.waiting.end_restore()?;
        self.note_restored(rows)?;
        self.since.end_restore();
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.waiting.attach(store);
    }

    fn is_full(&self) -> bool {
        self.waiting.is_full_with(self.pairs_bytes)
    }

    fn state_size(&self) -> (usize, usize) {
        let (rows, bytes) = self.waiting.size();
        (rows, bytes + self.since.size_bytes())
    }
}
