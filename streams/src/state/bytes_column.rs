//! A state column of texts or bytes, one behind the other in a single allocation.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryViewBuilder, GenericBinaryArray, GenericStringArray, OffsetSizeTrait,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::Result;

use super::column::StateColumn;

/// The place of a null. No value is there: it would be beyond what memory can hold.
const NULL: u64 = u64::MAX;
/// What is left behind by values that were replaced is borne up to here, however few bytes the others have.
const GARBAGE_MIN: usize = 64 << 10;

/// Values of any length, addressed by group number. A value costs its bytes, its length before them, and its place: eight bytes.
pub(super) struct BytesColumn {
    data_type: DataType,
    /// Each value behind its length.
    bytes: Vec<u8>,
    /// Where each group's value begins in `bytes`, or [`NULL`].
    places: Vec<u64>,
    /// How much of `bytes` values take that are still there.
    used: usize,
}

impl BytesColumn {
    /// Whether it holds values of this type.
    pub(super) fn supports(data_type: &DataType) -> bool {
        use DataType::*;
        matches!(
            data_type,
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView
        )
    }

    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            bytes: Vec::new(),
            places: Vec::new(),
            used: 0,
        }
    }

    fn value(&self, group: usize) -> Option<&[u8]> {
        match self.places[group] {
            NULL => None,
            place => {
                let (begin, end) = self.span(place as usize);
                Some(&self.bytes[begin..end])
            }
        }
    }

    /// Where the bytes of the value at `place` begin and end.
    fn span(&self, place: usize) -> (usize, usize) {
        let (mut length, mut begin) = (0, place);
        loop {
            let byte = self.bytes[begin];
            length |= usize::from(byte & 0x7f) << (7 * (begin - place));
            begin += 1;
            if byte & 0x80 == 0 {
                return (begin, begin + length);
            }
        }
    }

    fn set(&mut self, group: usize, value: Option<&[u8]>) {
        let before = self.places[group];
        let free = match before {
            NULL => 0,
            place => self.span(place as usize).1 - place as usize,
        };
        self.used -= free;
        let Some(value) = value else {
            self.places[group] = NULL;
            return;
        };
        let (length, digits) = encoded(value.len());
        let size = digits + value.len();
        self.used += size;
        if size <= free {
            let place = before as usize;
            self.bytes[place..place + digits].copy_from_slice(&length[..digits]);
            self.bytes[place + digits..place + size].copy_from_slice(value);
            return;
        }
        self.reserve(size);
        self.places[group] = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&length[..digits]);
        self.bytes.extend_from_slice(value);
    }

    /// Room for so many bytes more. It grows by a quarter and not by the whole, for what is there may be gigabytes.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more.max(self.bytes.len() / 4));
        }
    }

    /// Drops what replaced values left, once it is more than the others.
    fn compact(&mut self) {
        if self.bytes.len() - self.used <= GARBAGE_MIN.max(self.used) {
            return;
        }
        let mut bytes = Vec::with_capacity(self.used);
        for group in 0..self.places.len() {
            let place = self.places[group];
            if place != NULL {
                let end = self.span(place as usize).1;
                self.places[group] = bytes.len() as u64;
                bytes.extend_from_slice(&self.bytes[place as usize..end]);
            }
        }
        self.bytes = bytes;
    }

    fn set_all<'a>(&mut self, groups: &[usize], values: impl Iterator<Item = Option<&'a [u8]>>) {
        for (group, value) in groups.iter().zip(values) {
            self.set(*group, value);
        }
    }

    fn with_offsets<O: OffsetSizeTrait>(&self, groups: &[usize]) -> Result<GenericBinaryArray<O>> {
        let lengths = groups
            .iter()
            .map(|group| self.value(*group).map_or(0, <[u8]>::len));
        let total: usize = lengths.sum();
        O::from_usize(total).ok_or(ArrowError::OffsetOverflowError(total))?;
        let mut offsets = Vec::with_capacity(groups.len() + 1);
        let mut bytes = Vec::with_capacity(total);
        offsets.push(O::default());
        for group in groups {
            bytes.extend_from_slice(self.value(*group).unwrap_or_default());
            offsets.push(O::usize_as(bytes.len()));
        }
        let nulls: NullBuffer = groups.iter().map(|group| self.places[*group] != NULL).collect();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let offsets = OffsetBuffer::new(offsets.into());
        Ok(GenericBinaryArray::try_new(offsets, bytes.into(), nulls)?)
    }

    fn text_with_offsets<O: OffsetSizeTrait>(&self, groups: &[usize]) -> Result<ArrayRef> {
        let bytes = self.with_offsets::<O>(groups)?;
        Ok(Arc::new(GenericStringArray::<O>::try_from_binary(bytes)?))
    }
}

