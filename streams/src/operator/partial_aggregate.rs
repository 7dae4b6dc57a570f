//! The aggregate before the shuffle: partial states by key, shipped as batches.
use std::sync::Arc;

use super::shipper::Shipper;
use super::{Limits, Operator, OperatorError, Output};
use crate::aggregate::{AggregateSpec, Delta};
use crate::format::{Placement, ShuffleCodec};
use crate::rows::Rows;

/// Gathers rows by key; writes the partial states to the repartition topic when the epoch ends or memory asks.
pub(super) struct PartialAggregate {
    delta: Delta,
    codec: ShuffleCodec,
    shipper: Shipper,
    limits: Limits,
}

impl PartialAggregate {
    pub(super) fn new(
        spec: Arc<AggregateSpec>,
        topic: Arc<str>,
        partitions: usize,
        limits: Limits,
    ) -> Result<Self, OperatorError> {
        let placement = Placement::new(spec.key_count(), partitions);
        Ok(Self {
            shipper: Shipper::new(topic, placement, limits.shuffle_record_bytes_max),
            codec: ShuffleCodec::new(spec.state_schema(), spec.fingerprint()),
            delta: Delta::new(spec)?,
            limits,
        })
    }

    fn ship(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        let Some(states) = self.delta.take()? else {
            return Ok(());
        };
        let encode =
            |rows: &[u32], max, each: super::shipper::Each<'_>| self.codec.encode(&states, rows, max, each);
        self.shipper.ship(&states, self.codec.header(), encode, out)
    }
}

impl Operator for PartialAggregate {
    fn process(&mut self, rows: Rows, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.delta.update(&rows)?;
        if self.limits.partial_is_full(&self.delta) {
            self.ship(out)?;
        }
        Ok(())
    }

    fn end_epoch(&mut self, out: &mut Output<'_>) -> Result<(), OperatorError> {
        self.ship(out)
    }
}
