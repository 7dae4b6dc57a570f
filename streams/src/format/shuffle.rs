//! Batches of partial states on repartition topics.
//!
//! Version 1 of a record: the header `millstream-batch` holds the version (1 byte) and the schema fingerprint (8
//! bytes, big-endian); the value holds the CRC-32C of what follows (4 bytes, little-endian), the length of the Arrow IPC
//! message (4 bytes, little-endian), the message, and its body. The checksum is there because Arrow's reader trusts its
//! input further than a decoder may. The schema itself does not travel. On the wire, views, also those inside lists and
//! structs, are plain strings and binaries: smaller, and without the buffers of rows that went elsewhere, so that a batch cut
//! in pieces becomes smaller records.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::Buffer;
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{Buffer as IpcBuffer, Message, RecordBatch as IpcBatch, root_as_message};

use super::FormatError;
use super::placement::KEY_ENCODING_VERSION;
use crate::rows::column_bytes;

/// The header that marks a batch.
pub(crate) const BATCH_HEADER: &str = "millstream-batch";

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;

/// Encodes and decodes the batches of one schema.
#[derive(Debug)]
pub(crate) struct ShuffleCodec {
    schema: SchemaRef,
    wire: SchemaRef,
    fingerprint: u64,
}

/// What records may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordBytes {
    /// Batches are cut in pieces of this size.
    pub(crate) piece: usize,
    /// What one row that is larger may take.
    pub(crate) row: usize,
}

/// A buffer of a column in a message: what it is padded and described with.
const BUFFER_BYTES: usize = 64 + 16;
/// Buffers of a column, or of a column in it, at most.
const COLUMN_BUFFERS: usize = 4;
/// What a message takes besides its columns.
const MESSAGE_BYTES: usize = 512;

/// Takes a record value, and how many rows are in it.
type Counted<'a> = dyn FnMut(usize, &[u8]) -> Result<(), FormatError> + 'a;

impl ShuffleCodec {
    pub(crate) fn new(schema: SchemaRef, fingerprint: u64) -> Self {
        let wire = Arc::new(Schema::new(
            schema.fields().iter().map(plain_field).collect::<Vec<_>>(),
        ));
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
        let bytes_max = RecordBytes {
            piece: bytes_max,
            row: bytes_max,
        };
        self.encode_counted(batch, rows, bytes_max, &mut |_, value| each(value))
    }

    /// What a record of all rows of `batch` takes at most.
    pub(crate) fn bytes_at_most(&self, batch: &RecordBatch) -> usize {
        let columns = batch.columns().iter().map(|column| {
            let data_type = column.data_type();
            let own = match data_type.is_nested() && plain(data_type) != *data_type {
                // What lies behind views in a list is not counted one by one.
                true => column.get_array_memory_size(),
                false => column_bytes(column),
            };
            own + parts(data_type) * COLUMN_BUFFERS * BUFFER_BYTES
        });
        MESSAGE_BYTES + columns.sum::<usize>()
    }

    /// As [`encode`](Self::encode); says of each value how many rows are in it, and lets one row be larger than a piece.
    pub(crate) fn encode_counted(
        &self,
        batch: &RecordBatch,
        rows: &[u32],
        bytes_max: RecordBytes,
        each: &mut Counted<'_>,
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
        bytes_max: RecordBytes,
        each: &mut Counted<'_>,
    ) -> Result<(), FormatError> {
        let rows = batch.num_rows();
        let (_, encoded) = IpcDataGenerator::default().encode(
            batch,
            &mut DictionaryTracker::new(false),
            &IpcWriteOptions::default(),
            &mut IpcWriteContext::default(),
        )?;
        let bytes = CHECKSUM_BYTES + LENGTH_BYTES + encoded.ipc_message.len() + encoded.arrow_data.len();
        let fits = match rows {
            0 | 1 => bytes_max.row.max(bytes_max.piece),
            _ => bytes_max.piece,
        };
        if bytes <= fits {
            let length = u32::try_from(encoded.ipc_message.len()).map_err(|_| FormatError::Damaged {
                reason: format!("an IPC message of {} bytes", encoded.ipc_message.len()),
            })?;
            let mut value = Vec::with_capacity(bytes);
            value.extend([0; CHECKSUM_BYTES]);
            value.extend(length.to_le_bytes());
            value.extend(&encoded.ipc_message);
            value.extend(&encoded.arrow_data);
            let checksum = crc32c::crc32c(&value[CHECKSUM_BYTES..]);
            value[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
            return each(rows, &value);
        }
        if rows <= 1 {
            let key = None;
            return Err(FormatError::RowTooLarge {
                key,
                bytes,
                bytes_max: fits,
            });
        }
        // As many pieces as the size asks for, and at least two.
        let piece = (rows * bytes_max.piece / bytes).clamp(1, rows.div_ceil(2));
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
        let (checksum, rest) = value
            .split_first_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| damaged("it is cut short"))?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum is wrong"));
        }
        let (length, rest) = rest
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
        check_layout(&message, &header, body.len())?;
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

/// The type on the wire: every view, however deep, is a plain string or binary.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

/// A column and those that are in it.
fn parts(data_type: &DataType) -> usize {
    let within = match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => parts(item.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| parts(field.data_type())).sum(),
        _ => 0,
    };
    1 + within
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())))
}

