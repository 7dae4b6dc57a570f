//! Rows as bytes, for changelogs and stores.
//!
//! Version 1, a column after the other: 0 for null, or 1 and the value: signed integers and times as zigzag LEB128,
//! unsigned ones as LEB128, floats as the 8 bytes of the double (little-endian), decimals as 16 bytes (little-endian),
//! Booleans as a byte, strings and binaries as their length (LEB128) and bytes; any other type as the length and
//! bytes of a shuffled batch of that one value. Equal rows of one schema have equal bytes.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanBuilder, Decimal128Builder, Float64Builder,
    Int64Builder, RecordBatch, UInt64Builder,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, Schema, UInt64Type};

use super::FormatError;
use super::shuffle::ShuffleCodec;
use super::widened::{Widened, equal_float};

/// The encoding's version; part of every store's fingerprint.
pub(crate) const ROW_ENCODING_VERSION: u8 = 1;

/// Encodes and decodes rows of the given columns.
#[derive(Debug)]
pub(crate) struct RowCodec {
    fields: Vec<FieldRef>,
}

impl RowCodec {
    pub(crate) fn new(fields: impl IntoIterator<Item = FieldRef>) -> Self {
        Self {
            fields: fields.into_iter().collect(),
        }
    }

    /// Readies `columns`, which are of the codec's types and equally long.
    pub(crate) fn writer(&self, columns: &[ArrayRef]) -> Result<RowWriter, FormatError> {
        let columns = self.fields.iter().zip(columns);
        Ok(RowWriter(
            columns
                .map(|(field, column)| WriteColumn::new(field, column))
                .collect::<Result<_, _>>()?,
        ))
    }

    /// As [`writer`](Self::writer), for columns that are keys: equal ones have equal bytes, so there is one zero and one NaN.
    pub(crate) fn key_writer(&self, columns: &[ArrayRef]) -> Result<RowWriter, FormatError> {
        let mut writer = self.writer(columns)?;
        for column in &mut writer.0 {
            if let WriteColumn::Plain(Widened::Float(array)) = column {
                let one = array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(equal_float);
                *array = Arc::new(one);
            }
        }
        Ok(writer)
    }

    /// A reader without rows.
    pub(crate) fn reader(&self) -> RowReader {
        RowReader {
            columns: self.fields.iter().map(ReadColumn::new).collect(),
            rows: 0,
        }
    }
}

/// Encodes the rows of some columns.
pub(crate) struct RowWriter(Vec<WriteColumn>);

enum WriteColumn {
    Plain(Widened),
    /// One codec for the column, which is encoded value by value.
    Nested(ShuffleCodec, RecordBatch),
}

