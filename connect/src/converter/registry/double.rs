//! A registry for tests: it speaks the REST API over a socket.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

#[derive(Default)]
struct State {
    /// Texts, references and types by ids, from 1.
    schemas: Vec<(String, Json, String)>,
    /// Subject, version, id.
    versions: Vec<(String, usize, usize)>,
    requests: Vec<String>,
    status: Option<u16>,
    authorization: Option<String>,
}

/// The registry. It ends with the test's process.
pub(in crate::converter) struct Double {
    scheme: &'static str,
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Double {
    pub(in crate::converter) fn start() -> Self {
        Self::serving("http", serve)
    }

    /// One that speaks TLS as `config` says.
    pub(in crate::converter) fn start_with_tls(config: rustls::ServerConfig) -> Self {
        let config = Arc::new(config);
        Self::serving("https", move |stream, state| {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(rustls::StreamOwned::new(session, stream), state);
        })
    }

    fn serving(
        scheme: &'static str,
        serve: impl Fn(TcpStream, &Mutex<State>) + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, serve) = (Arc::clone(&shared), serve.clone());
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { scheme, port, state }
    }

    pub(in crate::converter) fn port(&self) -> u16 {
        self.port
    }

    pub(in crate::converter) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Requests so far: method and path.
    pub(in crate::converter) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Answers everything with `status` from now on.
    pub(in crate::converter) fn fail_with(&self, status: u16) {
        self.state.lock().unwrap().status = Some(status);
    }

    /// Refuses requests without these credentials.
    pub(in crate::converter) fn demand(&self, user_info: &str) {
        let value = format!("Basic {}", STANDARD.encode(user_info));
        self.state.lock().unwrap().authorization = Some(value);
    }

    pub(in crate::converter) fn register(&self, subject: &str, text: &str) -> i32 {
        self.register_with(subject, text, &[])
    }

    pub(in crate::converter) fn register_with(
        &self,
        subject: &str,
        text: &str,
        references: &[(&str, i32)],
    ) -> i32 {
        self.register_as("AVRO", subject, text, references)
    }

    pub(in crate::converter) fn register_as(
        &self,
        kind: &str,
        subject: &str,
        text: &str,
        references: &[(&str, i32)],
    ) -> i32 {
        let references = references
            .iter()
            .map(|(subject, version)| json!({"name": subject, "subject": subject, "version": version}));
        let mut state = self.state.lock().unwrap();
        state.register(subject, text, references.collect(), kind) as i32
    }

    /// The text of the schema with this id.
    pub(in crate::converter) fn text(&self, id: i32) -> String {
        self.state.lock().unwrap().schemas[id as usize - 1].0.clone()
    }
}

impl State {
    fn register(&mut self, subject: &str, text: &str, references: Json, kind: &str) -> usize {
        let known = self.schemas.iter().position(|(its, _, _)| its == text);
        let id = known.map_or_else(
            || {
                self.schemas.push((text.to_owned(), references, kind.to_owned()));
                self.schemas.len()
            },
            |place| place + 1,
        );
        if self.version_of(subject, id).is_none() {
            let version = self.versions.iter().filter(|(its, _, _)| its == subject).count() + 1;
            self.versions.push((subject.to_owned(), version, id));
        }
        id
    }

    fn version_of(&self, subject: &str, id: usize) -> Option<usize> {
        let found = self
            .versions
            .iter()
            .find(|(its, _, other)| its == subject && *other == id);
        found.map(|(_, version, _)| *version)
    }

    fn entry(&self, subject: &str, version: usize, id: usize) -> Json {
        let (text, references, kind) = &self.schemas[id - 1];
        json!({"subject": subject, "version": version, "id": id, "schema": text, "references": references, "schemaType": kind})
    }

    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let refuse = |code: u32, message: String| (404, json!({"error_code": code, "message": message}));
        let decode = |part: &str| percent_decode_str(part).decode_utf8().unwrap().into_owned();
        let path = path.split('?').next().unwrap();
        let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let part = |name: &str| {
            let body: Json = serde_json::from_str(body).unwrap();
            body[name].as_str().map(str::to_owned)
        };
        let text = || part("schema").unwrap();
        match (method, &parts[..]) {
            ("POST", ["subjects", subject, "versions"]) => {
                let kind = part("schemaType").unwrap_or_else(|| "AVRO".to_owned());
                let id = self.register(subject, &text(), json!([]), &kind);
                (200, json!({ "id": id }))
            }
            ("POST", ["subjects", subject]) => {
                if !self.versions.iter().any(|(its, _, _)| its == subject) {
                    return refuse(40_401, format!("Subject '{subject}' not found."));
                }
                let text = text();
                let id = self
                    .schemas
                    .iter()
                    .position(|(its, _, _)| *its == text)
                    .map(|place| place + 1);
                match id.and_then(|id| Some((id, self.version_of(subject, id)?))) {
                    Some((id, version)) => (200, self.entry(subject, version, id)),
                    None => refuse(40_403, "Schema not found".to_owned()),
                }
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let mut all = self.versions.iter().filter(|(its, _, _)| its == subject);
                let found = match *version {
                    "latest" => all.next_back(),
                    version => all.find(|(_, its, _)| its.to_string() == version),
                };
                match found {
                    Some((_, version, id)) => (200, self.entry(subject, *version, *id)),
                    None => refuse(40_402, "Version not found.".to_owned()),
                }
            }
            ("GET", ["schemas", "ids", id]) => match self.schemas.get(id.parse::<usize>().unwrap() - 1) {
                Some((text, references, kind)) => (
                    200,
                    json!({"schema": text, "references": references, "schemaType": kind}),
                ),
                None => refuse(40_403, format!("Schema {id} not found")),
            },
            _ => refuse(404, "HTTP 404 Not Found".to_owned()),
        }
    }
}

fn serve(stream: impl Read + Write, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut state = state.lock().unwrap();
        state.requests.push(format!("{method} {path}"));
        let (status, answer) = if let Some(status) = state.status {
            (status, json!({"error_code": 50_001, "message": "broken"}))
        } else if state.authorization.is_some() && state.authorization != authorization {
            (401, json!({"error_code": 401, "message": "Unauthorized"}))
        } else {
            state.answer(&method, &path, std::str::from_utf8(&body).unwrap())
        };
        drop(state);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        let writer = reader.get_mut();
        writer.write_all(format!("{head}{answer}").as_bytes()).unwrap();
        writer.flush().unwrap();
        line.clear();
    }
}
