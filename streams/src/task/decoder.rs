//! Records of a task's inputs as rows.
use std::sync::Arc;

use super::InputRecord;
use crate::format::{BATCH_HEADER, FormatError, ROWS_VERSION, RowDecoder, ShuffleCodec, ShuffledRows};
use crate::plan::Shuffle;
use crate::rows::Rows;
use crate::time::{Announcement, CONTROL_VERSION};

pub(super) enum Decoder {
    Rows(Box<RowDecoder>),
    Shuffle(ShuffleDecoder),
}

/// What comes through a repartition topic.
pub(super) struct ShuffleDecoder {
    states: Option<ShuffleCodec>,
    rows: Option<Arc<ShuffledRows>>,
}

pub(super) enum Shuffled {
    States(Rows),
    Rows(Rows),
    Announcement(Announcement),
}

impl ShuffleDecoder {
    pub(super) fn new(shuffle: &Shuffle) -> Self {
        let codec = |spec: &Arc<crate::aggregate::AggregateSpec>| {
            ShuffleCodec::new(spec.state_schema(), spec.fingerprint())
        };
        Self {
            states: shuffle.states.as_ref().map(codec),
            rows: shuffle.rows.clone(),
        }
    }

    pub(super) fn decode(&self, record: &InputRecord<'_>) -> Result<Shuffled, FormatError> {
        let header = record.headers.header(BATCH_HEADER);
        match (header, header.and_then(<[u8]>::first), &self.rows, &self.states) {
            (Some(header), Some(&CONTROL_VERSION), ..) => {
                Announcement::decode(header, record.value).map(Shuffled::Announcement)
            }
            (Some(header), Some(&ROWS_VERSION), Some(rows), _) => {
                rows.decode(header, record.value).map(Shuffled::Rows)
            }
            (header, _, _, Some(states)) => {
                let batch = states.decode(header, record.value)?;
                // Partial states carry the times of their rows themselves.
                let times = vec![record.timestamp; batch.num_rows()];
                Ok(Shuffled::States(Rows::new(batch, times)))
            }
            _ => Err(FormatError::NotABatch { header: BATCH_HEADER }),
        }
    }
}
