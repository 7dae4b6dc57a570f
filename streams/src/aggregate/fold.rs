//! Aggregates that are closures over structs.
use std::any::type_name;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, not_impl_err, plan_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, Expr, GroupsAccumulator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_arrow::Deserializer;
use serde_arrow::utils::Items;

use crate::expr::prelude::col;
use crate::plan::PlanError;
use crate::typed::{Row, field_of, guard, schema_of};

/// An aggregate of one's own: a value of the type `A` for each key, begun with `init`, into which `update` takes every row, read as the
/// struct `T`.
///
/// Rows are folded before the shuffle already, and across epochs: `merge` takes a value that comes later in the log into one that comes
/// earlier. What `update` and `merge` make of rows must not depend on where it is cut in two. A key without rows, because a filter left
/// none, has what `init` gives.
///
/// The result is a column, a struct if `A` is one. State is stored as JSON, so that a field that is added with `#[serde(default)]` fits
/// what is stored; map keys must be strings there. A row with a null that `T` does not take follows the policy of the step; a closure that
/// panics fails the job.
///
/// ```
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Bid { auction: i64, price: f64 }
/// #[derive(Default, Serialize, Deserialize)]
/// struct Spread { low: Option<f64>, high: Option<f64> }
///
/// let spread = fold(
///     "spread",
///     Spread::default,
///     |spread: &mut Spread, bid: &Bid| {
///         spread.low = Some(spread.low.map_or(bid.price, |low| low.min(bid.price)));
///         spread.high = Some(spread.high.map_or(bid.price, |high| high.max(bid.price)));
///     },
///     |spread, later| {
///         spread.low = spread.low.into_iter().chain(later.low).reduce(f64::min);
///         spread.high = spread.high.into_iter().chain(later.high).reduce(f64::max);
///     },
/// );
/// let app = Streams::new("spreads");
/// app.stream("bids", json_schema(schema_of::<Bid>()?))
///     .group_by([col("auction")])
///     .aggregate("spreads", [spread.alias("spread")])
///     .to("spreads", json());
/// let mut driver = TestDriver::new(&app)?;
/// for price in [3, 1, 2] {
///     driver.pipe("bids", TestRecord::new(format!(r#"{{"auction":7,"price":{price}}}"#)))?;
///     driver.commit()?;
/// }
/// assert_eq!(driver.read("spreads")[2].as_text(), ("[7]", r#"{"spread":{"low":1.0,"high":3.0}}"#));
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn fold<T: Row, A: Row>(
    name: impl Into<String>,
    init: impl Fn() -> A + Send + Sync + 'static,
    update: impl Fn(&mut A, &T) + Send + Sync + 'static,
    merge: impl Fn(&mut A, A) + Send + Sync + 'static,
) -> Expr {
    let rows = RowOf::<T>::new();
    let columns: Vec<Expr> = rows.fields.iter().map(|field| col(field.name())).collect();
    let closures = Closures {
        name: name.into(),
        init: Box::new(init),
        update: Box::new(update),
        merge: Box::new(merge),
    };
    let fold = AggregateUDF::from(Fold::<T, A> {
        closures: Arc::new(closures),
        signature: Signature::any(1, Volatility::Immutable),
    });
    fold.call(vec![ScalarUDF::from(rows).call(columns)])
}

/// The columns of a `T` as one: a null that `T` does not take is found here, where it is still an error of its row.
struct RowOf<T> {
    fields: Vec<FieldRef>,
    /// Why there are none.
    fault: Option<String>,
    signature: Signature,
    row: PhantomData<fn() -> T>,
}

impl<T: Row> RowOf<T> {
    fn new() -> Self {
        let (fields, fault) = match schema_of::<T>() {
            Ok(schema) => (schema.fields().to_vec(), None),
            Err(fault) => (Vec::new(), Some(fault.to_string())),
        };
        let signature = match fields.len() {
            0 => Signature::nullary(Volatility::Immutable),
            columns => Signature::any(columns, Volatility::Immutable),
        };
        Self {
            fields,
            fault,
            signature,
            row: PhantomData,
        }
    }

    fn struct_fields<'a>(&self, types: impl Iterator<Item = &'a DataType>) -> Vec<Field> {
        let fields = self.fields.iter().zip(types);
        let fields = fields.map(|(field, own)| Field::new(field.name(), own.clone(), true));
        fields.collect()
    }
}

impl<T: Row> ScalarUDFImpl for RowOf<T> {
    fn name(&self) -> &str {
        "row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let Some(fault) = &self.fault {
            return Err(plan_datafusion_err!("{fault}"));
        }
        let fields = self.struct_fields(types.iter());
        let available = Schema::new(fields.clone());
        if let Some(cause) = crate::typed::misfit::<T>(&available) {
            return Err(plan_datafusion_err!(
                "the rows are no {}: {cause}",
                type_name::<T>()
            ));
        }
        Ok(DataType::Struct(fields.into()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        for (field, array) in self.fields.iter().zip(&arrays) {
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(exec_datafusion_err!(
                    "{} is null, which a {} does not take",
                    field.name(),
                    type_name::<T>()
                ));
            }
        }
        let fields = self.struct_fields(arrays.iter().map(|array| array.data_type()));
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(
            fields.into(),
            arrays,
            None,
        )?)))
    }
}

