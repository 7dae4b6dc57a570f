//! What is logged: whose it is, and what it must not hold.
use std::fmt::{Debug, Write};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};

use millstream_connect::plugin::PluginError;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::harness::{Cluster, wait};
use crate::standalone::Standalone;

/// All that this process logs, a line an event: the spans around it with their values, then its own.
struct Log {
    spans: Mutex<Vec<String>>,
    lines: Mutex<Vec<String>>,
}

thread_local! {
    /// The spans that this thread is in.
    static WITHIN: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

static LOG: OnceLock<&'static Log> = OnceLock::new();

/// The log, which is kept from the first call on.
fn log() -> &'static Log {
    LOG.get_or_init(|| {
        let log: &'static Log = Box::leak(Box::new(Log {
            spans: Mutex::default(),
            lines: Mutex::default(),
        }));
        tracing::subscriber::set_global_default(Shared(log)).unwrap();
        log
    })
}

impl Log {
    fn find(&self, parts: &[&str]) -> Option<String> {
        let lines = self.lines.lock().unwrap();
        let found = lines
            .iter()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        found.cloned()
    }
}

struct Shared(&'static Log);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Shared {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("millstream_connect") && *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(span.metadata().name().to_owned());
        span.record(&mut text);
        let mut spans = self.0.spans.lock().unwrap();
        spans.push(text.0);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        let spans = self.0.spans.lock().unwrap();
        WITHIN.with_borrow(|within| {
            for span in within {
                write!(text.0, " [{}]", spans[*span as usize - 1]).unwrap();
            }
        });
        drop(spans);
        event.record(&mut text);
        self.0.lines.lock().unwrap().push(text.0);
    }

    fn enter(&self, span: &Id) {
        WITHIN.with_borrow_mut(|within| within.push(span.into_u64()));
    }

    fn exit(&self, _span: &Id) {
        WITHIN.with_borrow_mut(|within| {
            within.pop();
        });
    }
}

/// Whatever a task's connector, converter or sink says of a secret, on the way through logs, dead letters and states.
#[test]
fn what_plugins_say_of_secrets_is_hidden_on_every_way() {
    let log = log();
    let cluster = Cluster::new("secret-ways");
    let secret = "correct horse";
    let file = cluster.directory.path().join("secrets.properties");
    std::fs::write(&file, format!("password={secret}\n")).unwrap();
    let providers = [
        ("config.providers", "file"),
        ("config.providers.file.class", "FileConfigProvider"),
    ];
    let worker = Standalone::start(&cluster, &providers);
    let reference = format!("${{file:{}:password}}", file.display());
    let (topic, dead) = (cluster.name("lines"), cluster.name("dead"));
    cluster.create_topic(&dead, 1);
    cluster.produce(&topic, &["a", secret, "c"]);
    *worker.memory.refused.lock().unwrap() = vec![secret.to_owned()];
    let settings = [
        ("connector.class", "MemorySink"),
        ("topics", &*topic),
        ("password", &*reference),
        ("errors.tolerance", "all"),
        ("errors.log.enable", "true"),
        ("errors.deadletterqueue.topic.name", &*dead),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    worker.create(&cluster.name("sink"), &settings);
    worker.memory.await_values(&["a", "c"]);
    wait(|| log.find(&["record failed", "[hidden] is refused"]));
    let letter = wait(|| Some(cluster.records(&dead)).filter(|found| found.len() == 1));
    let said = &letter[0].1["__connect.errors.exception.message"];
    assert_eq!(said, "[hidden] is refused");
    assert!(
        !letter[0].1.values().any(|header| header.contains(secret)),
        "{letter:?}"
    );
    assert_eq!(log.find(&[secret]), None);
}

#[test]
fn what_a_task_and_its_connector_log_says_whose_it_is() {
    let log = log();
    let cluster = Cluster::new("log-context");
    let topic = cluster.name("numbers");
    let worker = Standalone::start(&cluster, &[]);
    worker.numbers.end.store(3, Ordering::SeqCst);
    *worker.numbers.failures.lock().unwrap() = vec![PluginError::retriable("the log's own failure")];
    let name = cluster.name("source");
    worker.create(&name, &[("connector.class", "Numbers"), ("topic", &topic)]);
    let line = wait(|| log.find(&["the source is polled again", "the log's own failure"]));
    assert!(
        line.starts_with(&format!("WARN [task connector={name:?} task=0]")),
        "{line}"
    );
}

/// References to secrets are shown as they were written, and what they stand for nowhere, whatever fails.
#[test]
fn what_a_config_provider_gives_is_shown_nowhere() {
    let log = log();
    let cluster = Cluster::new("secrets");
    let secret = "hunter2-and-more";
    let file = cluster.directory.path().join("secrets.properties");
    std::fs::write(&file, format!("password={secret}\n")).unwrap();
    let reference = format!("${{file:{}:password}}", file.display());
    let providers = [
        ("config.providers", "file"),
        (
            "config.providers.file.class",
            "org.apache.kafka.common.config.provider.FileConfigProvider",
        ),
    ];
    let worker = Standalone::start(&cluster, &providers);
    let topic = cluster.name("numbers");
    worker.numbers.end.store(3, Ordering::SeqCst);
    let settings = [
        ("connector.class", "Numbers"),
        ("topic", &*topic),
        ("password", &*reference),
        ("restart.policy", "never"),
    ];
    *worker.numbers.failures.lock().unwrap() =
        vec![PluginError::disconnected(format!("cannot log in with {secret}"))];
    let name = cluster.name("source");
    worker.create(&name, &settings);
    let task = worker.wait_for(&name, "FAILED");
    assert_eq!(task["trace"], "cannot log in with [hidden]");
    // A value that the client library does not take, and says so with it.
    let overridden = [&settings[..], &[("producer.override.acks", &*reference)]].concat();
    let other = cluster.name("other");
    worker.try_create(&other, &overridden);
    wait(|| (worker.ask("GET", &format!("/connectors/{other}/status"), None).0 != 409).then_some(()));
    let wrong = [("tasks.max", &*reference), ("connector.class", "Numbers")];
    let (status, refused) = worker.try_create("wrong", &wrong);
    assert_eq!(status, 400, "{refused}");
    let mut shown = vec![refused.to_string()];
    for path in [
        "/connectors?expand=info&expand=status".to_owned(),
        format!("/connectors/{name}/config"),
        format!("/connectors/{name}/tasks"),
        format!("/connectors/{name}/status"),
        format!("/connectors/{other}/status"),
        "/metrics".to_owned(),
        "/health".to_owned(),
    ] {
        shown.push(worker.ask_text("GET", &path, None).1);
    }
    let config = json!({"name": "x", "connector.class": "Numbers", "tasks.max": reference});
    let path = "/connector-plugins/Numbers/config/validate";
    shown.push(worker.ask_text("PUT", path, Some(&config)).1);
    for text in shown {
        assert!(!text.contains(secret), "{text}");
    }
    // The connector hands the password on under another key, too.
    let (_, tasks) = worker.ask("GET", &format!("/connectors/{name}/tasks"), None);
    assert_eq!(tasks[0]["config"]["password"], *reference);
    assert_eq!(tasks[0]["config"]["url"], format!("db://me:{reference}@host"));
    assert_eq!(log.find(&[secret]), None);
    assert!(log.find(&["cannot log in with [hidden]"]).is_some());
}
