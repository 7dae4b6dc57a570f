//! Random lives of a group: workers join, die, lose the cluster, read late; connectors come and go; leaders change.
//!
//! What must hold: no connector or task runs on two live workers at once; when calm returns, everything that is wanted runs once, evenly.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::assignment::{Assignment, MemberId};
use super::planner::{Planner, Situation};
use crate::herder::Unit;

const SESSION: Duration = Duration::from_secs(10);
const STOPPING: Duration = Duration::from_secs(5);
const MARGIN: Duration = Duration::from_secs(16);
const TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum Event {
    Join(usize),
    Crash(usize),
    CutOff(usize),
    Reconnect(usize),
    Leave(usize),
    Lead(usize),
    Want(usize, bool),
    Read(usize, usize),
    Act(usize),
    Plan,
    HearAcknowledgements(usize),
    Tick,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let worker = 0..4_usize;
    let event = prop_oneof![
        2 => worker.clone().prop_map(Event::Join),
        1 => worker.clone().prop_map(Event::Crash),
        1 => worker.clone().prop_map(Event::CutOff),
        1 => worker.clone().prop_map(Event::Reconnect),
        1 => worker.clone().prop_map(Event::Leave),
        1 => worker.clone().prop_map(Event::Lead),
        3 => (0..12_usize, any::<bool>()).prop_map(|(unit, on)| Event::Want(unit, on)),
        8 => (worker.clone(), 1..4_usize).prop_map(|(worker, many)| Event::Read(worker, many)),
        8 => worker.prop_map(Event::Act),
        6 => Just(Event::Plan),
        4 => (1..4_usize).prop_map(Event::HearAcknowledgements),
        6 => Just(Event::Tick),
    ];
    prop::collection::vec(event, 1..400)
}

/// A process.
#[derive(Debug, Clone)]
struct Process {
    id: MemberId,
    /// It reaches the cluster.
    connected: bool,
    /// When the group was last seen to have it as a member.
    seen: Instant,
    /// When the cluster last heard of it.
    heard: Instant,
    read: usize,
    running: BTreeSet<Unit>,
}

struct World {
    now: Instant,
    lives: usize,
    processes: BTreeMap<usize, Process>,
    /// Whom the cluster holds for members.
    members: BTreeMap<MemberId, Instant>,
    /// Who leads, and what it remembers. Its writes are the log's: leaders fence each other.
    leader: Option<(MemberId, Planner)>,
    log: Vec<Assignment>,
    acknowledged: Vec<(Unit, String, u64)>,
    heard: usize,
    wanted: BTreeSet<Unit>,
    delay: Duration,
}

impl World {
    fn new(delay: Duration) -> Self {
        Self {
            now: Instant::now(),
            lives: 0,
            processes: BTreeMap::new(),
            members: BTreeMap::new(),
            leader: None,
            log: vec![Assignment::default()],
            acknowledged: Vec::new(),
            heard: 0,
            wanted: BTreeSet::new(),
            delay,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Join(number) => self.join(number),
            Event::Crash(number) => drop(self.processes.remove(&number)),
            Event::CutOff(number) => self.connect(number, false),
            Event::Reconnect(number) => self.connect(number, true),
            Event::Leave(number) => self.leave(number),
            Event::Lead(number) => {
                let id = self.processes.get(&number).map(|process| process.id.clone());
                if let Some(id) = id.filter(|id| self.members.contains_key(id)) {
                    self.leader = Some((id, Planner::new(self.delay, MARGIN)));
                }
            }
            Event::Want(number, on) => {
                let task = (!number.is_multiple_of(3)).then_some((number % 3) as u32);
                let unit = Unit {
                    connector: format!("c{}", number / 3),
                    task,
                };
                if on {
                    self.wanted.insert(unit);
                } else {
                    self.wanted.remove(&unit);
                }
            }
            Event::Read(number, many) => {
                let end = self.log.len() - 1;
                if let Some(process) = self.processes.get_mut(&number).filter(|its| its.connected) {
                    process.read = (process.read + many).min(end);
                }
            }
            Event::Act(number) => self.act(number),
            Event::Plan => self.plan(),
            Event::HearAcknowledgements(many) => {
                self.heard = (self.heard + many).min(self.acknowledged.len());
            }
            Event::Tick => self.tick(),
        }
    }

    fn join(&mut self, number: usize) {
        if self.processes.contains_key(&number) {
            return;
        }
        self.lives += 1;
        let id = MemberId::new(&format!("w{number}:1"), &self.lives.to_string());
        self.members.insert(id.clone(), self.now);
        let process = Process {
            id,
            connected: true,
            seen: self.now,
            heard: self.now,
            read: 0,
            running: BTreeSet::new(),
        };
        self.processes.insert(number, process);
    }

