//! The changelog of a join of two streams: what an epoch added to a span of time of one side is one record.
//!
//! A record's key is the byte 3, the side (1 byte: 0 left, 1 right), the first millisecond of the span (8 bytes), a number that counts up in
//! the span (4 bytes), and its owner (8 bytes), all big-endian. As with windows, records are ordered by owner, then by number.
//! A record's value is a byte that says its kind:
//! * 0, rows added, or 1, a piece of all rows: the number of the first piece, how many pieces there are, and the number that the first row
//!   in it has among those of its owner in the span (4 bytes each, big-endian); then a batch in the form of [`ShuffleCodec`]: the
//!   columns, `$time`, and, if somebody asks which rows were matched, `$matched`. Complete pieces replace every record before them.
//! * 2, rows that were matched later: for each owner its name (8 bytes, big-endian), how many of its rows, and their numbers in ascending
//!   order, the first one and then the distances to the one before, all in LEB128.
//!
//! No value: the record is void.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::meaning::{MEANING_KEY, Meaning};
use super::pieces::{Number, Piece, Says};
use super::{Owner, StateError};
use crate::format::{FormatError, RecordBytes, ShuffleCodec, fingerprint};
use crate::rows::{EventTime, NO_TIME};
use crate::sink::{Destination, RecordBuffer};
use crate::store::LocalStore;

const BUCKET_KEY: u8 = 3;
const ADDED: u8 = 0;
const WHOLE: u8 = 1;
const MATCHED: u8 = 2;

/// No column of a user has such a name.
const TIME: &str = "$time";
const MATCHED_COLUMN: &str = "$matched";

/// A span of time of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BucketAt {
    /// 0 left, 1 right.
    pub(super) side: u8,
    /// Its first millisecond.
    pub(super) start: EventTime,
}

/// The number of a row among those that its owner wrote of a span.
pub(super) type RowNumber = u32;

/// What a side's rows are stored as.
#[derive(Debug)]
pub(crate) struct SideLog {
    schema: SchemaRef,
    stored: SchemaRef,
    /// Somebody asks which rows were matched.
    marks: bool,
    codec: ShuffleCodec,
}

/// One partition of the changelog.
#[derive(Debug)]
pub(crate) struct BucketLog {
    topic: Arc<str>,
    sides: [SideLog; 2],
    meaning: Meaning,
    bytes_max: RecordBytes,
    owner: Owner,
    repeats: bool,
    records: RecordBuffer,
}

/// A record of the log.
pub(super) enum Entry {
    /// What the rows mean; it was checked.
    Meaning,
    /// A record of a span; void without content.
    Piece {
        at: BucketAt,
        piece: Piece,
        content: Option<Content>,
    },
}

/// What a record says.
pub(super) enum Content {
    /// Rows that were added, or with `whole` a piece of all.
    Rows {
        whole: Option<(Number, Number)>,
        first_row: RowNumber,
        rows: StoredRows,
    },
    /// Rows of each owner that were matched later.
    Matched(Vec<(Owner, Vec<RowNumber>)>),
}

/// Rows as they are kept.
pub(super) struct StoredRows {
    pub(super) batch: RecordBatch,
    pub(super) times: Vec<EventTime>,
    pub(super) matched: Vec<bool>,
}

/// What was written.
pub(super) struct Written {
    pub(super) records: Number,
    pub(super) bytes: usize,
}

impl Says for Content {
    fn whole(&self) -> Option<(Number, Number)> {
        match self {
            Self::Rows { whole, .. } => *whole,
            Self::Matched(_) => None,
        }
    }
}

impl SideLog {
    /// Rows with the columns of `schema`. With `marks`, it is stored which of them were matched.
    pub(crate) fn new(schema: &SchemaRef, marks: bool) -> Self {
        let fields = schema.fields().iter();
        // Whether there may be nulls, differs between streams that are merged.
        let mut fields: Vec<Field> = fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        let schema = Arc::new(Schema::new(fields.clone()));
        fields.push(Field::new(TIME, DataType::Int64, false));
        if marks {
            fields.push(Field::new(MATCHED_COLUMN, DataType::Boolean, false));
        }
        let stored = Arc::new(Schema::new(fields));
        Self {
            codec: ShuffleCodec::new(Arc::clone(&stored), fingerprint(&stored, 0, &[])),
            schema,
            stored,
            marks,
        }
    }

