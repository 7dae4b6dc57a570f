//! What is done to a connector, one thing at a time: who calls has its lock.
use tracing::{info, warn};

use super::{Connector, Shared, locked};
use crate::config::{ConfigMap, connector};
use crate::herder::{HerderError, Unit, Validator};
use crate::plugin::{ErrorKind, PluginError, TaskId};
use crate::worker::{State, TargetState};

/// Which tasks are started when work is divided anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Divide {
    /// All.
    All,
    /// Those whose configuration changed.
    Changed,
}

fn whole(name: &str) -> Unit {
    Unit {
        connector: name.to_owned(),
        task: None,
    }
}

fn ids(name: &str, tasks: impl Iterator<Item = u32>) -> Vec<TaskId> {
    let ids = tasks.map(|task| TaskId {
        connector: name.to_owned(),
        task,
    });
    ids.collect()
}

fn count(tasks: &[ConfigMap]) -> u32 {
    u32::try_from(tasks.len()).unwrap_or(u32::MAX)
}

impl Shared {
    /// Starts a connector that does not run, as its target says. What goes wrong shows in its status.
    pub(super) async fn start(&self, name: &str, divide: Divide) {
        let Ok(connector) = self.connector(name) else {
            return;
        };
        let board = &self.parts.board;
        board.add(name, connector.kind, connector.version);
        if connector.target == TargetState::Stopped {
            board.set(&whole(name), State::Stopped, None);
            return;
        }
        let started = self.parts.tasks.start_connector(name, &connector.config).await;
        match (started, connector.target) {
            (Err(error), _) => self.failed(name, &error),
            (Ok(()), TargetState::Paused) => board.set(&whole(name), State::Paused, None),
            (Ok(()), _) => {
                board.set(&whole(name), State::Running, None);
                board.tell(whole(name), State::Running, None);
                self.divide(name, divide).await;
            }
        }
    }

    fn failed(&self, name: &str, error: &PluginError) {
        warn!(connector = name, %error, "the connector failed");
        let board = &self.parts.board;
        board.set(&whole(name), State::Failed, Some(&error.to_string()));
        board.tell(whole(name), State::Failed, Some(error.kind()));
    }

    /// Asks a running connector how its work is divided, and has tasks stopped and started accordingly.
    pub(super) async fn divide(&self, name: &str, divide: Divide) {
        let Ok(connector) = self.connector(name) else {
            return;
        };
        let limits = task_limits(&self.parts.validator, &connector.config);
        let divided = match self.parts.tasks.task_configs(name, limits.0).await {
            Ok(configs) => enforced(name, configs, limits),
            Err(error) => Err(error),
        };
        let configs = match divided {
            Ok(configs) => configs,
            Err(error) => return self.failed(name, &error),
        };
        let (before, after) = (count(&connector.tasks), count(&configs));
        let kept = |task: u32| {
            let index = task as usize;
            divide == Divide::Changed && connector.tasks.get(index) == configs.get(index)
        };
        let stopped = ids(name, (0..before).filter(|task| *task >= after || !kept(*task)));
        if !stopped.is_empty() {
            self.parts.tasks.stop_tasks(&stopped).await;
        }
        let fresh: Vec<u32> = (0..after)
            .filter(|task| *task >= before || !kept(*task))
            .collect();
        self.change(name, |connector| connector.tasks.clone_from(&configs));
        self.parts.board.set_tasks(name, after, &fresh);
        for id in ids(name, fresh.into_iter()) {
            let config = &configs[id.task as usize];
            self.parts
                .tasks
                .start_task(&id, &connector.config, config, connector.target);
        }
    }

    /// Stops a connector's tasks, and the connector.
    pub(super) async fn stop_all(&self, name: &str, connector: &Connector) {
        let tasks = ids(name, 0..count(&connector.tasks));
        if !tasks.is_empty() {
            self.parts.tasks.stop_tasks(&tasks).await;
        }
        self.parts.tasks.stop_connector(name).await;
        self.change(name, |connector| connector.tasks.clear());
        self.parts.board.set_tasks(name, 0, &[]);
    }

