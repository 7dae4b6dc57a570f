//! An aggregate over the rows of a table that adds and takes back: it keeps sums of each group, and not its members.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{cast, concat_batches, filter_record_batch, nullif, take};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};

use super::changes::{Change, side};
use super::failing::{failing, without};
use super::partial_aggregate::PartialAggregate;
use super::to_table::nulled;
use super::{Asked, FailedContent, FailedRow, Operator, OperatorError, Output, Place, Seen, Tables};
use crate::aggregate::{Delta, EmitTo};
use crate::plan::{SignedFinalPlan, SignedPartialPlan, Total};
use crate::rows::Rows;
use crate::state::{Changelog, RowStore, Share};
use crate::store::LocalStore;
use crate::time::Watermark;

/// Before the repartition topic: what is there now counts once, what was there counts −1 times.
pub(crate) struct SignedPartial {
    plan: SignedPartialPlan,
    inner: PartialAggregate,
}

impl SignedPartial {
    pub(crate) fn new(plan: &SignedPartialPlan, place: &Place<'_>) -> Result<Self, OperatorError> {
        Ok(Self {
            inner: PartialAggregate::new(
                Arc::clone(&plan.sums),
                Arc::clone(&plan.topic),
                place.partitions_of(&plan.topic),
                place.near.limits.clone(),
            )?,
            plan: plan.clone(),
        })
    }

    /// The rows of `table`, all with this sign.
    fn with_sign(&self, table: &RecordBatch, sign: i64) -> Result<RecordBatch, OperatorError> {
        let mut columns = table.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(vec![sign; table.num_rows()])));
        Ok(RecordBatch::try_new(Arc::clone(&self.plan.rows), columns)?)
    }

    /// What `pairs` take back, of those that `had` a row, and what they add, of those that have one.
    fn rows(&self, pairs: &Rows, had: &BooleanArray, has: &BooleanArray) -> Result<Rows, OperatorError> {
        let table = &self.plan.table;
        let old = self.with_sign(&side(&pairs.batch, table.fields().len(), table, had)?, -1)?;
        let new = self.with_sign(&side(&pairs.batch, 0, table, has)?, 1)?;
        let mut times = pairs.filter(had)?.times().to_vec();
        times.extend_from_slice(pairs.filter(has)?.times());
        Ok(Rows::new(concat_batches(&self.plan.rows, [&old, &new])?, times))
    }

    /// As `process`, where some rows cannot be added: these count in no group from now on, or never did.
    fn process_without_failing(
        &mut self,
        pairs: &Rows,
        had: &BooleanArray,
        has: &BooleanArray,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let table = &self.plan.table;
        let all = BooleanArray::from(vec![true; pairs.len()]);
        let new = side(&pairs.batch, 0, table, &all)?;
        let old = side(&pairs.batch, table.fields().len(), table, &all)?;
        let sums = Arc::clone(&self.plan.sums);
        let evaluate = |rows: &RecordBatch| {
            sums.evaluate_keys(rows).map_err(OperatorError::of_rows)?;
            let arguments = sums.evaluate_arguments(rows);
            arguments.map(drop).map_err(OperatorError::of_rows)
        };
        // Whoever failed when it came was said to have failed then.
        let gone = failing(&self.with_sign(&old, -1)?, had, &evaluate)?;
        let had = without(had, gone.into_iter().map(|(row, _)| row));
        let failed = failing(&self.with_sign(&new, 1)?, has, &evaluate)?;
        let has = without(has, failed.iter().map(|(row, _)| *row));
        let rows = self.rows(pairs, &had, &has)?;
        self.inner.process(rows, out)?;
        let failed = failed.into_iter().map(|(row, cause)| FailedRow {
            part: 0,
            row: FailedContent::Row(pairs.with_batch(new.clone()).slice(row, 1)),
            cause,
        });
        out.failed.extend(failed);
        Ok(())
    }
}

impl Operator for SignedPartial {
    fn process(&mut self, pairs: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let width = self.plan.table.fields().len();
        let had = pairs.batch.column(2 * width).as_boolean().clone();
        let has = pairs.batch.column(2 * width + 1).as_boolean().clone();
        let rows = self.rows(&pairs, &had, &has)?;
        match self.inner.process(rows, out) {
            // Nothing was added: expressions are evaluated first.
            Err(OperatorError::Expression(_)) => self.process_without_failing(&pairs, &had, &has, out),
            done => done,
        }
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.inner.end_epoch(out)
    }
}

/// Behind it: the sums of each group that has rows.
pub(crate) struct SignedFinal {
    plan: SignedFinalPlan,
    delta: Delta,
    /// The columns of the changelog: groups, sums and times.
    stored: SchemaRef,
    rows: RowStore,
}

