//! Compression of records, where the broker does it itself: topics with a codec of their own, and batches that
//! compaction has thinned out.
//!
//! Does not own: decompression (`compression`).

use std::io::{self, Write};

use super::compression::Compression;
use super::error::BatchError;

/// xerial's framing, which every client reads; raw snappy is known to few.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

/// How hard codecs try (`compression.gzip.level`, `compression.zstd.level`). The encoder of lz4 has one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevels {
    /// 1 to 9; −1 is gzip's default, 6.
    pub gzip: i32,
    /// Up to 22; zstd's default is 3.
    pub zstd: i32,
}

impl Default for CompressionLevels {
    fn default() -> Self {
        Self { gzip: -1, zstd: 3 }
    }
}

/// Compresses the records of a batch.
pub(crate) fn compress(
    codec: Compression,
    levels: CompressionLevels,
    payload: &[u8],
) -> Result<Vec<u8>, BatchError> {
    try_compress(codec, levels, payload).map_err(|error| BatchError::Compression {
        codec,
        reason: error.to_string(),
    })
}

fn try_compress(codec: Compression, levels: CompressionLevels, payload: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Compression::None => Ok(payload.to_vec()),
        Compression::Gzip => {
            let level = match u32::try_from(levels.gzip) {
                Ok(level) => flate2::Compression::new(level.min(9)),
                Err(_) => flate2::Compression::default(),
            };
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(payload)?;
            out.finish()
        }
        Compression::Snappy => snap_framed(payload),
        Compression::Lz4 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(payload)?;
            out.finish().map_err(io::Error::other)
        }
        Compression::Zstd => zstd::stream::encode_all(payload, levels.zstd),
    }
}

fn snap_framed(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = XERIAL_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in payload.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = i32::try_from(block.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::compression::decompress;
    use super::*;

    #[test]
    fn every_codec_reads_back() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for codec in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            for payload in [&text[..], b"", b"x"] {
                let packed = compress(codec, CompressionLevels::default(), payload).unwrap();
                let unpacked = decompress(codec, &packed, 1 << 20).unwrap();
                assert!(unpacked == payload, "{codec}, {} bytes", payload.len());
            }
        }
    }

    #[test]
    fn levels_matter() {
        let text: Vec<u8> = (0..100_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as u8)
            .collect();
        for codec in [Compression::Gzip, Compression::Zstd] {
            let size = |level| {
                let levels = CompressionLevels {
                    gzip: level,
                    zstd: level,
                };
                compress(codec, levels, &text).unwrap().len()
            };
            assert!(size(9) < size(1), "{codec}: {} {}", size(9), size(1));
        }
    }
}
