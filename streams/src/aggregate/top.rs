//! The first rows of a group in an order, as one aggregate.
//!
//! Its state and its result are the same: a binary with the rows in their order, each as what it is ordered by
//! ([`OrderWriter`]) and its columns ([`RowCodec`]), both behind their length. So rows are compared and merged as bytes,
//! and whoever shows ranks takes apart those that changed ([`ranked`]).
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use crate::format::{Direction, FormatError, OrderWriter, RowCodec, put_bytes, take_bytes};

/// What a row takes beside its bytes.
const ROW_BYTES: usize = 32;

/// Which rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TopRows {
    /// So many.
    pub(crate) most: usize,
    /// And those that are equal to the last of them.
    pub(crate) ties: bool,
    /// The columns of rows; the first arguments.
    pub(crate) columns: Vec<FieldRef>,
    /// What they are ordered by: the places of arguments.
    pub(crate) orders: Vec<(usize, Direction)>,
}

impl TopRows {
    /// The aggregate of `arguments`, which have these `types`; `order` says what they are ordered by. States are bytes, and their meaning hangs on all of it.
    pub(crate) fn call(self, order: &str, types: &str, arguments: Vec<Expr>) -> Expr {
        let ties = if self.ties { " with ties" } else { "" };
        let top = AggregateUDF::from(Top {
            name: format!("top {}{ties} by {order} of {types}: ", self.most),
            signature: Signature::any(arguments.len(), Volatility::Immutable),
            rows: Arc::new(self),
        });
        top.call(arguments)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Top {
    rows: Arc<TopRows>,
    name: String,
    signature: Signature,
}

impl AggregateUDFImpl for Top {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[top]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("the first rows of one group")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::new(Arc::clone(&self.rows))))
    }
}

/// A row: what it is ordered by, and its columns.
struct Entry {
    bytes: Box<[u8]>,
    /// Where the columns begin.
    columns: u32,
}

impl Entry {
    fn new(order: &[u8], columns: &[u8]) -> Self {
        Self {
            bytes: [order, columns].concat().into(),
            columns: u32::try_from(order.len()).unwrap_or(u32::MAX),
        }
    }

    fn order(&self) -> &[u8] {
        &self.bytes[..self.columns as usize]
    }

    fn columns(&self) -> &[u8] {
        &self.bytes[self.columns as usize..]
    }
}

/// The rows of each group, in their order; equal ones as they came.
struct Groups {
    rows: Arc<TopRows>,
    codec: RowCodec,
    groups: Vec<Vec<Entry>>,
    entry_bytes: usize,
}

