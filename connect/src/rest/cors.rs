//! Headers that the worker's configuration asks for: other origins, and rules for every answer.
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::answers::{Answer, empty};
use super::config::{HeaderAction, RestConfig};

/// Whether another origin may see answers: what `Access-Control-Allow-Origin` says then.
fn allowed_origin<'a>(config: &RestConfig, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let mut allowed = config.allowed_origins.iter();
    allowed
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(text))
        .then_some(origin)
}

/// The answer to a browser that asks before it calls, if it may.
pub(super) fn preflight(config: &RestConfig, method: &Method, headers: &HeaderMap) -> Option<Answer> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let origin = allowed_origin(config, headers)?.clone();
    if method != Method::OPTIONS {
        return None;
    }
    let default = ["GET", "POST", "HEAD"].map(str::to_owned);
    let methods = match config.allowed_methods.is_empty() {
        true => &default[..],
        false => &config.allowed_methods,
    };
    let allowed = methods.iter().any(|method| asked == method.as_str());
    let mut answer = empty(StatusCode::OK);
    if allowed && let Ok(methods) = HeaderValue::try_from(methods.join(",")) {
        let its = answer.headers_mut();
        its.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        its.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            its.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
    Some(answer)
}

/// The answer with the headers that the configuration asks for; `date` is the time now, as HTTP writes it.
pub(super) fn decorated(mut answer: Answer, config: &RestConfig, request: &HeaderMap, date: &str) -> Answer {
    if let Some(origin) = allowed_origin(config, request) {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    for rule in &config.headers {
        let text = match rule.action {
            HeaderAction::SetDate | HeaderAction::AddDate => date,
            _ => rule.value.as_str(),
        };
        let name = HeaderName::try_from(rule.name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(text)) {
            match rule.action {
                HeaderAction::Set | HeaderAction::SetDate => drop(answer.headers_mut().insert(name, value)),
                HeaderAction::Add | HeaderAction::AddDate => drop(answer.headers_mut().append(name, value)),
            }
        }
    }
    answer
}
