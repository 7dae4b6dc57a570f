//! LZ4 that takes its time: a longer search for repetitions, as `compression.lz4.level` asks for.
//!
//! Why ours: the library compresses fast and has no levels, and librdkafka brings a copy of the C library into the same
//! binary, under the same names. Any LZ4 reader takes what comes out.
//! Owns: the search, blocks and frames. Does not own: decompression, and Kafka's default level, which is the fast
//! compressor there, too.
//!
//! A block is sequences of a token, literals, and a copy of at least four bytes from at most 65,535 bytes before. Candidates
//! for the copy are found along a chain of earlier places with the same hash; a level says how many are tried.

/// Magic number, version 1 with independent blocks, blocks of at most 64 KiB, and the checksum of these two bytes: what
/// Kafka's producers write.
const FRAME_HEAD: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const FRAME_END: [u8; 4] = [0; 4];
/// In a block's length: it is stored as it is.
const STORED: u32 = 1 << 31;
const BLOCK_BYTES: usize = 64 << 10;

const COPY_BYTES_MIN: usize = 4;
/// The format wants a block to end in so many literals,
const LITERALS_LAST: usize = 5;
/// and no copy to begin nearer to its end.
const COPY_END: usize = 12;
const HASH_BITS: u32 = 15;
const NOWHERE: u32 = u32::MAX;
/// Beyond, a block takes longer and gets no smaller.
const LEVEL_MAX: i32 = 12;
/// What a token's half can say by itself.
const NIBBLE_MAX: usize = 15;

/// The payload as one frame.
pub(super) fn frame(level: i32, payload: &[u8]) -> Vec<u8> {
    let mut out = FRAME_HEAD.to_vec();
    let mut search = Search::new(level);
    for block in payload.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        search.compress(block, &mut out);
        let mut length = (out.len() - length_at - 4) as u32;
        if length as usize >= block.len() {
            out.truncate(length_at + 4);
            out.extend_from_slice(block);
            length = block.len() as u32 | STORED;
        }
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
    out.extend_from_slice(&FRAME_END);
    out
}

/// Bytes that stand `distance` before, too.
#[derive(Clone, Copy)]
struct Copy {
    distance: usize,
    length: usize,
}

/// Looks for earlier places of the same bytes within one block.
struct Search {
    tries: usize,
    /// The latest place, by hash.
    heads: Vec<u32>,
    /// The one before with the same hash, by place.
    chain: Vec<u32>,
    /// Places before it are in the chain.
    known: usize,
}

impl Search {
    fn new(level: i32) -> Self {
        Self {
            tries: 1 << (level.clamp(2, LEVEL_MAX) - 1),
            heads: vec![NOWHERE; 1 << HASH_BITS],
            chain: vec![NOWHERE; BLOCK_BYTES],
            known: 0,
        }
    }

    fn compress(&mut self, block: &[u8], out: &mut Vec<u8>) {
        self.heads.fill(NOWHERE);
        self.known = 0;
        let mut literals = 0;
        let mut at = 0;
        while at + COPY_END < block.len() {
            let Some(mut found) = self.longest(block, at) else {
                at += 1;
                continue;
            };
            // A copy that begins a little later may be longer.
            while at + 1 + COPY_END < block.len()
                && let Some(next) = self.longest(block, at + 1)
                && next.length > found.length
            {
                (at, found) = (at + 1, next);
            }
            put_sequence(out, &block[literals..at], Some(found));
            at += found.length;
            literals = at;
        }
        put_sequence(out, &block[literals..], None);
    }

