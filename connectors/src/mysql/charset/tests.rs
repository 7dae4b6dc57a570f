//! All codes and collations that servers know, against what they say of them (`tests/mysql/charsets`).
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::*;

fn said() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/mysql/charsets.tsv.gz");
    let mut content = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut content)
        .unwrap();
    content
}

#[test]
fn every_code_is_the_servers_character() {
    let content = said();
    let (mut of_name, mut codes, mut wrong) = (HashMap::new(), 0, Vec::new());
    for line in content.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        if fields[0] == "collation" {
            let collation: Collation = fields[1].parse().unwrap();
            assert_eq!(name(collation), Some(fields[2]), "collation {collation}");
            of_name.insert(fields[2].to_owned(), collation);
            continue;
        }
        let collation = of_name[fields[1]];
        let start = u32::from_str_radix(fields[2], 16).unwrap();
        let bytes: Vec<u8> = (0..fields[3].len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&fields[3][at..at + 2], 16).unwrap())
            .collect();
        for (code, expected) in (start..).zip(std::str::from_utf8(&bytes).unwrap().chars()) {
            let code_bytes = code.to_be_bytes();
            let first = code_bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
            // With a letter behind it, so that what takes too many bytes is seen.
            let mut text = String::new();
            decode(collation, &[&code_bytes[first..], b"A"].concat(), &mut text).unwrap();
            if text != format!("{expected}A") {
                wrong.push(format!(
                    "{} {code:x} is {expected:?} (0x{:x}), not {text:?}",
                    fields[1],
                    u32::from(expected)
                ));
            }
            codes += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} codes, the first: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(10)]
    );
    assert!(
        codes > 150_000 && of_name.len() > 40,
        "{codes} codes of {} character sets",
        of_name.len()
    );
}

#[test]
fn what_is_no_character_is_a_question_mark_but_for_utf8() {
    for (collation, bytes, expected) in [
        (28, &b"a\x81"[..], "a?"),
        (28, b"\xffb", "?b"),
        (11, b"\xe4", "?"),
        (35, b"\x00a\x00", "a?"),
        (54, b"\xd8\x3d\x00a", "?a"),
        (60, b"\x00\x11\x00\x00", "?"),
        (57, b"\x8a", "?"),
    ] {
        let mut text = String::new();
        decode(collation, bytes, &mut text).unwrap();
        assert_eq!(text, expected);
    }
    let mut text = String::new();
    assert!(matches!(
        decode(255, b"\xff", &mut text),
        Err(Damage::Text { .. })
    ));
    assert_eq!(decode(0, b"a", &mut text), Err(Damage::UnsaidCharset));
    assert_eq!(decode(9999, b"a", &mut text), Err(Damage::UnknownCollation(9999)));
    assert!(decode(63, b"a", &mut text).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_much(collation in 0_u16..3400, bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let mut text = String::new();
        // A character is at most three bytes longer than it was.
        if decode(collation, &bytes, &mut text).is_ok() {
            proptest::prop_assert!(text.len() <= bytes.len() * 4);
        }
    }
}

#[test]
fn surrogates_in_utf8_are_no_characters() {
    for collation in [33, 45, 255] {
        let mut text = String::new();
        decode(
            collation,
            b"a\xed\xa0\x80\xed\xbf\xbf\xc3\xa4\xed\x9f\xbf",
            &mut text,
        )
        .unwrap();
        assert_eq!(text, "a??ä\u{d7ff}");
    }
    assert!(decode(255, b"\xed\xa0", &mut String::new()).is_err());
    assert!(decode(255, b"\xed\xa0\x80\xff", &mut String::new()).is_err());
}
