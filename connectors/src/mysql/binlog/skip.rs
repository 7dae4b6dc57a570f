//! Passing over rows without making values of them.
use super::column::ColumnType;
use super::cursor::{Bitmap, Cursor};
use super::decimal::Decimal;
use super::table_map::Column;
use super::temporal::fraction_bytes;
use super::{Damage, rows};

/// How long a column's values are.
#[derive(Clone, Copy)]
enum Length {
    /// As long as this.
    Fixed(usize),
    /// As long as a number of so many bytes before them says.
    Said(u8),
}

fn length(column_type: ColumnType) -> Result<Length, Damage> {
    use Length::{Fixed, Said};
    let fraction = |whole: usize, digits: u8| Fixed(whole + fraction_bytes(digits));
    Ok(match column_type {
        ColumnType::Tiny | ColumnType::Year => Fixed(1),
        ColumnType::Short => Fixed(2),
        ColumnType::Int24 | ColumnType::Date | ColumnType::OldTime => Fixed(3),
        ColumnType::Long | ColumnType::Float | ColumnType::OldTimestamp => Fixed(4),
        ColumnType::LongLong | ColumnType::Double | ColumnType::OldDateTime => Fixed(8),
        ColumnType::Decimal { precision, scale } => Fixed(Decimal::length(precision, scale)?),
        ColumnType::Bit { bits } => Fixed(usize::from(bits.div_ceil(8))),
        ColumnType::Time { fraction: digits } => fraction(3, digits),
        ColumnType::DateTime { fraction: digits } => fraction(5, digits),
        ColumnType::Timestamp { fraction: digits } => fraction(4, digits),
        ColumnType::Varchar { length_max }
        | ColumnType::Char { length_max }
        | ColumnType::CompressedVarchar { length_max } => Said(rows::varchar_length_bytes(length_max)),
        ColumnType::Blob { length_bytes }
        | ColumnType::Json { length_bytes }
        | ColumnType::Geometry { length_bytes }
        | ColumnType::Vector { length_bytes }
        | ColumnType::CompressedBlob { length_bytes } => Said(length_bytes),
        ColumnType::Enum { bytes } | ColumnType::Set { bytes } => Fixed(usize::from(bytes)),
        ColumnType::TypedArray => Said(4),
    })
}

/// Passes over one image.
pub(super) fn image<'a>(
    rest: &mut Cursor<'a>,
    columns: &[Column],
    present: Bitmap<'a>,
    differences: Option<Bitmap<'a>>,
) -> Result<(), Damage> {
    let nulls = Bitmap::take(rest, present.count(columns.len()), "which values are null")?;
    let (mut held, mut json) = (0, 0);
    for (index, column) in columns.iter().enumerate() {
        let is_json = column.column_type.is_json();
        if present.get(index) {
            held += 1;
            if !nulls.get(held - 1) {
                let partial = is_json && differences.is_some_and(|bits| bits.get(json));
                let bytes = match length(column.column_type)? {
                    _ if partial => rest.uint(4, "the length of differences")? as usize,
                    Length::Fixed(bytes) => bytes,
                    Length::Said(bytes) => rest.uint(usize::from(bytes), "a value's length")? as usize,
                };
                rest.take(bytes, "a value")?;
            }
        }
        json += usize::from(is_json);
    }
    Ok(())
}
