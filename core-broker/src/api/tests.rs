//! Every layout against the generated decoder, and every API against hostile bytes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::shape::{Field, Kind};
use super::*;
use crate::config::BrokerConfig;
use crate::log::{LogOptions, SystemClock};

type DecodeFn = fn(&mut Bytes, i16) -> bool;

fn decode_as<T: Decodable>(body: &mut Bytes, version: i16) -> bool {
    T::decode(body, version).is_ok()
}

/// The generated decoder of each API.
fn decoder(key: i16) -> DecodeFn {
    match key {
        0 => decode_as::<ProduceRequest>,
        1 => decode_as::<FetchRequest>,
        2 => decode_as::<ListOffsetsRequest>,
        3 => decode_as::<MetadataRequest>,
        8 => decode_as::<OffsetCommitRequest>,
        9 => decode_as::<OffsetFetchRequest>,
        10 => decode_as::<FindCoordinatorRequest>,
        11 => decode_as::<JoinGroupRequest>,
        12 => decode_as::<HeartbeatRequest>,
        13 => decode_as::<LeaveGroupRequest>,
        14 => decode_as::<SyncGroupRequest>,
        15 => decode_as::<DescribeGroupsRequest>,
        16 => decode_as::<ListGroupsRequest>,
        18 => decode_as::<ApiVersionsRequest>,
        19 => decode_as::<CreateTopicsRequest>,
        20 => decode_as::<DeleteTopicsRequest>,
        21 => decode_as::<DeleteRecordsRequest>,
        22 => decode_as::<InitProducerIdRequest>,
        23 => decode_as::<OffsetForLeaderEpochRequest>,
        24 => decode_as::<AddPartitionsToTxnRequest>,
        25 => decode_as::<AddOffsetsToTxnRequest>,
        26 => decode_as::<EndTxnRequest>,
        27 => decode_as::<WriteTxnMarkersRequest>,
        28 => decode_as::<TxnOffsetCommitRequest>,
        32 => decode_as::<DescribeConfigsRequest>,
        33 => decode_as::<AlterConfigsRequest>,
        35 => decode_as::<DescribeLogDirsRequest>,
        37 => decode_as::<CreatePartitionsRequest>,
        42 => decode_as::<DeleteGroupsRequest>,
        44 => decode_as::<IncrementalAlterConfigsRequest>,
        47 => decode_as::<OffsetDeleteRequest>,
        60 => decode_as::<DescribeClusterRequest>,
        61 => decode_as::<DescribeProducersRequest>,
        65 => decode_as::<DescribeTransactionsRequest>,
        66 => decode_as::<ListTransactionsRequest>,
        75 => decode_as::<DescribeTopicPartitionsRequest>,
        other => panic!("add the decoder of API {other} here"),
    }
}

