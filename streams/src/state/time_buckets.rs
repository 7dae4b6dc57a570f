//! Rows of one side of a join: by spans of event time, and in each by key.
//!
//! A span's rows are batches as they came, put together as they grow. A key's rows are a chain in the order in which they came; rows by time
//! are found over slots, of which a span has a few.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::Result as ExprResult;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use crate::expr::CompiledExpr;
use crate::format::{FormatError, RowCodec, key_text};
use crate::rows::{EventTime, column_bytes, row_bytes};

/// Batches are put together up to so many rows.
const BATCH_ROWS_MAX: usize = 8 * 1024;
/// Parts of a span by which rows are found by time.
const SLOTS: i64 = 64;
/// And to so many bytes: a column of texts has no room for more than two GiB.
const BATCH_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 64 << 20 };
/// The end of a chain.
const END: u32 = u32::MAX;
/// From so many rows on there are such parts: few rows are looked through.
const SLOTS_FROM: usize = if cfg!(test) { 4 } else { 256 };
/// What a row takes besides its columns and its key.
const ROW_BYTES: usize = 44;
/// What a row takes in its part of the span.
const SLOT_ROW_BYTES: usize = 4;
/// What a span takes besides its rows.
const SPAN_BYTES: usize = 512;
/// What a column of a batch takes besides its values.
const COLUMN_BYTES: usize = 128;

/// All buckets of the process hash alike.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// The key of each row of a batch, in the encoding of rows, in which equal keys are equal bytes.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Whether the row has a key at all: none of its columns is null, or null is a value.
    there: Vec<bool>,
}

/// How keys are had from rows.
#[derive(Clone)]
pub(crate) struct KeyExprs {
    exprs: Vec<CompiledExpr>,
    codec: Arc<RowCodec>,
    /// Null is a value of a key.
    nulls: bool,
}

/// A key that could not be had from a row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(transparent)]
    Expression(#[from] datafusion::common::DataFusionError),
    #[error(transparent)]
    Encoding(#[from] FormatError),
}

impl KeyExprs {
    pub(crate) fn new(exprs: &[CompiledExpr]) -> Self {
        let fields: Vec<FieldRef> = exprs.iter().map(|expr| Arc::clone(expr.field())).collect();
        Self {
            exprs: exprs.to_vec(),
            codec: Arc::new(RowCodec::new(fields)),
            nulls: false,
        }
    }

    /// As [`new`](Self::new), where null is a value as any other.
    pub(crate) fn with_nulls(exprs: &[CompiledExpr]) -> Self {
        Self {
            nulls: true,
            ..Self::new(exprs)
        }
    }

    /// The key of a row, as a text for people.
    pub(super) fn text(&self, batch: &RecordBatch, row: usize) -> Result<String, KeyError> {
        let row = batch.slice(row, 1);
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&row));
        Ok(key_text(&columns.collect::<ExprResult<Vec<_>>>()?, 0))
    }

    /// The keys of the rows of `batch`.
    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<Keys, KeyError> {
        let columns = self.exprs.iter().map(|expr| expr.evaluate(batch));
        let columns: Vec<ArrayRef> = columns.collect::<ExprResult<_>>()?;
        let writer = self.codec.key_writer(&columns)?;
        let mut keys = Keys::default();
        keys.ends.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            let there = self.nulls || columns.iter().all(|column| column.is_valid(row));
            if there {
                writer.write(row, &mut keys.bytes)?;
            }
            keys.ends.push(keys.bytes.len());
            keys.there.push(there);
        }
        Ok(keys)
    }
}

impl Keys {
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = match row {
            0 => 0,
            row => self.ends[row - 1],
        };
        &self.bytes[start..self.ends[row]]
    }

    /// Whether each row has a key.
    pub(crate) fn there(&self) -> &[bool] {
        &self.there
    }
}

/// The hash of a key.
pub(super) fn hash(key: &[u8]) -> u64 {
    HASHER.hash_one(key)
}

/// The rows of one key.
#[derive(Debug)]
struct Chain {
    hash: u64,
    first: u32,
    last: u32,
}

/// The rows of a span of time.
#[derive(Debug)]
pub(super) struct Bucket {
    schema: SchemaRef,
    span: Range<EventTime>,
    batches: Vec<RecordBatch>,
    /// The number of the first row of each batch.
    firsts: Vec<usize>,
    times: Vec<EventTime>,
    keys: Keys,
    chains: HashTable<Chain>,
    /// The row behind each in its chain.
    next: Vec<u32>,
    matched: Vec<bool>,
    /// What each row takes, roughly.
    row_bytes: Vec<u32>,
    /// Somebody asks which were not matched.
    marks: bool,
    /// Rows by time, if somebody does and there are many.
    slots: Option<Vec<Vec<u32>>>,
    batch_bytes: usize,
}

