//! Fetch sessions over the wire.

use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, ForgottenTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, FetchResponse, MetadataRequest};
use millstream_broker::BrokerHandle;
use millstream_broker::config::BrokerConfig;
use tempfile::TempDir;
use uuid::Uuid;

use crate::client::*;

fn broker(partitions: i32) -> (TempDir, BrokerHandle, Client) {
    let (dir, broker) = start_with(BrokerConfig {
        num_partitions: partitions,
        ..config()
    });
    let mut client = Client::connect(broker.address());
    client.touch("t");
    (dir, broker, client)
}

/// Asks for the partitions at the offsets.
fn ask(session: (i32, i32), partitions: &[(i32, i64)]) -> FetchRequest {
    let mut request = fetch("t", 0, 0)
        .with_session_id(session.0)
        .with_session_epoch(session.1);
    let asked = partitions.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    });
    request.topics[0].partitions = asked.collect();
    if partitions.is_empty() {
        request.topics.clear();
    }
    request
}

/// Which partitions an answer names: number, error, high watermark, whether there are records.
fn told(response: &FetchResponse) -> Vec<(i32, i16, i64, bool)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|p| {
            let records = p.records.as_ref().is_some_and(|r| !r.is_empty());
            (p.partition_index, p.error_code, p.high_watermark, records)
        })
        .collect()
}

fn append(client: &mut Client, partition: i32) {
    let request = produce("t", partition, -1, Some(batch(&["a"])));
    assert_eq!(only_partition(client.call(9, &request)).error_code, 0);
}

#[test]
fn a_session_tells_what_changed() {
    let (_dir, _broker, mut client) = broker(3);
    let opened = client.call(11, &ask((0, 0), &[(0, 0), (1, 0), (2, 0)]));
    assert!(opened.session_id > 0);
    assert_eq!(
        told(&opened),
        [(0, 0, 0, false), (1, 0, 0, false), (2, 0, 0, false)]
    );
    let id = opened.session_id;

    let quiet = client.call(11, &ask((id, 1), &[]));
    assert_eq!(
        (quiet.session_id, quiet.error_code, told(&quiet).len()),
        (id, 0, 0)
    );
    append(&mut client, 1);
    assert_eq!(told(&client.call(11, &ask((id, 2), &[]))), [(1, 0, 1, true)]);
    // The same position gives the same records.
    assert_eq!(told(&client.call(11, &ask((id, 3), &[]))), [(1, 0, 1, true)]);
    assert_eq!(told(&client.call(11, &ask((id, 4), &[(1, 1)]))), []);
    // Out of range: told at every answer, and that it is over as well.
    assert_eq!(
        told(&client.call(11, &ask((id, 5), &[(1, 9)]))),
        [(1, 1, 1, false)]
    );
    assert_eq!(told(&client.call(11, &ask((id, 6), &[]))), [(1, 1, 1, false)]);
    assert_eq!(
        told(&client.call(11, &ask((id, 7), &[(1, 1)]))),
        [(1, 0, 1, false)]
    );

    // Another partition, which does not exist; then it is forgotten, and one that has records.
    assert_eq!(
        told(&client.call(11, &ask((id, 8), &[(7, 0)]))),
        [(7, 3, -1, false)]
    );
    append(&mut client, 2);
    let forget = ForgottenTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![7, 2]);
    let request = ask((id, 9), &[]).with_forgotten_topics_data(vec![forget]);
    assert_eq!(told(&client.call(11, &request)), []);
    assert_eq!(
        told(&client.call(11, &ask((id, 10), &[(2, 0)]))),
        [(2, 0, 1, true)]
    );
}