    /// The columns of rows as they are kept.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it is stored which rows were matched.
    pub(super) fn marks(&self) -> bool {
        self.marks
    }

    fn stored(&self, rows: &StoredRows) -> Result<RecordBatch, FormatError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.stored.fields().len());
        for (column, field) in rows.batch.columns().iter().zip(self.schema.fields()) {
            columns.push(cast(column, field.data_type())?);
        }
        columns.push(Arc::new(Int64Array::from(rows.times.clone())));
        if self.marks {
            columns.push(Arc::new(BooleanArray::from(rows.matched.clone())));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.stored), columns)?)
    }

    /// The first row that is larger than a record may be, and what it takes.
    fn too_large(&self, rows: &RecordBatch, bytes_max: usize) -> Result<Option<(usize, usize)>, FormatError> {
        let mut parts = vec![(0, rows.clone())];
        while let Some((first, rows)) = parts.pop() {
            let count = rows.num_rows();
            if count == 0 || self.codec.bytes_at_most(&rows) <= bytes_max {
                continue;
            }
            if count == 1 {
                let bytes = self.row_bytes(rows)?;
                if bytes > bytes_max {
                    return Ok(Some((first, bytes)));
                }
                continue;
            }
            // Halves are copies: a slice of lists takes as much as all of them.
            let half = |from: usize, to: usize| {
                let places = UInt32Array::from_iter_values((0..).take(to).skip(from));
                Ok::<_, FormatError>((first + from, take_record_batch(&rows, &places)?))
            };
            parts.push(half(count / 2, count)?);
            parts.push(half(0, count / 2)?);
        }
        Ok(None)
    }

    /// What a record of one row takes.
    fn row_bytes(&self, row: RecordBatch) -> Result<usize, FormatError> {
        let row = StoredRows {
            batch: row,
            times: vec![0],
            matched: vec![false],
        };
        let (any, mut bytes) = (usize::MAX, 0);
        let bytes_max = RecordBytes { piece: any, row: any };
        self.codec
            .encode_counted(&self.stored(&row)?, &[0], bytes_max, &mut |_, value| {
                bytes = value.len();
                Ok(())
            })?;
        Ok(bytes)
    }

    fn decode(&self, value: &[u8]) -> Result<StoredRows, FormatError> {
        let stored = self.codec.decode(Some(&self.codec.header()), Some(value))?;
        let (columns, own) = stored.columns().split_at(self.schema.fields().len());
        if own.iter().any(|column| column.null_count() > 0) {
            return Err(damaged("a time or a mark is missing"));
        }
        let times = own[0].as_primitive::<Int64Type>().values().to_vec();
        let matched = match own.get(1) {
            Some(matched) => matched.as_boolean().values().iter().collect(),
            None => vec![false; times.len()],
        };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.to_vec())?;
        Ok(StoredRows {
            batch,
            times,
            matched,
        })
    }
}

impl BucketLog {
    /// `meaning` says what the rows of both sides are kept for.
    pub(crate) fn new(
        topic: Arc<str>,
        partition: i32,
        sides: [SideLog; 2],
        meaning: String,
        bytes_max: RecordBytes,
        owner: Owner,
    ) -> Self {
        let to = Destination::Partition {
            topic: Arc::clone(&topic),
            partition,
            batch_header: None,
        };
        Self {
            topic,
            sides,
            meaning: Meaning::new(meaning),
            bytes_max,
            owner,
            repeats: false,
            records: RecordBuffer::new(to),
        }
    }

    /// The same, where `repeats` says that epochs may be repeated, or lost, in part.
    pub(crate) fn repeating(mut self, repeats: bool) -> Self {
        self.repeats = repeats;
        self
    }

    /// Whether who was cut off may still write.
    pub(super) fn repeats(&self) -> bool {
        self.repeats
    }

    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// What one row may take.
    pub(super) fn row_bytes_max(&self) -> usize {
        self.bytes_max.row
    }

    /// The first of some rows of a side that is larger than a record may be, and what it takes.
    pub(super) fn too_large(
        &self,
        side: u8,
        rows: &RecordBatch,
    ) -> Result<Option<(usize, usize)>, FormatError> {
        self.side(side).too_large(rows, self.bytes_max.row)
    }

    /// Who writes from now on: `owner`, or one beyond all that the log has.
    pub(super) fn belongs_to(&mut self, owner: Owner) {
        self.owner = owner.behind(self.owner);
    }

