//! The seam for formats that are not this crate's: [`RecordFormat`], which reads, writes, or both.
//!
//! A format says its columns when the topology is built. Its decoder then collects records until their rows are taken together, and
//! says which records make none; its encoder is given batches and writes a row at a time.
//!
//! Owns: the traits, and what passes through them. Does not own: any format; metadata (`with_key` and the like) is the engine's.
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::{Format, FormatError, Kind};

/// A format that a program brings: [`Format::custom`] makes a [`Format`] of it.
///
/// What it reads need not be one row a record: a record may be passed over, or be several rows.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::SchemaRef;
/// use millstream_streams::{
///     DataType, DecodedRecords, EncodedRecord, Field, Format, FormatError, RecordDecoder, RecordFormat, Schema, Streams,
///     TestDriver, TestRecord, json,
/// };
///
/// /// Values are numbers of eight bytes.
/// #[derive(Debug)]
/// struct Numbers;
///
/// impl RecordFormat for Numbers {
///     fn name(&self) -> String {
///         "numbers".to_owned()
///     }
///
///     fn schema(&self, _topic: &str) -> Result<Option<SchemaRef>, FormatError> {
///         Ok(Some(Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))))
///     }
///
///     fn decoder(&self, _columns: &SchemaRef) -> Box<dyn RecordDecoder> {
///         Box::new(Pushed::default())
///     }
/// }
///
/// #[derive(Default)]
/// struct Pushed(Vec<Option<i64>>);
///
/// impl RecordDecoder for Pushed {
///     fn push(&mut self, record: &EncodedRecord<'_>) {
///         let bytes = record.value.and_then(|value| value.try_into().ok());
///         self.0.push(bytes.map(i64::from_be_bytes));
///     }
///
///     fn take(&mut self) -> Result<DecodedRecords, FormatError> {
///         let (mut decoded, mut numbers) = (DecodedRecords::default(), Vec::new());
///         for (place, number) in std::mem::take(&mut self.0).into_iter().enumerate() {
///             match number {
///                 Some(number) => {
///                     numbers.push(number);
///                     decoded.records.push(place);
///                 }
///                 None => decoded.unfit(place, FormatError::unreadable("numbers", "it has not 8 bytes")),
///             }
///         }
///         decoded.columns = vec![Arc::new(Int64Array::from(numbers)) as ArrayRef];
///         Ok(decoded)
///     }
/// }
///
/// let app = Streams::new("custom");
/// app.stream("in", Format::custom(Arc::new(Numbers))).to("out", json());
/// let mut driver = TestDriver::new(&app)?;
/// driver.pipe("in", TestRecord::new(7_i64.to_be_bytes()))?;
/// driver.commit()?;
/// assert_eq!(driver.read("out")[0].as_text(), ("?", r#"{"n":7}"#));
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub trait RecordFormat: fmt::Debug + Send + Sync {
    /// What `describe` calls it. Two formats of one name are the same.
    fn name(&self) -> String;

    /// The columns it reads of `topic`, or none if it only writes. Asked when a topology is built; here a format may ask a registry.
    ///
    /// # Errors
    /// [`FormatError::Unavailable`] if who has the schema does not answer; any other if there is none.
    fn schema(&self, topic: &str) -> Result<Option<SchemaRef>, FormatError> {
        let _ = topic;
        Ok(None)
    }

    /// What turns records into `columns`, as [`schema`](Self::schema) gave them. Never called if that gave none.
    fn decoder(&self, columns: &SchemaRef) -> Box<dyn RecordDecoder> {
        let _ = columns;
        unreachable!("a format without columns does not read")
    }

    /// What writes these rows. Asked when a topology is built, to see whether it can, and again by each task.
    ///
    /// # Errors
    /// What the rows have that the format has not.
    fn encoder(&self, rows: &OutputRows<'_>) -> Result<Box<dyn RecordEncoder>, FormatError> {
        let _ = rows;
        Err(FormatError::unwritable(&self.name(), "the format only reads"))
    }

    /// How it reads a table whose key is made of the columns `keys`, if a record may delete otherwise than by having no value.
    fn as_table(&self, keys: &[String]) -> Option<TableFormat> {
        let _ = keys;
        None
    }

    /// Whether a table is written with what its rows were before: [`OutputBatch::before`]. A row that is gone is written then, too,
    /// and behind it a record without a value.
    fn wants_changes(&self) -> bool {
        false
    }
}

/// How a format reads a table; see [`RecordFormat::as_table`].
#[derive(Debug, Clone)]
pub struct TableFormat {
    /// The format, with the column `deleted` as its last.
    pub format: Arc<dyn RecordFormat>,
    /// The name of a column of truth values: whether the row deletes its key. The table does not have it.
    pub deleted: String,
    /// The texts that stand for a value that a record does not say, in columns of texts and bytes: the table keeps what it had.
    pub unavailable: Vec<String>,
}

/// A record as a decoder sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EncodedRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a deletion.
    pub value: Option<&'a [u8]>,
}