/// A small generator that needs no state but a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Writes bodies that have a layout.
struct Author<'a> {
    dice: &'a mut Dice,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl Author<'_> {
    fn body(shape: &'static Shape, version: i16, dice: &mut Dice) -> Vec<u8> {
        let mut author = Author {
            dice,
            version,
            flexible: shape.is_flexible(version),
            out: Vec::new(),
        };
        author.structure(shape.fields);
        author.out
    }

    fn structure(&mut self, fields: &'static [Field]) {
        let present: Vec<&Field> = fields.iter().filter(|f| f.is_in(self.version)).collect();
        for field in &present {
            self.field(field.kind());
        }
        if self.flexible {
            let mut known: Vec<Kind> = present
                .iter()
                .map(|f| f.kind())
                .filter(|k| k.tag().is_some())
                .collect();
            known.retain(|_| self.dice.below(2) == 0);
            let unknown = self.dice.below(3);
            self.varint(known.len() as u32 + unknown as u32);
            for kind in known {
                let mut content = Author {
                    dice: &mut *self.dice,
                    version: self.version,
                    flexible: true,
                    out: Vec::new(),
                };
                match kind {
                    Kind::TagFixed(_, bytes) => content.fixed(bytes),
                    Kind::TagStruct(_, fields) => content.structure(fields),
                    _ => content.text(),
                }
                let content = content.out;
                self.varint(kind.tag().unwrap());
                self.varint(content.len() as u32);
                self.out.extend(content);
            }
            for at in 0..unknown {
                self.varint(1000 + at as u32);
                let length = self.dice.below(300) as usize;
                self.varint(length as u32);
                self.fixed(length);
            }
        }
    }

    fn field(&mut self, kind: Kind) {
        match kind {
            Kind::Fixed(bytes) => self.fixed(bytes),
            Kind::Text => self.text(),
            Kind::Bytes => {
                let length = self.dice.below(200) as usize;
                self.length(length);
                self.fixed(length);
            }
            Kind::FixedArray(bytes) => {
                let length = self.dice.below(4) as usize;
                self.length(length);
                self.fixed(length * bytes);
            }
            Kind::TextArray => {
                let length = self.dice.below(4) as usize;
                self.length(length);
                (0..length).for_each(|_| self.text());
            }
            Kind::Array(fields) => {
                let length = self.dice.below(4) as usize;
                self.length(length);
                (0..length).for_each(|_| self.structure(fields));
            }
            Kind::Optional(fields) => {
                let present = self.dice.below(2) == 0;
                self.out.push(if present { 1 } else { 0xff });
                if present {
                    self.structure(fields);
                }
            }
            Kind::TagFixed(..) | Kind::TagText(_) | Kind::TagStruct(..) => {}
        }
    }

    fn fixed(&mut self, bytes: usize) {
        // Mostly large numbers: a request must not create ten thousand partitions by chance.
        for _ in 0..bytes {
            let byte = self.dice.next() as u8;
            self.out.push(byte);
        }
    }

    fn text(&mut self) {
        let length = self.dice.below(12) as usize;
        if self.flexible {
            self.varint(length as u32 + 1);
        } else {
            self.out.put_i16(length as i16);
        }
        for _ in 0..length {
            let letter = b'a' + self.dice.below(26) as u8;
            self.out.push(letter);
        }
    }

    fn length(&mut self, length: usize) {
        if self.flexible {
            self.varint(length as u32 + 1);
        } else {
            self.out.put_i32(length as i32);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

/// Every API with every version that the generated decoder has.
fn every_version() -> impl Iterator<Item = (&'static ApiSpec, i16)> {
    let decodable = |spec: &ApiSpec| if spec.key == 0 { 3 } else { spec.min };
    REGISTRY
        .iter()
        .flat_map(move |spec| (decodable(spec)..=spec.max).map(move |version| (spec, version)))
}

fn mutate(body: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        if body.is_empty() {
            return;
        }
        let at = dice.below(body.len() as u64) as usize;
        match dice.below(5) {
            0 => body.truncate(at),
            1 => body[at] = 0xff,
            2 => body[at] ^= 1 << dice.below(8),
            3 => body.insert(at, 0x7f),
            _ => {
                let end = (at + 4).min(body.len());
                body[at..end].fill(if dice.below(2) == 0 { 0x7f } else { 0xff });
            }
        }
    }
}

#[test]
fn the_registry_is_sorted_and_its_versions_are_decodable() {
    assert!(REGISTRY.is_sorted_by_key(|spec| spec.key));
    for spec in REGISTRY {
        decoder(spec.key);
        let key = ApiKey::try_from(spec.key).unwrap();
        let range = key.valid_versions();
        assert!(
            spec.max <= range.max && (spec.key == 0 || spec.min >= range.min),
            "{}",
            spec.name
        );
        for version in spec.min.max(range.min)..=spec.max {
            let flexible = spec.shape.is_flexible(version);
            assert_eq!(
                key.request_header_version(version),
                if flexible { 2 } else { 1 },
                "{} {version}",
                spec.name
            );
        }
    }
}

#[test]
fn layouts_agree_with_the_decoders() {
    let mut dice = Dice(1);
    for (spec, version) in every_version() {
        for _ in 0..100 {
            let body = Author::body(spec.shape, version, &mut dice);
            assert_eq!(
                spec.shape.walk(&body, version),
                Ok(body.len()),
                "{} {version}",
                spec.name
            );
            let mut rest = Bytes::from(body);
            assert!(decoder(spec.key)(&mut rest, version), "{} {version}", spec.name);
            assert!(
                rest.is_empty(),
                "{} {version}: {} bytes left",
                spec.name,
                rest.len()
            );
        }
    }
}

#[test]
fn what_the_walk_accepts_the_decoder_takes_whole_or_refuses() {
    let mut dice = Dice(2);
    for (spec, version) in every_version() {
        for _ in 0..300 {
            let mut body = Author::body(spec.shape, version, &mut dice);
            mutate(&mut body, &mut dice);
            let Ok(taken) = spec.shape.walk(&body, version) else {
                continue;
            };
            let whole = body.len();
            let mut rest = Bytes::from(body);
            let decoded =
                std::panic::catch_unwind(AssertUnwindSafe(|| decoder(spec.key)(&mut rest, version)));
            let decoded = decoded.unwrap_or_else(|_| panic!("{} {version} panicked", spec.name));
            if decoded {
                assert_eq!(whole - rest.len(), taken, "{} {version}", spec.name);
            }
        }
    }
}

#[test]
fn random_bytes_never_pass_as_a_huge_count() {
    let mut runner = TestRunner::new(Config {
        cases: 2000,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (
        0..REGISTRY.len(),
        0..19i16,
        proptest::collection::vec(any::<u8>(), 0..200),
    );
    let outcome = runner.run(&strategy, |(at, version, body)| {
        let spec = &REGISTRY[at];
        if spec.shape.walk(&body, version).is_ok() && (spec.key != 0 || version >= 3) {
            decoder(spec.key)(&mut Bytes::from(body), version);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn claimed_counts_beyond_the_bytes_or_the_limit_are_refused() {
    let metadata = find(3).unwrap().shape;
    assert!(matches!(
        metadata.walk(&i32::MAX.to_be_bytes(), 1),
        Err(ShapeError::Short { .. })
    ));
    assert!(matches!(
        metadata.walk(&(-2i32).to_be_bytes(), 1),
        Err(ShapeError::Negative { at: 0 })
    ));
    assert!(matches!(
        metadata.walk(&[0xff, 0xff, 0xff, 0xff, 0x0f], 9),
        Err(ShapeError::Short { .. })
    ));
    let mut many = 300_000i32.to_be_bytes().to_vec();
    many.resize(4 + 2 * 300_000, 0);
    assert_eq!(metadata.walk(&many, 1), Err(ShapeError::TooMany));
}

pub(crate) fn state(dir: &std::path::Path) -> Arc<BrokerState> {
    let config = BrokerConfig {
        offsets_topic_num_partitions: 1,
        transaction_state_log_num_partitions: 1,
        ..BrokerConfig::default()
    };
    let runtime = tokio::runtime::Handle::current();
    let listeners = config.listeners.clone();
    crate::builder::open(
        dir.to_owned(),
        Arc::new(config),
        LogOptions::default(),
        Arc::new(SystemClock),
        listeners,
        &runtime,
    )
    .unwrap()
}

fn frame(spec: &ApiSpec, version: i16, body: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    frame.put_i16(spec.key);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(1);
    frame.put_u8(b'c');
    if spec.shape.is_flexible(version) {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    frame.into()
}

async fn serve(broker: &Arc<BrokerState>, frame: Bytes) -> Result<(), Fault> {
    let address = ([127, 0, 0, 1], 1).into();
    let peer = Peer {
        address,
        local: address,
        listener: 0,
    };
    let (_, started) = start(broker, peer, frame)?;
    if let Started::Later(reply) = started {
        // Some wait for other members of a group, or for records.
        if let Ok(reply) = tokio::time::timeout(Duration::from_millis(30), reply).await {
            reply?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_api_survives_every_body() {
    let dir = tempfile::tempdir().unwrap();
    let broker = state(dir.path());
    let mut dice = Dice(3);
    for (spec, version) in REGISTRY
        .iter()
        .flat_map(|spec| (spec.min..=spec.max).map(move |v| (spec, v)))
    {
        for round in 0..12 {
            let mut body = Author::body(spec.shape, version, &mut dice);
            if round % 3 == 2 {
                mutate(&mut body, &mut dice);
            }
            match serve(&broker, frame(spec, version, &body)).await {
                Ok(()) | Err(Fault::Shape { .. } | Fault::Header(_) | Fault::Unacknowledged { .. }) => {}
                Err(Fault::Body { reason, .. }) if round % 3 == 2 && !reason.contains("panicked") => {}
                Err(fault) => panic!("{} {version}: {fault}", spec.name),
            }
        }
        for at in 0..12 {
            let whole = frame(spec, version, &[]);
            let _ = serve(&broker, whole.slice(..at.min(whole.len()))).await;
        }
    }
}
