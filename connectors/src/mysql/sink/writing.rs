//! Records in, transactions out: how a batch is written once, whatever happens on the way.
//!
//! A batch is one transaction, with the offsets behind it. If rows are refused, nothing behind the first of a partition may be stored before the
//! runtime says that it goes on: so the transaction is undone, what is before is written, and what is behind waits for the next call.
use std::collections::BTreeMap;

use millstream_connect::plugin::{ErrorKind, FailedRecord, PluginError};
use millstream_connect::record::Record;
use tracing::debug;

use super::arrange::arrange;
use super::batch::{Batch, Source, Target};
use super::catalog::{Catalog, Planning, Unplanned};
use super::change::Change;
use super::config::SinkConfig;
use super::deferred::Deferred;
use super::offsets::Offsets;
use super::partitions::Partitions;
use super::recovery::Recovered;
use super::session::{Session, failed};
use super::statement::Writer;
use super::transaction::{RefusedRow, Transaction};
use crate::mysql::client::ClientError;

/// Writes.
pub(super) struct Writing {
    pub config: SinkConfig,
    pub owner: String,
    pub session: Session,
    pub offsets: Offsets,
    pub partitions: Partitions,
    pub(super) catalog: Catalog,
    batch: Batch,
    /// Records that wait for the next call, and the offsets behind them.
    pub(super) deferred: Option<Deferred>,
    /// How often the batch that comes was tried.
    pub(super) tries: u32,
    /// How often rows were waited for that it refers to.
    pub(super) waits: u32,
    /// Whether records that could not be written are to come again.
    retrying: bool,
}

/// Records that are refused, by their places in the batch.
pub(super) type Refused = BTreeMap<usize, String>;

/// Which of the batch's operations are written, and up to where.
pub(super) struct Part {
    operations: Vec<usize>,
    ends: Vec<(usize, i64)>,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To write all that is there. Rows that are referred to are waited for.
    All,
    /// To find out which rows are refused; it is undone in any case.
    Trial,
    /// To write what is before refused records, if it can be without what is behind them.
    Part,
}

/// Why a batch is not written.
pub(super) enum Stopped {
    /// What is known of tables has to be asked for again.
    Table(ClientError),
    Error(PluginError),
}

impl From<PluginError> for Stopped {
    fn from(error: PluginError) -> Self {
        Self::Error(error)
    }
}

impl Writing {
    pub fn new(config: SinkConfig, connector: &str, owner: String) -> Self {
        Self {
            session: Session::new(&config, &owner),
            offsets: Offsets::new(&config.database, &config.offsets_table, connector),
            partitions: Partitions::default(),
            catalog: Catalog::default(),
            batch: Batch::default(),
            deferred: None,
            tries: 0,
            waits: 0,
            retrying: false,
            config,
            owner,
        }
    }

