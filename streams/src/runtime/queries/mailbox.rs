//! Questions on their way to a worker, and those who read its stores beside it.
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::operator::Asked;
use crate::plan::StepId;
use crate::runtime::worker::TaskId;

/// Questions that may wait; whoever asks more is told to ask again.
const QUESTIONS_MAX: usize = 256;
/// How long after a question a worker looks for the next one more often.
const IN_USE: Duration = Duration::from_secs(1);
/// How long a worker that ends waits for those who read its stores. They look between two batches of rows.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What the worker found; none if the task is not its own any more.
pub(super) type Told = Option<Result<Vec<RecordBatch>, String>>;

/// A question to one task.
pub(super) struct Posted {
    pub(super) task: TaskId,
    pub(super) step: StepId,
    pub(super) asked: Asked,
    pub(super) answer: SyncSender<Told>,
    /// When nobody waits for the answer any more.
    pub(super) until: Instant,
}

/// Why a question was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many wait.
    Full,
    /// The worker has ended.
    Closed,
}

/// The questions to a worker.
#[derive(Default)]
pub(in crate::runtime) struct Mailbox {
    inside: Mutex<Inside>,
    /// Somebody has read to the end.
    read: Condvar,
}

#[derive(Default)]
struct Inside {
    questions: VecDeque<Posted>,
    /// When the last one came.
    last: Option<Instant>,
    /// Those who read the worker's stores now.
    readers: usize,
    closed: bool,
}

/// Somebody reads the worker's stores, which it does not leave meanwhile.
pub(super) struct Reading(Arc<Mailbox>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lock().readers -= 1;
        self.0.read.notify_all();
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts a question.
    pub(super) fn post(&self, question: Posted) -> Result<(), Refused> {
        let mut inside = self.lock();
        if inside.closed {
            return Err(Refused::Closed);
        }
        let now = Instant::now();
        inside.last = Some(now);
        if inside.questions.len() >= QUESTIONS_MAX {
            // Those are no questions any more for whose answers nobody waits.
            inside.questions.retain(|question| question.until > now);
        }
        if inside.questions.len() >= QUESTIONS_MAX {
            return Err(Refused::Full);
        }
        inside.questions.push_back(question);
        Ok(())
    }

    /// The question that has waited longest, of those for whose answers somebody waits.
    pub(super) fn next(&self) -> Option<Posted> {
        let (mut inside, now) = (self.lock(), Instant::now());
        while let Some(question) = inside.questions.pop_front() {
            if question.until > now {
                return Some(question);
            }
        }
        None
    }

    /// Whether somebody has asked a short time ago.
    pub(super) fn is_in_use(&self) -> bool {
        self.lock().last.is_some_and(|last| last.elapsed() < IN_USE)
    }

    /// Whoever has it may read the worker's stores; none if the worker has ended.
    pub(super) fn reading(self: &Arc<Self>) -> Option<Reading> {
        let mut inside = self.lock();
        (!inside.closed).then(|| {
            inside.readers += 1;
            Reading(Arc::clone(self))
        })
    }

    /// The worker ends, and whoever reads should stop.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nobody will answer, nor read what the worker leaves.
    pub(super) fn close(&self) {
        let mut inside = self.lock();
        inside.closed = true;
        // Dropped without the lock: those who wait are told by it.
        let questions = std::mem::take(&mut inside.questions);
        drop(inside);
        drop(questions);
        let read = self
            .read
            .wait_timeout_while(self.lock(), CLOSE_MAX, |inside| inside.readers > 0);
        let (inside, _) = read.unwrap_or_else(PoisonError::into_inner);
        if inside.readers > 0 {
            tracing::warn!("somebody still reads the local stores of a worker that has ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn question(patience: Duration) -> (Posted, std::sync::mpsc::Receiver<Told>) {
        let (answer, told) = sync_channel(1);
        let posted = Posted {
            task: (0, 0),
            step: StepId(0),
            asked: Asked::default(),
            answer,
            until: Instant::now() + patience,
        };
        (posted, told)
    }

    #[test]
    fn questions_nobody_waits_for_are_passed_over_and_make_room() {
        let mailbox = Mailbox::default();
        for _ in 0..QUESTIONS_MAX {
            assert_eq!(mailbox.post(question(Duration::ZERO).0), Ok(()));
        }
        let (waits, _told) = question(Duration::from_secs(600));
        assert_eq!(mailbox.post(waits), Ok(()));
        assert!(mailbox.next().is_some());
        assert!(mailbox.next().is_none());
        for _ in 0..QUESTIONS_MAX {
            assert_eq!(mailbox.post(question(Duration::from_secs(600)).0), Ok(()));
        }
        let refused = mailbox.post(question(Duration::from_secs(600)).0);
        assert_eq!(refused, Err(Refused::Full));
    }

    #[test]
    fn who_waits_is_told_of_the_end_and_who_reads_is_waited_for() {
        let mailbox = Arc::new(Mailbox::default());
        let (waits, told) = question(Duration::from_secs(600));
        assert_eq!(mailbox.post(waits), Ok(()));
        let (reading, has_read) = (mailbox.reading().unwrap(), Arc::new(AtomicBool::new(false)));
        let reader = {
            let (mailbox, has_read) = (Arc::clone(&mailbox), Arc::clone(&has_read));
            std::thread::spawn(move || {
                assert!(told.recv().is_err(), "nobody answers");
                while !mailbox.is_closed() {
                    std::thread::yield_now();
                }
                has_read.store(true, Ordering::Release);
                drop(reading);
            })
        };
        mailbox.close();
        assert!(has_read.load(Ordering::Acquire));
        reader.join().unwrap();
        assert!(mailbox.reading().is_none());
        assert_eq!(mailbox.post(question(Duration::ZERO).0), Err(Refused::Closed));
    }
}
