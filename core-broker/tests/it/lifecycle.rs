//! Starting, stopping, killing, starting again.

use std::time::{Duration, Instant};

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use millstream_broker::config::{BrokerConfig, Endpoint};
use millstream_broker::log::OpenError;
use millstream_broker::{Broker, BrokerHandle, InitialTopic, StartError};

use crate::client::*;

fn records(client: &mut Client) -> Vec<u8> {
    let response = client.call(11, &fetch("t", 0, 0));
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    response.responses[0].partitions[0]
        .records
        .clone()
        .unwrap()
        .to_vec()
}

#[test]
fn topics_and_records_survive_a_stop() {
    let (dir, broker) = start();
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.append("t", &["a", "b"]);
    let written = records(&mut client);
    let (cluster_id, topics) = (
        broker.cluster_id().to_owned(),
        client
            .call(12, &MetadataRequest::default().with_topics(None))
            .topics,
    );
    drop(client);
    broker.shutdown_blocking().unwrap();
    let broker = start_in(dir.path(), config());
    let mut client = Client::connect(broker.address());
    assert_eq!(broker.cluster_id(), cluster_id);
    assert_eq!(
        client
            .call(12, &MetadataRequest::default().with_topics(None))
            .topics,
        topics
    );
    assert_eq!(records(&mut client), written);
    assert_eq!(client.append("t", &["c"]).base_offset, 2);
}

#[test]
fn what_was_acknowledged_survives_being_dropped() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let broker = start_in(dir.path(), config());
        let mut client = Client::connect(broker.address());
        client.touch("t");
        for turn in 0..10 {
            assert_eq!(
                client.append("t", &["a", "b", "c"]).base_offset,
                round * 30 + turn * 3
            );
        }
        drop(broker);
    }
}

#[test]
fn stopping_is_quick_even_with_long_polls_and_idle_clients() {
    let (_dir, broker) = start();
    let mut idle = Client::connect(broker.address());
    idle.touch("t");
    let mut polling = Client::connect(broker.address());
    polling.send(11, &fetch("t", 0, 0).with_max_wait_ms(60_000));
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    broker.shutdown_blocking().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(polling.receive_frame().is_none());
    assert!(idle.receive_frame().is_none());
}

#[test]
fn a_port_in_use_and_a_locked_directory_are_named() {
    let (dir, broker) = start();
    let address = broker.address().to_string();
    let other = tempfile::tempdir().unwrap();
    let error = Broker::builder()
        .data_dir(other.path())
        .listener(&address)
        .start_blocking()
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&address) && message.contains("another port"),
        "{message}"
    );
    let error = Broker::builder()
        .data_dir(dir.path())
        .listener("127.0.0.1:0")
        .start_blocking()
        .unwrap_err();
    assert!(
        matches!(error, StartError::Open(OpenError::Locked { .. })),
        "{error}"
    );
    assert!(matches!(
        Broker::builder().start_blocking(),
        Err(StartError::NoDataDir)
    ));
    let error = Broker::builder()
        .data_dir(other.path())
        .listener("nonsense")
        .start_blocking()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "listener \"nonsense\": expected host:port, for example 127.0.0.1:9092"
    );
    broker.shutdown_blocking().unwrap();
    start_in(dir.path(), config()).shutdown_blocking().unwrap();
}

#[test]
fn a_restart_on_the_same_port_works_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_in(dir.path(), config());
    let address = broker.address();
    let client = Client::connect(address);
    broker.shutdown_blocking().unwrap();
    drop(client);
    let broker = Broker::builder()
        .data_dir(dir.path())
        .listener(address.to_string())
        .start_blocking()
        .unwrap();
    assert_eq!(broker.address(), address);
}

