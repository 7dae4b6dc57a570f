//! Texts, bytes and names within statements.
//!
//! Sessions of the sink have `NO_BACKSLASH_ESCAPES`, so that a quote is all that has to be doubled: nothing else within quotes has a meaning, not
//! a backslash, not a zero byte. Statements are in utf8mb4, in which no byte of a longer character is a quote.
use memchr::memchr_iter;

/// Appends a text between quotes.
#[inline]
pub(in crate::mysql::sink) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_quoted(out, text.as_bytes());
}

/// Appends bytes.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"_binary");
    push_quoted(out, bytes);
}

#[inline]
fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'\'');
    let mut begin = 0;
    for place in memchr_iter(b'\'', bytes) {
        out.extend_from_slice(&bytes[begin..=place]);
        begin = place;
    }
    out.extend_from_slice(&bytes[begin..]);
    out.push(b'\'');
}

/// Appends a name.
pub(in crate::mysql::sink) fn push_identifier(out: &mut Vec<u8>, name: &str) {
    out.push(b'`');
    for byte in name.bytes() {
        if byte == b'`' {
            out.push(b'`');
        }
        out.push(byte);
    }
    out.push(b'`');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quotes_are_doubled() {
        let text = |value: &str| {
            let mut out = Vec::new();
            push_text(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(""), "''");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("''"), "''''''");
        assert_eq!(text("a\\'b\0\n\u{1f600}\u{27}"), "'a\\''b\0\n\u{1f600}'''");
        let mut out = Vec::new();
        push_bytes(&mut out, &[0, 0x27, 0xff, 0x5c, 0x27]);
        assert_eq!(out, b"_binary'\0''\xff\x5c'''");
        let mut out = Vec::new();
        push_identifier(&mut out, "or`der'\\");
        assert_eq!(out, b"`or``der'\\`");
    }
}
