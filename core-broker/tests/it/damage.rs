//! Damaged files of a data directory: the broker has everything afterwards, or does not start and says which file to
//! repair. Records themselves (`.log`) have checksums of their own and tests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DescribeProducersRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest,
};
use millstream_broker::config::BrokerConfig;
use millstream_broker::log::batch::BatchBuilder;
use millstream_broker::{Broker, BrokerHandle, StartError};

use crate::client::*;
use crate::configs::{BROKER, TOPIC, alter, value};

const RECORDS: i64 = 48;
/// The plain topic's records before it are deleted.
const DELETED_TO: i64 = 9;
/// What recovery begins at; without it every log is checked in full.
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const TOPICS: [&str; 2] = ["compacted", "plain"];
/// Cases a file and kind of damage, at most.
const CASES_MAX: usize = 16;
/// Files of one kind in one partition that are damaged, at most.
const ALIKE_MAX: usize = 2;

fn damage_config() -> BrokerConfig {
    BrokerConfig {
        log_segment_bytes: 1_000,
        log_index_interval_bytes: 100,
        log_cleaner_backoff_ms: 20,
        log_message_timestamp_before_max_ms: i64::MAX,
        log_retention_ms: Some(-1),
        ..config()
    }
}

fn begin(dir: &Path) -> Result<BrokerHandle, StartError> {
    Broker::builder()
        .data_dir(dir)
        .listener("127.0.0.1:0")
        .config(damage_config())
        .start_blocking()
}

fn new_producer(client: &mut Client) -> i64 {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let response = client.call(4, &request);
    assert_eq!(response.error_code, 0);
    response.producer_id.0
}

