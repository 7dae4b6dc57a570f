//! Values as bytes that are in the order of the values.
//!
//! A column after the other: a byte that says whether there is a value, 1, or none, 0 or 2, as nulls come first or last; then the value. Integers
//! and times are big-endian with the sign turned round, floats as their bits in their total order with one zero and one NaN,
//! which is the greatest, Booleans are a byte. In strings and binaries a 0 is 0 and 255, and 0 and 0 their end. All bytes of a value that is
//! in descending order are turned round. States hold such bytes, so that they stay what they are.
use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::widened::{Widened, equal_float};

/// How a column is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Direction {
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// Writes what rows are ordered by.
pub(crate) struct OrderWriter(Vec<(Widened, Direction)>);

impl OrderWriter {
    /// Whether rows can be ordered by columns of the type.
    pub(crate) fn supports(data_type: &DataType) -> bool {
        matches!(Widened::new(&new_empty_array(data_type)), Ok(Some(_)))
    }

    /// Readies columns of [types that can be ordered](Self::supports).
    pub(crate) fn new<'a>(
        columns: impl IntoIterator<Item = (&'a ArrayRef, Direction)>,
    ) -> Result<Self, ArrowError> {
        let columns = columns.into_iter().map(|(column, direction)| {
            let widened = Widened::new(column)?.ok_or_else(|| {
                ArrowError::NotYetImplemented(format!("an order of {}", column.data_type()))
            })?;
            Ok((widened, direction))
        });
        Ok(Self(columns.collect::<Result<_, ArrowError>>()?))
    }

    /// Appends what `row` is ordered by.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        for (column, direction) in &self.0 {
            if column.array().is_null(row) {
                out.push(if direction.nulls_first { 0 } else { 2 });
                continue;
            }
            out.push(1);
            let start = out.len();
            write_value(column, row, out);
            if direction.descending {
                out[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
    }
}

fn write_value(column: &Widened, row: usize, out: &mut Vec<u8>) {
    match column {
        Widened::Signed(array) => {
            let value = array.as_primitive::<Int64Type>().value(row);
            out.extend((value ^ i64::MIN).to_be_bytes());
        }
        Widened::Unsigned(array) => out.extend(array.as_primitive::<UInt64Type>().value(row).to_be_bytes()),
        Widened::Float(array) => {
            let bits = equal_float(array.as_primitive::<Float64Type>().value(row)).to_bits();
            let negative = bits >> 63 == 1;
            out.extend((if negative { !bits } else { bits | 1 << 63 }).to_be_bytes());
        }
        Widened::Decimal(array) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            out.extend((value ^ i128::MIN).to_be_bytes());
        }
        Widened::Boolean(array) => out.push(u8::from(array.as_boolean().value(row))),
        Widened::Bytes(array) => {
            for byte in array.as_binary_view().value(row) {
                out.push(*byte);
                if *byte == 0 {
                    out.push(255);
                }
            }
            out.extend([0, 0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMillisecondArray,
        UInt64Array,
    };
    use arrow::compute::{SortOptions, sort_to_indices};
    use proptest::prelude::*;

    const fn direction(descending: bool, nulls_first: bool) -> Direction {
        Direction {
            descending,
            nulls_first,
        }
    }

    const DIRECTIONS: [Direction; 4] = [
        direction(false, false),
        direction(false, true),
        direction(true, false),
        direction(true, true),
    ];

    fn written(column: &ArrayRef, direction: Direction) -> Vec<Vec<u8>> {
        let writer = OrderWriter::new([(column, direction)]).unwrap();
        let row = |row: usize| {
            let mut bytes = Vec::new();
            writer.write(row, &mut bytes);
            bytes
        };
        (0..column.len()).map(row).collect()
    }

    /// Arrow puts the rows in the same order.
    fn check(column: &ArrayRef) {
        for direction in DIRECTIONS {
            let bytes = written(column, direction);
            let options = SortOptions {
                descending: direction.descending,
                nulls_first: direction.nulls_first,
            };
            let sorted = sort_to_indices(column, Some(options), None).unwrap();
            let sorted = sorted.values().iter().map(|row| &bytes[*row as usize]);
            assert!(sorted.is_sorted(), "{column:?} {direction:?}");
        }
    }

    #[test]
    fn bytes_are_what_is_stored() {
        let of = |column: ArrayRef, direction: usize| written(&column, DIRECTIONS[direction]).concat();
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(-2), None]));
        assert_eq!(
            of(Arc::clone(&numbers), 0),
            [1, 127, 255, 255, 255, 255, 255, 255, 254, 2]
        );
        assert_eq!(of(numbers, 3), [1, 128, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(
            of(Arc::new(StringArray::from(vec!["a\0"])), 0),
            [1, 97, 0, 255, 0, 0]
        );
        assert_eq!(of(Arc::new(StringArray::from(vec!["a"])), 2), [1, 158, 255, 255]);
        assert_eq!(
            of(Arc::new(Float64Array::from(vec![-0.0])), 0),
            [1, 128, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(of(Arc::new(BooleanArray::from(vec![true])), 0), [1, 1]);
        assert_eq!(
            of(Arc::new(UInt64Array::from(vec![1])), 0),
            [1, 0, 0, 0, 0, 0, 0, 0, 1]
        );
    }

    #[test]
    fn what_has_no_order_is_known() {
        assert!(OrderWriter::supports(&DataType::Utf8));
        let list = DataType::new_list(DataType::Int64, true);
        assert!(!OrderWriter::supports(&list));
        assert!(OrderWriter::new([(&new_empty_array(&list), DIRECTIONS[0])]).is_err());
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_values(
            texts in proptest::collection::vec(proptest::option::of("[\0a-c\u{7f}é]{0,4}"), 0..20),
            floats in proptest::collection::vec(proptest::option::of(any::<f64>()), 0..20),
            integers in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..20),
        ) {
            check(&(Arc::new(texts.into_iter().collect::<StringArray>()) as ArrayRef));
            // The other NaN would be before all.
            let floats = floats.into_iter().map(|float| float.map(|float| if float.is_nan() { f64::NAN } else { float }));
            check(&(Arc::new(floats.collect::<Float64Array>()) as ArrayRef));
            check(&(Arc::new(integers.iter().copied().collect::<TimestampMillisecondArray>()) as ArrayRef));
            check(&(Arc::new(integers.iter().map(|n| n.map(i128::from)).collect::<Decimal128Array>()) as ArrayRef));
        }
    }
}
