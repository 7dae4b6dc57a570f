//! One typed step, whose types the plan does not know.
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;

use super::error::{ClosureError, guard};
use super::flow::{Flow, Router, RowFunction};
use super::{Row, name_of, schema_of};
use crate::plan::PlanError;

/// A [`Flow`] of structs that only its stages know.
pub(crate) type AnyFlow = Box<dyn Any>;

/// Consecutive stages, closed: what they do, the columns they give, and how many outputs they have.
pub(crate) type Closed = (Arc<RowFunction>, SchemaRef, usize);

/// A typed step: see [`crate::typed`].
pub(crate) trait Stage: Send + Sync {
    /// The step as the user would read it.
    fn label(&self) -> String;

    /// Makes structs of rows of `input`.
    fn open(&self, step: &str, input: &Schema) -> Result<AnyFlow, PlanError>;

    /// Adds the step itself, as number `part` of those that are fused.
    fn extend(&self, flow: AnyFlow, part: usize) -> AnyFlow;

    /// Makes columns of the structs; `input` are those that the flow was opened with.
    fn close(&self, flow: AnyFlow, part: usize, input: &SchemaRef) -> Result<Closed, PlanError>;

    /// Whether it has several outputs, so that nothing can be fused behind it.
    fn branches(&self) -> bool;
}

/// What a stage does with each struct: what follows goes to its last argument.
type Step<T, U> = dyn Fn(T, &mut dyn FnMut(U)) -> Result<(), ClosureError> + Send + Sync;

/// A stage from `T` to `U`.
pub(crate) struct TypedStage<T, U> {
    name: &'static str,
    step: Arc<Step<T, U>>,
    made: bool,
    branch: Option<(Vec<String>, Router<U>)>,
    types: PhantomData<fn(T) -> U>,
}

impl<T: Row, U: Row> TypedStage<T, U> {
    /// A stage that gives new structs.
    pub(crate) fn making(
        name: &'static str,
        step: impl Fn(T, &mut dyn FnMut(U)) -> Result<(), ClosureError> + Send + Sync + 'static,
    ) -> Arc<dyn Stage> {
        Arc::new(Self {
            name,
            step: Arc::new(step),
            made: true,
            branch: None,
            types: PhantomData,
        })
    }
}

impl<T: Row> TypedStage<T, T> {
    /// A stage that passes structs on as they are, or not at all.
    pub(crate) fn keeping(
        name: &'static str,
        keep: impl Fn(&T) -> Result<bool, ClosureError> + Send + Sync + 'static,
    ) -> Arc<dyn Stage> {
        Arc::new(Self {
            name,
            step: Arc::new(move |item, pass| {
                if keep(&item)? {
                    pass(item);
                }
                Ok(())
            }),
            made: false,
            branch: None,
            types: PhantomData,
        })
    }

    /// A stage with an output for each of `names`.
    pub(crate) fn branching(
        names: Vec<String>,
        choose: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Arc<dyn Stage> {
        let branches = names.len();
        let router = move |item: &T| {
            let chosen = guard(|| choose(item))?;
            match chosen < branches {
                true => Ok(chosen),
                false => Err(ClosureError::NoSuchBranch { chosen, branches }),
            }
        };
        Arc::new(Self {
            name: "branch",
            step: Arc::new(|item, pass| {
                pass(item);
                Ok(())
            }),
            made: false,
            branch: Some((names, Arc::new(router))),
            types: PhantomData,
        })
    }
}

impl<T: Row, U: Row> Stage for TypedStage<T, U> {
    fn label(&self) -> String {
        let (name, from, to) = (self.name, name_of::<T>(), name_of::<U>());
        match &self.branch {
            Some((names, _)) => format!("{name} {from}: {}", names.join(", ")),
            None if self.made => format!("{name} {from} → {to}"),
            None => format!("{name} {from}"),
        }
    }

