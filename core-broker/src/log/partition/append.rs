//! Appending: check, number, write.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{LogPosition, Partition, Rolled, Writer};
use crate::ids::{Offset, Timestamp};
use crate::log::batch::{
    BatchBuilder, BatchError, BatchHeader, Compression, EndMarker, HEADER_BYTES, RecordBatch, Rewrite,
    TimestampType, ValidationRules, rewritten_header,
};
use crate::log::config::{FlushMode, LogConfig};
use crate::log::error::AppendError;
use crate::log::index::{Entry, OffsetEntry, TimeEntry};
use crate::log::lock::{lock, write};
use crate::log::producer_state::{
    Guard, ProducerStates, SequenceError, SequencedBatch, TransactionError, VerificationGuard,
};
use crate::log::segment::Segment;
use crate::log::space::is_full;
use crate::transaction::TransactionMarker;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer.
    Client,
    /// The broker itself, which may write control batches.
    Coordinator,
}

/// Where a batch is now. It is durable when [`Partition::wait_durable`] of the offset after `last_offset`
/// has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// When it was appended, if the topic's timestamps say so.
    pub log_append_time: Option<Timestamp>,
    /// The partition's first offset.
    pub log_start_offset: Offset,
    /// It had been appended before; the offsets are those of then.
    pub duplicate: bool,
}

/// What is known of a batch before the lock is taken.
struct Checked {
    header: BatchHeader,
    max_timestamp: i64,
    /// If the batch ends a transaction.
    marker: Option<EndMarker>,
}

/// Segment files must be addressable by the indexes.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

impl Partition {
    /// Checks one batch of format 2, gives it the next offsets and writes it, without waiting for the disk.
    /// A batch that an idempotent producer sent again is answered with its first offsets.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batch is in the log then.
    pub fn append(&self, batch: Bytes, origin: Origin) -> Result<Appended, AppendError> {
        self.append_within(
            batch,
            origin,
            &mut self.shared.options.decompressed_bytes_max.clone(),
        )
    }

    /// Ends a producer's transaction here. Markers that come again are appended again, without effect.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`] of an older epoch, [`AppendError::CoordinatorFenced`].
    pub fn append_marker(&self, marker: TransactionMarker) -> Result<Appended, AppendError> {
        let end = EndMarker {
            commit: marker.commit,
            coordinator_epoch: marker.coordinator_epoch,
        };
        let now = self.shared.options.clock.now().0;
        let batch = BatchBuilder::end_marker(now, marker.producer_id.0, marker.producer_epoch.0, end);
        self.append(batch, Origin::Coordinator)
    }

    /// Like [`Self::append`], with the transaction coordinator's word for a batch that begins a transaction, decompressing
    /// at most what is left of a budget that several batches share.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batch is in the log then.
    pub fn append_verified(
        &self,
        batch: Bytes,
        origin: Origin,
        guard: Option<VerificationGuard>,
        budget: &mut usize,
    ) -> Result<Appended, AppendError> {
        let guard = guard.map_or(Guard::None, Guard::Verified);
        self.append_guarded(batch, origin, guard, budget)
    }

    /// The same without the coordinator's word.
    pub(crate) fn append_within(
        &self,
        batch: Bytes,
        origin: Origin,
        budget: &mut usize,
    ) -> Result<Appended, AppendError> {
        let guard = match origin {
            Origin::Client => Guard::None,
            Origin::Coordinator => Guard::Trusted,
        };
        self.append_guarded(batch, origin, guard, budget)
    }

    fn append_guarded(
        &self,
        batch: Bytes,
        origin: Origin,
        guard: Guard,
        budget: &mut usize,
    ) -> Result<Appended, AppendError> {
        let config = self.config();
        let Checked {
            header,
            max_timestamp,
            marker,
        } = self.checked(&batch, origin, &config, budget)?;
        let (batch, mut header) = self.in_topics_codec(batch, header, origin, &config)?;
        let mut writer = lock(&self.writer);
        self.check_writable()?;
        let known = writer
            .producers
            .check(&header)
            .map_err(|e| self.sequence_error(&header, e))?;
        if let Some(known) = known {
            return Ok(self.duplicate(&known, &config));
        }
        writer
            .producers
            .check_transaction(&header, marker, guard)
            .map_err(|e| self.transaction_error(&header, marker, e))?;
        let now = self.shared.options.clock.now();
        header.base_offset = writer.end.offset;
        let rewrite = match config.timestamp_type {
            TimestampType::LogAppendTime => Some((TimestampType::LogAppendTime, now.0)),
            TimestampType::CreateTime if header.max_timestamp != max_timestamp => {
                Some((TimestampType::CreateTime, max_timestamp))
            }
            TimestampType::CreateTime => None,
        };
        header.max_timestamp = rewrite.map_or(header.max_timestamp, |(_, timestamp)| timestamp);
        let head = rewritten_header(
            &batch,
            Rewrite {
                base_offset: header.base_offset,
                leader_epoch: self.leader_epoch().0,
                max_timestamp: rewrite,
            },
        );
        let urgent = origin == Origin::Coordinator;
        self.shared
            .admit(header.size() as u64, urgent)
            .map_err(|e| self.write_error(e))?;
        if self.must_roll(&writer, &header, &config, now) {
            self.roll(&mut writer, now).map_err(|e| self.write_error(e))?;
        }
        self.write(&mut writer, &[&head, &batch[HEADER_BYTES..]])?;
        self.commit(&mut writer, &header, marker, &config, now);
        Ok(Appended {
            base_offset: Offset(header.base_offset),
            last_offset: Offset(header.last_offset()),
            log_append_time: (config.timestamp_type == TimestampType::LogAppendTime).then_some(now),
            log_start_offset: self.log_start_offset(),
            duplicate: false,
        })
    }

