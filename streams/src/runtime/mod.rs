//! Threads, assignments, commits: what turns tasks into a job.
//!
//! Owns: starting (`cluster`: reach the brokers, check and create topics), deleting what was read of repartition topics
//! (`purge`), reading global tables (`globals`), looking whether silent partitions are idle (`idle`, `clocks`), the process's place on disk (`local`,
//! `checkpoints`), one OS thread a worker (`worker`: one
//! consumer, one producer, the tasks of its partitions), the job's shared state (`shared`), draining (`drain`), the user's
//! handle. Does not own: what a record means (`task`).
//!
//! # An epoch in a worker
//! Poll and feed tasks (`feed`) until `commit.interval.ms` has passed since the last epoch's end began, and at least half of it since the
//! first record; end the epoch of every task, in the order of sub-topologies; then (`commit`) make outputs, changelogs and positions definite, and do not go on before
//! the outcome is known. At least once: wait until all output is acknowledged, then commit the positions. Exactly once: one
//! transaction. At most once: commit the positions, then send what was held back until then. If a transaction is aborted, the tasks are dropped, rebuilt from their changelogs, and read the epoch again. A record that
//! cannot be delivered, or a commit that is refused, fails the job with its cause.
//!
//! # Rebalances
//! On a revocation the worker ends and commits its epoch, unless the assignment is lost already; its tasks wait. On the
//! next assignment the tasks whose partitions came back go on where they were, if nobody has gone on meanwhile; the others are
//! dropped. New tasks with state read their changelogs first, one after the other, while the tasks that are ready work. A lost
//! assignment drops all tasks at once, because their last epoch may be another's.
//!
//! Invariants: a worker's tasks are touched by its thread alone; offsets are committed only for epochs whose outputs
//! are acknowledged, or with them, or, at most once, before any of them is sent; a task reads its inputs only when its state is whole; a failing worker stops the whole job, and
//! `drain`, `stop` and `wait` say why.
mod block_on;
mod checkpoints;
mod clocks;
mod cluster;
mod commit;
mod deadline;
mod drain;
mod early;
mod endpoint;
mod feed;
mod globals;
mod handle;
mod held;
mod idle;
mod local;
mod metrics;
mod partitions;
mod prometheus;
mod purge;
mod queries;
mod restoring;
mod shared;
mod stalls;
mod standby;
mod start_order;
#[cfg(test)]
mod tests;
mod worker;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaError;

#[cfg(test)]
pub(crate) use block_on::block_on;
pub use handle::StreamsHandle;
pub use metrics::{MetricsSnapshot, StandbyMetrics, SubTopologyMetrics};
pub(crate) use queries::{DriverStores, DriverTasks};
pub use queries::{QueryError, StoreView};
pub use shared::JobState;

use crate::config::{ConfigError, Guarantee, QueueShares, StreamsConfig};
use crate::error::StreamsError;
use crate::operator::Surroundings;
use crate::plan::{Decode, ErrorPolicy, PlanError, Topology, dead_letter};
use crate::sink::{HeldSink, Holds, KafkaSink};
use crate::source::{KafkaFollow, KafkaRestore, KafkaSource, LagBoard, Looker, TopicPartition};
use crate::state::{OwnerNames, StateMemory};
use crate::store::{process_salt, wall_clock_ms};
use crate::typed::panic_message;
use cluster::Cluster;
use globals::Globals;
use idle::{ClusterProbe, Prober};
use local::Local;
use purge::Purge;
use queries::{Directory, Listener, Queries, Voice, directory_topic};
use shared::Shared;
use standby::Standby;
use worker::{Clients, Worker};

/// The smallest pieces that states are shipped in, however little memory there is.
const SHUFFLE_RECORD_BYTES_MIN: usize = 16 << 10;
/// What partial aggregates may take, however little memory there is.
const PARTIAL_BYTES_MIN: usize = 4 << 20;
/// How long the workers may take to stop if the job cannot start after all.
const PURGE_STOP: Duration = Duration::from_secs(5);

