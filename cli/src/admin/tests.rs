//! The administration client against a broker inside this process.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::Admin;
use crate::client::{ConnectArgs, ConnectCommonArgs};
use crate::embedded::EmbeddedBroker;
use crate::stop::StopSignal;

const LIMIT: Duration = Duration::from_secs(30);

struct Cluster {
    broker: EmbeddedBroker,
    admin: Admin,
}

/// A broker with one topic of one partition.
fn cluster(topic: &str) -> Cluster {
    let broker = EmbeddedBroker::start(None, &StopSignal::default()).unwrap();
    let connect = ConnectArgs {
        bootstrap_server: broker.bootstrap(),
        common: ConnectCommonArgs {
            command_config: None,
            connect_timeout_ms: 30_000,
        },
    };
    let mut admin = Admin::connect(&connect).unwrap();
    admin.create_topic(topic, Some(1), Some(1), &[]).unwrap();
    Cluster { broker, admin }
}

/// FindCoordinator and OffsetFetch carry one key in their old versions and a list in their new ones; a request that
/// filled in both could be sent in neither, so no command that needs a coordinator worked.
#[test]
fn committed_offsets_are_read_back() {
    let Cluster { broker, mut admin } = cluster("lines");
    let offsets = BTreeMap::from([(("lines".to_owned(), 0), 0)]);
    admin.commit_offsets("readers", &offsets).unwrap();
    assert_eq!(admin.committed_offsets("readers").unwrap(), offsets);
    assert_eq!(admin.describe_group("readers").unwrap().state, "Empty");
    admin.delete_group("readers").unwrap();
    assert!(admin.list_groups().unwrap().is_empty());
    broker.stop().unwrap();
}

#[test]
fn partitions_that_are_gone_have_no_end() {
    let Cluster { broker, mut admin } = cluster("lines");
    let wanted = [
        ("gone".to_owned(), 0),
        ("lines".to_owned(), 0),
        ("lines".to_owned(), 7),
    ];
    let ends = admin.known_ends(&wanted).unwrap();
    assert_eq!(ends, BTreeMap::from([(("lines".to_owned(), 0), 0)]));
    broker.stop().unwrap();
}

#[test]
fn an_open_transaction_is_seen_and_aborted() {
    let Cluster { broker, mut admin } = cluster("payments");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", "payments-1")
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), _>::to("payments").partition(0).payload("one");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();

    let listed = admin.list_transactions(-1).unwrap();
    assert_eq!(
        (listed[0].id.as_str(), listed[0].state.as_str()),
        ("payments-1", "Ongoing")
    );
    let (_, described) = admin.describe_transaction("payments-1").unwrap();
    assert_eq!(described.topics[0].topic.as_str(), "payments");

    let partition = ("payments".to_owned(), 0);
    let open = admin.describe_producers(&partition, None).unwrap().remove(0);
    assert_eq!(open.current_txn_start_offset, 0);
    let epoch = i16::try_from(open.producer_epoch).unwrap();
    admin
        .abort_transaction(
            &partition,
            open.producer_id.0,
            epoch,
            open.coordinator_epoch.max(0),
        )
        .unwrap();
    let after = admin.describe_producers(&partition, None).unwrap();
    assert!(after.iter().all(|one| one.current_txn_start_offset == -1));
    drop(producer);
    broker.stop().unwrap();
}
