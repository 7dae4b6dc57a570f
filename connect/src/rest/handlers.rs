//! What each call does.
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::answers::{
    self, Answer, PluginInfo, ServerInfo, empty, failure, json_of, plain_failure, typed, with_header,
};
use super::route::Route;
use super::{body, forward};
use crate::config::{ConfigDef, DefaultValue, connector};
use crate::herder::{Doer, Health, Herder, HerderError, LogLevel, RestartRequest};
use crate::plugin::{PluginKind, TaskId};
use crate::worker::TargetState;

/// The version of Kafka Connect whose API this is.
const API_VERSION: &str = "4.2.0";
/// How long a caller waits; what was begun goes on.
const PATIENCE: Duration = Duration::from_secs(90);
/// The most warnings that an answer has.
const WARNINGS_MAX: usize = 20;
/// The longest one, in characters: clients bound the headers that they read.
const WARNING_CHARS_MAX: usize = 500;
/// What stands for itself in a part of a path.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

type Shared = Arc<dyn Herder>;

/// Runs a request on a task of its own: it comes to its end even if the caller goes away or loses patience.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, HerderError>> + Send + 'static,
) -> Result<T, HerderError> {
    match tokio::time::timeout(PATIENCE, tokio::spawn(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(HerderError::Internal(
            "the request panicked; the log says where".to_owned(),
        )),
        Err(_) => Err(HerderError::Internal(
            "Request timed out. It goes on in the background; ask for the status to see what became of it"
                .to_owned(),
        )),
    }
}

/// Does a call. The method is one that the route has.
pub(super) async fn call(herder: Shared, route: Route, parts: &Parts, value: Value) -> Answer {
    let answered = match parts.method {
        Method::GET => read(herder, route, parts).await,
        _ => change(herder, route, parts, value).await,
    };
    answered.unwrap_or_else(|error| *error)
}

type Answered = Result<Answer, Box<Answer>>;

impl From<HerderError> for Box<Answer> {
    fn from(error: HerderError) -> Self {
        Box::new(Answer::from(error))
    }
}

async fn read(herder: Shared, route: Route, parts: &Parts) -> Answered {
    let query = parts.uri.query();
    Ok(match route {
        Route::Root => root(herder).await?,
        Route::Health => health(&*herder),
        Route::Metrics => typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            herder.metrics(),
        ),
        Route::Connectors => connectors(&*herder, query).await?,
        Route::Connector(name) => json_of(StatusCode::OK, &answers::info(&herder.info(&name).await?)),
        Route::Config(name) => json_of(StatusCode::OK, &herder.info(&name).await?.config),
        Route::Status(name) => json_of(
            StatusCode::OK,
            &answers::status(&herder.first_status(&name).await?),
        ),
        Route::Tasks(name) => json_of(StatusCode::OK, &answers::tasks(&herder.tasks(&name).await?)),
        Route::TaskStatus(connector, task) => {
            let id = TaskId { connector, task };
            let status = herder.task_status(&id).await?;
            json_of(StatusCode::OK, &answers::task_status(task, &status))
        }
        Route::Topics(name) => {
            let topics = herder.topics(&name).await?;
            let body = BTreeMap::from([(name, json!({"topics": topics}))]);
            json_of(StatusCode::OK, &body)
        }
        Route::Offsets(name) => {
            let offsets = detached(async move { herder.offsets(&name).await }).await?;
            json_of(StatusCode::OK, &answers::offsets(&offsets))
        }
        Route::Plugins => plugins(&*herder, body::flag(query, "connectorsOnly", true)),
        Route::PluginConfig(name) => plugin_config(&*herder, &name),
        Route::Loggers => {
            let all = herder.loggers().all();
            let all = all
                .iter()
                .map(|(name, level)| (name.clone(), answers::level(level)));
            json_of(StatusCode::OK, &all.collect::<Map<_, _>>())
        }
        Route::Logger(name) => match herder.loggers().get(&name) {
            Some(level) => json_of(StatusCode::OK, &answers::level(&level)),
            None => failure(StatusCode::NOT_FOUND, &format!("Logger {name} not found.")),
        },
        _ => plain_failure(StatusCode::METHOD_NOT_ALLOWED),
    })
}

