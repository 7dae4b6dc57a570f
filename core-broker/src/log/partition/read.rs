//! Reading: by offset, by time.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{LogPosition, Partition};
use crate::ids::{Offset, Timestamp};
use crate::log::batch::{BatchHeader, RecordBatch};
use crate::log::error::{LogError, ReadError};
use crate::log::lock::read;
use crate::log::segment::{HeaderScan, ScanError, Segment};
use crate::log::slice::LogSlice;
use crate::log::txn_index::AbortedTransaction;

impl Partition {
    /// Whole batches from the one that holds `offset` on, of one segment, up to `max_bytes`. Nothing at or
    /// beyond `limit` or the high watermark. With `at_least_one`, the first batch comes whatever its size.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the log start and beyond the log end.
    pub fn read(
        &self,
        offset: Offset,
        max_bytes: usize,
        limit: Offset,
        at_least_one: bool,
    ) -> Result<LogSlice, ReadError> {
        self.check_readable()?;
        self.check_range(offset)?;
        let pool = &self.shared.pool;
        let mut from = offset.0;
        while let Some((segment, next)) = self.segment_of(from) {
            let visible = self.visible();
            let limit = limit.0.min(visible.offset);
            if from >= limit {
                break;
            }
            let found = (|| {
                let end = self.end_of(&segment, next, limit, visible)?;
                let Some((start, first)) = segment.locate(pool, offset.0, end)? else {
                    return Ok(None);
                };
                let target = start.saturating_add(max_bytes as u64);
                let (mut stop, mut before) = segment.boundary(pool, start, target, end)?;
                if stop == start && at_least_one {
                    stop = start + first.size() as u64;
                    before = Some(first.next_offset());
                }
                if stop == start {
                    return Ok(Some(LogSlice::default()));
                }
                let file = segment.file(pool)?;
                let slice = LogSlice::new(file, start, (stop - start) as usize);
                // Where nothing cut it short, it reaches to the limit or to the end of the segment.
                let before = before.unwrap_or_else(|| next.map_or(limit, |next| next.min(limit)));
                let slice = slice.ending_before(Offset(before));
                Ok(Some(slice.counted_by(self.traffic.clone())))
            })();
            // The folder may have gone, and another of the same name come, while files were opened.
            self.check_readable()?;
            if self.was_replaced(&segment)? {
                // Perhaps it was deleted.
                self.check_range(offset)?;
                continue;
            }
            if let Some(slice) = found.map_err(|e| read_error(&segment, e))? {
                return Ok(slice);
            }
            // Compaction may have left nothing at the end of a segment.
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(LogSlice::default())
    }

    /// The aborted transactions that a consumer of committed records must know of to read `slice`, which begins with the
    /// batch of `from`. There may be some more, which begin right behind it: a consumer meets none of their records.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`], if the log has begun behind `from` meanwhile: what was aborted before that is forgotten.
    pub fn aborted_transactions_in(
        &self,
        from: Offset,
        slice: &LogSlice,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let aborted = self.aborted_transactions(from, slice.end_offset());
        // The start is raised before anything is forgotten, so that this look sees it.
        self.check_range(from)?;
        Ok(aborted)
    }

    /// True if `offset` is not in the segment being written, so that reading there may wait for the disk.
    pub(crate) fn is_cold(&self, offset: Offset) -> bool {
        offset.0 < read(&self.visible).segment
    }

    /// The first record that is not older than `timestamp`, below the high watermark.
    ///
    /// # Errors
    /// [`ReadError`], if the log cannot be read.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.check_readable()?;
        let log_start = self.log_start_offset().0;
        let mut from = Some(log_start);
        while let Some((segment, next)) = from.and_then(|from| self.segment_of(from)) {
            let visible = self.visible();
            let found = self.find_time(&segment, next, timestamp.0, visible, log_start);
            self.check_readable()?;
            if self.was_replaced(&segment)? {
                continue;
            }
            if let Some(found) = found.map_err(|e| read_error(&segment, e))? {
                return Ok(Some(found));
            }
            from = next.filter(|next| *next < visible.offset);
        }
        Ok(None)
    }

