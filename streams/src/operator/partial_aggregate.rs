//! The aggregate before the shuffle: partial states by key, shipped as batches.
use std::sync::Arc;

use super::{Limits, Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::format::{Placement, ShuffleCodec};
use crate::rows::{NO_TIME, Rows};
use crate::sink::{Destination, RecordBuffer};

/// Gathers rows by key; writes the partial states to the repartition topic when the epoch ends or memory asks.
pub(super) struct PartialAggregate {
    delta: Delta,
    placement: Placement,
    codec: ShuffleCodec,
    topic: Arc<str>,
    limits: Limits,
}

impl PartialAggregate {
    pub(super) fn new(
        spec: Arc<AggregateSpec>,
        topic: Arc<str>,
        partitions: usize,
        limits: Limits,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            placement: Placement::new(spec.key_count(), partitions),
            codec: ShuffleCodec::new(spec.state_schema(), spec.fingerprint()),
            delta: Delta::new(spec)?,
            topic,
            limits,
        })
    }

    fn ship(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(states) = self.delta.take()? else {
            return Ok(());
        };
        for (partition, rows) in self.placement.rows_by_partition(&states)?.iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            let partition = i32::try_from(partition).expect("Kafka counts partitions with 32 bits");
            let mut records = RecordBuffer::new(Destination::Partition {
                topic: Arc::clone(&self.topic),
                partition,
                batch_header: Some(self.codec.header()),
            });
            let encoded = self.codec.encode(
                &states,
                rows,
                self.limits.shuffle_record_bytes_max,
                &mut |value| {
                    records.push(
                        NO_TIME,
                        |_| false,
                        |out| {
                            out.extend_from_slice(value);
                            true
                        },
                    );
                    Ok(())
                },
            );
            encoded.map_err(|cause| OperatorError::Shuffle {
                topic: Arc::clone(&self.topic),
                partition,
                cause: Box::new(cause),
            })?;
            (out.publish)(&records)?;
        }
        Ok(())
    }
}

impl Operator for PartialAggregate {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.delta.update(&rows)?;
        if self.delta.len() > self.limits.partial_keys_max
            || self.delta.size_bytes() > self.limits.partial_bytes_max
        {
            self.ship(out)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.ship(out)
    }
}
