//! What the REST API asks for. What changes something is done by the leader: requests come to it by way of
//! [`Herder::elsewhere`].
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tracing::{info, warn};

use super::configs::{self, ConfigRecord, ConnectorConfigs};
use super::statuses::topic_key;
use super::{DistributedHerder, Shared, locked, rebalancing};
use crate::config::ConfigMap;
use crate::herder::standalone::requests::named;
use crate::herder::validation::ConnectorPlugin;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, Doer, GivenConfig, GivenOffset, Health, Herder, HerderError, LogLevel,
    Loggers, RestartRequest, Unit, UnitStatus, Validation, offsets,
};
use crate::plugin::{PluginKind, Registry, TaskId};
use crate::worker::{ConnectorOffsets, State, TargetState};

/// How long the cluster may take to tell its id.
const CLUSTER_WAIT: Duration = Duration::from_secs(10);
/// How long a request waits for the group to be in order.
const ORDER_WAIT: Duration = Duration::from_secs(8);
/// How long a connector that was just made may take until somebody says what it does.
const FIRST_STATUS_WAIT: Duration = Duration::from_secs(3);
/// How long a connector's tasks may take to stop before its offsets are changed.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// How long a restart is waited for.
const RESTART_WAIT: Duration = Duration::from_secs(20);

/// What is to be done with a request, so far as the group is in order.
enum Known {
    Here,
    There(String),
}

fn unit(name: &str, task: Option<u32>) -> Unit {
    Unit {
        connector: name.to_owned(),
        task,
    }
}

fn ids(name: &str, its: &ConnectorConfigs) -> Vec<TaskId> {
    let count = u32::try_from(its.division.tasks.len()).unwrap_or(u32::MAX);
    let ids = (0..count).map(|task| TaskId {
        connector: name.to_owned(),
        task,
    });
    ids.collect()
}

impl Shared {
    fn connector(&self, name: &str) -> Result<(ConfigMap, ConnectorConfigs), HerderError> {
        let knowledge = locked(&self.knowledge);
        let its = knowledge.configs.connector(name);
        let found = its.and_then(|its| Some((its.config.clone()?.1, its.clone())));
        found.ok_or_else(|| HerderError::unknown_connector(name))
    }

    /// Source or sink. A plugin that this worker does not have is told by its keys: only sinks name topics to read.
    fn kind(&self, config: &ConfigMap) -> PluginKind {
        let config = self.parts.validator.resolved(config);
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let reads = config.contains_key("topics") || config.contains_key("topics.regex");
        match ConnectorPlugin::find(self.parts.validator.registry(), class) {
            Ok(found) => found.kind(),
            Err(_) if reads => PluginKind::Sink,
            Err(_) => PluginKind::Source,
        }
    }

    fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        let (config, its) = self.connector(name)?;
        Ok(ConnectorInfo {
            name: name.to_owned(),
            tasks: ids(name, &its),
            kind: self.kind(&config),
            config,
        })
    }

    async fn validate(&self, config: GivenConfig) -> Result<Validation, HerderError> {
        let validator = self.parts.validator.clone();
        let checking = tokio::task::spawn_blocking(move || validator.validate(&config));
        let checked = checking.await;
        checked.map_err(|_| HerderError::Internal("checking the configuration panicked".to_owned()))?
    }

    async fn checked(&self, name: &str, config: GivenConfig) -> Result<ConfigMap, HerderError> {
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
    async fn stopped(&self, name: &str) -> Result<ConfigMap, HerderError> {
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

    fn reported(&self, name: &str) -> Option<ConnectorStatus> {
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

    /// What is wrong if another worker of the group says that it has this one's address.
    pub(super) fn twin_trouble(&self) -> Option<HerderError> {
        let knowledge = locked(&self.knowledge);
        let address = knowledge.shared_address(std::time::Instant::now(), self.settings.session)?;
        Some(HerderError::Conflict(format!(
            "another worker of the group has the address {address}, too, so that requests do not reach it; set rest.advertised.host.name and \
             rest.advertised.port of each worker to what the others reach it by"
        )))
    }

    async fn leads(&self) -> Result<(), HerderError> {
        let leads = self.wait_until(ORDER_WAIT, |knowledge| knowledge.leading.then_some(()));
        leads.await.ok_or_else(rebalancing)
    }

    async fn restart_where_it_runs(
        self: &Arc<Self>,
        name: &str,
        request: RestartRequest,
    ) -> Result<(), HerderError> {
        self.write(vec![configs::restart(name, request)]).await
    }
}

#[async_trait]
impl Herder for DistributedHerder {
    fn registry(&self) -> &Arc<Registry> {
        self.shared.parts.validator.registry()
    }

    fn loggers(&self) -> &Loggers {
        &self.shared.parts.loggers
    }

    fn health(&self) -> Health {
        let knowledge = locked(&self.shared.knowledge);
        let session = self.shared.settings.session;
        if knowledge.alive(std::time::Instant::now(), session).is_some() {
            return Health::of_tasks(&self.shared.parts.tasks.stalled());
        }
        match knowledge.ready() && knowledge.roll.is_some() {
            true => Health::Unhealthy(
                "Worker is not a member of its group at the moment; it runs no connectors and tasks."
                    .to_owned(),
            ),
            false => Health::Starting,
        }
    }

    fn metrics(&self) -> String {
        let mut out = String::new();
        let knowledge = locked(&self.shared.knowledge);
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
        drop(knowledge);
        self.shared.parts.tasks.write_metrics(&mut out);
        out
    }

    async fn cluster_id(&self) -> Result<String, HerderError> {
        let id = self.shared.parts.tasks.cluster_id(CLUSTER_WAIT).await;
        id.map_err(HerderError::from)
    }

    async fn connectors(&self) -> Result<Vec<String>, HerderError> {
        let knowledge = locked(&self.shared.knowledge);
        Ok(knowledge
            .configs
            .connectors()
            .map(|(name, _)| name.clone())
            .collect())
    }

    async fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        self.shared.info(name)
    }

    async fn status(&self, name: &str) -> Result<ConnectorStatus, HerderError> {
        let status = self.shared.reported(name);
        status.ok_or_else(|| HerderError::NotFound(format!("No status found for connector {name}")))
    }

    async fn first_status(&self, name: &str) -> Result<ConnectorStatus, HerderError> {
        let begun = self.shared.wait_until(FIRST_STATUS_WAIT, |knowledge| {
            let its = knowledge.statuses.connectors.get(name);
            let reported = its.is_some_and(|its| its.connector.is_some());
            (reported || knowledge.config(name).is_none()).then_some(())
        });
        // Where nobody began, that is the answer.
        let _ = begun.await;
        self.status(name).await
    }

    async fn task_status(&self, id: &TaskId) -> Result<UnitStatus, HerderError> {
        let knowledge = locked(&self.shared.knowledge);
        let reported = knowledge.statuses.of(&unit(&id.connector, Some(id.task)));
        let found = reported.map(|reported| reported.status.clone());
        found.ok_or_else(|| HerderError::NotFound(format!("No status found for task {id}")))
    }

    async fn tasks(&self, name: &str) -> Result<Vec<(TaskId, ConfigMap)>, HerderError> {
        let (config, its) = self.shared.connector(name)?;
        let ids = ids(name, &its);
        let shown = self.shared.parts.validator.shown(&config, its.division.tasks);
        Ok(ids.into_iter().zip(shown).collect())
    }

    async fn validate(&self, config: GivenConfig) -> Result<Validation, HerderError> {
        self.shared.validate(config).await
    }

    async fn create(
        &self,
        name: &str,
        config: GivenConfig,
        initial: TargetState,
    ) -> Result<ConnectorInfo, HerderError> {
        let config = self.shared.checked(name, config).await?;
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        if self.shared.connector(name).is_ok() {
            return Err(HerderError::AlreadyExists(name.to_owned()));
        }
        info!(connector = name, "a connector is made");
        let mut records: Vec<ConfigRecord> = Vec::new();
        if initial != TargetState::Started {
            records.push(configs::target(name, initial));
        }
        records.push(configs::connector(name, &config));
        self.shared.write(records).await?;
        self.shared.info(name)
    }

    async fn put_config(
        &self,
        name: &str,
        config: GivenConfig,
    ) -> Result<(bool, ConnectorInfo), HerderError> {
        let config = self.shared.checked(name, config).await?;
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let created = self.shared.connector(name).is_err();
        self.shared.write(vec![configs::connector(name, &config)]).await?;
        Ok((created, self.shared.info(name)?))
    }

    async fn patch_config(&self, name: &str, patch: GivenConfig) -> Result<ConnectorInfo, HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let (old, _) = self.shared.connector(name)?;
        let mut config: GivenConfig = old.into_iter().map(|(key, text)| (key, Some(text))).collect();
        for (key, text) in patch {
            match text {
                Some(text) => drop(config.insert(key, Some(text))),
                None => drop(config.remove(&key)),
            }
        }
        let config = self.shared.checked(name, config).await?;
        self.shared.write(vec![configs::connector(name, &config)]).await?;
        self.shared.info(name)
    }

    async fn delete(&self, name: &str, offsets: bool) -> Result<(), HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let (config, _) = self.shared.connector(name)?;
        if offsets {
            let mut records = configs::tasks(name, &[]);
            records.push(configs::target(name, TargetState::Stopped));
            self.shared.write(records).await?;
            self.shared.stopped(name).await?;
            self.shared.parts.tasks.alter_offsets(name, &config, None).await?;
        }
        info!(connector = name, "a connector is deleted");
        self.shared.write(configs::deleted(name).into()).await
    }

    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let unknown = |_| HerderError::NotFound(format!("Unknown connector {name}"));
        let (_, its) = self.shared.connector(name).map_err(unknown)?;
        if its.target() == target {
            return Ok(());
        }
        // One that is stopped has no tasks; all of it is written at once.
        let mut records = match target {
            TargetState::Stopped => configs::tasks(name, &[]),
            _ => Vec::new(),
        };
        records.push(configs::target(name, target));
        self.shared.write(records).await
    }

    async fn restart_connector(&self, name: &str) -> Result<(), HerderError> {
        self.shared.leads().await?;
        self.shared.connector(name)?;
        let alone = RestartRequest::default();
        self.shared.restart_where_it_runs(name, alone).await
    }

    async fn restart(&self, name: &str, request: RestartRequest) -> Result<ConnectorStatus, HerderError> {
        self.shared.leads().await?;
        let unknown = || HerderError::NotFound(format!("Unknown connector: {name}"));
        let mut planned = self.shared.reported(name).ok_or_else(unknown)?;
        self.shared.restart_where_it_runs(name, request).await?;
        let shown = |status: &mut UnitStatus| {
            if !request.only_failed || status.state == State::Failed {
                status.state = State::Restarting;
            }
        };
        shown(&mut planned.connector);
        if request.include_tasks {
            planned.tasks.iter_mut().for_each(|(_, status)| shown(status));
        }
        Ok(planned)
    }

    async fn restart_task(&self, id: &TaskId) -> Result<(), HerderError> {
        let unit = unit(&id.connector, Some(id.task));
        // One that is about to start here is waited for.
        let begun = self.shared.wait_until(ORDER_WAIT, |knowledge| {
            let wanted = knowledge.configs.wanted().contains(&unit);
            let settled = knowledge.running.contains_key(&unit) || !wanted;
            settled.then_some(())
        });
        begun.await.ok_or_else(rebalancing)?;
        {
            let mut knowledge = locked(&self.shared.knowledge);
            if !knowledge.configs.wanted().contains(&unit) {
                return Err(HerderError::NotFound(format!("Unknown task: {id}")));
            }
            if !knowledge.running.contains_key(&unit) {
                return Err(rebalancing());
            }
            knowledge.again.insert(unit.clone());
        }
        self.shared.tell();
        let done = self.shared.wait_until(RESTART_WAIT, |knowledge| {
            (!knowledge.again.contains(&unit) && knowledge.running.contains_key(&unit)).then_some(())
        });
        done.await.ok_or_else(rebalancing)
    }

    async fn topics(&self, name: &str) -> Result<Vec<String>, HerderError> {
        if !self.shared.parts.config.topic_tracking {
            return Err(HerderError::Forbidden("Topic tracking is disabled.".to_owned()));
        }
        let knowledge = locked(&self.shared.knowledge);
        let its = knowledge.statuses.connectors.get(name);
        Ok(its.map_or_else(Vec::new, |its| its.topics.iter().cloned().collect()))
    }

    async fn reset_topics(&self, name: &str) -> Result<(), HerderError> {
        if !self.shared.parts.config.topic_tracking_reset {
            return Err(HerderError::Forbidden(
                "Topic tracking reset is disabled.".to_owned(),
            ));
        }
        for topic in self.topics(name).await? {
            self.shared.note(&topic_key(name, &topic), None);
        }
        let reset = self.shared.wait_until(ORDER_WAIT, |knowledge| {
            let its = knowledge.statuses.connectors.get(name);
            its.is_none_or(|its| its.topics.is_empty()).then_some(())
        });
        // A task that writes on may have named one again.
        let _ = reset.await;
        Ok(())
    }

    async fn offsets(&self, name: &str) -> Result<ConnectorOffsets, HerderError> {
        let (config, _) = self.shared.connector(name)?;
        let offsets = self.shared.parts.tasks.offsets(name, &config);
        offsets.await.map_err(HerderError::from)
    }

    async fn alter_offsets(&self, name: &str, given: Vec<GivenOffset>) -> Result<(), HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let config = self.shared.stopped(name).await?;
        let offsets = offsets::parse(self.shared.kind(&config), given)?;
        self.fence_former_tasks(name, &config).await?;
        let tasks = &self.shared.parts.tasks;
        let altered = tasks.alter_offsets(name, &config, Some(&offsets));
        altered.await.map_err(HerderError::from)
    }

    async fn reset_offsets(&self, name: &str) -> Result<(), HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let config = self.shared.stopped(name).await?;
        self.fence_former_tasks(name, &config).await?;
        let altered = self.shared.parts.tasks.alter_offsets(name, &config, None);
        altered.await.map_err(HerderError::from)
    }

    async fn elsewhere(&self, doer: &Doer) -> Result<Option<String>, HerderError> {
        let known = self
            .shared
            .wait_until(ORDER_WAIT, |knowledge| Shared::known(knowledge, doer));
        match known.await {
            Some(Known::Here) => Ok(None),
            Some(Known::There(url)) => Ok(Some(url)),
            None => Err(self.shared.twin_trouble().unwrap_or_else(rebalancing)),
        }
    }

    async fn set_cluster_level(&self, logger: &str, level: LogLevel) -> Result<(), HerderError> {
        let topic = &self.shared.settings.topics.config.name;
        let value = json!({"level": level.to_string()}).to_string();
        let key = format!("logger-cluster-{logger}");
        self.shared.notes.write(topic, Some(0), &key, Some(&value));
        Ok(())
    }

    async fn peer_request(&self, what: &str) -> Result<(), HerderError> {
        Err(HerderError::BadRequest(format!(
            "workers of this group need no request for {what}: they ask through the topic of configurations"
        )))
    }
}

impl DistributedHerder {
    /// Whoever still runs a former task writes no offset after those that are set.
    async fn fence_former_tasks(&self, name: &str, config: &ConfigMap) -> Result<(), HerderError> {
        let (_, its) = self.shared.connector(name)?;
        let former = its.to_fence();
        if former.is_empty() || !self.shared.is_to_fence(config) {
            return Ok(());
        }
        let fenced = self.shared.parts.tasks.fence(name, config, &former);
        fenced.await.map_err(HerderError::from)
    }
}
