//! Zigzag variable-length integers, as in Protocol Buffers.

/// Takes a 64-bit varint off the front of `input`.
#[inline]
pub(crate) fn take_i64(input: &mut &[u8]) -> Option<i64> {
    // One byte is what most deltas take.
    if let [byte @ 0..0x80, rest @ ..] = *input {
        *input = rest;
        return Some(i64::from(byte >> 1) ^ -i64::from(byte & 1));
    }
    let mut raw = 0_u64;
    for (index, &byte) in input.iter().take(10).enumerate() {
        // The tenth byte has room for the last bit only.
        if index == 9 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

/// Takes a 32-bit varint off the front of `input`.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    if let [byte @ 0..0x80, rest @ ..] = *input {
        *input = rest;
        return Some(i32::from(byte >> 1) ^ -i32::from(byte & 1));
    }
    let mut raw = 0_u32;
    for (index, &byte) in input.iter().take(5).enumerate() {
        if index == 4 && byte > 0x0f {
            return None;
        }
        raw |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((raw >> 1) as i32 ^ -((raw & 1) as i32));
        }
    }
    None
}

/// Appends a 64-bit varint; 32-bit ones have the same bytes.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(value: i64, small: i32) {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            put_i64(&mut out, i64::from(small));
            let mut input = &out[..];
            prop_assert_eq!(take_i64(&mut input), Some(value));
            prop_assert_eq!(take_i32(&mut input), Some(small));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn refuses_overlong_and_truncated() {
        assert_eq!(take_i32(&mut &[0x80, 0x80][..]), None);
        assert_eq!(take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(i32::MIN));
        assert_eq!(take_i64(&mut &[0xff; 10][..]), None);
    }
}
