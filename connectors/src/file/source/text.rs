//! From bytes of a file to the values of records.
use bytes::Bytes;
use bytestring::ByteString;
use millstream_connect::plugin::PluginError;
use millstream_connect::record::Datum;

use super::config::Invalid;

/// The bytes that some editors begin UTF-8 with.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How many bytes at the beginning of a file are no text.
///
/// # Errors
/// The name of an encoding that is not read.
pub(super) fn mark_length(begin: &[u8]) -> Result<usize, &'static str> {
    match begin {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err("UTF-16"),
        _ if begin.starts_with(MARK) => Ok(MARK.len()),
        _ => Ok(0),
    }
}

/// Part of a file's data as text, checked once for all records in it.
#[derive(Default)]
pub(super) struct Text {
    text: ByteString,
    /// Where in the chunk it begins.
    base: usize,
}

impl Text {
    /// Checks a chunk from `from` to its last line end. What is no UTF-8 is checked record by record.
    pub fn new(chunk: &Bytes, from: usize) -> Self {
        let Some(last) = memchr::memrchr2(b'\n', b'\r', &chunk[from..]) else {
            return Self::default();
        };
        let whole = chunk.slice(from..from + last + 1);
        match ByteString::try_from(whole) {
            Ok(text) => Self { text, base: from },
            Err(_) => Self::default(),
        }
    }

    /// The text of the chunk from `from` to `to`; none if it is not known to be one.
    #[inline]
    pub fn slice(&self, from: usize, to: usize) -> Option<ByteString> {
        let from = from.checked_sub(self.base)?;
        let part = self.text.get(from..to - self.base)?;
        Some(self.text.slice_ref(part))
    }
}

/// The text of bytes that may be none; none if they are to be left out.
///
/// # Errors
/// If the task is to fail.
pub(super) fn lenient(
    bytes: Bytes,
    policy: Invalid,
    place: &dyn Fn() -> String,
) -> Result<Option<ByteString>, PluginError> {
    let error = match ByteString::try_from(bytes.clone()) {
        Ok(text) => return Ok(Some(text)),
        Err(error) => error,
    };
    match policy {
        Invalid::Replace => Ok(Some(String::from_utf8_lossy(&bytes).into_owned().into())),
        Invalid::Skip => Ok(None),
        Invalid::Fail | Invalid::Bytes => Err(PluginError::user_config(format!(
            "the line at {} is no UTF-8 ({error}); convert the file, or set invalid.utf8 to replace, skip or bytes",
            place()
        ))),
    }
}

/// The value of a line.
///
/// # Errors
/// If it is no UTF-8 and the task is to fail.
#[inline]
pub(super) fn line(
    text: &Text,
    chunk: &Bytes,
    (from, to): (usize, usize),
    policy: Invalid,
    place: &dyn Fn() -> String,
) -> Result<Option<Datum>, PluginError> {
    if policy == Invalid::Bytes {
        return Ok(Some(Datum::bytes(chunk.slice(from..to))));
    }
    if let Some(text) = text.slice(from, to) {
        return Ok(Some(Datum::text(text)));
    }
    let text = lenient(chunk.slice(from..to), policy, place)?;
    Ok(text.map(Datum::text))
}