    /// Writes records.
    ///
    /// # Errors
    /// When nothing of them is written; with [`ErrorKind::Retriable`] they are to come again.
    pub async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        let result = match self.write_deferred().await {
            Ok(()) => self.put_new(records).await,
            Err(error) => Err(error),
        };
        self.retrying = result.is_err();
        if result.is_ok() {
            (self.tries, self.waits) = (0, 0);
        }
        result
    }

    async fn put_new(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        let ends = self.ends(records)?;
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let refused = self.write_all(records, &ends).await?;
        for (place, end) in &ends {
            self.partitions.all[*place].next = Some(*end);
        }
        if !refused.is_empty() {
            self.defer(records, &ends, &refused)?;
        }
        let failed = refused.into_iter().map(|(index, reason)| FailedRecord {
            index,
            error: PluginError::bad_record(reason),
        });
        Ok(failed.collect())
    }

    /// Where each partition of the records ends.
    fn ends(&mut self, records: &[Record]) -> Result<Vec<(usize, i64)>, PluginError> {
        let mut ends: Vec<(usize, i64)> = Vec::new();
        for record in records {
            let (place, offset) = self.partitions.of(record)?;
            let next = self.partitions.all[place].next;
            if next.is_some_and(|next| offset < next) {
                continue;
            }
            match ends.iter_mut().rev().find(|(its, _)| *its == place) {
                Some((_, end)) => *end = offset + 1,
                None => ends.push((place, offset + 1)),
            }
        }
        Ok(ends)
    }

    /// Writes a batch, up to the first refused record of each partition; gives all that are refused.
    async fn write_all(&mut self, records: &[Record], ends: &[(usize, i64)]) -> Result<Refused, PluginError> {
        let mut again = false;
        loop {
            match self.write_once(records, ends).await {
                Err(Stopped::Table(error)) if !again => {
                    debug!("tables are looked at again: {error}");
                    again = true;
                    self.catalog.forget();
                }
                Err(stopped) => return Err(stopped.into_error()),
                Ok(refused) => return Ok(refused),
            }
        }
    }

    async fn write_once(&mut self, records: &[Record], ends: &[(usize, i64)]) -> Result<Refused, Stopped> {
        let mut refused = Refused::new();
        self.encode(records, &mut refused, true).await?;
        let whole = self.part(&BTreeMap::new(), ends, &refused);
        let purpose = match refused.is_empty() {
            true => Purpose::All,
            false => Purpose::Trial,
        };
        let mut rows = self.transact(&whole, purpose).await?;
        // What a refused record stood for may be refused as well: it must be known before what is behind is taken for good.
        while !rows.is_empty() {
            refused.extend(self.by_record(rows));
            let rest = self.part(&BTreeMap::new(), ends, &refused);
            rows = self.transact(&rest, Purpose::Trial).await?;
        }
        if refused.is_empty() {
            return Ok(refused);
        }
        // What is before may need what waits behind a refused record, or be replaced by it: then it waits as well, and is as good then as it was in
        // the trial.
        let mut limits = self.limits(records, &refused)?;
        loop {
            let part = self.part(&limits, ends, &refused);
            let held = self.transact(&part, Purpose::Part).await?;
            if held.is_empty() {
                return Ok(refused);
            }
            for row in held {
                let operation = &self.batch.operations[row.operation];
                let limit = limits.entry(operation.partition).or_insert(operation.offset);
                *limit = operation.offset.min(*limit);
            }
        }
    }

    /// The offset of the first refused record of each partition.
    fn limits(&mut self, records: &[Record], refused: &Refused) -> Result<BTreeMap<usize, i64>, PluginError> {
        let mut limits = BTreeMap::new();
        for index in refused.keys() {
            let (place, offset) = self.partitions.of(&records[*index])?;
            let limit = limits.entry(place).or_insert(offset);
            *limit = offset.min(*limit);
        }
        Ok(limits)
    }

    /// The operations before the limits that are not refused, and where the partitions end then.
    pub(super) fn part(
        &self,
        limits: &BTreeMap<usize, i64>,
        ends: &[(usize, i64)],
        refused: &Refused,
    ) -> Part {
        let operations = self.batch.operations.iter().enumerate();
        let operations = operations.filter(|(_, operation)| {
            let limit = limits.get(&operation.partition);
            limit.is_none_or(|limit| operation.offset < *limit) && !refused.contains_key(&operation.index)
        });
        let ends = ends
            .iter()
            .map(|(place, end)| (*place, limits.get(place).copied().unwrap_or(*end)));
        Part {
            operations: operations.map(|(place, _)| place).collect(),
            ends: ends.collect(),
        }
    }

    pub(super) fn by_record(&self, rows: Vec<RefusedRow>) -> Refused {
        let rows = rows.into_iter();
        rows.map(|row| (self.batch.operations[row.operation].index, row.reason))
            .collect()
    }

    /// Makes text of records. With `only_new` those that were taken before are left out.
    pub(super) async fn encode(
        &mut self,
        records: &[Record],
        refused: &mut Refused,
        only_new: bool,
    ) -> Result<(), PluginError> {
        if let Err(error) = self.session.wake().await {
            return Err(self.again("connecting", error));
        }
        let known = self.catalog.begin();
        let encoded = self.encode_known(records, refused, only_new).await;
        let fits = match &encoded {
            Ok(()) => refused.is_empty(),
            Err(error) => matches!(error.kind(), ErrorKind::Retriable | ErrorKind::Disconnected),
        };
        if fits || !known {
            return encoded;
        }
        // Tables may have become such that it does fit.
        self.catalog.forget();
        refused.clear();
        self.encode_known(records, refused, only_new).await
    }

    async fn encode_known(
        &mut self,
        records: &[Record],
        refused: &mut Refused,
        only_new: bool,
    ) -> Result<(), PluginError> {
        self.batch.clear();
        let mut index = 0;
        while index < records.len() {
            let record = &records[index];
            let (partition, offset) = self.partitions.of(record)?;
            let next = self.partitions.all[partition].next;
            if only_new && next.is_some_and(|next| offset < next) {
                index += 1;
                continue;
            }
            let generation = self.catalog.generation;
            match self.encode_one(record, index, partition, offset).await {
                Ok(()) | Err(Unplanned::Nothing) => {}
                Err(Unplanned::Record(reason)) => {
                    refused.insert(index, reason);
                }
                Err(Unplanned::Client(error)) => return Err(self.again("asking for a table", error)),
                Err(Unplanned::Task(error)) => return Err(error),
            }
            index += 1;
            // A column was added: tables have other numbers than in what was encoded.
            if self.catalog.generation != generation {
                self.batch.clear();
                refused.clear();
                index = 0;
            }
        }
        Ok(())
    }

    async fn encode_one(
        &mut self,
        record: &Record,
        index: usize,
        partition: usize,
        offset: i64,
    ) -> Result<(), Unplanned> {
        let change = Change::read(record, &self.config).map_err(Unplanned::Record)?;
        let Some(change) = change else { return Ok(()) };
        let mut planning = Planning {
            session: &mut self.session,
            config: &self.config,
        };
        let plan = self.catalog.plan(&mut planning, record, &change).await?;
        let source = Source {
            record,
            change: &change,
            index,
            partition,
            offset,
        };
        let packet_bytes_max = self.session.packet_bytes_max();
        let target = Target {
            config: &self.config,
            table: &self.catalog.tables[plan.table],
            plan: &plan,
            shapes: &mut self.catalog.shapes,
            packet_bytes_max,
        };
        self.batch.add(source, target).map_err(Unplanned::Record)
    }

    /// Writes a part of the batch as one transaction; gives the rows that are refused, with which nothing is written.
    pub(super) async fn transact(
        &mut self,
        part: &Part,
        purpose: Purpose,
    ) -> Result<Vec<RefusedRow>, Stopped> {
        let moves = self.partitions.moves(&part.ends);
        let trial = purpose == Purpose::Trial;
        if moves.is_empty() && !trial {
            return Ok(Vec::new());
        }
        if let Err(error) = self.session.wake().await {
            return Err(self.again("connecting", error).into());
        }
        let server = match self.session.server().await {
            Ok(server) => server,
            Err(error) => return Err(self.again("connecting", error).into()),
        };
        let tables = (&*self.catalog.tables, &*self.catalog.shapes.all);
        let mode = self.config.insert_mode;
        let statements = arrange(&self.batch, &part.operations, tables, mode);
        let mut tries = 0;
        loop {
            let transaction = Transaction {
                writer: Writer {
                    batch: &self.batch,
                    tables: &self.catalog.tables,
                    shapes: &self.catalog.shapes.all,
                    server,
                    mode,
                    rows_max: self.config.batch_rows,
                },
                statements: &statements,
                offsets: &self.offsets,
                moves: &moves,
                owner: &self.owner,
                refuse_references: purpose == Purpose::Part || self.waits >= self.config.retries,
                trial,
            };
            let failure = match transaction.run(&mut self.session).await {
                Ok(refused) => {
                    if refused.is_empty() && !trial {
                        self.partitions.moved(&moves);
                    }
                    return Ok(refused);
                }
                Err(failure) => failure,
            };
            match self.recover(failure, &moves, trial, &mut tries).await? {
                Recovered::Done => return Ok(Vec::new()),
                Recovered::Again => {}
            }
        }
    }

    /// Stores how far partitions were taken, where nothing has to be written.
    ///
    /// # Errors
    /// When that cannot be.
    pub async fn store(&mut self, ends: &[(usize, i64)]) -> Result<(), PluginError> {
        self.batch.clear();
        let part = Part {
            operations: Vec::new(),
            ends: ends.to_vec(),
        };
        self.transact(&part, Purpose::All)
            .await
            .map_err(Stopped::into_error)?;
        if !self.retrying {
            self.tries = 0;
        }
        Ok(())
    }
}

impl Stopped {
    pub(super) fn into_error(self) -> PluginError {
        match self {
            Self::Error(error) => error,
            Self::Table(error) => failed("writing rows", error),
        }
    }
}
