//! What answers look like: Kafka Connect's JSON, with its fields in its order.
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::{ConfigKey, ConfigType, DefaultValue, Importance, Width};
use crate::herder::{ConnectorInfo, ConnectorStatus, HerderError, LoggerLevel, UnitStatus, Validation};
use crate::plugin::TaskId;
use crate::worker::ConnectorOffsets;

/// An answer.
pub(super) type Answer = Response<Body>;

/// JSON with a status.
pub(super) fn json_of(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(bytes) => typed(status, "application/json", bytes),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A body with its type.
pub(super) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let value = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

/// Only a status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// The same with a header, if its value can be one.
pub(super) fn with_header(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().append(name, value);
    }
    answer
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error_code: u16,
    message: &'a str,
}

/// An error: its status and text.
pub(super) fn failure(status: StatusCode, message: &str) -> Answer {
    let body = ErrorBody {
        error_code: status.as_u16(),
        message,
    };
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    typed(status, "application/json", bytes)
}

/// What a server says for itself, in Kafka's words: `HTTP 404 Not Found`.
pub(super) fn plain_failure(status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or_default();
    failure(status, &format!("HTTP {} {reason}", status.as_u16()))
}

impl From<HerderError> for Answer {
    fn from(error: HerderError) -> Self {
        let status = match &error {
            HerderError::NotFound(_) => StatusCode::NOT_FOUND,
            HerderError::BadRequest(_) => StatusCode::BAD_REQUEST,
            HerderError::Forbidden(_) => StatusCode::FORBIDDEN,
            HerderError::AlreadyExists(_) | HerderError::Conflict(_) => StatusCode::CONFLICT,
            HerderError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        failure(status, &error.to_string())
    }
}

/// `GET /`.
#[derive(Serialize)]
pub(super) struct ServerInfo<'a> {
    pub version: &'a str,
    pub commit: &'a str,
    pub kafka_cluster_id: &'a str,
}

/// `GET /health`.
#[derive(Serialize)]
pub(super) struct HealthBody {
    pub status: &'static str,
    pub message: String,
}

/// A plugin in a list.
#[derive(Serialize)]
pub(super) struct PluginInfo<'a> {
    pub class: &'a str,
    #[serde(rename = "type")]
    pub kind: String,
    pub version: &'a str,
}

#[derive(Serialize)]
struct TaskIdBody<'a> {
    connector: &'a str,
    task: u32,
}

fn task_id(id: &TaskId) -> TaskIdBody<'_> {
    TaskIdBody {
        connector: &id.connector,
        task: id.task,
    }
}

#[derive(Serialize)]
struct InfoBody<'a> {
    name: &'a str,
    config: &'a BTreeMap<String, String>,
    tasks: Vec<TaskIdBody<'a>>,
    #[serde(rename = "type")]
    kind: String,
}

/// A connector.
pub(super) fn info(info: &ConnectorInfo) -> impl Serialize {
    InfoBody {
        name: &info.name,
        config: &info.config,
        tasks: info.tasks.iter().map(task_id).collect(),
        kind: info.kind.to_string(),
    }
}

#[derive(Serialize)]
struct StatusBody<'a> {
    name: &'a str,
    connector: UnitBody<'a>,
    tasks: Vec<UnitBody<'a>>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct UnitBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    state: &'static str,
    worker_id: &'a str,
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
}

fn unit_body(id: Option<u32>, status: &UnitStatus) -> UnitBody<'_> {
    UnitBody {
        id,
        state: status.state.name(),
        worker_id: &status.worker_id,
        version: status.version.as_deref(),
        trace: status.trace.as_deref(),
    }
}

/// What a task is doing.
pub(super) fn task_status(task: u32, status: &UnitStatus) -> impl Serialize {
    unit_body(Some(task), status)
}

/// What a connector and its tasks are doing.
pub(super) fn status(status: &ConnectorStatus) -> impl Serialize {
    StatusBody {
        name: &status.name,
        connector: unit_body(None, &status.connector),
        tasks: status
            .tasks
            .iter()
            .map(|(task, status)| unit_body(Some(*task), status))
            .collect(),
        kind: status.kind.to_string(),
    }
}

