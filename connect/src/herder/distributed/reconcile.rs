//! Doing what is to be done here: stopping, starting, dividing, reporting.
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::configs;
use super::state::{Started, Todo};
use super::statuses::{topic_key, topic_value};
use super::{Shared, locked};
use crate::config::connector::restart_def;
use crate::herder::standalone::lifecycle::{enforced, task_limits};
use crate::herder::standalone::supervisor::chance;
use crate::herder::{RestartPolicy, Unit};
use crate::plugin::{ErrorKind, PluginError, TaskId};
use crate::worker::{State, TargetState};

fn whole(name: &str) -> Unit {
    Unit {
        connector: name.to_owned(),
        task: None,
    }
}

fn unit_of(id: &TaskId) -> Unit {
    Unit {
        connector: id.connector.clone(),
        task: Some(id.task),
    }
}

fn id_of(unit: &Unit) -> Option<TaskId> {
    let connector = unit.connector.clone();
    unit.task.map(|task| TaskId { connector, task })
}

impl Shared {
    /// Reports what tasks said, and has those that failed started again after a while.
    pub(super) fn hear_tasks(&self) {
        let news = self.parts.events.take();
        for (id, its) in news.tasks {
            let unit = unit_of(&id);
            // What has been stopped says nothing any more: another worker may speak for it.
            let runs = locked(&self.knowledge).running.contains_key(&unit);
            if !runs || its.state == State::Unassigned {
                continue;
            }
            self.publish(&unit, its.state, its.trace.as_deref(), false);
            self.watch(&unit, its.state, its.kind);
        }
        if self.parts.config.topic_tracking {
            for (id, topic) in news.topics {
                let knowledge = locked(&self.knowledge);
                let known = knowledge.statuses.connectors.get(&id.connector);
                let known = known.is_some_and(|its| its.topics.contains(&topic));
                drop(knowledge);
                if !known {
                    let now = jiff::Timestamp::now().as_millisecond();
                    let value = topic_value(&id.connector, id.task, &topic, now);
                    self.note(&topic_key(&id.connector, &topic), Some(&value));
                }
            }
        }
        let mut knowledge = locked(&self.knowledge);
        knowledge.divide.extend(news.divide);
        let due = knowledge.restarts.due(Instant::now());
        for unit in due {
            if knowledge.running.contains_key(&unit) {
                knowledge.restarts_made += 1;
                knowledge.again.insert(unit);
            }
        }
    }

    /// Remembers failures and recoveries.
    fn watch(&self, unit: &Unit, state: State, kind: Option<ErrorKind>) {
        let now = Instant::now();
        let mut knowledge = locked(&self.knowledge);
        match state {
            State::Running => knowledge.restarts.running(unit, now),
            State::Failed if kind != Some(ErrorKind::UserConfig) => {
                let config = knowledge.configs.connector(&unit.connector);
                let Some((_, config)) = config.and_then(|its| its.config.clone()) else {
                    return;
                };
                let keys = restart_def();
                let own = config.into_iter().filter(|(key, _)| keys.key(key).is_some());
                let policy = RestartPolicy::of(&self.parts.validator.resolved(&own.collect()));
                let at = knowledge.restarts.failed(unit, &policy, now, chance());
                info!(
                    connector = unit.connector,
                    task = unit.task,
                    again = at.is_some(),
                    "it failed"
                );
            }
            _ => {}
        }
    }

