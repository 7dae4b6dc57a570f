//! One look of Fetch (1) at one partition: what there is for the client from its offset on.

use std::sync::Arc;

use super::epoch_error;
use super::error_code::{ErrorCode, NONE};
use super::fetch_response::FetchedPartition;
use crate::broker::BrokerState;
use crate::fetch_session::{Entry, Handle, Look, Marks, Outcome, Taken, TopicRef};
use crate::ids::Offset;
use crate::log::{LogError, LogSlice, Partition, ReadError, Signal};
use crate::server::reply::RANGES_MAX;

/// Kafka's number of the API.
const KEY: i16 = 1;

/// What all looks of a request have in common.
pub(super) struct Looker {
    pub broker: Arc<BrokerState>,
    /// Whether only committed records are wanted.
    pub committed: bool,
    /// Most bytes of records in the answer.
    pub bytes_max: usize,
}

impl Looker {
    /// Looks at a partition; `taken` of the answer are records of others. Nothing if that may wait for the disk and
    /// `may_wait` is not set.
    pub fn look(
        &self,
        slot: u32,
        entry: &mut Entry<Handle>,
        taken: Taken,
        signal: Option<&Arc<Signal>>,
        may_wait: bool,
    ) -> Option<Look<FetchedPartition>> {
        // Twice, as a topic may have been deleted and created again.
        for _ in 0..2 {
            let handle = match entry.handle.take() {
                Some(handle) => handle,
                None => match self.find(&entry.topic, entry.index) {
                    Ok(log) => Handle::new(log, signal, slot),
                    Err(code) => return Some(self.refused(entry, code, Marks::UNKNOWN)),
                },
            };
            handle.arm();
            let marks = handle.marks();
            let read = match epoch_error(&handle.log, entry.asked.leader_epoch) {
                Some(code) => Err(code),
                None => match self.read(&handle.log, entry, marks, taken, may_wait) {
                    Ok(Some(outcome)) => Ok(outcome),
                    Ok(None) => {
                        entry.handle = Some(handle);
                        return None;
                    }
                    Err(ReadError::Log(LogError::Deleted { .. })) => continue,
                    Err(error) => {
                        self.report(&handle.log, &error);
                        Err(ErrorCode::from(&error))
                    }
                },
            };
            entry.handle = Some(handle);
            return Some(match read {
                Ok(outcome) => Look { marks, outcome },
                Err(code @ (ErrorCode::FencedLeaderEpoch | ErrorCode::UnknownLeaderEpoch)) => {
                    self.refused(entry, code, Marks::UNKNOWN)
                }
                Err(code) => self.refused(entry, code, marks),
            });
        }
        let code = match entry.topic {
            TopicRef::Id(_) => ErrorCode::UnknownTopicId,
            TopicRef::Name(_) => ErrorCode::UnknownTopicOrPartition,
        };
        Some(self.refused(entry, code, Marks::UNKNOWN))
    }

    fn find(&self, topic: &TopicRef, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        let topics = &self.broker.topics;
        let found = match topic {
            TopicRef::Id(id) => topics.by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
            TopicRef::Name(name) => topics.get(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
        };
        let log = found.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok(Arc::clone(log))
    }

    fn read(
        &self,
        log: &Partition,
        entry: &Entry<Handle>,
        marks: Marks,
        taken: Taken,
        may_wait: bool,
    ) -> Result<Option<Outcome<FetchedPartition>>, ReadError> {
        let from = Offset(entry.asked.offset);
        let limit = if self.committed {
            marks.last_stable
        } else {
            marks.high_watermark
        };
        let limit = Offset(limit);
        let room = usize::try_from(entry.asked.bytes_max)
            .unwrap_or(0)
            .min(self.bytes_max.saturating_sub(taken.bytes));
        let full = room == 0 && taken.bytes > 0 || taken.partitions >= RANGES_MAX;
        if from >= limit || full {
            // Only whether the offset is one of the log.
            log.read(from, 0, from, false)?;
            let more = from < limit;
            return Ok(Some(match more {
                true => Outcome::Later { full: true },
                false => Outcome::Nothing,
            }));
        }
        if !may_wait && log.is_cold(from) {
            return Ok(None);
        }
        let slice = log.read(from, room, limit, taken.bytes == 0)?;
        if slice.is_empty() {
            // Either the next batch is too large for what is left, or compaction has left nothing before the limit.
            let full = taken.bytes > 0;
            return Ok(Some(Outcome::Later { full }));
        }
        let aborted = if self.committed {
            log.aborted_transactions_in(from, &slice)?
        } else {
            Vec::new()
        };
        let (size, more) = (slice.len(), slice.end_offset() < limit);
        let fetched = FetchedPartition {
            aborted,
            ..fetched(entry.index, NONE, marks, Some(slice))
        };
        let content = fetched;
        Ok(Some(Outcome::Records { size, more, content }))
    }

    fn refused(&self, entry: &Entry<Handle>, code: ErrorCode, marks: Marks) -> Look<FetchedPartition> {
        self.broker.metrics.refused_partition(KEY);
        Look {
            marks,
            outcome: Outcome::Failed(fetched(entry.index, code.code(), marks, None)),
        }
    }

    fn report(&self, log: &Partition, error: &ReadError) {
        if !matches!(error, ReadError::OutOfRange { .. })
            && let Some(held) = self.broker.warnings.pass()
        {
            tracing::error!(partition = %log.topic_partition(), %error, held, "cannot read the log");
        }
    }
}

fn fetched(index: i32, error_code: i16, marks: Marks, records: Option<LogSlice>) -> FetchedPartition {
    FetchedPartition {
        index,
        error_code,
        high_watermark: marks.high_watermark,
        last_stable: marks.last_stable,
        log_start: marks.log_start,
        aborted: Vec::new(),
        records,
    }
}
