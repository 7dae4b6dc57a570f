//! The fixed header of a batch: parsing and rewriting.

use super::compression::Compression;
use super::error::BatchError;

/// Size of the header, after which the records start.
pub const HEADER_BYTES: usize = 61;
/// Base offset and length, which the length field does not count.
pub(crate) const LENGTH_PREFIX_BYTES: usize = 12;
const LENGTH_MIN: i32 = (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
/// The first byte that the CRC covers.
pub(crate) const CRC_FROM: usize = ATTRIBUTES_AT;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const RECORD_COUNT_AT: usize = 57;

pub(super) const COMPRESSION_MASK: i16 = 0b111;
const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Who sets the timestamps of records (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The broker, when it appends.
    LogAppendTime,
}

/// The header's fields as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after the length field.
    pub length: i32,
    /// Leader epoch under which the batch was appended.
    pub partition_leader_epoch: i32,
    /// CRC-32C from the attributes on.
    pub crc: u32,
    /// Bit field: compression, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset; compaction keeps it when it removes records.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas start from.
    pub base_timestamp: i64,
    /// The greatest timestamp of the records.
    pub max_timestamp: i64,
    /// Producer, or −1.
    pub producer_id: i64,
    /// Its epoch, or −1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or −1.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Length`] or [`BatchError::Magic`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic byte is looked at first: message sets of formats 0 and 1 are shorter and keep it at the same place.
        if let Some(&magic) = bytes.get(16)
            && magic != 2
        {
            return Err(BatchError::Magic { magic: magic as i8 });
        }
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BatchError::Truncated {
            needed: HEADER_BYTES,
            have: bytes.len(),
        })?;
        let header = Self {
            base_offset: i64::from_be_bytes(field(head, 0)),
            length: i32::from_be_bytes(field(head, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(head, 12)),
            crc: u32::from_be_bytes(field(head, CRC_AT)),
            attributes: i16::from_be_bytes(field(head, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(head, 23)),
            base_timestamp: i64::from_be_bytes(field(head, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(head, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(head, 43)),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            record_count: i32::from_be_bytes(field(head, RECORD_COUNT_AT)),
        };
        if header.length < LENGTH_MIN {
            return Err(BatchError::Length {
                length: header.length,
            });
        }
        Ok(header)
    }

    /// Size of the whole batch in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_BYTES + self.length as usize
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence of the last record; it wraps to 0 after `i32::MAX`.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        crate::log::producer_state::sequence_plus(self.base_sequence, self.last_offset_delta)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`].
    pub fn compression(&self) -> Result<Compression, BatchError> {
        Compression::from_bits((self.attributes & COMPRESSION_MASK) as u8)
    }

    /// Who set the timestamps.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it holds a transaction marker or other control record.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the delete horizon that compaction set.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Whether an idempotent producer wrote it.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// What a batch in a log must fulfil beyond [`BatchHeader::parse`]; guards recovery against garbage.
    pub(crate) fn check_stored(&self) -> Result<(), BatchError> {
        if self.base_offset < 0 {
            return Err(BatchError::Field {
                field: "base offset",
                value: self.base_offset,
                expected: "0 or more",
            });
        }
        if self.last_offset_delta < 0 || self.record_count < 0 {
            return Err(BatchError::Count {
                count: self.record_count,
                last_offset_delta: self.last_offset_delta,
            });
        }
        if self.base_offset > i64::MAX - i64::from(i32::MAX) - 1 {
            return Err(BatchError::Field {
                field: "base offset",
                value: self.base_offset,
                expected: "below the greatest offset",
            });
        }
        Ok(())
    }
}

/// CRC-32C of a batch of at least [`HEADER_BYTES`].
pub(crate) fn crc_of(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[CRC_FROM..])
}

/// What the broker writes into the header when it appends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    /// Set when the greatest timestamp or its type changes, which costs a new CRC.
    pub(crate) max_timestamp: Option<(TimestampType, i64)>,
}

/// The header of `batch` with `rewrite` applied; the records stay as they are.
pub(crate) fn rewritten_header(batch: &[u8], rewrite: Rewrite) -> [u8; HEADER_BYTES] {
    let mut head = [0; HEADER_BYTES];
    head.copy_from_slice(&batch[..HEADER_BYTES]);
    head[..8].copy_from_slice(&rewrite.base_offset.to_be_bytes());
    head[12..16].copy_from_slice(&rewrite.leader_epoch.to_be_bytes());
    if let Some((kind, timestamp)) = rewrite.max_timestamp {
        let mut attributes = i16::from_be_bytes(field(&head, ATTRIBUTES_AT));
        match kind {
            TimestampType::CreateTime => attributes &= !TIMESTAMP_TYPE_BIT,
            TimestampType::LogAppendTime => attributes |= TIMESTAMP_TYPE_BIT,
        }
        head[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
        head[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[CRC_FROM..]), &batch[HEADER_BYTES..]);
        head[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
    head
}
