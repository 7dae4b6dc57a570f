//! A worker of a group, with its REST API.
use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_connect::config::ConfigDef;
use millstream_connect::config::providers::ConfigProviders;
use millstream_connect::config::worker::WorkerMode;
use millstream_connect::herder::{
    DistributedHerder, DistributedParts, Herder, LogLevel, Loggers, TaskEvents, Validator,
};
use millstream_connect::plugin::{PluginError, Registry};
use millstream_connect::rest::{Listeners, RestServer};
use millstream_connect::worker::{Worker, WorkerConfig};
use serde_json::Value;

use crate::harness::{Cluster, map, wait};
use crate::plugins::{NumbersScript, Scripts};
use crate::rest;

pub struct Member<'a> {
    cluster: &'a Cluster,
    pub worker_id: String,
    pub herder: Arc<DistributedHerder>,
    worker: Arc<Worker>,
    server: RestServer,
}

impl<'a> Member<'a> {
    pub fn start(cluster: &'a Cluster, script: &Arc<NumbersScript>, settings: &[(&str, &str)]) -> Self {
        Self::try_start(cluster, script, settings).unwrap()
    }

    pub fn try_start(
        cluster: &'a Cluster,
        script: &Arc<NumbersScript>,
        settings: &[(&str, &str)],
    ) -> Result<Self, PluginError> {
        let mut given = cluster.worker_settings(&[
            ("group.id", &cluster.name("workers")),
            ("listeners", "http://127.0.0.1:0"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            ("task.shutdown.graceful.timeout.ms", "1000"),
        ]);
        for which in ["config", "offset", "status"] {
            given.insert(
                format!("{which}.storage.topic"),
                cluster.name(&format!("{which}s")),
            );
            given.insert(format!("{which}.storage.replication.factor"), "1".to_owned());
        }
        given.extend(map(settings));
        let config = Arc::new(WorkerConfig::parse(WorkerMode::Distributed, given.clone()).unwrap());
        let scripts = Scripts {
            numbers: Arc::clone(script),
            ..Scripts::default()
        };
        let registry = scripts.plugins(Registry::new());
        let events = Arc::<TaskEvents>::default();
        cluster.runtime.block_on(async {
            let listeners = Listeners::bind(&config.rest).await.unwrap();
            let worker = Worker::new(
                Arc::clone(&config),
                Arc::clone(&registry),
                Arc::clone(&events) as _,
            );
            let worker = Arc::new(worker.unwrap());
            let providers = Arc::new(ConfigProviders::of_worker(&given).unwrap());
            let stages = |_: &_, _: &_| ConfigDef::new();
            let worker_id = listeners.worker_id();
            let parts = DistributedParts {
                tasks: Arc::clone(&worker) as _,
                events,
                validator: Validator::new(registry, Arc::clone(&config), providers, stages),
                config,
                loggers: Loggers::new(LogLevel::Info, Box::new(|_: &BTreeMap<_, _>| {})),
                worker_id: worker_id.clone(),
            };
            let herder = Arc::new(DistributedHerder::start(parts).await?);
            let server = listeners.serve(Arc::clone(&herder) as Arc<dyn Herder>);
            Ok(Self {
                cluster,
                worker_id,
                herder,
                worker,
                server,
            })
        })
    }

    /// Calls its REST API.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        rest::ask(&self.url(), method, path, body)
    }

    fn url(&self) -> String {
        format!("http://{}", self.worker_id)
    }

    /// Where an answer says that something is.
    pub fn location(&self, method: &str, path: &str, body: &Value) -> String {
        let answer = rest::answer(&self.url(), method, path, Some(body));
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    pub fn wait_healthy(&self) {
        wait(|| (self.ask("GET", "/health", None).0 == 200).then_some(()));
    }

    /// Makes a source of numbers.
    pub fn create(&self, name: &str, settings: &[(&str, &str)]) {
        let mut config = map(&[("connector.class", "Numbers")]);
        config.extend(map(settings));
        let body = serde_json::json!({"name": name, "config": config});
        let (status, made) = self.ask("POST", "/connectors", Some(&body));
        assert_eq!(status, 201, "{made}");
    }

    /// Ends it as a user would.
    pub fn stop(self) {
        self.cluster.runtime.block_on(async {
            self.server.stop().await;
            self.herder.stop().await;
        });
    }

    /// Drops it without a word; what it runs ends with it.
    pub fn vanish(self) {
        self.cluster.runtime.block_on(self.server.stop());
        drop(self.herder);
        self.cluster.runtime.block_on(self.worker.stop());
    }

    /// Drops it without a word, and what it runs goes on.
    pub fn abandon(self) -> Arc<Worker> {
        self.cluster.runtime.block_on(self.server.stop());
        drop(self.herder);
        self.worker
    }
}