impl Bucket {
    /// With `marks`, somebody asks which rows were not matched.
    pub(super) fn new(schema: &SchemaRef, span: Range<EventTime>, marks: bool) -> Self {
        Self {
            schema: Arc::clone(schema),
            span,
            batches: Vec::new(),
            firsts: Vec::new(),
            times: Vec::new(),
            keys: Keys::default(),
            chains: HashTable::new(),
            next: Vec::new(),
            matched: Vec::new(),
            row_bytes: Vec::new(),
            marks,
            slots: None,
            batch_bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let rows = self.batch_bytes + self.keys.bytes.len() + self.len() * ROW_BYTES;
        let slots = self.slots.as_ref();
        let slots = slots.map_or(0, |slots| {
            slots.len() * size_of::<Vec<u32>>() + self.len() * SLOT_ROW_BYTES
        });
        let columns = self.batches.len() * self.schema.fields().len() * COLUMN_BYTES;
        SPAN_BYTES + rows + slots + columns
    }

    /// Adds rows of the span; `places` says where each has its time, its key and whether it was matched.
    pub(super) fn add(
        &mut self,
        batch: RecordBatch,
        places: &[usize],
        times: &[EventTime],
        keys: &Keys,
        matched: &[bool],
    ) -> Result<(), ArrowError> {
        debug_assert_eq!(batch.num_rows(), places.len());
        let columns = batch.columns().iter().map(without_others).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let first = self.len();
        if u32::try_from(first + places.len()).is_err() {
            return Err(ArrowError::InvalidArgumentError(
                "more than 2^32 rows are to be joined within a part of the join's window; join within less"
                    .to_owned(),
            ));
        }
        for (&place, row) in places.iter().zip(first..) {
            let (time, key) = (times[place], keys.get(place));
            self.times.push(time);
            self.matched.push(matched[place]);
            self.keys.bytes.extend_from_slice(key);
            self.keys.ends.push(self.keys.bytes.len());
            self.chain(key, row as u32);
        }
        let sizes = row_bytes(&batch).into_iter();
        self.row_bytes
            .extend(sizes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX)));
        self.slot_rows(first);
        self.batch_bytes += bytes_of(&batch);
        self.firsts.push(first);
        self.batches.push(batch);
        self.put_together()
    }

    /// Notes rows from `first` on by their times, or all of them, if they are many by now.
    fn slot_rows(&mut self, first: usize) {
        if !self.marks || self.len() < SLOTS_FROM {
            return;
        }
        let first = if self.slots.is_some() { first } else { 0 };
        let mut slots = self
            .slots
            .take()
            .unwrap_or_else(|| vec![Vec::new(); SLOTS as usize]);
        for row in first..self.len() {
            slots[self.slot(self.times[row])].push(row as u32);
        }
        self.slots = Some(slots);
    }

    fn chain(&mut self, key: &[u8], row: u32) {
        let (hash, keys) = (hash(key), &self.keys);
        self.next.push(END);
        let same = |chain: &Chain| chain.hash == hash && keys.get(chain.first as usize) == key;
        match self.chains.find_mut(hash, same) {
            Some(chain) => {
                self.next[chain.last as usize] = row;
                chain.last = row;
            }
            None => {
                let chain = Chain {
                    hash,
                    first: row,
                    last: row,
                };
                self.chains.insert_unique(hash, chain, |chain| chain.hash);
            }
        }
    }

    /// Makes one batch of the last two, as long as the last one is not much smaller, so that there are few of them and each row is copied
    /// few times.
    fn put_together(&mut self) -> Result<(), ArrowError> {
        while let [.., one, other] = &self.batches[..] {
            let (rows, more) = (one.num_rows(), other.num_rows());
            if more * 2 < rows || rows + more > BATCH_ROWS_MAX {
                return Ok(());
            }
            let bytes = bytes_of(one) + bytes_of(other);
            if bytes > BATCH_BYTES_MAX {
                return Ok(());
            }
            let both = concat_batches(&self.schema, [one, other])?;
            self.batch_bytes -= bytes;
            self.batch_bytes += bytes_of(&both);
            self.batches.truncate(self.batches.len() - 2);
            self.batches.push(both);
            self.firsts.pop();
        }
        Ok(())
    }

    /// Calls `found` with each row of `key` with a time within `times`, in the order in which they came.
    pub(super) fn probe(
        &self,
        hash: u64,
        key: &[u8],
        times: &std::ops::RangeInclusive<EventTime>,
        found: &mut dyn FnMut(u32),
    ) {
        let same = |chain: &Chain| chain.hash == hash && self.keys.get(chain.first as usize) == key;
        let mut row = self.chains.find(hash, same).map_or(END, |chain| chain.first);
        while row != END {
            if times.contains(&self.times[row as usize]) {
                found(row);
            }
            row = self.next[row as usize];
        }
    }

    pub(super) fn time(&self, row: u32) -> EventTime {
        self.times[row as usize]
    }

    /// What a row takes, roughly.
    pub(super) fn row_bytes(&self, row: u32) -> u32 {
        self.row_bytes[row as usize]
    }

    /// A row was matched; says whether it was not before.
    pub(super) fn mark(&mut self, row: u32) -> bool {
        !std::mem::replace(&mut self.matched[row as usize], true)
    }

    /// The number of the batch that a row is in, and of the row in it.
    pub(super) fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let batch = self.firsts.partition_point(|first| *first <= row) - 1;
        (batch, row - self.firsts[batch])
    }

    pub(super) fn batch(&self, number: usize) -> &RecordBatch {
        &self.batches[number]
    }

    /// Which part of the span a time is in.
    fn slot(&self, time: EventTime) -> usize {
        let width = self.span.end - self.span.start;
        let slot = i128::from(time - self.span.start) * i128::from(SLOTS) / i128::from(width);
        slot.clamp(0, i128::from(SLOTS) - 1) as usize
    }

    /// The rows with a time within `times` that were not matched.
    pub(super) fn unmatched(&self, times: &Range<EventTime>) -> Vec<u32> {
        let within = times.start.max(self.span.start)..times.end.min(self.span.end);
        if within.is_empty() || !self.marks {
            return Vec::new();
        }
        let is_it = |row: &u32| within.contains(&self.time(*row)) && !self.matched[*row as usize];
        let Some(slots) = &self.slots else {
            return (0..self.len() as u32).filter(is_it).collect();
        };
        let slots = &slots[self.slot(within.start)..=self.slot(within.end - 1)];
        slots.iter().flatten().copied().filter(is_it).collect()
    }

    /// The end of the rows from number `first` on that together take no more than `bytes_max`: one at least.
    pub(super) fn end_within(&self, first: usize, bytes_max: usize) -> usize {
        let mut bytes = 0_usize;
        let fits = |row: &&u32| {
            bytes = bytes.saturating_add(**row as usize);
            bytes <= bytes_max
        };
        first + self.row_bytes[first..].iter().take_while(fits).count().max(1)
    }

    /// Rows by their numbers, as they are stored: columns, times, and whether they were matched.
    pub(super) fn rows(
        &self,
        rows: Range<usize>,
    ) -> Result<(RecordBatch, Vec<EventTime>, Vec<bool>), ArrowError> {
        let parts = self
            .firsts
            .iter()
            .zip(&self.batches)
            .filter_map(|(&first, batch)| {
                let (start, end) = (rows.start.max(first), rows.end.min(first + batch.num_rows()));
                (start < end).then(|| batch.slice(start - first, end - start))
            });
        let parts: Vec<RecordBatch> = parts.collect();
        let batch = concat_batches(&self.schema, &parts)?;
        Ok((
            batch,
            self.times[rows.clone()].to_vec(),
            self.matched[rows].to_vec(),
        ))
    }
}

