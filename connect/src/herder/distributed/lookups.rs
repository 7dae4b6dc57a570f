//! What requests look up and wait for: connectors as the group knows them, who is to do what, and whether all is in order.
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::configs::{self, ConnectorConfigs};
use super::{Shared, locked, rebalancing};
use crate::config::ConfigMap;
use crate::herder::standalone::requests::named;
use crate::herder::validation::ConnectorPlugin;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, Doer, GivenConfig, HerderError, RestartRequest, Unit, Validation,
};
use crate::plugin::{PluginKind, TaskId};
use crate::worker::TargetState;

/// How long a request waits for the group to be in order.
pub(super) const ORDER_WAIT: Duration = Duration::from_secs(8);
/// How long a connector's tasks may take to stop before its offsets are changed.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// What is to be done with a request, so far as the group is in order.
enum Known {
    Here,
    There(String),
}

pub(super) fn unit(name: &str, task: Option<u32>) -> Unit {
    Unit {
        connector: name.to_owned(),
        task,
    }
}

pub(super) fn ids(name: &str, its: &ConnectorConfigs) -> Vec<TaskId> {
    let count = u32::try_from(its.division.tasks.len()).unwrap_or(u32::MAX);
    let ids = (0..count).map(|task| TaskId {
        connector: name.to_owned(),
        task,
    });
    ids.collect()
}

impl Shared {
    pub(super) fn connector(&self, name: &str) -> Result<(ConfigMap, ConnectorConfigs), HerderError> {
        let knowledge = locked(&self.knowledge);
        let its = knowledge.configs.connector(name);
        let found = its.and_then(|its| Some((its.config.clone()?.1, its.clone())));
        found.ok_or_else(|| HerderError::unknown_connector(name))
    }

    /// Source or sink. A plugin that this worker does not have is told by its keys: only sinks name topics to read.
    pub(super) fn kind(&self, config: &ConfigMap) -> PluginKind {
        let config = self.parts.validator.resolved(config);
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let reads = config.contains_key("topics") || config.contains_key("topics.regex");
        match ConnectorPlugin::find(self.parts.validator.registry(), class) {
            Ok(found) => found.kind(),
            Err(_) if reads => PluginKind::Sink,
            Err(_) => PluginKind::Source,
        }
    }

