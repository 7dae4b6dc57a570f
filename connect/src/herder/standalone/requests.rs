//! What the REST API asks for.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};

use super::lifecycle::Divide;
use super::{Connector, Shared, StandaloneHerder, locked};
use crate::config::ConfigMap;
use crate::herder::{
    ConnectorInfo, ConnectorStatus, GivenConfig, GivenOffset, Health, Herder, HerderError, Loggers,
    RestartRequest, Unit, UnitStatus, Validation, metrics, offsets,
};
use crate::plugin::{Registry, TaskId, TaskSignal};
use crate::worker::{ConnectorOffsets, State, TargetState};

/// How long the cluster may take to tell its id.
const CLUSTER_WAIT: Duration = Duration::from_secs(10);

impl Shared {
    fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        let connector = self.connector(name)?;
        let tasks = (0..connector.tasks.len()).filter_map(|task| u32::try_from(task).ok());
        Ok(ConnectorInfo {
            name: name.to_owned(),
            tasks: tasks
                .map(|task| TaskId {
                    connector: name.to_owned(),
                    task,
                })
                .collect(),
            config: connector.config,
            kind: connector.kind,
        })
    }

    /// Checks a configuration where it blocks nobody; errors refuse it, warnings are logged.
    async fn checked(
        &self,
        name: &str,
        config: &GivenConfig,
    ) -> Result<(ConfigMap, Validation), HerderError> {
        let validation = self.validate(config.clone()).await?;
        if let Some(refusal) = validation.refusal() {
            return Err(refusal);
        }
        for warning in &validation.warnings {
            warn!(connector = name, "{warning}");
        }
        let texts = config
            .iter()
            .filter_map(|(key, text)| Some((key.clone(), text.clone()?)));
        Ok((texts.collect(), validation))
    }

    async fn validate(&self, config: GivenConfig) -> Result<Validation, HerderError> {
        let validator = self.parts.validator.clone();
        let checking = tokio::task::spawn_blocking(move || validator.validate(&config));
        let checked = checking.await;
        checked.map_err(|_| HerderError::Internal("checking the configuration panicked".to_owned()))?
    }

    /// Puts a connector in place, which may exist, and starts it.
    async fn put(&self, name: &str, config: ConfigMap, validation: &Validation, target: TargetState) {
        let old = self.connector(name).ok();
        if let Some(old) = &old {
            self.stop_all(name, old).await;
        }
        self.begin_anew(name);
        let connector = Connector {
            config,
            target: old.map_or(target, |old| old.target),
            tasks: Vec::new(),
            kind: validation.kind,
            version: validation.version,
        };
        locked(&self.connectors).insert(name.to_owned(), connector);
        self.start(name, Divide::All).await;
    }

    fn stopped(&self, name: &str) -> Result<Connector, HerderError> {
        let connector = self.connector(name)?;
        if connector.target != TargetState::Stopped {
            return Err(HerderError::BadRequest(
                "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified \
                 connector by issuing a 'PUT' request to the '/connectors/"
                    .to_owned()
                    + name
                    + "/stop' endpoint",
            ));
        }
        Ok(connector)
    }
}

/// A configuration with its name in it.
pub(in crate::herder) fn named(name: &str, mut config: GivenConfig) -> Result<GivenConfig, HerderError> {
    match config.get("name") {
        Some(Some(other)) if other != name => Err(HerderError::BadRequest(format!(
            "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
        ))),
        _ => {
            config.insert("name".to_owned(), Some(name.to_owned()));
            Ok(config)
        }
    }
}

#[async_trait]
impl Herder for StandaloneHerder {
    fn registry(&self) -> &Arc<Registry> {
        self.shared.parts.validator.registry()
    }

    fn loggers(&self) -> &Loggers {
        &self.shared.parts.loggers
    }

    fn health(&self) -> Health {
        match self.shared.ready.load(Ordering::Acquire) {
            true => Health::of_tasks(&self.shared.parts.tasks.stalled()),
            false => Health::Starting,
        }
    }

