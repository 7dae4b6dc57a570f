//! How the decoder follows a stream: files, positions, what servers make up, and what they cannot send.
use super::*;

/// An event with a checksum.
fn event(event_type: u8, next_position: u32, flags: u16, body: &[u8]) -> Bytes {
    let mut event = vec![0; HEADER_BYTES];
    event[4] = event_type;
    event[9..13].copy_from_slice(&((HEADER_BYTES + body.len() + 4) as u32).to_le_bytes());
    event[13..17].copy_from_slice(&next_position.to_le_bytes());
    event[17..19].copy_from_slice(&flags.to_le_bytes());
    event.extend_from_slice(body);
    let sum = crc32fast::hash(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    Bytes::from(event)
}

/// What a stream from within a file begins with: the format, at no position.
fn format(version: &str, next_position: u32) -> Bytes {
    let mut body = vec![4, 0];
    body.extend_from_slice(version.as_bytes());
    body.resize(2 + 50 + 4, 0);
    body.push(19);
    body.resize(body.len() + 40, 8);
    body.push(1);
    event(kinds::FORMAT_DESCRIPTION, next_position, 0, &body)
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// MariaDB was said to put its checksum behind the name of the file; all servers do, before they say that there are checksums.
/// These are the first events of streams of MySQL 9.7, MySQL 5.6 and MariaDB 10.11.
#[test]
fn the_first_event_of_a_stream_names_its_file() {
    for first in [
        "00000000046100000029000000000000002000040000000000000062696e2e30303030303105e955ea",
        "00000000043800000029000000000000002000040000000000000062696e2e303030303031b60da790",
        "00000000040a00000029000000000000002000040000000000000062696e2e30303030303198b3898f",
    ] {
        let mut decoder = Decoder::new("", 4, Limits::default());
        decoder.push(bytes(first));
        let Some(Event::Rotate { file, position }) = decoder.next().unwrap() else {
            panic!("no ROTATE")
        };
        assert_eq!((file, position), ("bin.000001", 4));
        // Bytes behind the name that are no checksum of the event are not of the name, either.
        let mut changed = bytes(first).to_vec();
        *changed.last_mut().unwrap() ^= 1;
        decoder.push(Bytes::from(changed));
        let error = decoder.next().map(|event| {
            matches!(
                event,
                Some(Event::Rotate {
                    file: "bin.000001",
                    ..
                })
            )
        });
        assert_eq!(error, Ok(true));
    }
}

#[test]
fn positions_go_on_beyond_four_gigabytes() {
    let start = (1_u64 << 32) - 100;
    let mut decoder = Decoder::new("bin.000001", start, Limits::default());
    decoder.push(format("9.7.0", 0));
    assert!(matches!(
        decoder.next(),
        Ok(Some(Event::Format { mariadb: false, .. }))
    ));
    assert_eq!(decoder.next_position(), start);
    let length = 31;
    for number in 1..=5_u64 {
        let end = start + number * length;
        decoder.push(event(kinds::XID, end as u32, 0, &number.to_le_bytes()));
        assert!(matches!(decoder.next(), Ok(Some(Event::Commit(xid))) if xid == number));
        assert_eq!(
            (decoder.place().position, decoder.next_position()),
            (end - length, end)
        );
    }
    assert!(decoder.place().position > 1 << 32);
}

#[test]
fn a_heartbeat_says_how_far_the_server_is() {
    let mut decoder = Decoder::new("bin.000001", 500, Limits::default());
    decoder.push(format("9.7.0", 0));
    decoder.next().unwrap();
    for (position, expected) in [(500, 500), (900, 900), (900, 900)] {
        decoder.push(event(kinds::HEARTBEAT, position, 0, b"bin.000001"));
        assert!(matches!(decoder.next(), Ok(Some(Event::Heartbeat))));
        assert_eq!(decoder.next_position(), expected);
    }
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    for (event_type, words) in [
        (kinds::START_ENCRYPTION, "encrypted"),
        (99, "newer"),
        (210, "newer"),
    ] {
        let mut decoder = Decoder::new("bin.000007", 4, Limits::default());
        decoder.push(format("10.11.0-MariaDB", 160));
        decoder.next().unwrap();
        decoder.push(event(event_type, 200, 0, &[0; 17]));
        let error = decoder.next().unwrap_err().to_string();
        assert!(
            error.contains(words) && error.contains("bin.000007:160"),
            "{error}"
        );
        // What may be passed over is.
        decoder.push(event(99, 240, 0x80, &[0; 17]));
        assert!(matches!(decoder.next(), Ok(Some(Event::Other))));
    }
}

#[test]
fn events_are_no_larger_than_allowed() {
    let mut decoder = Decoder::new(
        "bin.000001",
        4,
        Limits {
            event_bytes_max: 1000,
        },
    );
    decoder.push(event(kinds::ROWS_QUERY, 0, 0, &[b'x'; 1000]));
    assert_eq!(
        decoder.next().unwrap_err().damage,
        Damage::TooLarge {
            what: "an event",
            limit: 1000
        }
    );
}

#[test]
fn statements_say_what_their_session_had_set() {
    let mut body = vec![7, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0];
    let settings = [
        &[0, 1, 2, 3, 4][..],
        &[1, 9, 0, 0, 0, 0, 0, 0, 0],
        &[6, 3],
        b"std",
        &[4, 33, 0, 45, 0, 8, 0],
        &[5, 3],
        b"UTC",
        &[12, 1],
        b"shop\0",
        &[200, 1, 2],
    ]
    .concat();
    body.extend_from_slice(&(settings.len() as u16).to_le_bytes());
    body.extend_from_slice(&settings);
    body.extend_from_slice(b"shop\0DROP TABLE t");
    let query = Query::read(&body).unwrap();
    assert_eq!(
        (query.thread_id, query.duration_s, query.database),
        (7, 3, "shop")
    );
    assert!(query.is("drop table t") && !query.is("begin"));
    let session = query.session;
    assert_eq!(
        (
            session.sql_mode,
            session.client,
            session.connection,
            session.server
        ),
        (Some(9), Some(33), Some(45), Some(8))
    );
    assert_eq!(session.time_zone, Some(&b"UTC"[..]));
}
