//! Running connectors and their tasks.
//!
//! The worker does what a herder says: it starts and stops connectors and tasks, each task on a thread of its own, and reports what
//! becomes of them. A record's way: `source` polls a plugin, has its records transformed and converted, and produces them; `sink`
//! consumes, converts, transforms, and puts. What fails on the way is judged by `errors` and kept by `dead_letters`.
//!
//! Owns: threads, clients, source offsets (`offsets`). Does not own: which connectors there are and what they should do, which is
//! the herder's. Invariant: an offset is stored, or committed, only once everything before it is delivered, or durable in the sink.
mod behind;
mod config;
mod control;
mod conversion;
mod dead_letters;
mod errors;
mod group_offsets;
mod kept_offsets;
mod metrics;
mod offsets;
mod report;
mod setup;
mod signals;
mod sink;
mod source;
mod stall;
mod state;
mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tracing::Instrument;

use crate::cluster::clients::{Role, client};
use crate::config::ConfigMap;
use crate::config::providers::ConfigProviders;
use crate::config::secrets::Secrets;
use crate::plugin::{Connector, ConnectorContext, PluginError, Registry, TaskId, TaskSignal};
use offsets::{FileOffsets, OffsetStore, TopicOffsets};
use report::Reporter;
use setup::TaskSetup;
use tasks::{TaskHandle, TaskPlugin, Tasks};

pub use behind::TaskProgress;
pub use config::{OffsetStorage, StorageTopic, StorageTopics, WorkerConfig};
pub use kept_offsets::ConnectorOffsets;
pub use stall::{StallAction, StallPolicy};
pub use state::{State, StatusListener, TargetState};

/// A connector that was started; it is behind a lock of its own, so that one that hangs holds up nobody else.
#[derive(Clone)]
struct Started {
    connector: Arc<AsyncMutex<Box<dyn Connector>>>,
    /// As it was given.
    config: ConfigMap,
    /// What its errors and its tasks' configurations must not tell.
    secrets: Secrets,
}

type Connectors = HashMap<String, Started>;

/// Runs connectors and tasks in this process.
pub struct Worker {
    config: Arc<WorkerConfig>,
    registry: Arc<Registry>,
    listener: Arc<dyn StatusListener>,
    providers: ConfigProviders,
    runtime: Handle,
    store: Arc<dyn OffsetStore>,
    connectors: Mutex<Connectors>,
    tasks: Arc<Mutex<Tasks>>,
}

impl Worker {
    /// A worker without connectors. It has to be called within a tokio runtime, on which plugins' futures run. The topics it is to keep things
    /// in are there.
    ///
    /// # Errors
    /// When the cluster's settings or the offset store's are wrong.
    pub fn new(
        config: Arc<WorkerConfig>,
        registry: Arc<Registry>,
        listener: Arc<dyn StatusListener>,
    ) -> Result<Self, PluginError> {
        let secrets = config.secrets.clone();
        Self::with_parts(config, registry, listener).map_err(|error| error.without(&secrets))
    }

    fn with_parts(
        config: Arc<WorkerConfig>,
        registry: Arc<Registry>,
        listener: Arc<dyn StatusListener>,
    ) -> Result<Self, PluginError> {
        let of = |role: Role, name: &str| {
            client(
                role,
                &config.bootstrap_servers,
                name,
                &config.given,
                &ConfigMap::new(),
            )
        };
        let store: Arc<dyn OffsetStore> = match &config.offset_storage {
            OffsetStorage::File(path) => Arc::new(FileOffsets::open(path)?),
            OffsetStorage::Topic(topic) => Arc::new(TopicOffsets::new(
                topic,
                &of(Role::Consumer, "connect-offsets-reader")?,
                &of(Role::Producer, "connect-offsets-writer")?,
                config.exactly_once_source,
            )?),
        };
        // Wrong options of clients and unknown converters are named now, not when the first task starts.
        of(Role::Admin, "connect-admin")?;
        conversion::check_converters(&config, &registry)?;
        let providers = ConfigProviders::of_worker(&config.given)?;
        let tasks = Arc::<Mutex<Tasks>>::default();
        tokio::spawn(stall::watch(Arc::downgrade(&tasks)));
        Ok(Self {
            config,
            registry,
            listener,
            providers,
            runtime: Handle::current(),
            store,
            connectors: Mutex::default(),
            tasks,
        })
    }