    fn connect(&mut self, number: usize, connected: bool) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.connected = connected;
        }
    }

    /// A clean end: it stops everything, says so, and leaves.
    fn leave(&mut self, number: usize) {
        if !self.processes.get(&number).is_some_and(|its| its.connected) {
            return;
        }
        let Some(process) = self.processes.remove(&number) else {
            return;
        };
        let epoch = self.log[process.read].epoch;
        for unit in process.running {
            self.acknowledged
                .push((unit, process.id.worker_id().to_owned(), epoch));
        }
        self.members.remove(&process.id);
    }

    /// A worker does what the last assignment that it read says.
    fn act(&mut self, number: usize) {
        let Some(process) = self.processes.get_mut(&number) else {
            return;
        };
        let assignment = &self.log[process.read];
        let mine = |unit: &Unit| assignment.is_run_by(unit, &process.id);
        process.running = assignment
            .units
            .keys()
            .filter(|unit| mine(unit))
            .cloned()
            .collect();
        if !process.connected {
            return;
        }
        for (unit, place) in &assignment.units {
            if place.owner == process.id && place.draining.is_some() {
                let acknowledgement = (unit.clone(), process.id.worker_id().to_owned(), assignment.epoch);
                self.acknowledged.push(acknowledgement);
            }
        }
    }

    fn plan(&mut self) {
        let Some((leader, planner)) = &mut self.leader else {
            return;
        };
        if !self
            .processes
            .values()
            .any(|its| its.id == *leader && its.connected)
        {
            return;
        }
        let heard = &self.acknowledged[..self.heard];
        let released = |unit: &Unit, worker: &str| {
            let last = heard.iter().rev().find(|(its, _, _)| its == unit);
            last.filter(|(_, its, _)| its == worker)
                .map(|(_, _, epoch)| *epoch)
        };
        let members = self.members.keys().cloned().collect();
        let next = planner.plan(&Situation {
            me: leader,
            members: &members,
            wanted: &self.wanted,
            current: self.log.last().unwrap(),
            released: &released,
            now: self.now,
        });
        self.log.extend(next);
    }

    fn tick(&mut self) {
        self.now += TICK;
        for process in self.processes.values_mut() {
            if process.connected {
                process.heard = self.now;
                if let Some(heard) = self.members.get_mut(&process.id) {
                    (*heard, process.seen) = (self.now, self.now);
                }
            }
        }
        let now = self.now;
        self.members.retain(|_, heard| now - *heard < SESSION);
        // Who has not seen itself among the members for a session stops, which takes a while, and begins a new life.
        let ended: Vec<usize> = self
            .processes
            .iter()
            .filter(|(_, process)| now - process.seen >= SESSION + STOPPING)
            .map(|(number, _)| *number)
            .collect();
        for number in ended {
            self.processes.remove(&number);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut runners: BTreeMap<&Unit, &MemberId> = BTreeMap::new();
        for process in self.processes.values() {
            for unit in &process.running {
                let other = runners.insert(unit, &process.id);
                prop_assert!(
                    other.is_none(),
                    "{unit:?} runs on {} and {other:?}\n{:?}",
                    process.id,
                    self.log
                );
            }
        }
        Ok(())
    }

    fn calm(&mut self) -> Result<(), TestCaseError> {
        for number in 0..4 {
            self.happens(Event::Reconnect(number));
        }
        self.happens(Event::Join(0));
        for round in 0..(60 + self.delay.as_secs()) {
            self.happens(Event::Tick);
            let leads = self
                .leader
                .as_ref()
                .is_some_and(|(leader, _)| self.members.contains_key(leader));
            let alive = |world: &Self| {
                let mut all = world.processes.iter();
                all.find(|(_, its)| world.members.contains_key(&its.id))
                    .map(|(number, _)| *number)
            };
            let next = if leads { None } else { alive(self) };
            if let Some(number) = next {
                self.happens(Event::Lead(number));
            }
            self.happens(Event::Plan);
            for number in 0..4 {
                self.happens(Event::Read(number, usize::MAX / 2));
                self.happens(Event::Act(number));
                self.check()?;
            }
            self.happens(Event::HearAcknowledgements(usize::MAX / 2));
            if round == 30 {
                // Those that the group had given up on before calm returned have begun new lives by now.
                self.happens(Event::Join(0));
            }
        }
        let running: BTreeSet<&Unit> = self.processes.values().flat_map(|its| &its.running).collect();
        prop_assert_eq!(running, self.wanted.iter().collect::<BTreeSet<_>>());
        let live = self
            .processes
            .values()
            .filter(|its| self.members.contains_key(&its.id));
        for kind in [false, true] {
            let counts = live.clone().map(|its| {
                its.running
                    .iter()
                    .filter(|unit| unit.task.is_some() == kind)
                    .count()
            });
            let counts: Vec<usize> = counts.collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_runs_twice_and_everything_runs_in_the_end(events in events(), delayed in any::<bool>()) {
        let mut world = World::new(if delayed { Duration::from_secs(30) } else { Duration::ZERO });
        for event in events {
            world.happens(event);
            world.check()?;
        }
        world.calm()?;
    }
}
