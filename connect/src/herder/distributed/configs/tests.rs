use super::*;

/// Records as Java's workers of Kafka Connect 4.2 wrote them.
const JAVA: &[(i64, &str, &str)] = &[
    (
        0,
        "session-key",
        r#"{"key":"c2VjcmV0","algorithm":"HmacSHA256","creation-timestamp":1795300846117}"#,
    ),
    (
        2,
        "connector-src",
        r#"{"properties":{"connector.class":"FileStreamSource","tasks.max":"1","file":"${file:/s:path}","name":"src"}}"#,
    ),
    (
        4,
        "task-src-0",
        r#"{"properties":{"file":"${file:/s:path}","task.class":"FileStreamSourceTask","name":"src"}}"#,
    ),
    (6, "commit-src", r#"{"tasks":1}"#),
    (8, "tasks-fencing-src", r#"{"task-count":1}"#),
    (
        10,
        "target-state-snk",
        r#"{"state":"PAUSED","state.v2":"PAUSED"}"#,
    ),
    (
        11,
        "connector-snk",
        r#"{"properties":{"connector.class":"FileStreamSink","tasks.max":"2","topics":"lines","name":"snk"}}"#,
    ),
    (
        14,
        "task-snk-0",
        r#"{"properties":{"topics":"lines","name":"snk"}}"#,
    ),
    (
        15,
        "task-snk-1",
        r#"{"properties":{"topics":"lines","name":"snk"}}"#,
    ),
    (17, "commit-snk", r#"{"tasks":2}"#),
    (
        23,
        "target-state-snk",
        r#"{"state":"PAUSED","state.v2":"STOPPED"}"#,
    ),
];

fn java() -> Configs {
    let mut configs = Configs::default();
    for (offset, key, value) in JAVA {
        configs.apply(*offset, key, Some(value.as_bytes()));
    }
    configs
}

fn apply(configs: &mut Configs, records: impl IntoIterator<Item = ConfigRecord>) {
    for record in records {
        let value = record.value.map(|value| value.to_string());
        configs.apply(
            configs.read_to,
            &record.key,
            value.as_ref().map(|value| value.as_bytes()),
        );
    }
}

fn map(value: &str) -> ConfigMap {
    ConfigMap::from([("work".to_owned(), value.to_owned())])
}

#[test]
fn what_java_wrote_is_understood() {
    let mut configs = java();
    let (src, snk) = (
        configs.connector("src").unwrap(),
        configs.connector("snk").unwrap(),
    );
    assert_eq!(src.config.as_ref().unwrap().1["file"], "${file:/s:path}");
    assert_eq!(
        (src.target(), snk.target()),
        (TargetState::Started, TargetState::Stopped)
    );
    assert_eq!((src.division.tasks.len(), snk.division.tasks.len()), (1, 2));
    assert!(!src.unfenced && snk.unfenced && !snk.incomplete);
    assert_eq!(configs.wanted().len(), 5);
    assert_eq!(configs.read_to, 24);
    apply(&mut configs, deleted("snk"));
    assert!(configs.connector("snk").is_none());
    assert_eq!(configs.wanted().len(), 2);
}

#[test]
fn what_is_written_is_what_java_writes() {
    let shown = |record: ConfigRecord| format!("{} {}", record.key, record.value.unwrap_or_default());
    let config = ConfigMap::from([("name".to_owned(), "c".to_owned())]);
    assert_eq!(
        shown(connector("c", &config)),
        r#"connector-c {"properties":{"name":"c"}}"#
    );
    assert_eq!(
        tasks("c", std::slice::from_ref(&config))
            .into_iter()
            .map(shown)
            .collect::<Vec<_>>(),
        [
            r#"task-c-0 {"properties":{"name":"c"}}"#,
            r#"commit-c {"tasks":1}"#
        ]
    );
    assert_eq!(
        shown(target("c", TargetState::Stopped)),
        r#"target-state-c {"state":"PAUSED","state.v2":"STOPPED"}"#
    );
    assert_eq!(shown(fenced("c", 3)), r#"tasks-fencing-c {"task-count":3}"#);
    let request = RestartRequest {
        include_tasks: true,
        only_failed: false,
    };
    assert_eq!(
        shown(restart("c", request)),
        r#"restart-connector-c {"include-tasks":true,"only-failed":false}"#
    );
    assert_eq!(deleted("c").map(|record| record.value), [None, None]);
}

#[test]
fn tasks_that_were_not_committed_do_not_count_and_gaps_are_seen() {
    let mut configs = Configs::default();
    apply(&mut configs, [connector("a-1", &map("x"))]);
    let mut all = tasks("a-1", &[map("0"), map("1")]);
    let commit = all.pop().unwrap();
    apply(&mut configs, all);
    assert_eq!(configs.wanted().len(), 1);
    apply(&mut configs, [commit.clone()]);
    assert_eq!(configs.wanted().len(), 3);
    // Compaction took the task's record before the last commit.
    apply(&mut configs, [commit]);
    let its = configs.connector("a-1").unwrap();
    assert!(its.incomplete && its.division.tasks.is_empty());
}

#[test]
fn only_tasks_that_changed_are_fenced() {
    let mut configs = Configs::default();
    apply(&mut configs, [connector("c", &map("x"))]);
    apply(&mut configs, tasks("c", &[map("0"), map("1"), map("2")]));
    let to_fence = |configs: &Configs| configs.connector("c").unwrap().to_fence();
    assert!(to_fence(&configs).is_empty());
    apply(&mut configs, [fenced("c", 3)]);
    apply(&mut configs, tasks("c", &[map("0"), map("one")]));
    assert_eq!(to_fence(&configs), [1, 2]);
    // A second division before the first was fenced.
    apply(&mut configs, tasks("c", &[map("zero"), map("one")]));
    assert_eq!(to_fence(&configs), [0, 1, 2]);
    apply(&mut configs, [fenced("c", 2), connector("c", &map("y"))]);
    apply(&mut configs, tasks("c", &[map("zero"), map("one")]));
    assert_eq!(to_fence(&configs), [0, 1]);
    // Its tasks may live on when it is deleted and made anew.
    apply(&mut configs, [fenced("c", 2)]);
    apply(&mut configs, deleted("c"));
    apply(&mut configs, [connector("c", &map("z"))]);
    apply(&mut configs, tasks("c", &[map("zero")]));
    assert_eq!(to_fence(&configs), [0, 1]);
}

#[test]
fn nonsense_changes_nothing() {
    let mut configs = java();
    let before = configs.wanted();
    for (key, value) in [
        ("commit-src", "{"),
        ("commit-src", "{}"),
        ("task-src", "{}"),
        ("task-src-x", r#"{"properties":{}}"#),
        ("target-state-src", r#"{"state":"DANCING"}"#),
        ("millstream-assignment", "[]"),
        ("unheard-of", "{}"),
        ("logger-cluster-x", "{}"),
    ] {
        configs.apply(100, key, Some(value.as_bytes()));
    }
    assert_eq!(configs.wanted(), before);
    assert_eq!(configs.assignment, Assignment::default());
}
