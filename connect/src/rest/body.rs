//! Reading requests: what they may hold, and what their bodies say.
use std::collections::HashMap;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answers::{Answer, failure, plain_failure};
use crate::herder::{GivenConfig, GivenOffset};
use crate::plugin::TaskSignal;
use crate::worker::TargetState;

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;
/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether the client takes JSON (or, for metrics, text).
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let given = headers.get_all(header::ACCEPT).iter();
    let mut given = given.filter(|value| !value.is_empty()).peekable();
    if given.peek().is_none() {
        return true;
    }
    let (group, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let all = given.filter_map(|value| value.to_str().ok());
    let mut ranges = all.flat_map(|value| value.split(',')).map(|range| {
        let range = range.split(';').next().unwrap_or_default();
        range.trim().to_ascii_lowercase()
    });
    ranges.any(|range| range == "*/*" || range == media_type || range == format!("{group}/*"))
}

/// A body of JSON: its value, null without one.
pub(super) async fn json_body(headers: &HeaderMap, body: Body) -> Result<Value, Box<Answer>> {
    let bytes = read(body).await?;
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|value| value.to_str().ok());
    let media = given.map(|text| {
        let media = text.split(';').next().unwrap_or_default();
        media.trim().to_ascii_lowercase()
    });
    match media.as_deref() {
        Some("application/json" | "application/*" | "*/*") => {}
        None if bytes.is_empty() => {}
        _ => return Err(Box::new(plain_failure(StatusCode::UNSUPPORTED_MEDIA_TYPE))),
    }
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let mut value = serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        malformed(&format!(
            "the body is no JSON at line {line}, column {column}; send valid JSON"
        ))
    })?;
    as_written(&mut value, text);
    Ok(value)
}

/// Configurations are texts: their numbers stay as they are written (`1.50`, `1e3`, more digits than a number has here).
fn as_written(value: &mut Value, text: &[u8]) {
    let Value::Object(object) = value else { return };
    let inner = object.get("config").is_some_and(Value::is_object);
    if !inner && !object.values().any(Value::is_number) {
        return;
    }
    let written = serde_json::from_slice::<HashMap<String, &RawValue>>(text).unwrap_or_default();
    for (key, value) in object {
        let Some(raw) = written.get(key.as_str()) else {
            continue;
        };
        match value {
            Value::Number(_) => *value = Value::String(raw.get().to_owned()),
            Value::Object(_) if key == "config" => as_written(value, raw.get().as_bytes()),
            _ => {}
        }
    }
}

async fn read(body: Body) -> Result<Bytes, Box<Answer>> {
    let read = to_bytes(body, BODY_BYTES_MAX).await;
    read.map_err(|_| {
        let message = format!("the body is longer than {BODY_BYTES_MAX} bytes, or was not sent to its end");
        Box::new(failure(StatusCode::PAYLOAD_TOO_LARGE, &message))
    })
}

/// What cannot be read; Kafka Connect answers so, too.
fn malformed(message: &str) -> Box<Answer> {
    Box::new(failure(StatusCode::INTERNAL_SERVER_ERROR, message))
}

fn bad_request(message: &str) -> Box<Answer> {
    Box::new(failure(StatusCode::BAD_REQUEST, message))
}

/// A map of texts; numbers and booleans are written out. No error shows a value.
pub(super) fn config(value: Value) -> Result<GivenConfig, Box<Answer>> {
    let object = match value {
        Value::Object(object) => object,
        Value::Null => {
            return Err(bad_request(
                "there is no configuration; send a JSON object of texts",
            ));
        }
        _ => return Err(malformed("the configuration is no JSON object of texts")),
    };
    let pairs = object.into_iter().map(|(key, value)| match value {
        Value::Null => Ok((key, None)),
        Value::String(text) => Ok((key, Some(text))),
        Value::Number(number) => Ok((key, Some(number.to_string()))),
        Value::Bool(flag) => Ok((key, Some(flag.to_string()))),
        _ => Err(malformed(&format!("the value of {key} is no text"))),
    });
    pairs.collect()
}

/// The body of `POST /connectors`.
#[derive(Debug)]
pub(super) struct CreateRequest {
    pub name: String,
    pub config: GivenConfig,
    pub initial: TargetState,
}

