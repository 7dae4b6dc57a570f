//! One dead letter: what is dead, and why, in the bytes that a record may take. Whatever came, there is a letter of it that can be sent.
use crate::sink::{OutputRecord, RECORD_OVERHEAD, RecordBuffer, header_size};

// The names of KIP-1034.
const EXCEPTION: &str = "__streams.errors.exception";
const MESSAGE: &str = "__streams.errors.message";
const TOPIC: &str = "__streams.errors.topic";
const PARTITION: &str = "__streams.errors.partition";
const OFFSET: &str = "__streams.errors.offset";
/// Ours: the bytes that the value had before it was cut.
const TRUNCATED: &str = "__streams.errors.truncated";
/// Ours: the bytes that the key had that was left out.
const KEY_LEFT_OUT: &str = "__streams.errors.truncated.key";
/// Ours: how many headers were left out.
const HEADERS_LEFT_OUT: &str = "__streams.errors.truncated.headers";

/// The longest message in a header.
const MESSAGE_BYTES_MAX: usize = 4096;
/// The digits of the largest number.
const DIGITS_MAX: usize = 20;

/// Why a record or row is dead.
pub(super) struct Cause<'a> {
    pub(super) name: &'static str,
    pub(super) message: String,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

/// What of a record fits.
struct Kept<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// Whether each of its headers does.
    headers: Vec<bool>,
}

/// Appends the dead letter of `record`, with its own headers and those that say why; says whether something had to be left out to
/// stay within `bytes_max`.
pub(super) fn write(
    letters: &mut RecordBuffer,
    record: OutputRecord<'_>,
    cause: &Cause<'_>,
    bytes_max: usize,
) -> bool {
    let why = why(cause, bytes_max);
    let why_size: usize = why
        .iter()
        .map(|(name, text)| header_size(name, Some(text.as_bytes())))
        .sum();
    let is_too_large = record.size() + why_size > bytes_max;
    let kept = match is_too_large {
        true => fitting(&record, bytes_max.saturating_sub(why_size)),
        false => Kept {
            key: record.key,
            value: record.value,
            headers: vec![true; record.headers.len()],
        },
    };
    letters.push_bytes(record.time, kept.key, kept.value);
    let own = record.headers.iter().zip(&kept.headers);
    own.filter(|(_, kept)| **kept)
        .for_each(|((name, value), _)| letters.push_header(name, value));
    let left_out = is_too_large.then(|| left_out(&record, &kept));
    for (name, text) in why.iter().chain(left_out.iter().flatten()) {
        letters.push_header(name, Some(text.as_bytes()));
    }
    is_too_large
}

/// The headers that say why.
fn why(cause: &Cause<'_>, bytes_max: usize) -> Vec<(&'static str, String)> {
    // Both may be as long as the job's user likes; a small limit leaves room for the rest.
    let message = shortened(&cause.message, MESSAGE_BYTES_MAX.min(bytes_max / 8));
    let topic = shortened(cause.topic, bytes_max / 4);
    let mut why = vec![
        (EXCEPTION, cause.name.to_owned()),
        (MESSAGE, message.to_owned()),
        (TOPIC, topic.to_owned()),
        (PARTITION, cause.partition.to_string()),
    ];
    why.extend(cause.offset.map(|offset| (OFFSET, offset.to_string())));
    why
}

/// What fits `bytes_max`: the key whole or not at all, then each header, then as much of the value as there is room for.
fn fitting<'a>(record: &OutputRecord<'a>, bytes_max: usize) -> Kept<'a> {
    let names = [TRUNCATED, KEY_LEFT_OUT, HEADERS_LEFT_OUT];
    let marks = names.map(|name| header_size(name, None) + DIGITS_MAX);
    let mut room = bytes_max.saturating_sub(RECORD_OVERHEAD + marks.iter().sum::<usize>());
    let mut fits = |bytes: usize| {
        let fits = bytes <= room;
        room -= if fits { bytes } else { 0 };
        fits
    };
    let key = record.key.filter(|key| fits(key.len()));
    let headers = record.headers.iter();
    let headers = headers
        .map(|(name, value)| fits(header_size(name, value)))
        .collect();
    let value = record.value.map(|value| &value[..value.len().min(room)]);
    Kept { key, value, headers }
}

/// The headers that say what does not fit.
fn left_out(record: &OutputRecord<'_>, kept: &Kept<'_>) -> Vec<(&'static str, String)> {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let mut marks = Vec::new();
    if length(kept.value) < length(record.value) {
        marks.push((TRUNCATED, length(record.value).to_string()));
    }
    if kept.key.is_none() && record.key.is_some() {
        marks.push((KEY_LEFT_OUT, length(record.key).to_string()));
    }
    let headers = kept.headers.iter().filter(|kept| !**kept).count();
    if headers > 0 {
        marks.push((HEADERS_LEFT_OUT, headers.to_string()));
    }
    marks
}

/// The first bytes of a text that may be as long as the record it complains about.
fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
