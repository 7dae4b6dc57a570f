//! A chain of closures from columns to structs.
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{FieldRef, SchemaRef};
use serde_arrow::Deserializer;

use super::error::{ClosureError, guard};
use super::{Row, name_of};
use crate::operator::{FailedContent, FailedRow, OperatorError, Output};
use crate::rows::Rows;

/// A row that failed: its number, the stage, and why.
pub(super) struct Failure {
    pub(super) row: usize,
    pub(super) part: usize,
    pub(super) cause: ClosureError,
}

/// What is done with each struct: it is given the number of the row that it was made of.
pub(super) type Each<'a, T> = dyn FnMut(usize, T, &mut Vec<Failure>) + 'a;

type Run<T> =
    dyn Fn(&RecordBatch, &mut Vec<Failure>, &mut Each<'_, T>) -> Result<(), OperatorError> + Send + Sync;

/// Structs made of rows, one after the other.
pub(super) struct Flow<T> {
    run: Arc<Run<T>>,
    /// Whether the structs are others than those the rows were read as.
    made: bool,
}

/// The running form of consecutive typed steps.
pub(crate) type RowFunction = dyn Fn(&Rows, &mut Output<'_>) -> Result<(), OperatorError> + Send + Sync;

/// Chooses an output by a struct.
pub(super) type Router<T> = Arc<dyn Fn(&T) -> Result<usize, ClosureError> + Send + Sync>;

impl<T: Row> Flow<T> {
    /// The rows of batches as structs. `columns` are all that is read, if that is known.
    pub(super) fn open(columns: Option<Vec<usize>>) -> Self {
        let run = move |batch: &RecordBatch, failures: &mut Vec<Failure>, each: &mut Each<'_, T>| {
            let columns = columns
                .as_deref()
                .map(|columns| batch.project(columns))
                .transpose()?;
            let unfit = |cause: serde_arrow::Error| ClosureError::Unfit {
                row_type: name_of::<T>(),
                cause: cause.to_string(),
            };
            let batch = columns.as_ref().unwrap_or(batch);
            let rows = Deserializer::from_record_batch(batch).map_err(unfit)?;
            for (row, item) in rows.iter().enumerate() {
                // A `Deserialize` is code of the user's as well.
                match guard(|| T::deserialize(item)).and_then(|item| item.map_err(unfit)) {
                    Ok(item) => each(row, item, failures),
                    Err(cause) => failures.push(Failure { row, part: 0, cause }),
                }
            }
            Ok(())
        };
        Self {
            run: Arc::new(run),
            made: false,
        }
    }

    /// Has `stage` take each struct: it passes on what follows to its last argument. `made` says whether that is something new.
    pub(super) fn extend<U: Row>(
        self,
        part: usize,
        made: bool,
        stage: impl Fn(T, &mut dyn FnMut(U)) -> Result<(), ClosureError> + Send + Sync + 'static,
    ) -> Flow<U> {
        let run = self.run;
        let run = move |batch: &RecordBatch, failures: &mut Vec<Failure>, each: &mut Each<'_, U>| {
            run(batch, failures, &mut |row, item, failures| {
                let outcome = stage(item, &mut |item| each(row, item, failures));
                if let Err(cause) = outcome {
                    failures.push(Failure { row, part, cause });
                }
            })
        };
        Flow {
            run: Arc::new(run),
            made: self.made || made,
        }
    }

    /// Whether the columns that come out are those that came in.
    pub(super) fn keeps_columns(&self) -> bool {
        !self.made
    }

    /// Back to columns: those of `schema` if the structs are new. `router` says to which output.
    pub(super) fn close(self, schema: SchemaRef, part: usize, router: Option<Router<T>>) -> Arc<RowFunction> {
        let (run, made) = (self.run, self.made);
        Arc::new(move |rows: &Rows, out: &mut Output<'_>| {
            let mut failures = Vec::new();
            let mut items: Vec<(usize, usize, T)> = Vec::new();
            run(
                &rows.batch,
                &mut failures,
                &mut |row, item, failures| match router.as_ref().map_or(Ok(0), |router| router(&item)) {
                    Ok(port) => items.push((port, row, item)),
                    Err(cause) => failures.push(Failure { row, part, cause }),
                },
            )?;
            fail(rows, failures, &mut items, out);
            // Structs of one output lie together, in their order.
            items.sort_by_key(|(port, ..)| *port);
            let mut written = write_all(rows, &schema, made, &items);
            if written.is_err() {
                let failures = unwritable(&schema, &items, part);
                fail(rows, failures, &mut items, out);
                written = write_all(rows, &schema, made, &items);
            }
            for (port, rows) in written? {
                out.push_to(port, rows);
            }
            Ok(())
        })
    }
}

