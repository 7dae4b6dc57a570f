//! Calls of a worker's REST API.
use std::time::Duration;

use serde_json::Value;
use ureq::Body;
use ureq::http::{Request, Response};

/// A worker's answer, whatever its status.
pub fn answer(url: &str, method: &str, path: &str, body: Option<&Value>) -> Response<Body> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    let agent = ureq::Agent::new_with_config(agent);
    let request = Request::builder()
        .method(method)
        .uri(format!("{url}{path}"))
        .header("content-type", "application/json");
    let body = body.map_or(String::new(), Value::to_string);
    agent.run(request.body(body).unwrap()).unwrap()
}

/// Its status and its text.
pub fn ask_text(url: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    let mut answer = answer(url, method, path, body);
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

/// Its status and its JSON, if it is any.
pub fn ask(url: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, text) = ask_text(url, method, path, body);
    (status, serde_json::from_str(&text).unwrap_or_default())
}