#[test]
fn ids_and_epochs_are_checked() {
    let (_dir, _broker, mut client) = broker(1);
    let mut error = |session| client.call(11, &ask(session, &[(0, 0)])).error_code;
    assert_eq!(error((0, 1)), 70);
    assert_eq!(error((77, 1)), 70);
    let id = client.call(11, &ask((0, 0), &[(0, 0)])).session_id;
    let mut call = |session: (i32, i32)| {
        let response = client.call(11, &ask(session, &[(0, 0)]));
        (response.error_code, response.session_id)
    };
    assert_eq!(call((id, 2)), (71, 0));
    assert_eq!(call((id, 1)), (0, id));
    assert_eq!(call((id, 1)), (71, 0));
    assert_eq!(call((id, 2)), (0, id));
    // Opening another closes it.
    let (code, other) = call((id, 0));
    assert!(code == 0 && other > 0 && other != id);
    assert_eq!(call((id, 3)), (70, 0));
    assert_eq!(call((other, -1)), (0, 0));
    assert_eq!(call((other, 1)), (70, 0));
    // Forgetting everything ends it.
    let (_, id) = call((0, 0));
    let forget = ForgottenTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![0]);
    let request = ask((id, 1), &[])
        .with_max_wait_ms(15_000)
        .with_forgotten_topics_data(vec![forget]);
    let ended = client.call(11, &request);
    assert_eq!((ended.session_id, ended.error_code), (0, 0));
    assert_eq!(client.call(11, &ask((id, 2), &[])).error_code, 70);
}

#[test]
fn a_full_cache_answers_without_a_session() {
    let (_dir, broker) = start_with(BrokerConfig {
        max_incremental_fetch_session_cache_slots: 1,
        ..config()
    });
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["a"]);
    let first = client.call(11, &ask((0, 0), &[(0, 0)])).session_id;
    assert!(first > 0);
    for _ in 0..2 {
        let second = client.call(11, &ask((0, 0), &[(0, 0)]));
        assert_eq!((second.session_id, told(&second)), (0, vec![(0, 0, 1, true)]));
    }
    client.call(11, &ask((first, -1), &[]));
    assert!(client.call(11, &ask((0, 0), &[(0, 0)])).session_id > 0);
}

#[test]
fn a_session_by_id_outlives_no_topic() {
    let (_dir, _broker, mut client) = broker(2);
    let id_of = |client: &mut Client| {
        let all = client.call(12, &MetadataRequest::default().with_topics(None));
        all.topics[0].topic_id
    };
    let by_id = |id: Uuid, session, partitions: &[(i32, i64)]| {
        let mut request = ask(session, partitions);
        for topic in &mut request.topics {
            topic.topic = name("");
            topic.topic_id = id;
        }
        request
    };
    let old = id_of(&mut client);
    for version in [13, 17] {
        let opened = client.call(version, &by_id(old, (0, 0), &[(0, 0), (1, 0)]));
        assert_eq!(opened.responses[0].topic_id, old);
        let quiet = client.call(version, &by_id(old, (opened.session_id, 1), &[]));
        assert_eq!((quiet.session_id, told(&quiet).len()), (opened.session_id, 0));
    }
    let named = client.call(12, &ask((0, 0), &[(0, 0), (1, 0)])).session_id;
    let session = client.call(18, &by_id(old, (0, 0), &[(0, 0), (1, 0)])).session_id;
    assert_eq!(client.call(12, &ask((session, 1), &[])).error_code, 106);
    assert_eq!(client.call(13, &ask((named, 1), &[])).error_code, 106);

    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    assert_eq!(client.call(5, &delete).responses[0].error_code, 0);
    let gone = client.call(18, &by_id(old, (session, 1), &[]));
    assert_eq!(told(&gone), [(0, 100, -1, false), (1, 100, -1, false)]);
    client.touch("t");
    append(&mut client, 0);
    let new = id_of(&mut client);
    assert_ne!(old, new);
    // The old id stays unknown; by name the new topic is found.
    let still = client.call(18, &by_id(new, (session, 2), &[(0, 0)]));
    assert_eq!(
        told(&still),
        [(0, 100, -1, false), (1, 100, -1, false), (0, 0, 1, true)]
    );
    let again = client.call(12, &ask((named, 1), &[]));
    assert_eq!(told(&again), [(0, 0, 1, true)]);
}

