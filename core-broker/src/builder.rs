//! Starting a broker: listen, open the data directory, load topics and groups, serve.
//!
//! Why: one place shows the order in which the parts come up, and what is undone when one of them fails. Does not
//! own: stopping (`handle`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::broker::BrokerState;
use crate::config::{BrokerConfig, Endpoint, LiveConfig, LiveConfigError, live};
use crate::error::StartError;
use crate::fetch_session::FetchSessions;
use crate::group::{GroupConfig, GroupManager, LogStore};
use crate::handle::BrokerHandle;
use crate::log::{Clock, Disk, LogDir, LogError, LogOptions, SystemClock};
use crate::metrics::{Gauge, Metrics, MetricsEndpoint};
use crate::producer_id::ProducerIds;
use crate::server::admission::Admission;
use crate::server::budget::Budget;
use crate::server::limits::{self, Shares};
use crate::server::listener::{self, Gate};
use crate::server::warnings::WarningLimit;
use crate::topic::{InitialTopic, TopicError, TopicRegistry};
use crate::transaction::{Markers, TransactionConfig, TransactionLogStore, TransactionManager, Verifier};

/// Threads of a broker that brings its own runtime.
const OWN_THREADS: usize = 2;
/// Threads that may wait for the disk in such a runtime.
const OWN_BLOCKING_THREADS_MAX: usize = 32;
/// Room for fewer connections than this deserves a warning, even if nobody said how many there should be.
const CONNECTIONS_FEW: usize = 4096;

/// A broker; see [`Broker::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Broker {}

impl Broker {
    /// Starts to describe a broker.
    #[must_use]
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }
}

/// What a broker is to be started with.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let broker = millstream_broker::Broker::builder()
///     .data_dir(dir.path())
///     .listener("127.0.0.1:0")
///     .start_blocking()?;
/// println!("bootstrap.servers={}", broker.address());
/// broker.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BrokerBuilder {
    config: BrokerConfig,
    data_dir: Option<PathBuf>,
    listeners: Vec<String>,
    metrics_listener: Option<String>,
    topics: Vec<InitialTopic>,
    options: LogOptions,
}

impl Default for BrokerBuilder {
    fn default() -> Self {
        Self {
            // Kafka waits 3 s for further members before a new group forms; an embedded broker has few clients.
            config: BrokerConfig {
                group_initial_rebalance_delay_ms: 0,
                ..BrokerConfig::default()
            },
            data_dir: None,
            listeners: Vec::new(),
            metrics_listener: None,
            topics: Vec::new(),
            options: LogOptions {
                clock: Arc::new(SystemClock),
                ..LogOptions::default()
            },
        }
    }
}

impl BrokerBuilder {
    /// The directory that holds everything; made if it is not there. Wins over `log.dirs`.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// An address to listen on, `host:port`; port 0 lets the system choose. The first call replaces `listeners` of
    /// the configuration, further calls add to it.
    #[must_use]
    pub fn listener(mut self, address: impl Into<String>) -> Self {
        self.listeners.push(address.into());
        self
    }

    /// An address for `/metrics`, `/healthz` and `/readyz`, `host:port`; port 0 lets the system choose. Wins over
    /// `metrics.listener`. Default: none.
    #[must_use]
    pub fn metrics_listener(mut self, address: impl Into<String>) -> Self {
        self.metrics_listener = Some(address.into());
        self
    }

    /// A topic to make at the start unless it exists; further calls add to it.
    #[must_use]
    pub fn create_topic(mut self, topic: InitialTopic) -> Self {
        self.topics.push(topic);
        self
    }

    /// All other settings. Without this call they are Kafka's defaults, but for groups, which form without delay.
    #[must_use]
    pub fn config(mut self, config: BrokerConfig) -> Self {
        self.config = config;
        self
    }

