//! Golden bytes of another implementation, damage, and fuzzing of the parser.

use proptest::prelude::*;

use super::header::{LENGTH_PREFIX_BYTES, Rewrite, rewritten_header};
use super::*;

// Made with kafka-python 3.0.12, DefaultRecordBatchBuilder: producer 4242, epoch 7, base sequence 100.
const NONE: &str = "\
    0000000000000000000000e1000000000262cfd08e0000000000020000018bcfe568000000018bcfe569f40000000000\
    00109200070000006400000003ae010000000a6b65792d30800176616c75652d302076616c75652d302076616c75652d\
    302076616c75652d302076616c75652d302076616c75652d302076616c75652d302076616c75652d3020060268023102\
    680232026e01900100e8070201800176616c75652d312076616c75652d312076616c75652d312076616c75652d312076\
    616c75652d312076616c75652d312076616c75652d312076616c75652d3120001800f403040a6b65792d320100";
const GZIP: &str = "\
    00000000000000000000007f00000000021403f1620001000000020000018bcfe568000000018bcfe569f40000000000\
    001092000700000064000000031f8b0800e3dd006b02ff5bc7c8c0c0c0959d5aa96bd0c0589698539aaa6ba0402ecdc6\
    94c16408c4464c798c1318195eb03331c20c35542097669060f8c2cc0276a21123030014fd56eeb0000000";
const SNAPPY: &str = "\
    00000000000000000000008c0000000002afc025c20002000000020000018bcfe568000000018bcfe569f40000000000\
    0010920007000000640000000382534e4150505900000000010000000100000047b00150ae010000000a6b65792d3080\
    0176616c75652d3020de080048060268023102680232026e01900100e8070201115500310d55c6080034001800f40304\
    0a6b65792d320100";
const LZ4: &str = "\
    0000000000000000000000900000000002aee705060003000000020000018bcfe568000000018bcfe569f40000000000\
    0010920007000000640000000304224d186840b0000000000000000c48000000ff06ae010000000a6b65792d30800176\
    616c75652d3020080025f404060268023102680232026e01900100e80702015500133155000f08001fe0001800f40304\
    0a6b65792d32010000000000";
const ZSTD: &str = "\
    00000000000000000000007f0000000002f2268ac00004000000020000018bcfe568000000018bcfe569f40000000000\
    0010920007000000640000000328b52ffd20b02d02007403ae010000000a6b65792d30800176616c75652d3020060268\
    023102680232026e01900100e807020131001800f403040a6b65792d32010004008308906f2c106177963b";

const RULES: ValidationRules = ValidationRules {
    keys_required: false,
    from_coordinator: false,
    decompressed_bytes_max: 1 << 20,
};

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Puts the right CRC back after a change.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc_of(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn small(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(10, Some(b"k"), Some(b"v"), &[(&b"h"[..], None)]);
    builder.push(30, None, Some(b"v"), &[]);
    builder.push(20, Some(b"k"), None, &[]);
    builder.build_compressed(codec).to_vec()
}

#[test]
fn reads_what_kafka_python_wrote() {
    for (text, codec) in [
        (NONE, Compression::None),
        (GZIP, Compression::Gzip),
        (SNAPPY, Compression::Snappy),
        (LZ4, Compression::Lz4),
        (ZSTD, Compression::Zstd),
    ] {
        let bytes = unhex(text);
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert_eq!(batch.header().compression(), Ok(codec));
        assert_eq!(batch.size(), bytes.len());
        let validated = batch.validate(&RULES).unwrap();
        assert_eq!(validated.max_timestamp, 1_700_000_000_500);
        let header = batch.header();
        assert_eq!(
            (header.producer_id, header.producer_epoch, header.base_sequence),
            (4242, 7, 100)
        );
        assert_eq!(header.last_sequence(), 102);
        let records = batch.records(1 << 20).unwrap();
        let records: Vec<_> = records.iter().map(Result::unwrap).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].key, Some(&b"key-0"[..]));
        assert_eq!(records[0].value, Some("value-0 ".repeat(8).as_bytes()));
        let headers: Vec<_> = records[0].headers.iter().map(|h| (h.name, h.value)).collect();
        assert_eq!(
            headers,
            [(&b"h"[..], Some(&b"1"[..])), (b"h", Some(b"2")), (b"n", None)]
        );
        assert_eq!((records[1].key, records[1].timestamp), (None, 1_700_000_000_500));
        assert_eq!((records[2].value, records[2].offset), (None, 2));
    }
}