    /// Who writes.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn side(&self, side: u8) -> &SideLog {
        &self.sides[usize::from(side)]
    }

    /// Notes rows that are added to a span, or with `whole` all that it has, as records from number `first` on; the first of the rows
    /// has the number `first_row`.
    pub(super) fn write(
        &mut self,
        at: BucketAt,
        first: Number,
        first_row: RowNumber,
        rows: &StoredRows,
        whole: bool,
    ) -> Result<Written, FormatError> {
        let side = &self.sides[usize::from(at.side)];
        let stored = side.stored(rows)?;
        let all: Vec<u32> = (0..).take(stored.num_rows()).collect();
        let mut pieces: Vec<(RowNumber, Vec<u8>)> = Vec::new();
        let mut next = first_row;
        side.codec
            .encode_counted(&stored, &all, self.bytes_max, &mut |rows, value| {
                pieces.push((next, value.to_vec()));
                next += RowNumber::try_from(rows).unwrap_or(RowNumber::MAX);
                Ok(())
            })?;
        let count = Number::try_from(pieces.len()).unwrap_or(Number::MAX);
        self.meaning.announce(&mut self.records);
        let mut bytes = 0;
        for (number, (first_row, value)) in (first..).zip(&pieces) {
            bytes += value.len();
            let piece = Piece {
                owner: self.owner,
                number,
            };
            self.records.push(
                NO_TIME,
                |out| write_key(at, piece, out),
                |out| {
                    out.push(if whole { WHOLE } else { ADDED });
                    out.extend(first.to_be_bytes());
                    out.extend(count.to_be_bytes());
                    out.extend(first_row.to_be_bytes());
                    out.extend(value);
                    true
                },
            );
        }
        Ok(Written {
            records: count,
            bytes,
        })
    }

    /// Notes rows that were matched since they were written, each owner's in ascending order, as records from number `first` on.
    pub(super) fn write_matched(
        &mut self,
        at: BucketAt,
        first: Number,
        matched: &[(Owner, Vec<RowNumber>)],
    ) -> Written {
        let (mut number, mut bytes) = (first, 0);
        // A number takes at most five bytes, so that each record has room for so many.
        let most = (self.bytes_max.piece / 5).max(8) - 7;
        self.meaning.announce(&mut self.records);
        for (owner, rows) in matched {
            for rows in rows.chunks(most) {
                let piece = Piece {
                    owner: self.owner,
                    number,
                };
                let mut value = vec![MATCHED];
                write_rows(*owner, rows, &mut value);
                bytes += value.len();
                self.records.push(
                    NO_TIME,
                    |out| write_key(at, piece, out),
                    |out| {
                        out.extend(&value);
                        true
                    },
                );
                number += 1;
            }
        }
        Written {
            records: number - first,
            bytes,
        }
    }

    /// Makes a record void.
    pub(super) fn delete(&mut self, at: BucketAt, piece: Piece) {
        self.records
            .push(NO_TIME, |out| write_key(at, piece, out), |_| false);
    }

    /// What was noted since the last call.
    pub(super) fn take(&mut self) -> Option<RecordBuffer> {
        if self.records.len() == 0 {
            return None;
        }
        let empty = RecordBuffer::new(self.records.destination().clone());
        Some(std::mem::replace(&mut self.records, empty))
    }

    /// Checks what the rows of a checkpoint mean.
    pub(super) fn check_meaning(&mut self, store: &LocalStore) -> Result<(), StateError> {
        self.meaning.check_stored(&self.topic, store)
    }

    /// A record of the log.
    pub(super) fn decode(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Entry, StateError> {
        let key = key.ok_or_else(|| self.damaged(damaged("it has no key")))?;
        if key == MEANING_KEY {
            self.meaning.check(&self.topic, value.unwrap_or_default())?;
            return Ok(Entry::Meaning);
        }
        let (at, piece) = read_key(key)
            .ok_or_else(|| self.damaged(damaged("its key is not that of a span of time of a join")))?;
        self.owner = self.owner.behind(piece.owner);
        let content = value
            .map(|value| self.content(at.side, value))
            .transpose()
            .map_err(|cause| self.damaged(cause))?;
        Ok(Entry::Piece { at, piece, content })
    }

    /// As [`decode`](Self::decode), for a record of this owner or one that it took before: nobody else has written meanwhile.
    pub(super) fn decode_again(&mut self, key: &[u8], value: &[u8]) -> Result<Entry, StateError> {
        let owner = self.owner;
        let entry = self.decode(Some(key), Some(value));
        self.owner = owner;
        entry
    }

    fn content(&self, side: u8, value: &[u8]) -> Result<Content, FormatError> {
        let (&kind, rest) = value.split_first().ok_or_else(cut_short)?;
        if kind == MATCHED {
            return Ok(Content::Matched(read_matched(rest)?));
        }
        let (head, batch) = rest.split_first_chunk::<12>().ok_or_else(cut_short)?;
        let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (first, count, first_row) = (number(0), number(4), number(8));
        let whole = match kind {
            ADDED => None,
            WHOLE if count == 0 || first.checked_add(count).is_none() => {
                return Err(damaged("it is one of an impossible number"));
            }
            WHOLE => Some((first, count)),
            _ => return Err(damaged("it is of no known kind")),
        };
        let rows = self.side(side).decode(batch)?;
        if RowNumber::try_from(rows.times.len()).map_or(true, |rows| first_row.checked_add(rows).is_none()) {
            return Err(damaged("it has rows of impossible numbers"));
        }
        Ok(Content::Rows {
            whole,
            first_row,
            rows,
        })
    }

    fn damaged(&self, cause: FormatError) -> StateError {
        StateError::Damaged {
            topic: self.topic.to_string(),
            cause,
        }
    }
}