impl StateColumn for BytesColumn {
    fn gather(&self, groups: &[usize]) -> Result<ArrayRef> {
        match &self.data_type {
            DataType::Utf8 => self.text_with_offsets::<i32>(groups),
            DataType::LargeUtf8 => self.text_with_offsets::<i64>(groups),
            DataType::Binary => Ok(Arc::new(self.with_offsets::<i32>(groups)?)),
            DataType::LargeBinary => Ok(Arc::new(self.with_offsets::<i64>(groups)?)),
            data_type => {
                let mut views = BinaryViewBuilder::with_capacity(groups.len());
                groups
                    .iter()
                    .for_each(|group| views.append_option(self.value(*group)));
                let views = views.finish();
                match data_type {
                    DataType::Utf8View => Ok(Arc::new(views.to_string_view()?)),
                    _ => Ok(Arc::new(views)),
                }
            }
        }
    }

    fn scatter(&mut self, groups: &[usize], values: &ArrayRef) -> Result<()> {
        let len = groups.iter().max().map_or(0, |last| last + 1);
        if len > self.places.len() {
            self.places.resize(len, NULL);
        }
        let bytes = str::as_bytes;
        match &self.data_type {
            DataType::Utf8 => self.set_all(
                groups,
                values.as_string::<i32>().iter().map(|text| text.map(bytes)),
            ),
            DataType::LargeUtf8 => {
                self.set_all(
                    groups,
                    values.as_string::<i64>().iter().map(|text| text.map(bytes)),
                );
            }
            DataType::Utf8View => {
                self.set_all(groups, values.as_string_view().iter().map(|text| text.map(bytes)))
            }
            DataType::Binary => self.set_all(groups, values.as_binary::<i32>().iter()),
            DataType::LargeBinary => self.set_all(groups, values.as_binary::<i64>().iter()),
            _ => self.set_all(groups, values.as_binary_view().iter()),
        }
        self.compact();
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<u64>()
    }
}

/// A length in LEB128, and how many bytes of it count.
fn encoded(mut length: usize) -> ([u8; 10], usize) {
    let (mut out, mut digits) = ([0; 10], 0);
    loop {
        out[digits] = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            return (out, digits + 1);
        }
        out[digits] |= 0x80;
        digits += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use arrow::compute::cast;
    use proptest::prelude::*;

    const TYPES: [DataType; 6] = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
    ];

    fn value() -> impl Strategy<Value = Option<String>> {
        // Lengths of one and of two digits, the border between them included; some with letters of several bytes.
        let length = prop_oneof![Just(0_usize), 1..20_usize, 126..130_usize, Just(20_000)];
        proptest::option::weighted(
            0.8,
            (length, any::<bool>())
                .prop_map(|(length, ascii)| (if ascii { "x" } else { "é" }).repeat(length)),
        )
    }

    proptest! {
        #[test]
        fn every_type_holds_what_was_set_last(
            batches in proptest::collection::vec(
                proptest::collection::vec((0..30_usize, value()), 1..20),
                1..12,
            ),
        ) {
            for data_type in TYPES {
                let mut column = BytesColumn::new(&data_type);
                let mut expected: Vec<Option<String>> = Vec::new();
                for batch in &batches {
                    let (groups, values): (Vec<usize>, Vec<Option<String>>) = batch.iter().cloned().unzip();
                    let array: ArrayRef = Arc::new(StringViewArray::from_iter(&values));
                    column.scatter(&groups, &cast(&array, &data_type).unwrap()).unwrap();
                    for (group, value) in groups.into_iter().zip(values) {
                        expected.resize(expected.len().max(group + 1), None);
                        expected[group] = value;
                    }
                    prop_assert!(column.bytes.len() - column.used <= GARBAGE_MIN.max(column.used));
                }
                let groups: Vec<usize> = (0..expected.len()).rev().collect();
                let found = column.gather(&groups).unwrap();
                prop_assert_eq!(found.data_type(), &data_type);
                let found = cast(&found, &DataType::Utf8View).unwrap();
                let found: Vec<Option<&str>> = found.as_string_view().iter().rev().collect();
                let expected: Vec<Option<&str>> = expected.iter().map(Option::as_deref).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn what_is_replaced_does_not_stay() {
        let mut column = BytesColumn::new(&DataType::Utf8View);
        let texts = |length: usize| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(
                (0..1000).map(|_| "x".repeat(length)),
            ))
        };
        let groups: Vec<usize> = (0..1000).collect();
        // Longer each time, so that no value fits where the one before it was.
        for length in 100..200 {
            column.scatter(&groups, &texts(length)).unwrap();
        }
        // Of all there were it would be seventy times as much.
        let most = 4 * column.used;
        assert!(column.size_bytes() <= most, "{} of {most}", column.size_bytes());
        // Shorter ones take the places of the longer, and then less than half is in use.
        let before = column.bytes.len();
        column.scatter(&groups, &texts(90)).unwrap();
        assert!(column.bytes.len() <= before);
        column.scatter(&groups, &texts(3)).unwrap();
        assert_eq!((column.used, column.bytes.len()), (4_000, 4_000));
        assert_eq!(&column.gather(&groups).unwrap(), &texts(3));
    }

    #[test]
    fn texts_that_overflow_their_offsets_are_an_error() {
        let mut column = BytesColumn::new(&DataType::Utf8);
        let long: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["x".repeat(1 << 20)]));
        column.scatter(&[0], &long).unwrap();
        let error = column.gather(&[0; 2048]).unwrap_err();
        assert!(error.to_string().contains("2147483648"), "{error}");
    }
}
