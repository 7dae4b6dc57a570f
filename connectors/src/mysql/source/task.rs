//! The task: waits for what the parts of a source wait for, and hands over what they tell.
use std::sync::Arc;
use std::time::Duration;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    Budget, PluginError, Progress, ProgressUnit, SourceBatch, SourceTask, SourceTaskContext, TaskSignal,
    async_trait,
};
use tokio::time::{Instant, sleep_until};

use super::batch::Room;
use super::connection::{Connection, Happened};
use super::describe::Described;
use super::error::SourceError;
use super::progress::ProgressLog;
use super::running::{Driven, Parts, Running};
use super::side::Action;
use super::start::{self, Started};
use super::tables::Tables;
use crate::mysql::client::server::Flavour;
use crate::mysql::config::{self, SnapshotMode, SourceConfig};
use crate::mysql::offset::{self, Offset, Snapshots};
use crate::mysql::record::{Connector, Records, TableRecords};
use crate::mysql::signal::{Signal, SignalError};
use crate::mysql::snapshot::{Answer, Readers, ReadersConfig, Selection, Settings, Snapshot};
use crate::mysql::stream::{HeldLimits, Stream, StreamOptions};

/// How often an offset is handed over that moved without any record.
const OFFSET_INTERVAL: Duration = Duration::from_secs(10);

/// The most bytes of keys that are kept of changes to a table while chunks of it are read.
const WINDOW_BYTES: usize = 32 << 20;

/// The task of a source of MySQL or MariaDB.
pub(super) struct MySqlTask {
    flavour: Flavour,
    running: Option<Box<Alive>>,
}

/// A task that runs.
struct Alive {
    running: Running,
    action: Option<Action>,
    heartbeat: Option<Duration>,
    next_heartbeat: Instant,
    next_offset: Instant,
    finished: bool,
    progress_log: ProgressLog,
}

impl MySqlTask {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            running: None,
        }
    }
}

#[async_trait]
impl SourceTask for MySqlTask {
    async fn start(&mut self, given: &ConfigMap, context: SourceTaskContext) -> Result<(), PluginError> {
        let told = config::parse(self.flavour, given)
            .map_err(|errors| PluginError::from(millstream_connect::config::ConfigErrors(errors)))?;
        for note in &told.notes {
            tracing::info!("{note}");
        }
        let connector = match self.flavour {
            Flavour::MySql => Connector::MySql,
            Flavour::MariaDb => Connector::MariaDb,
        };
        let alive = Alive::start(Arc::new(told.config), connector, &context).await?;
        self.running = Some(Box::new(alive));
        Ok(())
    }

    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        match &mut self.running {
            Some(alive) => Ok(alive.poll(budget).await?),
            None => Err(PluginError::fatal("the task was not started")),
        }
    }

    async fn signal(&mut self, signal: &TaskSignal) -> Result<(), PluginError> {
        let refused = |error: SignalError| PluginError::user_config(error.to_string());
        let asked = Signal::from_json(&signal.id, &signal.kind, &signal.data).map_err(refused)?;
        match (&mut self.running, asked) {
            (Some(alive), Some(asked)) => {
                alive.running.signal(&asked).map_err(refused)?;
                // That it is asked for is stored soon.
                alive.next_offset = Instant::now();
                Ok(())
            }
            (_, None) => Ok(()),
            (None, Some(_)) => Err(PluginError::retriable("the task is not started yet")),
        }
    }

    fn progress(&self) -> Option<Progress> {
        let snapshot = &self.running.as_ref()?.running.snapshot;
        let progress = snapshot.progress();
        (!snapshot.is_done()).then_some(Progress {
            done: progress.rows_told,
            before: 0,
            total: progress.rows,
            unit: ProgressUnit::Records,
        })
    }

    async fn stop(&mut self) {
        // Its connections and helpers end with it.
        self.running = None;
    }
}

