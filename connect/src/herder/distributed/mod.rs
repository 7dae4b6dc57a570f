//! A herder that shares connectors with others through topics, as Kafka's `connect-distributed` does.
//!
//! The topics are Kafka Connect's own: what Java's workers left is gone on with, and back. Who leads, and who is there, is decided by an ordinary
//! consumer group ([`group`]); the leader decides who runs what ([`planner`]) and writes it where all read it ([`assignment`], [`configs`]);
//! each worker does what it reads ([`state`], [`reconcile`]), reports ([`statuses`]), and asks the leader through the topic of configurations
//! where a connector's work is divided anew ([`lead`]).
//!
//! Owns: the three topics' contents but for offsets, membership, leadership. Does not own: threads of tasks, and how requests come to the leader
//! ([`rest`](crate::rest)). Invariant: a connector or task runs on one worker at most, as far as clocks can tell.
mod assignment;
mod configs;
mod events;
mod group;
mod lead;
mod lookups;
mod planner;
mod reader;
mod reconcile;
mod requests;
#[cfg(test)]
mod simulation;
mod state;
mod statuses;
mod topics;
mod writer;

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::locks::NameLocks;
use super::validation::ConnectorPlugin;
use super::{HerderError, LogLevel, Loggers, Tasks, Unit, UnitStatus, Validator};
use crate::cluster::clients::{Role, client};
use crate::config::{ConfigMap, worker::WorkerMode, worker::worker_def};
use crate::plugin::PluginError;
use crate::worker::{State, StorageTopics, WorkerConfig};
use assignment::MemberId;
use configs::Change;
use group::{GroupSettings, Membership};
use planner::Planner;
use reader::{Read, Reader};
use state::Knowledge;
use statuses::Reported;
use writer::{ConfigWriter, Notes};

pub use events::TaskEvents;

/// How often everything is looked at if nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// A pause while something is about to end.
const SHORT: Duration = Duration::from_millis(10);
/// How long the last statuses may take to be written when the worker ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a [`DistributedHerder`] is made of.
pub struct DistributedParts {
    /// What runs connectors and tasks: a [`Worker`](crate::worker::Worker) with `events` as its listener.
    pub tasks: Arc<dyn Tasks>,
    /// What they report to.
    pub events: Arc<TaskEvents>,
    /// Checks configurations.
    pub validator: Validator,
    /// The worker's configuration.
    pub config: Arc<WorkerConfig>,
    /// Levels of logs.
    pub loggers: Loggers,
    /// What other workers reach this one by: `HOST:PORT`.
    pub worker_id: String,
}

/// Connectors that a group of workers shares. Dropping it ends its membership without a word; [`DistributedHerder::stop`] stops what runs here
/// and says so.
pub struct DistributedHerder {
    shared: Arc<Shared>,
    working: Vec<JoinHandle<()>>,
    locks: NameLocks,
}

/// Where everything is kept, and how it is reached.
struct Settings {
    topics: StorageTopics,
    group: GroupSettings,
    producer: ClientConfig,
    consumer: ClientConfig,
    transactional_id: String,
    session: Duration,
    /// Whether some worker of the group may deliver exactly once, so that its leader has to fence: `exactly.once.source.support` is not
    /// disabled.
    fences: bool,
}

