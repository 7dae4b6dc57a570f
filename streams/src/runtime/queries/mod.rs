//! Questions to the state of a running job: what is there now, by key, by range, by window.
//!
//! Owns: which stores there are, which partitions of them this process works on and how each is read ([`Queries`]), the keys and
//! ranges that are asked for (`keys`), the user's view of a store (`view`), how instances answer for each other. Does not own: what a step says of its state
//! (`operator`), local stores (`store`).
//!
//! # Two ways
//! Tables and aggregates that have a local store are read from it, in the thread that asks, beside the one that works: what is in a local
//! store is committed. Windows, and everything if `state.dir` is empty, are in the memory of their task alone: the question goes to the
//! worker ([`Mailbox`]), which answers it between two polls. Memory then holds what is committed, because it changes only where an epoch
//! ends and is committed in the same breath, and tasks whose commit failed are dropped with it.
//!
//! # SQL
//! Stores are tables of DataFusion's (`sql`), which are read in both ways, and of other instances.
//!
//! # Other instances
//! With `queries.listener` a process answers over HTTP (`http`, `request`, `question`, `pages`), and says in a topic of the job's own what it works on
//! (`directory`). Whoever is asked for a partition of another instance asks that one (`anywhere`).
//!
//! Invariants: nothing is answered that is not committed; questions that wait are bounded, and so is what a worker does for them at a time;
//! a partition is answered for only as long as its task runs here.
mod anywhere;
mod directory;
mod driver;
mod error;
mod gate;
mod http;
mod ipc;
mod keys;
mod local;
mod mailbox;
mod pages;
mod question;
mod request;
mod serving;
mod sql;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::{Field, SchemaRef};

pub(super) use directory::{Directory, Voice, topic as directory_topic};
pub(crate) use driver::{DriverStores, DriverTasks};
pub use error::QueryError;
use gate::Gate;
pub(super) use http::Listener;
pub(super) use mailbox::Mailbox;
pub(super) use sql::{STATEMENT_MAX, answer as answer_sql};
pub use view::StoreView;

use super::worker::TaskId;
use crate::operator::{StepStore, StoreKind};
use crate::plan::{StepId, Topology};
use crate::state::StoredRows;
use crate::store::StoreReader;
use crate::suggest::did_you_mean;

/// How long a look waits at most for partitions to come, lest it oversees the end of the job.
const MOVING_PAUSE: Duration = Duration::from_millis(100);

/// The stores of a job, and what this process has of them.
pub(super) struct Queries {
    application_id: String,
    /// The topology as a user reads it.
    description: String,
    stores: Vec<Store>,
    /// Steps whose state has no columns to show.
    others: Vec<String>,
    served: Mutex<Served>,
    /// Partitions came or went.
    changed: Condvar,
    /// Before whole partitions are looked through.
    gate: Gate,
    /// Before statements of SQL.
    statements: Gate,
    /// Who works on the others, if instances say so to each other.
    pub(super) directory: OnceLock<Directory>,
}

/// A store that can be asked.
pub(super) struct Store {
    pub(super) name: String,
    sub: usize,
    step: StepId,
    pub(super) partitions: i32,
    of_step: StepStore,
    /// How its rows lie in a local store, if they do.
    rows: Option<StoredRows>,
}

#[derive(Default)]
struct Served {
    /// The job has ended.
    ended: bool,
    /// What is to be done then.
    at_end: Vec<Box<dyn FnOnce() + Send>>,
    tasks: BTreeMap<TaskId, Serving>,
    /// The workers whose tasks are about to come: who joins, or was asked by the group to give partitions back.
    moving: Vec<Arc<Mailbox>>,
}

/// How the state of a task is read.
#[derive(Clone)]
struct Serving {
    mailbox: Arc<Mailbox>,
    stores: Arc<HashMap<StepId, StoreReader>>,
}

impl Store {
    /// The columns of its rows: key, a window's bounds, values.
    pub(super) fn schema(&self) -> SchemaRef {
        self.of_step.schema()
    }

    fn key_count(&self) -> usize {
        self.of_step.kind.key_count()
    }

    pub(super) fn has_windows(&self) -> bool {
        matches!(self.of_step.kind, StoreKind::Windows(_))
    }

    /// What a key has to be.
    fn key_fields<'a>(&self, schema: &'a SchemaRef) -> Vec<&'a Field> {
        let fields = schema.fields()[..self.key_count()].iter();
        fields.map(|field| &**field).collect()
    }
}

