//! Kafka's text checkpoints: a version line, a count line, then `topic partition offset` lines; behind them the seal.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::durable;
use super::error::OpenError;
use crate::ids::TopicPartition;

/// Up to where each log is known to be intact on disk.
pub(crate) const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// Log start offsets that are beyond the first segment's.
pub(crate) const LOG_START_FILE: &str = "log-start-offset-checkpoint";

/// Up to where each compacted log was cleaned.
pub(crate) const CLEANER_FILE: &str = "cleaner-offset-checkpoint";

const VERSION: &str = "0";
/// Some 4 million partitions.
const FILE_BYTES_MAX: u64 = 1 << 30;

pub(crate) type Offsets = BTreeMap<TopicPartition, i64>;

/// The file's text.
pub(crate) fn encode(offsets: &Offsets) -> String {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (tp, offset) in offsets {
        writeln!(text, "{} {} {offset}", tp.topic, tp.partition).expect("a string takes any text");
    }
    text
}

/// Reads the file's text; an error names the line.
pub(crate) fn decode(text: &str) -> Result<Offsets, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some(VERSION) => {}
        other => return Err(format!("line 1: version {other:?} is not {VERSION:?}")),
    }
    let count: usize = lines
        .next()
        .and_then(|line| line.parse().ok())
        .ok_or("line 2: not a number of entries")?;
    let mut offsets = Offsets::new();
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let mut words = line.split(' ');
        let parsed = (|| {
            let topic = words.next()?;
            let partition = words.next()?.parse().ok()?;
            let offset = words.next()?.parse().ok()?;
            words
                .next()
                .is_none()
                .then(|| (TopicPartition::new(topic, partition), offset))
        })();
        let (tp, offset): (_, i64) =
            parsed.ok_or_else(|| format!("line {}: not `topic partition offset`", index + 3))?;
        if offset < 0 {
            return Err(format!("line {}: offset {offset} is negative", index + 3));
        }
        offsets.insert(tp, offset);
    }
    if offsets.len() == count {
        Ok(offsets)
    } else {
        Err(format!("{} entries where line 2 says {count}", offsets.len()))
    }
}

/// Reads a checkpoint; one that is not there is empty.
pub(crate) fn read(path: &Path) -> Result<Offsets, OpenError> {
    let Some(bytes) = durable::read_if_there(path, FILE_BYTES_MAX).map_err(OpenError::io(path))? else {
        return Ok(Offsets::new());
    };
    let unsealed = durable::unseal(bytes).map_err(str::to_owned);
    let decoded = unsealed.and_then(|bytes| decode(&String::from_utf8_lossy(&bytes)));
    let remedy = match path.file_name().is_some_and(|name| name == LOG_START_FILE) {
        true => "remove it: deleted records whose files are still there come back then",
        false => "remove it: every log is then checked in full",
    };
    decoded.map_err(|reason| OpenError::Corrupt {
        file: path.to_owned(),
        position: 0,
        reason: format!("{reason}; if the file cannot be restored, {remedy}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_kafkas_format() {
        let offsets = Offsets::from([
            (TopicPartition::new("orders", 0), 42),
            (TopicPartition::new("orders", 10), 7),
        ]);
        let text = encode(&offsets);
        assert_eq!(text, "0\n2\norders 0 42\norders 10 7\n");
        assert_eq!(decode(&text), Ok(offsets));
        assert_eq!(decode("0\n0\n"), Ok(Offsets::new()));
    }

    #[test]
    fn names_the_bad_line() {
        for (text, part) in [
            ("", "line 1"),
            ("1\n0\n", "line 1"),
            ("0\nx\n", "line 2"),
            ("0\n1\na 0\n", "line 3"),
            ("0\n1\na 0 1 2\n", "line 3"),
            ("0\n2\na 0 1\na b 2\n", "line 4"),
            ("0\n1\na 0 -1\n", "negative"),
            ("0\n2\na 0 1\n", "1 entries"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