    /// Where the time comes from. Default: the system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// How data reaches the disk; lets tests make it fail. Default: the system.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.options.disk = disk;
        self
    }

    /// Starts the broker on the current tokio runtime and returns once it accepts connections.
    ///
    /// # Errors
    /// [`StartError`] says what to change; nothing is left running.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(self) -> Result<BrokerHandle, StartError> {
        let runtime = tokio::runtime::Handle::current();
        self.start_on(runtime).await
    }

    /// Starts the broker on threads of its own, for programs that are not asynchronous or keep it apart.
    ///
    /// # Errors
    /// [`StartError`] says what to change; nothing is left running.
    pub fn start_blocking(self) -> Result<BrokerHandle, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(OWN_THREADS)
            .max_blocking_threads(OWN_BLOCKING_THREADS_MAX)
            .thread_name("millstream-broker")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let handle = runtime.handle().clone();
        let started = runtime.spawn(self.start_on(handle.clone()));
        // Not block_on: the caller may be inside another runtime.
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        handle.spawn(async move {
            let result = started
                .await
                .map_err(|e| StartError::Threads(std::io::Error::other(e)));
            // The receiver waits below.
            let _ = sender.send(result.and_then(|started| started));
        });
        let started = receiver
            .recv()
            .map_err(|e| StartError::Threads(std::io::Error::other(e)))?;
        match started {
            Ok(mut broker) => {
                broker.own(runtime);
                Ok(broker)
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    async fn start_on(self, runtime: tokio::runtime::Handle) -> Result<BrokerHandle, StartError> {
        let begun = std::time::Instant::now();
        let mut config = self.config;
        if let Some(dir) = self.data_dir {
            config.log_dirs = Some(dir);
        }
        if !self.listeners.is_empty() {
            config.listeners = parse_listeners(&self.listeners)?;
        }
        if let Some(text) = &self.metrics_listener {
            config.metrics_listener = Some(parse_listener(text)?);
        }
        config.check()?;
        let dir = config.log_dirs.clone().ok_or(StartError::NoDataDir)?;
        let config = Arc::new(config);
        let shares = open_files(&config, &self.options);
        // Listening first: a port in use is told before a long recovery, and early clients wait in the backlog.
        let (sockets, listeners) = bind_all(config.opened_listeners()).await?;
        let endpoint = match &config.metrics_listener {
            Some(endpoint) => Some(bind_metrics(endpoint).await?),
            None => None,
        };
        let clock = Arc::clone(&self.options.clock);
        let options = LogOptions {
            node_id: config.node_id,
            open_files_max: shares.log_files,
            cleaner: config.cleaner_options(),
            producer_expiration_ms: i64::from(config.producer_id_expiration_ms),
            retention_interval: Duration::from_millis(config.log_retention_check_interval_ms.unsigned_abs()),
            reserve_bytes: u64::try_from(config.log_dir_reserve_bytes).ok(),
            ..self.options
        };
        let initial = self.topics;
        let state = tokio::task::spawn_blocking({
            let runtime = runtime.clone();
            move || {
                let state = open(dir.clone(), config, options, clock, listeners, &runtime)?;
                let created = state.topics.create_initial(&initial);
                created.map_err(|source| StartError::Topics { dir, source })?;
                Ok::<_, StartError>(state)
            }
        });
        let state = state
            .await
            .map_err(|e| StartError::Threads(std::io::Error::other(e)))??;
        if let Some(endpoint) = &endpoint {
            endpoint.serve(&state);
            tracing::info!(address = %endpoint.address(), "metrics and health are served");
        }
        let handle = serve(runtime, state, sockets, shares.connections, endpoint);
        tracing::info!(address = %handle.address(), data_dir = %handle.data_dir().display(),
            cluster_id = handle.cluster_id(), elapsed_ms = begun.elapsed().as_millis() as u64, "broker started");
        Ok(handle)
    }
}

/// Raises the open files limit, and divides it so that connections leave enough for the logs.
fn open_files(config: &BrokerConfig, options: &LogOptions) -> Shares {
    let wanted = Shares {
        log_files: options.open_files_max,
        // Not what is set: that can be altered later.
        connections: i32::MAX as usize,
    };
    let open_files = limits::raise_open_files();
    let shares = limits::share(open_files, wanted);
    let asked = match config.max_connections {
        i32::MAX => CONNECTIONS_FEW,
        asked => usize::try_from(asked).unwrap_or(0),
    };
    if shares.connections < asked {
        tracing::warn!(
            open_files,
            max_connections = config.max_connections,
            connections = shares.connections,
            "the open files limit allows fewer connections than max.connections; raise it (ulimit -Hn) or lower the setting"
        );
    } else if config.max_connections == i32::MAX {
        tracing::info!(
            open_files,
            connections = shares.connections,
            "connections are bounded by the open files limit alone"
        );
    }
    shares
}

fn parse_listeners(texts: &[String]) -> Result<Vec<Endpoint>, StartError> {
    let parse = |(at, text): (usize, &String)| {
        let mut endpoint = parse_listener(text)?;
        if at > 0 {
            endpoint.name = format!("PLAINTEXT{at}");
        }
        Ok(endpoint)
    };
    texts.iter().enumerate().map(parse).collect()
}

fn parse_listener(text: &str) -> Result<Endpoint, StartError> {
    Endpoint::plaintext(text).map_err(|expected| StartError::Listener {
        text: text.to_owned(),
        expected,
    })
}

async fn bind_metrics(endpoint: &Endpoint) -> Result<MetricsEndpoint, StartError> {
    let bound = MetricsEndpoint::bind(endpoint).await;
    bound.map_err(|source| StartError::Metrics {
        address: endpoint.address(),
        source,
    })
}

/// Binds every endpoint; the endpoints come back with the ports they really have.
async fn bind_all<'a>(
    endpoints: impl Iterator<Item = &'a Endpoint>,
) -> Result<(Vec<TcpListener>, Vec<Endpoint>), StartError> {
    let (mut sockets, mut bound) = (Vec::new(), Vec::new());
    for endpoint in endpoints {
        let failed = |source| StartError::listen(endpoint.to_string(), source);
        let socket = listener::bind(endpoint).await.map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        bound.push(Endpoint {
            port,
            ..endpoint.clone()
        });
        sockets.push(socket);
    }
    if sockets.is_empty() {
        return Err(StartError::NoListener);
    }
    Ok((sockets, bound))
}

