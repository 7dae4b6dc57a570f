//! Batches of partial states on repartition topics.
//!
//! Version 1 of a record: the header `millstream-batch` holds the version (1 byte) and the schema fingerprint (8
//! bytes, big-endian); the value holds the length of the Arrow IPC message (4 bytes, little-endian), the message, and its
//! body. The schema itself does not travel. On the wire, views are plain strings and binaries: smaller, and
//! without the buffers of rows that went elsewhere.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::Buffer;
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};

use super::FormatError;
use super::placement::KEY_ENCODING_VERSION;

/// The header that marks a batch.
pub(crate) const BATCH_HEADER: &str = "millstream-batch";

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;

/// Encodes and decodes the batches of one schema.
#[derive(Debug)]
pub(crate) struct ShuffleCodec {
    schema: SchemaRef,
    wire: SchemaRef,
    fingerprint: u64,
}

impl ShuffleCodec {
    pub(crate) fn new(schema: SchemaRef, fingerprint: u64) -> Self {
        let plain = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
            DataType::BinaryView => field.as_ref().clone().with_data_type(DataType::Binary),
            _ => field.as_ref().clone(),
        };
        let wire = Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()));
        Self {
            schema,
            wire,
            fingerprint,
        }
    }

    /// The value of the [`BATCH_HEADER`].
    pub(crate) fn header(&self) -> [u8; 9] {
        let mut header = [VERSION; 9];
        header[1..].copy_from_slice(&self.fingerprint.to_be_bytes());
        header
    }

    /// Encodes the given rows of `batch` as record values of at most `bytes_max` bytes, one call of `each` a value.
    pub(crate) fn encode(
        &self,
        batch: &RecordBatch,
        rows: &[u32],
        bytes_max: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let taken = take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?;
        let columns = taken.columns().iter().zip(self.wire.fields());
        let columns = columns
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<_, _>>()?;
        self.encode_wire(
            &RecordBatch::try_new(Arc::clone(&self.wire), columns)?,
            bytes_max,
            each,
        )
    }

    fn encode_wire(
        &self,
        batch: &RecordBatch,
        bytes_max: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let rows = batch.num_rows();
        let (_, encoded) = IpcDataGenerator::default().encode(
            batch,
            &mut DictionaryTracker::new(false),
            &IpcWriteOptions::default(),
            &mut IpcWriteContext::default(),
        )?;
        let bytes = LENGTH_BYTES + encoded.ipc_message.len() + encoded.arrow_data.len();
        if bytes <= bytes_max {
            let length = u32::try_from(encoded.ipc_message.len()).map_err(|_| FormatError::Damaged {
                reason: format!("an IPC message of {} bytes", encoded.ipc_message.len()),
            })?;
            let mut value = Vec::with_capacity(bytes);
            value.extend(length.to_le_bytes());
            value.extend(&encoded.ipc_message);
            value.extend(&encoded.arrow_data);
            return each(&value);
        }
        if rows <= 1 {
            return Err(FormatError::RowTooLarge { bytes, bytes_max });
        }
        // As many pieces as the size asks for, and at least two.
        let piece = (rows * bytes_max / bytes).clamp(1, rows.div_ceil(2));
        for start in (0..rows).step_by(piece) {
            self.encode_wire(&batch.slice(start, piece.min(rows - start)), bytes_max, each)?;
        }
        Ok(())
    }

    /// The batch of a record.
    pub(crate) fn decode(
        &self,
        header: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<RecordBatch, FormatError> {
        let damaged = |reason: &str| FormatError::Damaged {
            reason: reason.to_owned(),
        };
        let header = header.ok_or(FormatError::NotABatch { header: BATCH_HEADER })?;
        match header.split_first() {
            Some((&VERSION, fingerprint)) => {
                let bytes = fingerprint
                    .try_into()
                    .map_err(|_| damaged("its header is not 9 bytes long"))?;
                let actual = u64::from_be_bytes(bytes);
                if actual != self.fingerprint {
                    return Err(FormatError::Fingerprint {
                        actual,
                        expected: self.fingerprint,
                    });
                }
            }
            Some((&actual, _)) => {
                return Err(FormatError::Version {
                    actual,
                    known: VERSION,
                });
            }
            None => return Err(damaged("its header is empty")),
        }
        let value = value.ok_or_else(|| damaged("it has no value"))?;
        let (length, rest) = value
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| damaged("it is cut short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (message, body) = rest
            .split_at_checked(length)
            .ok_or_else(|| damaged("it is cut short"))?;
        self.decode_wire(message, body)
    }

    fn decode_wire(&self, message: &[u8], body: &[u8]) -> Result<RecordBatch, FormatError> {
        let damaged = |reason: String| FormatError::Damaged { reason };
        let message = root_as_message(message).map_err(|cause| damaged(cause.to_string()))?;
        let header = message
            .header_as_record_batch()
            .ok_or_else(|| damaged("it is not a record batch".to_owned()))?;
        let body = Buffer::from(body);
        let wire = Arc::clone(&self.wire);
        let batch = read_record_batch(&body, header, wire, &HashMap::new(), None, &message.version())
            .map_err(|cause| damaged(cause.to_string()))?;
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// Names a schema of partial states and their meaning: FNV-1a over its text.
pub(crate) fn fingerprint(schema: &Schema, keys: usize, aggregates: &[String]) -> u64 {
    let mut text = format!("v{KEY_ENCODING_VERSION}|{keys}");
    for field in schema.fields() {
        text.push_str(&format!("|{}:{}", field.name(), field.data_type()));
    }
    for aggregate in aggregates {
        text.push_str(&format!("|{aggregate}"));
    }
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
