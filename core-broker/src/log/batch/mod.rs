//! Record batches of format 2, the unit of the log and of the wire.
//!
//! Why: the broker never takes records apart to store them. It checks a batch once, gives it offsets by
//! rewriting twelve bytes of its header, and passes the same bytes on to consumers.
//! Owns: header layout, CRC, validation, reading, building and thinning out of batches.
//! Does not own: where batches are stored (`segment`) or which sequences are legal (`producer_state`).
//! Invariants: nothing here panics on any input, and nothing allocates by a count or length that was read
//! from the input before it was checked against the bytes at hand or a limit.
//!
//! Layout (big endian, byte positions):
//! `base_offset` 0, `length` 8, `partition_leader_epoch` 12, `magic` 16, `crc` 17, `attributes` 21,
//! `last_offset_delta` 23, `base_timestamp` 27, `max_timestamp` 35, `producer_id` 43, `producer_epoch` 51,
//! `base_sequence` 53, `record_count` 57, records 61. The CRC-32C covers everything from `attributes` on.

mod builder;
mod compression;
mod end_marker;
mod error;
mod header;
mod lz4_high;
mod record;
mod rewrite;
mod validate;
mod varint;

pub use builder::BatchBuilder;
pub use compression::{Compression, DECOMPRESSED_BYTES_MAX};
pub use end_marker::EndMarker;
pub use error::BatchError;
pub use header::{BatchHeader, HEADER_BYTES, TimestampType};
pub use record::{Header, Headers, Record, RecordIter, Records};
pub(crate) use rewrite::{emptied, recompressed, retained};
pub use validate::{Validated, ValidationRules};

use header::crc_of;
pub(crate) use header::{CRC_FROM, Rewrite, rewritten_header};

use bytes::Bytes;

/// One whole batch in memory: the parsed header and all its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordBatch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> RecordBatch<'a> {
    /// Takes the first batch off `bytes`, which may hold more after it. Checks the header and that the whole
    /// batch is there; neither the CRC nor the records.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Length`] or [`BatchError::Magic`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.get(..header.size()) {
            Some(whole) => Ok(Self { header, bytes: whole }),
            None => Err(BatchError::Truncated {
                needed: header.size(),
                have: bytes.len(),
            }),
        }
    }

    /// The header's fields.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch, header included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size in bytes, header included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Compares the stored CRC with the computed one.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc_of(self.bytes);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Crc {
                stored: self.header.crc,
                computed,
            })
        }
    }

    /// Checks a batch that a producer sent: CRC, counts, and a walk over all records in bounded memory.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self, rules: &ValidationRules) -> Result<Validated, BatchError> {
        validate::validate(self, rules)
    }

    /// The records; compressed ones are decompressed up to `decompressed_bytes_max`.
    ///
    /// ```
    /// use millstream_broker::log::batch::{BatchBuilder, RecordBatch, DECOMPRESSED_BYTES_MAX};
    /// let mut builder = BatchBuilder::new();
    /// builder.push(1_000, Some(b"key"), Some(b"value"), &[]);
    /// let bytes = builder.build()?;
    /// let records = RecordBatch::parse(&bytes)?.records(DECOMPRESSED_BYTES_MAX)?;
    /// for record in records.iter() {
    ///     assert_eq!(record?.value, Some(&b"value"[..]));
    /// }
    /// # Ok::<(), millstream_broker::log::batch::BatchError>(())
    /// ```
    ///
    /// # Errors
    /// [`BatchError::Compression`] or [`BatchError::TooLargeDecompressed`].
    pub fn records(&self, decompressed_bytes_max: usize) -> Result<Records<'a>, BatchError> {
        let payload = &self.bytes[HEADER_BYTES..];
        let payload = compression::decompress(self.header.compression()?, payload, decompressed_bytes_max)?;
        Ok(Records::new(self.header, payload))
    }
}

/// Iterates over consecutive batches, as a [`crate::log::LogSlice`] holds them. Stops after the first error.
#[derive(Clone, Debug)]
pub struct RecordBatches<'a> {
    rest: &'a [u8],
}

impl<'a> RecordBatches<'a> {
    /// Starts at the first byte of a batch.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> From<&'a Bytes> for RecordBatches<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self::new(bytes)
    }
}

impl<'a> Iterator for RecordBatches<'a> {
    type Item = Result<RecordBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = RecordBatch::parse(self.rest);
        self.rest = match &batch {
            Ok(batch) => &self.rest[batch.size()..],
            Err(_) => &[],
        };
        Some(batch)
    }
}

#[cfg(test)]
mod tests;