impl WriteColumn {
    fn new(field: &FieldRef, column: &ArrayRef) -> Result<Self, FormatError> {
        if let Some(plain) = Widened::new(column)? {
            return Ok(Self::Plain(plain));
        }
        let schema = Arc::new(Schema::new([Arc::clone(field)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(column)])?;
        Ok(Self::Nested(ShuffleCodec::new(schema, 0), batch))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let array = match self {
            Self::Plain(column) => column.array(),
            Self::Nested(_, batch) => batch.column(0),
        };
        if array.is_null(row) {
            out.push(0);
            return Ok(());
        }
        out.push(1);
        match self {
            Self::Plain(Widened::Signed(array)) => {
                let value = array.as_primitive::<Int64Type>().value(row);
                varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
            }
            Self::Plain(Widened::Unsigned(array)) => {
                varint(array.as_primitive::<UInt64Type>().value(row), out);
            }
            Self::Plain(Widened::Float(array)) => {
                out.extend(array.as_primitive::<Float64Type>().value(row).to_le_bytes());
            }
            Self::Plain(Widened::Decimal(array)) => {
                out.extend(array.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
            }
            Self::Plain(Widened::Boolean(array)) => out.push(u8::from(array.as_boolean().value(row))),
            Self::Plain(Widened::Bytes(array)) => put_bytes(array.as_binary_view().value(row), out),
            Self::Nested(codec, batch) => {
                let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
                codec.encode(batch, &[row], usize::MAX, &mut |value| {
                    put_bytes(value, out);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

impl RowWriter {
    /// Appends the bytes of `row`.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        self.0.iter().try_for_each(|column| column.write(row, out))
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        // The low seven bits, and the mark that more follow.
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length in LEB128.
pub(crate) fn put_bytes(value: &[u8], out: &mut Vec<u8>) {
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Collects rows until they are taken as columns.
pub(crate) struct RowReader {
    columns: Vec<ReadColumn>,
    rows: usize,
}

struct ReadColumn {
    field: FieldRef,
    values: Values,
}

enum Values {
    Signed(Int64Builder),
    Unsigned(UInt64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder),
    Boolean(BooleanBuilder),
    Bytes(BinaryViewBuilder),
    Nested(ShuffleCodec, Vec<ArrayRef>),
}

impl ReadColumn {
    fn new(field: &FieldRef) -> Self {
        use DataType::*;
        let values = match field.data_type() {
            Boolean => Values::Boolean(BooleanBuilder::new()),
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => {
                Values::Bytes(BinaryViewBuilder::new())
            }
            Float16 | Float32 | Float64 => Values::Float(Float64Builder::new()),
            Decimal128(..) => Values::Decimal(Decimal128Builder::new()),
            UInt8 | UInt16 | UInt32 | UInt64 => Values::Unsigned(UInt64Builder::new()),
            other if Widened::is_signed(other) => Values::Signed(Int64Builder::new()),
            _ => {
                let schema = Arc::new(Schema::new([Arc::clone(field)]));
                Values::Nested(ShuffleCodec::new(schema, 0), Vec::new())
            }
        };
        Self {
            field: Arc::clone(field),
            values,
        }
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<(), FormatError> {
        let valid = match take(input, 1)?[0] {
            0 => false,
            1 => true,
            other => return Err(damaged(format!("a value begins with {other}"))),
        };
        match &mut self.values {
            Values::Signed(builder) => builder.append_option(if valid {
                let value = take_varint(input)?;
                Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
            } else {
                None
            }),
            Values::Unsigned(builder) => {
                builder.append_option(if valid { Some(take_varint(input)?) } else { None });
            }
            Values::Float(builder) => builder.append_option(if valid {
                Some(f64::from_le_bytes(take_array(input)?))
            } else {
                None
            }),
            Values::Decimal(builder) => builder.append_option(if valid {
                Some(i128::from_le_bytes(take_array(input)?))
            } else {
                None
            }),
            Values::Boolean(builder) => {
                builder.append_option(if valid {
                    Some(take(input, 1)?[0] != 0)
                } else {
                    None
                });
            }
            Values::Bytes(builder) => {
                builder.append_option(if valid { Some(take_bytes(input)?) } else { None })
            }
            Values::Nested(codec, pieces) => pieces.push(if valid {
                let header = codec.header();
                let batch = codec.decode(Some(&header), Some(take_bytes(input)?))?;
                if batch.num_rows() != 1 {
                    return Err(damaged(format!(
                        "{} values where one was written",
                        batch.num_rows()
                    )));
                }
                Arc::clone(batch.column(0))
            } else {
                arrow::array::new_null_array(self.field.data_type(), 1)
            }),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef, FormatError> {
        let data_type = self.field.data_type();
        let wide: ArrayRef = match &mut self.values {
            Values::Signed(builder) => {
                return Ok(Widened::narrow_signed(
                    &(Arc::new(builder.finish()) as _),
                    data_type,
                )?);
            }
            Values::Unsigned(builder) => Arc::new(builder.finish()),
            Values::Float(builder) => Arc::new(builder.finish()),
            Values::Decimal(builder) => {
                return Ok(Arc::new(builder.finish().with_data_type(data_type.clone())));
            }
            Values::Boolean(builder) => Arc::new(builder.finish()),
            Values::Bytes(builder) => Arc::new(builder.finish()),
            Values::Nested(_, pieces) => {
                let pieces = std::mem::take(pieces);
                if pieces.is_empty() {
                    return Ok(arrow::array::new_empty_array(data_type));
                }
                let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
                return Ok(concat(&pieces)?);
            }
        };
        Ok(cast(&wide, data_type)?)
    }
}

impl RowReader {
    /// Adds a row. After an error the reader is of no more use.
    pub(crate) fn push(&mut self, mut row: &[u8]) -> Result<(), FormatError> {
        self.columns
            .iter_mut()
            .try_for_each(|column| column.read(&mut row))?;
        if !row.is_empty() {
            return Err(damaged(format!(
                "{} bytes are left behind its columns",
                row.len()
            )));
        }
        self.rows += 1;
        Ok(())
    }

    /// Rows collected.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The columns of the rows collected since the last call.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, FormatError> {
        self.rows = 0;
        self.columns.iter_mut().map(ReadColumn::finish).collect()
    }
}

fn damaged(reason: String) -> FormatError {
    FormatError::Damaged { reason }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], FormatError> {
    let (taken, rest) = input
        .split_at_checked(length)
        .ok_or_else(|| damaged("it is cut short".to_owned()))?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], FormatError> {
    let taken = take(input, N)?;
    Ok(taken.try_into().expect("take gives as many bytes as asked for"))
}

fn take_varint(input: &mut &[u8]) -> Result<u64, FormatError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && part > 1 {
            break;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number is longer than 64 bits".to_owned()))
}

/// What [`put_bytes`] wrote.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], FormatError> {
    let length = take_varint(input)?;
    take(input, usize::try_from(length).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, ListArray,
        StringViewArray, Time32SecondArray, TimestampMicrosecondArray, UInt8Array,
    };
    use arrow::datatypes::{Field, Int64Type};
    use proptest::prelude::*;

    fn columns() -> Vec<ArrayRef> {
        let zoned =
            TimestampMicrosecondArray::from(vec![Some(-5), Some(1 << 50), None]).with_timezone("+01:00");
        let decimals = Decimal128Array::from(vec![Some(-12345), None, Some(7)]);
        vec![
            Arc::new(Int32Array::from(vec![Some(-2), None, Some(i32::MAX)])),
            Arc::new(UInt8Array::from(vec![Some(7), Some(200), None])),
            Arc::new(Float32Array::from(vec![Some(-0.0), Some(1.5), None])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            Arc::new(StringViewArray::from(vec![
                Some("é, longer than twelve"),
                Some(""),
                None,
            ])),
            Arc::new(Date32Array::from(vec![Some(20_000), None, Some(-1)])),
            Arc::new(Time32SecondArray::from(vec![Some(3600), None, Some(0)])),
            Arc::new(zoned),
            Arc::new(decimals.with_precision_and_scale(20, 3).unwrap()),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ]
    }

    fn codec(columns: &[ArrayRef]) -> RowCodec {
        let fields = columns.iter().enumerate();
        RowCodec::new(
            fields.map(|(n, column)| Arc::new(Field::new(format!("c{n}"), column.data_type().clone(), true))),
        )
    }

    fn encoded(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
        let writer = codec(columns).writer(columns).unwrap();
        let row = |row| {
            let mut out = Vec::new();
            writer.write(row, &mut out).unwrap();
            out
        };
        (0..columns[0].len()).map(row).collect()
    }

    #[test]
    fn every_type_comes_back_as_it_went() {
        let columns = columns();
        let mut reader = codec(&columns).reader();
        encoded(&columns).iter().for_each(|row| reader.push(row).unwrap());
        assert_eq!(reader.rows(), 3);
        assert_eq!(reader.finish().unwrap(), columns);
        assert_eq!(reader.rows(), 0);
        assert!(reader.finish().unwrap().iter().all(|column| column.is_empty()));
    }

    #[test]
    fn the_encoding_is_fixed() {
        let rows = encoded(&columns()[..9]);
        let expected: &[&[u8]] = &[
            &[1, 3],
            &[1, 7],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[1, 1],
            &[1, 22, 0xc3, 0xa9, 0x2c],
        ];
        assert!(rows[0].starts_with(&expected.concat()), "{:?}", rows[0]);
        let second: &[&[u8]] = &[
            &[0],
            &[1, 200, 1],
            &[1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
            &[1, 0],
            &[1, 0],
            &[0],
            &[0],
            &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x04],
            &[0],
        ];
        assert_eq!(rows[1], second.concat());
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 7);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, other_nan, 1.5]));
        let columns = [floats];
        let writer = codec(&columns).key_writer(&columns).unwrap();
        let rows = (0..5).map(|row| {
            let mut out = Vec::new();
            writer.write(row, &mut out).unwrap();
            out
        });
        let rows: Vec<Vec<u8>> = rows.collect();
        assert_eq!((&rows[0], &rows[2]), (&rows[1], &rows[3]));
        assert_eq!(rows[4], encoded(&columns)[4]);
        assert_ne!(rows[0], rows[2]);
    }

    proptest! {
        /// Bytes that are no row are an error, never a panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = codec(&columns()).reader();
            let _ = reader.push(&bytes);
        }

        #[test]
        fn a_row_that_is_cut_or_too_long_is_refused(cut in any::<prop::sample::Index>()) {
            let columns = columns();
            let row = encoded(&columns).remove(0);
            let mut reader = codec(&columns).reader();
            prop_assert!(reader.push(&row[..cut.index(row.len())]).is_err());
            let mut reader = codec(&columns).reader();
            prop_assert!(reader.push(&[&row[..], &[0]].concat()).is_err());
        }

        #[test]
        fn integers_survive(values: Vec<Option<i64>>) {
            let columns: Vec<ArrayRef> = vec![Arc::new(arrow::array::Int64Array::from(values))];
            let mut reader = codec(&columns).reader();
            encoded(&columns).iter().for_each(|row| reader.push(row).unwrap());
            prop_assert_eq!(reader.finish().unwrap(), columns);
        }
    }
}
