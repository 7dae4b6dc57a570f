//! What a worker knows and runs, and what follows from it.
//!
//! A plain state: who reads the topics and who hears of the group fill it in; what is to be stopped and started comes out ([`Knowledge::todo`]).
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::assignment::MemberId;
use super::configs::Configs;
use super::group::Roll;
use super::statuses::Statuses;
use crate::config::ConfigMap;
use crate::herder::{RestartRequest, Restarts, Unit};
use crate::worker::{State, TargetState};

/// What a unit was started with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Started {
    /// The connector's configuration.
    pub(super) connector: ConfigMap,
    /// The task's configuration; of a connector nothing.
    pub(super) task: ConfigMap,
    pub(super) target: TargetState,
}

/// What is to be done about a connector and its tasks here, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Todo {
    pub(super) stop: BTreeSet<Unit>,
    /// What was given up, with the epoch to say it at.
    pub(super) release: BTreeSet<Unit>,
    pub(super) target: Option<TargetState>,
    pub(super) start: BTreeMap<Unit, Started>,
    /// Whether tasks may only start once older ones are fenced, if the connector delivers exactly once.
    pub(super) unfenced: bool,
    pub(super) divide: bool,
}

impl Todo {
    pub(super) fn is_empty(&self) -> bool {
        *self
            == Self {
                unfenced: self.unfenced,
                ..Self::default()
            }
    }
}

/// What a worker knows and runs.
#[derive(Default)]
pub(super) struct Knowledge {
    pub(super) configs: Configs,
    /// Whether the topic of configurations was read to its end.
    pub(super) configs_ready: bool,
    pub(super) statuses: Statuses,
    pub(super) statuses_ready: bool,
    /// Its present life in the group.
    pub(super) me: Option<MemberId>,
    /// When it was last known to be in the group.
    pub(super) seen: Option<Instant>,
    pub(super) roll: Option<Roll>,
    /// Since when another member has had this worker's address.
    twin_since: Option<Instant>,
    /// Whether it may write configurations.
    pub(super) leading: bool,
    pub(super) running: BTreeMap<Unit, Started>,
    pub(super) restarts: Restarts,
    pub(super) restarts_made: u64,
    /// What is to be started again.
    pub(super) again: BTreeSet<Unit>,
    /// Connectors whose work is to be divided anew.
    pub(super) divide: BTreeSet<String>,
    /// It is ending: nothing is started any more.
    pub(super) ending: bool,
}

impl Knowledge {
    pub(super) fn ready(&self) -> bool {
        self.configs_ready && self.statuses_ready
    }

    /// The group's last word. Whether this life is over: nobody knows what happened while it was away.
    pub(super) fn hear(&mut self, roll: Roll, life: &MemberId, session: Duration) -> bool {
        if self.me.as_ref() != Some(life) {
            return false;
        }
        let is_in = roll.members.contains(life);
        let away = self
            .seen
            .is_some_and(|seen| !is_in || roll.asked.saturating_duration_since(seen) > session);
        if is_in && !away {
            self.seen = Some(roll.asked);
        }
        // While the group rebalances nobody says who leads: the last who did goes on.
        let before = self.roll.take().and_then(|before| before.leader);
        let leader = roll
            .leader
            .clone()
            .or(before.filter(|leader| roll.members.contains(leader)));
        let twin = roll.members.iter().any(|member| self.is_twin(member));
        self.twin_since = twin.then(|| self.twin_since.unwrap_or(roll.asked));
        self.roll = Some(Roll { leader, ..roll });
        away
    }

    /// Whether it is another member of the group with this worker's address.
    pub(super) fn is_twin(&self, member: &MemberId) -> bool {
        let mine = |me: &MemberId| me != member && me.url() == member.url();
        self.me.as_ref().is_some_and(mine)
    }

    /// The address, if another member has had it for longer than a session: a former life of this worker would be gone by then.
    pub(super) fn shared_address(&self, now: Instant, session: Duration) -> Option<&str> {
        let since = self.twin_since?;
        let me = self.me.as_ref()?;
        (now.saturating_duration_since(since) > session).then(|| me.worker_id())
    }

    /// Who runs here, if this worker may run anything: the group knows it, and has not had time to give up on it.
    pub(super) fn alive(&self, now: Instant, session: Duration) -> Option<&MemberId> {
        let seen = self.seen?;
        let alive = self.ready() && !self.ending && now.saturating_duration_since(seen) <= session;
        self.me.as_ref().filter(|_| alive)
    }

    /// Whether it has the partition that makes a leader.
    pub(super) fn should_lead(&self) -> bool {
        let leader = self.roll.as_ref().and_then(|roll| roll.leader.as_ref());
        self.ready() && self.seen.is_some() && !self.ending && leader.is_some() && leader == self.me.as_ref()
    }

    /// The connectors of which something is, or is to be, here.
    pub(super) fn here(&self) -> BTreeSet<String> {
        let running = self.running.keys().map(|unit| unit.connector.clone());
        let placed = self.configs.assignment.units.iter();
        let mine = placed.filter(|(_, place)| Some(&place.owner) == self.me.as_ref());
        running
            .chain(mine.map(|(unit, _)| unit.connector.clone()))
            .collect()
    }

