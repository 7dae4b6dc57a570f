//! A state column that is read and written by position.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, downcast_primitive};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};

use super::bytes_column::BytesColumn;

/// One value a group, addressed by group number.
pub(super) trait StateColumn: Send {
    /// The values at `groups`, in that order.
    fn gather(&self, groups: &[usize]) -> Result<ArrayRef>;

    /// Sets the values at `groups`; a group beyond the end extends the column.
    fn scatter(&mut self, groups: &[usize], values: &ArrayRef) -> Result<()>;

    /// Roughly the memory in use.
    fn size_bytes(&self) -> usize;
}

/// The column for a state of `data_type`: flat for numbers and times, one behind the other for texts and bytes, scalar by scalar for everything
/// else.
pub(super) fn new_column(data_type: &DataType) -> Box<dyn StateColumn> {
    macro_rules! flat {
        ($t:ty, $data_type:expr) => {
            Box::new(FlatColumn::<$t> {
                data_type: $data_type.clone(),
                values: Vec::new(),
                valid: Vec::new(),
            })
        };
    }
    downcast_primitive! {
        data_type => (flat, data_type),
        _ if BytesColumn::supports(data_type) => Box::new(BytesColumn::new(data_type)),
        _ => Box::new(ScalarColumn { null: data_type.clone(), values: Vec::new(), bytes: 0 }),
    }
}

struct FlatColumn<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    valid: Vec<bool>,
}

impl<T: ArrowPrimitiveType> StateColumn for FlatColumn<T> {
    fn gather(&self, groups: &[usize]) -> Result<ArrayRef> {
        let values: Vec<T::Native> = groups.iter().map(|&group| self.values[group]).collect();
        let nulls: NullBuffer = groups.iter().map(|&group| self.valid[group]).collect();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let array = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }

    fn scatter(&mut self, groups: &[usize], values: &ArrayRef) -> Result<()> {
        let array = values.as_primitive::<T>();
        let len = groups.iter().max().map_or(0, |last| last + 1);
        if len > self.values.len() {
            self.values.resize(len, T::Native::default());
            self.valid.resize(len, false);
        }
        for (row, &group) in groups.iter().enumerate() {
            self.values[group] = array.value(row);
            self.valid[group] = array.is_valid(row);
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.valid.capacity()
    }
}

struct ScalarColumn {
    null: DataType,
    values: Vec<ScalarValue>,
    /// The sizes of all values: asking each would cost a walk over the whole state every epoch.
    bytes: usize,
}

impl StateColumn for ScalarColumn {
    fn gather(&self, groups: &[usize]) -> Result<ArrayRef> {
        ScalarValue::iter_to_array(groups.iter().map(|&group| self.values[group].clone()))
    }

    fn scatter(&mut self, groups: &[usize], values: &ArrayRef) -> Result<()> {
        let len = groups.iter().max().map_or(0, |last| last + 1);
        if len > self.values.len() {
            let null = ScalarValue::try_from(&self.null)?;
            self.bytes += (len - self.values.len()) * null.size();
            self.values.resize(len, null);
        }
        for (row, &group) in groups.iter().enumerate() {
            // Compacted, or a list would keep the whole batch alive.
            let value = ScalarValue::try_from_array(values, row)?.compacted();
            self.bytes += value.size();
            let before = std::mem::replace(&mut self.values[group], value);
            self.bytes -= before.size();
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray, TimestampMillisecondArray};

    fn check(first: ArrayRef, second: ArrayRef, expected: ArrayRef) {
        let mut column = new_column(first.data_type());
        column.scatter(&[0, 1, 2], &first).unwrap();
        column.scatter(&[1, 4], &second).unwrap();
        assert_eq!(&column.gather(&[4, 0, 1, 2]).unwrap(), &expected);
        assert!(column.size_bytes() > 0);
    }

    #[test]
    fn flat_and_scalar_columns_hold_values_and_nulls() {
        check(
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(Int64Array::from(vec![Some(20), None])),
            Arc::new(Int64Array::from(vec![None, Some(1), Some(20), Some(3)])),
        );
        check(
            Arc::new(StringViewArray::from(vec![
                Some("a"),
                None,
                Some("a value beyond twelve bytes"),
            ])),
            Arc::new(StringViewArray::from(vec![Some("b"), None])),
            Arc::new(StringViewArray::from(vec![
                None,
                Some("a"),
                Some("b"),
                Some("a value beyond twelve bytes"),
            ])),
        );
    }

    #[test]
    fn a_scalar_column_knows_its_size_without_a_walk() {
        let mut column = ScalarColumn {
            null: DataType::Utf8View,
            values: Vec::new(),
            bytes: 0,
        };
        let long = "a value beyond twelve bytes".repeat(10);
        for (groups, values) in [
            (vec![0, 1, 5], vec![Some("a"), None, Some(&*long)]),
            (vec![5, 1], vec![None, Some(&*long)]),
            (vec![1, 7], vec![Some("b"), Some("c")]),
        ] {
            let values: ArrayRef = Arc::new(StringViewArray::from(values));
            column.scatter(&groups, &values).unwrap();
            let walked: usize = column.values.iter().map(ScalarValue::size).sum();
            assert_eq!(column.size_bytes(), walked);
        }
    }

    #[test]
    fn a_flat_column_keeps_the_time_zone() {
        let zoned = TimestampMillisecondArray::from(vec![1, 2, 3]).with_timezone("+01:00");
        let second = TimestampMillisecondArray::from(vec![20, 50]).with_timezone("+01:00");
        let expected = TimestampMillisecondArray::from(vec![50, 1, 20, 3]).with_timezone("+01:00");
        check(Arc::new(zoned), Arc::new(second), Arc::new(expected));
    }
}
