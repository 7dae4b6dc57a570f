//! From records to bytes: transforms, then converters.
use std::ops::Range;

use crate::cluster::{Encoding, Outgoing, OutgoingRow};
use crate::plugin::{Encoded, PluginError};
use crate::record::Record;
use crate::worker::control::Control;
use crate::worker::conversion::Conversion;
use crate::worker::errors::{ErrorPolicy, RecordFailure, Stage};

/// What became of a record.
pub(super) enum Outcome {
    /// It is in the batch.
    Encoded,
    /// A transform dropped it.
    Filtered,
}

/// Has a record transformed and converted into `out`, which is as before if it fails.
///
/// # Errors
/// The failure; for the caller to judge.
pub(super) fn encode(
    conversion: &mut Conversion,
    policy: &ErrorPolicy,
    control: &Control,
    record: Record,
    out: &mut Outgoing,
) -> Result<Outcome, RecordFailure> {
    let transformed = match conversion.chain.is_empty() {
        true => Some(record),
        false => conversion
            .chain
            .apply(record)
            .map_err(|(error, stage)| policy.of_transform(stage.class, error))?,
    };
    let Some(record) = transformed else {
        return Ok(Outcome::Filtered);
    };
    let before = out.bytes.len();
    let encoded = convert(conversion, policy, control, record, out);
    if encoded.is_err() {
        out.bytes.truncate(before);
    }
    encoded
}

fn convert(
    conversion: &mut Conversion,
    policy: &ErrorPolicy,
    control: &Control,
    record: Record,
    out: &mut Outgoing,
) -> Result<Outcome, RecordFailure> {
    let topic = &*record.topic;
    let bytes = &mut out.bytes;
    if topic.is_empty() {
        return Err(RecordFailure {
            stage: Stage::Transformation,
            class: "transforms".to_owned(),
            error: PluginError::bad_record("the record has no topic; which transform takes it away?"),
        });
    }
    let (value, key, header) = (&mut conversion.value, &mut conversion.key, &mut conversion.header);
    let mut headers = Vec::new();
    for its in &record.headers {
        let encoding = append(bytes, policy, control, |out| {
            header.encode(topic, &its.name, &its.datum, out)
        });
        let encoding =
            encoding.map_err(|error| failure(Stage::HeaderConverter, conversion.header_class, error))?;
        headers.push((its.name.clone(), encoding));
    }
    let key = append(bytes, policy, control, |out| key.encode(topic, &record.key, out))
        .map_err(|error| failure(Stage::KeyConverter, conversion.key_class, error))?;
    let value = append(bytes, policy, control, |out| {
        value.encode(topic, &record.value, out)
    })
    .map_err(|error| failure(Stage::ValueConverter, conversion.value_class, error))?;
    out.rows.push(OutgoingRow {
        number: 0,
        key,
        value,
        headers,
        topic: record.topic,
        partition: record.partition,
        timestamp: record.timestamp,
    });
    Ok(Outcome::Encoded)
}

fn failure(stage: Stage, class: &str, error: PluginError) -> RecordFailure {
    let class = class.to_owned();
    RecordFailure { stage, class, error }
}

fn append(
    bytes: &mut Vec<u8>,
    policy: &ErrorPolicy,
    control: &Control,
    mut write: impl FnMut(&mut Vec<u8>) -> Result<Encoded, PluginError>,
) -> Result<Encoding, PluginError> {
    let begin = bytes.len();
    let encoded = policy.retry(control, || {
        bytes.truncate(begin);
        write(bytes)
    })?;
    Ok(match encoded {
        Encoded::Null => None,
        Encoded::Bytes => Some(Range {
            start: begin,
            end: bytes.len(),
        }),
    })
}

/// A record that could not be written, as its bytes would be without converters: key, value and time.
pub(super) fn dead(record: &Record) -> (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>) {
    let bytes = |datum: &crate::record::Datum| match &datum.value {
        crate::record::Value::Null => None,
        crate::record::Value::Bytes(bytes) => Some(bytes.to_vec()),
        crate::record::Value::String(text) => Some(text.as_bytes().to_vec()),
        other => Some(format!("{other:?}").into_bytes()),
    };
    (bytes(&record.key), bytes(&record.value), record.timestamp)
}
