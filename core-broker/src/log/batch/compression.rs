//! Compression of the records in a batch, and decompression, always within a limit.
//!
//! Why its own readers: Kafka's snappy comes raw or in the framing of xerial's Java library, and every
//! codec must be held to a limit, since a few kilobytes can decompress to gigabytes.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};

use super::error::BatchError;
use super::lz4_high;

/// Default limit for the decompressed records of one batch: a full batch of the default
/// `max.message.bytes` at a ratio of 128.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

const BUFFER_BYTES: usize = 16 << 10;
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// A snappy element of 3 bytes yields at most 64; with room for rounding.
const SNAPPY_RATIO_MAX: usize = 32;
/// The default, which is the fast compressor in Kafka, too; all other levels search longer.
const LZ4_LEVEL: i32 = 9;
/// zstd's own default limit for streams: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy, raw or in xerial's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    pub(crate) fn from_bits(bits: u8) -> Result<Self, BatchError> {
        match bits {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            codec => Err(BatchError::UnknownCompression { codec }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Marks the one `io::Error` that means the limit was reached.
#[derive(Debug)]
struct LimitReached;

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limit for decompressed bytes reached")
    }
}

impl std::error::Error for LimitReached {}

/// Passes on at most `left` bytes; one more is an error.
pub(crate) struct Limited<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.inner.fill_buf()?;
        if self.left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(LimitReached));
        }
        Ok(&buffer[..buffer.len().min(self.left)])
    }

    fn consume(&mut self, bytes: usize) {
        self.left -= bytes;
        self.inner.consume(bytes);
    }
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let read = out.len().min(buffer.len());
        out[..read].copy_from_slice(&buffer[..read]);
        self.consume(read);
        Ok(read)
    }
}

/// Reads blocks of xerial's snappy framing: length (4 bytes, big endian), then that much raw snappy.
struct Xerial<'a> {
    rest: &'a [u8],
    block: Cursor<Vec<u8>>,
    limit: usize,
}

impl Read for Xerial<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(out)?;
            if read > 0 || self.rest.is_empty() || out.is_empty() {
                return Ok(read);
            }
            let bad = || io::Error::new(io::ErrorKind::InvalidData, "truncated snappy block");
            let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(bad)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| bad())?;
            let (block, rest) = rest.split_at_checked(length).ok_or_else(bad)?;
            self.rest = rest;
            self.block = Cursor::new(unsnap(block, self.limit)?);
        }
    }
}

fn unsnap(raw: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let length = snap::raw::decompress_len(raw).map_err(|e| invalid(e.to_string()))?;
    if length > limit {
        return Err(io::Error::other(LimitReached));
    }
    if length > raw.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(invalid(format!("{} bytes cannot hold {length}", raw.len())));
    }
    snap::raw::Decoder::new()
        .decompress_vec(raw)
        .map_err(|e| invalid(e.to_string()))
}

/// A buffered reader over the decompressed payload, in bounded memory. Its errors go through [`failed`]. Codecs whose
/// decoders have a buffer are read from that, without a copy.
pub(crate) fn reader<'a>(
    codec: Compression,
    payload: &'a [u8],
    limit: usize,
) -> io::Result<Limited<Box<dyn BufRead + 'a>>> {
    fn buffered<'a>(decoder: impl Read + 'a) -> Box<dyn BufRead + 'a> {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    }
    let inner: Box<dyn BufRead + 'a> = match codec {
        Compression::None => Box::new(payload),
        Compression::Gzip => buffered(flate2::bufread::MultiGzDecoder::new(payload)),
        Compression::Snappy if payload.starts_with(XERIAL_MAGIC) => buffered(Xerial {
            rest: payload.get(XERIAL_HEADER_BYTES..).unwrap_or_default(),
            block: Cursor::default(),
            limit,
        }),
        Compression::Snappy => Box::new(Cursor::new(unsnap(payload, limit)?)),
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(payload)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            buffered(decoder)
        }
    };
    Ok(Limited { inner, left: limit })
}

/// Names what went wrong in a [`reader`].
pub(crate) fn failed(codec: Compression, limit: usize, error: &io::Error) -> BatchError {
    if error.get_ref().is_some_and(|e| e.is::<LimitReached>()) {
        return BatchError::TooLargeDecompressed { codec, limit };
    }
    BatchError::Compression {
        codec,
        reason: error.to_string(),
    }
}

/// The whole payload, decompressed; borrowed if it was not compressed.
pub(crate) fn decompress(
    codec: Compression,
    payload: &[u8],
    limit: usize,
) -> Result<Cow<'_, [u8]>, BatchError> {
    if codec == Compression::None {
        return Ok(Cow::Borrowed(payload));
    }
    let mut out = Vec::new();
    reader(codec, payload, limit)
        .and_then(|mut reader| reader.read_to_end(&mut out))
        .map_err(|error| failed(codec, limit, &error))?;
    Ok(Cow::Owned(out))
}

/// Compresses a payload. Without a level the codec's default is taken; snappy has none to choose.
pub(crate) fn compress(
    codec: Compression,
    level: Option<i32>,
    payload: &[u8],
) -> Result<Vec<u8>, BatchError> {
    let compressed = match codec {
        Compression::None => Ok(payload.to_vec()),
        Compression::Gzip => gzip(level, payload),
        Compression::Snappy => xerial(payload),
        Compression::Lz4 => match level {
            None | Some(LZ4_LEVEL) => lz4(payload),
            Some(level) => Ok(lz4_high::frame(level, payload)),
        },
        Compression::Zstd => {
            zstd::stream::encode_all(payload, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
        }
    };
    compressed.map_err(|error| BatchError::Compression {
        codec,
        reason: error.to_string(),
    })
}

fn gzip(level: Option<i32>, payload: &[u8]) -> io::Result<Vec<u8>> {
    let level = level.and_then(|level| u32::try_from(level).ok());
    let level = level.map_or(flate2::Compression::default(), |level| {
        flate2::Compression::new(level.min(9))
    });
    let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
    out.write_all(payload)?;
    out.finish()
}

/// Snappy in the framing that Java clients write, so that a block is never larger than they expect.
fn xerial(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = XERIAL_MAGIC.to_vec();
    // Version and the oldest version that can read it.
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in payload.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block).map_err(io::Error::other)?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

/// Kafka's readers want independent blocks.
fn lz4(payload: &[u8]) -> io::Result<Vec<u8>> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut out = FrameEncoder::with_frame_info(info, Vec::new());
    out.write_all(payload)?;
    out.finish().map_err(io::Error::other)
}
