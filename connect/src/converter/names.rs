//! Names as languages of schemas allow them, and parameters that Confluent's converters of both languages know.
use std::borrow::Cow;
use std::fmt::Write;

/// What a schema without a name is called, in Protocol Buffers before a number.
pub(super) const DEFAULT_NAME: &str = "ConnectDefault";
/// The precision of a decimal.
pub(super) const DECIMAL_PRECISION: &str = "connect.decimal.precision";
/// The type in Connect, where the language has fewer.
pub(super) const CONNECT_TYPE: &str = "connect.type";

/// Whether Avro and Protocol Buffers allow the name (without points).
pub(super) fn is_valid(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(word) && !name.as_bytes()[0].is_ascii_digit()
}

/// The name as a language allows it where `bad_first` says which characters do not begin one: other characters are URL-encoded, with `_` for
/// what is not allowed then.
pub(super) fn scrubbed(name: &str, bad_first: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let Some(first) = name.bytes().next() else {
        return Cow::Borrowed(name);
    };
    if is_valid(name) && !bad_first(first) {
        return Cow::Borrowed(name);
    }
    let mut scrubbed = String::with_capacity(name.len() + 8);
    if bad_first(first) {
        scrubbed.push('x');
    }
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => scrubbed.push(char::from(byte)),
            b'_' | b'-' | b'.' | b'*' | b' ' => scrubbed.push('_'),
            other => {
                let _ = write!(scrubbed, "_{other:02X}");
            }
        }
    }
    Cow::Owned(scrubbed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_scrubbed_as_confluent_does() {
        for (name, expected) in [
            ("", ""),
            ("good_1", "good_1"),
            ("1st", "x1st"),
            ("with space", "with_space"),
            ("a-b", "a_b"),
            ("a$b", "a_24b"),
            ("é", "_C3_A9"),
        ] {
            assert_eq!(scrubbed(name, |first| first.is_ascii_digit()), expected);
        }
    }
}
