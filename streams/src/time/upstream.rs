//! What the reader of a repartition topic knows of the tasks that write it.
use super::{Announcement, Watermark};

/// The most tasks that may write a repartition topic with watermarks: the table is kept as the metadata of an offset, for which
/// brokers have 4096 bytes (`offset.metadata.max.bytes`).
pub(crate) const UPSTREAM_TASKS_MAX: usize = 400;

/// The last word of each task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct UpstreamTable {
    pub(super) plan: u64,
    pub(super) tasks: Vec<UpstreamTask>,
}

/// The last word of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UpstreamTask {
    pub(super) watermark: Watermark,
    pub(super) idle: bool,
}

impl UpstreamTask {
    pub(super) const SILENT: Self = Self {
        watermark: Watermark::NONE,
        idle: false,
    };
}

impl UpstreamTable {
    /// Takes an announcement, in the order of the log.
    pub(super) fn take(&mut self, announcement: &Announcement) {
        if announcement.plan != self.plan {
            // Numbers of another plan mean other tasks.
            self.tasks.clear();
            self.plan = announcement.plan;
        }
        let (task, tasks) = (announcement.task as usize, announcement.tasks as usize);
        if tasks > self.tasks.len() {
            self.tasks
                .resize(tasks.min(UPSTREAM_TASKS_MAX), UpstreamTask::SILENT);
        }
        if let Some(known) = self.tasks.get_mut(task) {
            known.watermark = known.watermark.max(announcement.watermark);
            known.idle = announcement.idle;
        }
    }

    /// The watermark of all together, and whether all are idle.
    pub(super) fn combined(&self) -> (Watermark, bool) {
        super::clock::combined(self.tasks.iter().map(|task| (task.watermark, task.idle)))
    }
}
