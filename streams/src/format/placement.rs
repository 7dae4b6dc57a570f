//! Where a row goes: the encoding of its key, and Kafka's murmur2 over it.
//!
//! Version 1 of the key encoding: a single string or binary column is its bytes (so that a row lands where Java's default
//! partitioner puts a record with that key; null is the empty key). Anything else is, a column: 0 for null, or 1 and
//! the value: integers and times as 8 bytes big-endian (decimals as 16), floats as the 8 bytes of the double
//! with one zero and one NaN, Booleans as a byte, strings and binaries as a 4-byte length and the bytes.
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::widened::{Widened, equal_float};

/// The key encoding's version; part of every shuffled batch's fingerprint.
pub(super) const KEY_ENCODING_VERSION: u8 = 1;

/// Assigns rows to partitions by their first `keys` columns.
pub(crate) struct Placement {
    keys: usize,
    partitions: usize,
}

impl Placement {
    /// How many of the first columns are the key.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Whether a key column may be of this type.
    pub(crate) fn supports(data_type: &DataType) -> bool {
        use DataType::*;
        matches!(
            data_type,
            Utf8View | BinaryView | Boolean | Float16 | Float32 | Float64 | Decimal128(..)
        ) || data_type.is_integer()
            || (data_type.is_temporal() && !matches!(data_type, Interval(_)))
    }

    /// The column in the type that stands for all encodings of its values.
    pub(crate) fn key_column(column: ArrayRef) -> Result<ArrayRef, ArrowError> {
        match key_type(column.data_type()) {
            same if same == *column.data_type() => Ok(column),
            other => cast(&column, &other),
        }
    }

    pub(crate) fn new(keys: usize, partitions: usize) -> Self {
        Self {
            keys,
            partitions: partitions.max(1),
        }
    }

    /// The rows of each partition, by position in the batch.
    pub(crate) fn rows_by_partition(&self, batch: &RecordBatch) -> Result<Vec<Vec<u32>>, ArrowError> {
        let mut rows = vec![Vec::new(); self.partitions];
        let count = u32::try_from(batch.num_rows()).map_err(|_| {
            ArrowError::InvalidArgumentError(format!(
                "a batch of {} rows is too large to shuffle",
                batch.num_rows()
            ))
        })?;
        if self.partitions == 1 {
            rows[0].extend(0..count);
            return Ok(rows);
        }
        let keys = &batch.columns()[..self.keys];
        if let [key] = keys
            && matches!(key.data_type(), DataType::Utf8View | DataType::BinaryView)
        {
            let key = cast(key, &DataType::BinaryView)?;
            for (row, bytes) in (0..count).zip(key.as_binary_view()) {
                rows[partition(bytes.unwrap_or_default(), self.partitions)].push(row);
            }
            return Ok(rows);
        }
        let columns = keys.iter().map(KeyColumn::new).collect::<Result<Vec<_>, _>>()?;
        let mut encoded = Vec::new();
        for row in 0..count {
            encoded.clear();
            columns
                .iter()
                .for_each(|column| column.encode(row as usize, &mut encoded));
            rows[partition(&encoded, self.partitions)].push(row);
        }
        Ok(rows)
    }
}

/// The one type that stands for all encodings of a key.
pub(crate) fn key_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => key_type(values),
        other => other.clone(),
    }
}

/// A key column, widened to the type that is encoded.
struct KeyColumn(Widened);

impl KeyColumn {
    fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let widened = Widened::new(array)?;
        widened
            .map(Self)
            .ok_or_else(|| ArrowError::NotYetImplemented(format!("keys of type {}", array.data_type())))
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        if self.0.array().is_null(row) {
            out.push(0);
            return;
        }
        out.push(1);
        match &self.0 {
            Widened::Signed(array) => out.extend(array.as_primitive::<Int64Type>().value(row).to_be_bytes()),
            Widened::Unsigned(array) => {
                out.extend(array.as_primitive::<UInt64Type>().value(row).to_be_bytes())
            }
            Widened::Decimal(array) => {
                out.extend(array.as_primitive::<Decimal128Type>().value(row).to_be_bytes())
            }
            Widened::Boolean(array) => out.push(u8::from(array.as_boolean().value(row))),
            Widened::Float(array) => {
                let value = array.as_primitive::<Float64Type>().value(row);
                out.extend(equal_float(value).to_bits().to_be_bytes());
            }
            Widened::Bytes(array) => {
                let bytes = array.as_binary_view().value(row);
                // An Arrow view's length is 32 bits wide.
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend(bytes);
            }
        }
    }
}