impl Queries {
    /// The stores of `topology`, whose sub-topologies have so many `tasks`.
    pub(super) fn new(topology: &Topology, tasks: &HashMap<usize, usize>) -> Self {
        let (mut stores, mut others) = (Vec::new(), Vec::new());
        for sub in &topology.sub_topologies {
            for (step, changelog) in sub.stores() {
                let name = topology.store_name(changelog).to_owned();
                let Some(of_step) = sub.store_of(step) else {
                    others.push(name);
                    continue;
                };
                let partitions = tasks.get(&sub.id).copied().unwrap_or(1);
                stores.push(Store {
                    name,
                    sub: sub.id,
                    step,
                    partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
                    rows: of_step
                        .kind
                        .stored()
                        .map(|(schema, keys)| StoredRows::new(Arc::clone(changelog), schema, keys)),
                    of_step,
                });
            }
        }
        Self {
            application_id: topology.application_id.clone(),
            description: topology.describe(),
            stores,
            others,
            served: Mutex::default(),
            changed: Condvar::new(),
            gate: Gate::default(),
            statements: Gate::default(),
            directory: OnceLock::new(),
        }
    }

    /// The store of this name.
    pub(super) fn store(&self, name: &str) -> Result<&Store, QueryError> {
        if let Some(store) = self.stores.iter().find(|store| store.name == name) {
            return Ok(store);
        }
        if self.others.iter().any(|other| other == name) {
            return Err(QueryError::NotReadable {
                name: name.to_owned(),
                reason: "it is neither a table's nor that of windows of one size (but of a join, sessions, sliding windows, \
                         deduplicate(…) or process(…)); ask a table, and keep in one what should be asked, with \
                         to_table(…) or aggregate(…)"
                    .to_owned(),
            });
        }
        let names: Vec<&str> = self.stores.iter().map(|store| &*store.name).collect();
        let known = match names.is_empty() {
            true => "none of its steps keeps a table or windows".to_owned(),
            false => format!(
                "there is {}{}",
                names.join(", "),
                did_you_mean(name, names.iter().copied())
            ),
        };
        Err(QueryError::UnknownStore {
            application_id: self.application_id.clone(),
            name: name.to_owned(),
            known,
        })
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a task is read, if it runs here.
    fn serving(&self, task: TaskId) -> Option<Serving> {
        self.served().tasks.get(&task).cloned()
    }

    /// The partitions of a store that are here.
    fn partitions_here(&self, store: &Store) -> Vec<i32> {
        let served = self.served();
        let tasks = served.tasks.keys().filter(|(sub, _)| *sub == store.sub);
        tasks.map(|(_, partition)| *partition).collect()
    }

    /// The same once they are: while the group distributes partitions anew, or they are restored, they are nowhere.
    ///
    /// # Errors
    /// They still are not at `until`.
    fn settled_here(&self, store: &Store, until: Instant, timeout: Duration) -> Result<Vec<i32>, QueryError> {
        while self.is_moving() && !self.has_ended() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QueryError::Rebalancing {
                    store: store.name.clone(),
                    timeout,
                });
            }
            self.await_change(left.min(MOVING_PAUSE));
        }
        Ok(self.partitions_here(store))
    }

    fn is_moving(&self) -> bool {
        !self.served().moving.is_empty()
    }

    /// Waits until partitions come or go, or `patience` is over.
    fn await_change(&self, patience: Duration) {
        drop(self.changed.wait_timeout(self.served(), patience));
    }

    /// A worker works on a task.
    fn come(&self, task: TaskId, mailbox: &Arc<Mailbox>, stores: HashMap<StepId, StoreReader>) {
        let serving = Serving {
            mailbox: Arc::clone(mailbox),
            stores: Arc::new(stores),
        };
        self.served().tasks.insert(task, serving);
        self.changed.notify_all();
    }

    /// A worker works on none of its tasks any more. Another may have come to one already.
    fn leave(&self, mailbox: &Arc<Mailbox>) {
        let is_others = |serving: &Serving| !Arc::ptr_eq(&serving.mailbox, mailbox);
        self.served().tasks.retain(|_, serving| is_others(serving));
        self.changed.notify_all();
    }

    /// A worker waits for its tasks, until it [settles](Self::settle).
    pub(super) fn unsettle(&self, mailbox: &Arc<Mailbox>) {
        let mut served = self.served();
        if !served.moving.iter().any(|other| Arc::ptr_eq(other, mailbox)) {
            served.moving.push(Arc::clone(mailbox));
        }
    }

    /// A worker has all of its tasks, or ends.
    fn settle(&self, mailbox: &Arc<Mailbox>) {
        self.served().moving.retain(|other| !Arc::ptr_eq(other, mailbox));
        self.changed.notify_all();
    }

    /// The job has ended.
    pub(super) fn end(&self) {
        let at_end = {
            let mut served = self.served();
            served.ended = true;
            std::mem::take(&mut served.at_end)
        };
        self.changed.notify_all();
        at_end.into_iter().for_each(|act| act());
    }

    /// Has something done when the job ends, or now if it has.
    fn at_end(&self, act: impl FnOnce() + Send + 'static) {
        let mut served = self.served();
        if !served.ended {
            served.at_end.push(Box::new(act));
            return;
        }
        drop(served);
        act();
    }

    /// The tasks that this process works on.
    fn tasks_here(&self) -> BTreeSet<TaskId> {
        self.served().tasks.keys().copied().collect()
    }

    fn has_ended(&self) -> bool {
        self.served().ended
    }
}
