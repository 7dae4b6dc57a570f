//! Writes files: `org.apache.kafka.connect.file.FileStreamSinkConnector`, and more.
//!
//! With `file`, all records go to the end of one file (`single`); one task writes it, whatever `tasks.max` says, so that lines are whole and in order.
//! With `directory`, files appear when they are complete (`rolling`), and any number of tasks may share the partitions.
//!
//! The sink owns its offsets (`manifest`): they are on the same disk as the records, so that a crash at any step neither loses nor repeats one.
//! What goes wrong with a disk is an error, never a silence. Owns: files, names (`naming`), formats (`format`). Does not own: when is flushed.
mod config;
mod csv;
mod disk;
mod format;
mod json;
mod manifest;
mod naming;
mod offsets;
mod parquet;
mod progress;
mod rolling;
mod single;
mod task;
mod text;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, ConnectorContext, ExactlyOnceSupport, PartitionOffset, Plugin, PluginError, SinkPlugin,
    SinkTask, TopicPartition, Validated,
};

use config::{SinkConfig, Target};
use disk::RealDisk;

/// The sink that writes lines and rows to files.
#[derive(Debug, Clone, Copy)]
pub struct FileSink;

impl Plugin for FileSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSinkConnector"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["FileSink", "FileSinkConnector"]
    }

    fn config_def(&self) -> ConfigDef {
        config::definition()
    }
}

fn config_error(errors: Vec<(String, String)>) -> PluginError {
    let errors: Vec<String> = errors
        .iter()
        .map(|(key, error)| format!("{key}: {error}"))
        .collect();
    PluginError::user_config(errors.join("; "))
}

impl SinkPlugin for FileSink {
    fn validate(&self, config: &ConfigMap) -> Validated {
        let mut values = self.config_def().validate(config);
        if let Err(errors) = SinkConfig::parse(config) {
            for (key, error) in errors {
                let value = values.iter_mut().find(|value| value.name == key);
                if let Some(value) = value.filter(|value| value.errors.is_empty()) {
                    value.errors.push(error);
                }
            }
        }
        values
    }

    /// A file or folder holds its offsets; a terminal does not.
    fn exactly_once(&self, config: &ConfigMap) -> ExactlyOnceSupport {
        match SinkConfig::parse(config).map(|config| config.target) {
            Ok(Target::File(_) | Target::Folder(_)) => ExactlyOnceSupport::Supported,
            _ => ExactlyOnceSupport::Unsupported,
        }
    }

    fn alter_offsets(
        &self,
        config: &ConfigMap,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), PluginError> {
        offsets::alter(&RealDisk, config, offsets)
    }

    fn owned_offsets(&self, config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
        offsets::owned(&RealDisk, config)
    }

    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(FileSinkConnector::default())
    }

    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(task::FileSinkTask::default())
    }
}

/// Says how many tasks there are.
#[derive(Debug, Default)]
struct FileSinkConnector {
    config: ConfigMap,
    single: bool,
}

#[async_trait]
impl Connector for FileSinkConnector {
    async fn start(&mut self, given: &ConfigMap, _context: ConnectorContext) -> Result<(), PluginError> {
        let parsed = SinkConfig::parse(given).map_err(config_error)?;
        self.single = !matches!(parsed.target, Target::Folder(_));
        self.config = given.clone();
        Ok(())
    }

    fn task_configs(&mut self, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        let count = if self.single { 1 } else { max.max(1) };
        Ok(vec![self.config.clone(); count])
    }
}
