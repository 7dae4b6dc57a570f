//! What the internal topics have in common: reading a partition from its start, and Kafka's plain field types.
//!
//! Why: groups and transactions keep their state as keyed records in formats of the same make.
//! Owns: the walk over a partition's batches, reading and writing of fields. Does not own: what the records mean
//! (`group::record`, `transaction::record`).
//! Invariant: no length is trusted before it was compared with the bytes left.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::Offset;
use crate::log::Partition;
use crate::log::batch::{RecordBatch, RecordBatches};

/// Bytes of the log read at a time when state is replayed.
const REPLAY_BYTES: usize = 4 << 20;

/// Shows every batch of a partition in order, up to what is durable. Stops at the first error.
pub(crate) fn for_each_batch<E>(
    log: &Partition,
    failed: impl Fn(String) -> E,
    mut visit: impl FnMut(&RecordBatch<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let end = log.high_watermark();
    let mut next = log.log_start_offset();
    while next < end {
        let bytes = log
            .read(next, REPLAY_BYTES, end, true)
            .map_err(|error| failed(error.to_string()))?
            .read()
            .map_err(|error| failed(error.to_string()))?;
        if bytes.is_empty() {
            // Compaction has left nothing up to the end.
            return Ok(());
        }
        let mut last = next;
        for batch in RecordBatches::new(&bytes) {
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            last = Offset(batch.header().next_offset());
            visit(&batch)?;
        }
        if last <= next {
            // A batch always ends after it begins; anything else would never end.
            let partition = log.topic_partition();
            return Err(failed(format!("no batch at offset {next} of {partition}")));
        }
        next = last;
    }
    Ok(())
}

/// Why a record cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("{field} of {bytes} bytes does not fit into a record")]
    TooLong { field: &'static str, bytes: usize },
    #[error("{what} version {version} is newer than this broker can read")]
    Version { what: &'static str, version: i16 },
    #[error("{field} ends after {left} of {wanted} bytes")]
    Truncated {
        field: &'static str,
        wanted: usize,
        left: usize,
    },
    #[error("{field} has an illegal length {length}")]
    Length { field: &'static str, length: i64 },
    #[error("{field} is not UTF-8")]
    Utf8 { field: &'static str },
    #[error("{bytes} bytes too many at the end of {what}")]
    Trailing { what: &'static str, bytes: usize },
}

/// A length as it is written.
pub(crate) fn length_i32(field: &'static str, bytes: usize) -> Result<i32, RecordError> {
    i32::try_from(bytes).map_err(|_| RecordError::TooLong { field, bytes })
}

/// Writes text with a two-byte length.
pub(crate) fn put_string(out: &mut BytesMut, field: &'static str, text: &str) -> Result<(), RecordError> {
    let length = i16::try_from(text.len()).map_err(|_| RecordError::TooLong {
        field,
        bytes: text.len(),
    })?;
    out.put_i16(length);
    out.put_slice(text.as_bytes());
    Ok(())
}

/// Writes text or null.
pub(crate) fn put_nullable(
    out: &mut BytesMut,
    field: &'static str,
    text: Option<&str>,
) -> Result<(), RecordError> {
    match text {
        Some(text) => put_string(out, field, text),
        None => {
            out.put_i16(-1);
            Ok(())
        }
    }
}

/// Writes bytes with a four-byte length.
pub(crate) fn put_bytes(out: &mut BytesMut, field: &'static str, bytes: &[u8]) -> Result<(), RecordError> {
    out.put_i32(length_i32(field, bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}

/// Reads Kafka's non-flexible primitive types.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, wanted: usize) -> Result<&'a [u8], RecordError> {
        let Some((taken, rest)) = self.0.split_at_checked(wanted) else {
            return Err(RecordError::Truncated {
                field,
                wanted,
                left: self.0.len(),
            });
        };
        self.0 = rest;
        Ok(taken)
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    /// A two-byte number.
    pub fn i16(&mut self, field: &'static str) -> Result<i16, RecordError> {
        self.array(field).map(i16::from_be_bytes)
    }

    /// A four-byte number.
    pub fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// An eight-byte number.
    pub fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// Text that may be null.
    pub fn nullable(&mut self, field: &'static str) -> Result<Option<&'a str>, RecordError> {
        let length = self.i16(field)?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Length {
            field,
            length: i64::from(length),
        })?;
        let text = std::str::from_utf8(self.take(field, length)?).map_err(|_| RecordError::Utf8 { field })?;
        Ok(Some(text))
    }

    /// Text.
    pub fn string(&mut self, field: &'static str) -> Result<&'a str, RecordError> {
        self.nullable(field)?
            .ok_or(RecordError::Length { field, length: -1 })
    }

    /// Bytes with a four-byte length.
    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, RecordError> {
        let length = self.i32(field)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Length {
            field,
            length: i64::from(length),
        })?;
        Ok(Bytes::copy_from_slice(self.take(field, length)?))
    }

    /// Refuses what is left.
    pub fn end(&self, what: &'static str) -> Result<(), RecordError> {
        match self.0.len() {
            0 => Ok(()),
            bytes => Err(RecordError::Trailing { what, bytes }),
        }
    }
}