/// Everything that a client can see.
#[derive(Debug, PartialEq)]
struct Seen {
    topics: Vec<(String, uuid::Uuid, usize)>,
    cluster: String,
    configs: Vec<Option<(String, i8, Vec<i8>)>>,
    /// The first batch of the answer to a fetch, by topic and offset.
    batches: BTreeMap<(&'static str, i64), Vec<u8>>,
    /// The offset found by timestamp, by topic and timestamp.
    times: BTreeMap<(&'static str, i64), i64>,
    starts: Vec<i64>,
    producers: Vec<BTreeSet<(i64, i32)>>,
}

fn list_offset(client: &mut Client, topic: &str, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response = client.call(5, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    response.topics[0].partitions[0].offset
}

fn see(broker: &BrokerHandle) -> Seen {
    let mut client = Client::connect(broker.address());
    let metadata = client.call(12, &MetadataRequest::default().with_topics(None));
    let topics = metadata.topics.iter();
    let mut seen = Seen {
        topics: topics
            .map(|t| {
                (
                    t.name.as_ref().unwrap().to_string(),
                    t.topic_id,
                    t.partitions.len(),
                )
            })
            .collect(),
        cluster: broker.cluster_id().to_owned(),
        configs: Vec::new(),
        batches: BTreeMap::new(),
        times: BTreeMap::new(),
        starts: Vec::new(),
        producers: Vec::new(),
    };
    for (kind, name, key) in [
        (BROKER, "", "log.cleaner.delete.retention.ms"),
        (BROKER, "1", "message.max.bytes"),
        (TOPIC, "plain", "max.message.bytes"),
        (TOPIC, "compacted", "cleanup.policy"),
    ] {
        seen.configs.push(value(&mut client, kind, name, key));
    }
    for topic in TOPICS {
        let start = list_offset(&mut client, topic, -2);
        seen.starts.push(start);
        for offset in start..RECORDS {
            let response = client.call(11, &fetch(topic, 0, offset));
            let answer = &response.responses[0].partitions[0];
            assert_eq!(answer.error_code, 0, "{topic} from {offset}");
            let bytes = answer.records.clone().unwrap();
            assert!(bytes.len() > 12, "{topic} from {offset}: nothing");
            let length = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize + 12;
            seen.batches.insert((topic, offset), bytes[..length].to_vec());
        }
        for timestamp in 0..=RECORDS + 1 {
            let found = list_offset(&mut client, topic, timestamp * 1_000);
            seen.times.insert((topic, timestamp), found);
        }
        let asked = TopicRequest::default()
            .with_name(name(topic))
            .with_partition_indexes(vec![0]);
        let request = DescribeProducersRequest::default().with_topics(vec![asked]);
        let response = client.call(0, &request);
        let producers = response.topics[0].partitions[0].active_producers.iter();
        let producers = producers.map(|p| (p.producer_id.0, p.last_sequence));
        seen.producers.push(producers.collect());
    }
    seen
}

/// Base offsets of a partition's segments.
fn segments(folder: &Path) -> BTreeSet<i64> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
        .collect()
}

/// Whether all but the segment being written was compacted.
fn is_compacted(dir: &Path) -> bool {
    let text = std::fs::read_to_string(dir.join("cleaner-offset-checkpoint")).unwrap_or_default();
    let cleaned_to = text.lines().find_map(|line| line.strip_prefix("compacted 0 "));
    cleaned_to.is_some_and(|to| Some(&to.parse().unwrap()) == segments(&dir.join("compacted-0")).last())
}

/// A directory with files of every kind, closed cleanly; records with the same key are compacted.
fn fill(dir: &Path, key: fn(i64) -> String) -> (Seen, i64) {
    let broker = begin(dir).unwrap();
    let mut client = Client::connect(broker.address());
    for topic in TOPICS {
        client.touch(topic);
    }
    let change = [
        (0, "cleanup.policy", Some("compact")),
        (0, "min.cleanable.dirty.ratio", Some("0")),
    ];
    assert_eq!(alter(&mut client, TOPIC, "compacted", &change).0, 0);
    let change = [(0, "max.message.bytes", Some("5000"))];
    assert_eq!(alter(&mut client, TOPIC, "plain", &change).0, 0);
    let change = [(0, "log.cleaner.delete.retention.ms", Some("123456"))];
    assert_eq!(alter(&mut client, BROKER, "", &change).0, 0);
    let change = [(0, "message.max.bytes", Some("70000"))];
    assert_eq!(alter(&mut client, BROKER, "1", &change).0, 0);
    let producer = new_producer(&mut client);
    for topic in TOPICS {
        for n in 0..RECORDS {
            let mut builder = BatchBuilder::new().producer(producer, 0, n as i32);
            let key = key(n);
            let value = format!("{n:040}");
            builder.push((n + 1) * 1_000, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
            let records = Some(builder.build().unwrap());
            let answer = only_partition(client.call(9, &produce(topic, 0, -1, records)));
            assert_eq!((answer.error_code, answer.base_offset), (0, n));
        }
    }
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(0)
        .with_offset(DELETED_TO);
    let topic = DeleteRecordsTopic::default()
        .with_name(name("plain"))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(5_000);
    assert_eq!(client.call(2, &request).topics[0].partitions[0].error_code, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_compacted(dir) {
        assert!(Instant::now() < deadline, "nothing was compacted");
        std::thread::sleep(Duration::from_millis(20));
    }
    let last = new_producer(&mut client);
    broker.shutdown_blocking().unwrap();
    let broker = begin(dir).unwrap();
    let seen = see(&broker);
    broker.shutdown_blocking().unwrap();
    (seen, last)
}

fn files(dir: &Path, within: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir.join(within)).unwrap() {
        let entry = entry.unwrap();
        let path = within.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(dir, &path, found);
        } else {
            found.push(path);
        }
    }
}

fn copy(from: &Path, files: &[PathBuf], to: &Path) {
    for file in files {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(file), target).unwrap();
    }
}

/// At most so many of `0..length`, the first and the last among them.
fn some_of(length: usize) -> impl Iterator<Item = usize> {
    let step = length.div_ceil(CASES_MAX).max(1);
    let last = length.checked_sub(1);
    (0..length).step_by(step).chain(last)
}

fn damages(content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for length in some_of(content.len()) {
        all.push((format!("cut to {length} bytes"), content[..length].to_vec()));
    }
    for start in some_of(content.len()) {
        let mut zeroed = content.to_vec();
        zeroed[start..].fill(0);
        all.push((format!("zero from byte {start}"), zeroed));
        let mut flipped = content.to_vec();
        flipped[start] ^= 1 << (start % 7);
        all.push((format!("a bit of byte {start} flipped"), flipped));
    }
    all.push(("garbage".to_owned(), vec![0xa5; content.len().max(7)]));
    all
}

/// Entries that say a little less or more than the truth, still in order or not.
fn entry_flips(content: &[u8], entry_bytes: usize) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (at, bit) in (0..content.len()).flat_map(|at| (0..5).map(move |bit| (at, bit))) {
        // The last byte of each number.
        if at % entry_bytes == entry_bytes - 1 || at % entry_bytes == entry_bytes - 5 {
            let mut flipped = content.to_vec();
            flipped[at] ^= 1 << bit;
            all.push((format!("bit {bit} of byte {at} flipped"), flipped));
        }
    }
    all
}

fn check(dir: &Path, file: &Path, how: &str, expected: &Seen, last_producer: i64) -> bool {
    match begin(dir) {
        Ok(broker) => {
            let seen = see(&broker);
            assert_eq!(&seen, expected, "{}: {how}", file.display());
            let next = new_producer(&mut Client::connect(broker.address()));
            assert!(
                next > last_producer,
                "{}: {how}: producer id {next} again",
                file.display()
            );
            broker.shutdown_blocking().unwrap();
            true
        }
        Err(error) => {
            let message = error.to_string();
            let name = file.file_name().unwrap().to_string_lossy();
            let remedy = ["restore", "remove", "move"]
                .iter()
                .any(|word| message.contains(word));
            assert!(
                message.contains(&*name) && remedy,
                "{}: {how}: {message}",
                file.display()
            );
            false
        }
    }
}

fn twenty_keys(n: i64) -> String {
    format!("k{}", n % 20)
}

/// All files but the lock, in order.
fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(dir, Path::new(""), &mut all);
    all.retain(|file| file.file_name().is_some_and(|name| name != ".lock"));
    all.sort();
    all
}