struct Shared {
    parts: DistributedParts,
    settings: Settings,
    knowledge: Mutex<Knowledge>,
    /// Something is known that was not.
    changed: watch::Sender<()>,
    notes: Notes,
    pen: Arc<Mutex<Option<ConfigWriter>>>,
    planner: Mutex<Planner>,
    membership: Mutex<Option<Membership>>,
    readers: Mutex<Vec<Reader>>,
    /// Connectors that something is being done to.
    busy: Mutex<BTreeSet<String>>,
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Settings {
    fn of(config: &WorkerConfig) -> Result<Self, PluginError> {
        let missing = |what: &str| PluginError::user_config(format!("a distributed worker needs {what}"));
        let topics = config
            .storage_topics
            .clone()
            .ok_or_else(|| missing("config.storage.topic"))?;
        let group = config.group_id.clone().ok_or_else(|| missing("group.id"))?;
        let parsed = worker_def(WorkerMode::Distributed).parse(&config.given)?;
        let millis = |key: &str| u64::try_from(parsed.int(key)).unwrap_or_default();
        let (session, heartbeat) = (millis("session.timeout.ms"), millis("heartbeat.interval.ms"));
        let of = |role: Role, name: &str| {
            let none = ConfigMap::new();
            client(role, &config.bootstrap_servers, name, &config.given, &none)
        };
        let mut member = of(Role::Consumer, "connect-group")?;
        member
            .set("group.id", &group)
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", heartbeat.to_string())
            .set(
                "max.poll.interval.ms",
                millis("rebalance.timeout.ms").max(session).to_string(),
            )
            // Who leads goes on leading when others come.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "latest");
        Ok(Self {
            group: GroupSettings {
                client: member,
                group: group.clone(),
                topic: topics.config.name.clone(),
                pause: Duration::from_millis((heartbeat / 3).clamp(50, 1_000)),
            },
            topics,
            producer: of(Role::Producer, "connect-storage-writer")?,
            consumer: of(Role::Consumer, "connect-storage-reader")?,
            // Java's leaders use the same.
            transactional_id: format!("connect-cluster-{group}"),
            session: Duration::from_millis(session),
            fences: !parsed
                .string("exactly.once.source.support")
                .trim()
                .eq_ignore_ascii_case("disabled"),
        })
    }
}

impl DistributedHerder {
    /// Makes the topics that are missing, and begins to read them; the group is joined once they are read. It has to be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// When a topic or an option is wrong, or the cluster does not answer.
    pub async fn start(parts: DistributedParts) -> Result<Self, PluginError> {
        let config = Arc::clone(&parts.config);
        let settings = Settings::of(&config)?;
        let admin = client(
            Role::Admin,
            &config.bootstrap_servers,
            "connect-admin",
            &config.given,
            &ConfigMap::new(),
        )?;
        topics::prepare(&admin, &settings.topics).await?;
        // Who is not heard of any more has had a session to notice it, and its tasks their time to stop.
        let margin = settings.session + config.task_shutdown_timeout + settings.group.pause;
        let shared = Arc::new(Shared {
            notes: Notes::new(&settings.producer)?,
            planner: Mutex::new(Planner::new(config.scheduled_rebalance_delay, margin)),
            parts,
            settings,
            knowledge: Mutex::default(),
            changed: watch::channel(()).0,
            pen: Arc::default(),
            membership: Mutex::default(),
            readers: Mutex::default(),
            busy: Mutex::default(),
        });
        let reading = Arc::clone(&shared);
        let begun = tokio::task::spawn_blocking(move || reading.read()).await;
        begun.map_err(|error| PluginError::fatal(format!("panicked: {error}")))??;
        let working = vec![
            tokio::spawn(work(Arc::downgrade(&shared))),
            tokio::spawn(lead::run(Arc::downgrade(&shared))),
        ];
        Ok(Self {
            shared,
            working,
            locks: NameLocks::default(),
        })
    }

