//! Rows by key: the last of each key, or none.
use arrow::array::{ArrayRef, BooleanArray, new_empty_array};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use std::sync::Arc;

use super::column::{StateColumn, new_column};
use crate::aggregate::{EmitTo, GroupValues};

/// Deleted rows that are kept at least before the table is made anew without them.
const DEAD_MIN: usize = if cfg!(test) { 4 } else { 4096 };

/// A table whose rows are set and deleted by key. A key has a place for as long as the table is not [`compact`](Self::compact)ed.
pub(crate) struct RowTable {
    key_schema: SchemaRef,
    value_schema: SchemaRef,
    keys: Box<dyn GroupValues>,
    columns: Vec<Box<dyn StateColumn>>,
    live: Vec<bool>,
    live_rows: usize,
}

impl RowTable {
    /// A table with the columns of both schemas.
    pub(crate) fn new(key_schema: SchemaRef, value_schema: SchemaRef) -> Result<Self> {
        let mut table = Self {
            keys: new_group_values(Arc::clone(&key_schema), &GroupOrdering::None)?,
            columns: Vec::new(),
            key_schema,
            value_schema,
            live: Vec::new(),
            live_rows: 0,
        };
        table.columns = table.new_columns();
        Ok(table)
    }

    /// An empty table with the same columns.
    pub(super) fn anew(&self) -> Result<Self> {
        Self::new(Arc::clone(&self.key_schema), Arc::clone(&self.value_schema))
    }

    fn new_columns(&self) -> Vec<Box<dyn StateColumn>> {
        let fields = self.value_schema.fields().iter();
        fields.map(|field| new_column(field.data_type())).collect()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.live_rows
    }