/// Starts `topology`.
pub(crate) fn start(topology: Topology, config: StreamsConfig) -> Result<StreamsHandle, StreamsError> {
    config.check(&topology.application_id)?;
    let guarantee = config.guarantee(topology.guarantee);
    config.check_epoch(guarantee, config.commit_interval(topology.commit_interval))?;
    if guarantee != Guarantee::ExactlyOnce && topology.aggregates_tables() {
        tracing::warn!(
            ?guarantee,
            "an aggregate over a table may count a row in two groups if a process dies while the row goes from one to the other, and a \
             join by another table's key may keep asking for what it no longer needs; use processing.guarantee=exactly_once_v2"
        );
    }
    let dead_letters = default_dead_letters(&topology, &config)?;
    let cluster = Arc::new(Cluster::connect(&config, &topology.application_id)?);
    let mut surroundings = cluster.prepare(&topology)?;
    surroundings.limits.record_bytes_max = config.record_bytes_max();
    if let Some(bytes) = config.cache_bytes_max() {
        // An epoch is at least one such record, and comes on top of what memory may hold.
        let piece = (bytes / 64).max(SHUFFLE_RECORD_BYTES_MIN);
        let limits = &mut surroundings.limits;
        limits.shuffle_record_bytes_max = limits.shuffle_record_bytes_max.min(piece);
        let partial = (bytes / 4).max(PARTIAL_BYTES_MIN);
        limits.partial_bytes_max = limits.partial_bytes_max.min(partial);
    }
    surroundings.repeats = guarantee != Guarantee::ExactlyOnce;
    surroundings.owners = Arc::new(OwnerNames::new(wall_clock_ms, process_salt()));
    surroundings.memory = Arc::new(StateMemory::new(config.cache_bytes_max()));
    cluster.find_outputs(&topology, dead_letters.as_ref())?;
    surroundings.on_error = dead_letters;
    let globals = Globals::load(&topology, &config, guarantee, &surroundings)?;
    surroundings.globals = globals.views();
    let prober = Prober::start(Arc::clone(&cluster))?;
    let repartitions = surroundings.partitions.iter().flat_map(|(topic, count)| {
        let numbers = (0..).take(*count);
        numbers.map(|partition| TopicPartition {
            topic: Arc::clone(topic),
            partition,
        })
    });
    let repartitions = repartitions.collect();
    let local = Local::open(&topology, &config, guarantee, &cluster)?;
    let looker = Looker::start(config.restore_client(&topology.application_id, "looks", guarantee));
    let looker = looker.map_err(|cause| {
        let thread = Looker::THREAD.to_owned();
        StreamsError::Thread { thread, cause }
    })?;
    let topology = Arc::new(topology);
    let errors = Arc::clone(&surroundings.errors);
    let queries = Queries::new(&topology, &surroundings.tasks);
    let standbys = can_follow(&topology, &config, &local);
    let threads = config.thread_count() + usize::from(standbys);
    let shared = Arc::new(Shared::new(&topology, threads, errors, queries));
    let purge = Purge {
        partitions: repartitions,
        interval: config.purge_interval(),
        client: config.observer_client(&topology.application_id),
        cluster: Arc::clone(&cluster),
        shared: Arc::clone(&shared),
    };
    let asked = asked(&topology, &config, &cluster, &shared)?;
    let mut handle = StreamsHandle::new(Arc::clone(&topology), Arc::clone(&shared), cluster, guarantee);
    let job = Job {
        topology: &topology,
        config: &config,
        shared: &shared,
        surroundings,
        guarantee,
        local: &local,
        looker: &looker,
    };
    if standbys {
        match new_standby(&job).and_then(Standby::start) {
            Ok(thread) => handle.add_thread(thread),
            Err(error) => {
                (0..threads).for_each(|_| shared.worker_ended("unstarted", Ok(())));
                return Err(error);
            }
        }
    }
    for number in 1..=config.thread_count() {
        match start_worker(number, &job, prober.probe()) {
            Ok((thread, lag)) => handle.add_worker(thread, lag),
            Err(error) => {
                // Those not started will not end, and the handle's drop waits for the others.
                (number..=config.thread_count()).for_each(|_| shared.worker_ended("unstarted", Ok(())));
                return Err(error);
            }
        }
    }
    if let Err(error) = purge
        .start()
        .and_then(|()| globals.start(&shared))
        .and_then(|()| handle.serve_metrics(config.metrics_listener()))
        .and_then(|()| handle.serve_queries(asked))
    {
        handle.stop(PURGE_STOP)?;
        return Err(error);
    }
    Ok(handle)
}

