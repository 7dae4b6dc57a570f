//! Rows of Parquet files.
//!
//! A file says at its end what is in it, so one that has no footer is not finished, and waited for. Row groups are read one after the other,
//! each in batches that are bounded by rows and by what rows of the group have on average. Where reading stopped is a row group and a row in it,
//! beside the whole file's length and the hashes that tell whether it is still the same file.
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use millstream_connect::record::{Datum, SchemaRef, Value};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::data::Data;
use super::making::{Making, Step};
use super::place::{PREFIX_BYTES, Place, RowPlace, TAIL_BYTES};
use millstream_connect::arrow::{Times, rows, schema};

/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// The length of the footer and the magic behind it.
const TAIL_LENGTH: usize = 8;
/// The longest footer that is read: one of a million row groups of a few columns has less.
const FOOTER_BYTES_MAX: u32 = 64 << 20;
/// So many rows are made at once, or fewer if they are large.
const ROWS_MAX: u64 = 8192;
const BATCH_BYTES: u64 = 1 << 20;

/// What is to be said of a file.
pub(super) enum Footer {
    Whole(Box<RowReader>),
    /// It has no footer yet.
    Unfinished,
    /// It is not, or not only, what a Parquet file is: why.
    Broken(String),
}

/// Why rows could not be read.
pub(super) enum Failure {
    /// The file system's error.
    File(io::Error),
    /// What is wrong with the file.
    Damage(String),
}

/// A file that is read where it is wanted, and what went wrong with that: Parquet's errors do not say.
#[derive(Clone)]
struct Positioned {
    file: Arc<File>,
    length: u64,
    error: Arc<Mutex<Option<io::Error>>>,
}

/// Reads on from a position.
pub(super) struct ReadOn {
    from: Positioned,
    at: u64,
}

