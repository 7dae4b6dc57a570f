//! Handing a request on to the worker that has to do it.
//!
//! Once: a request that was handed on says so with `forward=false`, and is done where it arrives or not at all, so that two workers that each
//! take the other for the leader do not send it to and fro.
use std::time::Duration;

use axum::http::{HeaderName, Method, StatusCode, header, request::Parts};
use serde_json::Value;
use tracing::debug;

use super::answers::{Answer, failure, typed, with_header};
use super::route::Route;
use super::{body, handlers};
use crate::herder::{Doer, Herder};
use crate::plugin::TaskId;

/// How long the other worker may take.
const PATIENCE: Duration = Duration::from_secs(95);
/// The most that is taken of its answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Who has to do what a request asks for, if not just anybody.
fn doer(route: &Route, method: &Method) -> Option<Doer> {
    if *method == Method::GET {
        return None;
    }
    match route {
        Route::TaskRestart(connector, task) => Some(Doer::Task(TaskId {
            connector: connector.clone(),
            task: u32::try_from(*task).ok()?,
        })),
        Route::TaskSignals(connector, task) => Some(Doer::Task(TaskId {
            connector: connector.clone(),
            task: *task,
        })),
        Route::Connectors
        | Route::Connector(_)
        | Route::Config(_)
        | Route::Restart(_)
        | Route::Pause(_)
        | Route::Resume(_)
        | Route::Stop(_)
        | Route::Offsets(_) => Some(Doer::Leader),
        _ => None,
    }
}

/// The answer of the worker that has to do it, or of this one that nobody is there to; none if it is this one's to do.
pub(super) async fn elsewhere(
    herder: &dyn Herder,
    route: &Route,
    parts: &Parts,
    value: &Value,
) -> Option<Answer> {
    let doer = doer(route, &parts.method)?;
    if !body::flag(parts.uri.query(), "forward", true) {
        return None;
    }
    match herder.elsewhere(&doer).await {
        Ok(None) => None,
        Ok(Some(url)) => {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            Some(handed_on(&url, path, parts, value).await)
        }
        Err(error) => Some(Answer::from(error)),
    }
}

/// The answer of the worker at `url`, which is asked with this request's method for `path`.
pub(super) async fn handed_on(url: &str, path: &str, parts: &Parts, value: &Value) -> Answer {
    let separator = if path.contains('?') { '&' } else { '?' };
    let target = format!("{url}{path}{separator}forward=false");
    debug!(target, "a request is handed on");
    let (method, value) = (parts.method.clone(), value.clone());
    let asking = tokio::task::spawn_blocking(move || ask(&method, &target, &value));
    let unreachable = |why: String| {
        let message = format!("IO Error trying to forward REST request: {why}");
        failure(StatusCode::INTERNAL_SERVER_ERROR, &message)
    };
    match asking.await {
        Ok(Ok((status, location, body))) => {
            let answer = match body.is_empty() {
                true => super::answers::empty(status),
                false => typed(status, "application/json", body),
            };
            match location {
                Some(location) => {
                    let place = handlers::here(parts, path_of(&location).to_owned());
                    with_header(answer, header::LOCATION, &place)
                }
                None => answer,
            }
        }
        Ok(Err(error)) => unreachable(error.to_string()),
        Err(error) => unreachable(error.to_string()),
    }
}

/// The path of an address. Who asked knows this worker, and may not reach the other one.
fn path_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.find('/').map_or("/", |start| &rest[start..])
}

type Answered = (StatusCode, Option<String>, Vec<u8>);

/// Asks another worker. Blocks.
fn ask(method: &Method, target: &str, value: &Value) -> Result<Answered, ureq::Error> {
    const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build();
    let agent = ureq::Agent::new_with_config(agent);
    let request = ureq::http::Request::builder().method(method.as_str()).uri(target);
    let request = request.header(JSON.0.as_str(), JSON.1);
    let body = match value {
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    };
    let mut answer = agent.run(request.body(body)?)?;
    let location = answer.headers().get("location");
    let location = location
        .and_then(|location| location.to_str().ok())
        .map(str::to_owned);
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()?;
    Ok((status, location, body))
}