/// The column without the bytes of rows that are elsewhere.
fn without_others(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).sum()
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::{Field, Schema};

    use super::*;

    /// Batches were put together by their rows alone: few large ones are more than a column of texts has room for.
    #[test]
    fn large_rows_stay_in_batches_of_their_own() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true)]));
        let mut bucket = Bucket::new(&schema, 0..100, true);
        let size = BATCH_BYTES_MAX / 5 * 2;
        for number in 0..6 {
            let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(size + number)]));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![text]).unwrap();
            let keys = Keys {
                bytes: vec![0],
                ends: vec![1],
                there: vec![true],
            };
            bucket
                .add(batch, &[0], &[number as EventTime], &keys, &[false])
                .unwrap();
        }
        assert_eq!(bucket.batches.iter().map(RecordBatch::num_rows).max(), Some(2));
        assert_eq!(bucket.len(), 6);
        for row in 0..6 {
            let (batch, place) = bucket.place(row);
            let texts = bucket.batch(batch).column(0).as_string::<i32>();
            assert_eq!(texts.value(place).len(), size + row as usize);
        }
        assert!(bucket.size_bytes() > 6 * size);
        // What is written at once is bounded likewise.
        assert_eq!(bucket.end_within(0, BATCH_BYTES_MAX), 2);
        assert_eq!(bucket.end_within(5, BATCH_BYTES_MAX), 6);
        assert_eq!(bucket.end_within(1, 0), 2);
    }
}