    /// Stops what runs here, says so, and leaves the group.
    pub async fn stop(&self) {
        locked(&self.shared.knowledge).ending = true;
        self.working.iter().for_each(JoinHandle::abort);
        // What is being started comes to its end first, so that it is stopped, too.
        let until = Instant::now() + LAST_WORDS;
        while !locked(&self.shared.busy).is_empty() && Instant::now() < until {
            tokio::time::sleep(SHORT).await;
        }
        self.shared.parts.tasks.stop().await;
        self.shared.say_that_all_is_given_up();
        let shared = Arc::clone(&self.shared);
        let left = tokio::task::spawn_blocking(move || {
            shared.notes.flush(LAST_WORDS);
            if let Some(membership) = locked(&shared.membership).take() {
                membership.leave();
            }
            locked(&shared.readers).clear();
        });
        // A panic there ends with the worker.
        let _ = left.await;
    }
}

impl Drop for DistributedHerder {
    fn drop(&mut self) {
        self.working.iter().for_each(JoinHandle::abort);
        locked(&self.shared.knowledge).ending = true;
        locked(&self.shared.membership).take();
        locked(&self.shared.readers).clear();
    }
}

/// The worker's own work: what it runs, and its membership.
async fn work(herder: Weak<Shared>) {
    let mut troubled = false;
    loop {
        let Some(shared) = herder.upgrade() else {
            return;
        };
        let mut changed = shared.changed.subscribe();
        let trouble = shared.twin_trouble();
        if let Some(error) = trouble.as_ref().filter(|_| !troubled) {
            warn!(%error, "two workers of one address");
        }
        troubled = trouble.is_some();
        shared.hear_tasks();
        shared.keep_membership();
        shared.reconcile();
        let events = Arc::clone(&shared.parts.events);
        drop(shared);
        tokio::select! {
            gone = changed.changed() => if gone.is_err() { return },
            () = events.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

impl Shared {
    fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Begins to read both topics. Blocks.
    fn read(self: &Arc<Self>) -> Result<(), PluginError> {
        let (topics, consumer) = (&self.settings.topics, &self.settings.consumer);
        let shared = Arc::downgrade(self);
        let configs = Reader::start(consumer, &topics.config.name, move |read| {
            if let Some(shared) = shared.upgrade() {
                shared.hear_config(read);
            }
        })?;
        let shared = Arc::downgrade(self);
        let statuses = Reader::start(consumer, &topics.status.name, move |read| {
            let Some(shared) = shared.upgrade() else { return };
            let mut knowledge = locked(&shared.knowledge);
            match read {
                Read::Record(_, key, value) => knowledge.statuses.apply(key, value),
                Read::CaughtUp => knowledge.statuses_ready = true,
            }
            drop(knowledge);
            shared.tell();
        })?;
        locked(&self.readers).extend([configs, statuses]);
        Ok(())
    }

    fn hear_config(&self, read: Read<'_>) {
        let mut knowledge = locked(&self.knowledge);
        match read {
            Read::CaughtUp => {
                knowledge.configs_ready = true;
                info!("the topic of configurations is read");
            }
            Read::Record(offset, key, value) => {
                let live = knowledge.configs_ready;
                let name = key.strip_prefix("connector-");
                let before = name.and_then(|name| knowledge.config(name).cloned());
                match knowledge.configs.apply(offset, key, value) {
                    Change::Restart(name, request) if live => knowledge.restart(&name, request),
                    // As in Java, levels last as long as the worker.
                    Change::Level(level) if live => {
                        if let Some(parsed) = LogLevel::parse(&level.level) {
                            let now = jiff::Timestamp::now().as_millisecond();
                            self.parts.loggers.set(&level.logger, parsed, now);
                        }
                    }
                    Change::Connector(name) if key.starts_with("connector-") => {
                        knowledge.configured(&name, before.as_ref());
                    }
                    _ => {}
                }
            }
        }
        drop(knowledge);
        self.tell();
    }

    /// Begins a new life in the group if the last one is over and nothing of it runs any more.
    fn keep_membership(self: &Arc<Self>) {
        let life = {
            let mut knowledge = locked(&self.knowledge);
            let expired = knowledge
                .seen
                .is_some_and(|seen| seen.elapsed() > self.settings.session);
            if expired {
                self.end_life(&mut knowledge);
            }
            if !knowledge.ready()
                || knowledge.ending
                || knowledge.me.is_some()
                || !knowledge.running.is_empty()
            {
                return;
            }
            if !locked(&self.busy).is_empty() {
                return;
            }
            let random = RandomState::new().build_hasher().finish();
            let life = MemberId::new(&self.parts.worker_id, &format!("{random:016x}"));
            knowledge.me = Some(life.clone());
            life
        };
        let (shared, its, session) = (Arc::downgrade(self), life.clone(), self.settings.session);
        let joined = Membership::join(&self.settings.group, &life, move |roll| {
            let Some(shared) = shared.upgrade() else { return };
            let mut knowledge = locked(&shared.knowledge);
            if knowledge.hear(roll, &its, session) {
                shared.end_life(&mut knowledge);
            }
            drop(knowledge);
            shared.tell();
        });
        match joined {
            Ok(membership) => drop(locked(&self.membership).replace(membership)),
            Err(error) => {
                warn!(%error, "the group cannot be joined");
                locked(&self.knowledge).me = None;
            }
        }
    }

    /// The group may have given this worker up: everything stops, and another life begins.
    fn end_life(&self, knowledge: &mut Knowledge) {
        warn!("this worker was out of its group for too long; it stops what it runs, and joins anew");
        (knowledge.me, knowledge.seen, knowledge.leading) = (None, None, false);
        knowledge.again.clear();
        locked(&self.membership).take();
    }

    fn status(&self, name: &str, state: State, trace: Option<&str>) -> UnitStatus {
        let knowledge = locked(&self.knowledge);
        let config = knowledge
            .configs
            .connector(name)
            .and_then(|its| its.config.as_ref());
        let class = config.and_then(|(_, config)| config.get("connector.class").cloned());
        drop(knowledge);
        let plugin =
            class.and_then(|class| ConnectorPlugin::find(self.parts.validator.registry(), class.trim()).ok());
        UnitStatus {
            state,
            worker_id: self.parts.worker_id.clone(),
            version: plugin.map(|plugin| plugin.version().to_owned()),
            trace: trace.map(str::to_owned),
        }
    }

    /// Writes what a connector or task does, for all to see.
    fn publish(&self, unit: &Unit, state: State, trace: Option<&str>, release: bool) {
        let status = self.status(&unit.connector, state, trace);
        let generation = locked(&self.knowledge).configs.assignment.epoch;
        let reported = Reported {
            status,
            generation,
            released: release.then_some(generation),
        };
        let key = statuses::unit_key(unit);
        self.note(&key, Some(&reported.to_text()));
    }

    fn note(&self, key: &str, value: Option<&str>) {
        self.notes
            .write(&self.settings.topics.status.name, None, key, value);
    }

    /// For the leader, so that it does not have to wait.
    fn say_that_all_is_given_up(&self) {
        let units: Vec<Unit> = {
            let mut knowledge = locked(&self.knowledge);
            let Some(me) = knowledge.me.clone().filter(|_| knowledge.seen.is_some()) else {
                return;
            };
            knowledge.running.clear();
            let placed = knowledge.configs.assignment.units.iter();
            let mine = placed.filter(|(_, place)| place.owner == me);
            mine.map(|(unit, _)| unit.clone()).collect()
        };
        for unit in units {
            self.publish(&unit, State::Unassigned, None, true);
        }
    }

    /// Waits until `look` finds something, at most so long.
    async fn wait_until<T>(
        &self,
        wait: Duration,
        mut look: impl FnMut(&Knowledge) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + wait;
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = look(&locked(&self.knowledge)) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            // Either way it is looked again.
            let _ = tokio::time::timeout(left.min(TICK), changed.changed()).await;
        }
    }
}

/// That the group is not yet, or no longer, in order; in Kafka's words.
fn rebalancing() -> HerderError {
    HerderError::Conflict(
        "Cannot complete request because of a conflicting operation (e.g. worker rebalance)".to_owned(),
    )
}
