//! Which records are too old or too many: where a log should begin.
//!
//! Does not own: when that is looked at and what follows (`upkeep`, `trim`).
//! Rules, as Kafka's: whole segments go from the front while they end at or before the high watermark and the youngest
//! record is older than `retention.ms`, or while the rest has `retention.bytes`. A segment without timestamps is as old as
//! its file.

use std::fs;
use std::io;
use std::time::UNIX_EPOCH;

use super::partition::{Partition, Span};

/// What retention wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The log is to begin here.
    pub(crate) start: i64,
    /// That is its end: the segment being written must be closed first.
    pub(crate) roll: bool,
}

/// Where the log is to begin, if later than it does.
pub(crate) fn due(partition: &Partition, now_ms: i64) -> io::Result<Option<Due>> {
    let config = partition.config();
    if !config.delete || config.retention_ms < 0 && config.retention_bytes < 0 {
        return Ok(None);
    }
    let spans = partition.spans();
    let visible = partition.high_watermark().0;
    let total: u64 = spans.iter().map(|span| span.segment.size()).sum();
    let mut excess = u64::try_from(config.retention_bytes)
        .ok()
        .map(|most| total.saturating_sub(most));
    let log_start = partition.log_start_offset().0;
    let mut due = Due {
        start: log_start,
        roll: false,
    };
    for span in &spans {
        let size = span.segment.size();
        let end = span.next.unwrap_or_else(|| partition.log_end_offset().0);
        if end > visible || span.next.is_none() && size == 0 {
            break;
        }
        let too_many = excess.is_some_and(|excess| excess >= size && total > 0);
        let too_old = || -> io::Result<bool> {
            Ok(config.retention_ms >= 0
                && now_ms.saturating_sub(youngest(partition, span)?) > config.retention_ms)
        };
        if end > log_start && !too_many && !too_old()? {
            break;
        }
        if let Some(excess) = &mut excess {
            *excess = excess.saturating_sub(size);
        }
        due.start = due.start.max(end);
        due.roll = span.next.is_none();
    }
    Ok((due.start > log_start || due.roll).then_some(due))
}

/// When the segment's youngest record was made, in milliseconds.
fn youngest(partition: &Partition, span: &Span) -> io::Result<i64> {
    match partition.greatest_timestamp(&span.segment) {
        Ok(greatest) if greatest >= 0 => return Ok(greatest),
        // A damaged segment must not keep the whole log for ever.
        Err(error) if error.kind() == io::ErrorKind::Other => {
            tracing::warn!(%error, "a segment's timestamps cannot be read; its age is that of its file");
        }
        found => drop(found?),
    }
    let modified = fs::metadata(span.segment.path("log"))?.modified()?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