impl Positioned {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let read = match self.file.read_at(into, at) {
            Ok(0) if at < self.length && !into.is_empty() => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it was truncated while it was read",
            )),
            read => read,
        };
        read.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            if error.kind() != io::ErrorKind::Interrupted {
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            told
        })
    }

    /// `length` bytes from `at` on.
    fn exactly(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        if at.saturating_add(length as u64) > self.length {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        ReadOn {
            from: self.clone(),
            at,
        }
        .read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for ReadOn {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<ReadOn>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let from = self.clone();
        Ok(BufReader::new(ReadOn { from, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.exactly(start, length);
        bytes
            .map(Bytes::from)
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// What is to be said of a file if a column is compressed in a way that is not read.
fn unread_codec(metadata: &ParquetMetaData) -> Option<String> {
    let mut columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    columns.find_map(|column| {
        let name = match column.compression() {
            Compression::BROTLI(_) => "Brotli",
            Compression::LZO => "LZO",
            _ => return None,
        };
        Some(format!(
            "its column {} is compressed with {name}, which is not read; write it anew with Zstandard, Snappy, gzip or LZ4",
            column.column_path().string()
        ))
    })
}

/// The rows of a file.
pub(super) struct RowReader {
    file: Positioned,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    /// Of the whole file; its rows are those of the next row.
    place: Place,
    at: RowPlace,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows from the next one on.
    waiting: std::vec::IntoIter<Value>,
    /// About what a row of the group has.
    row_bytes: u64,
    begun: bool,
}

impl RowReader {
    /// Looks at the footer of a file that was read up to `place`.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(data: &Data, place: &Place, times: Times) -> io::Result<Footer> {
        let Some(file) = data.plain() else {
            return Ok(Footer::Broken("it is compressed as a whole".to_owned()));
        };
        let length = file.metadata()?.len();
        let file = Positioned {
            file: Arc::new(file.try_clone()?),
            length,
            error: Arc::default(),
        };
        let begin = file.exactly(0, MAGIC.len().min(usize::try_from(length).unwrap_or(usize::MAX)))?;
        if !MAGIC.starts_with(&begin) && !MAGIC_ENCRYPTED.starts_with(&begin) {
            return Ok(Footer::Broken("it does not begin as Parquet files do".to_owned()));
        }
        if length < (MAGIC.len() + TAIL_LENGTH) as u64 {
            return Ok(Footer::Unfinished);
        }
        let end = file.exactly(length - TAIL_LENGTH as u64, TAIL_LENGTH)?;
        let (size, magic) = end.split_at(4);
        if magic == MAGIC_ENCRYPTED || begin == MAGIC_ENCRYPTED {
            return Ok(Footer::Broken("it is encrypted, which is not read".to_owned()));
        }
        if magic != MAGIC {
            return Ok(Footer::Unfinished);
        }
        let size = u32::from_le_bytes(size.try_into().expect("four bytes"));
        if size > FOOTER_BYTES_MAX {
            return Ok(Footer::Broken(format!(
                "its footer claims {size} bytes, more than the {FOOTER_BYTES_MAX} that are read"
            )));
        }
        let metadata = match ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()) {
            Ok(metadata) => metadata,
            Err(error) => return file.failure(&error).map(Footer::Broken),
        };
        if let Some(broken) = unread_codec(metadata.metadata()) {
            return Ok(Footer::Broken(broken));
        }
        let schema = match schema(metadata.schema(), times) {
            Ok(schema) => schema,
            Err(error) => return Ok(Footer::Broken(error)),
        };
        let prefix = file.exactly(
            0,
            PREFIX_BYTES.min(usize::try_from(length).unwrap_or(PREFIX_BYTES)),
        )?;
        let tail = TAIL_BYTES.min(usize::try_from(length).unwrap_or(TAIL_BYTES));
        let tail = file.exactly(length - tail as u64, tail)?;
        let at = place.rows.unwrap_or_default();
        Ok(Footer::Whole(Box::new(Self {
            file,
            metadata,
            schema,
            begun: place.rows.is_some(),
            place: Place::whole(length, &prefix, &tail, at),
            at,
            reader: None,
            waiting: Vec::new().into_iter(),
            row_bytes: 1,
        })))
    }

    /// What changes when something is done.
    pub fn progress(&self) -> (u64, u64, bool) {
        (self.at.group, self.at.row, self.begun)
    }

    /// The place of the next row.
    pub fn place(&self) -> Place {
        let mut place = self.place.clone();
        place.rows = Some(self.at);
        place
    }

    /// Passes over what is left.
    pub fn give_up(&mut self) {
        (self.reader, self.waiting) = (None, Vec::new().into_iter());
        self.at = RowPlace {
            group: self.metadata.metadata().num_row_groups() as u64,
            row: 0,
        };
    }

    /// Makes records of rows.
    ///
    /// # Errors
    /// Why there are no more; what was made before is whole.
    pub fn run(&mut self, making: &mut Making) -> Result<Step, Failure> {
        self.begun = true;
        loop {
            if making.is_full() {
                return Ok(Step::Full);
            }
            if let Some(row) = self.waiting.next() {
                let bytes = usize::try_from(self.row_bytes).unwrap_or(usize::MAX);
                making.push(Datum::new(Arc::clone(&self.schema), row), bytes);
                self.at.row += 1;
            } else if !self.more()? {
                return Ok(Step::End { partial: false });
            }
        }
    }

    /// Reads the next rows; false if there are none.
    fn more(&mut self) -> Result<bool, Failure> {
        loop {
            let next = match &mut self.reader {
                Some(reader) => reader.next(),
                None => match self.group()? {
                    None => return Ok(false),
                    Some(None) => None,
                    Some(Some(reader)) => {
                        self.reader = Some(reader);
                        continue;
                    }
                },
            };
            let Some(batch) = next else {
                self.reader = None;
                self.at = RowPlace {
                    group: self.at.group + 1,
                    row: 0,
                };
                continue;
            };
            let made = batch.map_err(|error| self.file.told(&error));
            let made = made.and_then(|batch| rows(&batch, &self.schema).map_err(Failure::Damage));
            match made {
                Ok(made) if made.is_empty() => {}
                Ok(made) => {
                    self.waiting = made.into_iter();
                    return Ok(true);
                }
                Err(failure) => {
                    // A reader that failed says nothing more, as if the group were over.
                    self.reader = None;
                    return Err(failure);
                }
            }
        }
    }

    /// The reader of the group at the place: none behind the last group, no reader where no row is left in the group.
    fn group(&mut self) -> Result<Option<Option<ParquetRecordBatchReader>>, Failure> {
        let groups = self.metadata.metadata().num_row_groups();
        let Some(number) = usize::try_from(self.at.group)
            .ok()
            .filter(|group| *group < groups)
        else {
            return Ok(None);
        };
        let group = self.metadata.metadata().row_group(number);
        let count = u64::try_from(group.num_rows()).unwrap_or(0);
        if self.at.row >= count {
            return Ok(Some(None));
        }
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0);
        self.row_bytes = (bytes / count).max(1);
        let most = (BATCH_BYTES / self.row_bytes).clamp(1, ROWS_MAX);
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_row_groups(vec![number])
                .with_offset(usize::try_from(self.at.row).unwrap_or(usize::MAX))
                .with_batch_size(usize::try_from(most).unwrap_or(1))
                .build();
        reader
            .map(|reader| Some(Some(reader)))
            .map_err(|error| self.file.told(&error))
    }
}

impl Positioned {
    /// What a Parquet error is: the file's content, unless the file system said something.
    fn failure(&self, error: &dyn std::fmt::Display) -> io::Result<String> {
        match self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(error.to_string()),
        }
    }

    fn told(&self, error: &dyn std::fmt::Display) -> Failure {
        match self.failure(error) {
            Ok(damage) => Failure::Damage(damage),
            Err(error) => Failure::File(error),
        }
    }
}
