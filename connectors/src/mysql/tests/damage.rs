//! Damaged logs: an error with its place or other rows, never a panic, never more memory than the bytes are worth.
use bytes::Bytes;
use proptest::prelude::*;

use super::golden::{CASES, log, raw_events};
use crate::mysql::binlog::{
    Column, Damage, DecodeError, Decoder, Event, HEADER_BYTES, Kind, Limits, Row, Value, event_type,
};
use crate::mysql::config::Filters;
use crate::mysql::record::{Connector, Moment, Origin, Records, TableRecords, fixtures};
use crate::mysql::schema::Table;
use crate::mysql::{json, text};

const LIMIT: usize = 1 << 20;

/// Reads everything that there is in events; the values read.
fn exhaust(events: &[Bytes]) -> Result<usize, DecodeError> {
    let mut decoder = Decoder::new(
        "log.bin",
        4,
        Limits {
            event_bytes_max: LIMIT,
        },
    );
    let source = Records::new(fixtures::config(), Filters::default(), Connector::MySql);
    let (mut values, mut out) = (0, Vec::new());
    for event in events {
        decoder.push(event.clone());
        while let Some(event) = decoder.next()? {
            if let Event::Rows(mut rows) = event {
                let table = std::sync::Arc::clone(&rows.table);
                let described = Table::from_log(&table).ok();
                let records = described.and_then(|table| TableRecords::new(&table, &source).ok());
                let mut row = Row::default();
                while rows.read_row(&mut row)? {
                    values += row.before.len() + row.after.len();
                    print(&table.columns, &row);
                    if let Some(records) = &records {
                        let (origin, now) = (Origin::default(), Moment::default());
                        // What becomes no record says so.
                        drop(records.change(
                            rows.change,
                            &row.before,
                            &row.after,
                            &origin,
                            None,
                            now,
                            &mut out,
                        ));
                        out.clear();
                    }
                }
            }
        }
    }
    Ok(values)
}

fn print(columns: &[Column], row: &Row<'_>) {
    let mut printed = String::new();
    for (column, value) in columns
        .iter()
        .zip(&row.before)
        .chain(columns.iter().zip(&row.after))
    {
        printed.clear();
        // What is not printable says so; what is, is no larger than its bytes could make it.
        drop(text::print(column, value, LIMIT, &mut printed));
        assert!(printed.len() < 64 * LIMIT);
    }
    for (before, after) in row.before.iter().zip(&row.after) {
        if let (Value::Json(document), Value::JsonDiff(differences)) = (before, after) {
            printed.clear();
            drop(json::patched(document, differences, &mut printed));
        }
    }
}

/// An event whose length and checksum are right, whatever is in it.
fn sealed(mut event: Vec<u8>, checksum: bool) -> Bytes {
    let length = event.len() as u32 + if checksum { 4 } else { 0 };
    event[9..13].copy_from_slice(&length.to_le_bytes());
    if checksum {
        let sum = crc32fast::hash(&event);
        event.extend_from_slice(&sum.to_le_bytes());
    }
    Bytes::from(event)
}