/// Takes the rows that failed, and everything that was made of them, out.
fn fail<T>(
    rows: &Rows,
    mut failures: Vec<Failure>,
    items: &mut Vec<(usize, usize, T)>,
    out: &mut Output<'_>,
) {
    if failures.is_empty() {
        return;
    }
    // The first failure of a row is the one that counts.
    failures.sort_by_key(|failure| failure.row);
    failures.dedup_by_key(|failure| failure.row);
    let failed: BTreeSet<usize> = failures.iter().map(|failure| failure.row).collect();
    items.retain(|(_, row, _)| !failed.contains(row));
    out.failed.extend(failures.into_iter().map(|failure| FailedRow {
        part: failure.part,
        row: FailedContent::Row(rows.slice(failure.row, 1)),
        cause: failure.cause.into(),
    }));
}

/// The rows of each output.
fn write_all<T: Row>(
    rows: &Rows,
    schema: &SchemaRef,
    made: bool,
    items: &[(usize, usize, T)],
) -> Result<Vec<(usize, Rows)>, OperatorError> {
    let outputs = items.chunk_by(|(one, ..), (other, ..)| one == other);
    let written = outputs.map(|items| {
        let rows = if made {
            write(rows, schema, items)?
        } else {
            select(rows, items)?
        };
        Ok((items[0].0, rows))
    });
    written.collect()
}

/// The rows of these structs, as they came.
fn select<T>(rows: &Rows, items: &[(usize, usize, T)]) -> Result<Rows, OperatorError> {
    if items.len() == rows.len() {
        return Ok(rows.clone());
    }
    let mut keep = vec![false; rows.len()];
    items.iter().for_each(|(_, row, _)| keep[*row] = true);
    Ok(rows.filter(&BooleanArray::from(keep))?)
}

/// The structs as rows.
fn write<T: Row>(
    rows: &Rows,
    schema: &SchemaRef,
    items: &[(usize, usize, T)],
) -> Result<Rows, OperatorError> {
    let structs: Vec<&T> = items.iter().map(|(_, _, item)| item).collect();
    let batch = to_batch(schema, &structs)?;
    let sources: Vec<u32> = items
        .iter()
        .map(|(_, row, _)| u32::try_from(*row).expect("a batch has fewer than 2^32 rows"))
        .collect();
    Ok(rows.derived(batch, &sources)?)
}

/// The structs as columns of `schema`.
pub(crate) fn to_batch<T: Row>(schema: &SchemaRef, structs: &Vec<&T>) -> Result<RecordBatch, OperatorError> {
    let batch = columns_of(schema.fields(), structs)?;
    Ok(RecordBatch::try_new(
        Arc::clone(schema),
        batch.columns().to_vec(),
    )?)
}

fn columns_of<T: Row>(fields: &[FieldRef], structs: &Vec<&T>) -> Result<RecordBatch, ClosureError> {
    // A `Serialize` is code of the user's as well.
    let written = guard(|| serde_arrow::to_record_batch(fields, structs))?;
    written.map_err(|error| ClosureError::Unwritable {
        row_type: name_of::<T>(),
        cause: error.to_string(),
    })
}

/// The structs that cannot be written.
fn unwritable<T: Row>(schema: &SchemaRef, items: &[(usize, usize, T)], part: usize) -> Vec<Failure> {
    let failed = |(_, row, item): &(usize, usize, T)| {
        let cause = columns_of(schema.fields(), &vec![item]).err()?;
        Some(Failure {
            row: *row,
            part,
            cause,
        })
    };
    items.iter().filter_map(failed).collect()
}