/// Turns records into rows, many at a time.
pub trait RecordDecoder: Send {
    /// Adds a record. What is wrong with it is said by [`take`](Self::take).
    fn push(&mut self, record: &EncodedRecord<'_>);

    /// The rows of the records pushed since the last call.
    ///
    /// # Errors
    /// What is not the fault of a record: the job fails.
    fn take(&mut self) -> Result<DecodedRecords, FormatError>;
}

/// What became of the records that a decoder was given.
#[derive(Debug, Default)]
pub struct DecodedRecords {
    /// The columns, as the format's schema says.
    pub columns: Vec<ArrayRef>,
    /// For each row the number of its record among those pushed, from 0 and never smaller than the one before.
    pub records: Vec<usize>,
    /// The records that make no row, and why; in their order.
    pub undecodable: Vec<(usize, FormatError)>,
}

impl DecodedRecords {
    /// Notes that the record of this number cannot be read.
    pub fn unfit(&mut self, record: usize, cause: FormatError) {
        self.undecodable.push((record, cause));
    }
}

/// The rows that an encoder is to write.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OutputRows<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The columns, the key's first.
    pub schema: &'a SchemaRef,
    /// How many of them are the key of a table; none of a stream's.
    pub keys: usize,
    /// The column that is the key of a stream's records; the engine writes it.
    pub key: Option<usize>,
}

impl OutputRows<'_> {
    /// The columns that are no part of the key.
    pub fn values(&self) -> impl Iterator<Item = usize> + use<'_> {
        (self.keys..self.schema.fields().len()).filter(|column| Some(*column) != self.key)
    }
}

/// Rows on their way into records.
#[derive(Debug)]
#[non_exhaustive]
pub struct OutputBatch {
    /// The rows with the columns that the encoder was made for. Of a row that is gone only the key counts.
    pub rows: RecordBatch,
    /// What they were before, for formats that want it and rows of a table.
    pub before: Option<BeforeRows>,
    /// The event time of each row in milliseconds, -1 if it has none.
    pub times: Vec<i64>,
}

/// What rows of a table were, and whether they are there.
#[derive(Debug)]
#[non_exhaustive]
pub struct BeforeRows {
    /// The rows as they were, nulls where there was none.
    pub rows: RecordBatch,
    /// Whether there was one.
    pub had: BooleanArray,
    /// Whether there is one now. Where epochs may be repeated, there are keys that neither had a row nor have one: only their deletion
    /// is asked for.
    pub has: BooleanArray,
}

impl OutputBatch {
    pub(crate) fn of(rows: RecordBatch, times: Vec<i64>) -> Self {
        Self {
            rows,
            before: None,
            times,
        }
    }

    pub(crate) fn with_before(mut self, before: BeforeRows) -> Self {
        self.before = Some(before);
        self
    }
}

impl BeforeRows {
    pub(crate) fn new(rows: RecordBatch, had: BooleanArray, has: BooleanArray) -> Self {
        Self { rows, had, has }
    }
}

/// Writes rows of one schema to one topic.
pub trait RecordEncoder: Send {
    /// Whether it writes the keys of tables. Otherwise they are those of [`json`](super::json).
    fn writes_keys(&self) -> bool {
        false
    }

    /// Readies a batch.
    ///
    /// # Errors
    /// What is wrong with a row of it: smaller batches are tried then, if that is not to fail the job.
    fn batch<'a>(&'a mut self, batch: &'a OutputBatch) -> Result<Box<dyn EncodeRow + 'a>, FormatError>;
}

/// Writes the rows of one batch, each once and in their order.
pub trait EncodeRow {
    /// Appends the key of `row`, and says whether there is one.
    ///
    /// # Errors
    /// What is wrong with the row.
    fn key(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let _ = (row, out);
        Ok(false)
    }

    /// Appends the value of `row`, and says whether there is one.
    ///
    /// # Errors
    /// What is wrong with the row.
    fn value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError>;
}

impl Format {
    /// A format of the program's own.
    ///
    /// [`RecordFormat`] has an example.
    pub fn custom(format: Arc<dyn RecordFormat>) -> Self {
        Self::new(Kind::Custom(CustomFormat(format)))
    }

    /// How it reads a table whose key is made of these columns, with the column that deletes, if there is one.
    pub(crate) fn as_table(&self, keys: &[String]) -> Option<(Self, String, Vec<String>)> {
        let Kind::Custom(CustomFormat(format)) = &self.kind else {
            return None;
        };
        let table = format.as_table(keys)?;
        let format = Self {
            kind: Kind::Custom(CustomFormat(table.format)),
            ..self.clone()
        };
        Some((format, table.deleted, table.unavailable))
    }
}

/// A format that is told from others by its name.
#[derive(Debug, Clone)]
pub(crate) struct CustomFormat(pub(crate) Arc<dyn RecordFormat>);

impl PartialEq for CustomFormat {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

#[cfg(test)]
#[path = "custom_tests.rs"]
mod tests;