#[test]
fn clients_are_told_the_advertised_address_of_their_listener() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = |name: &str, host: &str, port| Endpoint {
        name: name.into(),
        host: host.into(),
        port,
    };
    let config = BrokerConfig {
        listeners: vec![endpoint("PLAINTEXT", "127.0.0.1", 0), endpoint("OUTSIDE", "", 0)],
        advertised_listeners: vec![endpoint("PLAINTEXT", "broker.example", 1234)],
        log_dirs: Some(dir.path().into()),
        ..config()
    };
    let broker = Broker::builder().config(config).start_blocking().unwrap();
    let [inside, outside] = broker.addresses() else {
        panic!("two listeners")
    };
    let told = |address| {
        let response =
            Client::connect(address).call(4, &MetadataRequest::default().with_topics(Some(vec![])));
        (response.brokers[0].host.to_string(), response.brokers[0].port)
    };
    assert_eq!(told(*inside), ("broker.example".into(), 1234));
    let reached = ([127, 0, 0, 1], outside.port()).into();
    assert_eq!(told(reached), ("127.0.0.1".into(), i32::from(outside.port())));
}

#[test]
fn controllers_listeners_of_a_kafka_file_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let start = |text: &str| {
        let mut config = config();
        config.apply_properties(text, "f").unwrap();
        config.log_dirs = Some(dir.path().into());
        Broker::builder().config(config).start_blocking()
    };
    let map = "listener.security.protocol.map=CONTROLLER:SSL,PLAINTEXT:PLAINTEXT";
    let listeners = "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0";
    let error = start(&format!("{map}\n{listeners}")).unwrap_err().to_string();
    assert!(error.contains("maps listener CONTROLLER to SSL"), "{error}");
    let controllers = "controller.listener.names=CONTROLLER";
    let broker = start(&format!("{map}\n{listeners}\n{controllers}")).unwrap();
    assert_eq!(broker.addresses().len(), 1);
    broker.shutdown_blocking().unwrap();
    let error = start("listeners=C://127.0.0.1:0\ncontroller.listener.names=C").unwrap_err();
    assert!(matches!(error, StartError::NoListener), "{error}");
}

#[test]
fn a_broker_lives_on_the_runtime_of_its_host_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::builder()
            .data_dir(dir.path())
            .listener("127.0.0.1:0")
            .config(config())
            .start()
            .await
            .unwrap();
        let address = broker.address();
        let appended = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(address);
            client.touch("t");
            client.append("t", &["a"]).error_code
        });
        assert_eq!(appended.await.unwrap(), 0);
        broker.shutdown().await.unwrap();
        // And one with threads of its own, started, dropped and stopped from async code.
        let own = Broker::builder()
            .data_dir(dir.path())
            .listener("127.0.0.1:0")
            .start_blocking()
            .unwrap();
        drop(own);
        let own = Broker::builder()
            .data_dir(dir.path())
            .listener("127.0.0.1:0")
            .start_blocking()
            .unwrap();
        own.shutdown().await.unwrap();
    });
}

#[test]
fn topics_asked_for_at_the_start_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let start = |list: &str| {
        let mut builder = Broker::builder().data_dir(dir.path()).listener("127.0.0.1:0");
        for topic in InitialTopic::parse_list(list).unwrap() {
            builder = builder.create_topic(topic);
        }
        builder.start_blocking()
    };
    let partitions = |broker: &BrokerHandle, topic: &str| {
        let asked = vec![MetadataRequestTopic::default().with_name(Some(name(topic)))];
        let request = MetadataRequest::default().with_topics(Some(asked));
        Client::connect(broker.address()).call(9, &request).topics[0]
            .partitions
            .len()
    };
    let broker = start("a:3:1,b:2:1:compact").unwrap();
    assert_eq!((partitions(&broker, "a"), partitions(&broker, "b")), (3, 2));
    broker.shutdown_blocking().unwrap();
    let broker = start("a:5,c:1").unwrap();
    assert_eq!((partitions(&broker, "a"), partitions(&broker, "c")), (3, 1));
    broker.shutdown_blocking().unwrap();
    let refused = start("a.b:1,a_b:1").unwrap_err().to_string();
    assert!(refused.contains("collides"), "{refused}");
}