    fn open(&self, step: &str, input: &Schema) -> Result<AnyFlow, PlanError> {
        let columns = check_columns::<T>(step, input)?;
        Ok(Box::new(Flow::<T>::open(columns)))
    }

    fn extend(&self, flow: AnyFlow, part: usize) -> AnyFlow {
        let flow = flow.downcast::<Flow<T>>();
        let flow = flow.expect("a stage follows one that gives what it takes: the DSL is typed");
        let step = Arc::clone(&self.step);
        Box::new(flow.extend::<U>(part, self.made, move |item, pass| step(item, pass)))
    }

    fn close(&self, flow: AnyFlow, part: usize, input: &SchemaRef) -> Result<Closed, PlanError> {
        let flow = flow.downcast::<Flow<U>>();
        let flow = flow.expect("a stage closes what it has extended");
        let schema = match flow.keeps_columns() {
            true => Arc::clone(input),
            false => Arc::new(schema_of::<U>()?),
        };
        let (router, outputs) = match &self.branch {
            Some((names, router)) => (Some(Arc::clone(router)), names.len()),
            None => (None, 1),
        };
        Ok((flow.close(Arc::clone(&schema), part, router), schema, outputs))
    }

    fn branches(&self) -> bool {
        self.branch.is_some()
    }
}

/// Checks that rows of `input` can be `T`s, as far as that can be known; gives the columns that are read, if that can be.
pub(super) fn check_columns<T: Row>(step: &str, input: &Schema) -> Result<Option<Vec<usize>>, PlanError> {
    // A type that says nothing of its fields may still be read: what does not fit shows row by row.
    let Ok(schema) = schema_of::<T>() else {
        return Ok(None);
    };
    let fields = schema.fields().iter();
    let columns: Vec<usize> = fields
        .filter_map(|field| input.index_of(field.name()).ok())
        .collect();
    let unfit = |cause: String| PlanError::NotTheRow {
        step: step.to_owned(),
        row_type: name_of::<T>(),
        cause,
        available: input
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect::<Vec<_>>()
            .join(", "),
    };
    // Without any column there would be no rows.
    let columns = (!columns.is_empty()).then_some(columns);
    let read = match &columns {
        Some(columns) => input.project(columns).map_err(|error| unfit(error.to_string()))?,
        None => input.clone(),
    };
    if let Some(cause) = misfit::<T>(&read) {
        return Err(unfit(cause));
    }
    Ok(columns)
}

/// Reads a row of zeros and empty strings, and says what of its columns can be no `T`.
pub(crate) fn misfit<T: Row>(columns: &Schema) -> Option<String> {
    // Nested columns have no such values; what does not fit there shows row by row.
    if columns.fields().iter().any(|field| field.data_type().is_nested()) {
        return None;
    }
    let fields = columns.fields().iter();
    let zeros = fields.map(|field| ScalarValue::new_default(field.data_type())?.to_array());
    let arrays = zeros.collect::<Result<Vec<_>, _>>().ok()?;
    let fields: Vec<_> = columns
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok()?;
    let read = guard(|| serde_arrow::from_record_batch::<Vec<T>>(&batch)).ok()?;
    let cause = read.err()?.to_string();
    // Other causes may be those of the values, which a real row need not have.
    let of_types = ["missing field", "invalid type", "does not implement"];
    of_types.iter().any(|kind| cause.contains(kind)).then_some(cause)
}

/// A closure over batches.
#[derive(Clone)]
pub(crate) struct BatchClosure(Arc<dyn Fn(&RecordBatch) + Send + Sync>);

impl BatchClosure {
    pub(crate) fn new(closure: impl Fn(&RecordBatch) + Send + Sync + 'static) -> Self {
        Self(Arc::new(closure))
    }

    pub(crate) fn call(&self, batch: &RecordBatch) -> Result<(), ClosureError> {
        guard(|| (self.0)(batch))
    }
}

impl fmt::Debug for BatchClosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}

impl fmt::Debug for dyn Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}