    /// The record with the greatest timestamp below the high watermark, the first of them. Nothing if no
    /// record has a timestamp.
    ///
    /// # Errors
    /// [`ReadError`], if the log cannot be read.
    pub fn max_timestamp(&self) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.check_readable()?;
        let log_start = self.log_start_offset().0;
        let pool = &self.shared.pool;
        let mut greatest = -1;
        let mut from = Some(log_start);
        while let Some((segment, next)) = from.and_then(|from| self.segment_of(from)) {
            let visible = self.visible();
            let found = (|| {
                let end = self.end_of(&segment, next, visible.offset, visible)?;
                let start = if log_start > segment.base_offset() {
                    segment
                        .locate(pool, log_start, end)?
                        .map_or(end, |(start, _)| start)
                } else {
                    0
                };
                if start == end {
                    Ok(-1)
                } else {
                    segment.max_timestamp(pool, start, end)
                }
            })();
            self.check_readable()?;
            if self.was_replaced(&segment)? {
                continue;
            }
            greatest = greatest.max(found.map_err(|e| read_error(&segment, e))?);
            from = next.filter(|next| *next < visible.offset);
        }
        if greatest < 0 {
            return Ok(None);
        }
        self.offset_for_timestamp(Timestamp(greatest))
    }

    /// What consumers may see. Asked after the segment was found: one that compaction has put there would otherwise be taken
    /// for the one being written, which had its name before and was longer.
    fn visible(&self) -> LogPosition {
        *read(&self.visible)
    }

    fn check_range(&self, offset: Offset) -> Result<(), ReadError> {
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        if offset < log_start || offset > log_end {
            return Err(ReadError::OutOfRange {
                partition: self.topic_partition.clone(),
                offset,
                log_start,
                log_end,
            });
        }
        Ok(())
    }

    fn check_readable(&self) -> Result<(), LogError> {
        self.check_not_deleted()?;
        self.shared.check_open()
    }

    /// The segment whose offsets hold `offset`, and the base offset of the one after it.
    fn segment_of(&self, offset: i64) -> Option<(Arc<Segment>, Option<i64>)> {
        let segments = read(&self.segments);
        let after = segments.partition_point(|s| s.base_offset() <= offset);
        let segment = segments.get(after.saturating_sub(1))?.clone();
        let next = segments.get(after.max(1)).map(|s| s.base_offset());
        Some((segment, next))
    }

    /// Where batches at or beyond `limit` begin in the segment.
    fn end_of(
        &self,
        segment: &Arc<Segment>,
        next: Option<i64>,
        limit: i64,
        visible: LogPosition,
    ) -> Result<u64, ScanError> {
        let base = segment.base_offset();
        if base > visible.segment {
            return Ok(0);
        }
        let end = if base == visible.segment {
            visible.position
        } else {
            segment.size()
        };
        if limit >= visible.offset || next.is_some_and(|next| next <= limit) {
            return Ok(end);
        }
        Ok(segment
            .locate(&self.shared.pool, limit, end)?
            .map_or(end, |(position, _)| position))
    }

    fn find_time(
        &self,
        segment: &Arc<Segment>,
        next: Option<i64>,
        timestamp: i64,
        visible: LogPosition,
        log_start: i64,
    ) -> Result<Option<(Offset, Timestamp)>, ScanError> {
        let end = self.end_of(segment, next, visible.offset, visible)?;
        let Some(mut scan) = segment.scan_time(&self.shared.pool, timestamp, end)? else {
            return Ok(None);
        };
        while let Some((position, header)) = scan.next()? {
            if header.max_timestamp < timestamp || header.last_offset() < log_start {
                continue;
            }
            if let Some(found) = self.find_time_in_batch(&scan, position, &header, timestamp, log_start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_time_in_batch(
        &self,
        scan: &HeaderScan,
        position: u64,
        header: &BatchHeader,
        timestamp: i64,
        log_start: i64,
    ) -> Result<Option<(Offset, Timestamp)>, ScanError> {
        // The scan has checked that the file is that long.
        let mut bytes = vec![0; header.size()];
        scan.file().read_exact_at(&mut bytes, position)?;
        let corrupt = |source| ScanError::Corrupt { position, source };
        let batch = RecordBatch::parse(&bytes).map_err(corrupt)?;
        let records = batch
            .records(self.shared.options.decompressed_bytes_max)
            .map_err(corrupt)?;
        for record in &records {
            let record = record.map_err(corrupt)?;
            if record.timestamp >= timestamp && record.offset >= log_start {
                return Ok(Some((Offset(record.offset), Timestamp(record.timestamp))));
            }
        }
        Ok(None)
    }
}

fn read_error(segment: &Segment, error: ScanError) -> ReadError {
    match error {
        ScanError::Io(source) => LogError::io(segment.path("log"))(source).into(),
        ScanError::Corrupt { position, source } => ReadError::Corrupt {
            file: segment.path("log"),
            position,
            source,
        },
    }
}