/// Arrow's reader takes the places of buffers on trust.
fn check_layout(message: &Message<'_>, header: &IpcBatch<'_>, body: usize) -> Result<(), FormatError> {
    let fits = |buffer: &IpcBuffer| {
        let (start, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let end = start
            .ok()
            .zip(length.ok())
            .and_then(|(start, length)| start.checked_add(length));
        end.is_some_and(|end| end <= body)
    };
    let whole = usize::try_from(message.bodyLength()) == Ok(body);
    if whole && header.buffers().into_iter().flatten().all(fits) && header.compression().is_none() {
        return Ok(());
    }
    Err(FormatError::Damaged {
        reason: "its body is not what its message says".to_owned(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use proptest::prelude::*;

    fn batch(rows: usize) -> RecordBatch {
        let words: StringViewArray = (0..rows)
            .map(|row| (row % 5 != 4).then(|| format!("{row}-{}", "x".repeat(row % 23))))
            .collect();
        let counts: Int64Array = (0..rows as i64).map(Some).collect();
        let columns: [(&str, ArrayRef, bool); 2] = [
            ("word", Arc::new(words), true),
            ("n[count]", Arc::new(counts), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn encode(codec: &ShuffleCodec, batch: &RecordBatch, rows: &[u32], bytes_max: usize) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        codec
            .encode(batch, rows, bytes_max, &mut |value| {
                values.push(value.to_vec());
                Ok(())
            })
            .unwrap();
        values
    }

    #[test]
    fn what_is_encoded_is_decoded_in_pieces_below_the_limit() {
        let batch = batch(1000);
        let codec = ShuffleCodec::new(batch.schema(), 42);
        let rows: Vec<u32> = (0..1000).filter(|row| row % 3 == 0).collect();
        let values = encode(&codec, &batch, &rows, 2000);
        assert!(values.len() > 3 && values.iter().all(|value| value.len() <= 2000));
        let header = codec.header();
        let pieces: Vec<RecordBatch> = values
            .iter()
            .map(|value| codec.decode(Some(&header), Some(value)).unwrap())
            .collect();
        let decoded = arrow::compute::concat_batches(&batch.schema(), &pieces).unwrap();
        assert_eq!(
            decoded,
            take_record_batch(&batch, &UInt32Array::from(rows)).unwrap()
        );
    }

    #[test]
    fn a_row_may_be_larger_than_a_piece() {
        let words = [
            "a".repeat(100),
            "b".repeat(5000),
            "c".repeat(100),
            "d".repeat(100),
        ];
        let words: ArrayRef = Arc::new(StringViewArray::from_iter_values(&words));
        let batch = RecordBatch::try_from_iter([("word", words)]).unwrap();
        let codec = ShuffleCodec::new(batch.schema(), 42);
        let cut = |row: usize| {
            let (mut pieces, sizes) = (Vec::new(), RecordBytes { piece: 2000, row });
            let encoded = codec.encode_counted(&batch, &[0, 1, 2, 3], sizes, &mut |rows, value| {
                pieces.push((rows, value.len()));
                Ok(())
            });
            encoded.map(|()| pieces)
        };
        let pieces = cut(6000).unwrap();
        assert_eq!(pieces.iter().map(|(rows, _)| rows).sum::<usize>(), 4);
        for (rows, bytes) in &pieces {
            assert!(*bytes <= if *rows == 1 { 6000 } else { 2000 }, "{pieces:?}");
            assert!(*bytes <= codec.bytes_at_most(&batch));
        }
        assert!(pieces.iter().any(|(_, bytes)| *bytes > 5000));
        let refused = cut(5000);
        assert!(
            matches!(refused, Err(FormatError::RowTooLarge { bytes_max: 5000, .. })),
            "{refused:?}"
        );
    }

    proptest! {
        /// Any changed byte, and any cut, is an error.
        #[test]
        fn damage_is_found(place in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            let batch = batch(7);
            let codec = ShuffleCodec::new(batch.schema(), 42);
            let mut value = encode(&codec, &batch, &[0, 2, 4], 1 << 20).remove(0);
            let at = place.index(value.len());
            let changed = std::mem::replace(&mut value[at], byte) != byte;
            prop_assert_eq!(codec.decode(Some(&codec.header()), Some(&value)).is_err(), changed);
            value.truncate(cut.index(value.len()));
            prop_assert!(codec.decode(Some(&codec.header()), Some(&value)).is_err());
        }
    }

    #[test]
    fn the_encoding_is_fixed() {
        let batch = batch(2);
        let codec = ShuffleCodec::new(batch.schema(), 0x0123_4567_89ab_cdef);
        assert_eq!(
            codec.header(),
            [1, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]
        );
        let value = encode(&codec, &batch, &[0, 1], 1 << 20).remove(0);
        let length = u32::from_le_bytes(value[4..8].try_into().unwrap()) as usize;
        // Offsets and bytes of "word", values of "n", each padded to 64 bytes; without nulls there is no validity.
        let body = &value[8 + length..];
        assert_eq!(body.len(), 3 * 64);
        assert_eq!(body[..12], [0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&body[64..69], b"0-1-x");
        assert_eq!(body[128..144], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_fingerprint_is_fixed_and_depends_on_schema_and_meaning() {
        let schema = batch(1).schema();
        let of = |aggregate: &str| fingerprint(&schema, 1, &[aggregate.to_owned()]);
        assert_eq!(of("count(Int64(1)) AS n"), 7_871_480_673_077_850_926);
        assert_ne!(of("count(Int64(1)) AS n"), of("sum(x) AS n"));
        assert_ne!(
            of("count(Int64(1)) AS n"),
            fingerprint(&schema, 2, &["count(Int64(1)) AS n".to_owned()])
        );
    }
}
