//! What a topic's settings make of a producer's batch before it is stored: its codec, and which timestamps it may have.

use bytes::Bytes;

use super::{Origin, Partition};
use crate::ids::Timestamp;
use crate::log::batch::{BatchHeader, Compression, RecordBatch, TimestampType, Validated, recompressed};
use crate::log::config::LogConfig;
use crate::log::error::AppendError;

/// Records named in one refusal; a client needs to know a few to find out what is wrong.
const NAMED_MAX: usize = 100;
/// A record without a timestamp.
const NO_TIMESTAMP: i64 = -1;

impl Partition {
    /// Refuses records that are too old or too far ahead of the broker's clock, unless it sets the time itself.
    pub(super) fn check_timestamps(
        &self,
        batch: &[u8],
        validated: &Validated,
        origin: Origin,
        config: &LogConfig,
    ) -> Result<(), AppendError> {
        if origin != Origin::Client || config.timestamp_type == TimestampType::LogAppendTime {
            return Ok(());
        }
        let Timestamp(now) = self.shared.options.clock.now();
        let oldest = now.saturating_sub(config.timestamp_before_max_ms);
        let newest = now.saturating_add(config.timestamp_after_max_ms);
        let fits = |timestamp| timestamp == NO_TIMESTAMP || (oldest..=newest).contains(&timestamp);
        if validated.min_timestamp.is_none_or(|least| least >= oldest) && validated.max_timestamp <= newest {
            return Ok(());
        }
        let read = || {
            let records = RecordBatch::parse(batch)?.records(self.shared.options.decompressed_bytes_max)?;
            let mut outside = Vec::new();
            for record in &records {
                let record = record?;
                if !fits(record.timestamp) && outside.len() < NAMED_MAX {
                    outside.push(record.offset_delta);
                }
            }
            Ok(outside)
        };
        let records = read().map_err(|source| self.batch_error(source))?;
        Err(AppendError::TimestampOutOfRange {
            partition: self.topic_partition.clone(),
            records,
            oldest,
            newest,
        })
    }

    /// The batch in the topic's codec, and its header.
    pub(super) fn in_topics_codec(
        &self,
        batch: Bytes,
        header: BatchHeader,
        origin: Origin,
        config: &LogConfig,
    ) -> Result<(Bytes, BatchHeader), AppendError> {
        let wanted = config.compression.filter(|_| origin == Origin::Client);
        let Some(codec) = wanted.filter(|codec| header.compression() != Ok(*codec)) else {
            return Ok((batch, header));
        };
        let level = match codec {
            Compression::Gzip => Some(config.gzip_level),
            Compression::Zstd => Some(config.zstd_level),
            Compression::Lz4 => Some(config.lz4_level),
            Compression::None | Compression::Snappy => None,
        };
        let limit = self.shared.options.decompressed_bytes_max;
        let stored = RecordBatch::parse(&batch).and_then(|batch| recompressed(&batch, codec, level, limit));
        let stored = stored.map_err(|source| self.batch_error(source))?;
        self.check_size(stored.len(), config)?;
        let header = BatchHeader::parse(&stored).map_err(|source| self.batch_error(source))?;
        Ok((stored.into(), header))
    }
}