    fn running_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Unit, &'a Started)> {
        let from = Unit {
            connector: name.to_owned(),
            task: None,
        };
        let all = self.running.range(from..);
        all.take_while(move |(unit, _)| unit.connector == name)
    }

    /// What each unit of the connector is to be started with.
    fn wanted(&self, name: &str, alive: bool) -> BTreeMap<Unit, Started> {
        let (Some(its), Some(me), true) = (self.configs.connector(name), &self.me, alive) else {
            return BTreeMap::new();
        };
        let target = its.target();
        let mine = self.configs.assignment.of_connector(name, me);
        let started = mine.into_iter().filter_map(|unit| {
            let started = match unit.task {
                None => Started {
                    connector: its.config.as_ref()?.1.clone(),
                    task: ConfigMap::new(),
                    target,
                },
                Some(task) => Started {
                    connector: its.division.connector.clone(),
                    task: its.division.tasks.get(task as usize)?.clone(),
                    target,
                },
            };
            Some((unit, started))
        });
        started.collect()
    }

    /// What is to be done about a connector and its tasks here.
    pub(super) fn todo(&self, name: &str, now: Instant, session: Duration) -> Todo {
        let alive = self.alive(now, session).is_some();
        let mut wanted = self.wanted(name, alive);
        let mut todo = Todo {
            unfenced: self.configs.connector(name).is_some_and(|its| its.unfenced),
            ..Todo::default()
        };
        for (unit, started) in self.running_of(name) {
            let goes_on = wanted.get(unit).filter(|wanted| {
                let stopped = |target| unit.task.is_none() && target == TargetState::Stopped;
                wanted.connector == started.connector
                    && wanted.task == started.task
                    && stopped(wanted.target) == stopped(started.target)
                    && !self.again.contains(unit)
            });
            match goes_on {
                Some(wanted) if wanted.target != started.target => todo.target = Some(wanted.target),
                Some(_) => {}
                None => drop(todo.stop.insert(unit.clone())),
            }
        }
        wanted.retain(|unit, _| !self.running.contains_key(unit) || todo.stop.contains(unit));
        todo.start = wanted;
        for me in self.me.iter().filter(|_| alive) {
            for (unit, place) in self.configs.assignment.named(name) {
                let Some(draining) = place.draining.filter(|_| place.owner == *me) else {
                    continue;
                };
                let said = self.statuses.released(unit, me.worker_id());
                if said.is_none_or(|said| said < draining) {
                    todo.release.insert(unit.clone());
                }
            }
        }
        let connector = Unit {
            connector: name.to_owned(),
            task: None,
        };
        let runs = self
            .running
            .get(&connector)
            .is_some_and(|its| its.target == TargetState::Started);
        todo.divide = alive && runs && !todo.stop.contains(&connector) && self.divide.contains(name);
        todo
    }

    /// A connector's configuration.
    pub(super) fn config(&self, name: &str) -> Option<&ConfigMap> {
        let its = self.configs.connector(name)?;
        its.config.as_ref().map(|(_, config)| config)
    }

    /// Whether a connector's tasks are yet to be made from its configuration.
    pub(super) fn is_being_divided(&self, name: &str) -> bool {
        let Some(its) = self.configs.connector(name) else {
            return false;
        };
        let connector = Unit {
            connector: name.to_owned(),
            task: None,
        };
        let reported = self.statuses.of(&connector);
        let failed = reported.is_some_and(|reported| reported.status.state == State::Failed);
        let undivided = self.config(name) != Some(&its.division.connector);
        its.target() == TargetState::Started && undivided && !failed
    }

    /// A connector's configuration was written. If it is the one from `before`, what failed is started again (nothing else would start it), and
    /// its work is divided anew: what was asked for on account of the former record is void.
    pub(super) fn configured(&mut self, name: &str, before: Option<&ConfigMap>) {
        self.restarts.forget(name);
        if before.is_none() || self.config(name) != before {
            return;
        }
        let failed = RestartRequest {
            include_tasks: true,
            only_failed: true,
        };
        self.restart(name, failed);
        let connector = Unit {
            connector: name.to_owned(),
            task: None,
        };
        if self.running.contains_key(&connector) {
            self.divide.insert(name.to_owned());
        }
    }

    /// Marks what a request wants to be started again and runs here.
    pub(super) fn restart(&mut self, name: &str, request: RestartRequest) {
        let units: Vec<Unit> = self.running_of(name).map(|(unit, _)| unit.clone()).collect();
        for unit in units {
            let failed = self
                .statuses
                .of(&unit)
                .is_some_and(|reported| reported.status.state == State::Failed);
            if (unit.task.is_none() || request.include_tasks) && (failed || !request.only_failed) {
                self.again.insert(unit);
            }
        }
        self.restarts.forget(name);
    }
}

#[cfg(test)]
mod tests;