/// The format of a case's log, and a few events that follow each other, to the one with this number.
fn piece(case: &str, number: usize) -> (Vec<Bytes>, bool) {
    let log = log(case);
    let events = raw_events(&log);
    let last = 1 + number % (events.len() - 1);
    let mut piece = vec![events[0].clone()];
    piece.extend_from_slice(&events[last.saturating_sub(4).max(1)..=last]);
    (piece, !case.ends_with("-plain"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_trouble(
        kind in 0_u8..180,
        mariadb in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        known in any::<bool>(),
    ) {
        let (piece, _) = piece(if mariadb { "mariadb" } else { "mysql97" }, 0);
        let mut event = vec![0; HEADER_BYTES];
        event[4] = kind;
        event.extend_from_slice(&body);
        let mut events = if known { vec![piece[0].clone()] } else { Vec::new() };
        events.push(sealed(event, known));
        if let Err(error) = exhaust(&events) {
            prop_assert_eq!(error.event_type, kind);
            prop_assert_eq!(error.place.file, "log.bin");
        }
    }

    #[test]
    fn changed_bytes_are_no_trouble(
        case in prop::sample::select(CASES),
        number in any::<usize>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut piece, checksum) = piece(case, number);
        let mut event = piece.pop().unwrap().to_vec();
        event.truncate(event.len() - if checksum { 4 } else { 0 });
        for (index, byte) in changes {
            if event.len() > HEADER_BYTES {
                let at = HEADER_BYTES + index.index(event.len() - HEADER_BYTES);
                event[at] = byte;
            }
        }
        piece.push(sealed(event, checksum));
        drop(exhaust(&piece));
    }

    #[test]
    fn events_that_are_cut_off_are_no_trouble(
        case in prop::sample::select(CASES),
        number in any::<usize>(),
        end in any::<prop::sample::Index>(),
    ) {
        let (mut piece, checksum) = piece(case, number);
        let mut event = piece.pop().unwrap().to_vec();
        event.truncate(HEADER_BYTES + end.index(event.len() - HEADER_BYTES));
        piece.push(sealed(event, checksum));
        drop(exhaust(&piece));
    }

    #[test]
    fn a_changed_bit_is_seen(
        case in prop::sample::select(CASES),
        number in any::<usize>(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut piece, checksum) = piece(case, number);
        if !checksum {
            return Ok(());
        }
        let mut event = piece.pop().unwrap().to_vec();
        let at = at.index(event.len());
        event[at] ^= 1 << bit;
        let error = exhaust(&[piece.swap_remove(0), Bytes::from(event)]).unwrap_err();
        prop_assert!(matches!(error.damage, Damage::Checksum { .. } | Damage::Invalid { .. }), "{}", error);
        prop_assert_eq!(error.damage.kind(), Kind::Damaged);
    }

    #[test]
    fn random_documents_are_no_trouble(
        document in prop::collection::vec(any::<u8>(), 0..200),
        differences in prop::collection::vec(any::<u8>(), 0..60),
        kind in 0_u8..4,
        count in 0_u8..6,
    ) {
        // Half-right documents come further than random bytes.
        let length = document.len() as u8;
        let document: Vec<u8> = [kind, count, 0, length, 0].into_iter().chain(document).collect();
        let mut printed = String::new();
        drop(json::text(&document, &mut printed));
        drop(json::patched(&document, &differences, &mut printed));
        prop_assert!(printed.len() < 100_000);
    }
}

/// Elements that all lie in the same place would become 2^n texts.
#[test]
fn a_document_within_itself_ends() {
    let mut document = vec![2];
    let levels = 40_u16;
    // Each level: two elements, both of them the next level, whose size reaches to the end.
    for level in 0..levels {
        let size = (levels - level) * 10 + 4;
        document.extend_from_slice(&2_u16.to_le_bytes());
        document.extend_from_slice(&size.to_le_bytes());
        for _ in 0..2 {
            document.push(2);
            document.extend_from_slice(&10_u16.to_le_bytes());
        }
    }
    document.extend_from_slice(&[0, 0, 4, 0]);
    let mut printed = String::new();
    let error = json::text(&document, &mut printed).unwrap_err();
    assert!(matches!(error, Damage::TooLarge { .. }), "{error}");
    assert!(printed.len() < 100_000);
}

/// An uncompressed size of gigabytes in a few bytes of zstd is refused before it is inflated.
#[test]
fn a_transaction_that_inflates_without_end_is_refused() {
    let huge = vec![0_u8; 8 << 20];
    let mut event = vec![0; HEADER_BYTES];
    event[4] = event_type::ROWS_QUERY;
    event.extend_from_slice(&huge);
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    let packed = zstd::bulk::compress(&event, 3).unwrap();
    assert!(packed.len() < 10_000);
    let mut payload = vec![0; HEADER_BYTES];
    payload[4] = event_type::TRANSACTION_PAYLOAD;
    payload.extend_from_slice(&[2, 1, 0, 0]);
    payload.extend_from_slice(&packed);
    let error = exhaust(&[sealed(payload, false)]).unwrap_err();
    assert_eq!(
        error.damage,
        Damage::TooLarge {
            what: "a compressed event",
            limit: LIMIT
        }
    );
    assert_eq!(error.damage.kind(), Kind::Settings);
    assert!(error.to_string().contains("log.bin:4"), "{error}");
}

/// A payload whose compressed bytes end early, or are none, was once dropped without a word by others.
#[test]
fn a_transaction_that_does_not_inflate_is_an_error() {
    let log = log("mysql97-compressed");
    let events = raw_events(&log);
    let index = events
        .iter()
        .position(|event| event[4] == event_type::TRANSACTION_PAYLOAD)
        .unwrap();
    for damage in ["cut", "changed"] {
        let mut event = events[index].to_vec();
        event.truncate(event.len() - 4);
        if damage == "cut" {
            // The last bytes of zstd are cut off, and the length before them is right.
            let at = event.len() - 20;
            event[at..].fill(0);
        } else {
            let at = event
                .windows(4)
                .position(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd])
                .unwrap();
            event[at] = 0;
        }
        let error = exhaust(&[events[0].clone(), sealed(event, true)]).expect_err(damage);
        let compression = matches!(error.damage, Damage::Compression { .. } | Damage::Short { .. });
        assert!(compression, "{error}");
    }
}

#[test]
fn rows_of_unknown_tables_are_an_error() {
    let log = log("mysql97");
    let events = raw_events(&log);
    let rows = events
        .iter()
        .find(|event| event[4] == event_type::WRITE_ROWS)
        .unwrap();
    let error = exhaust(&[events[0].clone(), rows.clone()]).unwrap_err();
    assert!(matches!(error.damage, Damage::UnknownTable(_)), "{error}");
}

/// Ids of tables begin anew with a file.
#[test]
fn tables_of_the_file_before_are_forgotten() {
    let log = log("mysql97");
    let events = raw_events(&log);
    let table = events
        .iter()
        .position(|event| event[4] == event_type::TABLE_MAP)
        .unwrap();
    let (format, described, rows) = (&events[0], &events[table], &events[table + 1]);
    assert!(exhaust(&[format.clone(), described.clone(), rows.clone()]).unwrap() > 0);
    let error = exhaust(&[format.clone(), described.clone(), format.clone(), rows.clone()]).unwrap_err();
    assert!(matches!(error.damage, Damage::UnknownTable(_)), "{error}");
}
