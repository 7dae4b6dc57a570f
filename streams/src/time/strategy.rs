//! What the user says about event time.
use std::fmt;
use std::time::Duration;

use datafusion::logical_expr::Expr;

/// How long a partition may be silent before others no longer wait for it, unless told.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// Where event time comes from, how far out of order it may be, and when a silent partition is idle.
/// Made by [`bounded`] and [`record_time`]; taken by [`Stream::watermark`](crate::Stream::watermark).
#[derive(Debug, Clone)]
pub struct WatermarkStrategy {
    /// The event time's column; none is the record's timestamp.
    pub(crate) time: Option<Expr>,
    pub(crate) out_of_orderness: Duration,
    pub(crate) idle_after: Option<Duration>,
}

/// Event time is `time`, a timestamp or an integer in milliseconds since 1970; rows may come up to `out_of_orderness` after a
/// row with a later time without being late.
///
/// ```
/// use std::time::Duration;
/// use millstream_streams::{bounded, col};
/// let strategy = bounded(col("at"), Duration::from_secs(4)).idle_after(Duration::from_secs(30));
/// ```
pub fn bounded(time: Expr, out_of_orderness: Duration) -> WatermarkStrategy {
    WatermarkStrategy {
        time: Some(time),
        out_of_orderness,
        idle_after: Some(IDLE_AFTER),
    }
}

/// Event time is the timestamp of the record, as in Kafka Streams. Streams without a strategy of their own have this one
/// with no out-of-orderness.
///
/// ```
/// use std::time::Duration;
/// let strategy = millstream_streams::record_time(Duration::from_secs(1));
/// ```
pub fn record_time(out_of_orderness: Duration) -> WatermarkStrategy {
    WatermarkStrategy {
        time: None,
        out_of_orderness,
        idle_after: Some(IDLE_AFTER),
    }
}

impl WatermarkStrategy {
    /// A partition from which nothing comes for so long, and in which nothing is left to read, no longer holds up the others;
    /// 10 s unless told.
    ///
    /// ```
    /// use std::time::Duration;
    /// let strategy = millstream_streams::record_time(Duration::ZERO).idle_after(Duration::from_secs(60));
    /// ```
    pub fn idle_after(mut self, silence: Duration) -> Self {
        self.idle_after = Some(silence);
        self
    }

    /// All partitions are waited for, however long they are silent.
    ///
    /// ```
    /// use std::time::Duration;
    /// let strategy = millstream_streams::record_time(Duration::ZERO).never_idle();
    /// ```
    pub fn never_idle(mut self) -> Self {
        self.idle_after = None;
        self
    }
}

impl fmt::Display for WatermarkStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.time {
            Some(time) => write!(f, "{time}")?,
            None => f.write_str("record time")?,
        }
        write!(f, " - {:?}", self.out_of_orderness)
    }
}
