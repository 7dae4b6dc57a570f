//! Columns widened to the few types that are encoded one by one.
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// A column as the widest type of its kind.
pub(super) enum Widened {
    /// 64-bit signed integers: integers, dates and times.
    Signed(ArrayRef),
    /// 64-bit unsigned integers.
    Unsigned(ArrayRef),
    /// Doubles.
    Float(ArrayRef),
    /// Decimals of 128 bits.
    Decimal(ArrayRef),
    /// Booleans.
    Boolean(ArrayRef),
    /// Binary views: strings and binaries.
    Bytes(ArrayRef),
}

impl Widened {
    /// The widened form of `array`; none if its type has no such form.
    pub(super) fn new(array: &ArrayRef) -> Result<Option<Self>, ArrowError> {
        use DataType::*;
        Ok(Some(match array.data_type() {
            Boolean => Self::Boolean(array.clone()),
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => {
                Self::Bytes(cast(array, &BinaryView)?)
            }
            Float16 | Float32 | Float64 => Self::Float(cast(array, &Float64)?),
            Decimal128(..) => Self::Decimal(array.clone()),
            UInt8 | UInt16 | UInt32 | UInt64 => Self::Unsigned(cast(array, &UInt64)?),
            Date32 | Time32(_) => Self::Signed(cast(&cast(array, &Int32)?, &Int64)?),
            other if Self::is_signed(other) => Self::Signed(cast(array, &Int64)?),
            _ => return Ok(None),
        }))
    }

    /// Whether columns of the type widen to 64-bit signed integers.
    pub(super) fn is_signed(data_type: &DataType) -> bool {
        data_type.is_signed_integer()
            || (data_type.is_temporal() && !matches!(data_type, DataType::Interval(_)))
    }

    /// Back from 64-bit signed integers to `data_type`.
    pub(super) fn narrow_signed(wide: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        match data_type {
            DataType::Date32 | DataType::Time32(_) => cast(&cast(wide, &DataType::Int32)?, data_type),
            _ => cast(wide, data_type),
        }
    }

    /// The widened column.
    pub(super) fn array(&self) -> &ArrayRef {
        match self {
            Self::Signed(array) | Self::Unsigned(array) | Self::Float(array) => array,
            Self::Decimal(array) | Self::Boolean(array) | Self::Bytes(array) => array,
        }
    }
}

/// The float that stands for all that are equal to it as keys: one zero, one NaN. Grouping knows one zero as well.
pub(super) fn equal_float(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}
