//! One keyed aggregate, compiled.
use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, Result, cast::as_boolean_array, plan_err};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{EmitTo, Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use crate::expr::{CompiledExpr, prepare_aggregate};
use crate::format::{Placement, fingerprint, key_type};
use crate::plan::PlanError;
use crate::state::types_of;

/// The column of the latest event time; no user's column has such a name.
const TIME: &str = "$time";

/// The values that an aggregate reads, and which rows it takes; all if it has no filter.
pub(crate) type Arguments = (Vec<ArrayRef>, Option<BooleanArray>);

/// Keys and aggregates bound to the schema of the rows they read.
#[derive(Debug)]
pub(crate) struct AggregateSpec {
    keys: Vec<CompiledExpr>,
    aggregates: Vec<Aggregate>,
    key_schema: SchemaRef,
    state_schema: SchemaRef,
    output_schema: SchemaRef,
    fingerprint: u64,
    text: String,
}

/// One aggregate function and what it reads.
#[derive(Debug)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    states: usize,
}

impl AggregateSpec {
    /// Compiles `aggregates` over rows of `input`, grouped by `keys`.
    pub(crate) fn new(
        name: &str,
        keys: Vec<CompiledExpr>,
        aggregates: &[Expr],
        input: &Schema,
    ) -> Result<Self, PlanError> {
        let step = format!("aggregate {name}");
        let mut key_fields = Vec::with_capacity(keys.len());
        for key in &keys {
            let field = key.field();
            let data_type = key_type(field.data_type());
            if !Placement::supports(&data_type) {
                let (column, actual) = (field.name().clone(), field.data_type().clone());
                return Err(PlanError::UnsupportedKey { step, column, actual });
            }
            key_fields.push(Arc::new(Field::new(field.name(), data_type, true)));
        }
        let (mut state_fields, mut output_fields) = (key_fields.clone(), key_fields.clone());
        let mut compiled = Vec::with_capacity(aggregates.len());
        for expr in aggregates {
            if !is_aggregate(expr) {
                return Err(PlanError::NotAnAggregate {
                    step,
                    expr: expr.to_string(),
                });
            }
            let (aggregate, states, output) =
                Aggregate::new(expr, input).map_err(|cause| PlanError::Expression {
                    step: step.clone(),
                    expr: expr.to_string(),
                    cause: Box::new(cause),
                })?;
            state_fields.extend(states);
            output_fields.push(output);
            compiled.push(aggregate);
        }
        let key_texts: Vec<&str> = keys.iter().map(CompiledExpr::text).collect();
        let texts: Vec<String> = aggregates.iter().map(readable).collect();
        state_fields.push(Arc::new(Field::new(TIME, DataType::Int64, false)));
        let state_schema = Arc::new(Schema::new(state_fields));
        Ok(Self {
            text: format!("{step}: {} → {}", key_texts.join(", "), texts.join(", ")),
            fingerprint: fingerprint(&state_schema, keys.len(), &texts),
            keys,
            aggregates: compiled,
            key_schema: Arc::new(Schema::new(key_fields)),
            state_schema,
            output_schema: Arc::new(Schema::new(output_fields)),
        })
    }

    /// The same aggregate by window: another meaning, so another fingerprint.
    pub(crate) fn of_windows(mut self, meaning: &str) -> Self {
        self.text = format!("{} [{meaning}]", self.text);
        self.fingerprint = fingerprint(&self.state_schema, self.keys.len(), &[self.text.clone()]);
        self
    }

    /// The aggregate as the user would read it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Key columns, partial states, and the latest event time of the rows behind them.
    pub(crate) fn state_schema(&self) -> SchemaRef {
        Arc::clone(&self.state_schema)
    }

    /// Key columns, then results.
    pub(crate) fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output_schema)
    }

    /// What the states are made of: two that have the same text may read different types.
    pub(crate) fn types(&self) -> String {
        types_of(self.state_schema.fields())
    }

    /// Names the state schema and what the states mean.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many of the first columns are the key.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// An empty map from keys to group numbers.
    pub(crate) fn new_keys(&self) -> Result<Box<dyn GroupValues>> {
        new_group_values(Arc::clone(&self.key_schema), &GroupOrdering::None)
    }

    /// One empty accumulator an aggregate.
    pub(crate) fn new_accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        self.aggregates.iter().map(Aggregate::accumulator).collect()
    }

    /// The key columns of a batch of rows.
    pub(crate) fn evaluate_keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let fields = self.key_schema.fields().iter();
        self.keys
            .iter()
            .zip(fields)
            .map(|(key, field)| as_type(key.evaluate(batch)?, field.data_type()))
            .collect()
    }

    /// The key columns of a batch of rows but for the last, which is the window.
    pub(crate) fn evaluate_keys_but_last(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let (_, keys) = self.keys.split_last().expect("there is a key");
        let pairs = keys.iter().zip(self.key_schema.fields());
        pairs
            .map(|(key, field)| as_type(key.evaluate(batch)?, field.data_type()))
            .collect()
    }

    /// What each aggregate reads of a batch of rows.
    pub(crate) fn evaluate_arguments(&self, batch: &RecordBatch) -> Result<Vec<Arguments>> {
        let aggregates = self.aggregates.iter();
        aggregates.map(|aggregate| aggregate.evaluate(batch)).collect()
    }

    /// The results of `states`, in which each key is once.
    pub(crate) fn results(&self, states: &RecordBatch) -> Result<RecordBatch> {
        let rows = states.num_rows();
        if rows == 0 {
            // Some accumulators have no type for the results of no groups.
            return Ok(RecordBatch::new_empty(self.output_schema()));
        }
        let (keys, states) = states.columns().split_at(self.key_count());
        let every_row: Vec<usize> = (0..rows).collect();
        let mut finished = self.new_accumulators()?;
        self.merge(&mut finished, states, &every_row, rows)?;
        let mut results = keys.to_vec();
        for accumulator in &mut finished {
            results.push(accumulator.evaluate(EmitTo::All)?);
        }
        Ok(RecordBatch::try_new(self.output_schema(), results)?)
    }

    /// Adds the arguments of a batch of rows, whose groups are `groups`, to the accumulators.
    pub(crate) fn update(
        &self,
        accumulators: &mut [Box<dyn GroupsAccumulator>],
        arguments: &[Arguments],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        for ((values, filter), accumulator) in arguments.iter().zip(accumulators) {
            accumulator.update_batch(values, groups, filter.as_ref(), total)?;
        }
        Ok(())
    }

    /// Adds partial states (the columns of [`Self::state_schema`] behind the key) to the accumulators.
    pub(crate) fn merge(
        &self,
        accumulators: &mut [Box<dyn GroupsAccumulator>],
        states: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        let mut rest = states;
        for (aggregate, accumulator) in self.aggregates.iter().zip(accumulators) {
            let (own, others) = rest.split_at(aggregate.states);
            accumulator.merge_batch(own, groups, total)?;
            rest = others;
        }
        Ok(())
    }
}