    /// Everything that can be checked without the lock: the header and the records' greatest timestamp.
    fn checked(
        &self,
        batch: &[u8],
        origin: Origin,
        config: &LogConfig,
        budget: &mut usize,
    ) -> Result<Checked, AppendError> {
        self.check_size(batch.len(), config)?;
        let parsed = RecordBatch::parse(batch).map_err(|e| self.batch_error(e))?;
        let trailing = batch.len() - parsed.size();
        if trailing > 0 {
            return Err(self.batch_error(BatchError::Trailing { trailing }));
        }
        let rules = ValidationRules {
            keys_required: config.compact,
            from_coordinator: origin == Origin::Coordinator,
            decompressed_bytes_max: self.shared.options.decompressed_bytes_max.min(*budget),
        };
        let validated = parsed.validate(&rules);
        if parsed.header().compression() != Ok(Compression::None) {
            *budget -= match &validated {
                Ok(validated) => usize::try_from(validated.payload_bytes).unwrap_or(usize::MAX),
                Err(BatchError::Crc { .. }) => 0,
                // How far it came is not known.
                Err(_) => rules.decompressed_bytes_max,
            }
            .min(*budget);
        }
        let validated = validated.map_err(|e| self.batch_error(e))?;
        self.check_timestamps(batch, &validated, origin, config)?;
        Ok(Checked {
            header: *parsed.header(),
            max_timestamp: validated.max_timestamp,
            marker: parsed.end_marker().map_err(|e| self.batch_error(e))?,
        })
    }

    /// The limits for a batch as it stands in the log.
    pub(super) fn check_size(&self, size: usize, config: &LogConfig) -> Result<(), AppendError> {
        let partition = || self.topic_partition.clone();
        let limit = config.max_message_bytes as usize;
        if size > limit {
            return Err(AppendError::TooLarge {
                partition: partition(),
                size,
                limit,
            });
        }
        let limit = (config.segment_bytes as usize).min(SEGMENT_BYTES_MAX as usize);
        if size > limit {
            return Err(AppendError::LargerThanSegment {
                partition: partition(),
                size,
                limit,
            });
        }
        Ok(())
    }

    pub(super) fn batch_error(&self, source: BatchError) -> AppendError {
        let partition = self.topic_partition.clone();
        match source {
            BatchError::Magic { magic } => AppendError::UnsupportedMagic { partition, magic },
            BatchError::UnknownCompression { codec } => {
                AppendError::UnsupportedCompression { partition, codec }
            }
            BatchError::LogAppendTimeFromClient => AppendError::InvalidTimestamp { partition },
            BatchError::Truncated { .. }
            | BatchError::Length { .. }
            | BatchError::Crc { .. }
            | BatchError::Compression { .. } => AppendError::Corrupt { partition, source },
            _ => AppendError::InvalidRecord { partition, source },
        }
    }

    fn sequence_error(&self, header: &BatchHeader, error: SequenceError) -> AppendError {
        let (partition, producer_id) = (self.topic_partition.clone(), header.producer_id);
        match error {
            SequenceError::OutOfOrder { expected } => AppendError::OutOfOrderSequence {
                partition,
                producer_id,
                expected,
                found: header.base_sequence,
            },
            SequenceError::OldEpoch { current } => AppendError::InvalidProducerEpoch {
                partition,
                producer_id,
                current,
                found: header.producer_epoch,
            },
            SequenceError::Duplicate => AppendError::DuplicateSequence {
                partition,
                producer_id,
                found: header.base_sequence,
            },
        }
    }