#[test]
fn builds_the_same_bytes_as_kafka_python() {
    let mut builder = BatchBuilder::new().producer(4242, 7, 100);
    let headers = [(&b"h"[..], Some(&b"1"[..])), (b"h", Some(b"2")), (b"n", None)];
    builder.push(
        1_700_000_000_000,
        Some(b"key-0"),
        Some("value-0 ".repeat(8).as_bytes()),
        &headers,
    );
    builder.push(
        1_700_000_000_500,
        None,
        Some("value-1 ".repeat(8).as_bytes()),
        &[],
    );
    builder.push(1_700_000_000_250, Some(b"key-2"), None, &[]);
    let mut expected = unhex(NONE);
    // The leader epoch is the broker's business; we leave -1 in it.
    expected[12..16].copy_from_slice(&(-1_i32).to_be_bytes());
    assert_eq!(builder.build().unwrap(), expected);
    assert_eq!(BatchBuilder::new().build(), Err(BatchError::BuildEmpty));
}

#[test]
fn reads_raw_and_framed_snappy() {
    let plain = small(Compression::None)[HEADER_BYTES..].to_vec();
    let mut raw = small(Compression::Snappy)[..HEADER_BYTES].to_vec();
    raw.extend_from_slice(&snap::raw::Encoder::new().compress_vec(&plain).unwrap());
    let length = (raw.len() - LENGTH_PREFIX_BYTES) as i32;
    raw[8..12].copy_from_slice(&length.to_be_bytes());
    // Two blocks, the first of which ends inside a record.
    let mut framed = raw[..HEADER_BYTES].to_vec();
    framed.extend_from_slice(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    for part in [&plain[..5], &plain[5..]] {
        let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
        framed.extend_from_slice(&(block.len() as i32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    let length = (framed.len() - LENGTH_PREFIX_BYTES) as i32;
    framed[8..12].copy_from_slice(&length.to_be_bytes());
    for bytes in [sealed(raw), sealed(framed)] {
        let batch = RecordBatch::parse(&bytes).unwrap();
        assert_eq!(batch.validate(&RULES).unwrap().max_timestamp, 30);
        assert_eq!(batch.records(1 << 20).unwrap().iter().count(), 3);
    }
}

/// Changes a good batch and says what must be found.
#[test]
fn refuses_damage() {
    type Change = fn(&mut Vec<u8>);
    type Expect = fn(&BatchError) -> bool;
    let cases: [(&str, Change, Expect); 13] = [
        (
            "magic",
            |b| b[16] = 1,
            |e| matches!(e, BatchError::Magic { magic: 1 }),
        ),
        (
            "length",
            |b| b[8] = 0xff,
            |e| matches!(e, BatchError::Length { .. }),
        ),
        (
            "longer",
            |b| b[11] += 1,
            |e| matches!(e, BatchError::Truncated { .. }),
        ),
        (
            "codec",
            |b| b[22] |= 7,
            |e| matches!(e, BatchError::UnknownCompression { codec: 7 }),
        ),
        (
            "control",
            |b| b[22] |= 1 << 5,
            |e| *e == BatchError::ControlFromClient,
        ),
        (
            "append time",
            |b| b[22] |= 1 << 3,
            |e| *e == BatchError::LogAppendTimeFromClient,
        ),
        (
            "horizon",
            |b| b[22] |= 1 << 6,
            |e| {
                matches!(
                    e,
                    BatchError::Field {
                        field: "attributes",
                        ..
                    }
                )
            },
        ),
        (
            "transaction",
            |b| b[22] |= 1 << 4,
            |e| {
                matches!(
                    e,
                    BatchError::Field {
                        field: "producer id",
                        ..
                    }
                )
            },
        ),
        ("count", |b| b[60] = 4, |e| matches!(e, BatchError::Count { .. })),
        ("delta", |b| b[26] = 9, |e| matches!(e, BatchError::Count { .. })),
        (
            "no sequence",
            |b| b[43..51].fill(0),
            |e| matches!(e, BatchError::Field { .. }),
        ),
        (
            "record length",
            |b| b[61] += 2,
            |e| matches!(e, BatchError::Record { index: 0, .. }),
        ),
        (
            "offset delta",
            |b| b[64] = 2,
            |e| matches!(e, BatchError::Record { index: 0, .. }),
        ),
    ];
    for (name, change, expected) in cases {
        let mut bytes = small(Compression::None);
        change(&mut bytes);
        let bytes = sealed(bytes);
        let error = RecordBatch::parse(&bytes)
            .and_then(|batch| batch.validate(&RULES))
            .unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
    let mut flipped = small(Compression::None);
    *flipped.last_mut().unwrap() ^= 1;
    let error = RecordBatch::parse(&flipped)
        .unwrap()
        .validate(&RULES)
        .unwrap_err();
    assert!(matches!(error, BatchError::Crc { .. }), "{error}");
}

#[test]
fn refuses_what_the_counts_do_not_cover() {
    for codec in [
        Compression::None,
        Compression::Gzip,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Snappy,
    ] {
        // Fewer records than there are, then more.
        for count in [2_u8, 4] {
            let mut bytes = small(codec);
            (bytes[26], bytes[60]) = (count - 1, count);
            let bytes = sealed(bytes);
            let error = RecordBatch::parse(&bytes).unwrap().validate(&RULES).unwrap_err();
            match count {
                2 => assert_eq!(error, BatchError::TrailingRecordBytes { count: 2 }),
                _ => assert!(
                    matches!(error, BatchError::Record { index: 3, .. }),
                    "{codec}: {error}"
                ),
            }
        }
    }
}

#[test]
fn compacted_topics_need_keys() {
    let rules = ValidationRules {
        keys_required: true,
        ..RULES
    };
    for codec in [Compression::None, Compression::Zstd] {
        let bytes = small(codec);
        let error = RecordBatch::parse(&bytes).unwrap().validate(&rules).unwrap_err();
        assert_eq!(error, BatchError::MissingKey { index: 1 });
    }
}

/// A few kilobytes that decompress to 64 MiB must be refused at the limit.
#[test]
fn bombs_are_refused() {
    let mut builder = BatchBuilder::new();
    builder.push(0, Some(b"k"), Some(&vec![0; 64 << 20]), &[]);
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let bytes = builder.clone().build_compressed(codec);
        let batch = RecordBatch::parse(&bytes).unwrap();
        let expected = BatchError::TooLargeDecompressed {
            codec,
            limit: 1 << 20,
        };
        assert_eq!(batch.validate(&RULES), Err(expected.clone()), "{codec}");
        assert_eq!(batch.records(1 << 20).unwrap_err(), expected, "{codec}");
        assert!(batch.records(65 << 20).is_ok(), "{codec}");
    }
}

/// Raw snappy says its own length; it must not be believed.
#[test]
fn false_snappy_lengths_are_refused() {
    let mut bytes = small(Compression::Snappy)[..HEADER_BYTES].to_vec();
    bytes.extend_from_slice(&[0xff, 0xff, 0x1f, 0x00]);
    let length = (bytes.len() - LENGTH_PREFIX_BYTES) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let bytes = sealed(bytes);
    let error = RecordBatch::parse(&bytes).unwrap().validate(&RULES).unwrap_err();
    assert!(matches!(error, BatchError::Compression { .. }), "{error}");
}

#[test]
fn rewriting_keeps_the_crc_right() {
    let bytes = small(Compression::Gzip);
    let rewrite = |max_timestamp| {
        let head = rewritten_header(
            &bytes,
            Rewrite {
                base_offset: 77,
                leader_epoch: 5,
                max_timestamp,
            },
        );
        let mut whole = head.to_vec();
        whole.extend_from_slice(&bytes[HEADER_BYTES..]);
        whole
    };
    let numbered = rewrite(None);
    let batch = RecordBatch::parse(&numbered).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(
        (batch.header().base_offset, batch.header().last_offset()),
        (77, 79)
    );
    assert_eq!(batch.header().partition_leader_epoch, 5);
    let stamped = rewrite(Some((TimestampType::LogAppendTime, 999)));
    let batch = RecordBatch::parse(&stamped).unwrap();
    batch.verify_crc().unwrap();
    let records = batch.records(1 << 20).unwrap();
    assert!(records.iter().all(|record| record.unwrap().timestamp == 999));
}

fn drain(bytes: &[u8]) {
    for batch in RecordBatches::new(bytes) {
        let Ok(batch) = batch else { return };
        let _ = batch.validate(&RULES);
        if let Ok(records) = batch.records(RULES.decompressed_bytes_max) {
            for record in records.iter().flatten() {
                record.headers.iter().for_each(drop);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drain(&bytes);
    }

    /// The CRC is made right, so that the damage gets as deep as it can.
    #[test]
    fn damaged_batches_never_panic(
        codec in 0_usize..5,
        damage in prop::collection::vec((21_usize..1000, any::<u8>()), 1..6),
        cut in 0_usize..40,
    ) {
        let text = [NONE, GZIP, SNAPPY, LZ4, ZSTD][codec];
        let mut bytes = unhex(text);
        for (at, value) in damage {
            let at = 21 + (at - 21) % (bytes.len() - 21);
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut);
        let length = (bytes.len() - LENGTH_PREFIX_BYTES) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        drain(&sealed(bytes));
    }

    /// The walk that streams and the reader that borrows agree on what is well formed.
    #[test]
    fn both_readers_agree(damage in prop::collection::vec((61_usize..1000, any::<u8>()), 0..3)) {
        let mut bytes = unhex(NONE);
        for (at, value) in damage {
            let at = 61 + (at - 61) % (bytes.len() - 61);
            bytes[at] = value;
        }
        let bytes = sealed(bytes);
        let batch = RecordBatch::parse(&bytes).unwrap();
        if batch.validate(&RULES).is_ok() {
            prop_assert_eq!(batch.records(0).unwrap().iter().filter_map(Result::ok).count(), 3);
        }
    }

    #[test]
    fn built_batches_are_read_back(
        records in prop::collection::vec(
            (-1_i64..1 << 40, prop::option::of(any::<[u8; 3]>()), prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
             prop::collection::vec((any::<[u8; 2]>(), prop::option::of(any::<[u8; 4]>())), 0..4)),
            1..20,
        ),
        codec in 0_usize..5,
    ) {
        let codec = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd][codec];
        let mut builder = BatchBuilder::new();
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (&n[..], v.as_ref().map(|v| &v[..]))).collect();
            builder.push(*timestamp, key.as_ref().map(|k| &k[..]), value.as_deref(), &headers);
        }
        let bytes = builder.build_compressed(codec);
        let batch = RecordBatch::parse(&bytes).unwrap();
        prop_assert_eq!(batch.validate(&RULES).unwrap().max_timestamp, batch.header().max_timestamp);
        let read = batch.records(1 << 20).unwrap();
        prop_assert_eq!(read.iter().count(), records.len());
        for (record, (timestamp, key, value, headers)) in read.iter().zip(&records) {
            let record = record.unwrap();
            prop_assert_eq!(record.timestamp, *timestamp);
            prop_assert_eq!(record.key, key.as_ref().map(|k| &k[..]));
            prop_assert_eq!(record.value, value.as_deref());
            prop_assert_eq!(record.headers.iter().count(), headers.len());
            for (read, (name, value)) in record.headers.iter().zip(headers) {
                prop_assert_eq!((read.name, read.value), (&name[..], value.as_ref().map(|v| &v[..])));
            }
        }
    }
}
