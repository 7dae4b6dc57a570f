//! MD5 (RFC 1321), which hides nothing any more, but which masks of old are made with.

const BLOCK_BYTES: usize = 64;

/// By how many bits each of the four kinds of rounds turns.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The digest of bytes.
pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    for block in blocks {
        mix(&mut state, block);
    }
    // A bit that is set, zeros, and the number of bits end the last block, or one more.
    let mut end = [0_u8; 2 * BLOCK_BYTES];
    end[..rest.len()].copy_from_slice(rest);
    end[rest.len()] = 0x80;
    let length = if rest.len() < BLOCK_BYTES - 8 {
        BLOCK_BYTES
    } else {
        2 * BLOCK_BYTES
    };
    let bits = (bytes.len() as u64).wrapping_mul(8);
    end[length - 8..length].copy_from_slice(&bits.to_le_bytes());
    for block in end[..length].as_chunks::<BLOCK_BYTES>().0 {
        mix(&mut state, block);
    }
    let mut digest = [0; 16];
    for (target, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *target = word.to_le_bytes();
    }
    digest
}

fn mix(state: &mut [u32; 4], block: &[u8; BLOCK_BYTES]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64_usize {
        let (chosen, word) = match step / 16 {
            0 => (b & c | !b & d, step),
            1 => (b & d | c & !d, (5 * step + 1) % 16),
            2 => (b ^ c ^ d, (3 * step + 5) % 16),
            _ => (c ^ (b | !d), 7 * step % 16),
        };
        let turned = a
            .wrapping_add(chosen)
            .wrapping_add(constant(step))
            .wrapping_add(words[word])
            .rotate_left(TURNS[step / 16][step % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(turned));
    }
    for (total, part) in state.iter_mut().zip([a, b, c, d]) {
        *total = total.wrapping_add(part);
    }
}

/// The first 32 bits behind the point of the sine of a step's number, from 1.
fn constant(step: usize) -> u32 {
    ((step as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test suite of RFC 1321, and lengths around the ends of blocks.
    #[test]
    fn digests_are_those_of_the_standard() {
        let hex = |bytes: &[u8]| {
            let mut text = String::new();
            super::super::hash::hex(&digest(bytes), &mut text);
            text
        };
        for (text, hash) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(hex(text.as_bytes()), hash, "{text}");
        }
        for (length, hash) in [
            (55, "ef1772b6dff9a122358552954ad0df65"),
            (56, "3b0c8ac703f828b04c6c197006d17218"),
            (63, "b06521f39153d618550606be297466d5"),
            (64, "014842d480b571495a4a0363793f7367"),
        ] {
            assert_eq!(hex(&vec![b'a'; length]), hash, "{length}");
        }
    }
}
