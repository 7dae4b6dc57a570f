//! The time that records are given, which is when they were read, as with Kafka's connector.
use std::time::UNIX_EPOCH;

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a record's time is shown to users; nothing is decided by it"
)]
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