/// Opens the data directory and everything in it; blocks on the disk.
pub(crate) fn open(
    dir: PathBuf,
    config: Arc<BrokerConfig>,
    options: LogOptions,
    clock: Arc<dyn Clock>,
    listeners: Vec<Endpoint>,
    runtime: &tokio::runtime::Handle,
) -> Result<Arc<BrokerState>, StartError> {
    let logs = Arc::new(LogDir::open(&dir, options, |_| config.log_config())?);
    let topics_error = |source| StartError::Topics {
        dir: dir.clone(),
        source,
    };
    let live = Arc::new(open_live(&logs, &config, topics_error)?);
    let effective = live.load();
    logs.set_cleaner_options(effective.cleaner_options());
    logs.set_producer_expiration_ms(effective.producer_id_expiration_ms.into());
    let topics = TopicRegistry::open(Arc::clone(&logs), Arc::clone(&live)).map_err(topics_error)?;
    let topics = Arc::new(topics);
    let started = logs.start_upkeep();
    started.map_err(|error| StartError::Threads(std::io::Error::other(error)))?;
    if config.log_cleaner_enable {
        // Every log has the settings of its topic by now.
        let started = logs.start_cleaner();
        started.map_err(|error| StartError::Threads(std::io::Error::other(error)))?;
    }
    let producer_ids = ProducerIds::open(Arc::clone(&logs)).map_err(|source| StartError::ProducerIds {
        dir: dir.clone(),
        source,
    })?;
    let producer_ids = Arc::new(producer_ids);
    let _entered = runtime.enter();
    let store = Arc::new(LogStore::new(Arc::clone(&topics), Arc::clone(&clock)));
    let groups = GroupManager::start(Arc::clone(&store) as _, group_config(&config), Arc::clone(&clock))
        .map_err(|source| StartError::Groups {
            dir: dir.clone(),
            source,
        })?;
    groups.forget_unknown_topics(|name| topics.get(name.as_str()).is_some());
    let transactions = TransactionManager::start(
        Arc::new(TransactionLogStore::new(
            Arc::clone(&topics),
            Arc::clone(&producer_ids),
            Arc::clone(&clock),
        )),
        Arc::new(Markers::new(Arc::clone(&topics), Arc::clone(&groups))),
        transaction_config(&config),
        clock,
    )
    .map_err(|source| StartError::Transactions { dir, source })?;
    store.verify_with(Arc::new(Verifier(Arc::downgrade(&transactions))));
    let metrics = Metrics::default();
    count_transactions(&metrics, &transactions);
    let slots = usize::try_from(config.max_incremental_fetch_session_cache_slots).unwrap_or(0);
    let fetch_sessions = Arc::new(FetchSessions::new(slots));
    count_sessions(&metrics, &fetch_sessions);
    Ok(Arc::new(BrokerState {
        cluster_id: StrBytes::from_string(logs.cluster_id().to_owned()),
        config,
        live,
        logs,
        topics,
        producer_ids,
        groups,
        fetch_sessions,
        transactions,
        metrics,
        warnings: WarningLimit::default(),
        listeners,
    }))
}

