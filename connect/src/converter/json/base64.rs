//! Base64 as Jackson reads it.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes that `text` stands for; none if it is not base64. Blanks may stand between groups of four, and unused bits of the last group
/// may be set.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .ok()
        .or_else(|| decode_loosely(text.as_bytes()))
}

fn decode_loosely(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    loop {
        while let [0..=b' ', after @ ..] = rest {
            rest = after;
        }
        let Some((group, after)) = rest.split_first_chunk::<4>() else {
            return rest.is_empty().then_some(out);
        };
        rest = after;
        let [a, b, c, d] = *group;
        let first = sextet(a)? << 18 | sextet(b)? << 12;
        let (bits, count) = match (c, d) {
            (b'=', b'=') => (first, 1),
            (c, b'=') => (first | sextet(c)? << 6, 2),
            (c, d) => (first | sextet(c)? << 6 | sextet(d)?, 3),
        };
        out.extend_from_slice(&bits.to_be_bytes()[1..=count]);
    }
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_unused_bits_are_accepted() {
        assert_eq!(decode("AQID\n BAU="), Some(vec![1, 2, 3, 4, 5]));
        assert_eq!(decode("AR=="), Some(vec![1]));
        assert_eq!(decode("AQ=="), Some(vec![1]));
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("AQ"), None);
        assert_eq!(decode("A=ID"), None);
        assert_eq!(decode("AQ==AQID"), Some(vec![1, 1, 2, 3]));
    }
}
