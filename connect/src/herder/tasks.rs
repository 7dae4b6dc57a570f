//! What a herder needs of a worker.
use std::time::Duration;

use async_trait::async_trait;

use crate::config::ConfigMap;
use crate::plugin::{PluginError, TaskId, TaskSignal};
use crate::worker::{ConnectorOffsets, TargetState, TaskProgress, Worker};

/// Runs connectors and tasks; what [`Worker`] does, so that herders can be tried without a cluster. Its methods are described there.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// See [`Worker::start_connector`].
    async fn start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError>;
    /// See [`Worker::stop_connector`].
    async fn stop_connector(&self, name: &str);
    /// See [`Worker::task_configs`].
    async fn task_configs(&self, name: &str, max: usize) -> Result<Vec<ConfigMap>, PluginError>;
    /// See [`Worker::start_task`].
    fn start_task(
        &self,
        id: &TaskId,
        connector_config: &ConfigMap,
        task_config: &ConfigMap,
        target: TargetState,
    );
    /// See [`Worker::stop_tasks`].
    async fn stop_tasks(&self, ids: &[TaskId]);
    /// See [`Worker::set_target`].
    fn set_target(&self, connector: &str, target: TargetState);
    /// See [`Worker::signal`].
    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), PluginError>;
    /// See [`Worker::offsets`].
    async fn offsets(&self, name: &str, config: &ConfigMap) -> Result<ConnectorOffsets, PluginError>;
    /// See [`Worker::alter_offsets`].
    async fn alter_offsets(
        &self,
        name: &str,
        config: &ConfigMap,
        offsets: Option<&ConnectorOffsets>,
    ) -> Result<(), PluginError>;
    /// See [`Worker::delivers_exactly_once`].
    fn delivers_exactly_once(&self, _config: &ConfigMap) -> bool {
        false
    }
    /// See [`Worker::fence`].
    async fn fence(&self, _name: &str, _config: &ConfigMap, _tasks: &[u32]) -> Result<(), PluginError> {
        Ok(())
    }
    /// See [`Worker::cluster_id`].
    async fn cluster_id(&self, wait: Duration) -> Result<String, PluginError>;
    /// See [`Worker::stop`].
    async fn stop(&self);
    /// See [`Worker::stalled`].
    fn stalled(&self) -> Vec<String> {
        Vec::new()
    }
    /// See [`Worker::progress`].
    fn progress(&self) -> Vec<TaskProgress> {
        Vec::new()
    }
    /// See [`Worker::is_behind`].
    async fn is_behind(&self, _name: &str, _config: &ConfigMap) -> Result<bool, PluginError> {
        Ok(false)
    }
    /// Writes figures of tasks behind `out`, in the text format of Prometheus; by default none.
    fn write_metrics(&self, _out: &mut String) {}
}

#[async_trait]
impl Tasks for Worker {
    async fn start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError> {
        Self::start_connector(self, name, config).await
    }

    async fn stop_connector(&self, name: &str) {
        Self::stop_connector(self, name).await;
    }

    async fn task_configs(&self, name: &str, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        Self::task_configs(self, name, max).await
    }

    fn start_task(
        &self,
        id: &TaskId,
        connector_config: &ConfigMap,
        task_config: &ConfigMap,
        target: TargetState,
    ) {
        Self::start_task(self, id, connector_config, task_config, target);
    }

    async fn stop_tasks(&self, ids: &[TaskId]) {
        Self::stop_tasks(self, ids).await;
    }

    fn set_target(&self, connector: &str, target: TargetState) {
        Self::set_target(self, connector, target);
    }

    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), PluginError> {
        Self::signal(self, id, signal).await
    }

    async fn offsets(&self, name: &str, config: &ConfigMap) -> Result<ConnectorOffsets, PluginError> {
        Self::offsets(self, name, config).await
    }

    async fn alter_offsets(
        &self,
        name: &str,
        config: &ConfigMap,
        offsets: Option<&ConnectorOffsets>,
    ) -> Result<(), PluginError> {
        Self::alter_offsets(self, name, config, offsets).await
    }

    fn delivers_exactly_once(&self, config: &ConfigMap) -> bool {
        Self::delivers_exactly_once(self, config)
    }

    async fn fence(&self, name: &str, config: &ConfigMap, tasks: &[u32]) -> Result<(), PluginError> {
        Self::fence(self, name, config, tasks).await
    }

    async fn cluster_id(&self, wait: Duration) -> Result<String, PluginError> {
        Self::cluster_id(self, wait).await
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }

    fn stalled(&self) -> Vec<String> {
        Self::stalled(self)
    }

    fn progress(&self) -> Vec<TaskProgress> {
        Self::progress(self)
    }

    async fn is_behind(&self, name: &str, config: &ConfigMap) -> Result<bool, PluginError> {
        Self::is_behind(self, name, config).await
    }

    fn write_metrics(&self, out: &mut String) {
        out.push_str(&self.metrics());
    }
}