    /// The plugins.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn resolve(&self, config: &ConfigMap) -> Result<ConfigMap, PluginError> {
        Ok(self.providers.resolve(config)?)
    }

    /// What nothing may tell of a connector.
    fn secrets(&self, config: &ConfigMap) -> Secrets {
        self.providers.secrets(config).and(&self.config.secrets)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connectors(&self) -> MutexGuard<'_, Connectors> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a connector (not its tasks); one of that name must not run. Its state goes to the listener, too.
    ///
    /// # Errors
    /// When its class is not known, its references to secrets cannot be resolved, or it says so itself.
    pub async fn start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError> {
        let started = self.try_start_connector(name, config).await;
        let started = started.map_err(|error| error.without(&self.secrets(config)));
        match &started {
            Ok(()) => self.listener.on_connector(name, State::Running, None, None),
            Err(error) => {
                tracing::error!(connector = name, "connector failed: {error}");
                self.listener
                    .on_connector(name, State::Failed, Some(&error.to_string()), Some(error.kind()));
            }
        }
        started
    }

    async fn try_start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError> {
        let secrets = self.secrets(config);
        let resolved = self.resolve(config)?;
        let mut connector = match self.plugin(&resolved)? {
            TaskPlugin::Source(plugin, _) => plugin.new_connector(),
            TaskPlugin::Sink(plugin) => plugin.new_connector(),
        };
        let (listener, its) = (Arc::clone(&self.listener), name.to_owned());
        let context = ConnectorContext {
            name: name.to_owned(),
            request_task_reconfiguration: Arc::new(move || listener.on_reconfiguration_request(&its)),
        };
        // A connector that panics, or that waits for ever, fails alone.
        let starting = async move { connector.start(&resolved, context).await.map(|()| connector) };
        let starting = tokio::spawn(starting.instrument(context_of(name)));
        let connector = starting.await.map_err(|error| {
            PluginError::fatal(format!("the connector panicked when it was started: {error}"))
        })??;
        let connector = Arc::new(AsyncMutex::new(connector));
        let config = config.clone();
        let started = Started {
            connector,
            config,
            secrets,
        };
        self.connectors().insert(name.to_owned(), started);
        Ok(())
    }

    /// Which plugin a resolved configuration means.
    fn plugin(&self, config: &ConfigMap) -> Result<TaskPlugin, PluginError> {
        let class = config.get("connector.class").map(|class| class.trim());
        let class = class.ok_or_else(|| PluginError::user_config("connector.class is missing"))?;
        if let Ok(source) = self.registry.source(class) {
            return Ok(TaskPlugin::Source(source, Arc::clone(&self.store)));
        }
        let sink = self.registry.sink(class);
        let sink = sink.map_err(|error| PluginError::user_config(format!("connector.class: {error}")))?;
        Ok(TaskPlugin::Sink(sink))
    }

    /// Stops a connector (not its tasks), if it runs.
    pub async fn stop_connector(&self, name: &str) {
        let stopped = self.connectors().remove(name);
        if let Some(Started { connector, .. }) = stopped {
            // One that panics or hangs when it is stopped is left to itself.
            let stopping = async move { connector.lock().await.stop().await };
            let stopping = tokio::spawn(stopping.instrument(context_of(name)));
            let _ = tokio::time::timeout(self.config.task_shutdown_timeout, stopping).await;
            self.listener.on_connector(name, State::Unassigned, None, None);
        }
    }

    /// How a running connector divides its work, at most into `max` tasks. The configurations have references where the connector handed on
    /// what they stand for.
    ///
    /// # Errors
    /// When it does not run, or says so itself.
    pub async fn task_configs(&self, name: &str, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        let started = self.connectors().get(name).cloned();
        let missing = || PluginError::fatal(format!("the connector {name} does not run"));
        let Started {
            connector,
            config,
            secrets,
        } = started.ok_or_else(missing)?;
        let mut connector = connector.lock_owned().await;
        let context = context_of(name);
        let divided = off_the_runtime(move || context.in_scope(|| connector.task_configs(max))).await;
        let divided = divided.map_err(|error| error.without(&secrets))?;
        let tasks = divided.into_iter().map(|task| secrets.referred_in(&config, task));
        Ok(tasks.collect())
    }

    /// Starts a task; it may not be running. `target` is Started or Paused. Everything that goes wrong goes to the listener.
    pub fn start_task(
        &self,
        id: &TaskId,
        connector_config: &ConfigMap,
        task_config: &ConfigMap,
        target: TargetState,
    ) {
        let secrets = self.secrets(connector_config);
        let reporter = Reporter::new(id, &self.listener, secrets.clone());
        let started = self.try_start_task(id, connector_config, task_config, target, reporter);
        if let Err(error) = started {
            Reporter::new(id, &self.listener, secrets).failed(&error);
        }
    }

    fn try_start_task(
        &self,
        id: &TaskId,
        connector_config: &ConfigMap,
        task_config: &ConfigMap,
        target: TargetState,
        reporter: Reporter,
    ) -> Result<(), PluginError> {
        let setup = TaskSetup {
            id: id.clone(),
            worker: Arc::clone(&self.config),
            registry: Arc::clone(&self.registry),
            connector_config: self.resolve(connector_config)?,
            task_config: self.resolve(task_config)?,
            secrets: reporter.secrets().clone(),
        };
        let plugin = self.plugin(&setup.connector_config)?;
        let mut tasks = self.tasks();
        if tasks.running.get(id).is_some_and(|task| !task.has_ended()) {
            return Err(PluginError::fatal(format!("the task {id} is running already")));
        }
        let task = TaskHandle::start(setup, plugin, target, reporter, &self.runtime);
        let task =
            task.map_err(|error| PluginError::disconnected(format!("starting a thread for {id}: {error}")))?;
        tasks.running.insert(id.clone(), task);
        Ok(())
    }

    /// Stops these tasks, those that run, and waits until they have ended, at most `task.shutdown.graceful.timeout.ms`; who has not then is
    /// abandoned, and writes nothing any more.
    pub async fn stop_tasks(&self, ids: &[TaskId]) {
        let stopped: Vec<(TaskId, TaskHandle)> = {
            let mut tasks = self.tasks();
            ids.iter()
                .filter_map(|id| tasks.running.remove_entry(id))
                .collect()
        };
        for (_, task) in &stopped {
            task.ask_to_stop();
        }
        let until = Instant::now() + self.config.task_shutdown_timeout;
        for (id, task) in stopped {
            if !task.wait(until.saturating_duration_since(Instant::now())).await {
                tracing::error!(task = %id, "the task does not end; it is abandoned, and writes nothing any more");
                self.listener.on_task(&id, State::Unassigned, None, None);
            }
        }
    }

    /// Pauses or resumes a connector's running tasks.
    pub fn set_target(&self, connector: &str, target: TargetState) {
        for (id, task) in &self.tasks().running {
            if id.connector == connector {
                task.set_target(target);
            }
        }
    }

    /// Has a task of a source that runs take what a user asks for.
    ///
    /// # Errors
    /// When it does not run here, or what the task says.
    pub async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), PluginError> {
        let asking = {
            let tasks = self.tasks();
            let running = tasks.running.get(id).filter(|task| !task.has_ended());
            let task = running.ok_or_else(|| {
                PluginError::retriable(format!(
                    "the task {id} does not run; send the signal again when it does"
                ))
            })?;
            if !task.is_source {
                return Err(PluginError::user_config(
                    "the connector is a sink, which takes no signals",
                ));
            }
            task.ask(signal.clone())
        };
        asking.await
    }

    /// Whether a connector of this configuration is a source whose records are delivered exactly once.
    pub fn delivers_exactly_once(&self, config: &ConfigMap) -> bool {
        let transactional = || {
            let setup = self.setup_of("", config).ok()?;
            match self.plugin(&setup.connector_config).ok()? {
                TaskPlugin::Source(plugin, _) => setup.is_transactional(&*plugin).ok(),
                TaskPlugin::Sink(_) => None,
            }
        };
        transactional().unwrap_or(false)
    }

    /// Makes sure that whoever runs these tasks of a connector that delivers exactly once writes nothing any more.
    ///
    /// # Errors
    /// When the cluster denies it or does not answer.
    pub async fn fence(&self, name: &str, config: &ConfigMap, tasks: &[u32]) -> Result<(), PluginError> {
        let mut setups = Vec::new();
        for task in tasks {
            let mut setup = self.setup_of(name, config)?;
            setup.id.task = *task;
            setups.push(setup);
        }
        let fenced = off_the_runtime(move || setups.iter().try_for_each(TaskSetup::fence)).await;
        fenced.map_err(|error| error.without(&self.secrets(config)))
    }

    fn setup_of(&self, name: &str, config: &ConfigMap) -> Result<TaskSetup, PluginError> {
        Ok(TaskSetup {
            id: TaskId {
                connector: name.to_owned(),
                task: 0,
            },
            worker: Arc::clone(&self.config),
            registry: Arc::clone(&self.registry),
            connector_config: self.resolve(config)?,
            task_config: ConfigMap::new(),
            secrets: self.secrets(config),
        })
    }

    /// The id of the cluster that `bootstrap.servers` belongs to.
    ///
    /// # Errors
    /// When it does not answer within `wait`.
    pub async fn cluster_id(&self, wait: Duration) -> Result<String, PluginError> {
        let config = Arc::clone(&self.config);
        off_the_runtime(move || {
            use rdkafka::consumer::{BaseConsumer, Consumer};
            let admin = client(
                Role::Admin,
                &config.bootstrap_servers,
                "connect-admin",
                &config.given,
                &ConfigMap::new(),
            )?;
            let unreachable = || {
                PluginError::disconnected(format!(
                    "no broker answers at bootstrap.servers={}; is it running?",
                    config.bootstrap_servers
                ))
            };
            let asking: BaseConsumer = admin
                .create()
                .map_err(|error| PluginError::user_config(error.to_string()))?;
            asking.client().fetch_cluster_id(wait).ok_or_else(unreachable)
        })
        .await
    }

    /// What tasks count, in Prometheus' text form.
    pub fn metrics(&self) -> String {
        let tasks = self.tasks();
        let figures = tasks
            .running
            .iter()
            .map(|(id, task)| (id, task.metrics(), task.is_source));
        metrics::write(figures)
    }

    /// The tasks that have been in one call for longer than `task.stall.timeout.ms`, a sentence each.
    pub fn stalled(&self) -> Vec<String> {
        self.tasks().stalled()
    }

    /// Stops everything.
    pub async fn stop(&self) {
        let ids: Vec<TaskId> = self.tasks().running.keys().cloned().collect();
        self.stop_tasks(&ids).await;
        let names: Vec<String> = self.connectors().keys().cloned().collect();
        for name in names {
            self.stop_connector(&name).await;
        }
    }
}

/// What stands before all that a connector logs itself, as `tasks` has it for tasks.
fn context_of(connector: &str) -> tracing::Span {
    tracing::error_span!("connector", connector)
}

/// Runs something that blocks on a thread that may.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginError> + Send + 'static,
) -> Result<T, PluginError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(PluginError::fatal(format!("panicked: {error}"))))
}
