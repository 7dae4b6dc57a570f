//! The file in a compacted partition's folder that tells before which offset segments may not follow on each other.
//!
//! Why: where compaction has emptied the end of a segment, the next begins later than the segment's last batch ends. Recovery
//! would take such a gap for lost records and cut off what follows. The checkpoints do not tell: they can be lost, and they
//! learn of a pass only when it ends. Invariant: the file is durable before the first segment of a pass is replaced.

use std::path::Path;

use super::durable;
use super::error::OpenError;

/// Its name.
pub(crate) const FILE: &str = "compaction-gaps";
const VERSION: &str = "0";
const BYTES_MAX: u64 = 4 << 10;

/// The file's bytes.
pub(crate) fn encode(before: i64) -> Vec<u8> {
    durable::seal(format!("{VERSION}\n{before}\n").as_bytes())
}

/// The offset before which there may be gaps: 0 without the file; anywhere, if it is damaged.
pub(crate) fn read(folder: &Path) -> Result<i64, OpenError> {
    let path = folder.join(FILE);
    let Some(bytes) = durable::read_if_there(&path, BYTES_MAX).map_err(OpenError::io(&path))? else {
        return Ok(0);
    };
    Ok(decode(bytes).unwrap_or_else(|| {
        tracing::warn!(file = %path.display(), "damaged; gaps between segments are taken for the work of compaction");
        i64::MAX
    }))
}

fn decode(bytes: Vec<u8>) -> Option<i64> {
    let bytes = durable::unseal(bytes).ok()?;
    let mut lines = std::str::from_utf8(&bytes).ok()?.lines();
    (lines.next()? == VERSION).then_some(())?;
    let before = lines.next()?.parse().ok()?;
    lines.next().is_none().then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_allows_gaps_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), 0);
        let bytes = encode(42);
        std::fs::write(dir.path().join(FILE), &bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap(), 42);
        for length in 0..bytes.len() - 1 {
            std::fs::write(dir.path().join(FILE), &bytes[..length]).unwrap();
            let found = read(dir.path()).unwrap();
            assert!(found >= 42, "{length}: {found}");
            // A tail that was never written.
            let mut zeroed = bytes.clone();
            zeroed[length..].fill(0);
            std::fs::write(dir.path().join(FILE), &zeroed).unwrap();
            assert_eq!(read(dir.path()).unwrap(), i64::MAX, "{length}");
        }
    }
}