/// The settings, with those that were altered while a broker ran on this directory.
fn open_live(
    logs: &LogDir,
    config: &Arc<BrokerConfig>,
    failed: impl Fn(TopicError) -> StartError,
) -> Result<LiveConfig, StartError> {
    let altered = logs.read_meta_file(live::FILE).map_err(|source| match source {
        LogError::Damaged { reason, .. } => LiveConfigError::damaged(reason).into(),
        source => failed(TopicError::Log {
            topic: live::FILE.to_owned(),
            source,
        }),
    })?;
    Ok(LiveConfig::open(Arc::clone(config), altered.as_deref())?)
}

fn count_transactions(metrics: &Metrics, transactions: &Arc<TransactionManager>) {
    let open = Arc::downgrade(transactions);
    metrics.add_gauge(Gauge {
        name: "millstream_transactions_open",
        help: "Transactions under way, those that are being ended among them.",
        read: Box::new(move || open.upgrade().map_or(0.0, |manager| manager.open_count() as f64)),
    });
}

fn count_sessions(metrics: &Metrics, sessions: &Arc<FetchSessions>) {
    type Read = fn((usize, usize, u64)) -> f64;
    let gauges: [(&'static str, &'static str, Read); 3] = [
        (
            "millstream_fetch_sessions",
            "Fetch sessions kept.",
            |(sessions, _, _)| sessions as f64,
        ),
        (
            "millstream_fetch_session_partitions",
            "Partitions of all fetch sessions.",
            |(_, partitions, _)| partitions as f64,
        ),
        (
            "millstream_fetch_session_evictions",
            "Fetch sessions that made room for others, since the start.",
            |(_, _, evictions)| evictions as f64,
        ),
    ];
    for (name, help, read) in gauges {
        let sessions = Arc::clone(sessions);
        metrics.add_gauge(Gauge {
            name,
            help,
            read: Box::new(move || read(sessions.counts())),
        });
    }
}

fn transaction_config(config: &BrokerConfig) -> TransactionConfig {
    let natural = |n: i32| u32::try_from(n).unwrap_or(0);
    TransactionConfig {
        timeout_ms_max: config.transaction_max_timeout_ms,
        id_expiration_ms: i64::from(config.transactional_id_expiration_ms),
        abort_interval_ms: natural(config.transaction_abort_timed_out_transaction_cleanup_interval_ms),
        expire_interval_ms: natural(config.transaction_remove_expired_transaction_cleanup_interval_ms),
        ..TransactionConfig::default()
    }
}

fn group_config(config: &BrokerConfig) -> GroupConfig {
    let natural = |n: i32| u32::try_from(n).unwrap_or(0);
    let default = GroupConfig::default();
    GroupConfig {
        session_timeout_ms_min: config.group_min_session_timeout_ms,
        session_timeout_ms_max: config.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: natural(config.group_initial_rebalance_delay_ms),
        members_per_group_max: (natural(config.group_max_size) as usize).min(default.members_per_group_max),
        offset_metadata_bytes_max: natural(config.offset_metadata_max_bytes) as usize,
        offsets_retention_minutes: natural(config.offsets_retention_minutes),
        offsets_retention_check_interval_ms: u32::try_from(config.offsets_retention_check_interval_ms)
            .unwrap_or(u32::MAX),
        ..default
    }
}

fn serve(
    runtime: tokio::runtime::Handle,
    state: Arc<BrokerState>,
    sockets: Vec<TcpListener>,
    connections: usize,
    metrics: Option<MetricsEndpoint>,
) -> BrokerHandle {
    let (stop, stopping) = watch::channel(false);
    let budget = usize::try_from(state.config.queued_max_request_bytes).unwrap_or(usize::MAX);
    let addresses = sockets
        .iter()
        .filter_map(|socket| socket.local_addr().ok())
        .collect();
    let gate = Arc::new(Gate {
        broker: Arc::clone(&state),
        budget: Budget::new(budget),
        connections: Admission::new(connections),
        stopping,
    });
    let accepting = sockets
        .into_iter()
        .enumerate()
        .map(|(index, socket)| runtime.spawn(listener::accept(socket, index, Arc::clone(&gate))))
        .collect();
    BrokerHandle::new(runtime, state, addresses, accepting, stop, metrics)
}