impl SignedFinal {
    pub(crate) fn new(plan: &SignedFinalPlan, place: &Place<'_>) -> Result<Self, OperatorError> {
        let stored = stored_schema(plan);
        let changelog = Changelog::new(
            Arc::clone(&plan.changelog),
            place.partition,
            Arc::clone(&stored),
            plan.sums.key_count(),
            &format!("{}, as sums: {}", plan.results.text(), plan.sums.text()),
        )
        .typed();
        let changelog = changelog.limited(place.near.limits.record_bytes_max);
        Ok(Self {
            delta: Delta::new(Arc::clone(&plan.sums))?,
            rows: RowStore::new(changelog, Share::of(&place.near.memory))?,
            stored,
            plan: plan.clone(),
        })
    }

    /// The sums of the epoch added to those that were there `before` it, in the rows `had` says.
    fn add(
        &self,
        delta: &[ArrayRef],
        before: &[ArrayRef],
        had: &[usize],
        groups: usize,
    ) -> Result<Vec<ArrayRef>, OperatorError> {
        let every_group: Vec<usize> = (0..groups).collect();
        let mut accumulators = self.plan.sums.new_accumulators()?;
        // These first: they are of all groups.
        self.plan
            .sums
            .merge(&mut accumulators, delta, &every_group, groups)?;
        if !had.is_empty() {
            self.plan.sums.merge(&mut accumulators, before, had, groups)?;
        }
        let mut sums = Vec::with_capacity(delta.len());
        for accumulator in &mut accumulators {
            sums.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(sums)
    }

    /// The results of groups by the sums of those that `had` some, null for the others.
    fn results_of(&self, before: &[ArrayRef], had: &[bool]) -> Result<Vec<ArrayRef>, OperatorError> {
        let there = had.iter().filter(|had| **had).count();
        spread(&results(&self.plan, before, there)?, had)
    }

    /// Logs the groups that are there, and those that are gone.
    fn log(
        &mut self,
        keys: &[ArrayRef],
        stored: &[ArrayRef],
        had: &[bool],
        live: &[bool],
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        let news: Vec<bool> = had.iter().zip(live).map(|(had, live)| *had || *live).collect();
        let logged = RecordBatch::try_new(Arc::clone(&self.stored), [keys, stored].concat())?;
        let logged = filter_record_batch(&logged, &BooleanArray::from(news.clone()))?;
        if logged.num_rows() > 0 {
            let live = news.iter().zip(live).filter(|(news, _)| **news);
            let live: Vec<bool> = live.map(|(_, live)| *live).collect();
            (out.publish)(&self.rows.encode(&logged, &live)?)?;
        }
        Ok(())
    }
}

/// The rows at the places that are marked, null at the others.
fn spread(columns: &[ArrayRef], marked: &[bool]) -> Result<Vec<ArrayRef>, OperatorError> {
    let mut next = 0..;
    let places = marked
        .iter()
        .map(|marked| if *marked { next.next() } else { None });
    let places: UInt32Array = places.collect();
    let columns = columns.iter().map(|column| take(column, &places, None));
    Ok(columns.collect::<Result<_, _>>()?)
}

/// The sums, null where they are of no values.
fn of_some(sums: &ArrayRef, counts: &ArrayRef) -> Result<ArrayRef, OperatorError> {
    let none = Int64Array::new_scalar(0);
    let is_none = arrow::compute::not(&neq(counts, &none)?)?;
    Ok(nullif(sums, &is_none)?)
}

/// Groups, their sums, and the time of the last change; deleted ones have none of both.
/// The results of sums, a row a group.
fn results(plan: &SignedFinalPlan, sums: &[ArrayRef], groups: usize) -> Result<Vec<ArrayRef>, OperatorError> {
    let spec = &plan.results;
    if groups == 0 {
        // Some accumulators have no type for the results of no groups.
        let schema = spec.output_schema();
        let fields = schema.fields().iter().skip(spec.key_count());
        return Ok(fields.map(|field| new_empty_array(field.data_type())).collect());
    }
    let schema = spec.state_schema();
    let mut fields = schema.fields().iter().skip(spec.key_count());
    let mut states: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    let mut push = |sum: &ArrayRef| -> Result<(), OperatorError> {
        let field = fields.next().expect("a state for each part of an aggregate");
        states.push(cast(sum, field.data_type())?);
        Ok(())
    };
    for total in &plan.totals {
        match *total {
            Total::Count(count) => push(&sums[count])?,
            Total::Sum { sum, count } => push(&of_some(&sums[sum], &sums[count])?)?,
            Total::Average { sum, count } => {
                push(&of_some(&sums[count], &sums[count])?)?;
                push(&of_some(&sums[sum], &sums[count])?)?;
            }
        }
    }
    let every_group: Vec<usize> = (0..groups).collect();
    let mut finished = spec.new_accumulators()?;
    spec.merge(&mut finished, &states, &every_group, groups)?;
    let results = finished
        .iter_mut()
        .map(|accumulator| accumulator.evaluate(EmitTo::All));
    Ok(results.collect::<Result<_, _>>()?)
}

/// The results of stored rows.
pub(super) fn results_of_stored(
    plan: &SignedFinalPlan,
    stored: &RecordBatch,
) -> Result<RecordBatch, OperatorError> {
    let (keys, sums) = stored.columns().split_at(plan.sums.key_count());
    let (_, sums) = sums.split_last().expect("what is stored ends with the time");
    let results = results(plan, sums, stored.num_rows())?;
    Ok(RecordBatch::try_new(
        plan.results.output_schema(),
        [keys, &results].concat(),
    )?)
}

/// The columns of the changelog.
pub(super) fn stored_schema(plan: &SignedFinalPlan) -> SchemaRef {
    let schema = plan.sums.state_schema();
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    Arc::new(Schema::new(
        schema.fields().iter().map(nullable).collect::<Vec<_>>(),
    ))
}

impl Operator for SignedFinal {
    fn process(&mut self, rows: Rows, _: &mut Output<'_>) -> Result<(), OperatorError> {
        Ok(self.delta.merge(&rows.batch)?)
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.rows.make_room()?;
        let Some(delta) = self.delta.take()? else {
            return Ok(());
        };
        let groups = delta.num_rows();
        let (keys, states) = delta.columns().split_at(self.plan.sums.key_count());
        let (times, states) = states.split_last().expect("states end with the time");
        let places = self.rows.touch(keys)?;
        let table = self.rows.table();
        let had: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        let had_rows: Vec<usize> = (0..groups).filter(|row| had[*row]).collect();
        let had_places: Vec<usize> = had_rows.iter().map(|row| places[*row]).collect();
        let mut before = table.gather(&had_places)?;
        before.pop();

        let sums = self.add(states, &before, &had_rows, groups)?;
        // The first says how many rows there are. With repeated epochs there may be fewer than none.
        let rows = sums[0].as_primitive::<Int64Type>().values();
        let live: Vec<bool> = rows.iter().map(|rows| *rows > 0).collect();
        let results_before = match self.plan.changes_used {
            true => Some(self.results_of(&before, &had)?),
            false => None,
        };
        let stored = nulled(&[&*sums, &[Arc::clone(times)]].concat(), &live)?;
        self.rows.table().set(&places, &stored, &live)?;
        self.log(keys, &stored, &had, &live, out)?;

        let results = results(&self.plan, &sums, groups)?;
        let batch = RecordBatch::try_new(self.plan.results.output_schema(), [keys, &results].concat())?;
        let change = Change {
            rows: Rows::with_array(batch, Arc::clone(times)),
            had,
            live,
            keys: keys.len(),
            before: results_before,
        };
        change.emit(out)?;
        Ok(self.rows.compact()?)
    }