/// What answers questions from outside, if it was asked for. The job does not run yet, so that whoever cannot listen does not start.
fn asked(
    topology: &Topology,
    config: &StreamsConfig,
    cluster: &Cluster,
    shared: &Shared,
) -> Result<Option<(Listener, Voice)>, StreamsError> {
    let Some((address, advertised)) = config.queries_listener() else {
        return Ok(None);
    };
    let listener = Listener::bind(address)?;
    if advertised.is_none() && listener.local.ip().is_unspecified() {
        return Err(ConfigError::Missing {
            key: "queries.advertised",
            remedy: "queries.listener takes any address of this machine; give the host:port at which other instances reach it",
        }
        .into());
    }
    let id = &topology.application_id;
    if topology.internal_topics().contains(&directory_topic(id).as_str()) {
        return Err(ConfigError::Value {
            key: "queries.listener".to_owned(),
            value: address.to_owned(),
            expected: "possible with a step named \"instances\", whose changelog would be the topic in which instances find each other; \
                       give the step another name"
                .to_owned(),
        }
        .into());
    }
    cluster.prepare_directory(&directory_topic(id))?;
    let own = advertised.map_or_else(|| listener.local.to_string(), str::to_owned);
    // It is the first: nobody else sets it.
    let _ = shared.queries.directory.set(Directory::new(own));
    Ok(Some((listener, Voice::new(&config.observer_client(id), id)?)))
}

/// The policy of steps that have none of their own, as the configuration says it.
fn default_dead_letters(
    topology: &Topology,
    config: &StreamsConfig,
) -> Result<Option<ErrorPolicy>, StreamsError> {
    match config.dead_letter_topic() {
        Some(topic) if topology.source_topics().contains(&topic) => {
            let topic = topic.to_owned();
            Err(PlanError::SinkIsSource { topic }.into())
        }
        topic => Ok(topic.map(dead_letter)),
    }
}

/// What all workers are started with.
struct Job<'a> {
    topology: &'a Arc<Topology>,
    config: &'a StreamsConfig,
    shared: &'a Arc<Shared>,
    surroundings: Surroundings,
    guarantee: Guarantee,
    local: &'a Local,
    looker: &'a Looker,
}

/// Whether this process is to keep copies of what others work with, and can.
fn can_follow(topology: &Topology, config: &StreamsConfig, local: &Local) -> bool {
    let replicas = config.standbys();
    if replicas == 0 || topology.changelogs.is_empty() {
        return false;
    }
    if local.stores.is_none() {
        tracing::warn!(
            job = topology.application_id,
            "num.standby.replicas={replicas}, but state.dir is empty: this process holds no standby copies, and reads all of a changelog when it takes a task over; set state.dir"
        );
    }
    local.stores.is_some()
}

fn new_standby(job: &Job<'_>) -> Result<Standby<KafkaFollow>, StreamsError> {
    let (id, config, local) = (&job.topology.application_id, job.config, job.local);
    let client = config.follow_client(id, job.guarantee, changelogs(job));
    let follow = KafkaFollow::new(&client, id, job.looker).map_err(|error| StreamsError::Client {
        client: "consumer",
        cause: error.to_string(),
    })?;
    let worker = config.consumer_client(
        id,
        "stream-1",
        job.guarantee,
        &local.identity,
        QueueShares::default(),
    );
    let stores = local.stores.clone().expect("whoever is to follow has stores");
    Ok(Standby::new(standby::Parts {
        topology: Arc::clone(job.topology),
        shared: Arc::clone(job.shared),
        stores,
        follow,
        replicas: config.standbys(),
        instance: worker.get("group.instance.id").unwrap_or_default().to_owned(),
    }))
}

