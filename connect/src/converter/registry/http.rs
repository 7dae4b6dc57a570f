//! Requests to registries.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::config::{Address, Place, RegistryConfig};
use super::request::{Answer, Request};
use crate::plugin::{ErrorKind, PluginError};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What paths of schemas begin with that are asked for by their ids.
const SCHEMAS_BY_ID: &str = "/schemas/ids/";

/// How long an answer may be.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What is escaped in the name of a subject.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The name of a subject as a part of a path.
fn escaped(subject: &str) -> String {
    utf8_percent_encode(subject, ESCAPED).to_string()
}

/// What is requested.
enum Method {
    Get,
    /// With a body.
    Post(String),
}

/// An error of a registry.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    message: String,
}

/// Sends requests, first to the registry that answered last.
pub(super) struct Http {
    agent: ureq::Agent,
    registries: Vec<Address>,
    normalize: bool,
    first: usize,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // As in Java, what the environment says of proxies is not for registries.
            .proxy(None)
            .tls_config(config.tls.clone())
            .timeout_connect(Some(config.connect_timeout))
            .timeout_recv_response(Some(config.read_timeout))
            .timeout_recv_body(Some(config.read_timeout))
            .build();
        Self {
            agent: agent.into(),
            registries: match &config.place {
                Place::Services(services) => services.clone(),
                Place::File(_) | Place::One(_) => Vec::new(),
            },
            normalize: config.normalize,
            first: 0,
        }
    }

    /// The answer of the first registry that gives one.
    ///
    /// # Errors
    /// Retriable, if none does; about the record or the configuration, if one refuses.
    pub(super) fn ask(&mut self, request: Request<'_>) -> Result<Answer, PluginError> {
        let (method, path) = self.spelled(request);
        let count = self.registries.len();
        let mut last = None;
        for offset in 0..count {
            let place = (self.first + offset) % count;
            match self.call(&self.registries[place], &method, &path) {
                Err(error) if error.kind() == ErrorKind::Retriable => last = Some(error),
                result => {
                    self.first = place;
                    return result;
                }
            }
        }
        Err(last.unwrap_or_else(|| PluginError::user_config("there is no schema registry")))
    }

    /// A request in the words of Confluent's API.
    fn spelled(&self, request: Request<'_>) -> (Method, String) {
        match request {
            Request::WithText {
                subject,
                kind,
                text,
                references,
                register,
            } => {
                let versions = if register { "/versions" } else { "" };
                let path = format!(
                    "/subjects/{}{versions}?normalize={}",
                    escaped(subject),
                    self.normalize
                );
                let mut body = match kind {
                    "AVRO" => json!({ "schema": &**text }),
                    kind => json!({ "schema": &**text, "schemaType": kind }),
                };
                if !references.is_empty() {
                    body["references"] = json!(references);
                }
                (Method::Post(body.to_string()), path)
            }
            Request::Latest(subject) => (
                Method::Get,
                format!("/subjects/{}/versions/latest", escaped(subject)),
            ),
            Request::Version(subject, version) => (
                Method::Get,
                format!("/subjects/{}/versions/{version}?deleted=true", escaped(subject)),
            ),
            Request::ById(id) => (Method::Get, format!("{SCHEMAS_BY_ID}{id}?fetchMaxId=false")),
        }
    }

    fn call(&self, registry: &Address, method: &Method, path: &str) -> Result<Answer, PluginError> {
        let url = format!("{}{path}", registry.url);
        let unreachable = |error: ureq::Error| {
            PluginError::retriable(format!("the schema registry at {} cannot be asked", registry.url))
                .caused_by(error)
        };
        let authorization = registry.authorization.as_ref().map(|secret| secret.reveal());
        let sent = match method {
            Method::Get => {
                let mut request = self.agent.get(&url).header("Accept", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()
            }
            Method::Post(body) => {
                let mut request = self.agent.post(&url).header("Accept", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.header("Content-Type", CONTENT_TYPE).send(body.as_str())
            }
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let body = body.read_to_string().map_err(unreachable)?;
        if !(200..300).contains(&status) {
            return Err(refused(&registry.url, path, status, &body));
        }
        serde_json::from_str(&body).map_err(|error| {
            PluginError::retriable(format!(
                "the schema registry at {url} answers with something else than its API says"
            ))
            .caused_by(error)
        })
    }
}

fn refused(url: &str, path: &str, status: u16, body: &str) -> PluginError {
    let kind = match status {
        401 | 403 => ErrorKind::UserConfig,
        408 | 429 | 500.. => ErrorKind::Retriable,
        _ => ErrorKind::BadRecord,
    };
    let path = path.split('?').next().unwrap_or_default();
    let (code, message) = match serde_json::from_str::<Refusal>(body) {
        Ok(refusal) => (refusal.error_code, refusal.message),
        Err(_) => (0, String::new()),
    };
    let hint = match status {
        401 | 403 => "; check the credentials (basic.auth.credentials.source)",
        404 if path.starts_with(SCHEMAS_BY_ID) => {
            "; what was written with it was written with another registry, or it was deleted there: check schema.registry.url"
        }
        404 => "; check the subject and auto.register.schemas",
        409 => "; the schema is not compatible with those before it",
        _ => "",
    };
    let mut message: String = message.chars().take(1_000).collect();
    if message.is_empty() {
        message = "no reason given".to_owned();
    }
    PluginError::new(
        kind,
        format!(
            "the schema registry at {url} refuses {path} with status {status}, code {code}: {message}{hint}"
        ),
    )
}
