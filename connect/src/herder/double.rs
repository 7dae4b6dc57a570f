//! Doubles of plugins and of a worker, for tests.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::{LogLevel, Loggers, StandaloneHerder, StandaloneParts, StatusBoard, Tasks, Validator};
use crate::config::providers::ConfigProviders;
use crate::config::worker::WorkerMode;
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use crate::plugin::{
    Connector, Converter, ConverterPlugin, ErrorKind, HeaderConverter, HeaderConverterPlugin, Plugin,
    PluginError, Registry, SameForAll, SinkPlugin, SinkTask, SourceOffset, SourcePartition, SourcePlugin,
    SourceTask, TaskId, TaskSignal, Validated,
};
use crate::worker::{ConnectorOffsets, State, StatusListener, TargetState, WorkerConfig};

/// Kafka's file source, as far as its keys go. With `block.ms` its validation takes so long.
struct Source;
/// Kafka's file sink, as far as its keys go.
struct Sink;
/// A converter that is only a name, with the keys of the real one.
struct Named(&'static str);

impl Plugin for Source {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSourceConnector"
    }
    fn version(&self) -> &'static str {
        "4.2.0"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new()
            .with(ConfigKey::optional(
                "file",
                ConfigType::String,
                Importance::High,
                "A file.",
            ))
            .with(ConfigKey::required("topic", ConfigType::String, Importance::High, "A topic.").not_empty())
            .with(ConfigKey::with_default(
                "batch.size",
                ConfigType::Int,
                "2000",
                Importance::Low,
                "Lines.",
            ))
    }
}

impl SourcePlugin for Source {
    fn validate(&self, config: &ConfigMap) -> Validated {
        if let Some(wait) = config.get("block.ms").and_then(|text| text.parse().ok()) {
            std::thread::sleep(Duration::from_millis(wait));
        }
        assert!(!config.contains_key("panic"), "as was asked for");
        self.config_def().validate(config)
    }
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(1))
    }
    fn new_task(&self) -> Box<dyn SourceTask> {
        unreachable!("the double of the worker starts none")
    }
}

impl Plugin for Sink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.file.FileStreamSinkConnector"
    }
    fn version(&self) -> &'static str {
        "4.2.0"
    }
    fn config_def(&self) -> ConfigDef {
        ConfigDef::new().with(ConfigKey::optional(
            "file",
            ConfigType::String,
            Importance::High,
            "A file.",
        ))
    }
}

impl SinkPlugin for Sink {
    fn new_connector(&self) -> Box<dyn Connector> {
        Box::new(SameForAll::new(1))
    }
    fn new_task(&self) -> Box<dyn SinkTask> {
        unreachable!("the double of the worker starts none")
    }
}

impl Plugin for Named {
    fn class(&self) -> &'static str {
        self.0
    }
    fn version(&self) -> &'static str {
        "4.2.0"
    }
    fn config_def(&self) -> ConfigDef {
        let real = Registry::built_in();
        let of_records = real.converter(self.0).map(|plugin| plugin.config_def());
        let of_headers = || real.header_converter(self.0).map(|plugin| plugin.config_def());
        of_records.or_else(|_| of_headers()).unwrap_or_default()
    }
}

impl ConverterPlugin for Named {
    fn new_converter(&self, _config: &ConfigMap, _is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Err(PluginError::fatal("it is only a name"))
    }
}

impl HeaderConverterPlugin for Named {
    fn new_header_converter(&self, _config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Err(PluginError::fatal("it is only a name"))
    }
}

/// The file connectors, and the names of Kafka's converters.
pub(crate) fn registry() -> Arc<Registry> {
    let mut registry = Registry::new().with_source(Source).with_sink(Sink);
    for class in [
        "org.apache.kafka.connect.converters.BooleanConverter",
        "org.apache.kafka.connect.converters.ByteArrayConverter",
        "org.apache.kafka.connect.converters.DoubleConverter",
        "org.apache.kafka.connect.converters.FloatConverter",
        "org.apache.kafka.connect.converters.IntegerConverter",
        "org.apache.kafka.connect.converters.LongConverter",
        "org.apache.kafka.connect.converters.ShortConverter",
        "org.apache.kafka.connect.json.JsonConverter",
        "org.apache.kafka.connect.storage.StringConverter",
    ] {
        registry = registry
            .with_converter(Named(class))
            .with_header_converter(Named(class));
    }
    Arc::new(registry.with_header_converter(Named("org.apache.kafka.connect.storage.SimpleHeaderConverter")))
}