    fn answer(&mut self, asked: &Asked, _: Watermark) -> Result<Vec<RecordBatch>, OperatorError> {
        let columns = match &asked.key {
            None => self.rows.all()?,
            Some(key) => {
                let places = self.rows.touch(key)?;
                let table = self.rows.table();
                if !table.is_live(places[0]) {
                    self.rows.compact()?;
                    return Ok(Vec::new());
                }
                [key.clone(), table.gather(&places)?].concat()
            }
        };
        self.rows.compact()?;
        let stored = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        Ok(vec![results_of_stored(&self.plan, &stored)?])
    }

    fn look_up(&mut self, keys: &[ArrayRef], _: &mut Tables<'_>) -> Result<Seen, OperatorError> {
        let places = self.rows.touch(keys)?;
        let table = self.rows.table();
        let there: Vec<bool> = places.iter().map(|place| table.is_live(*place)).collect();
        let places = places.iter().zip(&there).filter(|(_, there)| **there);
        let mut sums = table.gather(&places.map(|(place, _)| *place).collect::<Vec<_>>())?;
        let times = sums.pop().expect("what is stored ends with the time");
        let values = self.results_of(&sums, &there)?;
        let times = spread(&[times], &there)?;
        self.rows.compact()?;
        Ok(Seen::new(there, values, &times[0]))
    }

    fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), OperatorError> {
        self.rows.restore(key, value)?;
        Ok(())
    }

    fn end_restore(&mut self) -> Result<(), OperatorError> {
        self.rows.end_restore()?;
        Ok(())
    }

    fn attach(&mut self, store: &LocalStore) {
        self.rows.attach(store);
    }

    fn takes_more(&mut self) -> bool {
        self.rows.takes_more()
    }

    fn takes_none(&mut self) -> bool {
        self.rows.takes_none()
    }

    fn is_full(&self) -> bool {
        self.rows.is_full_with(self.delta.size_bytes())
    }

    fn state_size(&self) -> (usize, usize) {
        self.rows.size()
    }
}
