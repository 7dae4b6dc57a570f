//! Several workers that share connectors.
mod edges;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millstream_connect::plugin::PluginError;

use crate::harness::{Cluster, map, wait};
use crate::plugins::NumbersScript;
use crate::plugins::numbers;
use worker::Member;

/// Waits until every task of the connector runs, and gives who runs what: the connector first.
fn running(member: &Member<'_>, name: &str, tasks: usize) -> Vec<String> {
    wait(|| {
        let (status, body) = member.ask("GET", &format!("/connectors/{name}/status"), None);
        let each = body["tasks"].as_array().filter(|_| status == 200)?;
        let all = std::iter::once(&body["connector"]).chain(each);
        let all: Vec<_> = all.collect();
        let good = all.len() == tasks + 1 && all.iter().all(|unit| unit["state"] == "RUNNING");
        good.then(|| {
            all.iter()
                .map(|unit| unit["worker_id"].as_str().unwrap().to_owned())
                .collect()
        })
    })
}

#[test]
fn what_is_made_on_one_worker_is_seen_on_all_and_shared() {
    let cluster = Cluster::new("shared");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    script.end.store(100, Ordering::SeqCst);
    let first = Member::start(&cluster, &script, &[]);
    first.wait_healthy();
    let second = Member::start(&cluster, &script, &[]);
    second.wait_healthy();
    // Whichever does not lead hands the request on.
    for (member, name) in [(&first, "one"), (&second, "two")] {
        let config = map(&[("connector.class", "Numbers"), ("topic", &topic)]);
        let body = serde_json::json!({"name": name, "config": config});
        let (status, made) = member.ask("POST", "/connectors", Some(&body));
        assert_eq!((status, &made["name"]), (201, &serde_json::json!(name)), "{made}");
        let (status, _) = member.ask("POST", "/connectors", Some(&body));
        assert_eq!(status, 409);
    }
    for member in [&first, &second] {
        wait(|| {
            let (_, names) = member.ask("GET", "/connectors", None);
            (names == serde_json::json!(["one", "two"])).then_some(())
        });
    }
    let mut owners = [running(&first, "one", 1), running(&second, "two", 1)];
    assert_ne!(owners[0][0], owners[1][0], "{owners:?}");
    owners.iter_mut().for_each(|owners| owners.sort());
    wait(|| (cluster.values(&topic).len() == 200).then_some(()));
    // What a user asks a task for reaches the worker that runs it.
    for (number, member) in [&first, &second].into_iter().enumerate() {
        for name in ["one", "two"] {
            let id = format!("{name}-{number}");
            let signal = serde_json::json!({"id": id, "type": "hello", "data": {"n": 1.5}});
            let (status, answer) = member.ask("POST", &format!("/connectors/{name}/signals"), Some(&signal));
            assert_eq!((status, &answer["id"]), (202, &signal["id"]), "{answer}");
            let taken = script.signals.lock().unwrap();
            let last = taken.last().unwrap();
            assert_eq!(
                (&*last.id, &*last.kind, &last.data),
                (&*id, "hello", &signal["data"])
            );
        }
        let signal = serde_json::json!({"type": "nonsense"});
        let (status, answer) = member.ask("POST", "/connectors/one/signals", Some(&signal));
        assert_eq!(status, 400, "{answer}");
        assert_eq!(
            member.ask("POST", "/connectors/three/signals", Some(&signal)).0,
            404
        );
    }
    assert_eq!(script.signals.lock().unwrap().len(), 4);
    // Pausing, resuming, stopping, deleting on a worker that may not lead.
    for member in [&first, &second] {
        for (call, state) in [("pause", "PAUSED"), ("resume", "RUNNING")] {
            assert_eq!(member.ask("PUT", &format!("/connectors/one/{call}"), None).0, 202);
            wait(|| {
                let (_, body) = second.ask("GET", "/connectors/one/status", None);
                let all = [&body["connector"]["state"], &body["tasks"][0]["state"]];
                all.iter().all(|its| **its == state).then_some(())
            });
        }
    }
    let (status, _) = second.ask(
        "POST",
        "/connectors/one/restart?includeTasks=true&onlyFailed=false",
        None,
    );
    assert_eq!(status, 202);
    running(&first, "one", 1);
    assert_eq!(first.ask("POST", "/connectors/one/tasks/0/restart", None).0, 204);
    assert_eq!(second.ask("POST", "/connectors/one/tasks/0/restart", None).0, 204);
    assert_eq!(second.ask("POST", "/connectors/one/tasks/7/restart", None).0, 404);
    assert_eq!(second.ask("DELETE", "/connectors/one/offsets", None).0, 400);
    assert_eq!(second.ask("PUT", "/connectors/one/stop", None).0, 204);
    assert_eq!(second.ask("DELETE", "/connectors/one/offsets", None).0, 200);
    assert_eq!(first.ask("DELETE", "/connectors/one", None).0, 204);
    wait(|| (second.ask("GET", "/connectors/one/status", None).0 == 404).then_some(()));
    first.stop();
    second.stop();
}