/// A worker's configuration and more keys.
pub(crate) fn worker_config(more: &[(&str, &str)]) -> Arc<WorkerConfig> {
    let base = [
        ("bootstrap.servers", "localhost:9092"),
        ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("offset.storage.file.filename", "/tmp/offsets"),
        ("listeners", "http://127.0.0.1:0"),
        ("config.providers", "env"),
        (
            "config.providers.env.class",
            "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        ),
    ];
    let all = base.iter().chain(more);
    let given = all
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Arc::new(WorkerConfig::parse(WorkerMode::Standalone, given).unwrap())
}

/// What a double of a worker was told, and keeps.
#[derive(Default)]
pub(crate) struct Told {
    /// `start c`, `stop c`, `start c-0 Started`, `stop c-0`, `target c Paused`.
    pub calls: Vec<String>,
    connectors: BTreeMap<String, ConfigMap>,
    tasks: Vec<String>,
    offsets: BTreeMap<String, Vec<(SourcePartition, Option<SourceOffset>)>>,
    group: BTreeMap<String, ConnectorOffsets>,
}

/// A worker that only reports. Connectors have `tasks` tasks (1); `fail=connector|task` and `fail.kind=user|fatal` have them fail, the
/// first `fail.times` times.
pub(crate) struct FakeTasks {
    board: Arc<StatusBoard>,
    pub told: Mutex<Told>,
}

impl FakeTasks {
    pub(crate) fn new(board: Arc<StatusBoard>) -> Self {
        Self {
            board,
            told: Mutex::default(),
        }
    }

    /// What it was told since the last call.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap().calls)
    }

    fn say(&self, call: String) -> usize {
        let mut told = self.told.lock().unwrap();
        told.calls.push(call.clone());
        told.tasks.push(call.clone());
        told.tasks.iter().filter(|its| **its == call).count()
    }
}

fn kind(config: &ConfigMap) -> ErrorKind {
    match config.get("fail.kind").map(String::as_str) {
        Some("user") => ErrorKind::UserConfig,
        _ => ErrorKind::Fatal,
    }
}

fn fails(config: &ConfigMap, what: &str, attempt: usize) -> bool {
    let times = config.get("fail.times").and_then(|text| text.parse().ok());
    config.get("fail").is_some_and(|fail| fail == what) && attempt <= times.unwrap_or(usize::MAX)
}

#[async_trait]
impl Tasks for FakeTasks {
    async fn start_connector(&self, name: &str, config: &ConfigMap) -> Result<(), PluginError> {
        let attempt = self.say(format!("start {name}"));
        if fails(config, "connector", attempt) {
            return Err(PluginError::new(
                kind(config),
                "the connector fails as it was told",
            ));
        }
        self.told
            .lock()
            .unwrap()
            .connectors
            .insert(name.to_owned(), config.clone());
        self.board.on_connector(name, State::Running, None, None);
        Ok(())
    }

    async fn stop_connector(&self, name: &str) {
        self.say(format!("stop {name}"));
        self.told.lock().unwrap().connectors.remove(name);
    }

    async fn task_configs(&self, name: &str, _max: usize) -> Result<Vec<ConfigMap>, PluginError> {
        let told = self.told.lock().unwrap();
        let config = told
            .connectors
            .get(name)
            .ok_or_else(|| PluginError::fatal("it does not run"))?;
        let count: usize = config.get("tasks").map_or(1, |text| text.parse().unwrap());
        let mut task = config.clone();
        if config
            .values()
            .any(|value| value.contains("${env:CARGO_PKG_NAME}"))
        {
            task.insert("handed.on".to_owned(), env!("CARGO_PKG_NAME").to_owned());
        }
        let configs = (0..count).map(|index| {
            let mut task = task.clone();
            task.insert("task.id".to_owned(), index.to_string());
            task
        });
        Ok(configs.collect())
    }

    fn start_task(&self, id: &TaskId, config: &ConfigMap, _task: &ConfigMap, target: TargetState) {
        let attempt = self.say(format!("start {id} {target:?}"));
        if fails(config, "task", attempt)
            || config
                .get("file")
                .is_some_and(|file| file.starts_with("/nowhere/at/all"))
        {
            let kind = match config.contains_key("fail") {
                true => kind(config),
                false => ErrorKind::UserConfig,
            };
            self.board.on_task(
                id,
                State::Failed,
                Some("the task fails as it was told"),
                Some(kind),
            );
            return;
        }
        let state = match target {
            TargetState::Paused => State::Paused,
            _ => State::Running,
        };
        self.board.on_task(id, state, None, None);
    }

