//! Warm copies of what other processes work with (`num.standby.replicas`): if one dies, its successor goes on at once.
//!
//! Owns: which changelogs are copied (`successors`: those of the tasks that the group would give to this process), following them into local
//! stores, how far the copies are behind. Does not own: the stores, and taking them over (`store`, `restoring`): a worker that is
//! given a task claims its stores, as it always does, and finds them where the copy stood.
//!
//! Invariants: a copy takes only what counts; a store that a worker of this process has is never followed; whatever befalls a copy, the job
//! goes on without it.
mod successors;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::metrics::StandbyMetrics;
use super::shared::Shared;
use crate::error::StreamsError;
use crate::plan::Topology;
use crate::source::{Follow, Followed, Look, SourceError, StartAt, TopicPartition};
use crate::store::{LocalStore, LocalStoreError, LocalStores, Position};
use crate::typed::panic_message;
use successors::{Group, process_name};

/// The thread.
pub(super) const THREAD: &str = "stream-standby";
/// The longest wait for records; bounds how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);
/// Records taken before anything else is looked at.
const RECORDS_MAX: usize = 4096;
/// How often it is looked who is in the group, beside whenever this process was given partitions.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// The same while the group changes, or does not say.
const UNSTABLE_PAUSE: Duration = Duration::from_millis(500);
/// Looks in a row that found nobody who said who is in the group, after which that is told.
const FAILURES_TOLD: u32 = 8;
/// How often it is looked where the logs end.
const END_PAUSE: Duration = Duration::from_secs(2);
/// How often it is told how the copies stand.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// What copies are made with.
pub(super) struct Parts<F> {
    pub(super) topology: Arc<Topology>,
    pub(super) shared: Arc<Shared>,
    pub(super) stores: LocalStores,
    pub(super) follow: F,
    /// `num.standby.replicas`.
    pub(super) replicas: usize,
    /// The `group.instance.id` of one of this process's workers.
    pub(super) instance: String,
}

/// The copies of a process.
pub(super) struct Standby<F> {
    parts: Parts<F>,
    /// Sub-topologies with state, each with the topics it reads.
    subs: Vec<(usize, Vec<String>)>,
    copies: Vec<Copy>,
    /// How many copies were ever begun.
    begun: u64,
    /// Logs that somebody looks at.
    asked: BTreeMap<TopicPartition, Asked>,
    /// Copies came or went.
    changed: bool,
    look_at: Instant,
    ends_at: Instant,
    report_at: Instant,
    /// Of the last look at the group: how often partitions had been given, and what was told of it.
    assignments: u64,
    told: Option<(usize, usize)>,
    /// How often in a row nobody said who is in the group.
    failures: u32,
    /// Copies should be there that could not be begun yet.
    missing: bool,
}

/// A look at a log that somebody was asked for.
struct Asked {
    /// For which copy: another one may have come in its place, which has more.
    number: u64,
    /// Whether at the first record too.
    first: bool,
}

/// A warm copy of a changelog.
struct Copy {
    at: TopicPartition,
    /// Counts all copies that were ever begun.
    number: u64,
    /// The sub-topology whose state it is.
    sub: usize,
    store: LocalStore,
    stage: Stage,
    /// Everything before it was taken.
    next: i64,
    /// Where the log ended when somebody looked.
    end: Option<i64>,
    failure: Option<LocalStoreError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Is what the store has of the log as it is now?
    Compared(Option<Position>),
    /// The log is read to the end that it had.
    Read { end: i64 },
    /// It is followed.
    Followed,
}

impl<F: Follow> Standby<F> {
    pub(super) fn new(parts: Parts<F>) -> Self {
        let subs = parts.topology.sub_topologies.iter();
        let subs = subs.filter(|sub| sub.stores().next().is_some()).map(|sub| {
            let topics = sub.inputs.iter().map(|input| input.topic.to_string());
            (sub.id, topics.collect())
        });
        let now = Instant::now();
        Self {
            subs: subs.collect(),
            parts,
            copies: Vec::new(),
            begun: 0,
            asked: BTreeMap::new(),
            changed: false,
            look_at: now,
            ends_at: now,
            report_at: now,
            assignments: 0,
            told: None,
            failures: 0,
            missing: false,
        }
    }

