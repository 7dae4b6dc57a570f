//! Crashes at every step.
mod disks;
mod formats;
mod memory;
mod owners;
mod promises;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    ErrorKind, FailedRecord, PartitionOffset, PluginError, SinkPlugin, SinkTask, SinkTaskContext, TaskId,
    TopicPartition,
};
use millstream_connect::record::{Datum, Origin, Record, Value};
use proptest::prelude::*;

use super::FileSink;
use super::disk::{Disk, RealDisk};
use super::simulation::SimulatedDisk;
use super::task::FileSinkTask;

pub(super) fn record(topic: &str, partition: i32, offset: i64, value: Datum) -> Record {
    let topic: Arc<str> = Arc::from(topic);
    let mut record = Record::new(Arc::clone(&topic), value);
    record.partition = Some(partition);
    record.timestamp = Some(1_700_000_000_000 + offset * 60_000);
    record.origin = Some(Origin {
        topic,
        partition,
        offset,
    });
    record
}

fn line(partition: i32, offset: i64) -> Record {
    record(
        "t",
        partition,
        offset,
        Datum::text(format!("{partition}:{offset}")),
    )
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition {
        topic: Arc::from("t"),
        partition: number,
    }
}

/// A sink and the runtime that drives it.
struct Bench {
    runtime: tokio::runtime::Runtime,
    config: ConfigMap,
    task: FileSinkTask,
    disk: Arc<dyn Disk>,
}

impl Bench {
    fn new(disk: Arc<dyn Disk>, keys: &[(&str, &str)]) -> Self {
        let keys = keys.iter().chain(&[("name", "c")]);
        let config = keys
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            config,
            task: FileSinkTask::new(Arc::clone(&disk)),
            disk,
        }
    }

    /// The same connector under another name.
    fn named(mut self, name: &str) -> Self {
        self.config.insert("name".to_owned(), name.to_owned());
        self
    }

    fn start(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        self.task = FileSinkTask::new(Arc::clone(&self.disk));
        let context = SinkTaskContext {
            task: TaskId {
                connector: self.config["name"].clone(),
                task: 0,
            },
        };
        self.runtime.block_on(self.task.start(&self.config, context))?;
        self.runtime.block_on(self.task.open(partitions))
    }

    fn put(&mut self, records: Vec<Record>) -> Result<Vec<FailedRecord>, PluginError> {
        self.runtime.block_on(self.task.put(&records))
    }

    fn flush(&mut self, taken: &[(i32, i64)]) -> Result<Vec<PartitionOffset>, PluginError> {
        let taken = taken.iter().map(|(number, next)| PartitionOffset {
            partition: partition(*number),
            next: *next,
        });
        let taken: Vec<PartitionOffset> = taken.collect();
        self.runtime.block_on(self.task.flush(&taken))
    }

    /// Opens again, as the same task.
    fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        self.runtime.block_on(self.task.open(partitions))
    }

    fn close(&mut self, lost: bool) -> Result<(), PluginError> {
        self.runtime
            .block_on(self.task.close(&[partition(0), partition(1)], lost))
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.task.stop());
    }
}

/// What a folder's complete files say, by partition.
fn lines_of(files: &[(PathBuf, Vec<u8>)]) -> BTreeMap<i32, Vec<i64>> {
    let mut found: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let whole = files.iter().filter(|(path, _)| {
        !path
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
    });
    for (_, content) in whole {
        for line in String::from_utf8(content.clone()).unwrap().lines() {
            let (partition, offset) = line.split_once(':').unwrap();
            found
                .entry(partition.parse().unwrap())
                .or_default()
                .push(offset.parse().unwrap());
        }
    }
    found.values_mut().for_each(|offsets| offsets.sort());
    found
}

/// Runs a sink that crashes again and again until all records are written, and checks what is there.
fn survives(keys: &[(&str, &str)], crashes: &[(u64, bool)], luck: u64) {
    const RECORDS: i64 = 40;
    let disk = SimulatedDisk::default();
    disk.restart(&mut || true);
    let mut bench = Bench::new(Arc::new(disk.clone()), keys);
    let mut random = luck | 1;
    let mut chance = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.is_multiple_of(2)
    };
    let mut committed = [0_i64; 2];
    let mut crashes = crashes.iter();
    let partitions = [partition(0), partition(1)];
    for round in 1.. {
        assert!(round < 1000, "it gets nowhere");
        let crash = crashes.next();
        if let Some((steps, _)) = crash {
            disk.crash_after(*steps, io::ErrorKind::StorageFull);
        }
        let mut run = || -> Result<bool, PluginError> {
            let mut next = committed;
            for known in bench.start(&partitions)? {
                next[usize::try_from(known.partition.partition).unwrap()] = known.next;
            }
            assert!(
                next[0] >= committed[0] && next[1] >= committed[1],
                "what was committed is durable"
            );
            while next.iter().any(|next| *next < RECORDS) {
                let mut batch = Vec::new();
                for (number, next) in (0..).zip(&mut next) {
                    for _ in 0..3 {
                        if *next < RECORDS {
                            batch.push(line(number, *next));
                            *next += 1;
                        }
                    }
                }
                assert!(bench.put(batch)?.is_empty());
                for durable in bench.flush(&[(0, next[0]), (1, next[1])])? {
                    let number = usize::try_from(durable.partition.partition).unwrap();
                    assert!(durable.next >= committed[number]);
                    committed[number] = durable.next;
                }
            }
            bench.close(false)?;
            bench.stop();
            Ok(true)
        };
        match run() {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}"),
        }
        match crash {
            Some((_, true)) => disk.restart(&mut chance),
            _ => disk.kill(),
        }
    }
    disk.restart(&mut || false);
    let expected: Vec<i64> = (0..RECORDS).collect();
    let found = lines_of(&disk.all_files());
    assert_eq!(found, BTreeMap::from([(0, expected.clone()), (1, expected)]));
}

const SINGLE: &[(&str, &str)] = &[("file", "/out/lines.txt")];
const ROLLING: &[(&str, &str)] = &[("directory", "/out"), ("roll.records", "4")];
const PARTITIONED: &[(&str, &str)] = &[
    ("directory", "/out"),
    ("roll.records", "3"),
    ("path.format", "{topic}/{mm}"),
];

#[test]
fn a_crash_at_each_step_neither_loses_nor_repeats() {
    for keys in [SINGLE, ROLLING, PARTITIONED] {
        for step in 0..150 {
            for machine in [false, true] {
                survives(keys, &[(step, machine)], step);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn crashes_upon_crashes(
        crashes in proptest::collection::vec((0_u64..120, any::<bool>()), 1..25),
        luck in any::<u64>(),
        which in 0_usize..3,
    ) {
        survives([SINGLE, ROLLING, PARTITIONED][which], &crashes, luck);
    }
}

#[test]
fn wrong_keys_are_told() {
    let errors = |keys: &[(&str, &str)]| {
        let config = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let values = FileSink.validate(&config);
        values
            .into_iter()
            .filter(|value| !value.errors.is_empty())
            .map(|value| value.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(errors(&[("file", "a"), ("directory", "b")]), ["directory"]);
    assert_eq!(
        errors(&[("file", "a"), ("format", "csv"), ("compression", "gzip")]),
        ["format", "compression"]
    );
    assert_eq!(
        errors(&[
            ("directory", "a"),
            ("path.format", "../{topic}"),
            ("roll.records", "0")
        ]),
        ["roll.records"]
    );
    assert_eq!(
        errors(&[("directory", "a"), ("path.format", "../{topic}")]),
        ["path.format"]
    );
    assert_eq!(errors(&[]), [""; 0]);
}
