//! Reads files: `org.apache.kafka.connect.file.FileStreamSourceConnector`, and more.
//!
//! A record is a line (or several, or a row), its offset the position behind it, its source partition the file's path. The task looks
//! for files (`pattern`), knows each by what it is rather than by its name (`tracking`, `place`), reads what is behind the place
//! (`data`), divides it (`lines`) and makes records whose texts are slices of what was read (`making`, `text`). Files of columns have no
//! lines: they are read when they are finished, row group by row group (`parquet`).
//!
//! Several tasks share the files by their paths; a file and its rotations are one task's. Owns: offsets of files. Does not own: when
//! offsets are stored. Kafka's own offsets (`{"position": N}`) are taken over.
mod clock;
mod columns;
mod config;
mod csv;
mod data;
mod finished;
mod json;
mod lines;
mod making;
mod parquet;
mod pattern;
mod place;
mod rotation;
mod stream;
mod task;
mod text;
mod tracking;
mod watch;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(in crate::file) mod tests;

use std::path::Path;

use async_trait::async_trait;
use millstream_connect::config::{ConfigDef, ConfigMap};
use millstream_connect::plugin::{
    Connector, ConnectorContext, ExactlyOnceSupport, Plugin, PluginError, SourceOffset, SourcePartition,
    SourcePlugin, SourceTask, Validated,
};

use config::SourceConfig;

/// The source of lines and rows of files.
#[derive(Debug, Clone, Copy)]
pub struct FileSource;

impl Plugin for FileSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSourceConnector"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["FileSource", "FileSourceConnector"]
    }

    fn config_def(&self) -> ConfigDef {
        config::definition()
    }
}

impl SourcePlugin for FileSource {
    fn validate(&self, config: &ConfigMap) -> Validated {
        let mut values = self.config_def().validate(config);
        if let Err(errors) = SourceConfig::parse(config) {
            for (key, error) in errors {
                let value = values.iter_mut().find(|value| value.name == key);
                if let Some(value) = value.filter(|value| value.errors.is_empty()) {
                    value.errors.push(error);
                }
            }
        }
        values
    }

    /// Positions say exactly what was read; only streams (the standard input, pipes) have none.
    fn exactly_once(&self, config: &ConfigMap) -> ExactlyOnceSupport {
        let file = config.get("file").map(|file| file.trim());
        match file.filter(|file| !file.is_empty()) {
            Some(file) if !stream::is_stream(Path::new(file)) => ExactlyOnceSupport::Supported,
            _ => ExactlyOnceSupport::Unsupported,
        }
    }

    fn alter_offsets(
        &self,
        config: &ConfigMap,
        offsets: &[(SourcePartition, Option<SourceOffset>)],
    ) -> Result<(), PluginError> {
        if config.get("file").is_none_or(|file| file.trim().is_empty()) {
            return Err(PluginError::user_config(
                "offsets cannot be set when the standard input is read; they are for connectors with a file",
            ));
        }
        for (partition, offset) in offsets {
            let begin = SourceOffset(serde_json::Map::from_iter([("position".to_owned(), 0.into())]));
            place::Stored::parse(partition, offset.as_ref().unwrap_or(&begin))
                .map_err(PluginError::user_config)?;
        }
        Ok(())
    }

    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(FileSourceConnector::default())
    }

    fn new_task(&self) -> Box<dyn SourceTask> {
        Box::new(task::FileSourceTask::default())
    }
}

/// Tells each task how many share the files.
#[derive(Debug, Default)]
struct FileSourceConnector {
    config: ConfigMap,
    single: bool,
}

#[async_trait]
impl Connector for FileSourceConnector {
    async fn start(&mut self, given: &ConfigMap, _context: ConnectorContext) -> Result<(), PluginError> {
        let parsed = SourceConfig::parse(given).map_err(|errors| {
            let errors: Vec<String> = errors
                .iter()
                .map(|(key, error)| format!("{key}: {error}"))
                .collect();
            PluginError::user_config(errors.join("; "))
        })?;
        self.single = parsed.pattern.is_none_or(|pattern| pattern.single().is_some());
        self.config = given.clone();
        Ok(())
    }

    fn task_configs(&mut self, max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        let count = if self.single { 1 } else { max.max(1) };
        let mut config = self.config.clone();
        config.insert(config::TASK_COUNT.to_owned(), count.to_string());
        Ok(vec![config; count])
    }
}