    /// Follows until the job stops.
    pub(super) fn start(mut self) -> Result<JoinHandle<()>, StreamsError>
    where
        F: Send + 'static,
    {
        let shared = Arc::clone(&self.parts.shared);
        let run = move || {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                while !self.parts.shared.is_stopping() {
                    self.step();
                }
                self.release(|_| true);
            }));
            // The stores close before the job counts as stopped.
            drop(self);
            if let Err(panic) = outcome {
                // The job needs no copies to go on.
                shared.metrics.standbys(BTreeMap::new());
                tracing::error!(
                    cause = panic_message(&*panic),
                    "the thread that follows changelogs panicked, and this process holds no standby copies until it is started again; if files in \
                     state.dir are damaged, delete that folder"
                );
            }
            shared.worker_ended(THREAD, Ok(()));
        };
        let name = THREAD.to_owned();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run);
        thread.map_err(|cause| StreamsError::Thread { thread: name, cause })
    }

    /// Polls once, and does what is due.
    pub(super) fn step(&mut self) {
        let now = Instant::now();
        self.look(now);
        // Whoever works on a task of this process now has its stores.
        let before = self.copies.len();
        self.copies.retain(|copy| copy.store.is_current());
        self.changed |= self.copies.len() < before;
        while let Some((at, look)) = self.parts.follow.answer() {
            self.take(&at, look);
        }
        self.ask(now);
        if let Err(error) = self.read().and_then(|()| self.follow()) {
            tracing::warn!(%error, "standby copies begin again from where they stand");
            self.release(|_| true);
            self.look_at = Instant::now() + UNSTABLE_PAUSE;
            std::thread::sleep(UNSTABLE_PAUSE);
        }
        for copy in &mut self.copies {
            copy.outcome(|copy| copy.store.keep(false));
        }
        self.drop_failed();
        if now >= self.report_at {
            self.report_at = now + REPORT_PAUSE;
            self.report();
        }
    }

    /// Looks who is in the group, if it is time, and so which copies this process should have.
    fn look(&mut self, now: Instant) {
        let assignments = self.parts.shared.assignments();
        if assignments == self.assignments && now < self.look_at {
            return;
        }
        self.assignments = assignments;
        self.look_at = now + UNSTABLE_PAUSE;
        let found = match self.parts.follow.members() {
            Ok(found) if found.stable => found,
            Ok(_) => {
                self.failures = 0;
                return;
            }
            Err(error) => return self.not_told(&error),
        };
        self.failures = 0;
        // A member that is joining will hear of it.
        let Some(group) = Group::of(&found, process_name(&self.parts.instance)) else {
            return;
        };
        self.look_at = now + LOOK_PAUSE;
        let tasks = group.successions(self.parts.replicas, &self.subs);
        let mut wanted = BTreeMap::new();
        for sub in &self.parts.topology.sub_topologies {
            for (_, topic) in sub.stores() {
                let of_sub = tasks.iter().filter(|(id, _)| *id == sub.id);
                wanted.extend(of_sub.map(|(_, partition)| {
                    let (topic, partition) = (Arc::clone(topic), *partition);
                    (TopicPartition { topic, partition }, sub.id)
                }));
            }
        }
        self.tell(group.others(), wanted.len());
        let subs = std::mem::take(&mut self.subs);
        self.release(|copy| {
            let topics = subs.iter().find(|(sub, _)| *sub == copy.sub);
            // What was given to this process waits until a worker has the time to take it over.
            let is_here = topics.is_some_and(|(_, topics)| group.is_here(topics, copy.at.partition));
            !is_here && !wanted.contains_key(&copy.at)
        });
        self.subs = subs;
        self.missing = false;
        for (at, sub) in wanted {
            if self.copies.iter().all(|copy| copy.at != at) {
                self.begin(at, sub);
            }
        }
        if self.missing {
            self.look_at = now + UNSTABLE_PAUSE;
        }
    }

    /// Nobody says who is in the group: what is copied goes on, and nothing else is.
    fn not_told(&mut self, error: &SourceError) {
        self.failures = self.failures.saturating_add(1);
        let group = self.parts.shared.application_id();
        if self.failures == FAILURES_TOLD {
            tracing::warn!(
                group,
                %error,
                "nobody says who is in the group, so that no new standby copies are made; if the cluster has access control, this client needs \
                 Describe on the group, which is the application id"
            );
        } else {
            tracing::debug!(group, %error, "looking who is in the group");
        }
    }

    fn tell(&mut self, others: usize, copies: usize) {
        if self.told.replace((others, copies)) == Some((others, copies)) {
            return;
        }
        let (job, wanted) = (self.parts.shared.application_id(), self.parts.replicas);
        match others {
            0 => tracing::info!(
                job,
                "num.standby.replicas={wanted}, but this is the only instance: nobody else can hold a copy, and it has none to hold"
            ),
            others if others < wanted => tracing::info!(
                job,
                copies,
                "num.standby.replicas={wanted}, but besides this instance there are only {others}: each task has that many copies"
            ),
            _ => tracing::info!(job, copies, others, "standby copies"),
        }
    }

    /// Begins to copy a changelog, unless a worker of this process is not done with it, or the disk with what was left.
    fn begin(&mut self, at: TopicPartition, sub: usize) {
        let store = match self.parts.stores.follow(&at) {
            Ok(Some(store)) => store,
            Ok(None) => {
                self.missing = true;
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "a standby copy cannot be made");
                return;
            }
        };
        self.begun += 1;
        self.copies.push(Copy {
            at,
            number: self.begun,
            sub,
            stage: Stage::Compared(store.resume()),
            store,
            next: 0,
            end: None,
            failure: None,
        });
    }

    /// Gives up those copies, which stay on the disk as they are.
    fn release(&mut self, which: impl Fn(&Copy) -> bool) {
        let (released, kept) = self.copies.drain(..).partition(|copy| which(copy));
        self.copies = kept;
        let released: Vec<Copy> = released;
        self.changed |= !released.is_empty();
        for copy in released {
            if let Err(error) = copy.store.keep(true) {
                tracing::warn!(%error, "a standby copy may have to be read again");
            }
        }
    }

    fn drop_failed(&mut self) {
        let before = self.copies.len();
        self.copies.retain(|copy| match &copy.failure {
            Some(error) => {
                tracing::warn!(%error, "a standby copy is given up, and begun again");
                false
            }
            None => true,
        });
        self.changed |= self.copies.len() < before;
    }

    /// Has somebody look at the logs: before they are read, and from time to time at their ends.
    fn ask(&mut self, now: Instant) {
        let ends = now >= self.ends_at;
        if ends {
            self.ends_at = now + END_PAUSE;
        }
        for copy in &self.copies {
            let first = matches!(copy.stage, Stage::Compared(_));
            if (first || ends) && !self.asked.contains_key(&copy.at) {
                let number = copy.number;
                self.asked.insert(copy.at.clone(), Asked { number, first });
                self.parts.follow.ask(&copy.at, first);
            }
        }
    }

    /// Takes what somebody saw of a log.
    fn take(&mut self, at: &TopicPartition, look: Look) {
        let Some(asked) = self.asked.remove(at) else {
            return;
        };
        // A copy that came later may have more than the log had then.
        let mut copies = self.copies.iter_mut();
        let (Some(copy), Some(end)) = (copies.find(|copy| copy.number == asked.number), look.end) else {
            return;
        };
        let next = copy.next;
        match copy.stage {
            Stage::Compared(found) if asked.first => {
                let fits = |found: &Position| Some(found.first) == look.first && found.offset <= end;
                match found.filter(fits) {
                    Some(position) => copy.next = position.offset,
                    None => copy.outcome(|copy| copy.store.begin_anew()),
                }
                (copy.stage, copy.end, self.changed) = (Stage::Read { end }, Some(end), true);
            }
            Stage::Compared(_) => {}
            Stage::Followed if next >= end => {
                copy.end = Some(end);
                copy.outcome(|copy| copy.store.stands_at(next));
            }
            Stage::Read { .. } | Stage::Followed => copy.end = Some(end),
        }
    }

    /// Reads what is copied now.
    fn read(&mut self) -> Result<(), StreamsError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let read = self
            .copies
            .iter()
            .filter(|copy| !matches!(copy.stage, Stage::Compared(_)));
        let starts = read.map(|copy| match copy.next {
            0 => (copy.at.clone(), StartAt::Beginning),
            next => (copy.at.clone(), StartAt::Offset(next)),
        });
        let starts: Vec<_> = starts.collect();
        Ok(self.parts.follow.read(&starts)?)
    }

    /// Takes what comes.
    fn follow(&mut self) -> Result<(), StreamsError> {
        let (copies, mut last, mut records) = (&mut self.copies, 0, 0);
        let polled = self.parts.follow.poll(WAIT, RECORDS_MAX, &mut |followed| {
            let (Followed::Change(topic, partition, _) | Followed::End(topic, partition, _)) = followed;
            let is_its = |copy: &Copy| copy.at.partition == partition && *copy.at.topic == *topic;
            // Records come in runs.
            if !copies.get(last).is_some_and(is_its) {
                let Some(place) = copies.iter().position(is_its) else {
                    return;
                };
                last = place;
            }
            let copy = &mut copies[last];
            match followed {
                Followed::Change(_, _, change) => {
                    records += 1;
                    copy.next = change.at.offset + 1;
                    if let Some(key) = change.key {
                        copy.outcome(|copy| copy.store.restore(change.at, key, change.value));
                    }
                    if matches!(copy.stage, Stage::Read { end } if copy.next >= end) {
                        copy.caught_up();
                    }
                }
                Followed::End(_, _, offset) => {
                    copy.next = copy.next.max(offset);
                    copy.end = copy.end.max(Some(copy.next));
                    copy.caught_up();
                }
            }
        });
        self.parts.shared.metrics.followed(records);
        Ok(polled?)
    }

    /// Gives all copies up, as after a failure.
    #[cfg(test)]
    pub(super) fn release_all(&mut self) {
        self.release(|_| true);
        self.look_at = Instant::now();
    }

    /// Whether copies that should be there have begun.
    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        !self.missing
    }

    /// The stores of the copies.
    #[cfg(test)]
    pub(super) fn stores(&self) -> impl Iterator<Item = &LocalStore> {
        self.copies.iter().map(|copy| &copy.store)
    }

    #[cfg(test)]
    pub(super) fn follower(&mut self) -> &mut F {
        &mut self.parts.follow
    }

    /// Tells how the copies stand.
    pub(super) fn report(&self) {
        let standbys = self.copies.iter().map(|copy| {
            let lag = match copy.stage {
                Stage::Compared(_) => None,
                _ => copy.end.map(|end| u64::try_from(end - copy.next).unwrap_or(0)),
            };
            let at = (copy.at.topic.to_string(), copy.at.partition);
            (at, StandbyMetrics { lag })
        });
        self.parts.shared.metrics.standbys(standbys.collect());
    }
}

impl Copy {
    /// All that the log had was taken.
    fn caught_up(&mut self) {
        if matches!(self.stage, Stage::Read { .. }) {
            let (topic, partition) = (&*self.at.topic, self.at.partition);
            tracing::info!(
                topic,
                partition,
                offset = self.next,
                "a standby copy has caught up"
            );
            self.stage = Stage::Followed;
        }
        let next = self.next;
        self.outcome(|copy| copy.store.stands_at(next));
    }

    /// Does something with the store, whose failure ends the copy.
    fn outcome(&mut self, act: impl FnOnce(&Self) -> Result<(), LocalStoreError>) {
        if self.failure.is_none() {
            self.failure = act(self).err();
        }
    }
}
