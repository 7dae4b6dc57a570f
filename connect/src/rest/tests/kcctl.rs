//! The calls of kcctl, a command line for Kafka Connect, and what it reads of their answers: its interface `KafkaConnectApi` and the records beside it.
//! Texts that it must have are `String`, those that may be null `Option`.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Heard, Served, ask, served, source};

#[derive(Debug, Deserialize)]
struct WorkerInfo {
    version: String,
    commit: String,
    kafka_cluster_id: String,
}

#[derive(Debug, Deserialize)]
struct Plugin {
    class: String,
    r#type: String,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Info {
    name: String,
    config: BTreeMap<String, String>,
    tasks: Vec<TaskInfo>,
    r#type: String,
}

#[derive(Debug, Deserialize)]
struct TaskInfo {
    connector: String,
    task: u32,
}

#[derive(Debug, Deserialize)]
struct TaskConfig {
    id: TaskInfo,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct State {
    state: String,
    worker_id: String,
}

#[derive(Debug, Deserialize)]
struct TaskState {
    id: u32,
    state: String,
    worker_id: String,
    trace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    connector: State,
    r#type: String,
    tasks: Vec<TaskState>,
}

#[derive(Debug, Deserialize)]
struct Expanded {
    status: Status,
    info: Info,
}

#[derive(Debug, Deserialize)]
struct Topics {
    topics: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Offsets {
    offsets: Vec<Offset>,
}

#[derive(Debug, Deserialize)]
struct Offset {
    partition: BTreeMap<String, Value>,
    offset: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error_code: u16,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Level {
    level: String,
    last_modified: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Validated {
    name: String,
    error_count: usize,
    groups: Vec<String>,
    configs: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    definition: Key,
    value: Given,
}

#[derive(Debug, Deserialize)]
struct Key {
    name: String,
    r#type: String,
    required: bool,
    default_value: Option<String>,
    importance: String,
    documentation: String,
    group: Option<String>,
    width: String,
    dependents: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Given {
    name: String,
    errors: Vec<String>,
    visible: bool,
}

/// An answer of this status as what kcctl reads it as.
fn read<T: DeserializeOwned>(heard: &Heard, status: u16) -> T {
    assert_eq!(heard.status, status, "{}", heard.text);
    serde_json::from_str(&heard.text).unwrap_or_else(|error| panic!("{error}: {}", heard.text))
}

impl Served {
    /// As kcctl asks: every call says that it sends and takes JSON, whether it has a body or not.
    async fn kcctl(&self, method: &str, path: &str, body: Option<&Value>) -> Heard {
        let headers = [
            ("accept", "application/json"),
            ("content-type", "application/json"),
        ];
        let body = body.map(Value::to_string);
        ask(self.address, method, path, &headers, body.as_deref()).await
    }
}

#[tokio::test]
async fn a_worker_and_its_plugins() {
    let served = served(&[]).await;
    let info: WorkerInfo = read(&served.kcctl("GET", "/", None).await, 200);
    // It compares versions, to know what a worker can do.
    assert!(info.version.starts_with("4.2") && !info.commit.is_empty() && !info.kafka_cluster_id.is_empty());
    let plugins: Vec<Plugin> = read(
        &served
            .kcctl("GET", "/connector-plugins?connectorsOnly=false", None)
            .await,
        200,
    );
    let kinds: Vec<&str> = plugins.iter().map(|plugin| plugin.r#type.as_str()).collect();
    assert!(
        ["source", "sink", "converter", "header_converter"]
            .iter()
            .all(|kind| kinds.contains(kind)),
        "{kinds:?}"
    );
    assert!(
        plugins
            .iter()
            .all(|plugin| plugin.class.contains('.') && plugin.version.is_some())
    );
    let keys: Vec<Key> = read(
        &served
            .kcctl("GET", "/connector-plugins/FileStreamSource/config", None)
            .await,
        200,
    );
    let topic = keys.iter().find(|key| key.name == "topic").unwrap();
    assert!(
        topic.required
            && topic.default_value.is_none()
            && topic.group.is_none()
            && topic.dependents.is_empty()
    );
    assert_eq!(
        (&*topic.r#type, &*topic.importance, &*topic.width),
        ("STRING", "HIGH", "NONE")
    );
    assert!(!topic.documentation.is_empty());
    let body = json!({"connector.class": "FileStreamSource"});
    let path = "/connector-plugins/FileStreamSource/config/validate";
    let validated: Validated = read(&served.kcctl("PUT", path, Some(&body)).await, 200);
    assert_eq!((&*validated.name, validated.error_count), ("FileStreamSource", 2));
    assert!(validated.groups.contains(&"Common".to_owned()));
    let wrong = validated
        .configs
        .iter()
        .filter(|entry| !entry.value.errors.is_empty() && entry.value.visible);
    let wrong: Vec<_> = wrong
        .map(|entry| (&*entry.definition.name, &*entry.value.name))
        .collect();
    assert_eq!(wrong, [("name", "name"), ("topic", "topic")]);
}

#[tokio::test]
async fn a_connectors_life() {
    let served = served(&[]).await;
    // It reads what creating is answered with as a status, of which only the name is there.
    let made = served.kcctl("POST", "/connectors/", Some(&source("a"))).await;
    assert_eq!(read::<Named>(&made, 201).name, "a");
    served.settle("a", "RUNNING", &["RUNNING"]).await;
    let names: Vec<String> = read(&served.kcctl("GET", "/connectors/", None).await, 200);
    assert_eq!(names, ["a"]);
    let info: Info = read(&served.kcctl("GET", "/connectors/a", None).await, 200);
    assert_eq!(
        (&*info.name, &*info.r#type, &*info.config["topic"]),
        ("a", "source", "t")
    );
    assert_eq!((&*info.tasks[0].connector, info.tasks[0].task), ("a", 0));
    let status: Status = read(&served.kcctl("GET", "/connectors/a/status", None).await, 200);
    assert_eq!(
        (&*status.name, &*status.connector.state, &*status.r#type),
        ("a", "RUNNING", "source")
    );
    let task = &status.tasks[0];
    assert_eq!(
        (task.id, &*task.state, task.trace.is_none()),
        (0, "RUNNING", true)
    );
    assert_eq!(task.worker_id, status.connector.worker_id);
    let path = "/connectors?expand=info&expand=status";
    let all: BTreeMap<String, Expanded> = read(&served.kcctl("GET", path, None).await, 200);
    assert_eq!((&*all["a"].info.name, &*all["a"].status.name), ("a", "a"));
    let topics: BTreeMap<String, Topics> =
        read(&served.kcctl("GET", "/connectors/a/topics", None).await, 200);
    assert!(topics["a"].topics.is_empty());
    let mut config: BTreeMap<String, String> =
        read(&served.kcctl("GET", "/connectors/a/config", None).await, 200);
    config.insert("batch.size".to_owned(), "5".to_owned());
    let put = served
        .kcctl("PUT", "/connectors/a/config", Some(&json!(config)))
        .await;
    assert_eq!(read::<Named>(&put, 200).name, "a");
    let tasks: Vec<TaskConfig> = read(&served.kcctl("GET", "/connectors/a/tasks", None).await, 200);
    assert_eq!(
        (&*tasks[0].id.connector, &*tasks[0].config["batch.size"]),
        ("a", "5")
    );
    for (method, path, status) in [
        ("PUT", "/connectors/a/pause", 202),
        ("PUT", "/connectors/a/resume", 202),
        ("POST", "/connectors/a/restart", 204),
        ("POST", "/connectors/a/tasks/0/restart", 204),
        ("PUT", "/connectors/a/stop", 204),
        ("DELETE", "/connectors/a", 204),
    ] {
        let heard = served.kcctl(method, path, None).await;
        assert_eq!((heard.status, &*heard.text), (status, ""), "{method} {path}");
    }
    let gone: Failure = read(&served.kcctl("GET", "/connectors/a", None).await, 404);
    assert_eq!((gone.error_code, &*gone.message), (404, "Connector a not found"));
}

/// What creating and changing are answered with, as far as kcctl looks.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[tokio::test]
async fn restarts_offsets_and_levels() {
    let served = served(&[]).await;
    served.kcctl("POST", "/connectors/", Some(&source("a"))).await;
    served.settle("a", "RUNNING", &["RUNNING"]).await;
    let path = "/connectors/a/restart?includeTasks=true&onlyFailed=false";
    let restarting: Status = read(&served.kcctl("POST", path, None).await, 202);
    assert_eq!(restarting.tasks[0].state, "RESTARTING");
    served.settle("a", "RUNNING", &["RUNNING"]).await;
    let again: Failure = read(
        &served.kcctl("POST", "/connectors/", Some(&source("a"))).await,
        409,
    );
    assert_eq!(
        (again.error_code, &*again.message),
        (409, "Connector a already exists")
    );

    served.kcctl("PUT", "/connectors/a/stop", None).await;
    let given = json!({"offsets": [{"partition": {"filename": "f"}, "offset": {"position": 3}}]});
    let set: Message = read(
        &served.kcctl("PATCH", "/connectors/a/offsets", Some(&given)).await,
        200,
    );
    assert!(set.message.contains("altered successfully"), "{}", set.message);
    let offsets: Offsets = read(&served.kcctl("GET", "/connectors/a/offsets", None).await, 200);
    assert_eq!(offsets.offsets[0].partition["filename"], "f");
    assert_eq!(offsets.offsets[0].offset["position"], 3);
    let reset: Message = read(&served.kcctl("DELETE", "/connectors/a/offsets", None).await, 200);
    assert!(reset.message.contains("reset successfully"), "{}", reset.message);

    let level = json!({"level": "DEBUG"});
    let changed: Vec<String> = read(
        &served
            .kcctl("PUT", "/admin/loggers/some.logger", Some(&level))
            .await,
        200,
    );
    assert_eq!(changed, ["some.logger"]);
    let path = "/admin/loggers/some.logger?scope=cluster";
    let everywhere = served.kcctl("PUT", path, Some(&level)).await;
    assert_eq!((everywhere.status, &*everywhere.text), (204, ""));
    let one: Level = read(
        &served.kcctl("GET", "/admin/loggers/some.logger", None).await,
        200,
    );
    assert_eq!((&*one.level, one.last_modified.is_some()), ("DEBUG", true));
    let all: BTreeMap<String, Level> = read(&served.kcctl("GET", "/admin/loggers", None).await, 200);
    assert!(all.contains_key("root") && all["some.logger"].level == "DEBUG");
}