/// Damages each file whose name `wanted` takes; gives how often the broker started and how often it refused.
fn damage_each(wanted: impl Fn(&Path) -> bool, kinds: &[&str]) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (expected, last_producer) = fill(dir.path(), twenty_keys);
    let all = all_files(dir.path());
    let mut alike: BTreeMap<_, usize> = BTreeMap::new();
    let mut chosen: Vec<&PathBuf> = all.iter().filter(|file| wanted(file)).collect();
    chosen.retain(|file| {
        let seen = alike.entry((file.parent(), file.extension())).or_default();
        *seen += 1;
        is_at_the_top(file) || *seen <= ALIKE_MAX
    });
    for kind in kinds {
        let there = |file: &&&PathBuf| file.to_string_lossy().ends_with(kind);
        assert!(chosen.iter().any(|file| there(&file)), "no {kind} in {all:?}");
    }
    let (mut started, mut refused) = (0, 0);
    for file in chosen {
        let content = std::fs::read(dir.path().join(file)).unwrap();
        let entry_bytes = match file.extension().and_then(|e| e.to_str()) {
            Some("index") => Some(8),
            Some("timeindex") => Some(12),
            _ => None,
        };
        let entries = entry_bytes.map(|bytes| entry_flips(&content, bytes));
        for (how, damaged) in damages(&content).into_iter().chain(entries.into_iter().flatten()) {
            if damaged == content {
                continue;
            }
            let victim = tempfile::tempdir().unwrap();
            copy(dir.path(), &all, victim.path());
            std::fs::write(victim.path().join(file), damaged).unwrap();
            match check(victim.path(), file, &how, &expected, last_producer) {
                true => started += 1,
                false => refused += 1,
            }
        }
    }
    (started, refused)
}

fn is_at_the_top(file: &Path) -> bool {
    file.components().count() == 1
}

#[test]
fn of_the_directory() {
    let (_, refused) = damage_each(
        |file| is_at_the_top(file) && file.to_string_lossy() != ".reserve",
        &[
            "topics",
            "broker-configs",
            "producer-ids",
            "meta.properties",
            RECOVERY_POINTS,
            "log-start-offset-checkpoint",
            "cleaner-offset-checkpoint",
            ".kafka_cleanshutdown",
        ],
    );
    assert!(refused > 100, "{refused}");
}

#[test]
fn of_producers() {
    let snapshots = |file: &Path| file.extension().is_some_and(|e| e == "snapshot");
    let (_, refused) = damage_each(
        |file| snapshots(file) && TOPICS.iter().any(|t| file.starts_with(format!("{t}-0"))),
        &[".snapshot"],
    );
    assert_eq!(refused, 0);
}

#[test]
fn of_indexes() {
    let indexes = |file: &Path| file.extension().is_some_and(|e| e == "index" || e == "timeindex");
    let (_, refused) = damage_each(
        |file| indexes(file) && TOPICS.iter().any(|t| file.starts_with(format!("{t}-0"))),
        &[".index", ".timeindex"],
    );
    assert_eq!(refused, 0);
}

/// Without it, the segments behind a gap would be taken for what is left after a loss, and be removed.
#[test]
fn of_the_gaps_that_compaction_leaves() {
    let dir = tempfile::tempdir().unwrap();
    // Each segment loses a third of its records, and some their last ones; what stays is too much to become one.
    let (expected, last_producer) = fill(dir.path(), |n| match n % 3 {
        2 => "often".to_owned(),
        _ => format!("once {n}"),
    });
    let file = Path::new("compacted-0/compaction-gaps");
    let all = all_files(dir.path());
    let content = std::fs::read(dir.path().join(file)).unwrap();
    let with = |content: &[u8], is_full_check: bool| {
        let victim = tempfile::tempdir().unwrap();
        copy(dir.path(), &all, victim.path());
        std::fs::write(victim.path().join(file), content).unwrap();
        if is_full_check {
            std::fs::remove_file(victim.path().join(RECOVERY_POINTS)).unwrap();
        }
        victim
    };
    // The file is needed: were it to say that there are no gaps, records would be gone.
    let there = segments(&dir.path().join("compacted-0"));
    let misled = with(b"0\n0\n", true);
    begin(misled.path()).unwrap().shutdown_blocking().unwrap();
    assert!(segments(&misled.path().join("compacted-0")).len() < there.len());
    for is_full_check in [false, true] {
        for (how, damaged) in damages(&content) {
            let victim = with(&damaged, is_full_check);
            let started = check(victim.path(), file, &how, &expected, last_producer);
            assert!(started, "{how}");
        }
    }
}

#[test]
fn of_an_interrupted_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let (expected, last_producer) = fill(dir.path(), twenty_keys);
    let file = Path::new("plain-0/00000000000000000000.swap");
    for (how, content) in [
        ("empty", &b""[..]),
        ("cut off", b"1\nlog index\n"),
        ("garbage", &[0xa5; 40]),
    ] {
        std::fs::write(dir.path().join(file), content).unwrap();
        assert!(!check(dir.path(), file, how, &expected, last_producer), "{how}");
    }
    std::fs::remove_file(dir.path().join(file)).unwrap();
    assert!(check(dir.path(), file, "removed", &expected, last_producer));
}