fn damaged(reason: &str) -> FormatError {
    FormatError::Damaged {
        reason: reason.to_owned(),
    }
}

fn cut_short() -> FormatError {
    damaged("it is cut short")
}

/// What the keys of a span's records begin with.
pub(super) fn bucket_prefix(at: BucketAt) -> Vec<u8> {
    let mut prefix = vec![BUCKET_KEY, at.side];
    prefix.extend(at.start.to_be_bytes());
    prefix
}

fn write_key(at: BucketAt, piece: Piece, out: &mut Vec<u8>) -> bool {
    out.extend(bucket_prefix(at));
    out.extend(piece.number.to_be_bytes());
    out.extend(piece.owner.0.to_be_bytes());
    true
}

fn read_key(key: &[u8]) -> Option<(BucketAt, Piece)> {
    let (&[BUCKET_KEY, side], rest) = key.split_first_chunk::<2>()? else {
        return None;
    };
    let (start, piece) = rest.split_first_chunk::<8>()?;
    let (number, owner) = piece.split_first_chunk::<4>()?;
    let at = BucketAt {
        side: (side <= 1).then_some(side)?,
        start: EventTime::from_be_bytes(*start),
    };
    let piece = Piece {
        owner: Owner(u64::from_be_bytes(owner.try_into().ok()?)),
        number: Number::from_be_bytes(*number),
    };
    Some((at, piece))
}

fn write_rows(owner: Owner, rows: &[RowNumber], out: &mut Vec<u8>) {
    out.extend(owner.0.to_be_bytes());
    leb128(rows.len() as u64, out);
    let mut before = 0;
    for &row in rows {
        leb128(u64::from(row - before), out);
        before = row;
    }
}

fn read_matched(mut value: &[u8]) -> Result<Vec<(Owner, Vec<RowNumber>)>, FormatError> {
    let mut matched = Vec::new();
    while !value.is_empty() {
        let (owner, rest) = value.split_first_chunk::<8>().ok_or_else(cut_short)?;
        value = rest;
        let count = read_leb128(&mut value)?;
        // Each takes a byte at least.
        let count = usize::try_from(count).ok().filter(|count| *count <= value.len());
        let count = count.ok_or_else(cut_short)?;
        let mut rows = Vec::with_capacity(count);
        let mut row = 0_u64;
        for _ in 0..count {
            row = row.saturating_add(read_leb128(&mut value)?);
            rows.push(RowNumber::try_from(row).map_err(|_| damaged("it has rows of impossible numbers"))?);
        }
        matched.push((Owner(u64::from_be_bytes(*owner)), rows));
    }
    Ok(matched)
}

fn leb128(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_leb128(bytes: &mut &[u8]) -> Result<u64, FormatError> {
    let mut value = 0;
    for place in 0..5 {
        let (&byte, rest) = bytes.split_first().ok_or_else(cut_short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("it has a number that is too long"))
}
