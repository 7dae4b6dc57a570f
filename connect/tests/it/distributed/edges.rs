//! Configurations that do not fit, that are written twice, and groups that are being changed over.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::running;
use super::worker::Member;
use crate::harness::{Cluster, wait};
use crate::plugins::NumbersScript;
use crate::plugins::numbers;

/// The most that a record of the topic of configurations may have here.
const RECORD_BYTES_MAX: usize = 20_000;

/// A configuration whose record is so many bytes longer than what fits (or shorter).
fn config_of(name: &str, topic: &str, longer: isize) -> Value {
    let with = |pad: usize| json!({"connector.class": "Numbers", "name": name, "pad": "x".repeat(pad), "topic": topic});
    let written = format!("connector-{name}{}", json!({"properties": with(0)})).len();
    with((RECORD_BYTES_MAX - written).checked_add_signed(longer).unwrap())
}

#[test]
fn what_fits_no_record_is_told_and_holds_up_nobody() {
    let cluster = Cluster::new("too-large");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    let most = RECORD_BYTES_MAX.to_string();
    let member = Member::start(&cluster, &script, &[("producer.max.request.size", &most)]);
    member.wait_healthy();
    let path = "/connectors/wide/config";
    let (status, refused) = member.ask("PUT", path, Some(&config_of("wide", &topic, 500)));
    let why = refused["message"].as_str().unwrap_or_default();
    assert!(
        status == 400 && why.contains("connector-wide") && why.contains("max.message.bytes"),
        "{status} {refused}"
    );
    assert_eq!(member.ask("GET", "/connectors/wide", None).0, 404);

    // The longest whose own record fits; the one that asks for its tasks is 16 bytes longer.
    let mut longer = 0;
    while member
        .ask("PUT", path, Some(&config_of("wide", &topic, longer)))
        .0
        == 400
    {
        longer -= 8;
        assert!(longer > -400, "none fits");
    }
    let trace = wait(|| {
        let (_, body) = member.ask("GET", "/connectors/wide/status", None);
        let failed = body["connector"]["state"] == "FAILED";
        failed.then(|| body["connector"]["trace"].as_str().unwrap().to_owned())
    });
    assert!(
        trace.contains("its 1 tasks") && trace.contains("max.message.bytes"),
        "{trace}"
    );

    // Whoever leads goes on writing, and a smaller one runs.
    member.create("other", &[("topic", &topic)]);
    running(&member, "other", 1);
    let (status, _) = member.ask("PUT", path, Some(&config_of("wide", &topic, -500)));
    assert_eq!(status, 200);
    running(&member, "wide", 1);
    member.stop();
}

#[test]
fn the_same_configuration_again_starts_what_failed() {
    let cluster = Cluster::new("again");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    let member = Member::start(&cluster, &script, &[]);
    member.wait_healthy();
    let settings = [("topic", &*topic), ("restart.policy", "never")];
    member.create("numbers", &settings);
    // At once: what was asked for on account of the first record must not be lost.
    let (_, config) = member.ask("GET", "/connectors/numbers/config", None);
    for _ in 0..3 {
        assert_eq!(
            member.ask("PUT", "/connectors/numbers/config", Some(&config)).0,
            200
        );
    }
    running(&member, "numbers", 1);
    *script.failures.lock().unwrap() = vec![millstream_connect::plugin::PluginError::fatal("it is over")];
    wait(|| {
        let (_, body) = member.ask("GET", "/connectors/numbers/status", None);
        (body["tasks"][0]["state"] == "FAILED").then_some(())
    });
    assert_eq!(
        member.ask("PUT", "/connectors/numbers/config", Some(&config)).0,
        200
    );
    running(&member, "numbers", 1);
    // What runs goes on.
    let starts = script.starts.load(Ordering::SeqCst);
    assert_eq!(
        member.ask("PUT", "/connectors/numbers/config", Some(&config)).0,
        200
    );
    script.end.store(10, Ordering::SeqCst);
    wait(|| (cluster.values(&topic).len() == 10).then_some(()));
    assert_eq!(script.starts.load(Ordering::SeqCst), starts);
    member.stop();
}

/// While a group is changed over to exactly once, its leader may still be one that only prepares for it: tasks waited for its fencing for ever.
#[test]
fn one_that_prepares_for_exactly_once_fences_for_those_that_deliver_so() {
    let cluster = Cluster::new("preparing");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    script.end.store(30, Ordering::SeqCst);
    let support = |how: &'static str| {
        [
            ("exactly.once.source.support", how),
            ("scheduled.rebalance.max.delay.ms", "0"),
        ]
    };
    let leader = Member::start(&cluster, &script, &support("preparing"));
    leader.wait_healthy();
    leader.create("one", &[("topic", &topic)]);
    running(&leader, "one", 1);
    let other = Member::start(&cluster, &script, &support("enabled"));
    other.wait_healthy();
    leader.create("two", &[("topic", &topic)]);
    // Each has its share, so the new one runs some of it exactly once.
    wait(|| {
        let mut owners = running(&other, "one", 1);
        owners.extend(running(&other, "two", 1));
        owners.contains(&other.worker_id).then_some(())
    });
    wait(|| (cluster.values(&topic).len() >= 60).then_some(()));
    let mut all = cluster.values(&topic);
    all.sort_by_key(|number| number.parse::<usize>().unwrap());
    all.dedup();
    assert_eq!(all, numbers(0..30));
    other.stop();
    leader.stop();
}

#[test]
fn a_connector_made_through_another_worker_is_found_there() {
    let cluster = Cluster::new("places");
    let topic = cluster.name("numbers");
    let script = Arc::<NumbersScript>::default();
    let members = [
        Member::start(&cluster, &script, &[]),
        Member::start(&cluster, &script, &[]),
    ];
    members.iter().for_each(Member::wait_healthy);
    for (index, member) in members.iter().enumerate() {
        let name = format!("c{index}");
        let body = json!({"name": name, "config": {"connector.class": "Numbers", "topic": topic}});
        let place = member.location("POST", "/connectors", &body);
        // One of the two had to ask the other; as in Java, who asked is told what it can reach.
        assert_eq!(place, format!("http://{}/connectors/{name}", member.worker_id));
        // What was just made can be asked about, and its tasks restarted, without waiting.
        let (status, _) = member.ask("POST", &format!("/connectors/{name}/tasks/0/restart"), None);
        assert_eq!(status, 204);
        let (status, body) = member.ask("GET", &format!("/connectors/{name}/status"), None);
        assert_eq!(status, 200, "{body}");
    }
    let [first, second] = members;
    first.stop();
    second.stop();
}
