//! The herder over a worker that only reports.
use std::time::{Duration, Instant};

use super::*;
use crate::herder::double::{FakeTasks, herder};
use crate::herder::{GivenConfig, Herder, RestartRequest};
use crate::plugin::{ErrorKind, TaskId};
use crate::worker::{State, StatusListener};

fn config(more: &[(&str, &str)]) -> GivenConfig {
    let base = [
        ("connector.class", "FileStreamSource"),
        ("topic", "t"),
        ("tasks.max", "4"),
    ];
    let all = base.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
        .collect()
}

async fn settled(herder: &StandaloneHerder, connector: State, tasks: &[State]) {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let status = herder.status("c").await.unwrap();
        let its: Vec<State> = status.tasks.iter().map(|(_, status)| status.state).collect();
        if status.connector.state == connector && its == tasks {
            return;
        }
        assert!(Instant::now() < patience, "{status:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn made(more: &[(&str, &str)]) -> (StandaloneHerder, Arc<FakeTasks>, Arc<StatusBoard>) {
    let (herder, tasks, board) = herder(&[]);
    herder
        .create("c", config(more), TargetState::Started)
        .await
        .unwrap();
    (herder, tasks, board)
}

#[tokio::test]
async fn only_tasks_whose_configuration_changed_start_again() {
    let (herder, tasks, board) = made(&[("tasks", "2")]).await;
    assert_eq!(
        tasks.calls(),
        ["start c", "start c-0 Started", "start c-1 Started"]
    );
    board.on_reconfiguration_request("c");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(tasks.calls(), [""; 0], "nothing changed");
    herder.put_config("c", config(&[("tasks", "1")])).await.unwrap();
    assert_eq!(
        tasks.calls(),
        ["stop c-0", "stop c-1", "stop c", "start c", "start c-0 Started"]
    );
    assert_eq!(herder.info("c").await.unwrap().tasks.len(), 1);
}

#[tokio::test]
async fn pausing_keeps_tasks_and_stopping_does_not() {
    let (herder, tasks, _) = made(&[("tasks", "2")]).await;
    tasks.calls();
    herder.set_target("c", TargetState::Paused).await.unwrap();
    settled(&herder, State::Paused, &[State::Paused, State::Paused]).await;
    herder.set_target("c", TargetState::Started).await.unwrap();
    settled(&herder, State::Running, &[State::Running, State::Running]).await;
    assert_eq!(tasks.calls(), ["target c Paused", "target c Started"]);
    herder.set_target("c", TargetState::Stopped).await.unwrap();
    settled(&herder, State::Stopped, &[]).await;
    assert_eq!(tasks.calls(), ["stop c-0", "stop c-1", "stop c"]);
    herder.restart_connector("c").await.unwrap();
    settled(&herder, State::Stopped, &[]).await;
    herder.set_target("c", TargetState::Started).await.unwrap();
    settled(&herder, State::Running, &[State::Running, State::Running]).await;
}

#[tokio::test]
async fn failed_tasks_are_started_again_until_they_run() {
    let quick = [("restart.backoff.ms", "5"), ("fail", "task"), ("fail.times", "3")];
    let (herder, tasks, _) = made(&quick).await;
    settled(&herder, State::Running, &[State::Running]).await;
    let starts = tasks
        .calls()
        .iter()
        .filter(|call| *call == "start c-0 Started")
        .count();
    assert_eq!(starts, 4);
    assert!(
        herder.metrics().contains("supervised_restarts_total 3\n"),
        "{}",
        herder.metrics()
    );
}

#[tokio::test]
async fn failed_connectors_are_started_again_with_their_tasks() {
    let quick = [
        ("restart.backoff.ms", "5"),
        ("fail", "connector"),
        ("fail.times", "2"),
    ];
    let (herder, _, _) = made(&quick).await;
    settled(&herder, State::Running, &[State::Running]).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_waits_for_another() {
    let wrong = [
        ("restart.backoff.ms", "1"),
        ("fail", "task"),
        ("fail.kind", "user"),
    ];
    let (herder, tasks, _) = made(&wrong).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    settled(&herder, State::Running, &[State::Failed]).await;
    assert_eq!(tasks.calls(), ["start c", "start c-0 Started"]);
    let status = herder
        .task_status(&TaskId {
            connector: "c".to_owned(),
            task: 0,
        })
        .await;
    assert!(status.unwrap().trace.unwrap().contains("as it was told"));
    herder.put_config("c", config(&[])).await.unwrap();
    settled(&herder, State::Running, &[State::Running]).await;
    let never = [("restart.policy", "never"), ("fail", "task")];
    herder.put_config("c", config(&never)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    settled(&herder, State::Running, &[State::Failed]).await;
}

#[tokio::test]
async fn a_pause_before_a_restart_ends_with_the_connector() {
    let (herder, tasks, _) = made(&[("restart.backoff.ms", "30"), ("fail", "task")]).await;
    settled(&herder, State::Running, &[State::Failed]).await;
    herder.delete("c", false).await.unwrap();
    tasks.calls();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(tasks.calls(), [""; 0]);
    assert!(herder.status("c").await.is_err());
}

#[tokio::test]
async fn restarts_touch_what_was_asked_for() {
    let (herder, tasks, board) = made(&[("tasks", "2"), ("restart.policy", "never")]).await;
    let id = |task| TaskId {
        connector: "c".to_owned(),
        task,
    };
    board.on_task(&id(1), State::Failed, Some("why"), Some(ErrorKind::Fatal));
    tasks.calls();
    let request = RestartRequest {
        include_tasks: true,
        only_failed: true,
    };
    let planned = herder.restart("c", request).await.unwrap();
    let states: Vec<State> = planned.tasks.iter().map(|(_, status)| status.state).collect();
    assert_eq!(
        (planned.connector.state, &states[..]),
        (State::Running, &[State::Running, State::Restarting][..])
    );
    settled(&herder, State::Running, &[State::Running, State::Running]).await;
    assert_eq!(tasks.calls(), ["stop c-1", "start c-1 Started"]);
    let all = RestartRequest {
        include_tasks: true,
        only_failed: false,
    };
    herder.restart("c", all).await.unwrap();
    settled(&herder, State::Running, &[State::Running, State::Running]).await;
    assert!(herder.restart_task(&id(7)).await.is_err());
}

#[tokio::test]
async fn too_many_tasks_fail_the_connector_unless_they_may_be() {
    let (herder, _, _) = made(&[("tasks", "5")]).await;
    settled(&herder, State::Failed, &[]).await;
    let trace = herder.status("c").await.unwrap().connector.trace.unwrap();
    assert!(trace.contains("tasks.max=4"), "{trace}");
    let more = config(&[("tasks", "5"), ("tasks.max.enforce", "false")]);
    herder.put_config("c", more).await.unwrap();
    settled(&herder, State::Running, &[State::Running; 5]).await;
}

#[tokio::test]
async fn the_same_name_at_the_same_time_is_made_once() {
    let (herder, _, _) = herder(&[]);
    let herder = Arc::new(herder);
    let makes = (0..8).map(|_| {
        let herder = Arc::clone(&herder);
        tokio::spawn(async move { herder.create("c", config(&[]), TargetState::Started).await })
    });
    let mut made = 0;
    for one in makes.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, HerderError::AlreadyExists("c".to_owned())),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn topics_are_kept_and_may_be_forbidden() {
    let (herder, _, board) = made(&[]).await;
    let id = TaskId {
        connector: "c".to_owned(),
        task: 0,
    };
    board.on_topic(&id, "b");
    board.on_topic(&id, "a");
    assert_eq!(herder.topics("c").await.unwrap(), ["a", "b"]);
    herder.reset_topics("c").await.unwrap();
    assert_eq!(herder.topics("c").await.unwrap(), [""; 0]);
    let (strict, _, _) = crate::herder::double::herder(&[("topic.tracking.allow.reset", "false")]);
    assert!(matches!(
        strict.reset_topics("c").await,
        Err(HerderError::Forbidden(_))
    ));
}