    /// Has everything done that is to be done here, one thing at a time for each connector.
    pub(super) fn reconcile(self: &Arc<Self>) {
        let names = locked(&self.knowledge).here();
        for name in names {
            let mut busy = locked(&self.busy);
            if busy.contains(&name) {
                continue;
            }
            let todo = locked(&self.knowledge).todo(&name, Instant::now(), self.settings.session);
            if todo.is_empty() {
                continue;
            }
            busy.insert(name.clone());
            drop(busy);
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                let done = shared.perform(&name, todo).await;
                locked(&shared.busy).remove(&name);
                if done {
                    shared.tell();
                }
            });
        }
    }

    /// Whether anything was done.
    async fn perform(self: &Arc<Self>, name: &str, todo: Todo) -> bool {
        let mut done = !(todo.stop.is_empty() && todo.release.is_empty()) || todo.target.is_some();
        self.stop(name, &todo).await;
        for unit in &todo.release {
            self.publish(unit, State::Unassigned, None, true);
        }
        if !todo.release.is_empty() {
            // It is said again until it is read, though not at once.
            tokio::time::sleep(super::TICK).await;
        }
        if let Some(target) = todo.target {
            self.go_to(name, target);
        }
        let unfenced = todo.unfenced
            && todo.start.iter().any(|(unit, started)| {
                unit.task.is_some() && self.parts.tasks.delivers_exactly_once(&started.connector)
            });
        for (unit, started) in todo.start {
            if unit.task.is_some() && unfenced {
                continue;
            }
            // The leader may have decided otherwise while something else was stopped or started.
            let now = Instant::now();
            let fresh = locked(&self.knowledge).todo(name, now, self.settings.session);
            if fresh.start.get(&unit) != Some(&started) {
                continue;
            }
            done = true;
            locked(&self.knowledge)
                .running
                .insert(unit.clone(), started.clone());
            match id_of(&unit) {
                None => self.start_connector(name, &started).await,
                Some(id) => {
                    self.parts
                        .tasks
                        .start_task(&id, &started.connector, &started.task, started.target);
                }
            }
        }
        if todo.divide {
            done = true;
            self.divide_work(name).await;
        }
        done
    }

    async fn stop(&self, name: &str, todo: &Todo) {
        let tasks: Vec<TaskId> = todo.stop.iter().filter_map(id_of).collect();
        if !tasks.is_empty() {
            self.parts.tasks.stop_tasks(&tasks).await;
            self.parts.events.forget(&tasks);
        }
        if todo.stop.contains(&whole(name)) {
            self.parts.tasks.stop_connector(name).await;
        }
        for unit in &todo.stop {
            let (again, reported) = {
                let mut knowledge = locked(&self.knowledge);
                knowledge.running.remove(unit);
                let placed = knowledge
                    .me
                    .as_ref()
                    .is_some_and(|me| knowledge.configs.assignment.is_run_by(unit, me));
                let wanted = knowledge.configs.connector(name).is_some();
                (knowledge.again.remove(unit), placed && wanted)
            };
            // What is given up is reported with the word that it is.
            if reported {
                let state = if again {
                    State::Restarting
                } else {
                    State::Unassigned
                };
                self.publish(unit, state, None, false);
            }
        }
    }

    fn go_to(&self, name: &str, target: TargetState) {
        self.parts.tasks.set_target(name, target);
        let connector = {
            let mut knowledge = locked(&self.knowledge);
            let units = knowledge
                .running
                .iter_mut()
                .filter(|(unit, _)| unit.connector == name);
            units.for_each(|(_, started)| started.target = target);
            let runs = knowledge.running.contains_key(&whole(name));
            if runs && target == TargetState::Started {
                knowledge.divide.insert(name.to_owned());
            }
            let reported = knowledge.statuses.of(&whole(name));
            runs && reported.is_none_or(|reported| reported.status.state != State::Failed)
        };
        if connector {
            let state = match target {
                TargetState::Paused => State::Paused,
                _ => State::Running,
            };
            self.publish(&whole(name), state, None, false);
        }
    }

    async fn start_connector(self: &Arc<Self>, name: &str, started: &Started) {
        let unit = whole(name);
        if started.target == TargetState::Stopped {
            return self.publish(&unit, State::Stopped, None, false);
        }
        let begun = self.parts.tasks.start_connector(name, &started.connector).await;
        match begun {
            Err(error) => self.failed(&unit, &error),
            Ok(()) if started.target == TargetState::Paused => {
                self.publish(&unit, State::Paused, None, false);
            }
            Ok(()) => {
                self.publish(&unit, State::Running, None, false);
                self.watch(&unit, State::Running, None);
                locked(&self.knowledge).divide.insert(name.to_owned());
            }
        }
    }

    fn failed(&self, unit: &Unit, error: &PluginError) {
        warn!(connector = unit.connector, %error, "the connector failed");
        self.publish(unit, State::Failed, Some(&error.to_string()), false);
        self.watch(unit, State::Failed, Some(error.kind()));
    }

    /// What became of the record that asks for a division: one that is too large will not be smaller the next time, anything else is tried again.
    fn asked_to_divide(&self, name: &str, tasks: usize, written: Result<(), PluginError>) {
        let Err(error) = written else { return };
        if error.kind() == ErrorKind::UserConfig {
            let why = format!("the configurations of its {tasks} tasks: {error}");
            return self.failed(&whole(name), &PluginError::user_config(why));
        }
        warn!(connector = name, %error, "the division of its work could not be written; it is tried again");
        locked(&self.knowledge).divide.insert(name.to_owned());
    }

    /// Asks the connector how its work is divided, and the leader to write it where it is new.
    async fn divide_work(&self, name: &str) {
        let (at, config) = {
            let mut knowledge = locked(&self.knowledge);
            knowledge.divide.remove(name);
            let config = knowledge
                .configs
                .connector(name)
                .and_then(|its| its.config.clone());
            let Some(config) = config else { return };
            config
        };
        let runs = |started: &Started| started.connector == config;
        if !locked(&self.knowledge)
            .running
            .get(&whole(name))
            .is_some_and(runs)
        {
            return;
        }
        let limits = task_limits(&self.parts.validator, &config);
        let divided = match self.parts.tasks.task_configs(name, limits.0).await {
            Ok(tasks) => enforced(name, tasks, limits),
            Err(error) => Err(error),
        };
        let tasks = match divided {
            Ok(tasks) => tasks,
            Err(error) => return self.failed(&whole(name), &error),
        };
        let new = {
            let knowledge = locked(&self.knowledge);
            let its = knowledge.configs.connector(name);
            its.is_some_and(|its| {
                its.incomplete || its.division.tasks != tasks || its.division.connector != config
            })
        };
        if new {
            let record = configs::division(name, at, &tasks);
            let topic = &self.settings.topics.config.name;
            let value = record.value.map(|value| value.to_string()).unwrap_or_default();
            let written = self.notes.deliver(topic, 0, &record.key, &value).await;
            self.asked_to_divide(name, tasks.len(), written);
        }
    }
}
