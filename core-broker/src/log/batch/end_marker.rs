//! The record of a control batch that ends a transaction (KIP-98).
//!
//! Owns: the bytes of its key and value. Does not own: who may write it and what it does to a log.

use super::RecordBatch;
use super::error::BatchError;

const VERSION: i16 = 0;
const KEY_BYTES: usize = 4;
const VALUE_BYTES: usize = 6;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended, as a control batch says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// Committed, otherwise aborted.
    pub commit: bool,
    /// Epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    pub(super) fn key(self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..2].copy_from_slice(&VERSION.to_be_bytes());
        key[2..].copy_from_slice(&(if self.commit { COMMIT } else { ABORT }).to_be_bytes());
        key
    }

    pub(super) fn value(self) -> [u8; VALUE_BYTES] {
        let mut value = [0; VALUE_BYTES];
        value[..2].copy_from_slice(&VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// Nothing for control records of other types. Newer versions add fields at the end only.
    fn decode(key: &[u8], value: &[u8]) -> Result<Option<Self>, &'static str> {
        let [v0, v1, t0, t1, ..] = *key else {
            return Err("the key of a control record is shorter than 4 bytes");
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err("the key of a control record has a negative version");
        }
        let commit = match i16::from_be_bytes([t0, t1]) {
            ABORT => false,
            COMMIT => true,
            _ => return Ok(None),
        };
        let [v0, v1, e0, e1, e2, e3, ..] = *value else {
            return Err("the value of a transaction marker is shorter than 6 bytes");
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err("the value of a transaction marker has a negative version");
        }
        let coordinator_epoch = i32::from_be_bytes([e0, e1, e2, e3]);
        Ok(Some(Self {
            commit,
            coordinator_epoch,
        }))
    }
}

impl RecordBatch<'_> {
    /// The transaction marker that the batch holds; nothing if it is no control batch, one that compaction has
    /// emptied, or one with another type of control record.
    ///
    /// # Errors
    /// [`BatchError::Record`], if the control record is malformed.
    pub fn end_marker(&self) -> Result<Option<EndMarker>, BatchError> {
        /// A control batch holds one record of a few bytes.
        const DECOMPRESSED_BYTES_MAX: usize = 64 << 10;
        if !self.header().is_control() {
            return Ok(None);
        }
        let records = self.records(DECOMPRESSED_BYTES_MAX)?;
        let Some(record) = records.iter().next() else {
            return Ok(None);
        };
        let record = record?;
        EndMarker::decode(record.key.unwrap_or_default(), record.value.unwrap_or_default())
            .map_err(|reason| BatchError::Record { index: 0, reason })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::BatchBuilder;
    use super::*;

    #[test]
    fn has_kafkas_bytes() {
        for (commit, kind) in [(false, 0), (true, 1)] {
            let marker = EndMarker {
                commit,
                coordinator_epoch: 0x0102_0304,
            };
            let bytes = BatchBuilder::end_marker(50, 9, 2, marker);
            let batch = RecordBatch::parse(&bytes).unwrap();
            batch.verify_crc().unwrap();
            let header = batch.header();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch), (9, 2));
            assert_eq!((header.base_sequence, header.record_count), (-1, 1));
            assert_eq!(batch.end_marker(), Ok(Some(marker)));
            let records = batch.records(1 << 10).unwrap();
            let record = records.iter().next().unwrap().unwrap();
            assert_eq!(record.key, Some(&[0, 0, 0, kind][..]));
            assert_eq!(record.value, Some(&[0, 0, 1, 2, 3, 4][..]));
        }
    }

    #[test]
    fn tells_what_is_no_marker() {
        let batch = |control: bool, key: &[u8], value: &[u8]| {
            let builder = BatchBuilder::new().producer(1, 0, -1).transactional();
            let mut builder = if control { builder.control() } else { builder };
            builder.push(1, Some(key), Some(value), &[]);
            builder.build().unwrap()
        };
        let parse = |bytes: Bytes| RecordBatch::parse(&bytes).unwrap().end_marker();
        assert_eq!(parse(batch(false, &[0, 0, 0, 1], &[0; 6])), Ok(None));
        assert_eq!(parse(batch(true, &[0, 0, 0, 5], &[])), Ok(None));
        for (key, value) in [
            (&[0, 0, 0][..], &[0; 6][..]),
            (&[0, 0, 0, 1], &[0; 5]),
            (&[255, 255, 0, 1], &[0; 6]),
            (&[0, 0, 0, 1], &[255, 255, 0, 0, 0, 0]),
        ] {
            let error = parse(batch(true, key, value)).unwrap_err();
            assert!(matches!(error, BatchError::Record { index: 0, .. }), "{error}");
        }
    }
}