impl Alive {
    async fn start(
        config: Arc<SourceConfig>,
        connector: Connector,
        context: &SourceTaskContext,
    ) -> Result<Self, PluginError> {
        let prefix = &config.records.prefix;
        let stored = context.offsets.offset(&offset::partition(prefix)).await?;
        let stored = stored
            .map(|stored| Offset::from_stored(&stored))
            .transpose()
            .map_err(SourceError::from)?;
        let (started, described, announcement) = start::described(&config, stored).await?;
        let Started {
            facts,
            offset,
            link,
            anew,
        } = started;
        let records = Records::new(config.records.clone(), config.filters.clone(), connector);
        let mut tables = Tables::new(&records, prefix, !facts.has_full_metadata());
        tables.learn(described);
        if !anew {
            for (partition, stored) in context.offsets.all().await? {
                tables.load(&partition, &stored);
            }
        }
        let unknown = match anew || facts.has_full_metadata() {
            true => Vec::new(),
            false => start::tables(&config, |id| tables.known(id).is_none()).await?,
        };
        let Snapshots::At(state) = offset.snapshot.clone() else {
            unreachable!("it was begun anew")
        };
        let options = options(&config, !facts.names_have_case());
        let parts = Parts {
            stream: Stream::new(offset.resume.clone(), options),
            connection: Connection::new(link, config.snapshot.mode == SnapshotMode::WhenNeeded),
            readers: Readers::start(readers(&config), &facts.identity),
            snapshot: Snapshot::new(settings(&config, &records), state),
            config: Arc::clone(&config),
            facts,
            tables,
            records,
            offset,
            anew,
            unknown,
            announcement,
        };
        let now = Instant::now();
        Ok(Self {
            running: Running::new(parts),
            action: Action::start(&config),
            heartbeat: config.stream.heartbeat,
            next_heartbeat: now + config.stream.heartbeat.unwrap_or_default(),
            next_offset: now,
            finished: false,
            progress_log: ProgressLog::default(),
        })
    }

    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, SourceError> {
        let room = Room::new(budget, self.running.config.stream.batch_records);
        let until = Instant::now() + budget.wait;
        loop {
            let driven = match self.running.drive(room) {
                Ok(driven) => driven,
                Err(error) => {
                    self.running.read_again(error)?;
                    continue;
                }
            };
            let now = Instant::now();
            let snapshot = &self.running.snapshot;
            self.progress_log
                .look(now, (!snapshot.is_done()).then(|| snapshot.progress()));
            if let Some(interval) = self.heartbeat.filter(|_| now >= self.next_heartbeat) {
                self.next_heartbeat = now + interval;
                self.running.heartbeat();
                self.action.iter().for_each(Action::run);
            }
            let finished = self.running.is_finished() && !self.finished;
            let offset_due = now >= self.next_offset && self.running.has_moved();
            let records = !self.running.batch.is_empty() && driven == Driven::Waits;
            let overdue = self.running.batch.closes_at().is_some_and(|at| now >= at);
            if records || offset_due || overdue || finished {
                self.next_offset = now + OFFSET_INTERVAL;
                self.finished |= finished;
                return Ok(self.running.hand_over());
            }
            if now >= until {
                return Ok(match self.running.batch.is_empty() {
                    true => SourceBatch::default(),
                    false => self.running.hand_over(),
                });
            }
            match driven {
                // Who waits for this looks whether the task is to stop.
                Driven::Busy => tokio::task::yield_now().await,
                Driven::Waits => self.wait(until).await?,
            }
        }
    }

    /// Waits until something happens, or the time is over. Giving up waiting loses nothing.
    async fn wait(&mut self, until: Instant) -> Result<(), SourceError> {
        enum Event {
            Connection(Result<Happened, SourceError>),
            Described(Result<Described, SourceError>),
            Read(Answer),
            Time,
        }
        let Running {
            connection,
            describer,
            readers,
            snapshot,
            within,
            batch,
            ..
        } = &mut self.running;
        // While the stream stands still, nothing is taken from the connection.
        let stands_still = describer.is_waiting() || !*within && snapshot.holds();
        let mut until = until;
        if self.heartbeat.is_some() {
            until = until.min(self.next_heartbeat);
        }
        if batch.moved {
            until = until.min(self.next_offset);
        }
        until = until.min(batch.closes_at().unwrap_or(until));
        let event = tokio::select! {
            happened = connection.happens(), if !stands_still => Event::Connection(happened),
            described = describer.answer() => Event::Described(described),
            answer = readers.answer() => Event::Read(answer),
            () = sleep_until(until) => Event::Time,
        };
        match event {
            Event::Connection(happened) => self.running.happened(happened?),
            Event::Described(described) => {
                self.running.described(described?);
                Ok(())
            }
            Event::Read(answer) => self.running.answered(answer),
            Event::Time => Ok(()),
        }
    }
}

pub(super) fn readers(config: &SourceConfig) -> ReadersConfig {
    ReadersConfig {
        connection: config.connection.clone(),
        readers: config.snapshot.readers,
        lock_timeout: config.snapshot.lock_timeout,
        patience: Readers::PATIENCE,
    }
}

pub(super) fn options(config: &SourceConfig, lower_case_names: bool) -> StreamOptions {
    StreamOptions {
        filters: config.filters.clone(),
        gtid_sources: config.stream.gtid_sources.clone(),
        lower_case_names,
        queries: config.records.include_query,
        ahead: false,
        failures: config.records.failures,
        event_bytes: config.stream.event_bytes,
        hold_bytes: config.stream.queue_bytes,
        held: HeldLimits::with_memory(config.stream.xa_bytes),
    }
}

pub(super) fn settings(config: &SourceConfig, records: &Arc<Records>) -> Settings {
    let records = Arc::clone(records);
    Settings {
        config: config.snapshot.clone(),
        filters: config.filters.clone(),
        gtid_sources: config.stream.gtid_sources.clone(),
        window_bytes: WINDOW_BYTES,
        selector: Arc::new(move |table| {
            let compiled = TableRecords::new(table, &records).map_err(|error| error.to_string())?;
            Ok(Selection {
                list: compiled.select_list().to_owned(),
                cells: compiled.selected().len(),
            })
        }),
    }
}
