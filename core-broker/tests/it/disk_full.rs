//! A volume of a few megabytes that fills up under a broker. Needs the right to mount; skipped, and said so, without.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    DeleteTopicsRequest, GroupId, InitProducerIdRequest, OffsetCommitRequest, TransactionalId,
};
use millstream_broker::config::BrokerConfig;
use tempfile::TempDir;

use crate::client::*;
use crate::retention::{create_with, delete, fetch_error};

const KAFKA_STORAGE_ERROR: i16 = 56;

/// A file system in memory, gone with the value.
struct Volume(TempDir);

impl Volume {
    /// Nothing where mounting is not allowed.
    fn of_megabytes(size: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            refused => {
                eprintln!(
                    "SKIPPED: a full disk is not tested, because no volume can be mounted here: {refused:?}"
                );
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes the rest of the room, as another program would.
    fn fill(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        let mut file = File::create(&path).unwrap();
        for size in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.path().display());
        }
    }
}

fn settings() -> BrokerConfig {
    BrokerConfig {
        log_segment_bytes: 256 << 10,
        log_retention_ms: Some(-1),
        log_retention_check_interval_ms: 200,
        ..config()
    }
}

fn commit(client: &mut Client, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    client.call(7, &request).topics[0].partitions[0].error_code
}

/// Appends large records until one is refused; tells how many were taken.
fn append_until_refused(client: &mut Client, topic: &str) -> usize {
    let value = "x".repeat(50_000);
    for taken in 0..1000 {
        match client.append(topic, &[&value]).error_code {
            0 => {}
            code => {
                assert_eq!(code, KAFKA_STORAGE_ERROR);
                return taken;
            }
        }
    }
    panic!("the volume takes everything");
}

fn append_again(client: &mut Client, topic: &str) -> i64 {
    for _ in 0..100 {
        let answer = client.append(topic, &["again"]);
        if answer.error_code == 0 {
            return answer.base_offset;
        }
        assert_eq!(answer.error_code, KAFKA_STORAGE_ERROR);
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("writes never go on");
}

fn until_there(path: &Path) {
    for _ in 0..100 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} never comes", path.display());
}

fn settled(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("never: {what}");
}

#[test]
fn a_full_disk_refuses_records_and_goes_on_when_there_is_room() {
    let Some(volume) = Volume::of_megabytes(8) else {
        return;
    };
    let broker = start_in(&volume.data(), settings());
    until_there(&volume.data().join(".reserve"));
    let mut client = Client::connect(broker.address());
    client.touch("t");
    assert_eq!(commit(&mut client, 0), 0);
    let taken = append_until_refused(&mut client, "t");
    assert!(taken > 100, "{taken}");
    // The broker's own records still fit, until somebody takes the very last byte.
    assert_eq!(commit(&mut client, 1), 0);
    let transactional = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("x"))))
        .with_transaction_timeout_ms(10_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let filler = volume.fill("filler");
    settled("offsets are refused", || commit(&mut client, 2) != 0);
    for _ in 0..3 {
        assert_eq!(client.append("t", &["more"]).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(fetch_error(&mut client, "t", 0).0, 0);
    }
    assert_ne!(client.call(4, &transactional).error_code, 0);
    // A deletion is the way out.
    let half = taken as i64 / 2;
    assert_eq!(delete(&mut client, 2, "t", 0, half), (half, 0));
    assert_eq!(append_again(&mut client, "t"), taken as i64);
    settled("offsets are committed", || commit(&mut client, 3) == 0);
    settled("transactions begin", || {
        client.call(4, &transactional).error_code == 0
    });
    // So is the end of the other program, and the reserve is filled again.
    std::fs::remove_file(filler).unwrap();
    until_there(&volume.data().join(".reserve"));
    append_until_refused(&mut client, "t");
    let filler = volume.fill("filler");
    assert_eq!(client.append("t", &["more"]).error_code, KAFKA_STORAGE_ERROR);
    std::fs::remove_file(filler).unwrap();
    broker.shutdown_blocking().unwrap();
    let broker = start_in(&volume.data(), settings());
    let mut client = Client::connect(broker.address());
    assert_eq!(fetch_error(&mut client, "t", half).1, half);
    assert_ne!(fetch_error(&mut client, "t", half).2, 0);
    broker.shutdown_blocking().unwrap();
}

#[test]
fn topics_are_deleted_on_a_full_disk() {
    let Some(volume) = Volume::of_megabytes(8) else {
        return;
    };
    let broker = start_in(&volume.data(), settings());
    until_there(&volume.data().join(".reserve"));
    let mut client = Client::connect(broker.address());
    client.touch("t");
    client.touch("u");
    assert_eq!(client.append("u", &["first"]).error_code, 0);
    append_until_refused(&mut client, "t");
    let _filler = volume.fill("filler");
    let topic = DeleteTopicState::default().with_name(Some(name("t")));
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1000);
    assert_eq!(client.call(6, &request).responses[0].error_code, 0);
    assert_eq!(append_again(&mut client, "u"), 1);
    // A start on a disk that others have filled meanwhile.
    append_until_refused(&mut client, "u");
    drop(broker);
    let _more = volume.fill("more");
    let broker = start_in(&volume.data(), settings());
    let mut client = Client::connect(broker.address());
    assert_eq!(fetch_error(&mut client, "u", 0).0, 0);
    assert_eq!(client.append("u", &["more"]).error_code, KAFKA_STORAGE_ERROR);
    assert_eq!(delete(&mut client, 2, "u", 0, -1).1, 0);
    append_again(&mut client, "u");
    broker.shutdown_blocking().unwrap();
}

#[test]
fn retention_makes_room() {
    let Some(volume) = Volume::of_megabytes(8) else {
        return;
    };
    let broker = start_in(&volume.data(), settings());
    let mut client = Client::connect(broker.address());
    create_with(&mut client, "t", &[("retention.bytes", "3000000")]);
    let value = "x".repeat(50_000);
    let mut taken = 0;
    // Five times the volume; the default of file.delete.delay.ms would keep all of it for a minute.
    while taken < 800 {
        match client.append("t", &[&value]).error_code {
            0 => taken += 1,
            code => {
                assert_eq!(code, KAFKA_STORAGE_ERROR);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    broker.shutdown_blocking().unwrap();
}
