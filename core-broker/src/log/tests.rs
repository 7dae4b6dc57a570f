//! The log as its users see it: append, wait, read, crash, reopen.

use std::path::Path;

use bytes::Bytes;

use super::batch::{BatchBuilder, RecordBatches};
use super::*;
use crate::ids::{Offset, TopicPartition};

fn open(path: &Path, config: &LogConfig) -> LogDir {
    LogDir::open(path, LogOptions::default(), |_| config.clone()).unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn batch(timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for timestamp in timestamps {
        builder.push(*timestamp, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

fn wait(partition: &Partition, offset: Offset) -> Result<(), LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(partition.wait_durable(offset))
}

#[test]
fn appends_reads_and_reopens() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let log = open(dir.path(), &config);
    let partition = log.create_partition(&tp(), config.clone()).unwrap();
    for index in 0..10 {
        let appended = partition.append(batch(&[index, index + 1]), Origin::Client).unwrap();
        assert_eq!(appended.base_offset, Offset(index * 2));
        wait(&partition, Offset(appended.last_offset.0 + 1)).unwrap();
        assert_eq!(partition.high_watermark(), Offset(index * 2 + 2));
    }
    let slice = partition.read(Offset(3), 1 << 20, partition.high_watermark(), true).unwrap();
    let bytes = slice.read().unwrap();
    let bases: Vec<_> = RecordBatches::new(&bytes).map(|b| b.unwrap().header().base_offset).collect();
    assert_eq!(bases, [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    log.close().unwrap();
    drop(log);
    let log = open(dir.path(), &config);
    let partition = log.partition(&tp()).unwrap();
    assert_eq!(partition.log_end_offset(), Offset(20));
    assert_eq!(partition.high_watermark(), Offset(20));
}