    /// Roughly the memory in use.
    pub(crate) fn size_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.size_bytes());
        self.keys.size() + columns.sum::<usize>() + self.live.capacity()
    }

    /// The places of keys; those that are new have no row yet.
    pub(crate) fn places(&mut self, keys: &[ArrayRef]) -> Result<Vec<usize>> {
        let mut places = Vec::new();
        self.keys.intern(keys, &mut places)?;
        self.live.resize(self.keys.len(), false);
        Ok(places)
    }

    /// Whether there is a row at `place`.
    pub(crate) fn is_live(&self, place: usize) -> bool {
        self.live[place]
    }

    /// All places, those without a row as well.
    pub(crate) fn places_end(&self) -> usize {
        self.live.len()
    }

    /// The keys of all places, in their order.
    pub(super) fn keys(&mut self) -> Result<Vec<ArrayRef>> {
        if self.live.is_empty() {
            let fields = self.key_schema.fields().iter();
            return Ok(fields.map(|field| new_empty_array(field.data_type())).collect());
        }
        let empty = new_group_values(Arc::clone(&self.key_schema), &GroupOrdering::None)?;
        let keys = std::mem::replace(&mut self.keys, empty).emit(EmitTo::All)?;
        // They come in the order of their places, and find the same ones again.
        self.keys.intern(&keys, &mut Vec::new())?;
        Ok(keys)
    }

    /// All rows: keys, then values.
    pub(super) fn all(&mut self) -> Result<Vec<ArrayRef>> {
        let flags = BooleanArray::from(self.live.clone());
        let keys = self.keys()?;
        let keys = keys.iter().map(|column| filter(column, &flags));
        let mut columns = keys.collect::<std::result::Result<Vec<_>, _>>()?;
        let places: Vec<usize> = (0..self.live.len()).filter(|place| self.live[*place]).collect();
        columns.extend(self.gather(&places)?);
        Ok(columns)
    }

    /// The values at `places`, which have rows.
    pub(crate) fn gather(&self, places: &[usize]) -> Result<Vec<ArrayRef>> {
        (0..self.columns.len())
            .map(|column| self.gather_column(column, places))
            .collect()
    }

    /// The values of the last column at `places`.
    pub(super) fn gather_last(&self, places: &[usize]) -> Result<ArrayRef> {
        self.gather_column(self.columns.len() - 1, places)
    }

    /// The values of column number `column` at `places`.
    pub(crate) fn gather_column(&self, column: usize, places: &[usize]) -> Result<ArrayRef> {
        match places.is_empty() {
            true => Ok(new_empty_array(self.value_schema.field(column).data_type())),
            false => self.columns[column].gather(places),
        }
    }

    /// Sets the rows at `places`, or deletes them where `live` is false; of several for one place the last counts. Deleted rows keep no
    /// values if theirs are null. Gives for each whether there was a row before it.
    pub(crate) fn set(&mut self, places: &[usize], values: &[ArrayRef], live: &[bool]) -> Result<Vec<bool>> {
        for (column, values) in self.columns.iter_mut().zip(values) {
            column.scatter(places, values)?;
        }
        let mut had = Vec::with_capacity(places.len());
        for (&place, &live) in places.iter().zip(live) {
            let before = std::mem::replace(&mut self.live[place], live);
            self.live_rows = self.live_rows + usize::from(live) - usize::from(before);
            had.push(before);
        }
        Ok(had)
    }

    /// Makes the table anew if most of its places have no row; gives the keys that are left, by their new places.
    pub(crate) fn compact(&mut self) -> Result<Option<Vec<ArrayRef>>> {
        let dead = self.live.len() - self.live_rows;
        if dead < DEAD_MIN.max(self.live_rows) {
            return Ok(None);
        }
        self.make_anew().map(Some)
    }

    /// Makes the table anew without places that have no row; gives the keys that are left, by their new places.
    pub(super) fn make_anew(&mut self) -> Result<Vec<ArrayRef>> {
        let flags = BooleanArray::from(self.live.clone());
        let mut keys = std::mem::replace(
            &mut self.keys,
            new_group_values(Arc::clone(&self.key_schema), &GroupOrdering::None)?,
        );
        let keys: Vec<ArrayRef> = keys
            .emit(EmitTo::All)?
            .iter()
            .map(|column| filter(column, &flags))
            .collect::<std::result::Result<_, _>>()?;
        let left: Vec<usize> = (0..self.live.len()).filter(|place| self.live[*place]).collect();
        let values = self.gather(&left)?;
        self.columns = self.new_columns();
        self.live = Vec::new();
        self.live_rows = 0;
        if !left.is_empty() {
            let places = self.places(&keys)?;
            self.set(&places, &values, &vec![true; left.len()])?;
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    #[test]
    fn rows_are_set_deleted_and_forgotten() {
        let schema = |name, data_type| Arc::new(Schema::new(vec![Field::new(name, data_type, true)]));
        let mut table = RowTable::new(schema("k", DataType::Utf8View), schema("v", DataType::Int64)).unwrap();
        let keys = |range: std::ops::Range<i64>| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(
                range.map(|n| format!("key {n}")),
            ))
        };
        let values =
            |range: std::ops::Range<i64>| -> ArrayRef { Arc::new(Int64Array::from_iter_values(range)) };
        let places = table.places(&[keys(0..10_000)]).unwrap();
        table
            .set(&places, &[values(0..10_000)], &vec![true; 10_000])
            .unwrap();
        assert!(table.compact().unwrap().is_none());
        let places = table.places(&[keys(0..9_990)]).unwrap();
        table
            .set(&places, &[values(0..9_990)], &vec![false; 9_990])
            .unwrap();
        assert_eq!(table.len(), 10);
        let left = table.compact().unwrap().unwrap();
        assert_eq!(left[0].as_string_view().value(0), "key 9990");
        assert_eq!((table.len(), table.places_end()), (10, 10));
        let places = table.places(&[keys(9_989..9_992)]).unwrap();
        assert_eq!(places, [10, 0, 1]);
        assert!(!table.is_live(10) && table.is_live(1));
        let found = table.gather(&[1, 0]).unwrap();
        assert_eq!(&**found[0].as_primitive::<Int64Type>().values(), [9_991, 9_990]);
        let all = table.all().unwrap();
        assert_eq!(all[0].len(), 10, "the place without a row is not among them");
        assert_eq!(all[0].as_string_view().value(1), "key 9991");
        assert_eq!(all[1].as_primitive::<Int64Type>().value(1), 9_991);
        let places = table.places(&[keys(9_989..9_992)]).unwrap();
        assert_eq!(places, [10, 0, 1], "places are what they were");
    }
}
