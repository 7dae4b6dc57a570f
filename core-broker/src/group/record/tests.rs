//! Golden bytes, written by hand from Kafka's schemas, and what must not be read.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn committed(epoch: Option<i32>, expire: Option<i64>) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(42),
        leader_epoch: epoch.map(LeaderEpoch),
        metadata: "m".into(),
        commit_timestamp: Timestamp(0x0123_4567_89ab),
        expire_timestamp: expire.map(Timestamp),
    }
}

fn offset(value: Option<CommittedOffset>) -> Record {
    Record::Offset {
        group: "grp".into(),
        partition: TopicPartition::new("top", 5),
        value,
    }
}

fn metadata() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("m1".into()),
        state_timestamp: Timestamp(0x0123_4567_89ab),
        members: vec![MemberMetadata {
            member_id: "m1".into(),
            instance: Some("i".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    }
}

const OFFSET_KEY: &str = "0001 0003677270 0003746f70 00000005";
const GROUP_KEY: &str = "0002 0003677270";

#[test]
fn offsets_have_kafkas_bytes() {
    let (key, value) = offset(Some(committed(Some(7), None))).encode().unwrap();
    assert_eq!(key, hex(OFFSET_KEY));
    assert_eq!(
        value,
        Some(hex("0003 000000000000002a 00000007 00016d 00000123456789ab"))
    );
    let (_, value) = offset(Some(committed(None, None))).encode().unwrap();
    assert_eq!(
        value,
        Some(hex("0003 000000000000002a ffffffff 00016d 00000123456789ab"))
    );
    let (_, value) = offset(Some(committed(None, Some(9)))).encode().unwrap();
    assert_eq!(
        value,
        Some(hex(
            "0001 000000000000002a 00016d 00000123456789ab 0000000000000009"
        ))
    );
    assert_eq!(offset(None).encode().unwrap(), (hex(OFFSET_KEY), None));
}

#[test]
fn groups_have_kafkas_bytes() {
    let record = Record::Metadata {
        group: "grp".into(),
        value: Some(metadata()),
    };
    let (key, value) = record.encode().unwrap();
    assert_eq!(key, hex(GROUP_KEY));
    let expected = "0003 0008636f6e73756d6572 00000003 000572616e6765 00026d31 00000123456789ab 00000001
        00026d31 000169 000163 00022f68 0000ea60 00002710 00000002 0102 00000001 03";
    assert_eq!(value, Some(hex(expected)));
    let empty = GroupMetadata {
        protocol: None,
        leader: None,
        members: Vec::new(),
        ..metadata()
    };
    let (_, value) = Record::Metadata {
        group: "grp".into(),
        value: Some(empty),
    }
    .encode()
    .unwrap();
    let expected = "0003 0008636f6e73756d6572 00000003 ffff ffff 00000123456789ab 00000000";
    assert_eq!(value, Some(hex(expected)));
}

#[test]
fn older_versions_are_read() {
    let read = |key: &str, value: &str| Record::decode(&hex(key), Some(&hex(value))).unwrap().unwrap();
    for value in [
        "0000 000000000000002a 00016d 00000123456789ab",
        "0001 000000000000002a 00016d 00000123456789ab ffffffffffffffff",
        "0002 000000000000002a 00016d 00000123456789ab",
    ] {
        assert_eq!(read(OFFSET_KEY, value), offset(Some(committed(None, None))));
        let old_key = OFFSET_KEY.replacen("0001", "0000", 1);
        assert_eq!(read(&old_key, value), offset(Some(committed(None, None))));
    }
    let head = "0008636f6e73756d6572 00000003 000572616e6765 00026d31";
    let tail = "00002710 00000002 0102 00000001 03";
    for (version, state, rebalance, rebalance_ms) in [
        ("0000", "", "", 10_000),
        ("0001", "", "0000ea60", 60_000),
        ("0002", "00000123456789ab", "0000ea60", 60_000),
    ] {
        let value = format!("{version} {head} {state} 00000001 00026d31 000163 00022f68 {rebalance} {tail}");
        let mut expected = metadata();
        expected.members[0].instance = None;
        expected.members[0].rebalance_timeout_ms = rebalance_ms;
        if state.is_empty() {
            expected.state_timestamp = Timestamp(-1);
        }
        assert_eq!(
            read(GROUP_KEY, &value),
            Record::Metadata {
                group: "grp".into(),
                value: Some(expected)
            },
            "version {version}"
        );
    }
}

#[test]
fn other_kinds_of_records_are_skipped() {
    assert_eq!(Record::decode(&hex("0003 0001 61"), None), Ok(None));
    assert_eq!(Record::decode(&hex("0064"), Some(b"anything")), Ok(None));
}

#[test]
fn broken_records_are_refused() {
    let decode = |key: &str, value: &str| Record::decode(&hex(key), Some(&hex(value))).unwrap_err();
    assert!(matches!(decode("00", ""), RecordError::Truncated { .. }));
    assert!(matches!(
        decode("0001 0003 6772", ""),
        RecordError::Truncated { field: "group", .. }
    ));
    assert!(matches!(decode("0002 0001 ff", ""), RecordError::Utf8 { .. }));
    assert!(matches!(decode("0002 ffff", ""), RecordError::Length { .. }));
    assert!(matches!(decode("0002 fffe", ""), RecordError::Length { .. }));
    assert!(matches!(
        decode("0002 0001 61 00", ""),
        RecordError::Trailing { .. }
    ));
    assert!(matches!(
        decode(OFFSET_KEY, "0004"),
        RecordError::Version { version: 4, .. }
    ));
    assert!(matches!(
        decode(GROUP_KEY, "ffff"),
        RecordError::Version { version: -1, .. }
    ));
    // Two billion members are announced; the list ends at once.
    let value = "0003 0001 61 00000003 ffff ffff 00000123456789ab 7fffffff";
    assert!(matches!(
        decode(GROUP_KEY, value),
        RecordError::Truncated {
            field: "member id",
            ..
        }
    ));
    let long = Record::Metadata {
        group: "x".repeat(40_000).into(),
        value: None,
    };
    assert_eq!(
        long.encode(),
        Err(RecordError::TooLong {
            field: "group",
            bytes: 40_000
        })
    );
}

proptest! {
    #[test]
    fn anything_decodes_or_fails(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..80), kind in 0u8..4) {
        let mut framed = vec![0, kind];
        framed.extend(&key);
        let _ = Record::decode(&framed, Some(&value));
        let mut framed = vec![0, kind];
        framed.extend(&value);
        let _ = Record::decode(&hex(OFFSET_KEY), Some(&framed));
        let _ = Record::decode(&hex(GROUP_KEY), Some(&framed));
    }

    #[test]
    fn records_round_trip(group in "[a-z]{0,9}", topic in ".{0,9}", metadata in ".{0,30}", partition: i32, number: i64, epoch in prop::option::of(0i32..), subscription in prop::collection::vec(any::<u8>(), 0..40)) {
        let value = CommittedOffset {
            offset: Offset(number), leader_epoch: epoch.map(LeaderEpoch), metadata: metadata.as_str().into(),
            commit_timestamp: Timestamp(number), expire_timestamp: None,
        };
        let group: GroupId = group.into();
        let mut kept = self::metadata();
        kept.members[0].subscription = subscription.into();
        kept.members[0].instance = None;
        for record in [
            Record::Offset { group: group.clone(), partition: TopicPartition::new(topic.as_str(), partition), value: Some(value) },
            Record::Metadata { group, value: Some(kept) },
        ] {
            let (key, value) = record.encode().unwrap();
            prop_assert!(record.size() >= key.len() + value.as_ref().map_or(0, Bytes::len));
            prop_assert_eq!(Record::decode(&key, value.as_deref()), Ok(Some(record)));
        }
    }
}
