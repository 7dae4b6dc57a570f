//! Building one uncompressed batch: for the broker's own topics, and for tests.

use bytes::Bytes;

use super::end_marker::EndMarker;
use super::error::BatchError;
use super::header::{HEADER_BYTES, LENGTH_PREFIX_BYTES};
use super::varint::put_i64;

/// The length field is an `i32`.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// Collects records into one batch of format 2, base offset 0.
///
/// ```
/// use millstream_broker::log::batch::{BatchBuilder, RecordBatch};
/// let mut builder = BatchBuilder::new();
/// builder.push(1_000, Some(b"k"), None, &[(&b"trace"[..], Some(&b"7"[..]))]);
/// let bytes = builder.build()?;
/// assert_eq!(RecordBatch::parse(&bytes)?.header().record_count, 1);
/// # Ok::<(), millstream_broker::log::batch::BatchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    records: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    overflow: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch without a producer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            records: Vec::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            overflow: false,
        }
    }

    /// Sets producer, epoch and first sequence.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= 1 << 4;
        self
    }

    /// Marks the batch as a control batch.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= 1 << 5;
        self
    }

    /// A whole control batch with the marker that ends a producer's transaction (KIP-98): one record, key
    /// version 0 and type (0 abort, 1 commit), value version 0 and the coordinator's epoch.
    ///
    /// ```
    /// use millstream_broker::log::batch::{BatchBuilder, EndMarker, RecordBatch};
    /// let marker = EndMarker { commit: true, coordinator_epoch: 3 };
    /// let bytes = BatchBuilder::end_marker(1_000, 7, 0, marker);
    /// assert_eq!(RecordBatch::parse(&bytes)?.end_marker()?, Some(marker));
    /// # Ok::<(), millstream_broker::log::batch::BatchError>(())
    /// ```
    #[must_use]
    pub fn end_marker(timestamp: i64, producer_id: i64, producer_epoch: i16, marker: EndMarker) -> Bytes {
        let mut batch = Self::new()
            .producer(producer_id, producer_epoch, -1)
            .transactional()
            .control();
        batch.push(timestamp, Some(&marker.key()), Some(&marker.value()), &[]);
        batch.assemble(&batch.records)
    }

    /// Adds a record with the next offset.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            (self.base_timestamp, self.max_timestamp) = (timestamp, timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let headers_bytes: usize = headers
            .iter()
            .map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len))
            .sum();
        let payload = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers_bytes;
        // 25 covers attributes and the five varints, 10 each header's two.
        let bytes_max = payload.saturating_add(25 + 10 * headers.len());
        if self.overflow || self.records.len().saturating_add(HEADER_BYTES + 5 + bytes_max) > BATCH_BYTES_MAX
        {
            self.overflow = true;
            return;
        }
        let mut body = Vec::with_capacity(bytes_max);
        body.push(0);
        put_i64(&mut body, timestamp.wrapping_sub(self.base_timestamp));
        put_i64(&mut body, i64::from(self.count));
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
        put_i64(&mut body, headers.len() as i64);
        for (name, value) in headers {
            put_bytes(&mut body, Some(name));
            put_bytes(&mut body, *value);
        }
        put_i64(&mut self.records, body.len() as i64);
        self.records.extend_from_slice(&body);
        self.count += 1;
    }

    /// Records so far.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.count as usize
    }

    /// Size of the batch so far, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The finished batch, with its CRC.
    ///
    /// # Errors
    /// [`BatchError::BuildEmpty`] and [`BatchError::BuildTooLarge`].
    pub fn build(self) -> Result<Bytes, BatchError> {
        if self.overflow {
            return Err(BatchError::BuildTooLarge {
                limit: BATCH_BYTES_MAX,
            });
        }
        if self.count == 0 {
            return Err(BatchError::BuildEmpty);
        }
        Ok(self.assemble(&self.records))
    }

    fn assemble(&self, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
        out.extend_from_slice(&0_i64.to_be_bytes());
        let length = HEADER_BYTES - LENGTH_PREFIX_BYTES + payload.len();
        out.extend_from_slice(&(length as i32).to_be_bytes());
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        out.push(2);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&(self.count - 1).to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(payload);
        let crc = super::crc_of(&out);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out.into()
    }

    #[cfg(test)]
    pub(crate) fn build_compressed(mut self, codec: super::Compression) -> Bytes {
        self.attributes |= codec as i16;
        self.assemble(&super::compression::compress(codec, None, &self.records).unwrap())
    }
}

fn put_bytes(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_i64(out, -1),
        Some(field) => {
            put_i64(out, field.len() as i64);
            out.extend_from_slice(field);
        }
    }
}
