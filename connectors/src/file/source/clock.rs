//! The time of day: by it what is stored says since when a file is gone, and a file's last change is told from one just now.
use std::time::UNIX_EPOCH;

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "what files and offsets say of time is of this clock"
)]
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
