//! Calls to a worker's REST API.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::error::{CliError, output};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A worker's API.
pub struct Api {
    agent: ureq::Agent,
    base: String,
}

impl Api {
    /// The one at `url`.
    pub fn new(url: &str, timeout_ms: u64) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_millis(timeout_ms)))
            .build();
        let base = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        Self {
            agent: config.new_agent(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// GET; the answer.
    pub fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call("GET", path, None)
    }

    /// A call with or without a body; the answer, null if there is none.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let (answer, _) = self.call_warned(method, path, body)?;
        Ok(answer)
    }

    /// The same with what the worker warns about.
    pub fn call_warned(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(Value, Vec<String>), CliError> {
        let url = format!("{}{path}", self.base);
        let failed = |error: ureq::Error| {
            CliError::new(format!(
                "no worker of Connect answered at {} ({error}); start one with `millstream connect standalone`, or name another with --url",
                self.base
            ))
        };
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = ureq::http::Request::builder().method(method).uri(&url);
        let request = match body {
            Some(_) => request.header("content-type", "application/json"),
            None => request,
        };
        let request = request
            .header("accept", "application/json")
            .body(text)
            .map_err(|error| CliError::new(format!("--url {}: {error}; give http://HOST:PORT", self.base)))?;
        let mut answer = self.agent.run(request).map_err(failed)?;
        let status = answer.status();
        let read = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string();
        let text = read.map_err(failed)?;
        if status.is_success() {
            let warnings = warnings(answer.headers());
            let parsed = match text.is_empty() {
                true => Ok(Value::Null),
                false => serde_json::from_str(&text).map_err(|_| {
                    let base = &self.base;
                    CliError::new(format!(
                        "what {base} answers is no JSON; does --url name a worker of Connect?"
                    ))
                }),
            };
            return parsed.map(|answer| (answer, warnings));
        }
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let message = parsed.as_ref().and_then(|answer| answer["message"].as_str());
        let shown = message.map_or_else(
            || format!("{method} {path}: the worker answers {status}"),
            str::to_owned,
        );
        Err(CliError::new(shown))
    }
}

/// The texts of `Warning` headers (RFC 7234): `199 - "TEXT"`.
fn warnings(headers: &ureq::http::HeaderMap) -> Vec<String> {
    let all = headers.get_all(ureq::http::header::WARNING).iter();
    let texts = all.filter_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let (_, quoted) = value.split_once('"')?;
        let (text, _) = quoted.split_once('"')?;
        Some(text.to_owned())
    });
    texts.collect()
}

/// The path of a connector, and what stands behind it.
pub fn connector(name: &str, rest: &str) -> String {
    let mut path = "/connectors/".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path.push_str(rest);
    path
}

/// Prints an answer as it is.
pub fn print(answer: &Value) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    writeln!(out, "{text}").map_err(output)
}

/// Prints a line.
pub fn say(line: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout().lock(), "{line}").map_err(output)
}

/// A field that is a text, or `-`.
pub fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Null | Value::String(_) => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_paths() {
        assert_eq!(
            connector("a b/c%é", "/status"),
            "/connectors/a%20b%2Fc%25%C3%A9/status"
        );
        assert_eq!(connector("lines-1.x_~", ""), "/connectors/lines-1.x_~");
    }

    #[test]
    fn warnings_are_read_from_their_headers() {
        let mut headers = ureq::http::HeaderMap::new();
        for value in [
            "199 - \"fil is unknown\"",
            "no quotes",
            "199 - \"größe is unknown\"",
        ] {
            let value = ureq::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append("warning", value);
        }
        assert_eq!(warnings(&headers), ["fil is unknown", "größe is unknown"]);
    }

    #[test]
    fn a_worker_that_is_not_there_is_named_with_a_remedy() {
        let api = Api::new("127.0.0.1:1", 1000);
        let error = api.get("/").unwrap_err().to_string();
        assert!(
            error.contains("http://127.0.0.1:1") && error.contains("--url"),
            "{error}"
        );
    }
}