    /// The longest copy for what begins at `at`.
    fn longest(&mut self, block: &[u8], at: usize) -> Option<Copy> {
        while self.known < at {
            let head = &mut self.heads[hash(block, self.known)];
            self.chain[self.known] = std::mem::replace(head, self.known as u32);
            self.known += 1;
        }
        let wanted = &block[at..block.len() - LITERALS_LAST];
        let mut best = None;
        let mut length = COPY_BYTES_MIN - 1;
        let mut place = self.heads[hash(block, at)];
        for _ in 0..self.tries {
            // Not so at the end of the chain.
            let Some(from) = usize::try_from(place).ok().filter(|from| *from < at) else {
                break;
            };
            if block[from + length] == wanted[length] {
                let same = common(&block[from..], wanted);
                if same > length {
                    length = same;
                    best = Some(Copy {
                        distance: at - from,
                        length,
                    });
                    if length == wanted.len() {
                        break;
                    }
                }
            }
            place = self.chain[from];
        }
        best
    }
}

fn hash(block: &[u8], at: usize) -> usize {
    let bytes = block[at..at + 4].try_into().expect("four bytes");
    (u32::from_le_bytes(bytes).wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}

/// How many bytes at the front of both are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    let words = one.chunks_exact(8).zip(other.chunks_exact(8));
    let start = words.take_while(|(a, b)| a == b).count() * 8;
    let rest = one[start..].iter().zip(&other[start..]);
    start + rest.take_while(|(a, b)| a == b).count()
}

fn put_sequence(out: &mut Vec<u8>, literals: &[u8], copy: Option<Copy>) {
    let extra = copy.map_or(0, |copy| copy.length - COPY_BYTES_MIN);
    out.push((literals.len().min(NIBBLE_MAX) << 4 | extra.min(NIBBLE_MAX)) as u8);
    put_length(out, literals.len());
    out.extend_from_slice(literals);
    if let Some(copy) = copy {
        out.extend_from_slice(&(copy.distance as u16).to_le_bytes());
        put_length(out, extra);
    }
}

/// What of a length does not fit into half a token.
fn put_length(out: &mut Vec<u8>, length: usize) {
    if let Some(mut left) = length.checked_sub(NIBBLE_MAX) {
        while left >= 255 {
            out.push(255);
            left -= 255;
        }
        out.push(left as u8);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::super::compression::{Compression, compress};
    use super::*;

    fn read(frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut decoder = lz4_flex::frame::FrameDecoder::new(frame);
        decoder.read_to_end(&mut out).unwrap();
        out
    }

    /// Words in random order: repetitions of all lengths and distances.
    fn words(count: usize) -> Vec<u8> {
        let mut seed = 7_u64;
        let mut text = Vec::new();
        for _ in 0..count {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = (seed >> 33) % 900;
            text.extend_from_slice(format!("{{\"word\":{word},\"times\":{}}}", word * word).as_bytes());
        }
        text
    }

    #[test]
    fn higher_levels_are_smaller_and_all_are_read_back() {
        let text = words(20_000);
        let sizes = [1, 3, 5, 8, 12, 17].map(|level| {
            let frame = frame(level, &text);
            assert_eq!(read(&frame), text, "{level}");
            frame.len()
        });
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert!(
            sizes[0] > sizes[3] && sizes[0] < text.len() / 2,
            "{sizes:?} of {}",
            text.len()
        );
        let fast = compress(Compression::Lz4, Some(9), &text).unwrap().len();
        assert!(sizes[2] * 100 < fast * 97, "{sizes:?}, the fast one {fast}");
    }

    #[test]
    fn ends_of_blocks_and_what_does_not_compress() {
        for length in (0..40).chain(BLOCK_BYTES - 14..BLOCK_BYTES + 14) {
            for payload in [vec![7; length], words(4000)[..length].to_vec()] {
                assert_eq!(read(&frame(5, &payload)), payload, "{length}");
            }
        }
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        });
        let noise: Vec<u8> = noise.take(200_000).collect();
        let frame = frame(9, &noise);
        assert_eq!(read(&frame), noise);
        assert!(frame.len() <= noise.len() + 4 * 4 + 11);
    }

    proptest! {
        #[test]
        fn whatever_it_is_comes_back(level in 1..=17_i32, payload in prop::collection::vec(0..4_u8, 0..2000)) {
            prop_assert_eq!(read(&frame(level, &payload)), payload);
        }
    }
}
