//! A store as a table of SQL.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::narrowed::{Narrowed, narrows};
use crate::runtime::queries::anywhere::Place;
use crate::runtime::queries::local::{Query, Wanted};
use crate::runtime::queries::view::PATIENCE;
use crate::runtime::queries::{QueryError, Store};
use crate::runtime::shared::Shared;

/// Bytes of all rows that a statement reads of stores.
pub(super) const BYTES_READ_MAX: usize = 256 << 20;

/// A store, wherever its partitions are.
pub(super) struct StoreTable {
    shared: Arc<Shared>,
    name: String,
    schema: SchemaRef,
    /// What the statement may read yet.
    left: Arc<AtomicUsize>,
    until: Instant,
    patience: Duration,
}

impl fmt::Debug for StoreTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl StoreTable {
    pub(super) fn new(
        shared: &Arc<Shared>,
        name: &str,
        left: &Arc<AtomicUsize>,
        until: Instant,
        patience: Duration,
    ) -> Result<Self, QueryError> {
        Ok(Self {
            schema: shared.queries.store(name)?.schema(),
            shared: Arc::clone(shared),
            name: name.to_owned(),
            left: Arc::clone(left),
            until,
            patience,
        })
    }

    /// The rows for which `filters` may hold: no more than `limit`.
    fn read(&self, filters: &[Expr], limit: Option<usize>) -> Result<Vec<RecordBatch>, QueryError> {
        let store = self.shared.queries.store(&self.name)?;
        let Narrowed { keys, range, windows } = Narrowed::of(filters, &self.schema, store)?;
        let mut asked = Vec::new();
        match keys {
            Some(keys) => {
                for key in keys {
                    asked.push((store.partition_of(&key)?, Wanted::One(key)));
                }
            }
            None => asked.extend((0..store.partitions).map(|at| (at, Wanted::Between(range.clone())))),
        }
        let (mut rows, mut left) = (Vec::new(), limit.unwrap_or(usize::MAX));
        for (partition, keys) in asked {
            if left == 0 {
                break;
            }
            let query = Query {
                keys,
                windows: windows.clone(),
                limit: left,
                bytes_max: self.left.load(Ordering::Acquire),
                until: Some(self.until),
            };
            for found in self.ask(store, partition, &query)? {
                left = left.saturating_sub(found.num_rows());
                self.take(store, found.get_array_memory_size())?;
                rows.push(found);
            }
        }
        Ok(rows)
    }

    fn ask(&self, store: &Store, partition: i32, query: &Query) -> Result<Vec<RecordBatch>, QueryError> {
        // Nobody waits as long for a partition as he reads.
        let patience = self.patience.min(PATIENCE);
        let until = self.until.min(Instant::now() + patience);
        let queries = &self.shared.queries;
        queries.ask(store, partition, query, Place::Anywhere, until, patience)
    }

    /// Counts what was read.
    fn take(&self, store: &Store, bytes: usize) -> Result<(), QueryError> {
        // Nobody else counts: a statement has one thread.
        match self.left.load(Ordering::Acquire).checked_sub(bytes) {
            Some(left) => {
                self.left.store(left, Ordering::Release);
                Ok(())
            }
            None => Err(store.too_much_to_read(BYTES_READ_MAX)),
        }
    }
}

#[async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let supported = filters.iter().map(|filter| match narrows(filter, &self.schema) {
            // Bounds are included, and not all conditions are used: all are looked at again.
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(supported.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        // It waits on the statement's own thread, which has nothing else to do.
        let rows = self.read(filters, limit);
        let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![rows])?;
        table.scan(state, projection, &[], limit).await
    }
}
