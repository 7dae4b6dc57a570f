//! Lines of the log that say how far a snapshot is: one when it begins, or goes on after a restart, and then one now and then. That it is done is
//! said by the [snapshot](crate::mysql::snapshot) itself.
use std::time::Duration;

use tokio::time::Instant;

use crate::mysql::snapshot::SnapshotProgress;

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);

/// When the next line is due; nothing while there is no snapshot.
#[derive(Debug, Default)]
pub(super) struct ProgressLog {
    due: Option<Instant>,
    last: SnapshotProgress,
}

impl ProgressLog {
    /// Looks at the snapshot that is not done, if there is one.
    pub(super) fn look(&mut self, now: Instant, snapshot: Option<SnapshotProgress>) {
        let Some(progress) = snapshot else {
            self.due = None;
            return;
        };
        if let Some(what) = self.says(now, &progress) {
            let SnapshotProgress {
                tables,
                tables_done,
                rows_told,
                rows,
            } = progress;
            tracing::info!(tables, tables_done, rows_told, rows_estimated = rows, "{what}");
        }
    }

    fn says(&mut self, now: Instant, progress: &SnapshotProgress) -> Option<&'static str> {
        // The next one of several.
        if progress.rows_told < self.last.rows_told || progress.tables_done < self.last.tables_done {
            self.due = None;
        }
        self.last = *progress;
        let what = match self.due {
            // It is not known yet what there is to read.
            None if progress.tables == 0 => return None,
            None if progress.rows_told == 0 && progress.tables_done == 0 => "a snapshot begins",
            Some(due) if now < due => return None,
            _ => "a snapshot goes on",
        };
        self.due = Some(now + INTERVAL);
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_when_it_begins_and_one_now_and_then() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress = |tables, rows_told| SnapshotProgress {
            tables,
            rows_told,
            ..SnapshotProgress::default()
        };
        let mut log = ProgressLog::default();
        assert_eq!(log.says(at(0), &progress(0, 0)), None);
        assert_eq!(log.says(at(1), &progress(3, 0)), Some("a snapshot begins"));
        assert_eq!(log.says(at(10), &progress(3, 5)), None);
        assert_eq!(log.says(at(11), &progress(3, 5)), Some("a snapshot goes on"));
        assert_eq!(log.says(at(12), &progress(3, 6)), None);
        assert_eq!(log.says(at(13), &progress(1, 0)), Some("a snapshot begins"));
        log.look(at(14), None);
        assert_eq!(log.says(at(15), &progress(1, 7)), Some("a snapshot goes on"));
    }
}
