//! The API over sockets: against the answers of Kafka Connect's own standalone worker, and what goes beyond.
mod differences;
mod golden;
mod kcctl;
mod rough;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Listeners, RestServer};
use crate::herder::double::{FakeTasks, herder, worker_config};
use crate::herder::{Herder, StandaloneHerder};

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a request, and reads the answer to its end.
pub(super) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Heard {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: base\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Heard {
        status,
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        text: text.to_owned(),
    }
}

/// A worker of doubles with its API.
pub(super) struct Served {
    pub address: SocketAddr,
    pub herder: Arc<StandaloneHerder>,
    pub tasks: Arc<FakeTasks>,
    server: RestServer,
}

pub(super) async fn served(more: &[(&str, &str)]) -> Served {
    let (herder, tasks, _) = herder(more);
    let herder = Arc::new(herder);
    let listeners = Listeners::bind(&worker_config(more).rest).await.unwrap();
    let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
    Served {
        address: server.addresses()[0],
        herder,
        tasks,
        server,
    }
}

impl Served {
    async fn get(&self, path: &str) -> Heard {
        ask(self.address, "GET", path, &[], None).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Heard {
        let headers = [("content-type", "application/json")];
        ask(self.address, method, path, &headers, Some(&body.to_string())).await
    }

    /// Waits until the connector and its tasks have these states.
    pub(super) async fn settle(&self, name: &str, connector: &str, tasks: &[&str]) {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let all = self.get("/connectors?expand=status").await.json();
            let status = &all[name]["status"];
            let empty = Vec::new();
            let its = status["tasks"].as_array().unwrap_or(&empty).iter();
            let its: Vec<_> = its
                .map(|task| task["state"].as_str().unwrap_or_default())
                .collect();
            if status["connector"]["state"] == connector && its == tasks {
                return;
            }
            assert!(
                Instant::now() < patience,
                "{name} is not {connector} {tasks:?} but {status}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn source(name: &str) -> Value {
    json!({"name": name, "config": {"connector.class": "FileStreamSource", "topic": "t"}})
}

#[tokio::test]
async fn names_with_slashes_percents_and_blanks_work_everywhere() {
    let served = served(&[]).await;
    for (name, path) in [
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("ä b", "%C3%A4%20b"),
        ("..", ".."),
    ] {
        let made = served.send("POST", "/connectors", source(name)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let place = made.header("location").unwrap().to_owned();
        assert!(place.starts_with("http://base/connectors/"), "{place}");
        for rest in [
            "",
            "/",
            "/status",
            "/config",
            "/tasks",
            "/topics",
            "/offsets",
            "/tasks/0/status",
        ] {
            let heard = served.get(&format!("/connectors/{path}{rest}")).await;
            assert_eq!(heard.status, 200, "{path}{rest}: {}", heard.text);
        }
        let found = served.get(place.strip_prefix("http://base").unwrap()).await;
        assert_eq!(found.json()["name"], name);
        let gone = ask(
            served.address,
            "DELETE",
            &format!("/connectors/{path}"),
            &[],
            None,
        )
        .await;
        assert_eq!(gone.status, 204);
        let again = served.send("POST", "/connectors", source(name)).await;
        assert_eq!(again.status, 201, "a name is free at once");
    }
    served.server.stop().await;
}

#[tokio::test]
async fn a_slow_validation_holds_up_nobody() {
    let served = Arc::new(served(&[]).await);
    let slow =
        json!({"connector.class": "FileStreamSource", "topic": "t", "name": "slow", "block.ms": "1500"});
    let begun = Instant::now();
    let other = Arc::clone(&served);
    let validating = tokio::spawn(async move {
        let path = "/connector-plugins/FileStreamSource/config/validate";
        other.send("PUT", path, slow).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        served.send("POST", "/connectors", source("quick")).await.status,
        201
    );
    assert_eq!(served.get("/connectors/quick/status").await.status, 200);
    assert!(begun.elapsed() < Duration::from_millis(1200));
    assert_eq!(validating.await.unwrap().json()["error_count"], 0);
}

#[tokio::test]
async fn a_panicking_plugin_answers_with_an_error() {
    let served = served(&[]).await;
    let body =
        json!({"name": "p", "config": {"connector.class": "FileStreamSource", "topic": "t", "panic": "1"}});
    let heard = served.send("POST", "/connectors", body).await;
    assert_eq!(heard.status, 500);
    assert!(heard.message().contains("panicked"), "{}", heard.text);
}

#[tokio::test]
async fn secrets_are_neither_in_answers_nor_in_errors() {
    let served = served(&[]).await;
    // The variable's value is the secret.
    let secret = std::env::var("CARGO_PKG_NAME").unwrap();
    let config = json!({
        "connector.class": "FileStreamSource", "topic": "t", "file": "${env:CARGO_PKG_NAME}", "batch.size": "${env:CARGO_PKG_NAME}",
        "name": "s", "missing": "${env:NO_SUCH_VARIABLE}",
    });
    let path = "/connector-plugins/FileStreamSource/config/validate";
    let heard = served.send("PUT", path, config.clone()).await;
    assert!(!heard.text.contains(&secret), "{}", heard.text);
    let errors = heard.json()["error_count"].clone();
    assert_eq!(errors, 2, "{}", heard.text);
    let refused = served
        .send("POST", "/connectors", json!({"name": "s", "config": config}))
        .await;
    assert_eq!(refused.status, 400);
    assert!(
        !refused.text.contains(&secret) && refused.text.contains("NO_SUCH_VARIABLE"),
        "{}",
        refused.text
    );

    let good = json!({"connector.class": "FileStreamSource", "topic": "t", "file": "${env:CARGO_PKG_NAME}"});
    let made = served
        .send("POST", "/connectors", json!({"name": "s", "config": good}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    for what in ["", "/config", "/tasks", "/status"] {
        let heard = served.get(&format!("/connectors/s{what}")).await;
        assert!(!heard.text.contains(&secret), "{}", heard.text);
    }
    let tasks = served.get("/connectors/s/tasks").await;
    assert!(tasks.text.contains("${env:CARGO_PKG_NAME}"));
    // What stands under a key that nobody wrote, and no reference could be put for, is hidden.
    assert!(tasks.text.contains(r#""handed.on":"[hidden]""#), "{}", tasks.text);
}

#[tokio::test]
async fn slips_are_told_in_headers_and_strict_clients_are_spared() {
    let served = served(&[]).await;
    let config =
        json!({"connector.class": "FileStreamSource", "topic": "t", "name": "x", "batch.sizee": "1"});
    let path = "/connector-plugins/FileStreamSource/config/validate";
    let heard = served.send("PUT", path, config).await;
    let warning = heard.header("warning").unwrap();
    assert!(warning.contains("did you mean batch.size?"), "{warning}");
    let keys: Vec<String> = heard.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["configs", "error_count", "groups", "name"]);
}

#[tokio::test]
async fn bodies_have_a_limit_and_broken_ones_show_nothing() {
    let served = served(&[]).await;
    let long = "x".repeat((16 << 20) + 1);
    let headers = [("content-type", "application/json")];
    let heard = ask(served.address, "POST", "/connectors", &headers, Some(&long)).await;
    assert_eq!(heard.status, 413);
    let broken = r#"{"name": "a", "config": {"password": "geheim",,}}"#;
    let heard = ask(served.address, "POST", "/connectors", &headers, Some(broken)).await;
    assert_eq!(heard.status, 500);
    assert!(
        !heard.text.contains("geheim") && heard.message().contains("column"),
        "{}",
        heard.text
    );
}

#[tokio::test]
async fn signals_go_to_each_task() {
    let served = served(&[]).await;
    let two = json!({"name": "two", "config": {"connector.class": "FileStreamSource", "topic": "t", "tasks": "2", "tasks.max": "2"}});
    assert_eq!(served.send("POST", "/connectors", two).await.status, 201);
    served.settle("two", "RUNNING", &["RUNNING", "RUNNING"]).await;
    served.tasks.calls();
    let signal = json!({"id": "a", "type": "execute-snapshot", "data": {"data-collections": ["x.y"]}});
    let taken = served.send("POST", "/connectors/two/signals", signal).await;
    assert_eq!(
        (taken.status, taken.json()),
        (202, json!({"id": "a"})),
        "{}",
        taken.text
    );
    let calls = served.tasks.calls();
    let each = |task| format!("signal two-{task} a execute-snapshot {{\"data-collections\":[\"x.y\"]}}");
    assert_eq!(calls, [each(0), each(1)]);
    // One task alone; an id is made up.
    let signal = json!({"type": "log"});
    let taken = served
        .send("POST", "/connectors/two/tasks/1/signals", signal.clone())
        .await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert!(served.tasks.calls()[0].starts_with("signal two-1 20"));
    for (path, body, status) in [
        ("/connectors/two/signals", json!({"type": "nonsense"}), 400),
        ("/connectors/two/signals", json!({"type": "early"}), 409),
        ("/connectors/two/signals", json!({"id": "a"}), 400),
        ("/connectors/two/signals", json!({"type": "log", "more": 1}), 500),
        ("/connectors/none/signals", signal.clone(), 404),
        ("/connectors/two/tasks/7/signals", signal.clone(), 404),
    ] {
        let heard = served.send("POST", path, body.clone()).await;
        assert_eq!(heard.status, status, "{path} {body}: {}", heard.text);
        assert!(!heard.message().is_empty());
    }
    let heard = served.get("/connectors/two/signals").await;
    assert_eq!((heard.status, heard.header("allow")), (405, Some("POST,OPTIONS")));
    served.server.stop().await;
}

#[tokio::test]
async fn other_origins_headers_and_admin_listeners() {
    let served = served(&[
        ("access.control.allow.origin", "http://ui"),
        ("access.control.allow.methods", "GET,PUT"),
        ("response.http.headers.config", "set X-Frame-Options: DENY"),
        ("admin.listeners", "http://127.0.0.1:0"),
    ])
    .await;
    let heard = ask(
        served.address,
        "GET",
        "/connectors",
        &[("origin", "http://ui")],
        None,
    )
    .await;
    assert_eq!(heard.header("access-control-allow-origin"), Some("http://ui"));
    assert_eq!(heard.header("x-frame-options"), Some("DENY"));
    let other = ask(
        served.address,
        "GET",
        "/connectors",
        &[("origin", "http://evil")],
        None,
    )
    .await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let asks = [("origin", "http://ui"), ("access-control-request-method", "PUT")];
    let heard = ask(served.address, "OPTIONS", "/connectors/a/config", &asks, None).await;
    assert_eq!(heard.header("access-control-allow-methods"), Some("GET,PUT"));
    assert_eq!(served.get("/admin/loggers").await.status, 404);
    let admin = served.server.addresses()[1];
    assert_eq!(ask(admin, "GET", "/admin/loggers", &[], None).await.status, 200);
    assert_eq!(ask(admin, "GET", "/connectors", &[], None).await.status, 404);
}

#[tokio::test]
async fn health_and_metrics() {
    let served = served(&[]).await;
    let starting = served.get("/health").await;
    assert_eq!(
        (starting.status, starting.json()["status"].clone()),
        (503, json!("starting"))
    );
    served.herder.ready();
    assert_eq!(served.get("/health").await.status, 200);
    served.send("POST", "/connectors", source("a")).await;
    served.settle("a", "RUNNING", &["RUNNING"]).await;
    let metrics = served.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    assert!(
        metrics
            .text
            .contains("millstream_connect_tasks{state=\"running\"} 1\n"),
        "{}",
        metrics.text
    );
}

#[tokio::test]
async fn offsets_may_go_with_their_connector() {
    let served = served(&[]).await;
    served.send("POST", "/connectors", source("a")).await;
    served.send("PUT", "/connectors/a/stop", Value::Null).await;
    let offsets = json!({"offsets": [{"partition": {"filename": "f"}, "offset": {"position": 3}}]});
    assert_eq!(
        served
            .send("PATCH", "/connectors/a/offsets", offsets)
            .await
            .status,
        200
    );
    let delete = |query: &'static str| ask(served.address, "DELETE", query, &[], None);
    assert_eq!(delete("/connectors/a").await.status, 204);
    served.send("POST", "/connectors", source("a")).await;
    assert_eq!(
        served.get("/connectors/a/offsets").await.json()["offsets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(delete("/connectors/a?deleteOffsets=true").await.status, 204);
    served.send("POST", "/connectors", source("a")).await;
    assert_eq!(
        served.get("/connectors/a/offsets").await.json()["offsets"],
        json!([])
    );
    assert!(served.tasks.calls().contains(&"stop a-0".to_owned()));
}