    /// Brings a connector to another target state.
    pub(super) async fn go_to(&self, name: &str, target: TargetState) -> Result<(), HerderError> {
        let before = self.connector(name)?;
        self.change(name, |connector| connector.target = target);
        let board = &self.parts.board;
        info!(connector = name, ?target, "the connector's target state changed");
        match (before.target, target) {
            (_, TargetState::Stopped) => {
                self.stop_all(name, &before).await;
                board.set(&whole(name), State::Stopped, None);
            }
            (TargetState::Stopped, _) => self.start(name, Divide::All).await,
            (_, TargetState::Paused) => {
                self.parts.tasks.set_target(name, target);
                if board.state(&whole(name)) != Some(State::Failed) {
                    board.set(&whole(name), State::Paused, None);
                }
            }
            (_, TargetState::Started) => {
                self.parts.tasks.set_target(name, target);
                if board.state(&whole(name)) != Some(State::Failed) {
                    board.set(&whole(name), State::Running, None);
                    board.tell(whole(name), State::Running, None);
                    self.divide(name, Divide::Changed).await;
                }
            }
        }
        Ok(())
    }

    /// Starts a connector again; its tasks go on unless their configurations change.
    pub(super) async fn restart_whole(&self, name: &str) -> Result<(), HerderError> {
        self.connector(name)?;
        self.parts.tasks.stop_connector(name).await;
        self.start(name, Divide::Changed).await;
        Ok(())
    }

    /// Starts a task again, if the connector still has it.
    pub(super) async fn restart_one(&self, id: &TaskId) -> Result<(), HerderError> {
        let missing = || HerderError::NotFound(format!("Task {id} not found"));
        let connector = self.connector(&id.connector).map_err(|_| missing())?;
        let config = connector.tasks.get(id.task as usize).ok_or_else(missing)?;
        self.parts.tasks.stop_tasks(std::slice::from_ref(id)).await;
        let unit = Unit {
            connector: id.connector.clone(),
            task: Some(id.task),
        };
        self.parts.board.set(&unit, State::Restarting, None);
        self.parts
            .tasks
            .start_task(id, &connector.config, config, connector.target);
        Ok(())
    }

    /// A user changed something: failures from before count no more.
    pub(super) fn begin_anew(&self, name: &str) {
        locked(&self.restarts).forget(name);
    }
}

/// `tasks.max`, and whether it is enforced.
pub(in crate::herder) fn task_limits(validator: &Validator, config: &ConfigMap) -> (usize, bool) {
    let config = validator.resolved(config);
    let number = config.get("tasks.max").and_then(|text| text.trim().parse().ok());
    let enforce = config
        .get("tasks.max.enforce")
        .map(|text| text.trim().to_lowercase());
    (number.unwrap_or(1).max(1), enforce.as_deref() != Some("false"))
}

/// As many configurations as `tasks.max` allows, or an error.
pub(in crate::herder) fn enforced(
    name: &str,
    configs: Vec<ConfigMap>,
    (most, enforce): (usize, bool),
) -> Result<Vec<ConfigMap>, PluginError> {
    if configs.len() <= most {
        return Ok(configs);
    }
    let many = configs.len();
    if enforce {
        return Err(PluginError::new(
            ErrorKind::UserConfig,
            format!(
                "the connector {name} divides its work into {many} tasks, more than tasks.max={most}; raise tasks.max, or set \
                 tasks.max.enforce=false"
            ),
        ));
    }
    warn!(
        connector = name,
        tasks = many,
        most,
        "more tasks than tasks.max, which is not enforced"
    );
    Ok(configs)
}

/// The reference to `restart.*` keys of a connector whose configuration may hold references.
pub(super) fn policy(shared: &Shared, name: &str) -> Option<crate::herder::RestartPolicy> {
    let config = shared.connector(name).ok()?.config;
    let keys = connector::restart_def();
    let own = config.into_iter().filter(|(key, _)| keys.key(key).is_some());
    let own = shared.parts.validator.resolved(&own.collect());
    Some(crate::herder::RestartPolicy::of(&own))
}