impl Groups {
    fn new(rows: Arc<TopRows>) -> Self {
        Self {
            codec: RowCodec::new(rows.columns.iter().cloned()),
            rows,
            groups: Vec::new(),
            entry_bytes: 0,
        }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize_with(groups, Vec::new);
        }
    }

    /// Whether a row that is ordered by `order` would be kept.
    fn takes(&self, group: usize, order: &[u8]) -> bool {
        let rows = &self.groups[group];
        match rows.get(self.rows.most - 1) {
            Some(last) if self.rows.ties => order <= last.order(),
            Some(last) => order < last.order(),
            None => true,
        }
    }

    fn insert(&mut self, group: usize, entry: Entry) {
        let rows = &mut self.groups[group];
        let place = rows.partition_point(|other| other.order() <= entry.order());
        self.entry_bytes += entry.bytes.len() + ROW_BYTES;
        rows.insert(place, entry);
        let kept = match self.rows.ties && rows.len() > self.rows.most {
            true => {
                let last = rows[self.rows.most - 1].order();
                rows.partition_point(|other| other.order() <= last)
            }
            false => self.rows.most,
        };
        for gone in rows.drain(kept.min(rows.len())..) {
            self.entry_bytes -= gone.bytes.len() + ROW_BYTES;
        }
    }

    fn states(&mut self, emit_to: EmitTo) -> ArrayRef {
        let (mut states, mut state) = (BinaryBuilder::new(), Vec::new());
        for rows in emit_to.take_needed(&mut self.groups) {
            state.clear();
            for row in &rows {
                self.entry_bytes -= row.bytes.len() + ROW_BYTES;
                put_bytes(row.order(), &mut state);
                put_bytes(row.columns(), &mut state);
            }
            match rows.is_empty() {
                true => states.append_null(),
                false => states.append_value(&state),
            }
        }
        Arc::new(states.finish())
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let orders = self
            .rows
            .orders
            .iter()
            .map(|(place, direction)| (&values[*place], *direction));
        let orders = OrderWriter::new(orders).map_err(|error: ArrowError| failed(error))?;
        let columns = self
            .codec
            .writer(&values[..self.rows.columns.len()])
            .map_err(failed)?;
        let (mut order, mut row_bytes) = (Vec::new(), Vec::new());
        for (row, &group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            order.clear();
            orders.write(row, &mut order);
            if self.takes(group, &order) {
                row_bytes.clear();
                columns.write(row, &mut row_bytes).map_err(failed)?;
                self.insert(group, Entry::new(&order, &row_bytes));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        for (state, &group) in states[0].as_binary::<i32>().iter().zip(groups) {
            for row in ranked(state.unwrap_or_default()) {
                let (order, columns) = row.map_err(failed)?;
                if !self.takes(group, order) {
                    break;
                }
                self.insert(group, Entry::new(order, columns));
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.states(emit_to)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.states(emit_to))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut alone = Self::new(Arc::clone(&self.rows));
        alone.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Vec<Entry>>() + self.entry_bytes
    }
}

fn failed(cause: impl fmt::Display) -> DataFusionError {
    exec_datafusion_err!("the first rows: {cause}")
}

/// The rows of a state in their order: what each is ordered by, and its columns.
pub(crate) fn ranked(mut state: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), FormatError>> {
    std::iter::from_fn(move || {
        if state.is_empty() {
            return None;
        }
        let row = take_bytes(&mut state).and_then(|order| Ok((order, take_bytes(&mut state)?)));
        if row.is_err() {
            state = &[];
        }
        Some(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    fn rows(most: usize, ties: bool) -> Arc<TopRows> {
        let direction = Direction {
            descending: true,
            nulls_first: false,
        };
        Arc::new(TopRows {
            most,
            ties,
            columns: vec![
                Arc::new(Field::new("price", DataType::Int64, true)),
                Arc::new(Field::new("name", DataType::Utf8, true)),
            ],
            orders: vec![(0, direction)],
        })
    }

    /// A group, price and name.
    type Row = (usize, Option<i64>, u8);

    fn columns(rows: &[Row]) -> (Vec<ArrayRef>, Vec<usize>) {
        let prices = rows.iter().map(|row| row.1).collect::<Int64Array>();
        let names = rows.iter().map(|row| Some(row.2.to_string()));
        let names = names.collect::<StringArray>();
        let groups = rows.iter().map(|row| row.0).collect();
        (vec![Arc::new(prices), Arc::new(names)], groups)
    }

    fn shown(top: &TopRows, results: &ArrayRef) -> Vec<Vec<(Option<i64>, String)>> {
        let results = results.as_binary::<i32>();
        let group = |state: Option<&[u8]>| {
            let mut reader = RowCodec::new(top.columns.iter().cloned()).reader();
            for row in ranked(state.unwrap_or_default()) {
                reader.push(row.unwrap().1).unwrap();
            }
            let columns = reader.finish().unwrap();
            let prices = columns[0].as_primitive::<arrow::datatypes::Int64Type>();
            let names = columns[1].as_string::<i32>();
            (0..prices.len())
                .map(|row| {
                    (
                        prices.is_valid(row).then(|| prices.value(row)),
                        names.value(row).to_owned(),
                    )
                })
                .collect()
        };
        results.iter().map(group).collect()
    }

    /// The same by sorting all.
    fn oracle(top: &TopRows, rows: &[Row]) -> Vec<Vec<(Option<i64>, String)>> {
        let mut groups = vec![Vec::new(); 3];
        for (group, price, name) in rows {
            groups[*group].push((*price, name.to_string()));
        }
        for group in &mut groups {
            // Nulls last; the sort keeps equal ones as they came.
            group.sort_by_key(|(price, _)| (price.is_none(), price.map(|price| -price)));
            let last = group.get(top.most - 1).map(|row| row.0);
            let mut place = 0;
            group.retain(|row| {
                place += 1;
                place <= top.most || (top.ties && Some(row.0) == last)
            });
        }
        groups
    }

    proptest! {
        #[test]
        fn the_first_rows_are_those_of_a_sort_however_they_come(
            came in proptest::collection::vec((0..3_usize, proptest::option::of(0..6_i64), any::<u8>()), 0..60),
            most in 1..5_usize,
            ties: bool,
            cut in 0..60_usize,
        ) {
            let top = rows(most, ties);
            let (before, behind) = came.split_at(cut.min(came.len()));
            let mut all = Groups::new(Arc::clone(&top));
            for part in [before, behind] {
                let mut one = Groups::new(Arc::clone(&top));
                let (values, groups) = columns(part);
                one.update_batch(&values, &groups, None, 3).unwrap();
                let states = one.state(EmitTo::All).unwrap();
                prop_assert_eq!(one.entry_bytes, 0);
                all.merge_batch(&states, &[0, 1, 2], 3).unwrap();
            }
            let results = all.evaluate(EmitTo::All).unwrap();
            prop_assert_eq!(shown(&top, &results), oracle(&top, &came));
        }

        #[test]
        fn damaged_states_are_refused(came in proptest::collection::vec((0..1_usize, Just(Some(7)), any::<u8>()), 1..4), cut in 1..8_usize) {
            let top = rows(3, false);
            let mut groups = Groups::new(Arc::clone(&top));
            let (values, places) = columns(&came);
            groups.update_batch(&values, &places, None, 1).unwrap();
            let states = groups.state(EmitTo::All).unwrap();
            let whole = states[0].as_binary::<i32>().value(0);
            let cut: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![&whole[..whole.len() - cut]]));
            prop_assert!(Groups::new(top).merge_batch(&[cut], &[0], 1).is_err());
        }
    }

    #[test]
    fn states_are_bytes_that_stay() {
        let mut groups = Groups::new(rows(2, false));
        let (values, places) = columns(&[(0, Some(1), 5), (0, None, 6)]);
        groups.update_batch(&values, &places, None, 2).unwrap();
        let states = groups.state(EmitTo::All).unwrap();
        let state = states[0].as_binary::<i32>();
        let first = [
            &[9, 1, 127, 255, 255, 255, 255, 255, 255, 254][..],
            &[5, 1, 2, 1, 1, b'5'],
        ];
        let second = [&[1, 2][..], &[4, 0, 1, 1, b'6']];
        assert_eq!(state.value(0), [first.concat(), second.concat()].concat());
        assert!(state.is_null(1), "a group without rows");
    }
}