async fn root(herder: Shared) -> Answered {
    let id = detached(async move { herder.cluster_id().await }).await?;
    let info = ServerInfo {
        version: API_VERSION,
        commit: concat!("millstream-", env!("CARGO_PKG_VERSION")),
        kafka_cluster_id: &id,
    };
    Ok(json_of(StatusCode::OK, &info))
}

fn health(herder: &dyn Herder) -> Answer {
    let (code, status, message) = match herder.health() {
        Health::Healthy => {
            let message = "Worker has completed startup and is ready to handle requests.";
            (StatusCode::OK, "healthy", message.to_owned())
        }
        Health::Starting => {
            let message = "Worker is still starting up.";
            (StatusCode::SERVICE_UNAVAILABLE, "starting", message.to_owned())
        }
        Health::Unhealthy(why) => (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", why),
    };
    let body = answers::HealthBody { status, message };
    json_of(code, &body)
}

async fn connectors(herder: &dyn Herder, query: Option<&str>) -> Answered {
    let names = herder.connectors().await?;
    let expanded = body::query(query, "expand");
    if expanded.is_empty() {
        return Ok(json_of(StatusCode::OK, &names));
    }
    let mut all = Map::new();
    for name in names {
        let mut shown = Map::new();
        for what in &expanded {
            // What is gone meanwhile is left out, as Kafka does.
            let value = match what.as_str() {
                "status" => herder
                    .status(&name)
                    .await
                    .ok()
                    .map(|status| json!(answers::status(&status))),
                "info" => herder
                    .info(&name)
                    .await
                    .ok()
                    .map(|info| json!(answers::info(&info))),
                _ => None,
            };
            if let Some(value) = value {
                shown.insert(what.clone(), value);
            }
        }
        all.insert(name, Value::Object(shown));
    }
    Ok(json_of(StatusCode::OK, &all))
}

fn plugins(herder: &dyn Herder, connectors_only: bool) -> Answer {
    let mut all = herder.registry().all();
    if connectors_only {
        all.retain(|(kind, _)| matches!(kind, PluginKind::Source | PluginKind::Sink));
    }
    let order = |kind: &PluginKind| match kind {
        PluginKind::Sink => 0,
        PluginKind::Source => 1,
        PluginKind::Transformation => 2,
        PluginKind::Predicate => 3,
        PluginKind::Converter => 4,
        PluginKind::HeaderConverter => 5,
    };
    all.sort_by_key(|(kind, plugin)| (order(kind), plugin.class()));
    let all = all.iter().map(|(kind, plugin)| PluginInfo {
        class: plugin.class(),
        kind: kind.to_string(),
        version: plugin.version(),
    });
    json_of(StatusCode::OK, &all.collect::<Vec<_>>())
}

fn plugin_config(herder: &dyn Herder, name: &str) -> Answer {
    let registry = herder.registry();
    let found = registry
        .source(name)
        .map(|plugin| with_common(plugin.config_def(), connector::source_def(), plugin.version()))
        .or_else(|_| {
            let sink = registry.sink(name);
            sink.map(|plugin| with_common(plugin.config_def(), connector::sink_def(), plugin.version()))
        })
        .or_else(|_| registry.converter(name).map(|plugin| plugin.config_def()))
        .or_else(|_| registry.header_converter(name).map(|plugin| plugin.config_def()))
        .or_else(|_| registry.transform(name).map(|plugin| plugin.config_def()))
        .or_else(|_| registry.predicate(name).map(|plugin| plugin.config_def()));
    match found {
        Ok(def) => {
            let keys: Vec<_> = def.keys().iter().map(answers::definition).collect();
            json_of(StatusCode::OK, &keys)
        }
        Err(_) => failure(StatusCode::NOT_FOUND, &format!("Unknown plugin {name}.")),
    }
}

/// A connector's own keys and, behind them, those of all connectors.
fn with_common(own: ConfigDef, common: ConfigDef, version: &str) -> ConfigDef {
    common.keys().iter().cloned().fold(own, |all, mut key| {
        if key.name == "connector.plugin.version" {
            key.default = DefaultValue::Value(version.to_owned());
        }
        all.with(key)
    })
}

async fn change(herder: Shared, route: Route, parts: &Parts, value: Value) -> Answered {
    let query = parts.uri.query();
    match route {
        Route::Connectors => create(herder, parts, value).await,
        Route::Config(name) => configure(herder, name, parts, value).await,
        Route::Connector(name) => {
            let offsets = body::flag(query, "deleteOffsets", false);
            detached(async move { herder.delete(&name, offsets).await }).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        Route::Pause(name) => target(herder, name, TargetState::Paused, StatusCode::ACCEPTED).await,
        Route::Resume(name) => target(herder, name, TargetState::Started, StatusCode::ACCEPTED).await,
        Route::Stop(name) => target(herder, name, TargetState::Stopped, StatusCode::NO_CONTENT).await,
        Route::Restart(name) => restart(herder, name, query).await,
        Route::TaskRestart(connector, task) => {
            let missing = || HerderError::NotFound(format!("Task {connector}-{task} not found"));
            let task = u32::try_from(task).map_err(|_| missing())?;
            let id = TaskId { connector, task };
            detached(async move { herder.restart_task(&id).await }).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        Route::Signals(name) => signals(herder, name, parts, value).await,
        Route::TaskSignals(connector, task) => {
            let signal = body::signal(value)?;
            let id = TaskId { connector, task };
            detached(async move { herder.signal(&id, &signal).await }).await?;
            Ok(empty(StatusCode::ACCEPTED))
        }
        Route::TopicsReset(name) => {
            herder.reset_topics(&name).await?;
            Ok(empty(StatusCode::ACCEPTED))
        }
        Route::Offsets(name) => offsets(herder, name, parts, value).await,
        Route::Validate(plugin) => validate(herder, plugin, value).await,
        Route::Logger(name) => logger(&*herder, &name, query, value).await,
        Route::Tasks(_) => Ok(refused(
            herder
                .peer_request("externally setting task configurations")
                .await,
        )),
        Route::Fence(_) => Ok(refused(
            herder.peer_request("exactly-once source connectors").await,
        )),
        _ => Ok(plain_failure(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

fn refused(answer: Result<(), HerderError>) -> Answer {
    answer.map_or_else(Answer::from, |()| empty(StatusCode::NO_CONTENT))
}

/// Where a connector is found.
fn location(parts: &Parts, name: &str) -> String {
    here(
        parts,
        format!("/connectors/{}", utf8_percent_encode(name, PATH_PART)),
    )
}

/// A path of this worker: an absolute address if the caller said which host it asked.
pub(super) fn here(parts: &Parts, path: String) -> String {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match host {
        Some(host) => format!("http://{host}{path}"),
        None => path,
    }
}

async fn create(herder: Shared, parts: &Parts, value: Value) -> Answered {
    let request = body::create_request(value)?;
    let place = location(parts, &request.name);
    let made = detached(async move {
        herder
            .create(&request.name, request.config, request.initial)
            .await
    });
    let answer = json_of(StatusCode::CREATED, &answers::info(&made.await?));
    Ok(with_header(answer, header::LOCATION, &place))
}

async fn configure(herder: Shared, name: String, parts: &Parts, value: Value) -> Answered {
    let config = body::config(value)?;
    if parts.method == Method::PATCH {
        let changed = detached(async move { herder.patch_config(&name, config).await }).await?;
        return Ok(json_of(StatusCode::OK, &answers::info(&changed)));
    }
    let place = location(parts, &name);
    let (created, info) = detached(async move { herder.put_config(&name, config).await }).await?;
    Ok(match created {
        true => with_header(
            json_of(StatusCode::CREATED, &answers::info(&info)),
            header::LOCATION,
            &place,
        ),
        false => json_of(StatusCode::OK, &answers::info(&info)),
    })
}

async fn target(herder: Shared, name: String, target: TargetState, done: StatusCode) -> Answered {
    detached(async move { herder.set_target(&name, target).await }).await?;
    Ok(empty(done))
}

async fn restart(herder: Shared, name: String, query: Option<&str>) -> Answered {
    let request = RestartRequest {
        include_tasks: body::flag(query, "includeTasks", false),
        only_failed: body::flag(query, "onlyFailed", false),
    };
    if request == RestartRequest::default() {
        detached(async move { herder.restart_connector(&name).await }).await?;
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let planned = detached(async move { herder.restart(&name, request).await }).await?;
    Ok(json_of(StatusCode::ACCEPTED, &answers::status(&planned)))
}

/// Has each task of a connector take a signal, wherever it runs, up to the first that refuses it.
async fn signals(herder: Shared, name: String, parts: &Parts, value: Value) -> Answered {
    let signal = body::signal(value)?;
    let tasks = herder.info(&name).await?.tasks;
    if tasks.is_empty() {
        let message =
            format!("Connector {name} has no tasks at the moment; send the signal again when it has");
        return Err(HerderError::Conflict(message).into());
    }
    for id in tasks {
        if let Some(url) = herder.elsewhere(&Doer::Task(id.clone())).await? {
            let connector = utf8_percent_encode(&name, PATH_PART);
            let path = format!("/connectors/{connector}/tasks/{}/signals", id.task);
            let answer = forward::handed_on(&url, &path, parts, &json!(signal)).await;
            if !answer.status().is_success() {
                return Ok(answer);
            }
        } else {
            let (herder, signal) = (Arc::clone(&herder), signal.clone());
            detached(async move { herder.signal(&id, &signal).await }).await?;
        }
    }
    Ok(json_of(StatusCode::ACCEPTED, &json!({"id": signal.id})))
}

async fn offsets(herder: Shared, name: String, parts: &Parts, value: Value) -> Answered {
    let done = if parts.method == Method::DELETE {
        detached(async move { herder.reset_offsets(&name).await }).await?;
        "reset"
    } else {
        let given = body::offsets(value)?;
        detached(async move { herder.alter_offsets(&name, given).await }).await?;
        "altered"
    };
    let message = format!("The offsets for this connector have been {done} successfully");
    Ok(json_of(StatusCode::OK, &json!({"message": message})))
}

async fn validate(herder: Shared, plugin: String, value: Value) -> Answered {
    let config = body::config(value)?;
    let end = |class: &str| {
        let simple = class.rsplit('.').next().unwrap_or_default();
        simple.strip_suffix("Connector").unwrap_or(simple).to_owned()
    };
    let included = config.get("connector.class").cloned().flatten();
    if let Some(included) = included.filter(|included| end(included.trim()) != end(&plugin)) {
        let message = format!("Included connector type {included} does not match request type {plugin}");
        return Ok(failure(StatusCode::BAD_REQUEST, &message));
    }
    let validation = detached(async move { herder.validate(config).await }).await?;
    let mut answer = json_of(StatusCode::OK, &answers::validation(&validation));
    // A field more would break clients that read strictly; a header breaks nobody.
    for warning in validation.warnings.iter().take(WARNINGS_MAX) {
        warn!(class = validation.class, "{warning}");
        let plain = warning.chars().filter(|char| !matches!(char, '"' | '\\'));
        let line = plain.map(|char| if char.is_control() { ' ' } else { char });
        let quoted: String = line.take(WARNING_CHARS_MAX).collect();
        answer = with_header(answer, header::WARNING, &format!("199 - \"{quoted}\""));
    }
    Ok(answer)
}

async fn logger(herder: &dyn Herder, name: &str, query: Option<&str>, value: Value) -> Answered {
    let wanted = match body::config(value)?.remove("level").flatten() {
        Some(level) => level,
        None => {
            let message = "Desired 'level' parameter was not specified in request.";
            return Ok(failure(StatusCode::BAD_REQUEST, message));
        }
    };
    let Some(level) = LogLevel::parse(&wanted) else {
        return Ok(failure(
            StatusCode::NOT_FOUND,
            &format!("invalid log level '{wanted}'."),
        ));
    };
    let scope = body::query(query, "scope");
    if scope.first().is_some_and(|scope| scope == "cluster") {
        herder.set_cluster_level(name, level).await?;
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let changed = herder.loggers().set(name, level, now);
    Ok(json_of(StatusCode::OK, &changed))
}
