//! SQL over the stores of a running job.
//!
//! A store is a table: its key, a window's bounds, its values. DataFusion plans and works on what is read of stores; what a `WHERE` says
//! of keys and of when windows begin is asked of them as everybody else asks ([`narrowed`]), and the rest is looked through.
//!
//! Invariants: a statement only reads, and only what is committed; what it reads, keeps, gives and takes in time has limits. It works on a
//! thread of its own, because the code that plans it goes as deep as the statement.
mod narrowed;
mod table;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::config::Dialect;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use super::QueryError;
use super::question::LIMIT_MAX;
use crate::runtime::shared::Shared;
use crate::typed::panic_message;
use table::{BYTES_READ_MAX, StoreTable};

/// How long a statement may take in process.
pub(in crate::runtime) const STATEMENT_MAX: Duration = Duration::from_secs(60);
/// The words, signs and spaces of a statement. Planning goes as deep as they can nest, and takes the square of it in time.
const TOKENS_MAX: usize = 1_000;
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Room for that; what is not used takes no memory.
const STACK_BYTES: usize = 256 << 20;
/// What sorting, joining and grouping may keep.
const WORK_BYTES_MAX: usize = 256 << 20;

/// The rows of a statement: at least one batch, so that its columns are known.
pub(in crate::runtime) fn answer(
    shared: &Arc<Shared>,
    text: &str,
    patience: Duration,
) -> Result<Vec<RecordBatch>, QueryError> {
    let until = Instant::now() + patience;
    let _place = shared
        .queries
        .statements
        .enter(patience)
        .ok_or(QueryError::TimedOut { timeout: patience })?;
    let (shared, text) = (Arc::clone(shared), text.to_owned());
    let work = move || work(&shared, &text, until, patience);
    let name = "stream-sql".to_owned();
    let thread = std::thread::Builder::new()
        .name(name)
        .stack_size(STACK_BYTES)
        .spawn(work);
    let thread = thread.map_err(|error| refused(format!("no thread can be started: {error}")))?;
    thread
        .join()
        .unwrap_or_else(|panic| Err(refused(format!("it was given up: {}", panic_message(&*panic)))))
}

fn refused(reason: String) -> QueryError {
    QueryError::Sql { reason }
}

fn work(
    shared: &Arc<Shared>,
    text: &str,
    until: Instant,
    patience: Duration,
) -> Result<Vec<RecordBatch>, QueryError> {
    check_size(text)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| refused(format!("it cannot be worked on: {error}")))?;
    runtime.block_on(async {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, rows(shared, text, until, patience)).await {
            Ok(rows) => rows,
            Err(_) => Err(QueryError::TimedOut { timeout: patience }),
        }
    })
}

/// Statements that are too long to be planned are not.
fn check_size(text: &str) -> Result<(), QueryError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(refused(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize();
    let tokens = tokens.map_err(|error| refused(error.to_string()))?;
    match tokens.len() <= TOKENS_MAX {
        true => Ok(()),
        false => Err(refused(format!(
            "it has more than {TOKENS_MAX} words, signs and spaces; ask in several statements"
        ))),
    }
}

fn session() -> Result<SessionContext, DataFusionError> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(WORK_BYTES_MAX, 1.0)
        .with_disk_manager_builder(disk)
        .build_arc()?;
    // One partition: it works on the thread that waits, beside a job that needs the cores.
    let state = SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    Ok(SessionContext::new_with_state(state))
}

async fn rows(
    shared: &Arc<Shared>,
    text: &str,
    until: Instant,
    patience: Duration,
) -> Result<Vec<RecordBatch>, QueryError> {
    let context = session().map_err(|error| failed(&error))?;
    let state = context.state();
    let statement = state.sql_to_statement(text, &Dialect::Generic);
    let statement = statement.map_err(|error| failed(&error))?;
    if !matches!(&statement, Statement::Statement(statement) if matches!(**statement, ast::Statement::Query(_)))
    {
        return Err(refused(
            "only SELECT reads stores, and nothing changes them".to_owned(),
        ));
    }
    let tables = state.resolve_table_references(&statement);
    let read = Arc::new(AtomicUsize::new(BYTES_READ_MAX));
    for table in tables.map_err(|error| failed(&error))? {
        let TableReference::Bare { table: name } = &table else {
            return Err(refused(format!(
                "there is no schema or catalog: {table}; name the store alone"
            )));
        };
        let provider = StoreTable::new(shared, name, &read, until, patience)?;
        let registered = context.register_table(table.clone(), Arc::new(provider));
        registered.map_err(|error| failed(&error))?;
    }
    let answer = async {
        let plan = state.statement_to_plan(statement).await?;
        let reads_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reads_only.verify_plan(&plan)?;
        let frame = context.execute_logical_plan(plan).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        // One more tells whether there are more.
        let rows = frame.limit(0, Some(LIMIT_MAX + 1))?.collect().await?;
        Ok((schema, rows))
    };
    let (schema, mut rows) = answer.await.map_err(|error: DataFusionError| failed(&error))?;
    if rows.iter().map(RecordBatch::num_rows).sum::<usize>() > LIMIT_MAX {
        return Err(refused(format!(
            "it gives more than {LIMIT_MAX} rows; add LIMIT or a condition, or aggregate"
        )));
    }
    if rows.is_empty() {
        rows.push(RecordBatch::new_empty(schema));
    }
    Ok(rows)
}

/// What a store said, or what DataFusion says of the statement.
fn failed(error: &DataFusionError) -> QueryError {
    if let DataFusionError::External(cause) = error.find_root()
        && let Some(cause) = cause.downcast_ref::<QueryError>()
    {
        return cause.clone();
    }
    refused(error.strip_backtrace())
}