/// The partition Java's default partitioner gives to a key.
fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`).
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mix = |mut k: u32| {
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k.wrapping_mul(M)
    };
    // A key beyond 4 GiB cannot be: records are far smaller.
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let k = u32::from_le_bytes(word.try_into().expect("chunks_exact(4) gives four bytes"));
        hash = hash.wrapping_mul(M) ^ mix(k);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, Float32Array, Int32Array, StringViewArray, UInt8Array};

    #[test]
    fn murmur2_gives_kafkas_values() {
        let golden: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in golden {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    fn place(columns: Vec<ArrayRef>, partitions: usize) -> Vec<Vec<u32>> {
        let names = columns
            .iter()
            .enumerate()
            .map(|(n, column)| (format!("c{n}"), column.clone(), true));
        let batch = RecordBatch::try_from_iter_with_nullable(names).unwrap();
        Placement::new(batch.num_columns(), partitions)
            .rows_by_partition(&batch)
            .unwrap()
    }

    #[test]
    fn a_string_key_lands_where_java_puts_it() {
        let keys: ArrayRef = Arc::new(StringViewArray::from(vec![
            Some("21"),
            Some("foobar"),
            Some("abc"),
            None,
        ]));
        // toPositive(murmur2) % 7 of the golden values, and of the empty key for null.
        let at = |hash: i32| (hash & 0x7fff_ffff) as usize % 7;
        let expected = [
            at(-973_932_308),
            at(-790_332_482),
            at(479_470_107),
            at(murmur2(b"") as i32),
        ];
        let rows = place(vec![keys], 7);
        for (row, partition) in expected.into_iter().enumerate() {
            assert!(rows[partition].contains(&(row as u32)), "row {row} in {rows:?}");
        }
    }

    #[test]
    fn the_key_encoding_is_fixed() {
        let columns: [ArrayRef; 6] = [
            Arc::new(Int32Array::from(vec![Some(-2), None])),
            Arc::new(UInt8Array::from(vec![Some(7), None])),
            Arc::new(Float32Array::from(vec![Some(-0.0), Some(f32::NAN)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false)])),
            Arc::new(StringViewArray::from(vec![Some("é"), Some("")])),
            Arc::new(Date32Array::from(vec![Some(1), None])),
        ];
        let encode = |row| {
            let mut out = Vec::new();
            columns
                .iter()
                .for_each(|column| KeyColumn::new(column).unwrap().encode(row, &mut out));
            out
        };
        let first: &[&[u8]] = &[
            &[1, 255, 255, 255, 255, 255, 255, 255, 254],
            &[1, 0, 0, 0, 0, 0, 0, 0, 7],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 1],
            &[1, 0, 0, 0, 2, 0xc3, 0xa9],
            &[1, 0, 0, 0, 0, 0, 0, 0, 1],
        ];
        let second: &[&[u8]] = &[
            &[0],
            &[0],
            &[1, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
            &[1, 0],
            &[1, 0, 0, 0, 0],
            &[0],
        ];
        assert_eq!(encode(0), first.concat());
        assert_eq!(encode(1), second.concat());
    }

    #[test]
    fn every_row_lands_once_and_equal_keys_together() {
        let values: Vec<i32> = (0..1000).map(|n| n % 50).collect();
        let rows = place(vec![Arc::new(Int32Array::from(values.clone()))], 5);
        assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), 1000);
        for value in 0..50 {
            let holders = rows
                .iter()
                .filter(|rows| rows.iter().any(|&row| values[row as usize] == value))
                .count();
            assert_eq!(holders, 1, "key {value}");
        }
    }
}