#[test]
fn tasks_move_when_a_worker_ends() {
    let cluster = Cluster::new("moves");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    script.end.store(50, Ordering::SeqCst);
    let quick = [("scheduled.rebalance.max.delay.ms", "0")];
    let first = Member::start(&cluster, &script, &quick);
    first.wait_healthy();
    let second = Member::start(&cluster, &script, &quick);
    let third = Member::start(&cluster, &script, &quick);
    for member in [&second, &third] {
        member.wait_healthy();
    }
    let names = ["a", "b", "c"];
    for name in names {
        first.create(name, &[("topic", &topic)]);
    }
    let owners = || -> Vec<String> { names.iter().flat_map(|name| running(&third, name, 1)).collect() };
    let before = owners();
    for member in [&first, &second, &third] {
        let its = before.iter().filter(|owner| **owner == member.worker_id).count();
        assert_eq!(its, 2, "{before:?}");
    }
    // The first one leads. It says goodbye: nobody waits for its session.
    let began = std::time::Instant::now();
    let gone = first.worker_id.clone();
    first.stop();
    wait(|| owners().iter().all(|owner| *owner != gone).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The second one vanishes.
    let gone = second.worker_id.clone();
    second.vanish();
    wait(|| owners().iter().all(|owner| *owner != gone).then_some(()));
    script.end.store(80, Ordering::SeqCst);
    wait(|| {
        let mut values = cluster.values(&topic);
        values.dedup();
        (values.iter().filter(|value| *value == "79").count() == 3).then_some(())
    });
    third.stop();
}

#[test]
fn a_connector_that_is_deleted_can_be_made_again_at_once() {
    let cluster = Cluster::new("again");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    script.end.store(10, Ordering::SeqCst);
    let first = Member::start(&cluster, &script, &[]);
    first.wait_healthy();
    let second = Member::start(&cluster, &script, &[]);
    second.wait_healthy();
    for round in 0..5 {
        let name = format!("{topic}-{round}");
        second.create("again", &[("topic", &name)]);
        running(&first, "again", 1);
        wait(|| {
            let (_, tasks) = first.ask("GET", "/connectors/again/tasks", None);
            (tasks[0]["config"]["topic"] == name.as_str()).then_some(())
        });
        let (status, body) = first.ask("DELETE", "/connectors/again?deleteOffsets=true", None);
        assert_eq!(status, 204, "{body}");
        assert_eq!(cluster.values(&name), numbers(0..10));
    }
    first.stop();
    second.stop();
}

#[test]
fn an_abandoned_worker_neither_loses_nor_repeats_what_is_delivered_exactly_once() {
    let cluster = Cluster::new("exactly");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    script.end.store(200, Ordering::SeqCst);
    script.batch.store(7, Ordering::SeqCst);
    let settings = [
        ("exactly.once.source.support", "enabled"),
        ("scheduled.rebalance.max.delay.ms", "0"),
    ];
    let first = Member::start(&cluster, &script, &settings);
    first.wait_healthy();
    first.create(
        "numbers",
        &[("topic", &topic), ("exactly.once.support", "required")],
    );
    wait(|| (cluster.values(&topic).len() == 200).then_some(()));
    let second = Member::start(&cluster, &script, &settings);
    second.wait_healthy();
    let owners = running(&second, "numbers", 1);
    // Whoever runs the task goes without a word: its session has to end first. Its threads go on writing if they can.
    let (gone, left) = match owners[1] == first.worker_id {
        true => (first, second),
        false => (second, first),
    };
    let abandoned = gone.abandon();
    script.end.store(400, Ordering::SeqCst);
    wait(|| {
        let owners = running(&left, "numbers", 1);
        owners.iter().all(|owner| *owner == left.worker_id).then_some(())
    });
    script.end.store(600, Ordering::SeqCst);
    wait(|| (cluster.values(&topic).len() >= 600).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(cluster.values(&topic), numbers(0..600));
    cluster.runtime.block_on(abandoned.stop());
    left.stop();
}

#[test]
fn a_new_configuration_is_put_into_effect_and_failures_are_restarted_where_they_happen() {
    let cluster = Cluster::new("changes");
    let (topic, other) = (cluster.name("numbers"), cluster.name("others"));
    let script = Arc::<NumbersScript>::default();
    script.end.store(10, Ordering::SeqCst);
    let first = Member::start(&cluster, &script, &[]);
    first.wait_healthy();
    let second = Member::start(&cluster, &script, &[]);
    second.wait_healthy();
    first.create("numbers", &[("topic", &topic)]);
    wait(|| (cluster.values(&topic).len() == 10).then_some(()));
    script.await_stored(10);
    let config = map(&[
        ("connector.class", "Numbers"),
        ("topic", &other),
        ("restart.backoff.ms", "100"),
    ]);
    let body = serde_json::json!(config);
    let starts = script.starts.load(Ordering::SeqCst);
    assert_eq!(
        second.ask("PUT", "/connectors/numbers/config", Some(&body)).0,
        200
    );
    // Until then the task of the old configuration runs.
    wait(|| (script.starts.load(Ordering::SeqCst) > starts).then_some(()));
    script.end.store(15, Ordering::SeqCst);
    script.await_stored(15);
    assert_eq!(cluster.values(&other), numbers(10..15));
    // Nobody restarts it by hand.
    let starts = script.starts.load(Ordering::SeqCst);
    *script.failures.lock().unwrap() = vec![PluginError::disconnected("the other side is gone")];
    wait(|| (script.starts.load(Ordering::SeqCst) > starts).then_some(()));
    running(&second, "numbers", 1);
    script.end.store(20, Ordering::SeqCst);
    wait(|| (cluster.values(&other).len() == 10).then_some(()));
    wait(|| {
        let (_, body) = first.ask("GET", "/connectors/numbers/topics", None);
        let mut all: Vec<&str> = body["numbers"]["topics"]
            .as_array()?
            .iter()
            .filter_map(|its| its.as_str())
            .collect();
        all.sort_unstable();
        (all == [&*topic, &*other]).then_some(())
    });
    first.stop();
    second.stop();
}

#[test]
fn topics_that_would_lose_what_is_kept_in_them_are_refused() {
    let cluster = Cluster::new("refused");
    let script = Arc::<NumbersScript>::default();
    // Made as topics are made by default: old records are deleted.
    cluster.produce(&cluster.name("statuss"), &["x"]);
    let Err(error) = Member::try_start(&cluster, &script, &[]) else {
        panic!("it starts");
    };
    let error = error.to_string();
    assert!(
        error.contains("status.storage.topic") && error.contains("cleanup.policy=compact"),
        "{error}"
    );
}