    fn metrics(&self) -> String {
        let mut out = String::new();
        let restarts = self.shared.restarts_made.load(Ordering::Relaxed);
        metrics::write(&self.shared.parts.board, restarts, &mut out);
        self.shared.parts.tasks.write_metrics(&mut out);
        out
    }

    async fn cluster_id(&self) -> Result<String, HerderError> {
        let id = self.shared.parts.tasks.cluster_id(CLUSTER_WAIT).await;
        id.map_err(HerderError::from)
    }

    async fn connectors(&self) -> Result<Vec<String>, HerderError> {
        Ok(locked(&self.shared.connectors).keys().cloned().collect())
    }

    async fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        self.shared.info(name)
    }

    async fn status(&self, name: &str) -> Result<ConnectorStatus, HerderError> {
        let status = self.shared.parts.board.connector(name);
        status.ok_or_else(|| HerderError::NotFound(format!("No status found for connector {name}")))
    }

    async fn task_status(&self, id: &TaskId) -> Result<UnitStatus, HerderError> {
        let status = self.shared.parts.board.connector(&id.connector);
        let tasks = status.map(|status| status.tasks).unwrap_or_default();
        let found = tasks.into_iter().find(|(task, _)| *task == id.task);
        found
            .map(|(_, status)| status)
            .ok_or_else(|| HerderError::NotFound(format!("No status found for task {id}")))
    }

    async fn tasks(&self, name: &str) -> Result<Vec<(TaskId, ConfigMap)>, HerderError> {
        let connector = self.shared.connector(name)?;
        let ids = self.shared.info(name)?.tasks;
        let shown = self
            .shared
            .parts
            .validator
            .shown(&connector.config, connector.tasks);
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
        let (config, validation) = self.shared.checked(name, &named(name, config)?).await?;
        let _lock = self.shared.locks.lock(name).await;
        if self.shared.connector(name).is_ok() {
            return Err(HerderError::AlreadyExists(name.to_owned()));
        }
        info!(connector = name, class = validation.class, "a connector is made");
        self.shared.put(name, config, &validation, initial).await;
        self.shared.info(name)
    }

    async fn put_config(
        &self,
        name: &str,
        config: GivenConfig,
    ) -> Result<(bool, ConnectorInfo), HerderError> {
        let (config, validation) = self.shared.checked(name, &named(name, config)?).await?;
        let _lock = self.shared.locks.lock(name).await;
        let created = self.shared.connector(name).is_err();
        self.shared
            .put(name, config, &validation, TargetState::Started)
            .await;
        Ok((created, self.shared.info(name)?))
    }

    async fn patch_config(&self, name: &str, patch: GivenConfig) -> Result<ConnectorInfo, HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        let old = self.shared.connector(name)?.config;
        let mut config: GivenConfig = old.into_iter().map(|(key, text)| (key, Some(text))).collect();
        for (key, text) in patch {
            match text {
                Some(text) => drop(config.insert(key, Some(text))),
                None => drop(config.remove(&key)),
            }
        }
        let (config, validation) = self.shared.checked(name, &named(name, config)?).await?;
        self.shared
            .put(name, config, &validation, TargetState::Started)
            .await;
        self.shared.info(name)
    }

    async fn delete(&self, name: &str, offsets: bool) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        let connector = self.shared.connector(name)?;
        self.shared.begin_anew(name);
        if offsets {
            self.shared.go_to(name, TargetState::Stopped).await?;
            let forgotten = self
                .shared
                .parts
                .tasks
                .alter_offsets(name, &connector.config, None);
            forgotten.await?;
        } else {
            self.shared.stop_all(name, &connector).await;
        }
        locked(&self.shared.connectors).remove(name);
        self.shared.parts.board.remove(name);
        info!(connector = name, "a connector is deleted");
        Ok(())
    }

    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        let unknown = || HerderError::NotFound(format!("Unknown connector {name}"));
        let before = self.shared.connector(name).map_err(|_| unknown())?.target;
        if before != target {
            self.shared.begin_anew(name);
            self.shared.go_to(name, target).await?;
        }
        Ok(())
    }

    async fn restart_connector(&self, name: &str) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        self.shared.connector(name)?;
        self.shared.begin_anew(name);
        self.shared.restart_whole(name).await
    }

    async fn restart(&self, name: &str, request: RestartRequest) -> Result<ConnectorStatus, HerderError> {
        let lock = self.shared.locks.lock(name).await;
        let unknown = || HerderError::NotFound(format!("Unknown connector: {name}"));
        self.shared.connector(name).map_err(|_| unknown())?;
        let board = &self.shared.parts.board;
        let status = board.connector(name).ok_or_else(unknown)?;
        self.shared.begin_anew(name);
        let wanted = |state: State| !request.only_failed || state == State::Failed;
        let whole = wanted(status.connector.state);
        let tasks = status
            .tasks
            .iter()
            .filter(|(_, its)| request.include_tasks && wanted(its.state));
        let tasks: Vec<u32> = tasks.map(|(task, _)| *task).collect();
        let units = whole
            .then_some(None)
            .into_iter()
            .chain(tasks.iter().copied().map(Some));
        for task in units {
            let unit = Unit {
                connector: name.to_owned(),
                task,
            };
            board.set(&unit, State::Restarting, None);
        }
        let planned = board.connector(name).ok_or_else(unknown)?;
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        // Under the same lock, so that nothing comes between.
        tokio::spawn(async move {
            let _lock = lock;
            if whole && let Err(error) = shared.restart_whole(&name).await {
                warn!(connector = name, %error, "it could not be restarted");
            }
            for task in tasks {
                let connector = name.clone();
                // A task that the connector no longer has needs no restart.
                let _ = shared.restart_one(&TaskId { connector, task }).await;
            }
        });
        Ok(planned)
    }

    async fn restart_task(&self, id: &TaskId) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(&id.connector).await;
        self.shared.restart_one(id).await
    }

    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), HerderError> {
        let info = self.shared.info(&id.connector)?;
        if !info.tasks.contains(id) {
            return Err(HerderError::NotFound(format!("Unknown task: {id}")));
        }
        let taken = self.shared.parts.tasks.signal(id, signal).await;
        taken.map_err(|error| HerderError::of_signal(&error))
    }

    async fn topics(&self, name: &str) -> Result<Vec<String>, HerderError> {
        match self.shared.parts.config.topic_tracking {
            true => Ok(self.shared.parts.board.topics(name)),
            false => Err(HerderError::Forbidden("Topic tracking is disabled.".to_owned())),
        }
    }

    async fn reset_topics(&self, name: &str) -> Result<(), HerderError> {
        let config = &self.shared.parts.config;
        if !config.topic_tracking {
            return Err(HerderError::Forbidden("Topic tracking is disabled.".to_owned()));
        }
        if !config.topic_tracking_reset {
            return Err(HerderError::Forbidden(
                "Topic tracking reset is disabled.".to_owned(),
            ));
        }
        self.shared.parts.board.reset_topics(name);
        Ok(())
    }

    async fn offsets(&self, name: &str) -> Result<ConnectorOffsets, HerderError> {
        let connector = self.shared.connector(name)?;
        let offsets = self.shared.parts.tasks.offsets(name, &connector.config);
        offsets.await.map_err(HerderError::from)
    }

    async fn alter_offsets(&self, name: &str, given: Vec<GivenOffset>) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        let connector = self.shared.stopped(name)?;
        let offsets = offsets::parse(connector.kind, given)?;
        let tasks = &self.shared.parts.tasks;
        let altered = tasks.alter_offsets(name, &connector.config, Some(&offsets));
        altered.await.map_err(HerderError::from)
    }

    async fn reset_offsets(&self, name: &str) -> Result<(), HerderError> {
        let _lock = self.shared.locks.lock(name).await;
        let connector = self.shared.stopped(name)?;
        let altered = self
            .shared
            .parts
            .tasks
            .alter_offsets(name, &connector.config, None);
        altered.await.map_err(HerderError::from)
    }
}