type Update<A, T> = Box<dyn Fn(&mut A, &T) + Send + Sync>;
type Merge<A> = Box<dyn Fn(&mut A, A) + Send + Sync>;

struct Closures<T, A> {
    name: String,
    init: Box<dyn Fn() -> A + Send + Sync>,
    update: Update<A, T>,
    merge: Merge<A>,
}

struct Fold<T, A> {
    closures: Arc<Closures<T, A>>,
    signature: Signature,
}

fn output_of<A: Row>() -> Result<FieldRef> {
    field_of::<A>().map_err(|fault: PlanError| plan_datafusion_err!("{fault}"))
}

impl<T: Row, A: Row> AggregateUDFImpl for Fold<T, A> {
    fn name(&self) -> &str {
        &self.closures.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(output_of::<A>()?.data_type().clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[fold]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("a fold of one group")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Folding {
            closures: Arc::clone(&self.closures),
            values: Vec::new(),
            output: output_of::<A>()?,
            encoded_bytes: 0,
        }))
    }
}

/// The values of groups; none where no row was folded yet.
struct Folding<T, A> {
    closures: Arc<Closures<T, A>>,
    values: Vec<Option<A>>,
    output: FieldRef,
    /// The bytes of states that were merged: all that is known of the sizes of values.
    encoded_bytes: usize,
}

impl<T: Row, A: Row> Folding<T, A> {
    fn failed(&self, cause: impl fmt::Display) -> DataFusionError {
        exec_datafusion_err!("fold {:?}: {cause}", self.closures.name)
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.values.len() {
            self.values.resize_with(groups, || None);
        }
    }

    fn begin(closures: &Closures<T, A>) -> Result<A, crate::typed::ClosureError> {
        guard(|| (closures.init)())
    }
}

impl<T: Row, A: Row> GroupsAccumulator for Folding<T, A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        // Rows that are left out are no `T`.
        let taken = match filter {
            None => Arc::clone(&values[0]),
            Some(filter) => arrow::compute::filter(&values[0], filter)?,
        };
        let is_taken = |row: &usize| filter.is_none_or(|filter| filter.is_valid(*row) && filter.value(*row));
        let places = (0..groups.len()).filter(is_taken);
        let batch = RecordBatch::from(taken.as_struct());
        let rows = Deserializer::from_record_batch(&batch).map_err(|error| self.failed(error))?;
        for (row, item) in places.zip(rows.iter()) {
            let closures = Arc::clone(&self.closures);
            let item = guard(|| T::deserialize(item)).map_err(|error| self.failed(error))?;
            let item = item.map_err(|error| self.failed(error))?;
            if self.values[groups[row]].is_none() {
                let fresh = Self::begin(&closures).map_err(|error| self.failed(error))?;
                self.values[groups[row]] = Some(fresh);
            }
            if let Some(value) = &mut self.values[groups[row]] {
                let updated = guard(|| (closures.update)(value, &item));
                updated.map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        for (state, &group) in states[0].as_binary::<i32>().iter().zip(groups) {
            let Some(state) = state else { continue };
            let later: A = serde_json::from_slice(state).map_err(|error| {
                self.failed(format!(
                    "the stored state is no {}: {error}; another type needs another step name",
                    type_name::<A>()
                ))
            })?;
            self.encoded_bytes += state.len();
            match &mut self.values[group] {
                Some(value) => {
                    let closures = &self.closures;
                    let merged = guard(|| (closures.merge)(value, later));
                    merged.map_err(|error| self.failed(error))?;
                }
                empty => *empty = Some(later),
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut states = BinaryBuilder::new();
        for value in emit_to.take_needed(&mut self.values) {
            match value {
                None => states.append_null(),
                Some(value) => {
                    states.append_value(serde_json::to_vec(&value).map_err(|error| self.failed(error))?);
                }
            }
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let closures = Arc::clone(&self.closures);
        let values = emit_to.take_needed(&mut self.values).into_iter();
        let values = values.map(|value| match value {
            Some(value) => Ok(value),
            None => Self::begin(&closures).map_err(|error| self.failed(error)),
        });
        let values: Vec<A> = values.collect::<Result<_>>()?;
        let fields = [Arc::clone(&self.output)];
        let written = guard(|| serde_arrow::to_arrow(&fields, Items(&values)));
        let mut arrays = written
            .map_err(|error| self.failed(error))?
            .map_err(|error| self.failed(error))?;
        arrays.pop().ok_or_else(|| self.failed("it has no column"))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut alone = Self {
            closures: Arc::clone(&self.closures),
            values: Vec::new(),
            output: Arc::clone(&self.output),
            encoded_bytes: 0,
        };
        alone.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<A>>() + self.encoded_bytes
    }
}

// A fold is itself alone: two of one name may do different things.
impl<T, A> PartialEq for Fold<T, A> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.closures, &other.closures)
    }
}

impl<T, A> Eq for Fold<T, A> {}

impl<T, A> Hash for Fold<T, A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.closures.name.hash(state);
    }
}

impl<T, A> fmt::Debug for Fold<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold {}", self.closures.name)
    }
}

impl<T> PartialEq for RowOf<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl<T> Eq for RowOf<T> {}

impl<T> Hash for RowOf<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields.hash(state);
    }
}

impl<T> fmt::Debug for RowOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row of {}", type_name::<T>())
    }
}