    pub(super) fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        let (config, its) = self.connector(name)?;
        Ok(ConnectorInfo {
            name: name.to_owned(),
            tasks: ids(name, &its),
            kind: self.kind(&config),
            config,
        })
    }

    pub(super) async fn validate(&self, config: GivenConfig) -> Result<Validation, HerderError> {
        let validator = self.parts.validator.clone();
        let checking = tokio::task::spawn_blocking(move || validator.validate(&config));
        let checked = checking.await;
        checked.map_err(|_| HerderError::Internal("checking the configuration panicked".to_owned()))?
    }

    pub(super) async fn checked(&self, name: &str, config: GivenConfig) -> Result<ConfigMap, HerderError> {
        let config = named(name, config)?;
        let validation = self.validate(config.clone()).await?;
        if let Some(refusal) = validation.refusal() {
            return Err(refusal);
        }
        for warning in &validation.warnings {
            warn!(connector = name, "{warning}");
        }
        let texts = config.into_iter().filter_map(|(key, text)| Some((key, text?)));
        Ok(texts.collect())
    }

    /// A connector that has no tasks any more, nor has any worker that has yet to stop some.
    pub(super) async fn stopped(&self, name: &str) -> Result<ConfigMap, HerderError> {
        let (config, its) = self.connector(name)?;
        if its.target() != TargetState::Stopped || !its.division.tasks.is_empty() {
            return Err(HerderError::BadRequest(
                "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified \
                 connector by issuing a 'PUT' request to the '/connectors/"
                    .to_owned()
                    + name
                    + "/stop' endpoint",
            ));
        }
        let gone = self.wait_until(STOP_WAIT, |knowledge| {
            let mut all = knowledge.configs.assignment.named(name);
            all.all(|(unit, _)| unit.task.is_none()).then_some(())
        });
        gone.await.ok_or_else(rebalancing)?;
        Ok(config)
    }

    pub(super) fn reported(&self, name: &str) -> Option<ConnectorStatus> {
        let knowledge = locked(&self.knowledge);
        let (_, config) = knowledge.configs.connector(name)?.config.clone()?;
        let its = knowledge.statuses.connectors.get(name)?;
        let connector = its.connector.as_ref()?.status.clone();
        let wanted = knowledge.configs.wanted();
        let tasks = its
            .tasks
            .iter()
            .filter(|(task, _)| wanted.contains(&unit(name, Some(**task))));
        let tasks = tasks
            .map(|(task, reported)| (*task, reported.status.clone()))
            .collect();
        drop(knowledge);
        Some(ConnectorStatus {
            name: name.to_owned(),
            connector,
            tasks,
            kind: self.kind(&config),
        })
    }

    /// Who is to do what is asked, if the group is in order.
    fn known(knowledge: &super::Knowledge, doer: &Doer) -> Option<Known> {
        if !knowledge.ready() {
            return None;
        }
        let id = match doer {
            Doer::Leader if knowledge.leading => return Some(Known::Here),
            Doer::Leader => knowledge.roll.as_ref()?.leader.clone()?,
            Doer::Task(id) => {
                let unit = unit(&id.connector, Some(id.task));
                if !knowledge.configs.wanted().contains(&unit) {
                    // If there is no such task, and none to come, that can be said here.
                    let comes = knowledge.is_being_divided(&id.connector);
                    return (!comes).then_some(Known::Here);
                }
                let place = knowledge.configs.assignment.units.get(&unit)?;
                place.draining.is_none().then(|| place.owner.clone())?
            }
        };
        match Some(&id) == knowledge.me.as_ref() {
            true if *doer == Doer::Leader => None,
            true => Some(Known::Here),
            // At that address this worker answers: perhaps the other one is its former life, which the group forgets soon.
            false if knowledge.is_twin(&id) => None,
            false => Some(Known::There(id.url().to_owned())),
        }
    }

    /// A task that runs here; one that is about to start here is waited for.
    pub(super) async fn runs(&self, id: &TaskId) -> Result<Unit, HerderError> {
        let unit = unit(&id.connector, Some(id.task));
        let begun = self.wait_until(ORDER_WAIT, |knowledge| {
            let wanted = knowledge.configs.wanted().contains(&unit);
            (knowledge.running.contains_key(&unit) || !wanted).then_some(wanted)
        });
        match begun.await {
            Some(true) => Ok(unit),
            Some(false) => Err(HerderError::NotFound(format!("Unknown task: {id}"))),
            None => Err(rebalancing()),
        }
    }

    /// The address of the worker that is to do what is asked, if that is another one; once the group is in order.
    pub(super) async fn elsewhere(&self, doer: &Doer) -> Result<Option<String>, HerderError> {
        let known = self.wait_until(ORDER_WAIT, |knowledge| Self::known(knowledge, doer));
        match known.await {
            Some(Known::Here) => Ok(None),
            Some(Known::There(url)) => Ok(Some(url)),
            None => Err(self.twin_trouble().unwrap_or_else(rebalancing)),
        }
    }

    /// What is wrong if another worker of the group says that it has this one's address.
    pub(super) fn twin_trouble(&self) -> Option<HerderError> {
        let knowledge = locked(&self.knowledge);
        let address = knowledge.shared_address(std::time::Instant::now(), self.settings.session)?;
        Some(HerderError::Conflict(format!(
            "another worker of the group has the address {address}, too, so that requests do not reach it; set rest.advertised.host.name and \
             rest.advertised.port of each worker to what the others reach it by"
        )))
    }

    pub(super) async fn leads(&self) -> Result<(), HerderError> {
        let leads = self.wait_until(ORDER_WAIT, |knowledge| knowledge.leading.then_some(()));
        leads.await.ok_or_else(rebalancing)
    }

    pub(super) async fn restart_where_it_runs(
        self: &Arc<Self>,
        name: &str,
        request: RestartRequest,
    ) -> Result<(), HerderError> {
        self.write(vec![configs::restart(name, request)]).await
    }

    /// The figures of the worker, in Prometheus' text form.
    pub(super) fn figures(&self) -> String {
        let mut out = String::new();
        let knowledge = locked(&self.knowledge);
        let (connectors, tasks): (Vec<&Unit>, Vec<&Unit>) =
            knowledge.running.keys().partition(|unit| unit.task.is_none());
        let figures = [
            (
                "assigned_connectors",
                "gauge",
                "How many connectors this worker runs.",
                connectors.len() as u64,
            ),
            (
                "assigned_tasks",
                "gauge",
                "How many tasks this worker runs.",
                tasks.len() as u64,
            ),
            (
                "leader",
                "gauge",
                "Whether this worker leads its group.",
                u64::from(knowledge.leading),
            ),
            (
                "epoch",
                "gauge",
                "The number of the last assignment.",
                knowledge.configs.assignment.epoch,
            ),
            (
                "supervised_restarts_total",
                "counter",
                "How often a failed connector or task was started again by itself.",
                knowledge.restarts_made,
            ),
        ];
        for (name, kind, help, value) in figures {
            let name = format!("millstream_connect_{name}");
            out.push_str(&format!(
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            ));
        }
        out
    }

    /// Whoever still runs a former task writes no offset after those that are set.
    pub(super) async fn fence_former_tasks(&self, name: &str, config: &ConfigMap) -> Result<(), HerderError> {
        let (_, its) = self.connector(name)?;
        let former = its.to_fence();
        if former.is_empty() || !self.is_to_fence(config) {
            return Ok(());
        }
        let fenced = self.parts.tasks.fence(name, config, &former);
        fenced.await.map_err(HerderError::from)
    }
}
