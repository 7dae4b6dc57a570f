//! What compaction keeps of each batch: the rules, without any file.
//!
//! Owns: which records survive, delete horizons (KIP-534), when a marker may go, which batches stay empty.
//! Does not own: where batches come from and go to (`pass`).
//! Invariants: offsets never change; batches at or beyond the end of the cleaned section stay as they are; a
//! marker stays as long as its transaction has data before it in the log, and then until its horizon; a
//! producer's last batch stays, if need be without records, so that its sequence survives.

use std::collections::HashMap;

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::log::AbortedTransaction;
use crate::log::batch::{BatchError, RecordBatch, emptied, retained};
use crate::log::producer_state::LastBatch;

/// What is decided before the first batch.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// Newest offsets in the section that was not cleaned before.
    pub(crate) newest: &'a OffsetMap,
    /// Offset before which every transaction has ended and every record is in `newest` or older.
    pub(crate) end: i64,
    pub(crate) transactions: &'a Transactions,
    /// Last batches of the producers that are remembered.
    pub(crate) producers: &'a HashMap<i64, LastBatch>,
    pub(crate) now_ms: i64,
    /// `delete.retention.ms`.
    pub(crate) delete_retention_ms: i64,
    pub(crate) decompressed_bytes_max: usize,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Changed(Vec<u8>),
    Gone,
}

/// Goes through the batches of a log in order.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    rules: Rules<'a>,
    /// First data batch of each producer since its last marker.
    data_since_marker: HashMap<i64, i64>,
    /// Aborted transactions whose markers stay although the log had data of theirs.
    aborted: Vec<AbortedTransaction>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(rules: Rules<'a>) -> Self {
        Self {
            rules,
            data_since_marker: HashMap::new(),
            aborted: Vec::new(),
        }
    }

    /// The aborted transactions that ended since the last call.
    pub(crate) fn take_aborted(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.aborted)
    }

    /// Decides on the next batch.
    pub(crate) fn next(&mut self, batch: &RecordBatch<'_>) -> Result<Verdict, BatchError> {
        if batch.header().is_control() {
            self.control(batch)
        } else {
            self.data(batch)
        }
    }

    fn control(&mut self, batch: &RecordBatch<'_>) -> Result<Verdict, BatchError> {
        let header = batch.header();
        let Some(marker) = batch.end_marker()? else {
            let gone = header.record_count == 0 && !self.is_last(batch) && self.is_inside(batch);
            return Ok(if gone { Verdict::Gone } else { Verdict::Same });
        };
        if let Some(first_offset) = self.data_since_marker.remove(&header.producer_id) {
            if !marker.commit {
                let open = self.data_since_marker.values().copied().min();
                self.aborted.push(AbortedTransaction {
                    producer_id: header.producer_id,
                    first_offset,
                    last_offset: header.last_offset(),
                    last_stable_offset: open.unwrap_or(header.next_offset()),
                });
            }
            return Ok(Verdict::Same);
        }
        if !self.is_inside(batch) {
            return Ok(Verdict::Same);
        }
        if !header.has_delete_horizon() {
            let records = batch.records(self.rules.decompressed_bytes_max)?;
            let keep = vec![true; header.record_count.unsigned_abs() as usize];
            return retained(batch, &records, &keep, Some(self.horizon())).map(Verdict::Changed);
        }
        if self.rules.now_ms < header.base_timestamp {
            return Ok(Verdict::Same);
        }
        self.without_records(batch)
    }

    fn data(&mut self, batch: &RecordBatch<'_>) -> Result<Verdict, BatchError> {
        let header = batch.header();
        if header.is_transactional() {
            self.data_since_marker
                .entry(header.producer_id)
                .or_insert(header.base_offset);
        }
        if !self.is_inside(batch) {
            return Ok(Verdict::Same);
        }
        let rules = &self.rules;
        if header.is_transactional()
            && rules
                .transactions
                .is_aborted(header.producer_id, header.base_offset)
        {
            return self.without_records(batch);
        }
        let past_horizon = header.has_delete_horizon() && rules.now_ms >= header.base_timestamp;
        let records = batch.records(rules.decompressed_bytes_max)?;
        let mut keep = Vec::new();
        let (mut kept, mut tombstones) = (0, 0);
        for record in &records {
            let record = record?;
            // Records without a key are from before the topic was compacted.
            let newest = record
                .key
                .is_some_and(|key| rules.newest.newest(key).is_none_or(|n| n <= record.offset));
            let keeps = newest && !(record.value.is_none() && past_horizon);
            kept += usize::from(keeps);
            tombstones += usize::from(keeps && record.value.is_none());
            keep.push(keeps);
        }
        if kept == 0 {
            return self.without_records(batch);
        }
        let horizon = (tombstones > 0 && !header.has_delete_horizon()).then(|| self.horizon());
        if kept == keep.len() && horizon.is_none() {
            return Ok(Verdict::Same);
        }
        retained(batch, &records, &keep, horizon).map(Verdict::Changed)
    }

    fn horizon(&self) -> i64 {
        self.rules.now_ms.saturating_add(self.rules.delete_retention_ms)
    }

    fn is_inside(&self, batch: &RecordBatch<'_>) -> bool {
        batch.header().base_offset < self.rules.end
    }

    /// Whether it is what tells the sequence, or failing that the epoch, of a producer.
    fn is_last(&self, batch: &RecordBatch<'_>) -> bool {
        let header = batch.header();
        let last = self.rules.producers.get(&header.producer_id);
        header.has_producer()
            && last.is_some_and(|last| match last.offset {
                Some(offset) => offset == header.last_offset(),
                None => header.is_control() && last.epoch == header.producer_epoch,
            })
    }

    fn without_records(&self, batch: &RecordBatch<'_>) -> Result<Verdict, BatchError> {
        if !self.is_last(batch) {
            return Ok(Verdict::Gone);
        }
        if batch.header().record_count == 0 {
            return Ok(Verdict::Same);
        }
        emptied(batch).map(Verdict::Changed)
    }
}
