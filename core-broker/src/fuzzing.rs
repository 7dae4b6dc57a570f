//! What the fuzzer throws bytes at; built with `--cfg fuzzing` only.
//!
//! Why: frames, requests, record batches and log files come from outside; whatever they hold, nothing may panic, and
//! memory stays bounded. The parsers are private, so their entry points for the fuzzer stand here. Does not own: the
//! engine, the corpus, the limit on memory (`fuzz/`).

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use crate::api::{self, Started};
use crate::broker::BrokerState;
use crate::config::BrokerConfig;
use crate::ids::{Offset, TopicName, TopicPartition};
use crate::log::batch::{BatchBuilder, RecordBatches, ValidationRules};
use crate::log::{LogConfig, LogDir, LogOptions, Origin, SystemClock};
use crate::server::Peer;
use crate::server::budget::Budget;
use crate::server::frame::FrameReader;

/// Most that one input may make the broker decompress.
const DECOMPRESSED_BYTES_MAX: usize = 8 << 20;
/// Requests that create or remove files by the thousand, or change settings for all that follow: CreateTopics,
/// DeleteTopics, AlterConfigs, CreatePartitions, IncrementalAlterConfigs. Their bytes are walked, not carried out.
const NOT_CARRIED_OUT: [i16; 5] = [19, 20, 33, 37, 44];

/// A broker that requests are thrown at.
pub struct Target {
    runtime: Runtime,
    broker: Arc<BrokerState>,
}

impl Target {
    /// A broker with one topic.
    ///
    /// # Panics
    /// If the directory cannot be used.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be started");
        let config = BrokerConfig {
            offsets_topic_num_partitions: 1,
            ..BrokerConfig::default()
        };
        let listeners = config.listeners.clone();
        let options = LogOptions::default();
        let broker = crate::builder::open(
            dir.to_owned(),
            Arc::new(config),
            options,
            Arc::new(SystemClock),
            listeners,
            runtime.handle(),
        )
        .expect("the directory can be opened");
        // It is there already if the directory was used before.
        let _ = broker.topics.create("t", Some(2), crate::topic::Overrides::new());
        Self { runtime, broker }
    }

    /// One request: header, walk along the layout, decoder, handler up to its first wait.
    pub fn request(&self, bytes: &[u8]) {
        if let Some(key) = bytes.first_chunk().map(|key| i16::from_be_bytes(*key))
            && NOT_CARRIED_OUT.contains(&key)
        {
            return;
        }
        let _entered = self.runtime.enter();
        let address = ([127, 0, 0, 1], 1).into();
        let peer = Peer {
            address,
            local: address,
            listener: 0,
        };
        if let Ok((_, Started::Later(mut reply))) =
            api::start(&self.broker, peer, Bytes::copy_from_slice(bytes))
        {
            let _ = reply.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// A connection's bytes, cut into arrivals by the first of them: frames come out whole, or reading ends in an error.
    ///
    /// # Panics
    /// If a frame is not what was sent.
    pub fn frames(&self, bytes: &[u8]) {
        let Some((cut, stream)) = bytes.split_first() else {
            return;
        };
        let step = usize::from(*cut).max(1);
        let budget = Budget::new(1 << 20);
        self.runtime.block_on(async {
            let (mut ours, theirs) = tokio::io::duplex(step);
            let mut reader = FrameReader::new(theirs, 1 << 16, &budget);
            let sending = async {
                let _ = ours.write_all(stream).await;
                drop(ours);
            };
            let reading = async {
                let mut at = 0;
                while let Ok(frame) = reader.next().await {
                    assert_eq!(frame.bytes, stream[at + 4..at + 4 + frame.bytes.len()]);
                    at += 4 + frame.bytes.len();
                }
                drop(reader);
            };
            tokio::join!(sending, reading);
        });
    }
}

/// The same bytes with the length and the checksum that they should have: guessing a checksum is beyond any fuzzer.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    /// Everything from the attributes on is covered by the checksum before them.
    const CRC: usize = 17;
    let mut sealed = bytes.to_vec();
    if let Some(covered) = sealed.get(CRC + 4..) {
        let crc = crc32c::crc32c(covered).to_be_bytes();
        let length = (sealed.len() as i32 - 12).to_be_bytes();
        sealed[CRC..CRC + 4].copy_from_slice(&crc);
        sealed[8..12].copy_from_slice(&length);
        sealed[16] = 2;
    }
    sealed
}

/// Record batches as they come from a producer or a file.
pub fn batch(bytes: &[u8]) {
    walk(bytes);
    walk(&sealed(bytes));
}

fn walk(bytes: &[u8]) {
    for batch in RecordBatches::new(bytes) {
        let Ok(batch) = batch else { break };
        for from_coordinator in [false, true] {
            let rules = ValidationRules {
                keys_required: from_coordinator,
                from_coordinator,
                decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            };
            let _ = batch.validate(&rules);
        }
        let _ = batch.end_marker();
        let Ok(records) = batch.records(DECOMPRESSED_BYTES_MAX) else {
            continue;
        };
        for record in records.iter().flatten() {
            assert_eq!(record.headers.iter().count(), record.headers.len());
        }
    }
}

/// A log file that a crash or a stranger left: it opens, cut where it is damaged, and takes new records.
///
/// # Panics
/// If a file is neither repaired nor refused, or what was appended afterwards cannot be read.
pub fn segment(dir: &Path, bytes: &[u8]) {
    let topic = TopicName::from("t");
    let tp = TopicPartition {
        topic,
        partition: crate::ids::PartitionId(0),
    };
    let _ = std::fs::remove_dir_all(dir);
    let open = || LogDir::open(dir, LogOptions::default(), |_| LogConfig::default());
    let first = open().expect("an empty directory can be opened");
    first
        .create_partition(&tp, LogConfig::default())
        .expect("the partition is new");
    drop(first);
    let file = dir.join("t-0").join("00000000000000000000.log");
    // Two whole batches, then whatever came.
    let half = bytes.len() / 2;
    let content = match bytes.first() {
        Some(first) if first % 2 == 0 => [sealed(&bytes[..half]), sealed(&bytes[half..])].concat(),
        _ => bytes.to_vec(),
    };
    std::fs::write(file, content).expect("the file can be written");
    let Ok(logs) = open() else { return };
    let Some(log) = logs.partition(&tp) else { return };
    let mut next = log.log_start_offset();
    while let Ok(slice) = log.read(next, 1 << 20, log.high_watermark(), true) {
        let bytes = slice.read().expect("what is visible can be read");
        let last = RecordBatches::new(&bytes).last();
        let Some(Ok(last)) = last else { break };
        assert!(last.header().next_offset() > next.0);
        next = Offset(last.header().next_offset());
    }
    assert_eq!(next, log.high_watermark());
    let mut builder = BatchBuilder::new();
    builder.push(1, Some(b"k"), Some(b"v"), &[]);
    let batch = builder.build().expect("one small record fits a batch");
    let end = log.log_end_offset();
    if let Ok(appended) = log.append(batch, Origin::Client) {
        assert_eq!(appended.base_offset, end);
    }
}