    fn transaction_error(
        &self,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        error: TransactionError,
    ) -> AppendError {
        let (partition, producer_id) = (self.topic_partition.clone(), header.producer_id);
        let reason = match error {
            TransactionError::Plain => {
                "it is not transactional, and the producer has a transaction open here"
            }
            TransactionError::Unverified => "the transaction has ended, or the partition was not added to it",
            TransactionError::OldCoordinator { current } => {
                return AppendError::CoordinatorFenced {
                    partition,
                    producer_id,
                    found: marker.map_or(-1, |m| m.coordinator_epoch),
                    current,
                };
            }
        };
        AppendError::InvalidTransactionState {
            partition,
            producer_id,
            reason,
        }
    }

    fn duplicate(&self, known: &SequencedBatch, config: &LogConfig) -> Appended {
        Appended {
            base_offset: Offset(known.base_offset),
            last_offset: Offset(known.last_offset),
            log_append_time: (config.timestamp_type == TimestampType::LogAppendTime)
                .then_some(Timestamp(known.max_timestamp)),
            log_start_offset: self.log_start_offset(),
            duplicate: true,
        }
    }

    fn write_error(&self, source: io::Error) -> AppendError {
        let partition = self.topic_partition.clone();
        match source {
            _ if is_full(&source) => {
                self.shared.space.distrust();
                AppendError::DiskFull { partition, source }
            }
            _ => AppendError::Write { partition, source },
        }
    }