#[test]
fn a_session_waits_and_wakes_by_what_changes() {
    let (_dir, broker, mut client) = broker(50);
    let address = broker.address();
    let all: Vec<(i32, i64)> = (0..50).map(|p| (p, 0)).collect();
    let id = client.call(11, &ask((0, 0), &all)).session_id;
    let mut other = Client::connect(address);
    let begun = Instant::now();
    let mut moved = Vec::new();
    for (epoch, partition) in [(1, 49), (2, 0), (3, 20)] {
        client.send(11, &ask((id, epoch), &moved).with_max_wait_ms(15_000));
        std::thread::sleep(Duration::from_millis(50));
        append(&mut other, partition);
        let woken = client.receive::<FetchRequest>(11);
        assert_eq!(told(&woken), [(partition, 0, 1, true)]);
        moved = vec![(partition, 1)];
    }
    // Between requests, too.
    append(&mut other, 33);
    let waited = client.call(11, &ask((id, 4), &moved).with_max_wait_ms(15_000));
    assert_eq!(told(&waited), [(33, 0, 1, true)]);
    // Bytes are counted over several wakeups.
    let size = batch(&["a"]).len() as i32;
    let request = ask((id, 5), &[(33, 1)])
        .with_max_wait_ms(15_000)
        .with_min_bytes(3 * size);
    client.send(11, &request);
    std::thread::sleep(Duration::from_millis(50));
    for partition in [5, 6, 5] {
        append(&mut other, partition);
    }
    let enough = client.receive::<FetchRequest>(11);
    assert_eq!(told(&enough), [(5, 0, 2, true), (6, 0, 1, true)]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    // A client that comes back on another connection takes the session over.
    client.send(11, &ask((id, 6), &[(5, 2), (6, 1)]).with_max_wait_ms(500));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(other.call(11, &ask((id, 7), &[])).error_code, 0);
    assert_eq!(client.receive::<FetchRequest>(11).error_code, 71);
}

#[test]
fn no_partition_starves_when_an_answer_cannot_hold_all() {
    const PARTITIONS: i32 = 1100;
    let (_dir, _broker, mut client) = broker(PARTITIONS);
    for _ in 0..3 {
        let mut request = produce("t", 0, -1, Some(batch(&["a"])));
        let data = request.topic_data[0].partition_data[0].clone();
        request.topic_data[0].partition_data = (0..PARTITIONS).map(|p| data.clone().with_index(p)).collect();
        let response = client.call(9, &request);
        assert!(
            response.responses[0]
                .partition_responses
                .iter()
                .all(|p| p.error_code == 0)
        );
    }
    let single = |mut request: FetchRequest| {
        let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|p| p.partition_max_bytes = batch(&["a"]).len() as i32);
        request
    };
    let all: Vec<(i32, i64)> = (0..PARTITIONS).map(|p| (p, 0)).collect();
    let mut response = client.call(11, &single(ask((0, 0), &all)));
    let id = response.session_id;
    let mut positions = vec![0; PARTITIONS as usize];
    // An answer holds records of 1024 partitions.
    for epoch in 1..=4 {
        let served: Vec<i32> = told(&response).into_iter().filter(|p| p.3).map(|p| p.0).collect();
        for partition in &served {
            positions[*partition as usize] += 1;
        }
        let moved: Vec<(i32, i64)> = served.iter().map(|p| (*p, positions[*p as usize])).collect();
        if epoch == 2 {
            assert!(
                positions.iter().all(|position| *position >= 1),
                "all had their turn"
            );
        }
        response = client.call(11, &single(ask((id, epoch), &moved)));
    }
    assert_eq!(positions, vec![3; PARTITIONS as usize]);
    assert_eq!(told(&response), []);
}