    async fn stop_tasks(&self, ids: &[TaskId]) {
        for id in ids {
            self.say(format!("stop {id}"));
        }
    }

    fn set_target(&self, connector: &str, target: TargetState) {
        self.say(format!("target {connector} {target:?}"));
        let state = match target {
            TargetState::Paused => State::Paused,
            _ => State::Running,
        };
        let status = self.board.connector(connector).unwrap();
        for (task, status) in status.tasks {
            if status.state != State::Failed {
                let connector = connector.to_owned();
                self.board.on_task(&TaskId { connector, task }, state, None, None);
            }
        }
    }

    async fn signal(&self, id: &TaskId, signal: &TaskSignal) -> Result<(), PluginError> {
        self.say(format!(
            "signal {id} {} {} {}",
            signal.id, signal.kind, signal.data
        ));
        match &*signal.kind {
            "nonsense" => Err(PluginError::user_config("it makes no sense")),
            "early" => Err(PluginError::retriable("it was not started yet")),
            _ => Ok(()),
        }
    }

    async fn offsets(&self, name: &str, config: &ConfigMap) -> Result<ConnectorOffsets, PluginError> {
        let told = self.told.lock().unwrap();
        if config["connector.class"].contains("Sink") {
            return Ok(told
                .group
                .get(name)
                .cloned()
                .unwrap_or(ConnectorOffsets::Sink(Vec::new())));
        }
        let offsets = told.offsets.get(name).cloned().unwrap_or_default();
        Ok(ConnectorOffsets::Source(offsets))
    }

    async fn alter_offsets(
        &self,
        name: &str,
        _config: &ConfigMap,
        offsets: Option<&ConnectorOffsets>,
    ) -> Result<(), PluginError> {
        let mut told = self.told.lock().unwrap();
        match offsets {
            None => {
                told.offsets.remove(name);
                told.group.remove(name);
            }
            Some(ConnectorOffsets::Source(offsets)) => {
                for (partition, offset) in offsets {
                    if !partition.0.contains_key("filename") {
                        return Err(PluginError::user_config(
                            "Partition objects should contain the key 'filename'",
                        ));
                    }
                    let position = offset.as_ref().and_then(|offset| offset.0.get("position"));
                    if position.is_some_and(|position| *position == json!(-1)) {
                        let wrong =
                            "The value for the 'position' key in the offset should be a non-negative value";
                        return Err(PluginError::user_config(wrong));
                    }
                }
                let mut last: BTreeMap<String, _> = BTreeMap::new();
                for (partition, offset) in offsets {
                    last.insert(
                        serde_json::to_string(partition).unwrap(),
                        (partition.clone(), offset.clone()),
                    );
                }
                let kept = last.into_values().filter(|(_, offset)| offset.is_some());
                told.offsets.insert(name.to_owned(), kept.collect());
            }
            Some(ConnectorOffsets::Sink(offsets)) => {
                let kept = offsets
                    .iter()
                    .filter(|(_, offset)| offset.is_some())
                    .cloned()
                    .collect();
                told.group.insert(name.to_owned(), ConnectorOffsets::Sink(kept));
            }
        }
        Ok(())
    }

    async fn cluster_id(&self, _wait: Duration) -> Result<String, PluginError> {
        Ok("CLUSTER".to_owned())
    }

    async fn stop(&self) {
        self.say("stop everything".to_owned());
    }
}

/// A herder over doubles.
pub(crate) fn herder(more: &[(&str, &str)]) -> (StandaloneHerder, Arc<FakeTasks>, Arc<StatusBoard>) {
    let config = worker_config(more);
    let board = Arc::new(StatusBoard::new("WORKER"));
    let tasks = Arc::new(FakeTasks::new(Arc::clone(&board)));
    let providers = Arc::new(ConfigProviders::of_worker(&config.given).unwrap());
    let validator = Validator::new(registry(), Arc::clone(&config), providers, |_, _| {
        ConfigDef::new()
    });
    let herder = StandaloneHerder::start(StandaloneParts {
        tasks: Arc::clone(&tasks) as Arc<dyn Tasks>,
        board: Arc::clone(&board),
        validator,
        config,
        loggers: Loggers::new(LogLevel::Warn, Box::new(|_| {})),
    });
    (herder, tasks, board)
}
