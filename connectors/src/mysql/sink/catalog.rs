//! The tables that are written to, and how records become rows of them. What is not there is made, if that is wanted.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_connect::plugin::PluginError;
use millstream_connect::record::Record;
use tracing::{info, warn};

use super::batch::Shapes;
use super::change::{Action, Change};
use super::config::{InsertMode, SinkConfig};
use super::ddl::{Definitions, New, quoted_table};
use super::plan::{Field, From, Plan, Plans, ShapeOf, fields};
use super::refusal::Refusal;
use super::session::{Session, failed};
use super::table::{Answers, Questions, Table};
use crate::mysql::client::ClientError;
use crate::mysql::schema::TableId;

/// What is known of the database. It is forgotten when a statement shows that it is not so any more.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub tables: Vec<Table>,
    numbers: HashMap<TableId, usize>,
    pub shapes: Shapes,
    pub plans: Plans,
    /// How often all of it was forgotten.
    pub generation: u64,
    /// When the first of the tables was described.
    described: Option<Instant>,
    /// Tables without transactions, of which a warning said so.
    warned: HashSet<TableId>,
}

/// How long descriptions are believed: where a unique index was added or a column made narrower, no error of the server's would say so.
const BELIEVED: Duration = Duration::from_secs(60);

/// Why a record has no plan.
#[derive(Debug)]
pub(super) enum Unplanned {
    /// It is the record's fault.
    Record(String),
    /// There is nothing to be done: rows of a table that is not there are deleted, or those that a deletion before told of.
    Nothing,
    /// The connection failed.
    Client(ClientError),
    /// The task cannot go on.
    Task(PluginError),
}

impl std::convert::From<ClientError> for Unplanned {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// With what plans are made.
pub(super) struct Planning<'a> {
    pub session: &'a mut Session,
    pub config: &'a SinkConfig,
}

impl Catalog {
    /// Forgets what is known.
    pub fn forget(&mut self) {
        *self = Self {
            generation: self.generation + 1,
            warned: std::mem::take(&mut self.warned),
            ..Self::default()
        };
    }

    /// Forgets what has been believed for long. Gives whether anything is still known.
    pub fn begin(&mut self) -> bool {
        if self.described.is_some_and(|since| since.elapsed() >= BELIEVED) {
            self.forget();
        }
        self.described.is_some()
    }

