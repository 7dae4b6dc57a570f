//! Signs of life.
use std::sync::Arc;

use millstream_connect::record::Record;

use super::{Moment, Records};

/// Makes the records that show that a source is alive while its tables do not change (`heartbeat.interval.ms`).
#[derive(Debug)]
pub struct Heartbeats {
    records: Arc<Records>,
}

impl Heartbeats {
    /// Of a source.
    #[must_use]
    pub fn new(records: &Arc<Records>) -> Self {
        Self {
            records: Arc::clone(records),
        }
    }

    /// One.
    #[must_use]
    pub fn record(&self, now: Moment) -> Record {
        let _ = (&self.records, now);
        todo!()
    }
}