/// How many partitions of changelogs there are, of which this process never follows more.
fn changelogs(job: &Job<'_>) -> usize {
    let changelogs = job.topology.changelogs.iter();
    let tasks = changelogs.map(|changelog| job.surroundings.tasks.get(&changelog.sub));
    tasks.flatten().sum()
}

/// What each worker has to queue if this process is alone.
fn queue_shares(job: &Job<'_>) -> QueueShares {
    let mut shares = QueueShares::default();
    for sub in &job.topology.sub_topologies {
        let partitions = job.surroundings.tasks.get(&sub.id).copied().unwrap_or(0);
        let rows = sub
            .inputs
            .iter()
            .filter(|input| matches!(input.decode, Decode::Rows(_)));
        shares.sources += partitions * rows.count();
        shares.partitions += partitions * sub.inputs.len();
    }
    let threads = job.config.thread_count().max(1);
    QueueShares {
        sources: shares.sources.div_ceil(threads),
        partitions: shares.partitions.div_ceil(threads),
    }
}

fn start_worker(
    number: usize,
    job: &Job<'_>,
    probe: ClusterProbe,
) -> Result<(JoinHandle<()>, Arc<LagBoard>), StreamsError> {
    let &Job {
        topology,
        config,
        shared,
        guarantee,
        local,
        looker,
        ..
    } = job;
    let failed = |client| {
        move |error: KafkaError| StreamsError::Client {
            client,
            cause: error.to_string(),
        }
    };
    let (id, name) = (&topology.application_id, format!("stream-{number}"));
    let lag = Arc::new(LagBoard::default());
    let topics = topology
        .sub_topologies
        .iter()
        .flat_map(|sub| &sub.inputs)
        .map(|input| Arc::clone(&input.topic));
    let interval = config.commit_interval(topology.commit_interval);
    let producer = config.producer_client(id, &name, guarantee, &local.identity, interval);
    let sink = KafkaSink::new(&producer, shared.abandon_flag(), config.timeout())?;
    let sink = HeldSink::new(sink, Holds::of(guarantee, topology));
    let consumer = config.consumer_client(id, &name, guarantee, &local.identity, queue_shares(job));
    let is_own = consumer
        .get("group.instance.id")
        .is_some_and(|instance| instance.starts_with(&local.identity));
    let mut source = KafkaSource::new(
        &consumer,
        topics.collect(),
        Arc::clone(&lag),
        shared.abandon_flag(),
    )
    .map_err(failed("consumer"))?;
    if is_own {
        source = source.renewable();
    }
    let clients = Clients {
        source,
        sink,
        restore: KafkaRestore::new(config.restore_client(id, &name, guarantee), looker),
        stores: local.stores.clone(),
        probe: Box::new(probe),
    };
    let slot = local.slot.clone();
    let mut worker = Worker::new(
        Arc::clone(topology),
        job.surroundings.clone(),
        interval,
        guarantee,
        clients,
        Arc::clone(shared),
    );
    let (shared, worker_name) = (Arc::clone(shared), name.clone());
    let run = move || {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| worker.run()));
        let outcome = outcome.unwrap_or_else(|panic| {
            Err(StreamsError::Panicked {
                message: panic_message(&*panic),
            })
        });
        // The group hears of the leaving member before the job counts as stopped.
        drop(worker);
        drop(slot);
        shared.worker_ended(&worker_name, outcome);
    };
    let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
    Ok((
        thread.map_err(|cause| StreamsError::Thread { thread: name, cause })?,
        lag,
    ))
}