#[derive(Serialize)]
struct TaskBody<'a> {
    id: TaskIdBody<'a>,
    config: &'a BTreeMap<String, String>,
}

/// Tasks and their configurations.
pub(super) fn tasks(tasks: &[(TaskId, BTreeMap<String, String>)]) -> impl Serialize {
    let tasks = tasks.iter().map(|(id, config)| TaskBody {
        id: task_id(id),
        config,
    });
    tasks.collect::<Vec<_>>()
}

/// Offsets of a connector.
pub(super) fn offsets(offsets: &ConnectorOffsets) -> Value {
    let entry = |partition: Value, offset: Value| json!({"partition": partition, "offset": offset});
    let entries: Vec<Value> = match offsets {
        ConnectorOffsets::Source(all) => all
            .iter()
            .map(|(partition, offset)| entry(json!(partition), json!(offset)))
            .collect(),
        ConnectorOffsets::Sink(all) => all
            .iter()
            .map(|(partition, offset)| {
                let part = json!({"kafka_partition": partition.partition, "kafka_topic": &*partition.topic});
                let offset = offset.map_or(Value::Null, |offset| json!({"kafka_offset": offset}));
                entry(part, offset)
            })
            .collect(),
    };
    json!({"offsets": entries})
}

/// A logger's level.
pub(super) fn level(level: &LoggerLevel) -> Value {
    let mut body = Map::new();
    body.insert("level".to_owned(), level.level.to_string().into());
    body.insert("last_modified".to_owned(), json!(level.last_modified));
    Value::Object(body)
}

#[derive(Serialize)]
struct DefinitionBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    required: bool,
    default_value: Option<&'a str>,
    importance: &'static str,
    documentation: &'a str,
    group: Option<&'a str>,
    order_in_group: i32,
    width: &'static str,
    display_name: &'a str,
    dependents: &'a [String],
}

/// A key's declaration.
pub(super) fn definition(key: &ConfigKey) -> impl Serialize {
    DefinitionBody {
        name: &key.name,
        kind: match key.kind {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        },
        required: key.default == DefaultValue::Required,
        default_value: match &key.default {
            DefaultValue::Value(_) if key.kind == ConfigType::Password => Some("[hidden]"),
            DefaultValue::Value(value) => Some(value),
            _ => None,
        },
        importance: match key.importance {
            Importance::High => "HIGH",
            Importance::Medium => "MEDIUM",
            Importance::Low => "LOW",
        },
        documentation: &key.documentation,
        group: key.group.as_deref(),
        order_in_group: key.order_in_group,
        width: match key.width {
            Width::None => "NONE",
            Width::Short => "SHORT",
            Width::Medium => "MEDIUM",
            Width::Long => "LONG",
        },
        display_name: &key.display_name,
        dependents: &key.dependents,
    }
}

#[derive(Serialize)]
struct ValueBody<'a> {
    name: &'a str,
    value: Option<&'a str>,
    recommended_values: &'a [String],
    errors: &'a [String],
    visible: bool,
}

#[derive(Serialize)]
struct EntryBody<'a, D: Serialize> {
    definition: Option<D>,
    value: ValueBody<'a>,
}

#[derive(Serialize)]
struct ValidationBody<'a, E: Serialize> {
    name: &'a str,
    error_count: usize,
    groups: &'a [String],
    configs: Vec<E>,
}

/// What validating found.
pub(super) fn validation(validation: &Validation) -> impl Serialize {
    let entries = validation.entries.iter().map(|(key, value)| EntryBody {
        definition: key.as_ref().map(definition),
        value: ValueBody {
            name: &value.name,
            value: value.value.as_deref(),
            recommended_values: &value.recommended,
            errors: &value.errors,
            visible: value.visible,
        },
    });
    ValidationBody {
        name: &validation.class,
        error_count: validation.error_count(),
        groups: &validation.groups,
        configs: entries.collect(),
    }
}
