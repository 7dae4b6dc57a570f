//! Questions on their way to a worker.
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::operator::Asked;
use crate::plan::StepId;
use crate::runtime::worker::TaskId;

/// Questions that may wait; whoever asks more is told to ask again.
const QUESTIONS_MAX: usize = 256;
/// How long after a question a worker looks for the next one more often.
const IN_USE: Duration = Duration::from_secs(1);

/// What the worker found; none if the task is not its own any more.
pub(super) type Told = Option<Result<Vec<RecordBatch>, String>>;

/// A question to one task.
pub(super) struct Posted {
    pub(super) task: TaskId,
    pub(super) step: StepId,
    pub(super) asked: Asked,
    pub(super) answer: SyncSender<Told>,
}

/// The questions to a worker.
#[derive(Default)]
pub(in crate::runtime) struct Mailbox(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    questions: VecDeque<Posted>,
    /// When the last one came.
    last: Option<Instant>,
}

impl Mailbox {
    fn inside<T>(&self, with: impl FnOnce(&mut Inside) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Posts a question, unless too many wait.
    pub(super) fn post(&self, question: Posted) -> bool {
        self.inside(|inside| {
            inside.last = Some(Instant::now());
            let fits = inside.questions.len() < QUESTIONS_MAX;
            if fits {
                inside.questions.push_back(question);
            }
            fits
        })
    }

    /// The question that has waited longest.
    pub(super) fn next(&self) -> Option<Posted> {
        self.inside(|inside| inside.questions.pop_front())
    }

    /// Whether somebody has asked a short time ago.
    pub(super) fn is_in_use(&self) -> bool {
        self.inside(|inside| inside.last.is_some_and(|last| last.elapsed() < IN_USE))
    }

    /// Nobody will answer.
    pub(super) fn clear(&self) {
        self.inside(|inside| inside.questions.clear());
    }
}
