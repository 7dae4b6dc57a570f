//! What the REST API asks for. What changes something is done by the leader: requests come to it by way of
//! [`Herder::elsewhere`].
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tracing::info;

use super::configs::{self, ConfigRecord};
use super::lookups::{ORDER_WAIT, ids, unit};
use super::statuses::topic_key;
use super::{DistributedHerder, locked, rebalancing};
use crate::config::ConfigMap;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, Doer, GivenConfig, GivenOffset, Health, Herder, HerderError, LogLevel,
    Loggers, RestartRequest, UnitStatus, Validation, offsets,
};
use crate::plugin::{Registry, TaskId, TaskSignal};
use crate::worker::{ConnectorOffsets, State, TargetState};

/// How long the cluster may take to tell its id.
const CLUSTER_WAIT: Duration = Duration::from_secs(10);
/// How long a connector that was just made may take until somebody says what it does.
const FIRST_STATUS_WAIT: Duration = Duration::from_secs(3);
/// How long a restart is waited for.
const RESTART_WAIT: Duration = Duration::from_secs(20);

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
        let mut out = self.shared.figures();
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
        let unit = self.shared.runs(id).await?;
        locked(&self.shared.knowledge).again.insert(unit.clone());
        self.shared.tell();
        let done = self.shared.wait_until(RESTART_WAIT, |knowledge| {
            (!knowledge.again.contains(&unit) && knowledge.running.contains_key(&unit)).then_some(())
        });
        done.await.ok_or_else(rebalancing)
    }

    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), HerderError> {
        self.shared.runs(id).await?;
        let taken = self.shared.parts.tasks.signal(id, signal).await;
        taken.map_err(|error| HerderError::of_signal(&error))
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
        self.shared.fence_former_tasks(name, &config).await?;
        let tasks = &self.shared.parts.tasks;
        let altered = tasks.alter_offsets(name, &config, Some(&offsets));
        altered.await.map_err(HerderError::from)
    }

    async fn reset_offsets(&self, name: &str) -> Result<(), HerderError> {
        self.shared.leads().await?;
        let _lock = self.locks.lock(name).await;
        let config = self.shared.stopped(name).await?;
        self.shared.fence_former_tasks(name, &config).await?;
        let altered = self.shared.parts.tasks.alter_offsets(name, &config, None);
        altered.await.map_err(HerderError::from)
    }

    async fn elsewhere(&self, doer: &Doer) -> Result<Option<String>, HerderError> {
        self.shared.elsewhere(doer).await
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