/// Reads the body of `POST /connectors`.
pub(super) fn create_request(value: Value) -> Result<CreateRequest, Box<Answer>> {
    let mut object = object(value, "send {\"name\": …, \"config\": {…}}")?;
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => Ok(Some(text)),
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
        Some(_) => Err(malformed("name and initial_state have to be texts")),
    };
    let name = text(object.remove("name"))?;
    let initial = match text(object.remove("initial_state"))? {
        None => TargetState::Started,
        Some(state) => TargetState::parse(&state)
            .ok_or_else(|| malformed("initial_state is not known; it is RUNNING, PAUSED or STOPPED"))?,
    };
    let config = object.remove("config").unwrap_or(Value::Null);
    no_more(&object)?;
    let config = self::config(config)?;
    let own = config.get("name").cloned().flatten();
    let name = name.or(own).unwrap_or_default().trim().to_owned();
    Ok(CreateRequest {
        name,
        config,
        initial,
    })
}

fn object(value: Value, remedy: &str) -> Result<Map<String, Value>, Box<Answer>> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Err(bad_request(&format!("the body is empty; {remedy}"))),
        _ => Err(malformed(&format!("the body is no JSON object; {remedy}"))),
    }
}

fn no_more(object: &Map<String, Value>) -> Result<(), Box<Answer>> {
    match object.keys().next() {
        Some(key) => Err(malformed(&format!("the field {key} is unknown"))),
        None => Ok(()),
    }
}

/// Reads the body of `PATCH /connectors/NAME/offsets`.
pub(super) fn offsets(value: Value) -> Result<Vec<GivenOffset>, Box<Answer>> {
    let remedy = "send {\"offsets\": [{\"partition\": {…}, \"offset\": {…}}]}";
    let mut body = object(value, remedy)?;
    let offsets = body.remove("offsets").unwrap_or(Value::Null);
    no_more(&body)?;
    let offsets = match offsets {
        Value::Null => Vec::new(),
        Value::Array(offsets) => offsets,
        _ => return Err(malformed(&format!("offsets are no list; {remedy}"))),
    };
    let offsets = offsets.into_iter().map(|offset| {
        let Value::Object(mut offset) = offset else {
            return Err(malformed(&format!("an offset is no object; {remedy}")));
        };
        let mut part = |name: &str| match offset.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(part)) => Ok(Some(part)),
            Some(_) => Err(malformed(&format!("{name} is no object; {remedy}"))),
        };
        let given = GivenOffset {
            partition: part("partition")?,
            offset: part("offset")?,
        };
        no_more(&offset)?;
        Ok(given)
    });
    offsets.collect()
}

/// Reads the body of `POST /connectors/NAME/signals`. A signal without an id is called by the time.
pub(super) fn signal(value: Value) -> Result<TaskSignal, Box<Answer>> {
    let remedy = "send {\"id\": …, \"type\": …, \"data\": {…}}";
    let mut object = object(value, remedy)?;
    let mut text = |name: &str| match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(bad_request(&format!("{name} is no text; {remedy}"))),
    };
    let (id, kind) = (text("id")?, text("type")?);
    let kind = kind.filter(|kind| !kind.trim().is_empty());
    let signal = TaskSignal {
        id: id.unwrap_or_else(|| jiff::Timestamp::now().to_string()),
        kind: kind.ok_or_else(|| bad_request(&format!("the type is missing; {remedy}")))?,
        data: object.remove("data").unwrap_or(Value::Null),
    };
    no_more(&object)?;
    Ok(signal)
}

/// The values of `name` in a query, decoded.
pub(super) fn query(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| {
            let value = value.replace('+', " ");
            percent_encoding::percent_decode_str(&value)
                .decode_utf8_lossy()
                .into_owned()
        })
    });
    pairs.collect()
}

/// A flag in a query: Java's `Boolean.valueOf`.
pub(super) fn flag(query_text: Option<&str>, name: &str, default: bool) -> bool {
    let first = query(query_text, name).into_iter().next();
    first.map_or(default, |value| value.eq_ignore_ascii_case("true"))
}