    /// The plan of a record: one that is known, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn plan(
        &mut self,
        planning: &mut Planning<'_>,
        record: &Record,
        change: &Change<'_>,
    ) -> Result<Arc<Plan>, Unplanned> {
        let config = planning.config;
        let by_source = config.tables.source_fields().next().is_some();
        // A tombstone does not say where it comes from; the deletion before it did, and is done.
        if by_source && record.value.value.is_null() {
            return Err(Unplanned::Nothing);
        }
        let named = || {
            config
                .tables
                .table(&record.topic, |field| change.source(field), &config.database)
                .map_err(Unplanned::Record)
        };
        let id = by_source.then(named).transpose()?;
        let shape = ShapeOf {
            record,
            action: change.action,
            updates: change.updates,
            row: change.row,
            table: id.as_ref(),
            headers: matches!(config.key, super::config::KeyMode::RecordHeader(_)),
        };
        if let Some(plan) = self.plans.get(&shape) {
            return Ok(Arc::clone(plan));
        }
        let table = match &id {
            Some(id) => id.clone(),
            None => named()?,
        };
        let plan = Arc::new(self.new_plan(planning, record, change, &table).await?);
        self.plans.insert(&shape, Arc::clone(&plan));
        Ok(plan)
    }

    async fn new_plan(
        &mut self,
        planning: &mut Planning<'_>,
        record: &Record,
        change: &Change<'_>,
        id: &TableId,
    ) -> Result<Plan, Unplanned> {
        let config = planning.config;
        let fields = match change.action {
            Action::Truncate => Vec::new(),
            _ => fields(record, change, config).map_err(Unplanned::Record)?,
        };
        let number = match self.number(planning, id).await? {
            Some(number) => number,
            None if change.action != Action::Write && config.evolution.create => {
                return Err(Unplanned::Nothing);
            }
            // What the table's columns are, only what is written says.
            None if change.action != Action::Write => {
                return Err(Unplanned::Task(PluginError::fatal(format!(
                    "the table {id}, of which rows are to be deleted, is not there: create it, or set schema.evolution=basic"
                ))));
            }
            None => {
                self.create(planning, id, &fields).await?;
                self.number(planning, id).await?.ok_or_else(|| {
                    Unplanned::Task(PluginError::fatal(format!(
                        "the table {id} was created, and is not there"
                    )))
                })?
            }
        };
        let mut number = number;
        // Other tasks may have added some of the columns meanwhile, or all.
        for _ in 0..=fields.len() {
            match Plan::new(number, &self.tables[number], &fields, config) {
                Ok(mut plan) => {
                    self.check(&mut plan, change, config)?;
                    return Ok(plan);
                }
                Err(missing) => self.add(planning, number, change, &missing).await?,
            }
            number = self.number(planning, id).await?.ok_or_else(|| {
                Unplanned::Task(PluginError::fatal(format!(
                    "the table {id} got columns, and is not there any more: keep others from dropping it, and restart the task"
                )))
            })?;
        }
        Err(Unplanned::Task(PluginError::fatal(format!(
            "columns were added to {id}, and are not there: keep others from dropping them, and restart the task"
        ))))
    }

    /// The number of a table, if it is there.
    async fn number(
        &mut self,
        planning: &mut Planning<'_>,
        id: &TableId,
    ) -> Result<Option<usize>, Unplanned> {
        if let Some(number) = self.numbers.get(id) {
            return Ok(Some(*number));
        }
        let Some(table) = described(planning.session, id).await? else {
            return Ok(None);
        };
        if !table.is_transactional() {
            let engine = table.engine.as_deref().unwrap_or("that of a view");
            let what = format!(
                "the table {id} has the engine {engine}, which has no transactions with the table of offsets"
            );
            if !planning.config.non_transactional {
                return Err(Unplanned::Task(PluginError::fatal(format!(
                    "{what}: run ALTER TABLE {} ENGINE=InnoDB, or set allow.non.transactional.tables=true, with which rows may be written twice",
                    quoted_table(id)
                ))));
            }
            if self.warned.insert(id.clone()) {
                warn!("{what}: what a crash leaves there may be written twice");
            }
        }
        self.described.get_or_insert_with(Instant::now);
        self.tables.push(table);
        self.numbers.insert(id.clone(), self.tables.len() - 1);
        Ok(Some(self.tables.len() - 1))
    }

    async fn create(
        &mut self,
        planning: &mut Planning<'_>,
        id: &TableId,
        fields: &[Field<'_>],
    ) -> Result<(), Unplanned> {
        let Some(columns) = new_columns(fields.iter()) else {
            return Err(Unplanned::Task(PluginError::fatal(format!(
                "the table {id} is not there, and cannot be created of records without a schema: create it, or have the records come with \
                 schemas"
            ))));
        };
        let definitions = Definitions {
            server: planning.session.server().await?,
            literals: &planning.config.literals,
        };
        let statement = definitions.create(id, &columns).map_err(|reason| {
            Unplanned::Task(PluginError::fatal(format!(
                "the table {id} is not there, and cannot be created: {reason}"
            )))
        })?;
        if !planning.config.evolution.create {
            return Err(Unplanned::Task(PluginError::fatal(format!(
                "the table {id} is not there: set schema.evolution=basic, or run {statement}"
            ))));
        }
        info!("creating a table: {statement}");
        planning
            .session
            .execute(statement.as_bytes())
            .await
            .map_err(|error| changing(id, error))?;
        Ok(())
    }

    async fn add(
        &mut self,
        planning: &mut Planning<'_>,
        number: usize,
        change: &Change<'_>,
        missing: &[&Field<'_>],
    ) -> Result<(), Unplanned> {
        let id = self.tables[number].id.clone();
        let names: Vec<&str> = missing.iter().map(|field| field.name).collect();
        let names = names.join(", ");
        if let Some(key) = missing.iter().find(|field| field.is_key) {
            return Err(Unplanned::Task(PluginError::fatal(format!(
                "the table {id} has no column {}, which is part of the key by primary.key.mode and primary.key.fields: add it to the table, and \
                 to its primary key",
                key.name
            ))));
        }
        let columns = new_columns(missing.iter().copied()).filter(|_| change.row.is_some());
        let Some(columns) = columns else {
            return Err(Unplanned::Record(format!(
                "the table {id} has no columns {names}: add them (without a schema of the record their types are not known), or leave them out \
                 with field.exclude.list"
            )));
        };
        let definitions = Definitions {
            server: planning.session.server().await?,
            literals: &planning.config.literals,
        };
        let statement = definitions.add(&id, &columns).map_err(|reason| {
            Unplanned::Task(PluginError::fatal(format!(
                "the table {id} has no columns {names}: {reason}"
            )))
        })?;
        if !planning.config.evolution.alter {
            return Err(Unplanned::Task(PluginError::fatal(format!(
                "the table {id} has no columns {names}: set schema.evolution=basic, leave them out with field.exclude.list, or run {statement}"
            ))));
        }
        info!("adding columns: {statement}");
        let added = planning.session.execute(statement.as_bytes()).await;
        match added {
            // Another task was first.
            Err(ClientError::Server { code: 1060, .. }) => {}
            added => drop(added.map_err(|error| changing(&id, error))?),
        }
        self.forget();
        Ok(())
    }

    /// Checks that rows can be written so.
    fn check(&self, plan: &mut Plan, change: &Change<'_>, config: &SinkConfig) -> Result<(), Unplanned> {
        let table = &self.tables[plan.table];
        if change.action != Action::Write {
            return Ok(());
        }
        let key = plan.key_columns();
        let names = |columns: &[usize]| {
            let names: Vec<&str> = columns.iter().map(|place| &*table.columns[*place].name).collect();
            names.join("`, `")
        };
        if config.insert_mode == InsertMode::Upsert && !table.is_unique(&key) {
            return Err(Unplanned::Task(PluginError::fatal(format!(
                "the table {} has no primary key, or unique index without columns that may be null, of the columns `{columns}` that are the key \
                 of records, so that nothing can be replaced: run ALTER TABLE {} ADD PRIMARY KEY (`{columns}`), or set primary.key.fields",
                table.id,
                quoted_table(&table.id),
                columns = names(&key),
            ))));
        }
        if config.insert_mode == InsertMode::Update {
            return Ok(());
        }
        let missing: Vec<usize> = (0..table.columns.len())
            .filter(|place| {
                let column = &table.columns[*place];
                !column.filled && !column.generated && plan.slots.iter().all(|slot| slot.column != *place)
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if change.updates && config.insert_mode == InsertMode::Upsert {
            plan.kept = missing;
            return Ok(());
        }
        let message = format!(
            "the columns `{}` of the table {} are NOT NULL without a default, and the records do not have them: give them a default, or let them \
             be null",
            names(&missing),
            table.id
        );
        let has_schema = plan
            .slots
            .iter()
            .any(|slot| !slot.loose && matches!(slot.from, From::Row(_)));
        Err(match has_schema {
            true => Unplanned::Task(PluginError::fatal(message)),
            false => Unplanned::Record(message),
        })
    }
}

fn changing(id: &TableId, error: ClientError) -> Unplanned {
    match error {
        // Others hold the table, or were in the way: it is tried again.
        ClientError::Server { code, ref state, .. } if Refusal::of(code, state) == Refusal::Again => {
            Unplanned::Client(error)
        }
        ClientError::Server { .. } => Unplanned::Task(failed(&format!("changing the table {id}"), error)),
        error => Unplanned::Client(error),
    }
}

/// Columns for fields that all have schemas.
fn new_columns<'a, 'f: 'a>(fields: impl Iterator<Item = &'a Field<'f>>) -> Option<Vec<New<'a>>> {
    let columns = fields.map(|field| {
        Some(New {
            name: field.name,
            schema: field.schema?,
            is_key: field.is_key,
        })
    });
    columns.collect()
}

async fn described(session: &mut Session, id: &TableId) -> Result<Option<Table>, ClientError> {
    let questions = Questions::about(id);
    let table = session.rows_about(&questions.table).await?;
    if table.is_empty() {
        return Ok(None);
    }
    let answers = Answers {
        table,
        columns: session.rows_about(&questions.columns).await?,
        uniques: session.rows_about(&questions.uniques).await?,
        parents: session.rows_about(&questions.parents).await?,
    };
    Ok(Table::read(id, &answers))
}