    /// Writes the parts at the end of the active segment, all or nothing.
    fn write(&self, writer: &mut Writer, parts: &[&[u8]; 2]) -> Result<(), AppendError> {
        let file = match &writer.file {
            Some(file) => file.clone(),
            None => {
                let file = writer
                    .active
                    .file(&self.shared.pool)
                    .map_err(|e| self.write_error(e))?;
                writer.file.insert(file).clone()
            }
        };
        if writer.end.position == 0 {
            self.preallocate(&file);
        }
        let mut slices = [IoSlice::new(parts[0]), IoSlice::new(parts[1])];
        let mut rest = &mut slices[..];
        let mut result = Ok(());
        while rest.iter().any(|part| !part.is_empty()) {
            match self.shared.options.disk.append(&file, rest) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        let Err(error) = result else {
            return Ok(());
        };
        // The file may end in half a batch; the next one must not come after it.
        if let Err(truncate) = self.shared.options.disk.truncate(&file, writer.end.position) {
            self.shared.fail(&format!(
                "a partial write to {} ({error}) could not be taken back: {truncate}",
                self.topic_partition
            ));
        }
        Err(self.write_error(error))
    }

    /// Takes the room of a whole segment, if the topic's settings say so and the disk has it to spare. The file's length
    /// stays: it is where the batches end.
    fn preallocate(&self, file: &File) {
        let config = self.config();
        let (disk, space) = (&*self.shared.options.disk, &self.shared.space);
        let bytes = u64::from(config.segment_bytes).min(SEGMENT_BYTES_MAX);
        if !config.preallocate || !space.has_room(&self.shared.root, disk, bytes) {
            return;
        }
        if let Err(error) = disk.preallocate(file, bytes) {
            tracing::warn!(partition = %self.topic_partition, %error, "cannot preallocate a segment; it grows as it is written");
            // Part of it would be of no use; a failure leaves no more than room that nobody has.
            let _ = disk.truncate(file, 0);
        }
        // Less is free than was measured.
        space.distrust();
    }

    /// Makes the written batch part of the log.
    fn commit(
        &self,
        writer: &mut Writer,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        config: &LogConfig,
        now: Timestamp,
    ) {
        self.traffic
            .appended(header.record_count.unsigned_abs().into(), header.size() as u64);
        writer.active.on_append(header, config.index_interval_bytes);
        writer.first_timestamp.get_or_insert(header.max_timestamp);
        writer.producers.update(header, marker, now.0);
        let expiration_ms = self.shared.producer_expiration_ms.load(Ordering::Relaxed);
        writer.producers.expire(now.0, expiration_ms);
        writer.end = LogPosition {
            offset: header.next_offset(),
            segment: writer.active.base_offset(),
            position: writer.active.size(),
        };
        if header.is_transactional() {
            // Before anybody can see the batch.
            self.publish_transactions(&writer.producers);
        }
        self.log_end.store(writer.end.offset, Ordering::Release);
        self.shared
            .bytes_since_checkpoint
            .fetch_add(header.size() as u64, Ordering::Relaxed);
        match config.flush {
            FlushMode::Sync => self.enqueue(),
            FlushMode::Os => {
                if marker.is_some() {
                    self.retire_transactions(writer, writer.end.offset);
                }
                self.advance(writer.end);
            }
        }
    }

    /// Lets readers know where undecided records begin, and how many transactions were aborted.
    pub(super) fn publish_transactions(&self, producers: &ProducerStates) {
        self.aborted.store(producers.aborted().len(), Ordering::Release);
        self.first_unstable
            .store(producers.first_unstable(), Ordering::Release);
    }

    /// Consumers of committed records may pass the transactions whose markers are before `visible`.
    pub(super) fn retire_transactions(&self, writer: &mut Writer, visible: i64) {
        writer.producers.retire(visible);
        let before = self.first_unstable.load(Ordering::Acquire);
        self.publish_transactions(&writer.producers);
        if self.first_unstable.load(Ordering::Acquire) != before {
            self.wake();
        }
    }

    /// Closes the active segment and begins the next. The sync thread makes both durable before anything in
    /// the new one becomes visible.
    pub(super) fn roll(&self, writer: &mut Writer, now: Timestamp) -> io::Result<()> {
        let next = Segment::create(&self.folder, writer.end.offset)?;
        let closed = std::mem::replace(&mut writer.active, next.clone());
        closed.finish_index();
        writer.rolled.push(Rolled {
            segment: closed,
            file: writer.file.take(),
            snapshot: writer.producers.encode(),
            end_offset: writer.end.offset,
            index_written: std::mem::take(&mut writer.index_written),
        });
        writer.end = LogPosition {
            offset: writer.end.offset,
            segment: writer.end.offset,
            position: 0,
        };
        writer.folder_dirty = true;
        writer.first_timestamp = None;
        writer.created_ms = now.0;
        write(&self.segments).push(next);
        self.enqueue();
        if self.high_watermark().0 == writer.end.offset {
            // Nothing in it would have to be synced first. Without a batch to come, nobody else would make it visible.
            self.advance(writer.end);
        }
        Ok(())
    }

    /// Hands the partition to the sync thread.
    pub(super) fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::AcqRel)
            && let Some(me) = self.me.upgrade()
        {
            self.shared.queue.push(me);
        }
    }

    /// Hands the partition to the sync thread after a short rest.
    pub(super) fn enqueue_later(&self) {
        if !self.queued.swap(true, Ordering::AcqRel)
            && let Some(me) = self.me.upgrade()
        {
            self.shared.queue.push_later(me);
        }
    }

    /// Moves the high watermark forward and wakes who waits for it.
    pub(super) fn advance(&self, end: LogPosition) {
        {
            let mut visible = write(&self.visible);
            if (end.offset, end.segment) <= (visible.offset, visible.segment) {
                return;
            }
            *visible = end;
        }
        self.high_watermark.send_if_modified(|offset| {
            let grows = end.offset > *offset;
            *offset = end.offset.max(*offset);
            grows
        });
        self.watchers.tell();
    }

    fn must_roll(&self, writer: &Writer, header: &BatchHeader, config: &LogConfig, now: Timestamp) -> bool {
        let size = writer.end.position;
        if size == 0 {
            return false;
        }
        let limit = u64::from(config.segment_bytes).min(SEGMENT_BYTES_MAX);
        // By event time, as Kafka does, so that a replay of old records is cut like the original.
        let age = match writer.first_timestamp {
            Some(first) if first >= 0 && header.max_timestamp >= 0 => {
                header.max_timestamp.saturating_sub(first)
            }
            _ => now.0.saturating_sub(writer.created_ms),
        };
        let segment_ms = config.segment_ms - self.jitter_ms(writer.active.base_offset(), config);
        // What must be compacted soon must not stay in the segment that never is.
        let age_max = match config.compact {
            true => segment_ms.min(config.max_compaction_lag_ms),
            false => segment_ms,
        };
        size + header.size() as u64 > limit
            || age > age_max
            || header.last_offset() - writer.active.base_offset() > i64::from(i32::MAX)
            || writer.active.index_lens().is_some_and(|(offsets, times)| {
                let fills = |entries: usize, bytes: usize| {
                    entries > 0 && entries >= config.segment_index_bytes as usize / bytes
                };
                fills(offsets, OffsetEntry::BYTES) || fills(times, TimeEntry::BYTES)
            })
    }

    /// What a segment loses of its age, so that logs begun together do not all roll together. It is found from the names,
    /// so that a restart does not change it.
    fn jitter_ms(&self, base: i64, config: &LogConfig) -> i64 {
        let most = config.segment_jitter_ms.min(config.segment_ms);
        if most <= 0 {
            return 0;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        (
            self.topic_partition.topic.as_str(),
            self.topic_partition.partition.0,
            base,
        )
            .hash(&mut hasher);
        (hasher.finish() % most.unsigned_abs()).cast_signed()
    }
}
