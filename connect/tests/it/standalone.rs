//! A standalone worker with its REST API.
use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_connect::config::ConfigDef;
use millstream_connect::config::providers::ConfigProviders;
use millstream_connect::config::worker::WorkerMode;
use millstream_connect::herder::{
    Herder, LogLevel, Loggers, StandaloneHerder, StandaloneParts, StatusBoard, Validator,
};
use millstream_connect::plugin::Registry;
use millstream_connect::rest::{Listeners, RestServer};
use millstream_connect::worker::{Worker, WorkerConfig};
use serde_json::{Value, json};

use crate::harness::{Cluster, map, wait};
use crate::plugins::{Ledger, MemoryScript, NumbersScript, Scripts};
use crate::rest;

/// A worker with a source of numbers, a sink that remembers, and one that keeps its offsets. What starts again does so after 50 ms.
pub struct Standalone<'a> {
    cluster: &'a Cluster,
    url: String,
    herder: Arc<StandaloneHerder>,
    server: Option<RestServer>,
    pub numbers: Arc<NumbersScript>,
    pub memory: Arc<MemoryScript>,
    pub ledger: Arc<Ledger>,
}

impl<'a> Standalone<'a> {
    pub fn start(cluster: &'a Cluster, settings: &[(&str, &str)]) -> Self {
        let offsets = cluster.directory.path().join("standalone.offsets");
        let mut given = cluster.worker_settings(&[
            ("offset.storage.file.filename", offsets.to_str().unwrap()),
            ("listeners", "http://127.0.0.1:0"),
            ("task.shutdown.graceful.timeout.ms", "1000"),
        ]);
        given.extend(map(settings));
        let config = Arc::new(WorkerConfig::parse(WorkerMode::Standalone, given.clone()).unwrap());
        let scripts = Scripts::default();
        let registry = scripts.plugins(Registry::new());
        let (herder, server) = cluster.runtime.block_on(async {
            let listeners = Listeners::bind(&config.rest).await.unwrap();
            let board = Arc::new(StatusBoard::new(listeners.worker_id()));
            let worker = Worker::new(
                Arc::clone(&config),
                Arc::clone(&registry),
                Arc::clone(&board) as _,
            );
            let providers = Arc::new(ConfigProviders::of_worker(&given).unwrap());
            let stages = |_: &_, _: &_| ConfigDef::new();
            let herder = Arc::new(StandaloneHerder::start(StandaloneParts {
                tasks: Arc::new(worker.unwrap()),
                board,
                validator: Validator::new(registry, Arc::clone(&config), providers, stages),
                config,
                loggers: Loggers::new(LogLevel::Info, Box::new(|_: &BTreeMap<_, _>| {})),
            }));
            herder.ready();
            let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
            (herder, server)
        });
        Self {
            cluster,
            url: format!("http://{}", server.addresses()[0]),
            herder,
            server: Some(server),
            numbers: scripts.numbers,
            memory: scripts.memory,
            ledger: scripts.ledger,
        }
    }

    /// Calls its REST API.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        rest::ask(&self.url, method, path, body)
    }

    pub fn ask_text(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        rest::ask_text(&self.url, method, path, body)
    }

    /// Makes a connector; gives the answer.
    pub fn try_create(&self, name: &str, settings: &[(&str, &str)]) -> (u16, Value) {
        let mut config = map(&[("restart.backoff.ms", "50")]);
        config.extend(map(settings));
        let body = json!({"name": name, "config": config});
        self.ask("POST", "/connectors", Some(&body))
    }

    pub fn create(&self, name: &str, settings: &[(&str, &str)]) {
        let (status, made) = self.try_create(name, settings);
        assert_eq!(status, 201, "{made}");
    }

    /// The status of a connector's first task.
    pub fn task(&self, name: &str) -> Value {
        let (_, status) = self.ask("GET", &format!("/connectors/{name}/status"), None);
        status["tasks"][0].clone()
    }

    /// Waits until the first task is in a state; gives its status.
    pub fn wait_for(&self, name: &str, state: &str) -> Value {
        wait(|| {
            let task = self.task(name);
            (task["state"] == state).then_some(task)
        })
    }
}

impl Drop for Standalone<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.cluster.runtime.block_on(async {
                server.stop().await;
                self.herder.stop().await;
            });
        }
    }
}