impl Aggregate {
    fn new(expr: &Expr, input: &Schema) -> Result<(Self, Vec<FieldRef>, FieldRef)> {
        let df_schema = Arc::new(DFSchema::try_from(input.clone())?);
        let name = expr.schema_name().to_string();
        let ready = prepare_aggregate(expr.clone(), &df_schema)?;
        let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let lowered = LoweredAggregateBuilder::new(&ready, &df_schema, input, &properties, &context)
            .with_name(&name)
            .build()?;
        let function = lowered.aggregate;
        if function.order_sensitivity().hard_requires() {
            return plan_err!(
                "{} takes rows only if they come in that order, which a stream's do not",
                function.name()
            );
        }
        // Those that compare for themselves are given what they compare by.
        let orders: Vec<_> = function
            .order_bys()
            .iter()
            .map(|order| Arc::clone(&order.expr))
            .collect();
        let states = function.state_fields()?;
        let output = function.field();
        let output = Arc::new(Field::new(name, output.data_type().clone(), output.is_nullable()));
        let states: Vec<FieldRef> = states
            .iter()
            .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
            .collect();
        let aggregate = Self {
            arguments: [function.expressions(), orders].concat(),
            filter: lowered.filter,
            states: states.len(),
            function,
        };
        aggregate.check()?;
        Ok((aggregate, states, output))
    }

    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || {
            function.create_accumulator()
        })))
    }

    /// Some functions look at their constants no earlier than when an accumulator is made.
    fn check(&self) -> Result<()> {
        match self.function.groups_accumulator_supported() {
            true => self.function.create_groups_accumulator().map(drop),
            false => self.function.create_accumulator().map(drop),
        }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<Arguments> {
        let rows = batch.num_rows();
        let all = |argument: &Arc<dyn PhysicalExpr>| argument.evaluate(batch)?.into_array(rows);
        let Some(filter) = &self.filter else {
            let values = self.arguments.iter().map(all);
            return Ok((values.collect::<Result<_>>()?, None));
        };
        let filter = as_boolean_array(&filter.evaluate(batch)?.into_array(rows)?)?.clone();
        if filter.true_count() == rows || self.arguments.iter().all(is_column) {
            let values = self.arguments.iter().map(all);
            return Ok((values.collect::<Result<_>>()?, Some(filter)));
        }
        // Of rows that are left out an argument may have no value, and must not be asked for one.
        let taken = filter_record_batch(batch, &filter)?;
        let mut next = 0..;
        let places: UInt32Array = (0..rows)
            .map(|row| {
                let is_taken = filter.is_valid(row) && filter.value(row);
                is_taken.then(|| next.next()).flatten()
            })
            .collect();
        let values = self.arguments.iter().map(|argument| match is_column(argument) {
            true => all(argument),
            false => {
                let values = argument.evaluate(&taken)?.into_array(taken.num_rows())?;
                Ok(take(&values, &places, None)?)
            }
        });
        Ok((values.collect::<Result<_>>()?, Some(filter)))
    }
}

/// Whether an expression is a column, which every row has.
fn is_column(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let expr: &dyn Any = expr.as_ref();
    expr.is::<Column>()
}

fn is_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_aggregate(&alias.expr),
        Expr::AggregateFunction(_) => true,
        _ => false,
    }
}

/// The expression with only its outermost alias; `count_all` brings one of its own.
fn readable(expr: &Expr) -> String {
    match expr {
        Expr::Alias(alias) => match alias.expr.as_ref() {
            Expr::Alias(inner) => readable(&inner.expr.as_ref().clone().alias(&alias.name)),
            _ => expr.to_string(),
        },
        _ => expr.to_string(),
    }
}

fn as_type(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef, DataFusionError> {
    if array.data_type() == data_type {
        Ok(array)
    } else {
        Ok(cast(&array, data_type)?)
    }
}
