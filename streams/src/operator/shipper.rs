//! Batches to the partitions of a repartition topic.
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{OperatorError, Output};
use crate::format::{FormatError, Placement};
use crate::rows::NO_TIME;
use crate::sink::{Destination, RecordBuffer};

/// Sends rows to where their keys belong.
pub(super) struct Shipper {
    topic: Arc<str>,
    placement: Placement,
    record_bytes_max: usize,
}

/// Takes an encoded record.
pub(super) type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), FormatError>;

impl Shipper {
    pub(super) fn new(topic: Arc<str>, placement: Placement, record_bytes_max: usize) -> Self {
        Self {
            topic,
            placement,
            record_bytes_max,
        }
    }

    /// Places rows by `keyed`, whose first columns are the key; `encode` gets the rows of a partition, by position, the largest size of a
    /// record, and what takes the records.
    pub(super) fn ship(
        &self,
        keyed: &RecordBatch,
        header: [u8; 9],
        encode: impl Fn(&[u32], usize, Each<'_>) -> Result<(), FormatError>,
        out: &mut Output<'_>,
    ) -> Result<(), OperatorError> {
        for (partition, rows) in self.placement.rows_by_partition(keyed)?.iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let partition = i32::try_from(partition).expect("Kafka counts partitions with 32 bits");
            let mut records = RecordBuffer::new(Destination::Partition {
                topic: Arc::clone(&self.topic),
                partition,
                batch_header: Some(header),
            });
            let encoded = encode(rows, self.record_bytes_max, &mut |value| {
                records.push(
                    NO_TIME,
                    |_| false,
                    |out| {
                        out.extend_from_slice(value);
                        true
                    },
                );
                Ok(())
            });
            encoded.map_err(|cause| {
                let keys = &keyed.columns()[..self.placement.keys()];
                let alone = |row| encode(&[row], self.record_bytes_max, &mut |_| Ok(())).is_err();
                OperatorError::Shuffle {
                    topic: Arc::clone(&self.topic),
                    partition,
                    cause: Box::new(cause.of_key(keys, rows, alone)),
                }
            })?;
            (out.publish)(&records)?;
        }
        Ok(())
    }
}
